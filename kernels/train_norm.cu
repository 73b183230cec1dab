/* SPDX-License-Identifier: MIT
 *
 * train_norm.cu: LayerNorm and RMSNorm of train.h on the GPU, forward with the additions before them, and backward. Bound by
 * the memory's bandwidth: a block takes one row and holds it in registers, so that every element is read once. Sums over
 * rows are in train_columns.cu.
 */
#include "kernels/train.cuh"

namespace {

using namespace train;

constexpr unsigned THREADS_MAX = 512;
constexpr int HELD_LEAST = 16; /* elements of a row in each thread, of narrow groups */

/* Where this thread's groups of a row lie. */
template <int N> __device__ inline unsigned column_of(int slot)
{
    return (slot * blockDim.x + threadIdx.x) * N;
}

template <int S, class E, int N> __device__ inline void read_row(const E *from, size_t width, group<E, N> (&held)[S])
{
#pragma unroll
    for (int s = 0; s < S; s++)
        if (column_of<N>(s) < width) held[s] = load<N>(from + column_of<N>(s));
}

/* held = held + y + bias, rounded to E, and to memory. */
template <int S, class E, int N>
__device__ inline void add_row(const vs_train_norm_forward &p, size_t row, group<E, N> (&held)[S])
{
    group<E, N> other[S];
    const float *bias = static_cast<const float *>(p.bias);
    if (p.y) read_row(static_cast<const E *>(p.y) + row, p.width, other);
#pragma unroll
    for (int s = 0; s < S; s++) {
        unsigned i = column_of<N>(s);
        if (i >= p.width) continue;
        float v[N], more[N];
        widen(held[s], v);
        if (p.y) {
            widen(other[s], more);
#pragma unroll
            for (int k = 0; k < N; k++) v[k] += more[k];
        }
        if (bias) {
            get<N>(bias + i, more);
#pragma unroll
            for (int k = 0; k < N; k++) v[k] += more[k];
        }
        narrow(v, &held[s]);
        store(static_cast<E *>(p.sum) + row + i, held[s]);
    }
}

/* Sum over the row of (v - centre)^POWER. */
template <int POWER, int S, class E, int N>
__device__ inline float row_sum(const group<E, N> (&held)[S], size_t width, float centre, float *shared)
{
    float sum = 0;
#pragma unroll
    for (int s = 0; s < S; s++) {
        if (column_of<N>(s) >= width) continue;
        float v[N];
        widen(held[s], v);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float off = v[k] - centre;
            sum = POWER == 2 ? fmaf(off, off, sum) : sum + off;
        }
    }
    return block_sum(sum, shared);
}

/* Mean and reciprocal deviation of the block's row; aligned to one of them, no more. */
__device__ inline float *stats_of(void *mean_rstd)
{
    return static_cast<float *>(mean_rstd) + 2 * static_cast<size_t>(blockIdx.x);
}

template <class E, int N, int S, bool LAYER> __global__ void __launch_bounds__(THREADS_MAX) forward(vs_train_norm_forward p)
{
    __shared__ float shared[2][WARP];
    size_t row = blockIdx.x * p.width;
    group<E, N> held[S];
    read_row(static_cast<const E *>(p.x) + row, p.width, held);
    if (p.sum && (p.y || p.bias || p.sum != p.x)) add_row(p, row, held);
    if (!p.gamma) return;
    float per_element = 1 / static_cast<float>(p.width);
    float mean = LAYER ? row_sum<1>(held, p.width, 0, shared[0]) * per_element : 0;
    float variance = row_sum<2>(held, p.width, mean, shared[1]) * per_element;
    float rstd = 1 / sqrtf(variance + static_cast<float>(p.eps));
    if (threadIdx.x == 0) stats_of(p.mean_rstd)[0] = mean, stats_of(p.mean_rstd)[1] = rstd;
    const float *gamma = static_cast<const float *>(p.gamma), *beta = static_cast<const float *>(p.beta);
#pragma unroll
    for (int s = 0; s < S; s++) {
        unsigned i = column_of<N>(s);
        if (i >= p.width) continue;
        float v[N], scale[N], shift[N] = {};
        widen(held[s], v);
        get<N>(gamma + i, scale);
        if (beta) get<N>(beta + i, shift);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] = fmaf((v[k] - mean) * rstd, scale[k], shift[k]);
        put(static_cast<E *>(p.out) + row + i, v);
    }
}

