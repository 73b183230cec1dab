/* SPDX-License-Identifier: MIT
 *
 * device_measure.cu: what this GPU reaches now: cuBLAS' rate as a ceiling, and the rates that `auto` decides by. It takes memory
 * for the measurement and gives it back; nothing else may run on the GPU meanwhile.
 */
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <type_traits>

#include "kernels/cublas.cuh"
#include "kernels/device_cuda.cuh"
#include "kernels/norm_model.h"

namespace {

constexpr size_t CUBE = 8192;                     /* of the product whose rate is the ceiling */
constexpr vs_norms_layer LARGE = {2, 4096, 4096, 4096, nullptr, nullptr, nullptr, nullptr, nullptr};
constexpr int WARM = 2, TIMED = 7;

__device__ void store(float *to, float value)
{
    *to = value;
}
__device__ void store(__nv_bfloat16 *to, float value)
{
    *to = __float2bfloat16(value);
}
__device__ void store(__half *to, float value)
{
    *to = __float2half(value);
}

/* Random in [-1, 1): constant data draws less power and runs faster than anybody's. */
template <class E> __global__ void randomize(E *X, size_t count, uint64_t seed)
{
    size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < count; i += step) {
        uint64_t z = (i + seed) * 0x9e3779b97f4a7c15u; /* splitmix64 */
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        store(&X[i], static_cast<float>((z ^ (z >> 31)) >> 40) / 8388608.0f - 1.0f);
    }
}

int fill(void *X, size_t count, vs_norms_dtype dtype, uint64_t seed, cudaStream_t stream)
{
    auto queue = [&](auto *x) {
        return vs_cuda_launch("random data", randomize<std::remove_pointer_t<decltype(x)>>, 2048, 256, 0, stream, x, count,
                              seed);
    };
    if (dtype == VS_NORMS_bf16) return queue(static_cast<__nv_bfloat16 *>(X));
    if (dtype == VS_NORMS_fp16) return queue(static_cast<__half *>(X));
    return queue(static_cast<float *>(X));
}

/* Median time of `work`, which queues on the context's stream. */
template <class Work> int median_seconds(vs_cuda_context *context, const Work &work, double *seconds)
{
    float ms[TIMED];
    int err = 0;
    for (int i = 0; !err && i < WARM; i++) err = work();
    for (int i = 0; !err && i < TIMED; i++) {
        err = vs_cuda_failed(cudaEventRecord(context->begin, context->stream), "event");
        if (!err) err = work();
        if (!err) err = vs_cuda_failed(cudaEventRecord(context->end, context->stream), "event");
        if (!err) err = vs_cuda_failed(cudaEventSynchronize(context->end), "measurement");
        if (!err) err = vs_cuda_failed(cudaEventElapsedTime(&ms[i], context->begin, context->end), "measurement");
    }
    if (err) return err;
    std::nth_element(ms, ms + TIMED / 2, std::end(ms));
    *seconds = ms[TIMED / 2] / 1e3;
    return 0;
}

/* Memory of one measurement. */
struct buffers {
    void *at[4] = {};
    ~buffers()
    {
        for (void *memory : at) cudaFree(memory);
    }
    int alloc(int i, size_t bytes)
    {
        return vs_cuda_failed(cudaMalloc(&at[i], bytes), "memory for a measurement");
    }
};

/* The method's time on the large layer, its rate from the model's own formula. */
int measure(vs_cuda_context *context, vs_norms_call *call, const vs_norms_algorithm *algorithm, vs_norms_method method,
            double *rate)
{
    vs_norms_machine machine = {{1, 1, 1}, {1, 1, 1}, VS_NORMS_BYTES_PER_S, call->dtype == VS_NORMS_bf16 ? 2.0 : 4.0, true};
    buffers workspace;
    double seconds, traffic = method == VS_NORMS_BY_MATERIALIZE ? vs_norms_traffic_seconds(&machine, call->layers) : 0;
    double operations = vs_norms_seconds(&machine, call->layers, method) - traffic; /* at one operation per second */
    call->workspace_bytes = algorithm->workspace_bytes(call);
    int err = workspace.alloc(0, call->workspace_bytes);
    call->workspace = workspace.at[0];
    if (!err)
        err = vs_cuda_failed(cudaMemsetAsync(call->workspace, 0, call->workspace_bytes, context->stream), "workspace");
    if (!err) err = median_seconds(context, [&] { return algorithm->run(call); }, &seconds);
    if (err) {
        cudaStreamSynchronize(context->stream); /* before the memory goes */
        return err;
    }
    rate[method] = operations / std::max(seconds - traffic, seconds / 2);
    return 0;
}

} // namespace

int vs_cuda_calibrate(void *opaque, vs_norms_dtype dtype)
{
    vs_cuda_context *context = static_cast<vs_cuda_context *>(opaque);
    buffers data;
    size_t rows = LARGE.B * LARGE.T, element = vs_norms_dtype_bytes(dtype);
    int err = data.alloc(0, rows * LARGE.d * element);
    if (!err) err = data.alloc(1, rows * LARGE.p * element);
    if (!err) err = data.alloc(2, LARGE.B * sizeof(double));
    if (!err) err = fill(data.at[0], rows * LARGE.d, dtype, 1, context->stream);
    if (!err) err = fill(data.at[1], rows * LARGE.p, dtype, rows * LARGE.d, context->stream);
    vs_norms_layer layer = LARGE;
    layer.A = data.at[0];
    layer.G = data.at[1];
    layer.n = static_cast<double *>(data.at[2]);
    vs_norms_call call = {dtype, &layer, 1, nullptr, nullptr, 0, context, context->stream};
    double rate[VS_NORMS_METHODS]; /* all or none: auto compares them */
    if (!err) err = measure(context, &call, &vs_norms_cuda_gram, VS_NORMS_BY_GRAM, rate);
    if (!err) err = measure(context, &call, &vs_norms_cuda_direct, VS_NORMS_BY_DIRECT, rate);
    if (!err) err = measure(context, &call, &vs_norms_cuda_materialize, VS_NORMS_BY_MATERIALIZE, rate);
    if (!err) std::copy(rate, rate + VS_NORMS_METHODS, context->rate[dtype]);
    return err;
}

int vs_cuda_ceiling(void *opaque, vs_norms_dtype dtype, double *operations_per_s)
{
    vs_cuda_context *context = static_cast<vs_cuda_context *>(opaque);
    const float one = 1, zero = 0;
    const int n = static_cast<int>(CUBE);
    buffers data;
    vs_gemm_types types = vs_gemm_types_of(dtype);
    cublasHandle_t cublas = nullptr;
    double seconds = 0;
    int err = 0;
    for (int i = 0; !err && i < 3; i++) err = data.alloc(i, CUBE * CUBE * vs_norms_dtype_bytes(dtype));
    for (int i = 0; !err && i < 2; i++) err = fill(data.at[i], CUBE * CUBE, dtype, i * CUBE * CUBE, context->stream);
    if (!err) err = vs_cuda_blas(context, context->stream, &cublas);
    if (!err)
        err = median_seconds(
            context,
            [&] {
                return vs_cublas_failed(cublasGemmEx(cublas, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, data.at[0], types.data, n,
                                                     data.at[1], types.data, n, &zero, data.at[2], types.data, n, types.compute,
                                                     CUBLAS_GEMM_DEFAULT),
                                        "cuBLAS: a large product");
            },
            &seconds);
    cudaStreamSynchronize(context->stream); /* before the memory goes */
    if (!err) *operations_per_s = 2.0 * CUBE * CUBE * CUBE / seconds;
    return err;
}
