/* SPDX-License-Identifier: MIT
 *
 * layer_norm_tied.cu: norms of a weight shared by embedding and head, on the GPU: the embedding's norm, the head's from the
 * caller, and twice their inner product, sum_{s,t} G[s, id_t] (A_s . E_t). Nothing of the weight's size is formed.
 *
 * Tiles of the products A_s . E_t come from cuBLAS, several samples at once; a kernel looks up the entries of G that belong to
 * them, multiplies and sums. 2 T^2 d operations per sample.
 */
#include "kernels/layer_norm.cuh"

namespace {

constexpr unsigned THREADS = VS_SUM_THREADS;
constexpr size_t TILE = 2048;             /* rows of A and of E in a tile of products */
constexpr size_t PRODUCTS = 4 * TILE * TILE; /* held at once: 64 MiB */
constexpr unsigned ROWS = 16;             /* of a block of the kernel */

struct arrays {
    size_t rows, embedding, cross, partial, products, bytes; /* offsets */
};

size_t tile_of(const vs_layer_norms_call *c)
{
    return c->T < TILE ? c->T : TILE;
}

size_t samples_of(const vs_layer_norms_call *c)
{
    size_t fit = PRODUCTS / (tile_of(c) * tile_of(c));
    if (fit > VS_GEMM_BATCH) fit = VS_GEMM_BATCH;
    return fit < c->B ? fit : c->B;
}

size_t place(const vs_layer_norms_call *c, arrays *x)
{
    size_t rows = vs_layer_rows_bytes(c, c->d);
    if (rows == SIZE_MAX) return rows;
    x->rows = 0;
    x->embedding = vs_align256(rows);
    x->cross = x->embedding + vs_align256(c->B * sizeof(double));
    x->partial = x->cross + vs_align256(c->B * sizeof(double));
    x->products = x->partial + vs_align256(c->B * vs_ceil_div(tile_of(c), ROWS) * sizeof(double));
    x->bytes = x->products + vs_align256(samples_of(c) * tile_of(c) * tile_of(c) * sizeof(float));
    return x->bytes;
}

struct tile { /* rows s of A by rows t of E, of samples b and on */
    size_t b, samples, s, rows, t, columns;
};

/* A block: ROWS rows of a tile of one sample. Every tile adds to the same partial sums, one after the other. */
template <class Element>
__global__ void __launch_bounds__(THREADS)
    look_up(vs_layer_norms_call c, tile x, const float *products, unsigned blocks, unsigned slots, double *partial)
{
    __shared__ double shared[THREADS];
    size_t sample = blockIdx.x / blocks, b = x.b + sample, first = blockIdx.x % blocks * static_cast<size_t>(ROWS);
    size_t end = first + ROWS < x.rows ? first + ROWS : x.rows;
    const float *mine = products + sample * x.rows * x.columns;
    const Element *G = static_cast<const Element *>(c.G) + (b * c.T + x.s) * c.p;
    double sum = 0;
    for (size_t t = threadIdx.x; t < x.columns; t += THREADS) {
        int64_t id = c.ids[b * c.T + x.t + t];
        if (id < 0 || static_cast<uint64_t>(id) >= c.p || (c.padded && id == c.padding_id)) continue;
#pragma unroll 8
        for (size_t s = first; s < end; s++)
            sum = fma(vs_widen(G[s * c.p + static_cast<size_t>(id)]), static_cast<double>(mine[s * x.columns + t]), sum);
    }
    sum = vs_block_sum(sum, shared);
    if (threadIdx.x > 0) return;
    double *to = partial + b * slots + blockIdx.x % blocks;
    *to = x.s || x.t ? *to + sum : sum;
}

/* Rounding may leave less than nothing where the two parts cancel; NaN must stay NaN. */
__global__ void finish(const double *embedding, const double *cross, const double *head, size_t B, double *n)
{
    size_t b = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x;
    if (b >= B) return;
    double sum = embedding[b] + head[b] + 2 * cross[b];
    n[b] = sum < 0 ? 0 : sum;
}

/* products[b] [rows, columns] = rows s of A times rows t of E; cuBLAS counts in columns. */
int multiply(const vs_layer_norms_call *c, const tile &x, cublasHandle_t cublas, float *products)
{
    const float one = 1, zero = 0;
    vs_gemm_types types = vs_gemm_types_of(c->dtype);
    size_t element = types.data == CUDA_R_32F ? 4 : 2;
    long long stride = static_cast<long long>(c->T * c->d);
    const char *A = static_cast<const char *>(c->A) + (x.b * c->T + x.s) * c->d * element;
    const char *E = static_cast<const char *>(c->E) + (x.b * c->T + x.t) * c->d * element;
    int m = static_cast<int>(x.columns), n = static_cast<int>(x.rows), k = static_cast<int>(c->d);
    return vs_cublas_failed(cublasGemmStridedBatchedEx(cublas, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, &one, E, types.data, k, stride,
                                                       A, types.data, k, stride, &zero, products, CUDA_R_32F, m,
                                                       static_cast<long long>(x.rows * x.columns), static_cast<int>(x.samples),
                                                       types.compute, CUBLAS_GEMM_DEFAULT),
                            "cuBLAS: products of the head's inputs and the embedding's gradients");
}

int add_tile(const vs_layer_norms_call *c, const tile &x, cublasHandle_t cublas, float *products, double *partial)
{
    unsigned blocks = static_cast<unsigned>(vs_ceil_div(x.rows, ROWS)), slots = static_cast<unsigned>(vs_ceil_div(tile_of(c), ROWS));
    int err = multiply(c, x, cublas, products);
    if (err) return err;
    return vs_with_access(c->dtype, false, [&](auto access) {
        return vs_cuda_launch("layer norms: inner product of embedding and head",
                              look_up<typename decltype(access)::element>, static_cast<unsigned>(x.samples) * blocks,
                              THREADS, 0, vs_stream_of(c),
                              *c, x, products, blocks, slots, partial);
    });
}

} // namespace

