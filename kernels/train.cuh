/* SPDX-License-Identifier: MIT
 *
 * train.cuh: what the CUDA versions of train.h share: elements as float32 in groups of 16 bytes where buffers and widths allow
 * it, sums over a block, checks of a call, and the operations that have files of their own. It launches nothing itself.
 */
#ifndef VS_KERNELS_TRAIN_CUH
#define VS_KERNELS_TRAIN_CUH

#include <cuda_bf16.h>

#include <climits>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>

#include "kernels/cublas.cuh"
#include "kernels/train.h"

/* train_attention*.cu */
size_t vs_train_attention_bytes(const vs_train_on *on, const vs_train_attention *p, bool backward);
int vs_train_attention_forward(const vs_train_on *on, const vs_train_attention *p);
int vs_train_attention_backward(const vs_train_on *on, const vs_train_attention *p);
const char *vs_train_attention_by(const vs_train_on *on, const vs_train_attention *p);

namespace train {

using bf16 = __nv_bfloat16;

constexpr unsigned WARP = 32;
constexpr unsigned EVERY_LANE = 0xffffffffu;

/* ---- groups: N neighbours in memory, read and written at once ---- */

template <class E> constexpr int GROUP = 16 / static_cast<int>(sizeof(E)); /* elements of 16 bytes */

template <int BYTES> struct piece_of {
    using type = uint4;
};
template <> struct piece_of<8> {
    using type = uint2;
};
template <> struct piece_of<4> {
    using type = unsigned;
};
template <> struct piece_of<2> {
    using type = unsigned short;
};

/* Lies at a multiple of its size in bytes, or of 16 where that is less. */
template <class E, int N> struct group {
    using piece = typename piece_of<sizeof(E) * N>::type;
    piece part[sizeof(E) * N / sizeof(piece)];
};

template <int N, class E> __device__ inline group<E, N> load(const E *from)
{
    group<E, N> g;
    using piece = typename group<E, N>::piece;
#pragma unroll
    for (size_t i = 0; i < sizeof g / sizeof(piece); i++) g.part[i] = reinterpret_cast<const piece *>(from)[i];
    return g;
}

template <class E, int N> __device__ inline void store(E *to, const group<E, N> &g)
{
    using piece = typename group<E, N>::piece;
#pragma unroll
    for (size_t i = 0; i < sizeof g / sizeof(piece); i++) reinterpret_cast<piece *>(to)[i] = g.part[i];
}

template <int N> __device__ inline void widen(const group<float, N> &g, float (&v)[N])
{
    memcpy(v, &g, sizeof v);
}

/* A bfloat16 is the upper half of a float. */
template <int N> __device__ inline void widen(const group<bf16, N> &g, float (&v)[N])
{
    if constexpr (N == 1) {
        v[0] = __uint_as_float(static_cast<unsigned>(g.part[0]) << 16);
    } else {
        unsigned two[N / 2];
        memcpy(two, &g, sizeof two);
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            v[2 * i] = __uint_as_float(two[i] << 16);
            v[2 * i + 1] = __uint_as_float(two[i] & 0xffff0000u);
        }
    }
}

template <int N> __device__ inline void narrow(const float (&v)[N], group<float, N> *g)
{
    memcpy(g, v, sizeof v);
}

/* To nearest even. */
template <int N> __device__ inline void narrow(const float (&v)[N], group<bf16, N> *g)
{
    if constexpr (N == 1) {
        bf16 one = __float2bfloat16_rn(v[0]);
        memcpy(g, &one, sizeof one);
    } else {
        __nv_bfloat162 two[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) two[i] = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
        memcpy(g, two, sizeof two);
    }
}

template <int N, class E> __device__ inline void get(const E *from, float (&v)[N])
{
    widen(load<N>(from), v);
}

template <class E, int N> __device__ inline void put(E *to, const float (&v)[N])
{
    group<E, N> g;
    narrow(v, &g);
    store(to, g);
}

/* Does every one of these (or NULL) lie at a multiple of 16 bytes? */
inline bool aligned(std::initializer_list<const void *> all)
{
    uintptr_t bits = 0;
    for (const void *one : all) bits |= reinterpret_cast<uintptr_t>(one);
    return bits % 16 == 0;
}

/* Are rows of so many elements of E, and of W, whole groups of E? */
inline bool whole(const vs_train_on *on, std::initializer_list<size_t> widths)
{
    size_t bits = 0, each = on->dtype == VS_TRAIN_bf16 ? 8 : 4;
    for (size_t width : widths) bits |= width;
    return bits % each == 0;
}

