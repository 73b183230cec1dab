/* SPDX-License-Identifier: MIT
 *
 * mma_tile.cuh: one tile of a product of two matrices by one block: how operands lie in shared memory, how they get there,
 * and how warps read and multiply them. It knows no sample and sums nothing.
 *
 * Shared memory is a ring of stages. A stage holds DEPTH of the contraction: first M rows of the tile, then N columns.
 *  - K_MAJOR (Gram): the contraction runs along the rows of the matrices; a line is LINE bytes of one row.
 *  - else (direct): it runs across their rows; a line is M (N) neighbours of one row.
 * Lines are padded so that a warp's loads touch each bank once: LINE + 16 bytes, or 8 elements more than M (N).
 */
#ifndef VS_KERNELS_MMA_TILE_CUH
#define VS_KERNELS_MMA_TILE_CUH

#include <cstddef>

#include "kernels/mma.cuh"

namespace mma {

/* A tile of M x N by warps of WM x WN; RESIDENT blocks share a multiprocessor; a stage takes LINE bytes of each row. */
template <class TYPE_, bool K_MAJOR_, int M_, int N_, int WM_, int WN_, int RESIDENT_, int LINE_ = 128> struct shape {
    using type = TYPE_;
    using element = typename TYPE_::element;
    static constexpr bool K_MAJOR = K_MAJOR_;
    static constexpr int M = M_, N = N_, WM = WM_, WN = WN_, RESIDENT = RESIDENT_, LINE = LINE_;
    static constexpr int SIZE = sizeof(element), PIECE = 16 / SIZE; /* bytes of an element; elements in 16 bytes */
    static constexpr int DEPTH = LINE / SIZE, STEPS = LINE / 32; /* of a stage: contraction; products in a row */
    static constexpr int WARPS = (M / WM) * (N / WN), THREADS = 32 * WARPS;
    static constexpr int MT = WM / 16, NT = WN / 8; /* products of a warp */
    __host__ __device__ static constexpr int pitch(int width)
    {
        return K_MAJOR ? LINE + 16 : (width + 8) * SIZE;
    }
    __host__ __device__ static constexpr int bytes(int width)
    {
        return (K_MAJOR ? width : DEPTH) * pitch(width);
    }
    static constexpr int STAGE_BYTES = bytes(M) + bytes(N);
    using sums = float[MT][NT][4];
    static_assert(WM % 32 == 0 && WN % 16 == 0, "rows are multiplied by halves, columns read by pairs");
    static_assert(STEPS % 2 == 0, "fragments alternate");
};

/* ---- which row or column of the warp's tile a register belongs to ----
 *
 * Rows come in MT * 2 sets of 8 (set 2i: registers 0 and 1 of product i; 2i + 1: 2 and 3), columns in NT; `at` is g for a
 * row, 2t or 2t + 1 for a column. 32-bit operands that run across rows are read by pairs of neighbours, which become rows
 * g of the two sets of one product: so a pair is half of an operand, and no register is moved. */
template <class S, bool ROWS> __host__ __device__ constexpr int place(int set, int at)
{
    return ROWS && !S::K_MAJOR && S::SIZE == 4 ? 16 * (set / 2) + 2 * at + set % 2 : 8 * set + at;
}

/* Byte offset in a stage of the first word that a lane reads of an operand. `first` of the tile's rows (columns). */
template <class S, bool ROWS> __host__ __device__ constexpr int lane_offset(int lane, int first)
{
    int pitch = S::pitch(ROWS ? S::M : S::N), low = lane / 8 % 2, high = lane / 16;
    if (S::K_MAJOR) return (first + lane % 8 + 8 * (ROWS ? low : high)) * pitch + 16 * (ROWS ? high : low);
    if (S::SIZE == 2) return (lane % 8 + 8 * (ROWS ? high : low)) * pitch + 2 * (first + 8 * (ROWS ? low : high));
    return lane % 4 * pitch + 4 * (first + (ROWS ? 2 : 1) * (lane / 4));
}

template <class S> struct fragments {
    uint32_t a[S::MT][4], b[S::NT][2];
};

/* ---- reading fragments: rows and columns are addresses of this lane's first words in the stage ---- */

template <class S> __device__ inline void read_lines(fragments<S> &f, uint32_t rows, uint32_t columns, int step)
{
#pragma unroll
    for (int i = 0; i < S::MT; i++) {
        uint4 v = load_matrices(rows + i * 16 * S::pitch(S::M) + step * 32);
        f.a[i][0] = v.x, f.a[i][1] = v.y, f.a[i][2] = v.z, f.a[i][3] = v.w;
    }
#pragma unroll
    for (int j = 0; j < S::NT; j += 2) {
        uint4 v = load_matrices(columns + j * 8 * S::pitch(S::N) + step * 32);
        f.b[j][0] = v.x, f.b[j][1] = v.y, f.b[j + 1][0] = v.z, f.b[j + 1][1] = v.w;
    }
}

template <class S> __device__ inline void read_across16(fragments<S> &f, uint32_t rows, uint32_t columns, int step)
{
#pragma unroll
    for (int i = 0; i < S::MT; i++) {
        uint4 v = load_matrices_transposed(rows + i * 32 + step * 16 * S::pitch(S::M));
        f.a[i][0] = v.x, f.a[i][1] = v.y, f.a[i][2] = v.z, f.a[i][3] = v.w;
    }
#pragma unroll
    for (int j = 0; j < S::NT; j += 2) {
        uint4 v = load_matrices_transposed(columns + j * 16 + step * 16 * S::pitch(S::N));
        f.b[j][0] = v.x, f.b[j][1] = v.y, f.b[j + 1][0] = v.z, f.b[j + 1][1] = v.w;
    }
}

template <class S> __device__ inline void read_across32(fragments<S> &f, uint32_t rows, uint32_t columns, int step)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int i = 0; i < S::MT; i++) {
            uint2 v = load8(rows + i * 64 + (step * 8 + half * 4) * S::pitch(S::M));
            f.a[i][2 * half] = v.x, f.a[i][2 * half + 1] = v.y;
        }
