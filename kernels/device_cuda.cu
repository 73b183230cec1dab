/* SPDX-License-Identifier: MIT
 *
 * device_cuda.cu: CUDA as a device (device.h): memory, copies, errors and the table of CUDA algorithms. The only symbol
 * of libvramscope_kernels.so that leaves it is vs_kernels_cuda. It launches no norm kernel.
 */
#include "kernels/device.h"

#include <cstdio>
#include <cstring>
#include <new>

#include "kernels/cublas.cuh"
#include "kernels/device_cuda.cuh"

namespace {

/* The context as this file holds it; all others see its first part. */
struct whole_context : vs_cuda_context {
    void *cublas_workspace;
};

constexpr size_t CUBLAS_WORKSPACE_BYTES = 32u << 20; /* what cuBLAS asks for on Hopper, and more than before it */

} // namespace

static thread_local char error_text[256];

int vs_cuda_failed(cudaError_t status, const char *doing)
{
    if (status == cudaSuccess) return 0;
    snprintf(error_text, sizeof error_text, "%s: %s (%s)", doing, cudaGetErrorString(status), cudaGetErrorName(status));
    cudaGetLastError(); /* this one is reported here, not by the next check of whoever */
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
    return vs_cuda_launch("sum of the partial norms", sum_partials, (unsigned)B, VS_SUM_THREADS, 0, stream, partial, count,
                          n);
}

int vs_cuda_refuse(int err, const char *text)
{
    snprintf(error_text, sizeof error_text, "%s", text);
    return err;
}

static whole_context *context_of(void *opaque)
{
    return static_cast<whole_context *>(static_cast<vs_cuda_context *>(opaque));
}

int vs_cuda_here(const vs_cuda_context *context)
{
    int current = -1;
    int err = vs_cuda_failed(cudaGetDevice(&current), "current device");
    if (err || current == context->device) return err;
    return vs_cuda_refuse(-EINVAL, "the context was opened on another GPU than the calling thread's current one");
}

int vs_cuda_blas(void *opaque, void *stream, cublasHandle_t *out)
{
    if (!opaque) return vs_cuda_refuse(-EINVAL, "no context");
    whole_context *context = context_of(opaque);
    int err = vs_cuda_here(context);
    if (!err) err = vs_cublas_failed(cublasSetStream(context->cublas, static_cast<cudaStream_t>(stream)), "cublasSetStream");
    if (!err)
        err = vs_cublas_failed(cublasSetWorkspace(context->cublas, context->cublas_workspace, CUBLAS_WORKSPACE_BYTES),
                               "cublasSetWorkspace");
    *out = context->cublas;
    return err;
}

static int cuda_use(int index)
{
    int count = 0;
    int err = vs_cuda_failed(cudaGetDeviceCount(&count), "count of GPUs");
    return err ? err : vs_cuda_failed(cudaSetDevice(index % count), "choice of a GPU");
}

static void cuda_close(void *opaque)
{
    if (!opaque) return;
    whole_context *context = context_of(opaque);
    if (context->stream) cudaStreamSynchronize(context->stream);
    if (context->cublas) cublasDestroy(context->cublas);
    cudaFree(context->cublas_workspace);
    if (context->begin) cudaEventDestroy(context->begin);
    if (context->end) cudaEventDestroy(context->end);
    if (context->stream) cudaStreamDestroy(context->stream);
    delete context;
}

static int cuda_open(void **out)
{
    cudaDeviceProp properties;
    whole_context *context = new (std::nothrow) whole_context();
    if (!context) return vs_cuda_refuse(-ENOMEM, "no host memory for a context");
    int err = vs_cuda_failed(cudaGetDevice(&context->device), "current device");
    if (!err) err = vs_cuda_failed(cudaGetDeviceProperties(&properties, context->device), "device properties");
    if (!err) err = vs_cuda_failed(cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking), "stream");
    if (!err) err = vs_cuda_failed(cudaEventCreate(&context->begin), "event");
    if (!err) err = vs_cuda_failed(cudaEventCreate(&context->end), "event");
    if (!err) err = vs_cuda_failed(cudaMalloc(&context->cublas_workspace, CUBLAS_WORKSPACE_BYTES), "memory for cuBLAS");
    if (!err) err = vs_cublas_failed(cublasCreate(&context->cublas), "cublasCreate");
    /* float32 inputs, float32 products, float32 sums: TF32 only where a call says so */
    if (!err) err = vs_cublas_failed(cublasSetMathMode(context->cublas, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION),
                                     "cublasSetMathMode");
    if (err) {
        cuda_close(static_cast<vs_cuda_context *>(context));
        return err;
    }
    if (properties.major < 8) {
        cuda_close(static_cast<vs_cuda_context *>(context));
        return vs_cuda_refuse(-ENOTSUP, "the kernels need a GPU of compute capability 8.0 or later (A100, H100 and newer)");
    }
    context->sm_count = properties.multiProcessorCount;
    context->major = properties.major;
    context->minor = properties.minor;
    snprintf(context->name, sizeof context->name, "%s, compute capability %d.%d", properties.name, properties.major,
             properties.minor);
    *out = static_cast<vs_cuda_context *>(context);
    return 0;
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

