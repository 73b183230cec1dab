/* SPDX-License-Identifier: MIT
 *
 * cuda.cuh: what the CUDA algorithms share: error text, the context, and the deterministic sum. It launches nothing
 * but the second stage of that sum.
 */
#ifndef VS_KERNELS_CUDA_CUH
#define VS_KERNELS_CUDA_CUH

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cerrno>
#include <cstddef>

#include "kernels/norms.h"

struct vs_cuda_context {
    cublasHandle_t cublas;
    char name[320];
};

/* Keeps the text for last_error and returns -ENOMEM or -EIO; 0 for success. */
int vs_cuda_failed(cudaError_t status, const char *doing);
int vs_cublas_failed(cublasStatus_t status, const char *doing);

constexpr int VS_SUM_THREADS = 256;

/* Sum over the block, the same on every run: a fixed tree, no atomics. All VS_SUM_THREADS threads call it; thread 0
 * gets the sum. shared: VS_SUM_THREADS doubles, free for other use after the next __syncthreads. */
__device__ inline double vs_block_sum(double value, double *shared)
{
    int t = threadIdx.x;
    shared[t] = value;
    __syncthreads();
    for (int half = VS_SUM_THREADS / 2; half > 0; half /= 2) {
        if (t < half) shared[t] += shared[t + half];
        __syncthreads();
    }
    return shared[0];
}

/* Second stage: n[b] = sum of partial[b * count .. + count). One block per sample. */
int vs_cuda_sum_partials(const double *partial, size_t B, size_t count, double *n, cudaStream_t stream);

extern const struct vs_norms_algorithm vs_norms_cuda_gram_full;
extern const struct vs_norms_algorithm vs_norms_cuda_gram;

#endif
