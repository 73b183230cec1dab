/* SPDX-License-Identifier: MIT
 *
 * null_cupti.c: the cheapest CUPTI client there can be: enables the kinds that --trace kernels enables and throws every
 * buffer away. The yardstick for what CUPTI itself costs. Loaded by CUDA_INJECTION64_PATH; must never write anything.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cuda.h>
#include <cupti.h>

#define CALLS(X)                       \
    X(cuptiSubscribe)                  \
    X(cuptiActivityRegisterCallbacks)  \
    X(cuptiActivityEnable)             \
    X(cuptiActivitySetAttribute)       \
    X(cuptiActivityFlushAll)
#define X(name) static __typeof__(name) *p_##name;
CALLS(X)
#undef X

enum { BYTES = 2 << 20 };
static void *free_list[256]; /* buffers come back on CUPTI's thread, are asked for on the application's */
static unsigned free_count;
static int lock;

static void CUPTIAPI nothing(void *u, CUpti_CallbackDomain d, CUpti_CallbackId c, const void *data)
{
    (void)u, (void)d, (void)c, (void)data;
}

static void CUPTIAPI request(uint8_t **buffer, size_t *size, size_t *records)
{
    *buffer = NULL;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        ;
    if (free_count)
        *buffer = free_list[--free_count];
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    if (!*buffer && posix_memalign((void **)buffer, 8, BYTES))
        *buffer = NULL;
    *size = *buffer ? BYTES : 0;
    *records = 0;
}

static void CUPTIAPI complete(CUcontext c, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    (void)c, (void)stream, (void)size, (void)valid;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        ;
    if (free_count < 256) {
        free_list[free_count++] = buffer;
        buffer = NULL;
    }
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    free(buffer);
}

int InitializeInjection(void);
int InitializeInjection(void)
{
    static const CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                                               CUPTI_ACTIVITY_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMSET,
                                               CUPTI_ACTIVITY_KIND_OVERHEAD, CUPTI_ACTIVITY_KIND_MEMORY2};
    void *lib = dlopen("libcupti.so.13", RTLD_NOW | RTLD_NOLOAD);
    CUpti_SubscriberHandle s;
    size_t i;

    if (!lib)
        lib = dlopen("libcupti.so.13", RTLD_NOW);
    if (!lib)
        lib = dlopen("/usr/local/cuda/lib64/libcupti.so.13", RTLD_NOW);
    if (!lib)
        return 0;
#define X(name) p_##name = (__typeof__(name) *)dlsym(lib, #name);
    CALLS(X)
#undef X
    p_cuptiSubscribe(&s, nothing, NULL);
    p_cuptiActivityRegisterCallbacks(request, complete);
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
        p_cuptiActivityEnable(kinds[i]);
    return 1;
}
