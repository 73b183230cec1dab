/* SPDX-License-Identifier: MIT
 *
 * norm_stages.cu: norm_stages.h on the GPU. Arrays of layers times samples: what takes time is the launch.
 */
#include "kernels/norm_stages.h"

#include <cuda_fp16.h>

#include <cerrno>

#include "kernels/cuda.cuh"

namespace
{

constexpr int THREADS = 256;

__global__ void __launch_bounds__(THREADS) stack_layers(vs_norm_stage s)
{
    for (size_t i = threadIdx.x; i < s.count; i += THREADS)
        s.stack[blockIdx.x * s.B + s.first + i] = s.layer[blockIdx.x][s.first + i];
}

__device__ void put(float *wire, float sum)
{
    *wire = sum;
}
__device__ void put(__half *wire, float sum)
{
    *wire = __float2half_rn(sum);
}

/* A thread takes a sample: neighbours read neighbours, and the order of a sum is that of the layers. */
template <class W> __global__ void __launch_bounds__(THREADS) add_layers(vs_norm_stage s)
{
    size_t i = blockIdx.x * static_cast<size_t>(THREADS) + threadIdx.x, b = s.first + i;
    double sum = 0;
    if (i >= s.count) return;
#pragma unroll 8
    for (size_t l = 0; l < s.layers; l++) sum += s.stack[l * s.B + b];
    put(static_cast<W *>(s.wire) + b, static_cast<float>(sum));
}

template <class W> __global__ void __launch_bounds__(THREADS) take_roots(vs_norm_stage s)
{
    size_t i = blockIdx.x * static_cast<size_t>(THREADS) + threadIdx.x, b = s.first + i;
    if (i >= s.count) return;
    double norm = sqrt(static_cast<double>(static_cast<float>(static_cast<const W *>(s.wire)[b]))),
           c = s.bound / (norm + 1e-6);
    s.norm[b] = norm;
    s.c[b] = isfinite(norm) ? static_cast<float>(c < 1 ? c : 1) : 0;
}

int launch(const char *doing, void (*kernel)(vs_norm_stage), size_t blocks, const vs_norm_stage *s)
{
    if (blocks > 0x7fffffff)
        return vs_cuda_refuse(-EOVERFLOW, "norm stages: more layers or samples than a grid has blocks");
    return vs_cuda_launch(doing, kernel, static_cast<unsigned>(blocks), THREADS, 0,
                          static_cast<cudaStream_t>(s->stream), *s);
}

int check(const vs_norm_stage *s)
{
    return vs_norm_stage_fits(s)
               ? 0
               : vs_cuda_refuse(-EINVAL,
                                "norm stages: an empty shape, no bound, or a wire that is neither fp32 nor fp16");
}

int cuda_stack(const vs_norm_stage *s)
{
    int err = check(s);
    return err ? err : launch("norm stages: stack", stack_layers, s->layers, s);
}

size_t blocks(const vs_norm_stage *s)
{
    return (s->count + THREADS - 1) / THREADS;
}

int cuda_local(const vs_norm_stage *s)
{
    int err = check(s);
    return err ? err
               : launch("norm stages: local sums", s->dtype == VS_COMM_fp16 ? add_layers<__half> : add_layers<float>,
                        blocks(s), s);
}

int cuda_finish(const vs_norm_stage *s)
{
    int err = check(s);
    return err ? err
               : launch("norm stages: roots", s->dtype == VS_COMM_fp16 ? take_roots<__half> : take_roots<float>,
                        blocks(s), s);
}

} // namespace

extern "C" const vs_norm_stages vs_norm_stages_cuda = {cuda_stack, cuda_local, cuda_finish};
