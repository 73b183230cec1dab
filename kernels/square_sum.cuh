/* SPDX-License-Identifier: MIT
 *
 * square_sum.cuh: one pass over stored gradients that squares and sums them, for algorithms that write gradients to memory.
 * Bound by the memory's bandwidth; every run gives the same bits.
 *
 * A block takes one slice of one sample and leaves one float64 partial; vs_cuda_sum_partials adds them.
 */
#ifndef VS_KERNELS_SQUARE_SUM_CUH
#define VS_KERNELS_SQUARE_SUM_CUH

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda.cuh"

namespace square_sum {

constexpr size_t SLICE = 32768;       /* elements; of a 4096 x 4096 gradient: 512 blocks */
constexpr size_t SLICES_MAX = 4096;   /* per sample */
constexpr int UNROLL = 4;             /* 16-byte loads under way in each thread */

inline size_t slices(size_t elements)
{
    size_t n = (elements + SLICE - 1) / SLICE;
    return n < SLICES_MAX ? n : SLICES_MAX;
}

__device__ inline double squares(const uint4 &v, float)
{
    double a = __uint_as_float(v.x), b = __uint_as_float(v.y), c = __uint_as_float(v.z), d = __uint_as_float(v.w);
    return fma(a, a, b * b) + fma(c, c, d * d);
}

__device__ inline double squares(const uint4 &v, double)
{
    double a = __hiloint2double(static_cast<int>(v.y), static_cast<int>(v.x));
    double b = __hiloint2double(static_cast<int>(v.w), static_cast<int>(v.z));
    return fma(a, a, b * b);
}

/* A bfloat16 is the upper half of a float. Eight squares are summed in float32: there are twice as many as of float in the
 * same bytes, and conversions to float64 are slow. */
__device__ inline float pair(unsigned two)
{
    float low = __uint_as_float(two << 16), high = __uint_as_float(two & 0xffff0000u);
    return fmaf(low, low, high * high);
}

__device__ inline double squares(const uint4 &v, __nv_bfloat16)
{
    return static_cast<double>((pair(v.x) + pair(v.y)) + (pair(v.z) + pair(v.w)));
}

__device__ inline double square(double value)
{
    return value * value;
}
__device__ inline double square(float value)
{
    return square(static_cast<double>(value));
}
__device__ inline double square(__nv_bfloat16 value)
{
    return square(static_cast<double>(__bfloat162float(value)));
}

/* Samples lie `stride` elements apart: an odd one makes the next begin anywhere, so the ends are read singly. */
template <class E>
__global__ void __launch_bounds__(VS_SUM_THREADS)
    kernel(const E *S, size_t elements, size_t stride, size_t count, double *partial)
{
    __shared__ double shared[VS_SUM_THREADS];
    constexpr size_t WIDE = 16 / sizeof(E);
    const E *mine = S + blockIdx.x / count * stride;
    size_t slice = blockIdx.x % count, head = (16 - reinterpret_cast<uintptr_t>(mine) % 16) % 16 / sizeof(E);
    if (head > elements) head = elements;
    size_t groups = (elements - head) / WIDE, step = count * VS_SUM_THREADS;
    const uint4 *wide = reinterpret_cast<const uint4 *>(mine + head);
    double sum = 0;
    size_t i = slice * VS_SUM_THREADS + threadIdx.x;
    for (; i + (UNROLL - 1) * step < groups; i += UNROLL * step) {
        uint4 v[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) v[u] = __ldcs(wide + i + u * step);
#pragma unroll
        for (int u = 0; u < UNROLL; u++) sum += squares(v[u], E());
    }
    for (; i < groups; i += step) sum += squares(__ldcs(wide + i), E());
    if (slice == 0) {
        size_t tail = head + groups * WIDE;
        if (threadIdx.x < head) sum += square(mine[threadIdx.x]);
        if (tail + threadIdx.x < elements) sum += square(mine[tail + threadIdx.x]);
    }
    sum = vs_block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* partial: B * slices(elements) doubles. n[b] = sum of S[b]'s squares. */
template <class E>
int run(const E *S, size_t B, size_t elements, double *partial, double *n, cudaStream_t stream)
{
    size_t count = slices(elements);
    int err = vs_cuda_launch("sum of squares", kernel<E>, static_cast<unsigned>(B * count), VS_SUM_THREADS, 0, stream,
                          S, elements, elements, count, partial);
    return err ? err : vs_cuda_sum_partials(partial, B, count, n, stream);
}

} // namespace square_sum

#endif
