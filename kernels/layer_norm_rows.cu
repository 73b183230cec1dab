/* SPDX-License-Identifier: MIT
 *
 * layer_norm_rows.cu: norms of embeddings on the GPU: rows of one id are added, squared and summed. It never forms the table.
 *
 * 1. CUB sorts the places (sample, id, t): the rows of one id lie together, in the order of t.
 * 2. A block walks one chunk of a sample's sorted rows, for some columns. Ids that begin and end in the chunk are squared at
 *    once. Of the others it leaves the sums: the `head` of an id that began before, the `tail` of one that goes on.
 * 3. A block adds up the id that leaves its chunk, from there to the chunk where the id ends, and squares it.
 * A sample of one id alone is as much work as any other: chunks and columns are spread over all blocks.
 */
#include <cub/device/device_merge_sort.cuh>

#include "kernels/layer_norm.cuh"

namespace {

constexpr size_t CHUNK_LEAST = 32, CHUNKS_MOST = 128; /* rows of one; of one sample: what step 3 adds one after the other */
constexpr unsigned LANES_LEAST = 32, LANES_MOST = 128; /* threads of a block of step 2 */
constexpr unsigned THREADS = VS_SUM_THREADS;           /* and columns of step 3 */
constexpr int UNROLL = 8;                              /* rows under way in each thread */

struct place_of { /* of one row */
    long long id;
    int b, t;
};

struct before {
    __device__ bool operator()(const place_of &x, const place_of &y) const
    {
        if (x.b != y.b) return x.b < y.b;
        return x.id != y.id ? x.id < y.id : x.t < y.t;
    }
};

struct job {
    const void *X;
    const place_of *sorted;
    double *edges;   /* head and tail of every chunk, `width` values each */
    double *squares; /* `each` per sample: those of step 2, then those of step 3 */
    size_t T, width, chunk_rows, each;
    unsigned chunks, column_blocks;
    bool padded;
    long long padding_id;
};

struct arrays {
    size_t places, edges, squares, sorting, sorting_bytes, bytes; /* offsets */
};

size_t chunk_rows(size_t T)
{
    size_t rows = vs_ceil_div(T, CHUNKS_MOST);
    return rows < CHUNK_LEAST ? CHUNK_LEAST : rows;
}

size_t column_blocks(size_t width, size_t group)
{
    return vs_ceil_div(width, vs_lanes(vs_ceil_div(width, group), LANES_LEAST, LANES_MOST) * group);
}

/* Single elements need the most blocks. */
int place(const vs_layer_norms_call *c, size_t width, arrays *x)
{
    size_t chunks = vs_ceil_div(c->T, chunk_rows(c->T)), edges = chunks > 1 ? c->B * chunks * 2 * width : 0;
    x->sorting_bytes = 0;
    cudaError_t status = cub::DeviceMergeSort::SortKeys(nullptr, x->sorting_bytes, static_cast<place_of *>(nullptr), c->B * c->T,
                                                        before());
    x->places = 0;
    x->edges = vs_align256(c->B * c->T * sizeof(place_of));
    x->squares = x->edges + vs_align256(edges * sizeof(double));
    x->sorting = x->squares +
                 vs_align256(c->B * chunks * (column_blocks(width, 1) + vs_ceil_div(width, THREADS)) * sizeof(double));
    x->bytes = x->sorting + vs_align256(x->sorting_bytes);
    return vs_cuda_failed(status, "layer norms: memory for sorting ids");
}

__global__ void number_places(const int64_t *ids, size_t rows, size_t T, place_of *out)
{
    size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x;
    if (i < rows) out[i] = {static_cast<long long>(ids[i]), static_cast<int>(i / T), static_cast<int>(i % T)};
}

template <class A> __global__ void __launch_bounds__(LANES_MOST) sum_chunks(job j)
{
    constexpr int WIDTH = A::width;
    __shared__ double of_warp[LANES_MOST / 32];
    size_t block = blockIdx.x / j.column_blocks, chunk = block % j.chunks, b = block / j.chunks;
    size_t column = (blockIdx.x % j.column_blocks * static_cast<size_t>(blockDim.x) + threadIdx.x) * WIDTH;
    size_t i = chunk * j.chunk_rows, end = i + j.chunk_rows < j.T ? i + j.chunk_rows : j.T;
    const place_of *sorted = j.sorted + b * j.T;
    double *edge = j.edges + block * 2 * j.width + column, sum[WIDTH] = {}, squares = 0;
    bool began_before = i > 0 && sorted[i - 1].id == sorted[i].id;
    if (column >= j.width) end = 0;
    for (; i < end; i += UNROLL) {
        vs_group<A> x[UNROLL];
        long long id[UNROLL + 1];
#pragma unroll
        for (int u = 0; u <= UNROLL; u++)
            if (i + u < j.T) id[u] = sorted[i + u].id;
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            if (i + u < end) x[u] = vs_load<A>(j.X, (b * j.T + static_cast<size_t>(sorted[i + u].t)) * j.width + column);
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            if (i + u >= end) continue;
            if (!(j.padded && id[u] == j.padding_id))
#pragma unroll
                for (int v = 0; v < WIDTH; v++) sum[v] += vs_widen(x[u].v[v]);
            bool ends = i + u + 1 == j.T || id[u + 1] != id[u];
            if (!ends && i + u + 1 < end) continue;
            double *to = began_before ? edge : edge + j.width;
#pragma unroll
            for (int v = 0; v < WIDTH; v++) {
                if (ends && !began_before)
                    squares = fma(sum[v], sum[v], squares);
                else
                    to[v] = sum[v];
                sum[v] = 0;
            }
            began_before = false;
        }
    }
    squares = vs_warp_sum(squares);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = squares;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (unsigned w = 1; w < blockDim.x / 32; w++) squares += of_warp[w];
    j.squares[b * j.each + chunk * j.column_blocks + blockIdx.x % j.column_blocks] = squares;
}

