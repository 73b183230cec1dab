/* SPDX-License-Identifier: MIT
 *
 * norm_materialize.cu: per-sample norms from gradients in memory, on the GPU: one batched cuBLAS product S_b = G_b^T A_b, then
 * one pass that squares and sums. The yardstick at large T: it must be as fast as cuBLAS and the memory allow.
 *
 * The gradient goes to the caller's buffer, else to the workspace: in float32, but for large bfloat16 layers in bfloat16, as
 * frameworks do, at half the traffic. Their entries are then rounded once: with entries of like size the errors average out far
 * below the bound of norms.h; with a gradient concentrated in few entries they need not. So it is no choice of `auto`.
 */
#include "kernels/cublas.cuh"
#include "kernels/square_sum.cuh"

constexpr size_t ROUNDED_ELEMENTS = 65536; /* below it traffic is no matter, and too few roundings average out */

bool vs_materialize_rounds(const vs_norms_layer *l, vs_norms_dtype dtype)
{
    return dtype == VS_NORMS_bf16 && !l->gradient && l->d * l->p >= ROUNDED_ELEMENTS;
}

namespace {

/* Of a layer's gradients that the caller does not hold. */
size_t gradient_bytes(const vs_norms_layer *l, vs_norms_dtype dtype)
{
    if (l->gradient) return 0;
    return vs_align256(l->B * l->d * l->p * (vs_materialize_rounds(l, dtype) ? 2 : sizeof(float)));
}

size_t workspace_bytes(const vs_norms_call *call)
{
    size_t most = 0;
    for (size_t i = 0; i < call->count; i++) {
        const vs_norms_layer *l = &call->layers[i];
        size_t bytes = gradient_bytes(l, call->dtype) + l->B * square_sum::slices(l->d * l->p) * sizeof(double);
        if (bytes > most) most = bytes;
    }
    return VS_WORKSPACE_COUNTERS + most;
}

int layer(const vs_norms_call *call, const vs_norms_layer *l, cublasHandle_t cublas, cudaStream_t stream)
{
    vs_gemm_types types = vs_gemm_types_of(call->dtype);
    size_t element = vs_norms_dtype_bytes(call->dtype);
    char *workspace = static_cast<char *>(call->workspace) + VS_WORKSPACE_COUNTERS;
    void *S = l->gradient ? static_cast<void *>(l->gradient) : workspace;
    double *partial = reinterpret_cast<double *>(workspace + gradient_bytes(l, call->dtype));
    bool half = vs_materialize_rounds(l, call->dtype);
    int err = vs_gemm_gradient(cublas, types, element, l, S, half ? CUDA_R_16BF : CUDA_R_32F, half ? 2 : sizeof(float));
    if (!err && half)
        err = square_sum::run(static_cast<const __nv_bfloat16 *>(S), l->B, l->d * l->p, partial, l->n, stream);
    else if (!err)
        err = square_sum::run(static_cast<const float *>(S), l->B, l->d * l->p, partial, l->n, stream);
    return err ? err : vs_cuda_copy_norms(l, stream);
}

int run(const vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cuda_materialize, call, true);
    cudaStream_t stream = static_cast<cudaStream_t>(call->stream);
    cublasHandle_t cublas = nullptr;
    if (!err) err = vs_cuda_blas(call->context, call->stream, &cublas);
    if (!err) err = vs_cuda_none_recomputed(call);
    for (size_t i = 0; !err && i < call->count; i++) err = layer(call, &call->layers[i], cublas, stream);
    return err;
}

} // namespace

const vs_norms_algorithm vs_norms_cuda_materialize = {"materialize", workspace_bytes, run};
