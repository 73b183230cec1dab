/* SPDX-License-Identifier: MIT
 *
 * cuda_oracle.h: a workload of which every number is known: 23 allocations, 17 frees, one refused allocation, of every kind
 * the driver has. What it prints about itself is the truth a recording is compared with. Included by the programs
 * cuda_oracle*.c, which differ in how they reach the driver. On success it ends with status 0.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/cuda_abi.h"

#define MIB (1ull << 20)

/* X(name, version of its binary interface, parameters) */
#define FUNCTIONS(X)                                                                               \
    X(cuInit, 2000, (unsigned))                                                                    \
    X(cuDevicePrimaryCtxRetain, 7000, (void **, int))                                              \
    X(cuCtxSetCurrent, 4000, (void *))                                                             \
    X(cuCtxGetCurrent, 4000, (void **))                                                            \
    X(cuCtxCreate, 3020, (void **, unsigned, int))                                                 \
    X(cuCtxDestroy, 4000, (void *))                                                                \
    X(cuMemGetInfo, 3020, (size_t *, size_t *))                                                    \
    X(cuArrayCreate, 3020, (void **, const struct vs_cu_array *))                                  \
    X(cuArray3DCreate, 3020, (void **, const struct vs_cu_array3d *))                              \
    X(cuArrayDestroy, 2000, (void *))                                                              \
    X(cuMipmappedArrayCreate, 5000, (void **, const struct vs_cu_array3d *, unsigned))             \
    X(cuMipmappedArrayDestroy, 5000, (void *))                                                     \
    X(cuMemPoolCreate, 11020, (void **, const struct vs_cu_pool_props *))                          \
    X(cuMemPoolDestroy, 11020, (void *))                                                           \
    X(cuMemAllocFromPoolAsync, 11020, (uint64_t *, size_t, void *, void *))                        \
    X(cuMemCreate, 10020, (uint64_t *, size_t, const struct vs_cu_mem_prop *, unsigned long long)) \
    X(cuMemRelease, 10020, (uint64_t))                                                             \
    X(cuMemAddressReserve, 10020, (uint64_t *, size_t, size_t, uint64_t, unsigned long long))      \
    X(cuMemMap, 10020, (uint64_t, size_t, size_t, uint64_t, unsigned long long))                   \
    X(cuMemUnmap, 10020, (uint64_t, size_t))                                                       \
    X(cuMemRetainAllocationHandle, 11000, (uint64_t *, void *))                                    \
    X(cuIpcGetMemHandle, 4010, (struct vs_cu_ipc *, uint64_t))                                     \
    X(cuIpcOpenMemHandle, 11000, (uint64_t *, struct vs_cu_ipc, unsigned))                         \
    X(cuIpcCloseMemHandle, 4010, (uint64_t))                                                       \
    X(cuStreamBeginCapture, 10010, (void *, int))                                                  \
    X(cuStreamEndCapture, 10000, (void *, void **))                                                \
    X(cuGraphLaunch, 10000, (void *, void *))                                                      \
    X(cuDeviceGraphMemTrim, 11040, (int))

static struct {
#define X(name, version, params) int(*name) params;
    FUNCTIONS(X)
#undef X
} d;

static uint64_t peak_used;

static void look(int line)
{
    size_t unused = 0, total = 0;
    if (d.cuMemGetInfo(&unused, &total)) {
        printf("line %d: cuMemGetInfo failed\n", line);
        exit(3);
    }
    if (total - unused > peak_used)
        peak_used = total - unused;
}