/* Where the run of equal ids that holds `from` ends. */
__device__ size_t end_of_run(const place_of *sorted, size_t from, size_t T)
{
    size_t low = from + 1, high = T;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle].id == sorted[from].id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

__global__ void __launch_bounds__(THREADS) join_chunks(job j)
{
    __shared__ double shared[THREADS];
    unsigned parts = static_cast<unsigned>((j.width + THREADS - 1) / THREADS), part = blockIdx.x % parts;
    size_t block = blockIdx.x / parts, chunk = block % j.chunks, b = block / j.chunks;
    size_t first = chunk * j.chunk_rows, end = first + j.chunk_rows;
    size_t column = part * static_cast<size_t>(THREADS) + threadIdx.x;
    const place_of *sorted = j.sorted + b * j.T;
    double *out = j.squares + b * j.each + j.chunks * j.column_blocks + chunk * parts + part;
    /* Which id leaves this chunk, and did it begin here? The same answer in all threads. */
    bool leaves = end < j.T && sorted[end].id == sorted[end - 1].id;
    bool through = first > 0 && leaves && sorted[first - 1].id == sorted[end].id;
    if (!leaves || through) {
        if (threadIdx.x == 0) *out = 0;
        return;
    }
    size_t last = (end_of_run(sorted, end, j.T) - 1) / j.chunk_rows;
    const double *edge = j.edges + block * 2 * j.width + column;
    double sum = 0;
    if (column < j.width) {
        sum = edge[j.width];
#pragma unroll 8
        for (size_t i = 1; i <= last - chunk; i++) sum += edge[i * 2 * j.width];
    }
    sum = vs_block_sum(sum * sum, shared);
    if (threadIdx.x == 0) *out = sum;
}

template <class A> int sum_rows(const vs_layer_norms_call *c, job j, double *n)
{
    unsigned lanes = vs_lanes(vs_ceil_div(j.width, A::width), LANES_LEAST, LANES_MOST);
    size_t parts = j.chunks > 1 ? vs_ceil_div(j.width, THREADS) : 0;
    j.column_blocks = static_cast<unsigned>(column_blocks(j.width, A::width));
    j.each = j.chunks * (j.column_blocks + parts);
    int err = vs_check_grid(c->B * j.chunks * j.column_blocks);
    if (!err) err = vs_check_grid(c->B * j.chunks * parts);
    if (err) return err;
    err = vs_cuda_launch("layer norms: sums of rows", sum_chunks<A>,
                         static_cast<unsigned>(c->B * j.chunks * j.column_blocks), lanes, 0, vs_stream_of(c),
                          j);
    if (!err && parts) {
        err = vs_cuda_launch("layer norms: ids of several chunks", join_chunks,
                             static_cast<unsigned>(c->B * j.chunks * parts), THREADS, 0, vs_stream_of(c),
                              j);
    }
    return err ? err : vs_cuda_sum_partials(j.squares, c->B, j.each, n, vs_stream_of(c));
}

} // namespace

size_t vs_layer_rows_bytes(const vs_layer_norms_call *c, size_t width)
{
    arrays x;
    return place(c, width, &x) ? SIZE_MAX : x.bytes;
}

int vs_layer_rows(const vs_layer_norms_call *c, const void *X, size_t width, char *workspace, double *n)
{
    arrays x;
    size_t rows = c->B * c->T, rows_of_chunk = chunk_rows(c->T);
    int err = place(c, width, &x);
    if (!err) err = vs_check_grid(vs_ceil_div(rows, THREADS));
    if (err) return err;
    place_of *places = reinterpret_cast<place_of *>(workspace + x.places);
    err = vs_cuda_launch("layer norms: places of ids", number_places, static_cast<unsigned>(vs_ceil_div(rows, THREADS)),
                         THREADS, 0, vs_stream_of(c),
                          c->ids, rows, c->T, places);
    if (!err)
        err = vs_cuda_failed(cub::DeviceMergeSort::SortKeys(workspace + x.sorting, x.sorting_bytes, places, rows, before(),
                                                            vs_stream_of(c)),
                             "layer norms: sorting ids");
    if (err) return err;
    job j = {X,     places,        reinterpret_cast<double *>(workspace + x.edges), reinterpret_cast<double *>(workspace + x.squares),
             c->T,  width,         rows_of_chunk, 0, static_cast<unsigned>(vs_ceil_div(c->T, rows_of_chunk)), 0,
             c->padded, static_cast<long long>(c->padding_id)};
    return vs_with_access(c->dtype, vs_whole_groups(X, c->dtype, width),
                          [&](auto access) { return sum_rows<decltype(access)>(c, j, n); });
}
