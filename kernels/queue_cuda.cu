/* SPDX-License-Identifier: MIT
 *
 * queue_cuda.cu: queue.h by CUDA's streams and events.
 */
#include "kernels/queue.h"

#include "kernels/cuda.cuh"

static int cuda_open(void **stream, bool urgent)
{
    int least = 0, greatest = 0;
    int err = vs_cuda_failed(cudaDeviceGetStreamPriorityRange(&least, &greatest), "priorities of streams");
    return err ? err
               : vs_cuda_failed(cudaStreamCreateWithPriority(reinterpret_cast<cudaStream_t *>(stream), cudaStreamNonBlocking,
                                                             urgent ? greatest : least),
                                "stream");
}

static void cuda_close(void *stream)
{
    if (stream) cudaStreamDestroy(static_cast<cudaStream_t>(stream));
}

static int cuda_event_open(void **event, bool timed)
{
    return vs_cuda_failed(cudaEventCreateWithFlags(reinterpret_cast<cudaEvent_t *>(event),
                                                   timed ? cudaEventDefault : cudaEventDisableTiming),
                          "event");
}

static void cuda_event_close(void *event)
{
    if (event) cudaEventDestroy(static_cast<cudaEvent_t>(event));
}

static int cuda_record(void *event, void *stream)
{
    return vs_cuda_failed(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)), "event");
}

static int cuda_follow(void *stream, void *event)
{
    return vs_cuda_failed(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0),
                          "order of streams");
}

static int cuda_ms(void *first, void *last, double *ms)
{
    float between = 0;
    int err = vs_cuda_failed(cudaEventSynchronize(static_cast<cudaEvent_t>(last)), "GPU work");
    if (!err)
        err = vs_cuda_failed(cudaEventElapsedTime(&between, static_cast<cudaEvent_t>(first), static_cast<cudaEvent_t>(last)),
                             "time of GPU work");
    *ms = between;
    return err;
}

static int cuda_tell(void *stream, void (*tell)(void *arg), void *arg)
{
    return vs_cuda_failed(cudaLaunchHostFunc(static_cast<cudaStream_t>(stream), tell, arg), "message to the host");
}

extern "C" const vs_queue vs_queue_cuda = {cuda_open,   cuda_close,  cuda_event_open, cuda_event_close,
                                           cuda_record, cuda_follow, cuda_ms,         cuda_tell};
