/* SPDX-License-Identifier: MIT
 *
 * layer_norm.cuh: what the CUDA versions of layer_norms.h share: elements of every type as float64, in groups of 16 bytes
 * where the buffers allow it, and the steps that have files of their own. It launches nothing.
 */
#ifndef VS_KERNELS_LAYER_NORM_CUH
#define VS_KERNELS_LAYER_NORM_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <climits>
#include <cstdint>

#include "kernels/cublas.cuh"
#include "kernels/layer_norm_check.h"

/* layer_norm_columns.cu: bias, layer_norm, rms_norm */
size_t vs_layer_columns_bytes(const vs_layer_norms_call *call);
int vs_layer_columns(const vs_layer_norms_call *call, char *workspace);

/* layer_norm_rows.cu: n[b] = sum over ids of the squared sum of the id's rows of X [B,T,width]. */
size_t vs_layer_rows_bytes(const vs_layer_norms_call *call, size_t width);
int vs_layer_rows(const vs_layer_norms_call *call, const void *X, size_t width, char *workspace, double *n);

/* layer_norm_tied.cu */
size_t vs_layer_tied_bytes(const vs_layer_norms_call *call);
int vs_layer_tied(const vs_layer_norms_call *call, char *workspace);

/* layer_norm_outer.cu */
size_t vs_layer_outer_bytes(const vs_layer_norms_call *call);
int vs_layer_outer(const vs_layer_norms_call *call, char *workspace);

/* A way to read a row: `width` elements at a time. */
template <class Element, int WIDTH> struct vs_access {
    using element = Element;
    static constexpr int width = WIDTH;
};

template <class A> struct alignas(sizeof(typename A::element) * A::width) vs_group {
    typename A::element v[A::width];
};

template <class A> __device__ inline vs_group<A> vs_load(const void *X, size_t element)
{
    return *reinterpret_cast<const vs_group<A> *>(static_cast<const typename A::element *>(X) + element);
}

__device__ inline double vs_widen(float value)
{
    return static_cast<double>(value);
}
__device__ inline double vs_widen(__nv_bfloat16 value)
{
    return static_cast<double>(__bfloat162float(value));
}
__device__ inline double vs_widen(__half value)
{
    return static_cast<double>(__half2float(value));
}

/* Sum over a warp, the same on every run, in every lane. */
__device__ inline double vs_warp_sum(double value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

inline size_t vs_ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* A power of two from `least` to `most` (both are): enough for `needed` where that is possible. */
inline unsigned vs_lanes(size_t needed, unsigned least, unsigned most)
{
    unsigned lanes = least;
    while (lanes < most && lanes < needed) lanes *= 2;
    return lanes;
}

/* The rows of X, `width` elements each, one after the other: are they whole 16-byte groups? */
inline bool vs_whole_groups(const void *X, vs_norms_dtype dtype, size_t width)
{
    size_t bytes = dtype == VS_NORMS_bf16 || dtype == VS_NORMS_fp16 ? 2 : 4;
    return reinterpret_cast<uintptr_t>(X) % 16 == 0 && width * bytes % 16 == 0;
}

/* f(vs_access) of the element type, by 16-byte groups or singly. */
template <class F> int vs_with_access(vs_norms_dtype dtype, bool groups, F f)
{
    switch (dtype) {
    case VS_NORMS_bf16: return groups ? f(vs_access<__nv_bfloat16, 8>()) : f(vs_access<__nv_bfloat16, 1>());
    case VS_NORMS_fp16: return groups ? f(vs_access<__half, 8>()) : f(vs_access<__half, 1>());
    default: return groups ? f(vs_access<float, 4>()) : f(vs_access<float, 1>());
    }
}

/* 0 when a grid of so many blocks can be launched. */
inline int vs_check_grid(size_t blocks)
{
    return blocks <= INT_MAX ? 0 : vs_cuda_refuse(-EOVERFLOW, "layer norms: more blocks than a grid holds; use fewer samples");
}

inline cudaStream_t vs_stream_of(const vs_layer_norms_call *call)
{
    return static_cast<cudaStream_t>(call->stream);
}

#endif
