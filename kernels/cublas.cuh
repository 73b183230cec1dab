/* SPDX-License-Identifier: MIT
 *
 * cublas.cuh: the two matrix products that cuBLAS makes for these algorithms, and the part of the workspace that they may use.
 * It launches no kernel of ours and allocates nothing.
 *
 * cuBLAS counts in columns: a row-major [T, k] matrix is its k x T matrix with leading dimension k.
 */
#ifndef VS_KERNELS_CUBLAS_CUH
#define VS_KERNELS_CUBLAS_CUH

#include "kernels/cuda.cuh"

/* The context's handle, on the call's stream, with memory that the context holds: cuBLAS allocates nothing, in eager calls
 * and in captured ones. cublasSetStream forgets that memory, so both go through here. */
int vs_cuda_blas(void *context, void *stream, cublasHandle_t *out);

/* The fused kernels keep counters at the beginning of the workspace that must stay zero between calls: whoever keeps data
 * there begins behind them. */
constexpr size_t VS_WORKSPACE_COUNTERS = 65536;

inline size_t vs_align256(size_t bytes)
{
    return (bytes + 255) & ~static_cast<size_t>(255);
}

/* For algorithms that form no Gram matrix: absolute is n, and nothing is computed again. */
inline int vs_cuda_copy_norms(const vs_norms_layer *l, cudaStream_t stream)
{
    if (!l->absolute) return 0;
    return vs_cuda_failed(cudaMemcpyAsync(l->absolute, l->n, l->B * sizeof *l->n, cudaMemcpyDeviceToDevice, stream), "copy of n");
}

inline int vs_cuda_none_recomputed(const vs_norms_call *call)
{
    if (!call->recomputed) return 0;
    return vs_cuda_failed(cudaMemsetAsync(call->recomputed, 0, sizeof *call->recomputed, static_cast<cudaStream_t>(call->stream)),
                          "counter of recomputed samples");
}

/* Does materialize round this layer's gradient to bfloat16? (norm_materialize.cu) */
bool vs_materialize_rounds(const vs_norms_layer *l, vs_norms_dtype dtype);

struct vs_gemm_types {
    cudaDataType_t data;
    cublasComputeType_t compute;
};

inline vs_gemm_types vs_gemm_types_of(vs_norms_dtype dtype)
{
    switch (dtype) {
    case VS_NORMS_bf16: return {CUDA_R_16BF, CUBLAS_COMPUTE_32F};
    case VS_NORMS_fp16: return {CUDA_R_16F, CUBLAS_COMPUTE_32F};
    case VS_NORMS_tf32: return {CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32};
    default: return {CUDA_R_32F, CUBLAS_COMPUTE_32F};
    }
}

constexpr size_t VS_GEMM_BATCH = 65535; /* some of cuBLAS' kernels put the batch into the grid's third dimension */

/* K[b] = X_b X_b^T in float32, for every sample. */
inline int vs_gemm_gram(cublasHandle_t cublas, vs_gemm_types types, size_t element, size_t B, size_t T, size_t k, const void *X,
                        float *K)
{
    const float one = 1, zero = 0;
    int rows = static_cast<int>(T), depth = static_cast<int>(k), err = 0;
    for (size_t b = 0; !err && b < B; b += VS_GEMM_BATCH) {
        const char *x = static_cast<const char *>(X) + b * T * k * element;
        int batch = static_cast<int>(B - b < VS_GEMM_BATCH ? B - b : VS_GEMM_BATCH);
        err = vs_cublas_failed(cublasGemmStridedBatchedEx(
                                   cublas, CUBLAS_OP_T, CUBLAS_OP_N, rows, rows, depth, &one, x, types.data, depth,
                                   static_cast<long long>(T * k), x, types.data, depth, static_cast<long long>(T * k), &zero,
                                   K + b * T * T, CUDA_R_32F, rows, static_cast<long long>(T * T), batch, types.compute,
                                   CUBLAS_GEMM_DEFAULT),
                               "cuBLAS: Gram matrices");
    }
    return err;
}

/* S[b] = G_b^T A_b [p, d] for every sample, in elements of `out`. */
inline int vs_gemm_gradient(cublasHandle_t cublas, vs_gemm_types types, size_t element, const vs_norms_layer *l, void *S,
                            cudaDataType_t out, size_t out_bytes)
{
    const float one = 1, zero = 0;
    int T = static_cast<int>(l->T), d = static_cast<int>(l->d), p = static_cast<int>(l->p), err = 0;
    for (size_t b = 0; !err && b < l->B; b += VS_GEMM_BATCH) {
        const char *a = static_cast<const char *>(l->A) + b * l->T * l->d * element;
        const char *g = static_cast<const char *>(l->G) + b * l->T * l->p * element;
        int batch = static_cast<int>(l->B - b < VS_GEMM_BATCH ? l->B - b : VS_GEMM_BATCH);
        err = vs_cublas_failed(cublasGemmStridedBatchedEx(
                                   cublas, CUBLAS_OP_N, CUBLAS_OP_T, d, p, T, &one, a, types.data, d,
                                   static_cast<long long>(l->T * l->d), g, types.data, p, static_cast<long long>(l->T * l->p),
                                   &zero, static_cast<char *>(S) + b * l->d * l->p * out_bytes, out, d,
                                   static_cast<long long>(l->d * l->p), batch, types.compute, CUBLAS_GEMM_DEFAULT),
                               "cuBLAS: gradients of the samples");
    }
    return err;
}

#endif
