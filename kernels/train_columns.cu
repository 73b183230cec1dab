/* SPDX-License-Identifier: MIT
 *
 * train_columns.cu: gradients of train.h that are sums over all rows of a sample, on the GPU: of biases, of LayerNorm's and
 * RMSNorm's gamma and beta. Bound by the memory's bandwidth; no atomics, so that every run gives the same bits.
 *
 * 1. A block sums a chunk of rows of some columns, and leaves one float32 value per column.
 * 2. The chunks' values are added per column, in float64.
 */
#include "kernels/train.cuh"

namespace {

using namespace train;

constexpr unsigned THREADS = 256, ROWS = THREADS / WARP; /* a warp side by side on a row, the warps on rows one below the other */
constexpr int UNROLL = 4;                                /* rows under way in each thread */
constexpr size_t BLOCKS = 1024;                          /* of the first step, where there are rows enough */
constexpr size_t CHUNK_LEAST = ROWS * UNROLL;            /* rows: below, step 2 would be a good part of the traffic */
constexpr size_t COLUMNS = WARP * 8;                     /* of a block where a group has 8 elements: others have more blocks */

struct job {
    const void *sum, *dout;
    const float *mean_rstd; /* aligned to one of them, no more */
    float *partial[2]; /* of dout * xhat and of dout: B x chunks x width */
    float *out[2];
    size_t B, T, width, stride, chunk, chunks; /* chunk: rows */
};

size_t chunk_rows(size_t B, size_t T, size_t width)
{
    size_t others = B * ceil_div(width, COLUMNS), chunks = others < BLOCKS ? BLOCKS / others : 1;
    size_t rows = ceil_div(T, chunks);
    return rows > CHUNK_LEAST ? rows : CHUNK_LEAST;
}

size_t partial_bytes(size_t B, size_t T, size_t width)
{
    return vs_align256(B * ceil_div(T, chunk_rows(B, T, width)) * width * sizeof(float));
}

/* The block's warps added in order, for its WARP * N columns from `out` on, `width` of which exist. */
template <int N> __device__ inline void add_warps(const float (&sum)[N], float *shared, float *out, size_t width)
{
    put(shared + threadIdx.x * N, sum);
    __syncthreads();
    if (threadIdx.x < WARP * N && threadIdx.x < width) {
        float all = 0;
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) all += shared[i * WARP * N + threadIdx.x];
        out[threadIdx.x] = all;
    }
    __syncthreads();
}

template <class E, int N, bool SCALED, bool PLAIN> __global__ void __launch_bounds__(THREADS) column_sums(job j)
{
    __shared__ __align__(16) float shared[THREADS * N];
    unsigned column_blocks = static_cast<unsigned>((j.width + WARP * N - 1) / (WARP * N)), block = blockIdx.x / column_blocks;
    size_t first = static_cast<size_t>(blockIdx.x % column_blocks) * (WARP * N), column = first + threadIdx.x % WARP * N;
    size_t b = block / j.chunks, begin = block % j.chunks * j.chunk, end = begin + j.chunk < j.T ? begin + j.chunk : j.T;
    const E *dout = static_cast<const E *>(j.dout) + column, *sum = static_cast<const E *>(j.sum) + column;
    float scaled[N] = {}, plain[N] = {};
    if (column >= j.width) end = 0;
    for (size_t t = begin + threadIdx.x / WARP; t < end; t += UNROLL * ROWS) {
        group<E, N> g[UNROLL], x[UNROLL];
        float2 s[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            size_t row = b * j.T + t + u * ROWS;
            if (t + u * ROWS >= end) continue;
            g[u] = load<N>(dout + row * j.width);
            if constexpr (SCALED) x[u] = load<N>(sum + row * j.width), s[u] = {j.mean_rstd[2 * row], j.mean_rstd[2 * row + 1]};
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            if (t + u * ROWS >= end) continue;
            float d[N], v[N];
            widen(g[u], d);
            if constexpr (SCALED) widen(x[u], v);
#pragma unroll
            for (int k = 0; k < N; k++) {
                if constexpr (SCALED) scaled[k] = fmaf(d[k], (v[k] - s[u].x) * s[u].y, scaled[k]);
                if constexpr (PLAIN) plain[k] += d[k];
            }
        }
    }
    size_t at = block * j.width + first;
    if constexpr (SCALED) add_warps(scaled, shared, j.partial[0] + at, j.width - first);
    if constexpr (PLAIN) add_warps(plain, shared, j.partial[1] + at, j.width - first);
}

