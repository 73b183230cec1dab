/* SPDX-License-Identifier: MIT
 *
 * train_attention_mma.cuh: what the fused kernels of attention in float32 are made of: tiles of rows in shared memory, products
 * of a warp's rows with a tile by mma.sync, masks, and how results get to memory. It launches nothing.
 *
 * A block of threads holds `ROWS` rows (queries, or keys) of one head, 16 * MT of them each warp, and streams the rows of the
 * other side past them, STREAM at a time. Scores never leave registers:
 *  - score: rows x streamed^T, contraction over the head's width, both operands from shared memory;
 *  - contract: rows x width, contraction over the streamed rows. Its first operand is what became of the scores, in the registers
 *    they lie in: a lane has columns 2t and 2t + 1 where an operand wants t and t + 4 (mma.cuh). The order of a contraction is
 *    free, so they are called t and t + 4, and lines 2t and 2t + 1 of the second operand too. The columns of the result are free
 *    as well: column g of products 4c .. 4c + 3 are elements 4g .. 4g + 3 of chunk c of 32, which are 16 bytes to read and write.
 *
 * float32 (PASSES 3): each operand as the sum of two TF32 numbers, of whose four products the least is left out: errors of 2^-21.
 * The tensor core truncates as it accumulates: large terms are added few at a time, and their sums by rounded additions.
 */
#ifndef VS_KERNELS_TRAIN_ATTENTION_MMA_CUH
#define VS_KERNELS_TRAIN_ATTENTION_MMA_CUH

#include "kernels/mma.cuh"
#include "kernels/train.cuh"
#include "kernels/train_attention.cuh"

namespace attention {

/* RESIDENT blocks share a multiprocessor. */
template <int WIDTH_, int PASSES_, int WARPS_, int MT_, int STREAM_, int RESIDENT_> struct shape {
    static constexpr int WIDTH = WIDTH_, PASSES = PASSES_, WARPS = WARPS_, MT = MT_, STREAM = STREAM_, RESIDENT = RESIDENT_;
    static constexpr int THREADS = 32 * WARPS, WARP_ROWS = 16 * MT, ROWS = WARPS * WARP_ROWS;
    static constexpr int STEPS = WIDTH / 8, CHUNKS = WIDTH / 32, NT = STREAM / 8; /* of products; of the streamed tile */
    static constexpr int PITCH = 4 * WIDTH + 16; /* bytes: a warp's loads, 16 bytes a lane, touch each bank once in 8 lanes */
    static constexpr int ROWS_BYTES = ROWS * PITCH, STREAM_BYTES = STREAM * PITCH;
    using scores = float[MT][NT][4];
    using sums = float[MT][CHUNKS * 4][4];
    using of_rows = float[MT][2];
    static_assert(WIDTH % 32 == 0 && STREAM % 16 == 0 && (PASSES == 1 || PASSES == 3), "whole chunks, pairs of products");
};

/* A call, as the kernels read it. Rows of q, k, v and their gradients are `row` elements apart, of o and d_o heads * width. */
struct call {
    const float *q, *k, *v, *d_o, *dots;
    float *o, *stats, *dq, *dk, *dv;
    size_t row;
    unsigned B, T, heads, kv_heads;
    bool causal;
    float scale, scale2; /* of scores; log2(e) times that */
};

/* The rows of one head of one sample. */
template <class E> struct lines {
    E *first;
    size_t row;
};

template <class S, class E> __device__ inline lines<E> lines_of(E *base, size_t row, const call &c, unsigned sample, unsigned head)
{
    return {base + static_cast<size_t>(sample) * c.T * row + static_cast<size_t>(head) * S::WIDTH, row};
}

/* How many keys a query sees. */
__device__ inline unsigned keys_of_row(const call &c, unsigned row)
{
    return c.causal && row < c.T ? row + 1 : c.T;
}

/* ---- to shared memory ---- */

/* COUNT lines from `first` on; zeros for those from T on. Asynchronous. */
template <class S, int COUNT> __device__ inline void copy_lines(uint32_t to, lines<const float> x, unsigned first, unsigned T)
{
    constexpr int PIECES = S::WIDTH / 4, EACH = S::THREADS / PIECES;
    static_assert(S::THREADS % PIECES == 0 && COUNT % EACH == 0, "passes are whole");
    unsigned line = threadIdx.x / PIECES, piece = threadIdx.x % PIECES;
    const float *from = x.first + static_cast<size_t>(first + line) * x.row + 4 * piece;
    to += line * S::PITCH + 16 * piece;
    unsigned left = first + line < T ? T - first - line : 0;
#pragma unroll
    for (unsigned n = 0; n < COUNT; n += EACH) {
        mma::copy16(to + n * S::PITCH, from, n < left);
        from += EACH * x.row;
        asm volatile("" : "+l"(from)); /* else the compiler holds a pointer for each pass in registers, from tile to tile */
    }
}

/* Where a lane begins to read a tile: as the first and the second operand of score, and as the second of contract. */
template <class S> __device__ inline uint32_t as_rows(uint32_t tile, unsigned lane, unsigned warp)
{
    return tile + (warp * S::WARP_ROWS + lane % 16) * S::PITCH + lane / 16 * 16;
}
template <class S> __device__ inline uint32_t as_columns(uint32_t tile, unsigned lane)
{
    return tile + (lane % 8 + lane / 16 * 8) * S::PITCH + lane / 8 % 2 * 16;
}
template <class S> __device__ inline uint32_t as_lines(uint32_t tile, unsigned lane)
{
    return tile + lane % 4 * 2 * S::PITCH + lane / 4 * 16;
}

/* ---- products ---- */

/* N registers of an operand. What is left of a float after rounding it to TF32 has 13 bits at most, of which the tensor core
 * takes the first 11. */
template <int PASSES, int N> struct operand {
    uint32_t big[N], small[N];

    __device__ void set(int i, uint32_t x)
    {
        big[i] = mma::round_tf32(x);
        if constexpr (PASSES == 3) small[i] = __float_as_uint(__uint_as_float(x) - __uint_as_float(big[i]));
    }
};

template <int M, int N> __device__ inline void clear(float (&x)[M][N][4])
{
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < N; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) x[i][j][e] = 0;
}

