/* SPDX-License-Identifier: MIT
 *
 * cuda.cuh: what the CUDA algorithms share: error text, the context, the deterministic sums, and the kernels behind the
 * names of norms.h. It launches nothing itself.
 *
 * A named algorithm (norm_gram.cu, norm_direct.cu) checks the call and picks a backend: the Hopper one (wgmma, TMA) where
 * the GPU and the alignment allow it, else the portable one (mma.sync, any alignment, from sm_80 on).
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
    cudaStream_t stream;      /* for capture */
    cudaEvent_t begin, end;   /* of start and stop */
    int device, sm_count, major, minor;
    char name[320];
    /* What `auto` decides by: operations per second of gram, direct and materialize for large layers; 0: not measured. */
    double rate[VS_NORMS_DTYPE_COUNT][3];
    /* How many clusters of n blocks of the split Gram kernel the GPU holds at once; 0: not asked yet. */
    unsigned clusters[9];
};

inline vs_cuda_context *vs_cuda_context_of(const vs_norms_call *call)
{
    return static_cast<vs_cuda_context *>(call->context);
}

/* Keeps the text for last_error and returns -ENOMEM or -EIO; 0 for success. */
int vs_cuda_failed(cudaError_t status, const char *doing);
int vs_cublas_failed(cublasStatus_t status, const char *doing);
/* The same for a failure that no library names: the text, and err back. */
int vs_cuda_refuse(int err, const char *text);

/* Queues kernel<<<grid, block, shared_bytes, stream>>>(values...). By this and not by cudaGetLastError, which would also tell of
 * an older error of the calling program, and take it away. */
template <class... Parameters, class... Values>
int vs_cuda_launch(const char *doing, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, Values &&...values)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    return vs_cuda_failed(cudaLaunchKernelEx(&config, kernel, static_cast<Values &&>(values)...), doing);
}

/* 0, or -EINVAL: the calling thread's current device is not the context's. */
int vs_cuda_here(const vs_cuda_context *context);

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

/* A backend of gram or direct. `takes`: can it run this call at all? `run` may rely on vs_norms_check_run. */
struct vs_norms_backend {
    bool (*takes)(const vs_norms_call *call);
    size_t (*workspace_bytes)(const vs_norms_call *call);
    int (*run)(const vs_norms_call *call);
    /* What `run` is expected to take on a machine like the one it was tuned on; NULL: cannot say. */
    double (*seconds)(const vs_norms_call *call);
};
extern const vs_norms_backend vs_gram_sm90, vs_direct_sm90; /* sm_90, all but fp32, rows of whole 16-byte groups */
extern const vs_norms_backend vs_gram_mma, vs_direct_mma;   /* sm_80 and later, everything */

#define X(name, what) extern const struct vs_norms_algorithm vs_norms_cuda_##name;
VS_NORMS_ALGORITHMS(X)
#undef X

#endif