/* ---- sums over a block of up to 1024 threads, whole warps; the same bits on every run, in every thread ---- */

template <class V> __device__ inline V warp_sum(V value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(EVERY_LANE, value, step);
    return value;
}

/* K sums at once. shared: that no other sum of the kernel uses. */
template <int K, class V> __device__ inline void block_sums(V (&value)[K], V (*shared)[WARP])
{
    unsigned warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < K; k++) value[k] = warp_sum(value[k]);
    if (warps == 1) return;
#pragma unroll
    for (int k = 0; k < K; k++)
        if (lane == 0) shared[k][threadIdx.x / WARP] = value[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; k++) value[k] = warp_sum(lane < warps ? shared[k][lane] : V(0));
}

template <class V> __device__ inline V block_sum(V value, V *shared)
{
    V one[1] = {value};
    block_sums(one, reinterpret_cast<V(*)[WARP]>(shared));
    return one[0];
}

/* ---- checks and launches ---- */

inline cudaStream_t stream_of(const vs_train_on *on)
{
    return static_cast<cudaStream_t>(on->stream);
}

inline size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* 0, or why this call cannot be made: `sizes` none is 0, `pointers` none is NULL. */
inline int check(const vs_train_on *on, std::initializer_list<size_t> sizes, std::initializer_list<const void *> pointers)
{
    if (!on || static_cast<unsigned>(on->dtype) >= VS_TRAIN_DTYPE_COUNT)
        return vs_cuda_refuse(-EINVAL, "training: no such element type");
    if (on->dtype == VS_TRAIN_fp64)
        return vs_cuda_refuse(-ENOTSUP, "training: the GPU's operations have no fp64; use fp32, tf32 or bf16");
    for (size_t size : sizes)
        if (!size) return vs_cuda_refuse(-EINVAL, "training: an empty shape");
    for (const void *pointer : pointers)
        if (!pointer) return vs_cuda_refuse(-EINVAL, "training: a buffer is missing");
    return on->context ? vs_cuda_here(static_cast<const vs_cuda_context *>(on->context)) : 0;
}

/* One-dimensional: only the first dimension of a grid is long. */
template <class... Parameters, class... Values>
int launch(const vs_train_on *on, const char *doing, void (*kernel)(Parameters...), size_t blocks, unsigned threads,
           size_t shared_bytes, Values &&...values)
{
    if (blocks > INT_MAX) return vs_cuda_refuse(-EOVERFLOW, "training: more blocks than a grid holds; use a smaller batch");
    return vs_cuda_launch(doing, kernel, static_cast<unsigned>(blocks), threads, shared_bytes, stream_of(on),
                          static_cast<Values &&>(values)...);
}

/* f(E()), after check(). */
template <class F> int with_element(const vs_train_on *on, F f)
{
    return on->dtype == VS_TRAIN_bf16 ? f(bf16()) : f(float());
}

template <int N> using fixed = std::integral_constant<int, N>;

/* f(E(), fixed<N>()): N is a whole group of E, or 1. */
template <class F> int with_groups(const vs_train_on *on, bool groups, F f)
{
    return with_element(on, [&](auto e) { return groups ? f(e, fixed<GROUP<decltype(e)>>()) : f(e, fixed<1>()); });
}

/* ---- one pass over rows ---- */

constexpr unsigned EACH_THREADS = 256;
constexpr int SLOTS = 4; /* groups under way in each thread: what keeps the memory busy */

/* A row is shared out over `segments` blocks. All of a thread's groups are read before the first is written, also in place. */
template <int N, class F> __global__ void __launch_bounds__(EACH_THREADS) each_group(F f, size_t width, unsigned segments)
{
    typename F::held h[SLOTS];
    unsigned row = blockIdx.x / segments;
    size_t first = static_cast<size_t>(blockIdx.x % segments) * blockDim.x * SLOTS + threadIdx.x;
#pragma unroll
    for (int s = 0; s < SLOTS; s++) {
        size_t column = (first + s * blockDim.x) * N;
        if (column < width) h[s] = f.read(row, column);
    }
#pragma unroll
    for (int s = 0; s < SLOTS; s++) {
        size_t column = (first + s * blockDim.x) * N;
        if (column < width) f.write(row, column, h[s]);
    }
}

/* Whole warps for so many items, at most `most`. */
inline unsigned threads_for(size_t items, unsigned most)
{
    size_t threads = ceil_div(items, WARP) * WARP;
    return threads < most ? static_cast<unsigned>(threads) : most;
}

