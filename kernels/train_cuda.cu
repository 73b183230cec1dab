/* SPDX-License-Identifier: MIT
 *
 * train_cuda.cu: the table of the GPU's training operations, and the products, which cuBLAS makes. It launches no kernel of ours.
 */
#include "kernels/train.cuh"

namespace {

using namespace train;

/* f, but a missing argument is refused. */
template <auto f, class P> int given(const vs_train_on *on, const P *p)
{
    return p ? f(on, p) : vs_cuda_refuse(-EINVAL, "training: no arguments");
}

int check_product(const vs_train_on *on, const vs_train_product *p)
{
    int err = check(on, {p->m, p->n, p->k}, {p->x, p->y, p->out});
    if (err) return err;
    if (p->ldx < (p->transpose_x ? p->m : p->k) || p->ldy < (p->transpose_y ? p->k : p->n) || p->ldo < p->n ||
        (p->batch > 1 && !p->step_out))
        return vs_cuda_refuse(-EINVAL, "training: the rows of a product overlap");
    for (size_t size : {p->m, p->n, p->k, p->ldx, p->ldy, p->ldo})
        if (size > INT_MAX) return vs_cuda_refuse(-EOVERFLOW, "training: cuBLAS counts in int");
    return 0;
}

/* cuBLAS counts in columns: its matrices are the transposes of ours, and out^T = op(Y)^T op(X)^T. */
int multiply(cublasHandle_t cublas, const vs_train_on *on, const vs_train_product *p, size_t first, int batch)
{
    vs_norms_dtype dtype = on->dtype == VS_TRAIN_bf16 ? VS_NORMS_bf16 : on->dtype == VS_TRAIN_tf32 ? VS_NORMS_tf32 : VS_NORMS_fp32;
    vs_gemm_types types = vs_gemm_types_of(dtype);
    size_t element = on->dtype == VS_TRAIN_bf16 ? 2 : 4, out_element = p->out_wide ? 4 : element;
    cudaDataType_t out_type = p->out_wide ? CUDA_R_32F : types.data;
    const char *x = static_cast<const char *>(p->x) + first * p->step_x * element;
    const char *y = static_cast<const char *>(p->y) + first * p->step_y * element;
    char *out = static_cast<char *>(p->out) + first * p->step_out * out_element;
    cublasOperation_t op_x = p->transpose_x ? CUBLAS_OP_T : CUBLAS_OP_N, op_y = p->transpose_y ? CUBLAS_OP_T : CUBLAS_OP_N;
    int m = static_cast<int>(p->m), n = static_cast<int>(p->n), k = static_cast<int>(p->k);
    int ldx = static_cast<int>(p->ldx), ldy = static_cast<int>(p->ldy), ldo = static_cast<int>(p->ldo);
    const float alpha = static_cast<float>(p->alpha), beta = static_cast<float>(p->beta);
    if (batch == 1)
        return vs_cublas_failed(cublasGemmEx(cublas, op_y, op_x, n, m, k, &alpha, y, types.data, ldy, x, types.data, ldx, &beta, out,
                                             out_type, ldo, types.compute, CUBLAS_GEMM_DEFAULT),
                                "training: product");
    return vs_cublas_failed(cublasGemmStridedBatchedEx(cublas, op_y, op_x, n, m, k, &alpha, y, types.data, ldy,
                                                       static_cast<long long>(p->step_y), x, types.data, ldx,
                                                       static_cast<long long>(p->step_x), &beta, out, out_type, ldo,
                                                       static_cast<long long>(p->step_out), batch, types.compute,
                                                       CUBLAS_GEMM_DEFAULT),
                            "training: products");
}

int product(const vs_train_on *on, const vs_train_product *p)
{
    cublasHandle_t cublas;
    size_t batch = p->batch ? p->batch : 1;
    int err = check_product(on, p);
    if (!err) err = vs_cuda_blas(on->context, on->stream, &cublas);
    for (size_t first = 0; !err && first < batch; first += VS_GEMM_BATCH)
        err = multiply(cublas, on, p, first, static_cast<int>(batch - first < VS_GEMM_BATCH ? batch - first : VS_GEMM_BATCH));
    return err;
}

} // namespace

const vs_train_ops vs_train_cuda = {
    given<product>,
    vs_train_cuda_embed,
    vs_train_cuda_embed_gradient,
    vs_train_cuda_position_gradient,
    given<vs_train_cuda_norm_forward>,
    given<vs_train_cuda_norm_backward>,
    vs_train_cuda_column_bytes,
    given<vs_train_cuda_norm_gradient>,
    vs_train_cuda_bias_gradient,
    vs_train_cuda_bias_relu,
    vs_train_cuda_relu_backward,
    vs_train_cuda_swiglu,
    vs_train_cuda_swiglu_backward,
    vs_train_cuda_rotate,
    vs_train_attention_bytes,
    given<vs_train_attention_forward>,
    given<vs_train_attention_backward>,
    vs_train_attention_by,
    given<vs_train_cuda_loss>,
    vs_train_cuda_sample_loss,
    given<vs_train_cuda_clip>,
    vs_train_cuda_scale_samples,
    vs_train_cuda_square_sum_bytes,
    vs_train_cuda_square_sum,
    vs_train_cuda_weighted_sum,
    vs_train_cuda_fill,
    given<vs_train_cuda_update>,
    vs_train_cuda_zero,
    vs_train_cuda_drop,
};
