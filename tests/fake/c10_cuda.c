/* SPDX-License-Identifier: MIT
 *
 * fake/c10_cuda.c: stand-in for PyTorch's libc10_cuda.so: a caching allocator in a few lines. It hands out addresses, never
 * memory, keeps the running totals and reports each event through the functions libc10.so exports, with its mutex held.
 *
 * The imports are weak, bound like any import; where nothing is preloaded they are looked up in the libc10.so that the
 * program opened, which the real library names as a dependency.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

struct device {
    int8_t type, index;
};
enum { DEVICES = 8, CUDA = 1 };
#define EXPORTED __attribute__((visibility("default")))

#define NAME_USAGE(t) "_ZN3c1027reportMemoryUsageToProfilerEPv" t "NS_6DeviceE"
#define NAME_OOM(t) "_ZN3c1027reportOutOfMemoryToProfilerE" t "NS_6DeviceE"
extern void usage_lmm(void *, int64_t, uint64_t, uint64_t, struct device) __asm__(NAME_USAGE("lmm")) __attribute__((weak));
extern void usage_lll(void *, int64_t, int64_t, int64_t, struct device) __asm__(NAME_USAGE("lll")) __attribute__((weak));
extern void usage_l(void *, int64_t, struct device) __asm__(NAME_USAGE("l")) __attribute__((weak));
extern void oom_lmm(int64_t, uint64_t, uint64_t, struct device) __asm__(NAME_OOM("lmm")) __attribute__((weak));
extern void oom_mmm(uint64_t, uint64_t, uint64_t, struct device) __asm__(NAME_OOM("mmm")) __attribute__((weak));
extern void oom_lll(int64_t, int64_t, int64_t, struct device) __asm__(NAME_OOM("lll")) __attribute__((weak));

static struct {
    void (*lmm)(void *, int64_t, uint64_t, uint64_t, struct device);
    void (*lll)(void *, int64_t, int64_t, int64_t, struct device);
    void (*l)(void *, int64_t, struct device);
    void (*oom_lmm)(int64_t, uint64_t, uint64_t, struct device);
    void (*oom_mmm)(uint64_t, uint64_t, uint64_t, struct device);
    void (*oom_lll)(int64_t, int64_t, int64_t, struct device);
} to;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_address = 0x7f0000000000ull;
static uint64_t allocated[DEVICES], reserved[DEVICES];

static void *bind(void *imported, const char *name)
{
    void *c10 = imported ? NULL : dlopen("libc10.so", RTLD_LAZY | RTLD_NOLOAD);
    return imported ? imported : c10 ? dlsym(c10, name) : NULL;
}

__attribute__((constructor)) static void loaded(void)
{
    *(void **)&to.lmm = bind(__extension__(void *) usage_lmm, NAME_USAGE("lmm"));
    *(void **)&to.lll = bind(__extension__(void *) usage_lll, NAME_USAGE("lll"));
    *(void **)&to.l = bind(__extension__(void *) usage_l, NAME_USAGE("l"));
    *(void **)&to.oom_lmm = bind(__extension__(void *) oom_lmm, NAME_OOM("lmm"));
    *(void **)&to.oom_mmm = bind(__extension__(void *) oom_mmm, NAME_OOM("mmm"));
    *(void **)&to.oom_lll = bind(__extension__(void *) oom_lll, NAME_OOM("lll"));
}

/* form: 0 as PyTorch now, 1 signed totals, 2 no totals. */
EXPORTED void *fake_torch_report(void *p, int64_t bytes, int type, int index, int form);
void *fake_torch_report(void *p, int64_t bytes, int type, int index, int form)
{
    struct device d = {(int8_t)type, (int8_t)index};
    unsigned i = type == CUDA && index >= 0 ? (unsigned)index % DEVICES : 0;

    pthread_mutex_lock(&mutex);
    if (!p) {
        p = (void *)(uintptr_t)next_address;
        next_address += ((uint64_t)bytes + 511) & ~511ull;
    }
    if (type == CUDA) {
        allocated[i] += (uint64_t)bytes;
        if (allocated[i] > reserved[i])
            reserved[i] = (allocated[i] + (2u << 20) - 1) & ~(uint64_t)((2u << 20) - 1);
    }
    if (form == 0 && to.lmm)
        to.lmm(p, bytes, allocated[i], reserved[i], d);
    else if (form == 1 && to.lll)
        to.lll(p, bytes, (int64_t)allocated[i], (int64_t)reserved[i], d);
    else if (form == 2 && to.l)
        to.l(p, bytes, d);
    pthread_mutex_unlock(&mutex);
    return p;
}

EXPORTED void fake_torch_oom(int64_t bytes, int index, int form);
void fake_torch_oom(int64_t bytes, int index, int form)
{
    struct device d = {CUDA, (int8_t)index};
    uint64_t a = allocated[index % DEVICES], r = reserved[index % DEVICES];
    if (form == 0 && to.oom_lmm)
        to.oom_lmm(bytes, a, r, d);
    else if (form == 1 && to.oom_mmm)
        to.oom_mmm((uint64_t)bytes, a, r, d);
    else if (form == 2 && to.oom_lll)
        to.oom_lll(bytes, (int64_t)a, (int64_t)r, d);
}

/* Mean ns of one of n allocations of all that the calling thread's state costs; the frees that follow are not counted. */
EXPORTED double fake_torch_cost(int n);
double fake_torch_cost(int n)
{
    struct timespec a, b;
    uint64_t first = next_address;
    int i;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (i = 0; i < n; i++)
        fake_torch_report(NULL, 512, CUDA, 0, 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    for (i = 0; i < n; i++)
        fake_torch_report((void *)(uintptr_t)(first + 512 * (uint64_t)i), -512, CUDA, 0, 0);
    return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n;
}