size_t vs_layer_tied_bytes(const vs_layer_norms_call *c)
{
    arrays x;
    return place(c, &x);
}

int vs_layer_tied(const vs_layer_norms_call *c, char *workspace)
{
    arrays x;
    cublasHandle_t cublas = nullptr;
    int err = place(c, &x) == SIZE_MAX ? -EIO : vs_cuda_blas(c->context, c->stream, &cublas);
    if (err) return err;
    double *embedding = reinterpret_cast<double *>(workspace + x.embedding);
    double *cross = reinterpret_cast<double *>(workspace + x.cross), *partial = reinterpret_cast<double *>(workspace + x.partial);
    float *products = reinterpret_cast<float *>(workspace + x.products);
    size_t edge = tile_of(c), group = samples_of(c);
    err = vs_layer_rows(c, c->E, c->d, workspace + x.rows, embedding);
    for (size_t b = 0; !err && b < c->B; b += group)
        for (size_t s = 0; !err && s < c->T; s += edge)
            for (size_t t = 0; !err && t < c->T; t += edge) {
                tile of = {b, group < c->B - b ? group : c->B - b, s, edge < c->T - s ? edge : c->T - s,
                           t, edge < c->T - t ? edge : c->T - t};
                err = add_tile(c, of, cublas, products, partial);
            }
    if (!err) err = vs_cuda_sum_partials(partial, c->B, vs_ceil_div(edge, ROWS), cross, vs_stream_of(c));
    if (err) return err;
    return vs_cuda_launch("layer norms: embedding and head", finish, static_cast<unsigned>(vs_ceil_div(c->B, THREADS)),
                          THREADS, 0, vs_stream_of(c),
                          embedding, cross, c->n_head, c->B, c->n);
}