/* cudaMemset and copies from pageable memory return early, and streams that do not wait for the default one would be ahead. */
static int done(cudaError_t status, const char *doing)
{
    int err = vs_cuda_failed(status, doing);
    return err ? err : vs_cuda_failed(cudaStreamSynchronize(nullptr), doing);
}

static int cuda_clear(void *memory, size_t bytes)
{
    return done(cudaMemset(memory, 0, bytes), "clearing memory");
}

static int cuda_upload(void *to, const void *from, size_t bytes)
{
    return done(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "copy to the GPU");
}

static int cuda_download(void *to, const void *from, size_t bytes)
{
    return vs_cuda_failed(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "copy from the GPU");
}

static int cuda_wait(void *stream)
{
    return vs_cuda_failed(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "GPU work");
}

static int cuda_start(void *context, void *stream)
{
    return vs_cuda_failed(cudaEventRecord(context_of(context)->begin, static_cast<cudaStream_t>(stream)), "start of a time");
}

static int cuda_stop(void *opaque, void *stream, double *ms)
{
    whole_context *context = context_of(opaque);
    float between = 0;
    int err = vs_cuda_failed(cudaEventRecord(context->end, static_cast<cudaStream_t>(stream)), "end of a time");
    if (!err) err = vs_cuda_failed(cudaEventSynchronize(context->end), "GPU work");
    if (!err) err = vs_cuda_failed(cudaEventElapsedTime(&between, context->begin, context->end), "time of GPU work");
    *ms = between;
    return err;
}

/* Relaxed: a kernel's first use may load code or set its shared memory, which the stricter modes refuse. */
static int cuda_capture(void *context, void **stream)
{
    *stream = context_of(context)->stream;
    return vs_cuda_failed(cudaStreamBeginCapture(context_of(context)->stream, cudaStreamCaptureModeRelaxed),
                          "start of a capture");
}

static int cuda_captured(void *context, void **out)
{
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    int err = vs_cuda_failed(cudaStreamEndCapture(context_of(context)->stream, &graph), "end of a capture");
    if (!err) err = vs_cuda_failed(cudaGraphInstantiate(&executable, graph, 0), "graph");
    if (graph) cudaGraphDestroy(graph);
    *out = executable;
    return err;
}

static int cuda_replay(void *, void *graph, void *stream)
{
    return vs_cuda_failed(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(stream)), "graph");
}

static void cuda_forget(void *graph)
{
    if (graph) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

static const vs_norms_algorithm *cuda_norms(const char *name)
{
    static const vs_norms_algorithm *const all[] = {
#define X(id, what) &vs_norms_cuda_##id,
        VS_NORMS_ALGORITHMS(X)
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
    VS_DEVICE_VERSION, "cuda",          cuda_use,        cuda_open,    cuda_close,           cuda_describe,    cuda_alloc,
    cuda_release,      cuda_free_bytes, cuda_clear,      cuda_upload,  cuda_download,        cuda_wait,        cuda_start,
    cuda_stop,         cuda_capture,    cuda_captured,   cuda_replay,  cuda_forget,          vs_cuda_ceiling,  cuda_norms,
    &vs_layer_norms_cuda, &vs_train_cuda, &vs_norm_stages_cuda, &vs_queue_cuda, &vs_comm_nccl, vs_cuda_calibrate, vs_cuda_choice, cuda_last_error};

extern "C" __attribute__((visibility("default"))) const struct vs_device *vs_kernels_cuda(char *why, size_t bytes)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return &cuda_device;
    snprintf(why, bytes, "no usable GPU: %s", status == cudaSuccess ? "none is visible" : cudaGetErrorString(status));
    return nullptr;
}
