/* SPDX-License-Identifier: MIT
 *
 * cudart.c: a stand-in for the CUDA runtime, as libcudart.so.13 and, compiled into a program, as the static one. It finds
 * the driver as the real one was measured to: opens libcuda.so.1, one dlsym for cuGetProcAddress_v2, then every function
 * by base name, version and flags; an empty query comes first. It must never name a driver function otherwise.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cudart_api.h"

enum { NO_DRIVER = 35, BAD = 1 };

/* X(base name, version, parameters); P: the per-thread stream's form as well */
#define DRIVER(X, P)                                                                       \
    X(cuInit, 2000, (unsigned))                                                            \
    X(cuDevicePrimaryCtxRetain, 7000, (void **, int))                                      \
    X(cuDevicePrimaryCtxReset, 7000, (int))                                                \
    X(cuCtxSetCurrent, 4000, (void *))                                                     \
    X(cuCtxGetCurrent, 4000, (void **))                                                    \
    X(cuMemAlloc, 3020, (uint64_t *, size_t))                                              \
    X(cuMemFree, 3020, (uint64_t))                                                         \
    X(cuMemAllocPitch, 3020, (uint64_t *, size_t *, size_t, size_t, unsigned))             \
    X(cuMemAllocManaged, 6000, (uint64_t *, size_t, unsigned))                             \
    X(cuMemHostAlloc, 2020, (void **, size_t, unsigned))                                   \
    X(cuMemFreeHost, 2000, (void *))                                                       \
    X(cuMemHostRegister, 6050, (void *, size_t, unsigned))                                 \
    X(cuMemHostUnregister, 4000, (void *))                                                 \
    X(cuMemGetInfo, 3020, (size_t *, size_t *))                                            \
    X(cuStreamCreate, 2000, (void **, unsigned))                                           \
    X(cuStreamSynchronize, 2000, (void *))                                                 \
    P(cuMemAllocAsync, 11020, (uint64_t *, size_t, void *))                                \
    P(cuMemFreeAsync, 11020, (uint64_t, void *))

static struct {
#define X(name, version, params) int(*name) params;
#define P(name, version, params) int(*name) params; int(*name##_ptsz) params;
    DRIVER(X, P)
#undef X
#undef P
} driver;
static int (*get)(const char *, void **, int, uint64_t, int *);
static int failed;

static int start(void)
{
    void *library, *context = NULL, *nested = NULL;
    if (get)
        return failed;
    library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library)
        return failed = NO_DRIVER;
    *(void **)&get = dlsym(library, "cuGetProcAddress_v2");
    if (!get)
        return failed = NO_DRIVER;
    get("", &nested, 0, 0, NULL);
    get("cuGetProcAddress", &nested, 12000, 0, NULL); /* nested queries go through what this gave */
    if (nested)
        *(void **)&get = nested;
#define X(name, version, params) get(#name, (void **)&driver.name, version, 0, NULL);
#define P(name, version, params)                       \
    get(#name, (void **)&driver.name, version, 0, NULL); \
    get(#name, (void **)&driver.name##_ptsz, version, 2, NULL);
    DRIVER(X, P)
#undef X
#undef P
    if ((failed = driver.cuInit(0)) || (failed = driver.cuDevicePrimaryCtxRetain(&context, 0)))
        return failed;
    return failed = driver.cuCtxSetCurrent(context);
}

#define CALL(...) \
    int err = start(); \
    return err ? err : (__VA_ARGS__)

int cudaMalloc(void **out, size_t bytes) { CALL(driver.cuMemAlloc((uint64_t *)out, bytes)); }
int cudaFree(void *p) { CALL(driver.cuMemFree((uintptr_t)p)); }
int cudaMallocPitch(void **out, size_t *pitch, size_t w, size_t h) { CALL(driver.cuMemAllocPitch((uint64_t *)out, pitch, w, h, 4)); }
int cudaMallocManaged(void **out, size_t bytes, unsigned flags) { CALL(driver.cuMemAllocManaged((uint64_t *)out, bytes, flags)); }
int cudaMallocHost(void **out, size_t bytes) { CALL(driver.cuMemHostAlloc(out, bytes, 0)); }
int cudaFreeHost(void *p) { CALL(driver.cuMemFreeHost(p)); }
int cudaHostRegister(void *p, size_t bytes, unsigned flags) { CALL(driver.cuMemHostRegister(p, bytes, flags)); }
int cudaHostUnregister(void *p) { CALL(driver.cuMemHostUnregister(p)); }
int cudaMallocAsync(void **out, size_t bytes, void *stream) { CALL(driver.cuMemAllocAsync((uint64_t *)out, bytes, stream)); }
int cudaFreeAsync(void *p, void *stream) { CALL(driver.cuMemFreeAsync((uintptr_t)p, stream)); }
int cudaMallocAsync_ptsz(void **out, size_t bytes, void *stream) { CALL(driver.cuMemAllocAsync_ptsz((uint64_t *)out, bytes, stream)); }
int cudaFreeAsync_ptsz(void *p, void *stream) { CALL(driver.cuMemFreeAsync_ptsz((uintptr_t)p, stream)); }
int cudaStreamCreate(void **out) { CALL(driver.cuStreamCreate(out, 0)); }
int cudaStreamSynchronize(void *stream) { CALL(driver.cuStreamSynchronize(stream)); }
int cudaMemGetInfo(size_t *unused, size_t *total) { CALL(driver.cuMemGetInfo(unused, total)); }
int cudaDeviceReset(void) { CALL(driver.cuDevicePrimaryCtxReset(0)); }
int cudaGetDriverEntryPointByVersion(const char *name, void **out, unsigned version, uint64_t flags, int *status)
{
    CALL(get(name, out, (int)version, flags, status));
}