/* The call must give this result and leave errno alone. */
#define EXPECT(result, call)                                                      \
    do {                                                                          \
        errno = 77;                                                               \
        int got_ = (call);                                                        \
        if (got_ != (result) || errno != 77) {                                    \
            printf("line %d: %s: %d, errno %d\n", __LINE__, #call, got_, errno);  \
            exit(2);                                                              \
        }                                                                         \
        look(__LINE__);                                                           \
    } while (0)

static void *free_it(void *p)
{
    void *context = NULL;
    d.cuDevicePrimaryCtxRetain(&context, 0);
    d.cuCtxSetCurrent(context);
    return (void *)(intptr_t)oracle_free(p);
}

static void device_host_arrays(void **keep)
{
    void *p[16], *array[3];
    size_t pitch = 0;
    static char mine[65536] __attribute__((aligned(4096)));
    const struct vs_cu_array flat = {100, 10, 0x20, 1};
    const struct vs_cu_array3d deep = {17, 9, 5, 0x20, 4, 0}, mip = {256, 256, 0, 1, 4, 0};

    EXPECT(0, oracle_malloc(&p[0], 4 * MIB + 1));                  /* 1 */
    EXPECT(0, oracle_malloc(keep, 1000));                          /* 2: lives on */
    EXPECT(0, oracle_pitch(&p[2], &pitch, 100, 10));               /* 3 */
    EXPECT(0, oracle_managed(&p[3], 2 * MIB));                     /* 4 */
    EXPECT(0, oracle_host(&p[4], 12345));                          /* 5 */
    EXPECT(0, oracle_register(mine, sizeof mine));                 /* 6 */
    EXPECT(712, oracle_register(mine, sizeof mine));               /* refused, and no lack of memory */
    EXPECT(0, d.cuArrayCreate(&array[0], &flat));                  /* 7 */
    EXPECT(0, d.cuArray3DCreate(&array[1], &deep));                /* 8 */
    EXPECT(0, d.cuMipmappedArrayCreate(&array[2], &mip, 5));       /* 9 */
    EXPECT(2, oracle_malloc(&p[5], 2048 * MIB));                   /* the refused one */
    EXPECT(0, oracle_free(NULL));
    EXPECT(1, oracle_free((void *)0x1234500));                     /* a refused free */
    EXPECT(0, oracle_free(p[0]));                                  /* frees 1 to 8 */
    EXPECT(0, oracle_free(p[2]));
    EXPECT(0, oracle_free(p[3]));
    EXPECT(0, oracle_free_host(p[4]));
    EXPECT(0, oracle_unregister(mine));
    EXPECT(0, d.cuArrayDestroy(array[0]));
    EXPECT(0, d.cuArrayDestroy(array[1]));
    EXPECT(0, d.cuMipmappedArrayDestroy(array[2]));
}

static void stream_ordered(void)
{
    void *stream, *p[3], *pool, *graph;
    uint64_t q[2];
    const struct vs_cu_pool_props props = {.alloc_type = 1, .location = {1, 0}};

    EXPECT(0, oracle_stream(&stream));
    EXPECT(0, oracle_async(&p[0], 3 * MIB, stream));               /* 10 */
    EXPECT(0, oracle_async(&p[1], 3000, stream));                  /* 11 */
    EXPECT(0, oracle_async_ptsz(&p[2], MIB, NULL));                /* 12 */
    EXPECT(0, oracle_free_async(p[0], stream));                    /* frees 9 to 11 */
    EXPECT(0, oracle_free(p[1]));
    EXPECT(0, oracle_free_async_ptsz(p[2], NULL));
    EXPECT(0, oracle_sync(stream));                                /* the default pool gives everything back */
    EXPECT(0, d.cuMemPoolCreate(&pool, &props));
    EXPECT(0, d.cuMemAllocFromPoolAsync(&q[0], 5 * MIB, pool, stream)); /* 13 */
    EXPECT(0, d.cuMemAllocFromPoolAsync(&q[1], 2 * MIB, pool, stream)); /* 14: lives on, and the pool with it */
    EXPECT(0, oracle_free_async((void *)(uintptr_t)q[0], stream)); /* free 12 */
    EXPECT(0, d.cuMemPoolDestroy(pool));

    EXPECT(0, d.cuStreamBeginCapture(stream, 0));
    EXPECT(0, oracle_async(&p[0], 6 * MIB, stream));               /* 22: an address only */
    EXPECT(0, oracle_free_async(p[0], stream));                    /* free 13 */
    EXPECT(0, d.cuStreamEndCapture(stream, &graph));               /* fails if anything asked the wrong thing meanwhile */
    EXPECT(0, d.cuGraphLaunch(graph, stream));
    EXPECT(0, d.cuDeviceGraphMemTrim(0));
}

static void virtual_memory(void)
{
    const struct vs_cu_mem_prop prop = {.type = 1, .location = {1, 0}};
    uint64_t handle, spare, again = 0, va = 0;

    EXPECT(0, d.cuMemCreate(&handle, 4 * MIB, &prop, 0));          /* 15: once, however often it is mapped */
    EXPECT(0, d.cuMemCreate(&spare, 2 * MIB, &prop, 0));           /* 16 */
    EXPECT(0, d.cuMemAddressReserve(&va, 8 * MIB, 0, 0, 0));
    EXPECT(0, d.cuMemMap(va, 4 * MIB, 0, handle, 0));
    EXPECT(0, d.cuMemMap(va + 4 * MIB, 4 * MIB, 0, handle, 0));
    EXPECT(0, d.cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)va));
    EXPECT(0, d.cuMemRelease(handle));
    EXPECT(0, d.cuMemRelease(again));
    EXPECT(0, d.cuMemRelease(spare));                              /* free 14 */
    EXPECT(0, d.cuMemUnmap(va, 8 * MIB));                          /* free 15: both mappings, the last references */
    EXPECT(1, d.cuMemUnmap(va, 8 * MIB));
}

static void others_and_contexts(void *kept)
{
    struct vs_cu_ipc ipc;
    void *primary, *second, *p, *host;
    uint64_t theirs;
    pthread_t thread;

    EXPECT(0, d.cuIpcGetMemHandle(&ipc, (uint64_t)(uintptr_t)kept));
    EXPECT(0, d.cuIpcOpenMemHandle(&theirs, ipc, 1));              /* 17: another's */
    EXPECT(0, d.cuIpcCloseMemHandle(theirs));                      /* free 16 */
    EXPECT(0, d.cuCtxGetCurrent(&primary));
    EXPECT(0, d.cuCtxCreate(&second, 0, 0));
    EXPECT(0, oracle_malloc(&p, 8 * MIB));                         /* 18 and 19: gone with their context */
    EXPECT(0, oracle_host(&host, 4096));
    EXPECT(0, d.cuCtxSetCurrent(primary));
    EXPECT(0, d.cuCtxDestroy(second));
    EXPECT(0, oracle_malloc(&p, 7777));                            /* 20 */
    pthread_create(&thread, NULL, free_it, p);                     /* free 17, on another thread */
    pthread_join(thread, NULL);
    EXPECT(0, oracle_malloc(&p, 7777));                            /* 21: the same address again, and lives on */
    EXPECT(0, oracle_malloc(&p, 555));                             /* 23: lives on */
}

static int oracle_run(void)
{
    void *kept, *context;
    if (d.cuInit(0) || d.cuDevicePrimaryCtxRetain(&context, 0) || d.cuCtxSetCurrent(context))
        return 4;
    device_host_arrays(&kept);
    stream_ordered();
    virtual_memory();
    others_and_contexts(kept);
    printf("peak_used %llu\n", (unsigned long long)peak_used);
    return 0;
}
