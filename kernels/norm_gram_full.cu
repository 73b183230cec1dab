/* SPDX-License-Identifier: MIT
 *
 * norm_gram_full.cu: per-sample norms by two whole Gram matrices, on the GPU: two batched cuBLAS products, then one
 * pass that multiplies and sums. The baseline: it writes all B x T x T elements of both and must not be made cleverer.
 *
 * The product pass: BLOCKS blocks per sample, each leaving two float64 partials. A sample that cancels too much is computed
 * again from its gradient, tile by tile in float64 by plain loops: rare, so simple before fast. The other samples' blocks of
 * that launch end at once.
 */
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cublas.cuh"

namespace {

constexpr size_t BLOCKS = 256; /* two per SM of a large GPU, when there is one sample */
constexpr size_t GRID_Y = 65535;

/* The workspace, behind the counters. */
struct arrays {
    float *KA, *KG;
    double *partial; /* B x BLOCKS of n, then as many of absolute */
    unsigned *flags; /* B */
    size_t bytes;
};

arrays place(const vs_norms_layer *l, void *workspace)
{
    size_t gram = l->B * l->T * l->T * sizeof(float), sums = 2 * l->B * BLOCKS * sizeof(double);
    size_t at_partial = VS_WORKSPACE_COUNTERS + vs_align256(2 * gram), at_flags = at_partial + sums;
    char *base = static_cast<char *>(workspace);
    float *KA = reinterpret_cast<float *>(base + VS_WORKSPACE_COUNTERS);
    return {KA, KA + l->B * l->T * l->T, reinterpret_cast<double *>(base + at_partial),
            reinterpret_cast<unsigned *>(base + at_flags), at_flags + vs_align256(l->B * sizeof(unsigned))};
}

size_t workspace_bytes(const vs_norms_call *call)
{
    size_t most = 0;
    for (size_t i = 0; i < call->count; i++) {
        size_t bytes = place(&call->layers[i], nullptr).bytes;
        if (bytes > most) most = bytes;
    }
    return most;
}

__global__ void __launch_bounds__(VS_SUM_THREADS)
    multiply_sum(const float *KA, const float *KG, size_t square, double *partial, double *partial_absolute)
{
    __shared__ double shared[VS_SUM_THREADS];
    const float *ka = KA + blockIdx.y * square, *kg = KG + blockIdx.y * square;
    double sum = 0, absolute = 0;
    size_t step = static_cast<size_t>(gridDim.x) * VS_SUM_THREADS, at = blockIdx.y * static_cast<size_t>(gridDim.x) + blockIdx.x;
    for (size_t i = blockIdx.x * static_cast<size_t>(VS_SUM_THREADS) + threadIdx.x; i < square; i += step) {
        double product = static_cast<double>(ka[i]) * kg[i];
        sum += product;
        absolute += fabs(product);
    }
    sum = vs_block_sum(sum, shared);
    if (threadIdx.x == 0) partial[at] = sum;
    __syncthreads();
    absolute = vs_block_sum(absolute, shared);
    if (threadIdx.x == 0) partial_absolute[at] = absolute;
}

/* One block per sample: the sums, and whether they can be trusted. */
__global__ void __launch_bounds__(VS_SUM_THREADS)
    judge(const double *partial, const double *partial_absolute, double *n, double *absolute, unsigned *flags, unsigned *recomputed)
{
    __shared__ double shared[VS_SUM_THREADS];
    size_t at = blockIdx.x * BLOCKS + threadIdx.x;
    static_assert(BLOCKS == VS_SUM_THREADS, "a thread takes one partial");
    double sum = vs_block_sum(partial[at], shared);
    __syncthreads();
    double size = vs_block_sum(partial_absolute[at], shared);
    if (threadIdx.x > 0) return;
    bool again = size > VS_NORMS_KAPPA * sum; /* never of a NaN */
    n[blockIdx.x] = sum;
    if (absolute) absolute[blockIdx.x] = size;
    flags[blockIdx.x] = again;
    if (again && recomputed) atomicAdd(recomputed, 1u);
}

/* ---- a sample from its gradient ---- */

constexpr int TILE = 64, DEPTH = 16, SIDE = 16, CORNER = TILE / SIDE;
constexpr int PITCH = TILE + 1;
static_assert(SIDE * SIDE == VS_SUM_THREADS, "the block sum is made for this block");

__device__ float wide(float value)
{
    return value;
}
__device__ float wide(__nv_bfloat16 value)
{
    return __bfloat162float(value);
}
__device__ float wide(__half value)
{
    return __half2float(value);
}

/* Rows [row, row + DEPTH) x columns [column, column + TILE) of X [T, width]; zero beyond the end, which adds nothing. */
template <class E>
__device__ void load_strip(const E *X, size_t T, size_t width, size_t row, size_t column, float (*strip)[PITCH])
{
    for (int e = threadIdx.x; e < DEPTH * TILE; e += VS_SUM_THREADS) {
        size_t r = row + e / TILE, c = column + e % TILE;
        strip[e / TILE][e % TILE] = r < T && c < width ? wide(X[r * width + c]) : 0.0f;
    }
}

/* Sum of squares of S's tile at (row, column), this thread's share. */
template <class E>
__device__ double tile_squares(const E *A, const E *G, size_t T, size_t d, size_t p, size_t row, size_t column,
                               float (*left)[PITCH], float (*right)[PITCH])
{
    int y = threadIdx.x / SIDE, x = threadIdx.x % SIDE;
    double S[CORNER][CORNER] = {}, sum = 0;
    for (size_t t = 0; t < T; t += DEPTH) {
        __syncthreads(); /* the strips are still being read by slower threads */
        load_strip(G, T, p, t, row, left);
        load_strip(A, T, d, t, column, right);
        __syncthreads();
        for (int k = 0; k < DEPTH; k++)
#pragma unroll
            for (int i = 0; i < CORNER; i++)
#pragma unroll
                for (int j = 0; j < CORNER; j++)
                    S[i][j] = fma(static_cast<double>(left[k][y + i * SIDE]), static_cast<double>(right[k][x + j * SIDE]), S[i][j]);
    }
#pragma unroll
    for (int i = 0; i < CORNER; i++)
#pragma unroll
        for (int j = 0; j < CORNER; j++) sum += S[i][j] * S[i][j];
    return sum;
}

template <class E>
__global__ void __launch_bounds__(VS_SUM_THREADS)
    again(const E *A, const E *G, size_t T, size_t d, size_t p, const unsigned *flags, double *partial)
{
    __shared__ float left[DEPTH][PITCH], right[DEPTH][PITCH];
    __shared__ double shared[VS_SUM_THREADS];
    if (!flags[blockIdx.y]) return;
    A += blockIdx.y * T * d;
    G += blockIdx.y * T * p;
    size_t columns = (d + TILE - 1) / TILE, tiles = columns * ((p + TILE - 1) / TILE);
    double sum = 0;
    for (size_t k = blockIdx.x; k < tiles; k += gridDim.x)
        sum += tile_squares(A, G, T, d, p, k / columns * TILE, k % columns * TILE, left, right);
    sum = vs_block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.y * static_cast<size_t>(gridDim.x) + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(VS_SUM_THREADS) replace(const double *partial, const unsigned *flags, double *n)
{
    __shared__ double shared[VS_SUM_THREADS];
    if (!flags[blockIdx.x]) return;
    double sum = vs_block_sum(partial[blockIdx.x * BLOCKS + threadIdx.x], shared);
    if (threadIdx.x == 0) n[blockIdx.x] = sum;
}

template <class E>
int recompute(const vs_norms_layer *l, const arrays &x, cudaStream_t stream)
{
    const E *A = static_cast<const E *>(l->A), *G = static_cast<const E *>(l->G);
    for (size_t b = 0; b < l->B; b += GRID_Y) {
        dim3 grid(BLOCKS, static_cast<unsigned>(l->B - b < GRID_Y ? l->B - b : GRID_Y));
        int err = vs_cuda_launch("gram_full: a sample again", again<E>, grid, VS_SUM_THREADS, 0, stream,
                              A + b * l->T * l->d, G + b * l->T * l->p, l->T, l->d, l->p, x.flags + b, x.partial + b * BLOCKS);
        if (err) return err;
    }
    return vs_cuda_launch("gram_full: a sample again", replace, static_cast<unsigned>(l->B), VS_SUM_THREADS, 0, stream,
                          x.partial, x.flags, l->n);
}

int multiply(const vs_norms_layer *l, const arrays &x, unsigned *recomputed, cudaStream_t stream)
{
    size_t square = l->T * l->T;
    double *absolute = x.partial + l->B * BLOCKS;
    for (size_t b = 0; b < l->B; b += GRID_Y) {
        dim3 grid(BLOCKS, static_cast<unsigned>(l->B - b < GRID_Y ? l->B - b : GRID_Y));
        int err = vs_cuda_launch("gram_full: multiply and sum", multiply_sum, grid, VS_SUM_THREADS, 0, stream,
                              x.KA + b * square, x.KG + b * square, square, x.partial + b * BLOCKS, absolute + b * BLOCKS);
        if (err) return err;
    }
    return vs_cuda_launch("gram_full: sums", judge, static_cast<unsigned>(l->B), VS_SUM_THREADS, 0, stream,
                          x.partial, absolute, l->n, l->absolute, x.flags, recomputed);
}

/* shared: KA still holds this layer's. */
int layer(const vs_norms_call *call, const vs_norms_layer *l, bool shared, cublasHandle_t cublas, cudaStream_t stream)
{
    arrays x = place(l, call->workspace);
    vs_gemm_types types = vs_gemm_types_of(call->dtype);
    size_t element = vs_norms_dtype_bytes(call->dtype);
    int err = shared ? 0 : vs_gemm_gram(cublas, types, element, l->B, l->T, l->d, l->A, x.KA);
    if (!err) err = vs_gemm_gram(cublas, types, element, l->B, l->T, l->p, l->G, x.KG);
    if (!err) err = multiply(l, x, call->recomputed, stream);
    if (err) return err;
    switch (call->dtype) {
    case VS_NORMS_bf16: return recompute<__nv_bfloat16>(l, x, stream);
    case VS_NORMS_fp16: return recompute<__half>(l, x, stream);
    default: return recompute<float>(l, x, stream);
    }
}

int run(const vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cuda_gram_full, call, false);
    cudaStream_t stream = static_cast<cudaStream_t>(call->stream);
    cublasHandle_t cublas = nullptr;
    if (!err) err = vs_cuda_blas(call->context, call->stream, &cublas);
    if (!err) err = vs_cuda_none_recomputed(call); /* so far */
    for (size_t i = 0, group; !err && i < call->count; i += group) {
        group = vs_norms_shared(&call->layers[i], call->count - i);
        for (size_t k = 0; !err && k < group; k++) err = layer(call, &call->layers[i + k], k > 0, cublas, stream);
    }
    return err;
}

} // namespace

const vs_norms_algorithm vs_norms_cuda_gram_full = {"gram_full", workspace_bytes, run};
