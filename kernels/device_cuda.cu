/* SPDX-License-Identifier: MIT
 *
 * device_cuda.cu: CUDA as a device (device.h): memory, copies, errors and the table of CUDA algorithms. The only symbol
 * of libvramscope_kernels.so that leaves it is vs_kernels_cuda.
 */
#include "kernels/device.h"

#include <cstdio>
#include <cstring>
#include <new>

#include "kernels/cuda.cuh"

static thread_local char error_text[256];

int vs_cuda_failed(cudaError_t status, const char *doing)
{
    if (status == cudaSuccess) return 0;
    snprintf(error_text, sizeof error_text, "%s: %s (%s)", doing, cudaGetErrorString(status), cudaGetErrorName(status));
    cudaGetLastError(); /* an out-of-memory answer must not fail the next launch's check */
    return status == cudaErrorMemoryAllocation ? -ENOMEM : -EIO;
}

int vs_cublas_failed(cublasStatus_t status, const char *doing)
{
    if (status == CUBLAS_STATUS_SUCCESS) return 0;
    snprintf(error_text, sizeof error_text, "%s: %s", doing, cublasGetStatusString(status));
    return status == CUBLAS_STATUS_ALLOC_FAILED ? -ENOMEM : -EIO;
}

static __global__ void sum_partials(const double *partial, size_t count, double *n)
{
    __shared__ double shared[VS_SUM_THREADS];
    const double *mine = partial + blockIdx.x * count;
    double sum = 0;
    for (size_t i = threadIdx.x; i < count; i += VS_SUM_THREADS) sum += mine[i];
    sum = vs_block_sum(sum, shared);
    if (threadIdx.x == 0) n[blockIdx.x] = sum;
}

int vs_cuda_sum_partials(const double *partial, size_t B, size_t count, double *n, cudaStream_t stream)
{
    sum_partials<<<(unsigned)B, VS_SUM_THREADS, 0, stream>>>(partial, count, n);
    return vs_cuda_failed(cudaGetLastError(), "sum of the partial norms");
}

static int cuda_open(void **out)
{
    cudaDeviceProp properties;
    int device = 0, err;
    vs_cuda_context *context = new (std::nothrow) vs_cuda_context();
    if (!context) return -ENOMEM;
    err = vs_cuda_failed(cudaGetDevice(&device), "current device");
    if (!err) err = vs_cuda_failed(cudaGetDeviceProperties(&properties, device), "device properties");
    if (!err) err = vs_cublas_failed(cublasCreate(&context->cublas), "cublasCreate");
    if (err) {
        delete context;
        return err;
    }
    cublasSetMathMode(context->cublas, CUBLAS_DEFAULT_MATH); /* float32 inputs, float32 products: no TF32 */
    snprintf(context->name, sizeof context->name, "%s, compute capability %d.%d", properties.name, properties.major,
             properties.minor);
    *out = context;
    return 0;
}

static void cuda_close(void *opaque)
{
    vs_cuda_context *context = static_cast<vs_cuda_context *>(opaque);
    if (!context) return;
    cublasDestroy(context->cublas);
    delete context;
}

static const char *cuda_describe(void *context)
{
    return static_cast<vs_cuda_context *>(context)->name;
}

static int cuda_alloc(size_t bytes, void **out)
{
    return vs_cuda_failed(cudaMalloc(out, bytes), "cudaMalloc");
}

static void cuda_release(void *memory)
{
    if (memory) cudaFree(memory);
}

static int cuda_free_bytes(size_t *available)
{
    size_t total;
    return vs_cuda_failed(cudaMemGetInfo(available, &total), "cudaMemGetInfo");
}

static int cuda_upload(void *to, const void *from, size_t bytes)
{
    return vs_cuda_failed(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "copy to the GPU");
}

static int cuda_download(void *to, const void *from, size_t bytes)
{
    return vs_cuda_failed(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "copy from the GPU");
}

static int cuda_wait(void *stream)
{
    return vs_cuda_failed(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "GPU work");
}

static const vs_norms_algorithm *cuda_norms(const char *name)
{
    static const vs_norms_algorithm *const all[] = {
#define X(id, what) &vs_norms_cuda_##id,
        VS_NORM_ALGORITHMS(X)
#undef X
    };
    for (const vs_norms_algorithm *a : all)
        if (!strcmp(a->name, name)) return a;
    return nullptr;
}

static const char *cuda_last_error(void)
{
    return error_text;
}

static const vs_device cuda_device = {
    VS_DEVICE_VERSION, "cuda",      cuda_open,     cuda_close, cuda_describe, cuda_alloc,     cuda_release,
    cuda_free_bytes,   cuda_upload, cuda_download, cuda_wait,  cuda_norms,    cuda_last_error};

extern "C" __attribute__((visibility("default"))) const struct vs_device *vs_kernels_cuda(char *why, size_t bytes)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return &cuda_device;
    snprintf(why, bytes, "no usable GPU: %s", status == cudaSuccess ? "none is visible" : cudaGetErrorString(status));
    return nullptr;
}