/* F has a type held, read(row, column) -> held and write(row, column, held), for N elements from `column`. */
template <int N, class F> int each(const vs_train_on *on, const char *doing, const F &f, size_t rows, size_t width)
{
    size_t groups = ceil_div(width, N);
    unsigned threads = threads_for(ceil_div(groups, SLOTS), EACH_THREADS);
    size_t segments = ceil_div(groups, threads * SLOTS);
    if (rows > INT_MAX || segments > INT_MAX) return launch(on, doing, each_group<N, F>, SIZE_MAX, threads, 0, f, width, 0u);
    return launch(on, doing, each_group<N, F>, rows * segments, threads, 0, f, width, static_cast<unsigned>(segments));
}

/* f(E(), fixed<N>(), first, count) over a flat array: in whole groups, and then what is left at its end. */
template <class F> int with_flat(const vs_train_on *on, bool groups, size_t count, F f)
{
    return with_element(on, [&](auto e) {
        constexpr int N = GROUP<decltype(e)>;
        size_t body = groups ? count / N * N : 0;
        int err = body ? f(e, fixed<N>(), static_cast<size_t>(0), body) : 0;
        return err || body == count ? err : f(e, fixed<1>(), body, count - body);
    });
}

} // namespace train

/* ---- the other files' part of the table ---- */

int vs_train_cuda_embed(const vs_train_on *on, const int64_t *ids, const void *table, const void *positions, size_t rows, size_t T,
                        size_t width, void *out);
int vs_train_cuda_embed_gradient(const vs_train_on *on, const vs_train_ids *ids, const void *G, const float *c, size_t T,
                                 size_t width, void *gradient);
int vs_train_cuda_position_gradient(const vs_train_on *on, const void *G, const float *c, size_t B, size_t T, size_t width,
                                    void *gradient);
int vs_train_cuda_norm_forward(const vs_train_on *on, const vs_train_norm_forward *p);
int vs_train_cuda_norm_backward(const vs_train_on *on, const vs_train_norm_backward *p);
size_t vs_train_cuda_column_bytes(const vs_train_on *on, size_t B, size_t T, size_t width);
int vs_train_cuda_norm_gradient(const vs_train_on *on, const vs_train_norm_gradient *p);
int vs_train_cuda_bias_gradient(const vs_train_on *on, const void *G, size_t B, size_t T, size_t width, size_t stride, void *out,
                                void *workspace);
int vs_train_cuda_bias_relu(const vs_train_on *on, void *x, const void *bias, size_t rows, size_t width);
int vs_train_cuda_relu_backward(const vs_train_on *on, const void *out, void *dout, size_t rows, size_t width);
int vs_train_cuda_swiglu(const vs_train_on *on, const void *x, size_t rows, size_t width, void *out);
int vs_train_cuda_swiglu_backward(const vs_train_on *on, const void *x, const void *dout, size_t rows, size_t width, void *dx);
int vs_train_cuda_rotate(const vs_train_on *on, void *x, size_t rows, size_t T, size_t row, size_t heads, size_t width, double base,
                         bool back);
int vs_train_cuda_loss(const vs_train_on *on, const vs_train_loss *p);
int vs_train_cuda_sample_loss(const vs_train_on *on, const void *loss, size_t B, size_t T, double *out);
int vs_train_cuda_clip(const vs_train_on *on, const vs_train_clip *p);
int vs_train_cuda_scale_samples(const vs_train_on *on, void *x, const float *c, size_t B, size_t count);
size_t vs_train_cuda_square_sum_bytes(const vs_train_on *on, size_t B, size_t count);
int vs_train_cuda_square_sum(const vs_train_on *on, const void *x, size_t B, size_t count, size_t stride, bool add, double *n,
                             void *workspace);
int vs_train_cuda_weighted_sum(const vs_train_on *on, const void *x, const float *c, size_t B, size_t count, size_t stride, bool add,
                               void *out);
int vs_train_cuda_fill(const vs_train_on *on, void *out, void *working, size_t count, uint64_t first, uint64_t seed, double std,
                       double value);
int vs_train_cuda_update(const vs_train_on *on, const vs_train_update *p);
int vs_train_cuda_zero(const vs_train_on *on, void *memory, size_t bytes);
/* train_drop.cu */
int vs_train_cuda_drop(const vs_train_on *on, const vs_train_samples *list, size_t count, const float *c);

#endif