/* A block: WARP columns of one sample and one output; its warps share out the chunks. */
__global__ void __launch_bounds__(THREADS) add_chunks(job j, unsigned first_output)
{
    __shared__ double shared[THREADS];
    unsigned blocks = static_cast<unsigned>((j.width + WARP - 1) / WARP), sample = blockIdx.x / blocks;
    unsigned output = first_output + static_cast<unsigned>(sample / j.B);
    size_t b = sample % j.B, column = static_cast<size_t>(blockIdx.x % blocks) * WARP + threadIdx.x % WARP;
    const float *partial = (output ? j.partial[1] : j.partial[0]) + b * j.chunks * j.width + column;
    double sum = 0;
    if (column < j.width)
#pragma unroll 8
        for (size_t i = threadIdx.x / WARP; i < j.chunks; i += ROWS) sum += partial[i * j.width];
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= WARP || column >= j.width) return;
    for (unsigned i = 1; i < ROWS; i++) sum += shared[i * WARP + threadIdx.x];
    (output ? j.out[1] : j.out[0])[b * j.stride + column] = static_cast<float>(sum);
}

/* Places the arrays of the workspace and queues both steps. */
int run(const vs_train_on *on, job j, void *workspace)
{
    bool scaled = j.out[0], plain = j.out[1];
    if (j.B > 1 && j.stride < j.width) return vs_cuda_refuse(-EINVAL, "training: samples that overlap");
    j.chunk = chunk_rows(j.B, j.T, j.width);
    j.chunks = ceil_div(j.T, j.chunk);
    j.partial[0] = static_cast<float *>(workspace);
    j.partial[1] = reinterpret_cast<float *>(static_cast<char *>(workspace) + partial_bytes(j.B, j.T, j.width));
    int err = with_groups(on, whole(on, {j.width}) && aligned({j.sum, j.dout}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        auto kernel = !scaled ? column_sums<E, N, false, true> : plain ? column_sums<E, N, true, true> : column_sums<E, N, true, false>;
        return launch(on, "training: sums of columns", kernel, j.B * j.chunks * ceil_div(j.width, WARP * N), THREADS, 0, j);
    });
    size_t blocks = (scaled + plain) * j.B * ceil_div(j.width, WARP);
    return err ? err : launch(on, "training: sums of chunks", add_chunks, blocks, THREADS, 0, j, scaled ? 0u : 1u);
}

} // namespace

size_t vs_train_cuda_column_bytes(const vs_train_on *, size_t B, size_t T, size_t width)
{
    return B && T && width ? 2 * partial_bytes(B, T, width) : 0;
}

int vs_train_cuda_norm_gradient(const vs_train_on *on, const vs_train_norm_gradient *p)
{
    int err = check(on, {p->B, p->T, p->width}, {p->sum, p->dout, p->mean_rstd, p->dgamma, p->workspace});
    if (err) return err;
    const float *rows = static_cast<const float *>(p->mean_rstd);
    float *dgamma = static_cast<float *>(p->dgamma), *dbeta = static_cast<float *>(p->dbeta);
    return run(on, {p->sum, p->dout, rows, {}, {dgamma, dbeta}, p->B, p->T, p->width, p->stride, 0, 0}, p->workspace);
}

int vs_train_cuda_bias_gradient(const vs_train_on *on, const void *G, size_t B, size_t T, size_t width, size_t stride, void *out,
                                void *workspace)
{
    int err = check(on, {B, T, width}, {G, out, workspace});
    if (err) return err;
    return run(on, {nullptr, G, nullptr, {}, {nullptr, static_cast<float *>(out)}, B, T, width, stride, 0, 0}, workspace);
}
