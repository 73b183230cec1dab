/* SPDX-License-Identifier: MIT
 *
 * layer_norm_columns.cu: norms of gradients that are sums over all rows of a sample, on the GPU: biases, LayerNorm, RMSNorm.
 * Bound by the memory's bandwidth: G is read once, A twice (its rows' statistics first, and then from the cache in part).
 *
 * 1. layer_norm, rms_norm: a warp per row finds how the row is normalized.
 * 2. A block sums CHUNK rows of some columns, and leaves one float64 value per column.
 * 3. The chunks' values are added per column and squared; vs_cuda_sum_partials adds the columns.
 */
#include "kernels/layer_norm.cuh"

namespace {

constexpr unsigned THREADS = VS_SUM_THREADS;
constexpr unsigned CHUNK = 128;      /* rows: their sums are 6 % of a bfloat16 input's traffic, written and read */
constexpr unsigned LANES_MAX = 32;   /* threads side by side on a row; the others take other rows */
constexpr int UNROLL = 4;            /* rows under way in each thread */
constexpr unsigned SQUARE_COLUMNS = 32; /* of a block of step 3; its warps share out the chunks */

struct statistics {
    double mean, scale; /* xhat = (x - mean) * scale */
};

struct job {
    const void *A, *G;
    const statistics *rows;
    double *scaled, *plain; /* sums of G * xhat and of G, B x chunks x p */
    size_t T, p;
    unsigned chunks, column_blocks, lanes;
};

struct arrays {
    size_t rows, scaled, plain, squares, bytes; /* offsets */
};

size_t chunks_of(const vs_layer_norms_call *c)
{
    return vs_ceil_div(c->T, CHUNK);
}

arrays place(const vs_layer_norms_call *c)
{
    bool bias = c->kind == VS_LAYER_NORMS_bias;
    size_t sums = vs_align256(c->B * chunks_of(c) * c->p * sizeof(double));
    arrays x;
    x.rows = 0;
    x.scaled = x.rows + (bias ? 0 : vs_align256(c->B * c->T * sizeof(statistics)));
    x.plain = x.scaled + (bias ? 0 : sums);
    x.squares = x.plain + (c->kind == VS_LAYER_NORMS_rms_norm ? 0 : sums);
    x.bytes = x.squares + vs_align256(c->B * vs_ceil_div(c->p, SQUARE_COLUMNS) * sizeof(double));
    return x;
}

/* Differences from the row's first value keep a large mean from swallowing the variance. */
template <class A, bool CENTRED>
__global__ void __launch_bounds__(THREADS) row_statistics(const void *X, size_t rows, size_t p, double eps, statistics *out)
{
    size_t row = (blockIdx.x * static_cast<size_t>(THREADS) + threadIdx.x) / 32;
    if (row >= rows) return;
    double first = CENTRED ? vs_widen(static_cast<const typename A::element *>(X)[row * p]) : 0, sum = 0, squares = 0;
#pragma unroll 4
    for (size_t i = threadIdx.x % 32 * A::width; i < p; i += 32 * A::width) {
        vs_group<A> x = vs_load<A>(X, row * p + i);
#pragma unroll
        for (int v = 0; v < A::width; v++) {
            double off = vs_widen(x.v[v]) - first;
            if (CENTRED) sum += off;
            squares = fma(off, off, squares);
        }
    }
    sum = vs_warp_sum(sum) / static_cast<double>(p);
    squares = vs_warp_sum(squares) / static_cast<double>(p);
    double variance = squares - sum * sum;
    if (variance < 0) variance = 0;
    if (threadIdx.x % 32 == 0) out[row] = {first + sum, 1 / sqrt(variance + eps)};
}

/* The block's rows of threads, added in order; columns: lanes * WIDTH. */
template <int WIDTH>
__device__ void add_threads(const double (&sum)[WIDTH], unsigned columns, size_t width, double *out, double *shared)
{
#pragma unroll
    for (int v = 0; v < WIDTH; v++) shared[threadIdx.x * WIDTH + v] = sum[v];
    __syncthreads();
    if (threadIdx.x < columns && threadIdx.x < width) {
        double all = 0;
        for (unsigned i = threadIdx.x; i < THREADS * WIDTH; i += columns) all += shared[i];
        out[threadIdx.x] = all;
    }
    __syncthreads();
}

template <class A, vs_layer_norms_kind KIND> __global__ void __launch_bounds__(THREADS) column_sums(job j)
{
    constexpr int WIDTH = A::width;
    constexpr bool SCALED = KIND != VS_LAYER_NORMS_bias, PLAIN = KIND != VS_LAYER_NORMS_rms_norm;
    __shared__ double shared[THREADS * WIDTH];
    unsigned columns = j.lanes * WIDTH, rows = THREADS / j.lanes;
    size_t block = blockIdx.x / j.column_blocks, first = blockIdx.x % j.column_blocks * static_cast<size_t>(columns);
    size_t chunk = block % j.chunks, b = block / j.chunks, column = first + threadIdx.x % j.lanes * WIDTH;
    size_t end = (chunk + 1) * CHUNK < j.T ? (chunk + 1) * CHUNK : j.T;
    double scaled[WIDTH] = {}, plain[WIDTH] = {};
    if (column >= j.p) end = 0;
    for (size_t t = chunk * CHUNK + threadIdx.x / j.lanes; t < end; t += UNROLL * rows) {
        vs_group<A> g[UNROLL], x[UNROLL];
        statistics s[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            size_t row = b * j.T + t + u * rows;
            if (t + u * rows >= end) continue;
            g[u] = vs_load<A>(j.G, row * j.p + column);
            if constexpr (SCALED) x[u] = vs_load<A>(j.A, row * j.p + column), s[u] = j.rows[row];
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            if (t + u * rows >= end) continue;
#pragma unroll
            for (int v = 0; v < WIDTH; v++) {
                double value = vs_widen(g[u].v[v]);
                if constexpr (SCALED) scaled[v] = fma(value, (vs_widen(x[u].v[v]) - s[u].mean) * s[u].scale, scaled[v]);
                if constexpr (PLAIN) plain[v] += value;
            }
        }
    }
    if constexpr (SCALED) add_threads(scaled, columns, j.p - first, j.scaled + block * j.p + first, shared);
    if constexpr (PLAIN) add_threads(plain, columns, j.p - first, j.plain + block * j.p + first, shared);
}

/* A block: SQUARE_COLUMNS columns of one sample. */
__global__ void __launch_bounds__(THREADS) squares_of_sums(const double *sums, size_t p, unsigned chunks, double *squares)
{
    __shared__ double shared[THREADS];
    size_t blocks = (p + SQUARE_COLUMNS - 1) / SQUARE_COLUMNS, b = blockIdx.x / blocks;
    size_t column = blockIdx.x % blocks * SQUARE_COLUMNS + threadIdx.x % SQUARE_COLUMNS;
    double sum = 0;
    if (column < p)
#pragma unroll 4
        for (unsigned i = threadIdx.x / SQUARE_COLUMNS; i < chunks; i += THREADS / SQUARE_COLUMNS)
            sum += sums[(b * chunks + i) * p + column];
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= SQUARE_COLUMNS) return;
    for (unsigned i = threadIdx.x + SQUARE_COLUMNS; i < THREADS; i += SQUARE_COLUMNS) sum += shared[i];
    sum = vs_warp_sum(sum * sum);
    if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

template <class A, vs_layer_norms_kind KIND> int sums(const vs_layer_norms_call *c, job j, statistics *rows)
{
    cudaStream_t stream = vs_stream_of(c);
    j.lanes = vs_lanes(vs_ceil_div(c->p, A::width), 1, LANES_MAX);
    j.column_blocks = static_cast<unsigned>(vs_ceil_div(c->p, j.lanes * A::width));
    size_t blocks = c->B * j.chunks * j.column_blocks, row_blocks = vs_ceil_div(c->B * c->T, THREADS / 32);
    int err = vs_check_grid(blocks > row_blocks ? blocks : row_blocks);
    if (err) return err;
    if constexpr (KIND != VS_LAYER_NORMS_bias) {
        err = vs_cuda_launch("layer norms: statistics of the rows", row_statistics<A, KIND == VS_LAYER_NORMS_layer_norm>,
                             static_cast<unsigned>(row_blocks), THREADS, 0, stream,
                              c->A, c->B * c->T, c->p, c->eps, rows);
    }
    if (err) return err;
    return vs_cuda_launch("layer norms: sums of columns", column_sums<A, KIND>, static_cast<unsigned>(blocks), THREADS, 0,
                          stream,
                          j);
}

int squares(const vs_layer_norms_call *c, const double *of, double *partial, double *n)
{
    size_t count = vs_ceil_div(c->p, SQUARE_COLUMNS);
    int err = vs_check_grid(c->B * count);
    if (err) return err;
    err = vs_cuda_launch("layer norms: squares of columns", squares_of_sums, static_cast<unsigned>(c->B * count), THREADS,
                         0, vs_stream_of(c),
                          of, c->p, static_cast<unsigned>(chunks_of(c)), partial);
    return err ? err : vs_cuda_sum_partials(partial, c->B, count, n, vs_stream_of(c));
}

} // namespace