/* sum + rest += a b; rest takes the small terms. Sums that depend on each other are far apart. */
template <int PASSES, int M, int N>
__device__ inline void multiply(float (&sum)[M][N][4], float (&rest)[M][N][4], const operand<PASSES, 4> (&a)[M],
                                const operand<PASSES, 2> (&b)[N])
{
    if constexpr (PASSES == 3) {
#pragma unroll
        for (int i = 0; i < M; i++)
#pragma unroll
            for (int j = 0; j < N; j++) mma::product(mma::tf32(), rest[i][j], a[i].small, b[j].big);
    }
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < N; j++) mma::product(mma::tf32(), sum[i][j], a[i].big, b[j].big);
    if constexpr (PASSES == 3) {
#pragma unroll
        for (int i = 0; i < M; i++)
#pragma unroll
            for (int j = 0; j < N; j++) mma::product(mma::tf32(), rest[i][j], a[i].big, b[j].small);
    }
}

/* sum = rows columns^T, both from shared memory. */
template <class S> __device__ inline void score(typename S::scores &sum, uint32_t rows, uint32_t columns)
{
    typename S::scores rest;
    clear(sum);
    clear(rest);
#pragma unroll
    for (int k = 0; k < S::STEPS; k++) {
        operand<S::PASSES, 4> a[S::MT];
        operand<S::PASSES, 2> b[S::NT];
#pragma unroll
        for (int i = 0; i < S::MT; i++) {
            uint4 v = mma::load_matrices(rows + i * 16 * S::PITCH + k * 32);
            a[i].set(0, v.x), a[i].set(1, v.y), a[i].set(2, v.z), a[i].set(3, v.w);
        }
#pragma unroll
        for (int j = 0; j < S::NT; j += 2) {
            uint4 v = mma::load_matrices(columns + j * 8 * S::PITCH + k * 32);
            b[j].set(0, v.x), b[j].set(1, v.y), b[j + 1].set(0, v.z), b[j + 1].set(1, v.w);
        }
        multiply(sum, rest, a, b);
    }
    if constexpr (S::PASSES == 3) {
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int j = 0; j < S::NT; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) sum[i][j][e] += rest[i][j][e];
    }
}

