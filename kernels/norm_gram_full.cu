/* SPDX-License-Identifier: MIT
 *
 * norm_gram_full.cu: per-sample norms by two whole Gram matrices, on the GPU: two batched cuBLAS products, then one
 * pass that multiplies and sums. The baseline: it writes all B x T x T elements of both and must not be made cleverer.
 *
 * Row-major A_b [T,d] is the column-major matrix M = A_b^T with d rows; K_A = A_b A_b^T = M^T M, symmetric, so its
 * storage order does not matter. The product pass: BLOCKS blocks per sample, each leaving one float64 partial.
 */
#include "kernels/cuda.cuh"

namespace {

constexpr size_t BLOCKS = 256; /* two per SM of a large GPU, when there is one sample */

size_t align256(size_t bytes)
{
    return (bytes + 255) & ~static_cast<size_t>(255);
}

size_t workspace_bytes(const vs_norms_shape *s)
{
    return align256(2 * s->B * s->T * s->T * sizeof(float)) + s->B * BLOCKS * sizeof(double);
}

__global__ void multiply_sum(const float *KA, const float *KG, size_t square, double *partial)
{
    __shared__ double shared[VS_SUM_THREADS];
    const float *ka = KA + blockIdx.y * square, *kg = KG + blockIdx.y * square;
    double sum = 0;
    size_t step = static_cast<size_t>(gridDim.x) * VS_SUM_THREADS;
    for (size_t i = blockIdx.x * static_cast<size_t>(VS_SUM_THREADS) + threadIdx.x; i < square; i += step)
        sum += static_cast<double>(ka[i]) * kg[i];
    sum = vs_block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.y * static_cast<size_t>(gridDim.x) + blockIdx.x] = sum;
}

int gram(cublasHandle_t cublas, size_t B, size_t T, size_t k, const float *X, float *K)
{
    const float one = 1, zero = 0;
    int t = static_cast<int>(T), depth = static_cast<int>(k);
    return vs_cublas_failed(
        cublasSgemmStridedBatched(cublas, CUBLAS_OP_T, CUBLAS_OP_N, t, t, depth, &one, X, depth,
                                  static_cast<long long>(T * k), X, depth, static_cast<long long>(T * k), &zero, K, t,
                                  static_cast<long long>(T * T), static_cast<int>(B)),
        "cublasSgemmStridedBatched");
}

int run(const vs_norms_args *args)
{
    const vs_norms_shape *s = &args->shape;
    int err = vs_norms_check_args(&vs_norms_cuda_gram_full, args);
    if (err) return err;
    if (!args->context) return -EINVAL;
    cublasHandle_t cublas = static_cast<vs_cuda_context *>(args->context)->cublas;
    cudaStream_t stream = static_cast<cudaStream_t>(args->stream);
    size_t square = s->T * s->T;
    float *KA = static_cast<float *>(args->workspace), *KG = KA + s->B * square;
    double *partial = reinterpret_cast<double *>(static_cast<char *>(args->workspace) +
                                                 align256(2 * s->B * square * sizeof(float)));
    err = vs_cublas_failed(cublasSetStream(cublas, stream), "cublasSetStream");
    if (!err) err = gram(cublas, s->B, s->T, s->d, args->A, KA);
    if (!err) err = gram(cublas, s->B, s->T, s->p, args->G, KG);
    for (size_t b = 0; !err && b < s->B; b += 65535) { /* the grid's second dimension ends there */
        size_t samples = s->B - b < 65535 ? s->B - b : 65535;
        dim3 grid(BLOCKS, static_cast<unsigned>(samples));
        multiply_sum<<<grid, VS_SUM_THREADS, 0, stream>>>(KA + b * square, KG + b * square, square, partial + b * BLOCKS);
        err = vs_cuda_failed(cudaGetLastError(), "gram_full: multiply and sum");
    }
    return err ? err : vs_cuda_sum_partials(partial, s->B, BLOCKS, args->n, stream);
}

} // namespace

const vs_norms_algorithm vs_norms_cuda_gram_full = {"gram_full", workspace_bytes, run};