size_t vs_layer_columns_bytes(const vs_layer_norms_call *c)
{
    return place(c).bytes;
}

int vs_layer_columns(const vs_layer_norms_call *c, char *workspace)
{
    arrays x = place(c);
    statistics *rows = reinterpret_cast<statistics *>(workspace + x.rows);
    double *scaled = reinterpret_cast<double *>(workspace + x.scaled), *plain = reinterpret_cast<double *>(workspace + x.plain);
    double *partial = reinterpret_cast<double *>(workspace + x.squares);
    bool bias = c->kind == VS_LAYER_NORMS_bias, centred = c->kind == VS_LAYER_NORMS_layer_norm;
    bool groups = vs_whole_groups(c->G, c->dtype, c->p) && (bias || vs_whole_groups(c->A, c->dtype, c->p));
    job j = {c->A, c->G, rows, scaled, plain, c->T, c->p, static_cast<unsigned>(chunks_of(c)), 0, 0};
    int err = vs_with_access(c->dtype, groups, [&](auto access) {
        using A = decltype(access);
        if (bias) return sums<A, VS_LAYER_NORMS_bias>(c, j, rows);
        return centred ? sums<A, VS_LAYER_NORMS_layer_norm>(c, j, rows) : sums<A, VS_LAYER_NORMS_rms_norm>(c, j, rows);
    });
    if (!err) err = squares(c, bias ? plain : scaled, partial, c->n);
    if (!err && centred && c->n_beta) err = squares(c, plain, partial, c->n_beta);
    return err;
}
