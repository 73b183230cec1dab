/* SPDX-License-Identifier: MIT
 *
 * cuda_oracle_driver.c: the oracle linked with the driver itself. It must never be told that it is recorded.
 * link: -l:libcuda.so.1 */
#include <stddef.h>
#include <stdint.h>

#include "profiler/cuda_abi.h"

int cuMemAlloc_v2(uint64_t *, size_t);
int cuMemFree_v2(uint64_t);
int cuMemAllocPitch_v2(uint64_t *, size_t *, size_t, size_t, unsigned);
int cuMemAllocManaged(uint64_t *, size_t, unsigned);
int cuMemAllocHost_v2(void **, size_t);
int cuMemFreeHost(void *);
int cuMemHostRegister_v2(void *, size_t, unsigned);
int cuMemHostUnregister(void *);
int cuStreamCreate(void **, unsigned);
int cuStreamSynchronize(void *);
int cuMemAllocAsync(uint64_t *, size_t, void *);
int cuMemAllocAsync_ptsz(uint64_t *, size_t, void *);
int cuMemFreeAsync(uint64_t, void *);
int cuMemFreeAsync_ptsz(uint64_t, void *);
static int oracle_malloc(void **p, size_t n) { return cuMemAlloc_v2((uint64_t *)p, n); }
static int oracle_free(void *p) { return cuMemFree_v2((uintptr_t)p); }
static int oracle_pitch(void **p, size_t *pitch, size_t w, size_t h) { return cuMemAllocPitch_v2((uint64_t *)p, pitch, w, h, 4); }
static int oracle_managed(void **p, size_t n) { return cuMemAllocManaged((uint64_t *)p, n, 1); }
static int oracle_host(void **p, size_t n) { return cuMemAllocHost_v2(p, n); }
static int oracle_free_host(void *p) { return cuMemFreeHost(p); }
static int oracle_register(void *p, size_t n) { return cuMemHostRegister_v2(p, n, 0); }
static int oracle_unregister(void *p) { return cuMemHostUnregister(p); }
static int oracle_stream(void **s) { return cuStreamCreate(s, 0); }
static int oracle_sync(void *s) { return cuStreamSynchronize(s); }
static int oracle_async(void **p, size_t n, void *s) { return cuMemAllocAsync((uint64_t *)p, n, s); }
static int oracle_async_ptsz(void **p, size_t n, void *s) { return cuMemAllocAsync_ptsz((uint64_t *)p, n, s); }
static int oracle_free_async(void *p, void *s) { return cuMemFreeAsync((uintptr_t)p, s); }
static int oracle_free_async_ptsz(void *p, void *s) { return cuMemFreeAsync_ptsz((uintptr_t)p, s); }

#include "cuda_oracle.h"

/* Suffixed as cuda.h's macros do it. */
#define NAMES(X)                                                                                                    \
    X(cuInit, cuInit) X(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain) X(cuCtxSetCurrent, cuCtxSetCurrent)     \
    X(cuCtxGetCurrent, cuCtxGetCurrent) X(cuCtxCreate, cuCtxCreate_v2) X(cuCtxDestroy, cuCtxDestroy_v2)             \
    X(cuMemGetInfo, cuMemGetInfo_v2) X(cuArrayCreate, cuArrayCreate_v2) X(cuArray3DCreate, cuArray3DCreate_v2)      \
    X(cuArrayDestroy, cuArrayDestroy) X(cuMipmappedArrayCreate, cuMipmappedArrayCreate)                             \
    X(cuMipmappedArrayDestroy, cuMipmappedArrayDestroy) X(cuMemPoolCreate, cuMemPoolCreate)                         \
    X(cuMemPoolDestroy, cuMemPoolDestroy) X(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync)                       \
    X(cuMemCreate, cuMemCreate) X(cuMemRelease, cuMemRelease) X(cuMemAddressReserve, cuMemAddressReserve)           \
    X(cuMemMap, cuMemMap) X(cuMemUnmap, cuMemUnmap) X(cuMemRetainAllocationHandle, cuMemRetainAllocationHandle)     \
    X(cuIpcGetMemHandle, cuIpcGetMemHandle) X(cuIpcOpenMemHandle, cuIpcOpenMemHandle_v2)                            \
    X(cuIpcCloseMemHandle, cuIpcCloseMemHandle) X(cuStreamBeginCapture, cuStreamBeginCapture_v2)                    \
    X(cuStreamEndCapture, cuStreamEndCapture) X(cuGraphLaunch, cuGraphLaunch)                                       \
    X(cuDeviceGraphMemTrim, cuDeviceGraphMemTrim)
#define X(field, exported) extern __typeof__(*d.field) exported;
NAMES(X)
#undef X

int main(void)
{
#define X(field, exported) d.field = exported;
    NAMES(X)
#undef X
    return oracle_run();
}
