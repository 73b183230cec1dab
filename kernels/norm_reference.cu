/* SPDX-License-Identifier: MIT
 *
 * norm_reference.cu: the float64 oracle of the per-sample norms, on the GPU: inputs converted to float64, multiplied by
 * cublasDgemm, squared and summed in float64. Simple before fast: it must share no step with the algorithms it judges but
 * the sum of squares, which tests hold against the CPU's oracle.
 *
 * Blocks of at most SIDE x SIDE of the gradient are held, and ROWS rows of the inputs at a time.
 */
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cublas.cuh"
#include "kernels/square_sum.cuh"

namespace {

constexpr size_t SIDE = 4096, ROWS = 2048;
constexpr unsigned CONVERT_BLOCKS = 1024;

size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The workspace, behind the counters, large enough for each layer. */
struct arrays {
    size_t A, G, S, partial, total, bytes; /* offsets */
};

size_t blocks(const vs_norms_layer *l)
{
    return ((l->d + SIDE - 1) / SIDE) * ((l->p + SIDE - 1) / SIDE);
}

arrays place(const vs_norms_layer *l)
{
    size_t d = least(l->d, SIDE), p = least(l->p, SIDE), rows = least(l->T, ROWS);
    arrays x;
    x.A = VS_WORKSPACE_COUNTERS;
    x.G = x.A + vs_align256(rows * d * sizeof(double));
    x.S = x.G + vs_align256(rows * p * sizeof(double));
    x.partial = x.S + vs_align256(d * p * sizeof(double));
    x.total = x.partial + vs_align256(square_sum::slices(d * p) * sizeof(double));
    x.bytes = x.total + vs_align256(blocks(l) * sizeof(double));
    return x;
}

size_t workspace_bytes(const vs_norms_call *call)
{
    size_t most = 0;
    for (size_t i = 0; i < call->count; i++) {
        size_t bytes = place(&call->layers[i]).bytes;
        if (bytes > most) most = bytes;
    }
    return most;
}

__device__ double exact(float value)
{
    return value;
}
__device__ double exact(__nv_bfloat16 value)
{
    return __bfloat162float(value);
}
__device__ double exact(__half value)
{
    return __half2float(value);
}

/* out [rows, columns] = a part of rows that are `width` apart. */
template <class E>
__global__ void convert(const E *X, size_t width, size_t rows, size_t columns, double *out)
{
    size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < rows * columns; i += step)
        out[i] = exact(X[i / columns * width + i % columns]);
}

struct place_of { /* a block of one sample's gradient */
    size_t b, column, columns, row, rows;
};

template <class E>
int block(const vs_norms_layer *l, const place_of &at, char *base, double *total, cublasHandle_t cublas, cudaStream_t stream)
{
    arrays x = place(l);
    double *A = reinterpret_cast<double *>(base + x.A), *G = reinterpret_cast<double *>(base + x.G);
    double *S = reinterpret_cast<double *>(base + x.S), *partial = reinterpret_cast<double *>(base + x.partial);
    const E *a = static_cast<const E *>(l->A) + at.b * l->T * l->d + at.column;
    const E *g = static_cast<const E *>(l->G) + at.b * l->T * l->p + at.row;
    int d = static_cast<int>(at.columns), p = static_cast<int>(at.rows), err = 0;
    for (size_t t = 0; !err && t < l->T; t += ROWS) {
        size_t rows = least(l->T - t, ROWS);
        const double one = 1, before = t ? 1 : 0;
        auto widen = [&](const E *X, size_t width, size_t padded, double *to) {
            return vs_cuda_launch("reference: float64 inputs", convert<E>, CONVERT_BLOCKS, 256, 0, stream, X, width, rows,
                                  padded, to);
        };
        err = widen(a + t * l->d, l->d, at.columns, A);
        if (!err) err = widen(g + t * l->p, l->p, at.rows, G);
        if (!err)
            err = vs_cublas_failed(cublasDgemm(cublas, CUBLAS_OP_N, CUBLAS_OP_T, d, p, static_cast<int>(rows), &one, A, d, G, p,
                                               &before, S, d),
                                   "cuBLAS: float64 gradient");
    }
    return err ? err : square_sum::run(static_cast<const double *>(S), 1, at.columns * at.rows, partial, total, stream);
}

template <class E>
int layer(const vs_norms_layer *l, char *base, cublasHandle_t cublas, cudaStream_t stream)
{
    double *total = reinterpret_cast<double *>(base + place(l).total);
    int err = 0;
    for (size_t b = 0; !err && b < l->B; b++) {
        size_t count = 0;
        for (size_t row = 0; !err && row < l->p; row += SIDE)
            for (size_t column = 0; !err && column < l->d; column += SIDE) {
                place_of at = {b, column, least(l->d - column, SIDE), row, least(l->p - row, SIDE)};
                err = block<E>(l, at, base, total + count++, cublas, stream);
            }
        if (!err) err = vs_cuda_sum_partials(total, 1, count, l->n + b, stream);
    }
    return err ? err : vs_cuda_copy_norms(l, stream);
}

int run(const vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cuda_reference, call, false);
    cudaStream_t stream = static_cast<cudaStream_t>(call->stream);
    char *base = static_cast<char *>(call->workspace);
    cublasHandle_t cublas = nullptr;
    if (!err) err = vs_cuda_blas(call->context, call->stream, &cublas);
    if (!err) err = vs_cuda_none_recomputed(call);
    for (size_t i = 0; !err && i < call->count; i++) {
        const vs_norms_layer *l = &call->layers[i];
        switch (call->dtype) {
        case VS_NORMS_bf16: err = layer<__nv_bfloat16>(l, base, cublas, stream); break;
        case VS_NORMS_fp16: err = layer<__half>(l, base, cublas, stream); break;
        default: err = layer<float>(l, base, cublas, stream);
        }
    }
    return err;
}

} // namespace

const vs_norms_algorithm vs_norms_cuda_reference = {"reference", workspace_bytes, run};