/* With h = dout * gamma: dx = residual + rstd * (h - mean(h) - xhat * mean(h * xhat)), RMSNorm without mean(h). */
template <class E, int N, int S, bool LAYER> __global__ void __launch_bounds__(THREADS_MAX) backward(vs_train_norm_backward p)
{
    __shared__ float shared[2][WARP];
    size_t row = blockIdx.x * p.width;
    group<E, N> held[S], dout[S], residual[S];
    const float *gamma = static_cast<const float *>(p.gamma);
    read_row(static_cast<const E *>(p.sum) + row, p.width, held);
    read_row(static_cast<const E *>(p.dout) + row, p.width, dout);
    if (p.residual) read_row(static_cast<const E *>(p.residual) + row, p.width, residual);
    const float *stats = stats_of(const_cast<void *>(p.mean_rstd));
    float mean = LAYER ? stats[0] : 0, rstd = stats[1], sums[2] = {};
#pragma unroll
    for (int s = 0; s < S; s++) {
        if (column_of<N>(s) >= p.width) continue;
        float x[N], d[N], scale[N];
        widen(held[s], x), widen(dout[s], d), get<N>(gamma + column_of<N>(s), scale);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float h = d[k] * scale[k];
            sums[0] += h;
            sums[1] = fmaf(h, (x[k] - mean) * rstd, sums[1]);
        }
    }
    block_sums(sums, shared);
    float plain = LAYER ? sums[0] / static_cast<float>(p.width) : 0, along = sums[1] / static_cast<float>(p.width);
#pragma unroll
    for (int s = 0; s < S; s++) {
        unsigned i = column_of<N>(s);
        if (i >= p.width) continue;
        float x[N], d[N], scale[N], before[N] = {};
        widen(held[s], x), widen(dout[s], d), get<N>(gamma + i, scale);
        if (p.residual) widen(residual[s], before);
#pragma unroll
        for (int k = 0; k < N; k++)
            d[k] = fmaf(rstd, d[k] * scale[k] - plain - (x[k] - mean) * rstd * along, before[k]);
        put(static_cast<E *>(p.dx) + row + i, d);
    }
}

/* f(E(), fixed<N>(), fixed<S>(), threads): how rows of this width are held. */
template <class F> int with_rows(const vs_train_on *on, bool groups, size_t width, F f)
{
    return with_groups(on, groups, [&](auto e, auto n) {
        constexpr int N = decltype(n)::value, S = N == 8 ? 4 : HELD_LEAST / N;
        size_t all = ceil_div(width, N);
        if (all <= THREADS_MAX * S) return f(e, n, fixed<S>(), threads_for(ceil_div(all, S), THREADS_MAX));
        if (all <= THREADS_MAX * 2 * S) return f(e, n, fixed<2 * S>(), threads_for(ceil_div(all, 2 * S), THREADS_MAX));
        return vs_cuda_refuse(-EOVERFLOW, "training: a norm's row has more than 16384 elements");
    });
}

} // namespace

int vs_train_cuda_norm_forward(const vs_train_on *on, const vs_train_norm_forward *p)
{
    int err = check(on, {p->rows, p->width}, {p->x});
    if (err) return err;
    bool adds = p->y || p->bias, norms = p->gamma;
    if ((!norms || adds) && !p->sum) return vs_cuda_refuse(-EINVAL, "training: nowhere to put the sum");
    if (norms && (!p->out || !p->mean_rstd)) return vs_cuda_refuse(-EINVAL, "training: a buffer is missing");
    if (p->sum == p->x && !adds && !norms) return 0;
    bool groups = whole(on, {p->width}) && aligned({p->x, p->y, p->bias, p->sum, p->out, p->gamma, p->beta});
    bool layer = p->kind == VS_TRAIN_LAYER_NORM;
    return with_rows(on, groups, p->width, [&](auto e, auto n, auto slots, unsigned threads) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value, S = decltype(slots)::value;
        return launch(on, "training: norm", layer ? forward<E, N, S, true> : forward<E, N, S, false>, p->rows, threads,
                      0, *p);
    });
}

int vs_train_cuda_norm_backward(const vs_train_on *on, const vs_train_norm_backward *p)
{
    int err = check(on, {p->rows, p->width}, {p->sum, p->dout, p->gamma, p->mean_rstd, p->dx});
    if (err) return err;
    if (p->dx == p->dout) return vs_cuda_refuse(-EINVAL, "training: a norm's gradient cannot take the place of dout");
    bool groups = whole(on, {p->width}) && aligned({p->sum, p->dout, p->residual, p->gamma, p->dx});
    bool layer = p->kind == VS_TRAIN_LAYER_NORM;
    return with_rows(on, groups, p->width, [&](auto e, auto n, auto slots, unsigned threads) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value, S = decltype(slots)::value;
        return launch(on, "training: gradient of a norm", layer ? backward<E, N, S, true> : backward<E, N, S, false>, p->rows, threads,
                      0, *p);
    });
}
