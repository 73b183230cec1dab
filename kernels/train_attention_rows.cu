/* SPDX-License-Identifier: MIT
 *
 * train_attention_rows.cu: the passes over rows of scores between the matrix products of attention by blocks. Bound by the
 * memory's bandwidth: a block of threads takes one row, which the second reading finds in the cache. It multiplies no matrices.
 *
 * Results replace what they are made from. A bfloat16 row is half as long as the float32 row it begins with: it is written a
 * stretch at a time, each after all threads have read theirs, so that nothing unread is ever written over.
 */
#include <cfloat>

#include "kernels/train.cuh"
#include "kernels/train_attention.cuh"

namespace {

using namespace train;

constexpr unsigned SHORT_THREADS = 256, LONG_THREADS = 1024;
constexpr unsigned SHORT_KEYS = 4096; /* several short rows, or two long ones, fit a processor's cache at a time */
constexpr int N = 4;                  /* float32 values in 16 bytes */

/* The largest value so far, and the sum of exp(value - largest). No value yet: not -Inf, whose difference to itself is NaN. */
struct softmax_sum {
    float largest, sum;
};

__device__ inline softmax_sum together(softmax_sum a, softmax_sum b)
{
    float largest = fmaxf(a.largest, b.largest);
    return {largest, a.sum * __expf(a.largest - largest) + b.sum * __expf(b.largest - largest)};
}

/* Every thread gets the whole block's; the order is fixed. */
__device__ inline softmax_sum block_together(softmax_sum mine, softmax_sum *shared)
{
    unsigned warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
    for (int step = 16; step > 0; step /= 2)
        mine = together(mine, {__shfl_xor_sync(EVERY_LANE, mine.largest, step), __shfl_xor_sync(EVERY_LANE, mine.sum, step)});
    if (lane == 0) shared[threadIdx.x / WARP] = mine;
    __syncthreads();
    mine = lane < warps ? shared[lane] : softmax_sum{-FLT_MAX, 0};
    for (int step = 16; step > 0; step /= 2)
        mine = together(mine, {__shfl_xor_sync(EVERY_LANE, mine.largest, step), __shfl_xor_sync(EVERY_LANE, mine.sum, step)});
    return mine;
}

__device__ inline unsigned seen_by(const vs_attention_rows &r, unsigned row)
{
    return r.causal ? r.first + row + 1 : r.keys;
}

/* Products of weights that are near 0 where the rounding of __expf's argument is large: its error stays below 1e-7. */
template <class E> __global__ void __launch_bounds__(LONG_THREADS) softmax_rows(vs_attention_rows r)
{
    __shared__ softmax_sum shared[WARP];
    unsigned row = blockIdx.x % r.rows, seen = seen_by(r, row);
    float *scores = r.scores + blockIdx.x * r.ld;
    softmax_sum mine = {-FLT_MAX, 0};
    for (unsigned i = threadIdx.x * N; i < seen; i += blockDim.x * N) {
        float v[N];
        get(scores + i, v);
        float largest = mine.largest;
#pragma unroll
        for (int j = 0; j < N; j++) largest = fmaxf(largest, i + j < seen ? v[j] : -FLT_MAX);
        mine.sum *= __expf(mine.largest - largest);
        mine.largest = largest;
#pragma unroll
        for (int j = 0; j < N; j++) mine.sum += i + j < seen ? __expf(v[j] - largest) : 0;
    }
    mine = block_together(mine, shared);
    float logsum = mine.largest + logf(mine.sum);
    if (threadIdx.x == 0) r.stats[blockIdx.x / r.rows * r.T + r.first + row] = logsum;
    for (unsigned from = 0; from < r.keys; from += blockDim.x * N) {
        unsigned i = from + threadIdx.x * N;
        float v[N];
        if (i < r.keys) get(scores + i, v);
#pragma unroll
        for (int j = 0; j < N; j++) v[j] = i + j < seen ? __expf(v[j] - logsum) : 0;
        if constexpr (sizeof(E) < sizeof(float)) __syncthreads();
        if (i < r.keys) put(reinterpret_cast<E *>(scores) + i, v);
    }
}

template <class E>
__global__ void __launch_bounds__(LONG_THREADS) softmax_rows_backward(vs_attention_rows r, float *all_dP, const float *dots)
{
    unsigned row = blockIdx.x % r.rows, seen = seen_by(r, row);
    size_t at = blockIdx.x / r.rows * r.T + r.first + row;
    float *scores = r.scores + blockIdx.x * r.ld, *dP = all_dP + blockIdx.x * r.ld;
    float logsum = r.stats[at], dot = dots[at];
    for (unsigned from = 0; from < r.keys; from += blockDim.x * N) {
        unsigned i = from + threadIdx.x * N;
        float v[N], d[N];
        if (i < r.keys) get(scores + i, v), get(dP + i, d);
#pragma unroll
        for (int j = 0; j < N; j++) {
            v[j] = i + j < seen ? __expf(v[j] - logsum) : 0;
            d[j] = i + j < seen ? v[j] * (d[j] - dot) : 0;
        }
        if constexpr (sizeof(E) < sizeof(float)) __syncthreads();
        if (i < r.keys) put(reinterpret_cast<E *>(scores) + i, v), put(reinterpret_cast<E *>(dP) + i, d);
    }
}

/* A warp takes one head of one token. */
template <class E> __global__ void dots_of_heads(const E *o, const E *d_o, size_t T, unsigned heads, unsigned width, float *dots)
{
    size_t item = (static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x) / WARP;
    if (item >= T * heads) return;
    float sum = 0;
    for (unsigned i = threadIdx.x % WARP; i < width; i += WARP) {
        float a[1], b[1];
        get(o + item * width + i, a), get(d_o + item * width + i, b);
        sum = fmaf(a[0], b[0], sum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) dots[item % heads * T + item / heads] = sum;
}

template <class E> __global__ void add_slots(vs_attention_sum s, size_t count)
{
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    size_t column = i % s.width, row = i / s.width % s.rows, head = i / s.width / s.rows;
    const float *from = s.from + head * s.head + row * s.width + column;
    float sum[1] = {from[0]};
    for (size_t slot = 1; slot < s.slots; slot++) sum[0] += from[slot * s.slot];
    put(static_cast<E *>(s.out) + head * s.out_head + row * s.out_row + column, sum);
}

unsigned threads_of(const vs_attention_rows *r)
{
    return r->keys > SHORT_KEYS ? LONG_THREADS : threads_for(ceil_div(r->keys, N), SHORT_THREADS);
}

} // namespace

int vs_attention_softmax(const vs_train_on *on, const vs_attention_rows *r)
{
    return with_element(on, [&](auto e) {
        return launch(on, "attention: softmax", softmax_rows<decltype(e)>, static_cast<size_t>(r->heads) * r->rows,
                      threads_of(r), 0, *r);
    });
}

int vs_attention_softmax_backward(const vs_train_on *on, const vs_attention_rows *r, float *dP, const float *dots)
{
    return with_element(on, [&](auto e) {
        return launch(on, "attention: softmax, backward", softmax_rows_backward<decltype(e)>,
                      static_cast<size_t>(r->heads) * r->rows, threads_of(r), 0, *r, dP, dots);
    });
}

int vs_attention_dots(const vs_train_on *on, const void *o, const void *d_o, size_t T, size_t heads, size_t width, float *dots)
{
    return with_element(on, [&](auto e) {
        using E = decltype(e);
        return launch(on, "attention: products of rows", dots_of_heads<E>, ceil_div(T * heads, SHORT_THREADS / WARP),
                      SHORT_THREADS, 0, static_cast<const E *>(o), static_cast<const E *>(d_o), T,
                      static_cast<unsigned>(heads), static_cast<unsigned>(width), dots);
    });
}

int vs_attention_add_slots(const vs_train_on *on, const vs_attention_sum *s)
{
    size_t count = s->heads * s->rows * s->width;
    return with_element(on, [&](auto e) {
        return launch(on, "attention: sum of slices", add_slots<decltype(e)>, ceil_div(count, SHORT_THREADS), SHORT_THREADS, 0, *s,
                      count);
    });
}