#pragma unroll
        for (int j = 0; j < S::NT; j++) f.b[j][half] = load4(columns + j * 32 + (step * 8 + half * 4) * S::pitch(S::N));
    }
}

template <class S> __device__ inline void round_all(fragments<S> &f)
{
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int r = 0; r < 4; r++) f.a[i][r] = round_tf32(f.a[i][r]);
#pragma unroll
    for (int j = 0; j < S::NT; j++)
#pragma unroll
        for (int r = 0; r < 2; r++) f.b[j][r] = round_tf32(f.b[j][r]);
}

/* ---- products ---- */

/* What is left of x after rounding it to `big`. */
__device__ inline uint32_t rest_tf32(uint32_t x, uint32_t big)
{
    return round_tf32(__float_as_uint(__uint_as_float(x) - __uint_as_float(big)));
}

/* Small terms first, and every sum of all products before its next term: they depend on each other. */
template <class S, int FIRST, int PAST>
__device__ inline void multiply_split(typename S::sums &sum, const fragments<S> &f)
{
    uint32_t big[S::MT][4], small[S::MT][4], other_big[S::NT][2], other_small[S::NT][2];
#pragma unroll
    for (int j = 0; j < S::NT; j++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            other_big[j][r] = round_tf32(f.b[j][r]);
            other_small[j][r] = rest_tf32(f.b[j][r], other_big[j][r]);
        }
#pragma unroll
    for (int i = FIRST; i < PAST; i++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
            big[i][r] = round_tf32(f.a[i][r]);
            small[i][r] = rest_tf32(f.a[i][r], big[i][r]);
        }
#pragma unroll
    for (int i = FIRST; i < PAST; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++) product(tf32(), sum[i][j], small[i], other_big[j]);
#pragma unroll
    for (int i = FIRST; i < PAST; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++) product(tf32(), sum[i][j], big[i], other_small[j]);
#pragma unroll
    for (int i = FIRST; i < PAST; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++) product(tf32(), sum[i][j], big[i], other_big[j]);
}

template <class S, int FIRST, int PAST> __device__ inline void multiply(typename S::sums &sum, const fragments<S> &f)
{
    if constexpr (S::type::SPLIT) {
        multiply_split<S, FIRST, PAST>(sum, f);
    } else {
#pragma unroll
        for (int i = FIRST; i < PAST; i++)
#pragma unroll
            for (int j = 0; j < S::NT; j++) product(typename S::type(), sum[i][j], f.a[i], f.b[j]);
    }
}

template <class S> __device__ inline void clear(typename S::sums &sum)
{
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) sum[i][j][e] = 0;
}

template <class S> __device__ inline void add(typename S::sums &to, const typename S::sums &sum)
{
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) to[i][j][e] += sum[i][j][e];
}

} // namespace mma

#endif
