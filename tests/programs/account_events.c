/* SPDX-License-Identifier: MIT
 *
 * account_events.c: lets the stand-in driver take device memory for itself in every way it does, and prints what it should
 * have come to. Arguments: what to do. It must never be told that it is recorded.
 * link: -l:libcuda.so.1 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profiler/cuda_abi.h"

int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuDevicePrimaryCtxReset_v2(int);
int cuCtxCreate_v2(void **, unsigned, int);
int cuCtxDestroy_v2(void *);
int cuCtxSetCurrent(void *);
int cuCtxSetLimit(int, size_t);
int cuMemAlloc_v2(uint64_t *, size_t);
int cuMemFree_v2(uint64_t);
int cuMemAllocAsync(uint64_t *, size_t, void *);
int cuModuleLoadData(void **, const void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuModuleUnload(void *);
int cuLibraryLoadData(void **, const void *, int *, void **, unsigned, int *, void **, unsigned);
int cuLibraryUnload(void *);
int cuLibraryGetKernel(void **, void *, const char *);
int cuKernelGetFunction(void **, void *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
int cuStreamCreate(void **, unsigned);
int cuGraphInstantiateWithFlags(void **, void *, unsigned long long);
int fake_cuda_launched(void);

static void *context, *library;

#define DO(call)                                  \
    do {                                          \
        if ((call) != 0) {                        \
            printf("%s failed\n", #call);         \
            exit(1);                              \
        }                                         \
    } while (0)

static void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}

static void *kernel(const char *name)
{
    void *k = NULL;
    DO(cuLibraryGetKernel(&k, library, name));
    return k;
}

static void launch(void *f)
{
    DO(cuLaunchKernel(f, 1, 2, 3, 4, 5, 6, 7, (void *)8, (void **)9, (void **)10));
}

static void begin(void)
{
    DO(cuInit(0));
    pause_ms(150); /* as the real one takes: 100 and more */
    DO(cuDevicePrimaryCtxRetain(&context, 0));
    DO(cuDevicePrimaryCtxRetain(&context, 0));
    DO(cuCtxSetCurrent(context));
    DO(cuLibraryLoadData(&library, "", NULL, NULL, 0, NULL, NULL, 0));
}

/* 100 context, 2 module, 2 + 2 kernels, 2 + 64 big stack, 4 streams, 2 graph. */
static void everything(void)
{
    void *module, *f, *stream, *graph;
    int i;
    DO(cuModuleLoadData(&module, ""));
    DO(cuModuleGetFunction(&f, module, "plain"));
    launch(f);
    launch(kernel("lazy"));
    DO(cuKernelGetFunction(&f, kernel("asked")));
    f = kernel("bigstack");
    for (i = 0; i < 1000; i++)
        launch(f);
    for (i = 0; i < 5; i++)
        DO(cuStreamCreate(&stream, 0));
    DO(cuGraphInstantiateWithFlags(&graph, context, 0));
}

/* Another library's kernel, where the last one's was. */
static void reload(void)
{
    void *k = kernel("lazy");
    launch(k);
    DO(cuLibraryUnload(library));
    launch(k);
    launch(k);
}

static int other_device(void)
{
    void *second;
    DO(cuCtxCreate_v2(&second, 0, 0));
    pause_ms(50);
    DO(cuCtxDestroy_v2(second));
    DO(cuCtxSetCurrent(context));
    return 0;
}

static void *foreign_growth(void *arg)
{
    pause_ms(190); /* in the middle of the making of the context */
    setenv("FAKE_NVML_OTHER_MB", "316", 1);
    return arg;
}

static int stop;
static void *allocate(void *arg)
{
    uint64_t p;
    DO(cuCtxSetCurrent(context));
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        DO(cuMemAlloc_v2(&p, 1 << 20));
        DO(cuMemFree_v2(p));
    }
    return arg;
}

static void in_between(void)
{
    pthread_t t;
    pthread_create(&t, NULL, allocate, NULL);
    pause_ms(20);
    launch(kernel("bigstack"));
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(t, NULL);
}

int main(int argc, char **argv)
{
    pthread_t t;
    uint64_t p;
    int i;
    if (argc > 1 && !strcmp(argv[1], "foreign"))
        pthread_create(&t, NULL, foreign_growth, NULL);
    begin();
    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "everything"))
            everything();
        else if (!strcmp(argv[i], "limit"))
            DO(cuCtxSetLimit(0, 1024));
        else if (!strcmp(argv[i], "second"))
            other_device();
        else if (!strcmp(argv[i], "reload"))
            reload();
        else if (!strcmp(argv[i], "between"))
            in_between();
        else if (!strcmp(argv[i], "reset"))
            DO(cuDevicePrimaryCtxReset_v2(0));
        else if (!strcmp(argv[i], "alloc"))
            DO(cuMemAlloc_v2(&p, 10 << 20));
        else if (!strcmp(argv[i], "refused"))
            printf("refused %d\n", cuMemAlloc_v2(&p, (size_t)2 << 30));
        else if (strcmp(argv[i], "foreign"))
            pause_ms((unsigned)atoi(argv[i]));
    }
    if (argc > 1 && !strcmp(argv[1], "foreign"))
        pthread_join(t, NULL);
    pause_ms(60);
    printf("launched %d\n", fake_cuda_launched());
    return 0;
}
