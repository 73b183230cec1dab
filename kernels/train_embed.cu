/* SPDX-License-Identifier: MIT
 *
 * train_embed.cu: the tables of train.h that tokens and positions are looked up in, on the GPU, and their gradients. Rows of one
 * id are added in the order of their positions, by one block: the same bits on every run.
 */
#include "kernels/train.cuh"

namespace {

using namespace train;

constexpr int UNROLL = 8; /* rows under way in each thread */

template <class E, int N> struct lookup {
    const int64_t *ids;
    const E *table, *positions;
    E *out;
    unsigned T;
    size_t width;
    struct held {
        group<E, N> row, position;
    };

    __device__ held read(unsigned row, size_t column) const
    {
        held h;
        h.row = load<N>(table + static_cast<size_t>(ids[row]) * width + column);
        if (positions) h.position = load<N>(positions + static_cast<size_t>(row % T) * width + column);
        return h;
    }
    __device__ void write(unsigned row, size_t column, held h) const
    {
        if (positions) {
            float v[N], more[N];
            widen(h.row, v), widen(h.position, more);
#pragma unroll
            for (int k = 0; k < N; k++) v[k] += more[k];
            narrow(v, &h.row);
        }
        store(out + row * width + column, h.row);
    }
};

struct scatter {
    const int64_t *ids;
    const int32_t *order, *first;
    const void *G;
    const float *c;
    float *gradient;
    size_t T, width;
    unsigned segments;
};

/* sum += c * g; a sample whose c is 0 adds nothing, whatever it holds. */
template <class E, int N> __device__ inline void add(const group<E, N> &g, float c, float (&sum)[N])
{
    float v[N];
    if (c == 0) return;
    widen(g, v);
#pragma unroll
    for (int k = 0; k < N; k++) sum[k] = fmaf(c, v[k], sum[k]);
}

/* A block takes a run of one id, and a segment of the columns. */
template <class E, int N> __global__ void __launch_bounds__(EACH_THREADS) scatter_rows(scatter p)
{
    unsigned run = blockIdx.x / p.segments;
    size_t column = (static_cast<size_t>(blockIdx.x % p.segments) * blockDim.x + threadIdx.x) * N;
    int begin = p.first[run], end = p.first[run + 1];
    if (column >= p.width || begin >= end) return;
    float sum[N] = {};
    for (int i = begin; i < end; i += UNROLL) {
        group<E, N> g[UNROLL];
        float c[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            if (i + u >= end) continue;
            size_t row = static_cast<size_t>(p.order[i + u]);
            g[u] = load<N>(static_cast<const E *>(p.G) + row * p.width + column);
            c[u] = p.c ? p.c[static_cast<unsigned>(row) / static_cast<unsigned>(p.T)] : 1;
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            if (i + u < end) add(g[u], c[u], sum);
    }
    float *to = p.gradient + static_cast<size_t>(p.ids[p.order[begin]]) * p.width + column, before[N];
    get<N>(to, before);
#pragma unroll
    for (int k = 0; k < N; k++) sum[k] += before[k];
    put(to, sum);
}

/* A block takes a position, and a segment of the columns. */
template <class E, int N> __global__ void __launch_bounds__(EACH_THREADS) sum_positions(scatter p, size_t B)
{
    size_t t = blockIdx.x / p.segments, column = (static_cast<size_t>(blockIdx.x % p.segments) * blockDim.x + threadIdx.x) * N;
    if (column >= p.width) return;
    float sum[N] = {};
#pragma unroll 4
    for (size_t b = 0; b < B; b++)
        add(load<N>(static_cast<const E *>(p.G) + (b * p.T + t) * p.width + column), p.c ? p.c[b] : 1, sum);
    put(p.gradient + t * p.width + column, sum);
}

/* Blocks of a row. */
template <int N> unsigned segment(scatter *p)
{
    size_t groups = ceil_div(p->width, N);
    unsigned threads = threads_for(groups, EACH_THREADS);
    p->segments = static_cast<unsigned>(ceil_div(groups, threads));
    return threads;
}

} // namespace

int vs_train_cuda_embed(const vs_train_on *on, const int64_t *ids, const void *table, const void *positions, size_t rows, size_t T,
                        size_t width, void *out)
{
    int err = check(on, {rows, T, width}, {ids, table, out});
    if (err) return err;
    if (T > INT_MAX) return vs_cuda_refuse(-EOVERFLOW, "training: too many tokens");
    return with_groups(on, whole(on, {width}) && aligned({table, positions, out}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        lookup<E, N> f = {ids, static_cast<const E *>(table), static_cast<const E *>(positions), static_cast<E *>(out),
                          static_cast<unsigned>(T), width};
        return each<N>(on, "training: embedding", f, rows, width);
    });
}

int vs_train_cuda_embed_gradient(const vs_train_on *on, const vs_train_ids *ids, const void *G, const float *c, size_t T,
                                 size_t width, void *gradient)
{
    if (!ids) return vs_cuda_refuse(-EINVAL, "training: no ids");
    int err = check(on, {ids->distinct, T, width}, {ids->ids, ids->order, ids->first, G, gradient});
    if (err) return err;
    if (T > INT_MAX || width > INT_MAX) return vs_cuda_refuse(-EOVERFLOW, "training: too many tokens, or too wide");
    return with_groups(on, whole(on, {width}) && aligned({G, gradient}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        scatter p = {ids->ids, ids->order, ids->first, G, c, static_cast<float *>(gradient), T, width, 0};
        unsigned threads = segment<N>(&p);
        return launch(on, "training: gradient of the embedding", scatter_rows<E, N>, ids->distinct * p.segments, threads, 0, p);
    });
}

int vs_train_cuda_position_gradient(const vs_train_on *on, const void *G, const float *c, size_t B, size_t T, size_t width,
                                    void *gradient)
{
    int err = check(on, {B, T, width}, {G, gradient});
    if (err) return err;
    if (T > INT_MAX || width > INT_MAX) return vs_cuda_refuse(-EOVERFLOW, "training: too many tokens, or too wide");
    return with_groups(on, whole(on, {width}) && aligned({G, gradient}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        scatter p = {nullptr, nullptr, nullptr, G, c, static_cast<float *>(gradient), T, width, 0};
        unsigned threads = segment<N>(&p);
        return launch(on, "training: gradient of the positions", sum_positions<E, N>, T * p.segments, threads, 0, p, B);
    });
}
