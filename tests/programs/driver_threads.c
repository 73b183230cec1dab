/* SPDX-License-Identifier: MIT
 *
 * driver_threads.c: threads that allocate and free the same few sizes as fast as they can, so that addresses wander from
 * thread to thread; each looks into NCCL-less, capture-less driver calls only. Argument: rounds per thread.
 * link: -l:libcuda.so.1 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 8 };
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxSetCurrent(void *);
int cuMemAlloc_v2(uint64_t *, size_t);
int cuMemFree_v2(uint64_t);
int cuMemAllocAsync(uint64_t *, size_t, void *);
int cuMemFreeAsync(uint64_t, void *);

static int rounds;
static void *context;

static void *work(void *arg)
{
    intptr_t bad = 0;
    int i;
    cuCtxSetCurrent(context);
    for (i = 0; i < rounds; i++) {
        uint64_t p = 0, q = 0;
        bad |= cuMemAlloc_v2(&p, 1024);
        bad |= cuMemAllocAsync(&q, 2048, NULL);
        bad |= cuMemFree_v2(p);
        bad |= cuMemFreeAsync(q, NULL);
    }
    (void)arg;
    return (void *)bad;
}

int main(int argc, char **argv)
{
    pthread_t t[THREADS];
    void *bad;
    int i, status = 0;
    rounds = argc > 1 ? atoi(argv[1]) : 100;
    if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0))
        return 2;
    for (i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (i = 0; i < THREADS; i++) {
        pthread_join(t[i], &bad);
        status |= bad != NULL;
    }
    usleep(argc > 2 ? (useconds_t)atoi(argv[2]) * 1000 : 0);
    return status;
}