/* sum = keep * sum + weights lines; keep: for each row. */
template <class S>
__device__ inline void contract(typename S::sums &sum, const typename S::of_rows &keep, const typename S::scores &weights,
                                uint32_t lines)
{
    operand<S::PASSES, 4> a[S::NT][S::MT];
#pragma unroll
    for (int k = 0; k < S::NT; k++)
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int r = 0; r < 4; r++) a[k][i].set(r, __float_as_uint(weights[i][k][r % 2 * 2 + r / 2]));
#pragma unroll
    for (int c = 0; c < S::CHUNKS; c++) {
        float part[S::MT][4][4];
        clear(part);
#pragma unroll
        for (int k = 0; k < S::NT; k++) {
            operand<S::PASSES, 2> b[4];
#pragma unroll
            for (int r = 0; r < 2; r++) {
                uint4 v = mma::load16(lines + (8 * k + r) * S::PITCH + c * 128);
                b[0].set(r, v.x), b[1].set(r, v.y), b[2].set(r, v.z), b[3].set(r, v.w);
            }
            multiply(part, part, a[k], b);
        }
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    sum[i][4 * c + j][e] = fmaf(sum[i][4 * c + j][e], keep[i][e / 2], part[i][j][e]);
    }
}

/* ---- of one tile of scores ---- */

/* 2^x to 2 units in the last place; 0 below the smallest normal number. */
__device__ inline float power_of_two(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* x = value in the columns of each row from limit(row) on, or BELOW it; counted from the warp's first row and the tile's first
 * column. */
template <class S, bool BELOW, class F> __device__ inline void hide(typename S::scores &x, float value, F limit)
{
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int at = limit(16 * i + 8 * r + g) - 2 * t;
#pragma unroll
            for (int j = 0; j < S::NT; j++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    if (BELOW ? 8 * j + e < at : 8 * j + e >= at) x[i][j][2 * r + e] = value;
        }
}

/* ---- to memory ---- */

/* Line first + r = factor * row r of the warp. */
template <class S>
__device__ inline void store_lines(lines<float> to, unsigned first, unsigned T, const typename S::sums &x,
                                   const typename S::of_rows &factor)
{
    unsigned g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            unsigned line = first + 16 * i + 8 * r + g;
            if (line >= T) continue;
            float *out = to.first + line * to.row + 8 * t;
#pragma unroll
            for (int c = 0; c < S::CHUNKS; c++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float v[4];
#pragma unroll
                    for (int j = 0; j < 4; j++) v[j] = x[i][4 * c + j][2 * r + e] * factor[i][r];
                    train::put(out + 32 * c + 4 * e, v);
                }
        }
}

/* ---- the host's side ---- */

/* Queue all samples and heads of a call. */
int forward(const vs_train_on *on, const vs_train_attention *p);
int backward(const vs_train_on *on, const vs_train_attention *p);
/* Bytes of shared memory that the kernels want for this width. */
size_t forward_shared(size_t width);
size_t backward_shared(size_t width);

call call_of(const vs_train_attention *p);

/* f(fixed<WIDTH>(), fixed<PASSES>()) of a call that the backend takes. */
template <class F> int with_shape(const vs_train_on *on, size_t width, F f)
{
    using train::fixed;
    if (on->dtype == VS_TRAIN_tf32) return width == 64 ? f(fixed<64>(), fixed<1>()) : f(fixed<128>(), fixed<1>());
    return width == 64 ? f(fixed<64>(), fixed<3>()) : f(fixed<128>(), fixed<3>());
}

} // namespace attention

#endif
