/* SPDX-License-Identifier: MIT
 *
 * cupti.c: stands in for libcupti.so.13: one subscription, activity kinds, one buffer per thread, a worker thread that
 * completes buffers. Records are made by the test program (cupti_control.h). Must never be kinder than the real one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../profiler/cupti_abi.h"
#include "cupti_control.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum { KIND_NOBODY_KNOWS = 60, THREADS = 512, QUEUE = 4096 };
enum { LAUNCH_KERNEL = 307, MEMCPY_ASYNC = 306, MEMSET_ASYNC = 216, RUNTIME_LAUNCH = 211 };

struct buffer {
    uint8_t *at;
    size_t size, used;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct buffer current[THREADS], queue[QUEUE]; /* of each thread; full ones on their way back */
static uint32_t queue_head, queue_tail, queue_done;
static bool worker_runs, pending, hang;
static uint64_t kinds, out, dirty, dropped, attributes[16] = {3200000, 8388608, 250, 0, 0, 0, 3, 0, 0, 1, 16777216};
static int64_t skew, untimed, inverted;
static uint32_t thread_ids, correlation;
static uintptr_t subscription, subscriptions; /* number of the present one, 0: free */
static vs_cupti_callback_fn callback;
static void *callback_data;
static char subscriber_name[64];
static uint64_t enabled[VS_CUPTI_DOMAINS][VS_CUPTI_CBIDS / 64];
static vs_cupti_request_fn request;
static vs_cupti_complete_fn complete;
static vs_cupti_clock_fn clock_fn;

static bool no_driver(void)
{
    return getenv("FAKE_CUPTI_NO_DRIVER") != NULL;
}

static uint64_t clock_now(void)
{
    struct timespec t;
    vs_cupti_clock_fn fn = __atomic_load_n(&clock_fn, __ATOMIC_RELAXED);
    uint64_t off = (uint64_t)__atomic_load_n(&skew, __ATOMIC_RELAXED);
    if (fn)
        return fn() + off;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec + off;
}

static bool on(uint32_t kind)
{
    return __atomic_load_n(&kinds, __ATOMIC_RELAXED) >> kind & 1;
}

#include "cupti_buffers.inc"

/* ---- subscription ---- */

struct params {
    size_t size;
    const char *name;
    char *old;
    size_t old_bytes;
};

static uint32_t locked_cuptiSubscribe_v2(vs_cupti_subscriber *s, vs_cupti_callback_fn fn, void *user, struct params *p)
{
    const char *outside = getenv("FAKE_CUPTI_HOLDER"), *holder = outside ? outside : subscriber_name;
    if (no_driver())
        return VS_CUPTI_UNKNOWN;
    if (outside || subscription) {
        if (p && p->old && p->old_bytes) {
            strncpy(p->old, holder, p->old_bytes - 1);
            p->old[p->old_bytes - 1] = 0;
        }
        return VS_CUPTI_MULTIPLE_SUBSCRIBERS;
    }
    subscription = ++subscriptions;
    callback_data = user;
    callback = fn;
    strncpy(subscriber_name, p && p->name ? p->name : "", sizeof subscriber_name - 1);
    *s = (void *)subscription;
    return 0;
}

uint32_t cuptiSubscribe_v2(vs_cupti_subscriber *s, vs_cupti_callback_fn fn, void *user, struct params *p)
{
    uint32_t err;
    pthread_mutex_lock(&lock);
    err = locked_cuptiSubscribe_v2(s, fn, user, p);
    pthread_mutex_unlock(&lock);
    return err;
}

uint32_t cuptiSubscribe(vs_cupti_subscriber *s, vs_cupti_callback_fn fn, void *user)
{
    return cuptiSubscribe_v2(s, fn, user, NULL);
}

static uint32_t locked_cuptiUnsubscribe(vs_cupti_subscriber s)
{
    if (!subscription || (uintptr_t)s != subscription)
        return VS_CUPTI_INVALID_PARAMETER;
    subscription = 0;
    callback = NULL;
    memset(enabled, 0, sizeof enabled);
    return 0;
}

uint32_t cuptiUnsubscribe(vs_cupti_subscriber s)
{
    uint32_t err;
    pthread_mutex_lock(&lock);
    err = locked_cuptiUnsubscribe(s);
    pthread_mutex_unlock(&lock);
    return err;
}

static uint32_t locked_cuptiEnableCallback(uint32_t on, vs_cupti_subscriber s, uint32_t domain, uint32_t cbid)
{
    if (!subscription || (uintptr_t)s != subscription || domain >= VS_CUPTI_DOMAINS || cbid >= VS_CUPTI_CBIDS)
        return VS_CUPTI_INVALID_PARAMETER;
    if (on)
        enabled[domain][cbid / 64] |= 1ull << (cbid % 64);
    else
        enabled[domain][cbid / 64] &= ~(1ull << (cbid % 64));
    return 0;
}

uint32_t cuptiEnableCallback(uint32_t on, vs_cupti_subscriber s, uint32_t domain, uint32_t cbid)
{
    uint32_t err;
    pthread_mutex_lock(&lock);
    err = locked_cuptiEnableCallback(on, s, domain, cbid);
    pthread_mutex_unlock(&lock);
    return err;
}

static uint32_t locked_cuptiEnableDomain(uint32_t on, vs_cupti_subscriber s, uint32_t domain)
{
    if (!subscription || (uintptr_t)s != subscription || domain >= VS_CUPTI_DOMAINS)
        return VS_CUPTI_INVALID_PARAMETER;
    memset(enabled[domain], on ? 0xff : 0, sizeof enabled[domain]);
    return 0;
}

uint32_t cuptiEnableDomain(uint32_t on, vs_cupti_subscriber s, uint32_t domain)
{
    uint32_t err;
    pthread_mutex_lock(&lock);
    err = locked_cuptiEnableDomain(on, s, domain);
    pthread_mutex_unlock(&lock);
    return err;
}

uint32_t cuptiEnableAllDomains(uint32_t on, vs_cupti_subscriber s)
{
    uint32_t domain, err = 0;
    for (domain = 1; domain < VS_CUPTI_DOMAINS; domain++)
        err |= cuptiEnableDomain(on, s, domain);
    return err;
}

static uint32_t locked_cuptiGetCallbackState(uint32_t *on, vs_cupti_subscriber s, uint32_t domain, uint32_t cbid)
{
    if (!subscription || (uintptr_t)s != subscription)
        return VS_CUPTI_INVALID_PARAMETER;
    *on = enabled[domain][cbid / 64] >> (cbid % 64) & 1;
    return 0;
}

uint32_t cuptiGetCallbackState(uint32_t *on, vs_cupti_subscriber s, uint32_t domain, uint32_t cbid)
{
    uint32_t err;
    pthread_mutex_lock(&lock);
    err = locked_cuptiGetCallbackState(on, s, domain, cbid);
    pthread_mutex_unlock(&lock);
    return err;
}

uint32_t cuptiGetCallbackName(uint32_t domain, uint32_t cbid, const char **name)
{
    static const struct { uint32_t domain, cbid; const char *name; } names[] = {
        {1, LAUNCH_KERNEL, "cuLaunchKernel"}, {1, 652, "cuLaunchKernelEx"},       {1, 514, "cuGraphLaunch"},
        {1, MEMCPY_ASYNC, "cuMemcpyAsync"},   {1, MEMSET_ASYNC, "cuMemsetD8Async"}, {1, 1, "cuInit"},
        {2, RUNTIME_LAUNCH, "cudaLaunchKernel_v7000"}, {2, 20, "cudaMalloc_v3020"},
    };
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].domain == domain && names[i].cbid == cbid) {
            *name = names[i].name;
            return 0;
        }
    return VS_CUPTI_INVALID_PARAMETER;
}

/* ---- settings ---- */

uint32_t cuptiGetVersion(uint32_t *version)
{
    const char *v = getenv("FAKE_CUPTI_VERSION");
    *version = v ? (uint32_t)atoi(v) : 130001;
    return 0;
}

uint32_t cuptiActivityEnable(uint32_t kind)
{
    if (no_driver())
        return VS_CUPTI_UNKNOWN;
    __atomic_fetch_or(&kinds, 1ull << kind, __ATOMIC_RELAXED);
    return 0;
}

uint32_t cuptiActivityEnableAndDump(uint32_t kind)
{
    return cuptiActivityEnable(kind);
}

uint32_t cuptiActivityEnableContext(void *context, uint32_t kind)
{
    (void)context;
    return cuptiActivityEnable(kind);
}

uint32_t cuptiActivityDisable(uint32_t kind)
{
    __atomic_fetch_and(&kinds, ~(1ull << kind), __ATOMIC_RELAXED);
    return 0;
}

uint32_t cuptiActivityDisableContext(void *context, uint32_t kind)
{
    (void)context;
    return cuptiActivityDisable(kind);
}

uint32_t cuptiActivityEnableDriverApi(uint32_t cbid, uint8_t on)
{
    return cbid ? (on ? cuptiActivityEnable : cuptiActivityDisable)(VS_CUPTI_DRIVER) : VS_CUPTI_INVALID_PARAMETER;
}

uint32_t cuptiActivityEnableRuntimeApi(uint32_t cbid, uint8_t on)
{
    return cbid ? (on ? cuptiActivityEnable : cuptiActivityDisable)(VS_CUPTI_RUNTIME) : VS_CUPTI_INVALID_PARAMETER;
}

static size_t attribute_bytes(uint32_t id)
{
    return id == 5 || id == 9 ? 1 : sizeof(size_t);
}

uint32_t cuptiActivitySetAttribute(uint32_t id, size_t *bytes, void *value)
{
    if (id >= 11 || *bytes != attribute_bytes(id))
        return VS_CUPTI_INVALID_PARAMETER;
    attributes[id] = 0;
    memcpy(&attributes[id], value, *bytes);
    return 0;
}

uint32_t cuptiActivityGetAttribute(uint32_t id, size_t *bytes, void *value)
{
    if (id >= 11 || *bytes != attribute_bytes(id))
        return VS_CUPTI_INVALID_PARAMETER;
    memcpy(value, &attributes[id], *bytes);
    return 0;
}

uint32_t cuptiSetThreadIdType(uint32_t type)
{
    thread_ids = type;
    return 0;
}

uint32_t cuptiGetThreadIdType(uint32_t *type)
{
    *type = thread_ids;
    return 0;
}

static void finalize(void)
{
    pthread_mutex_lock(&lock);
    subscription = 0;
    callback = NULL;
    memset(enabled, 0, sizeof enabled);
    __atomic_store_n(&kinds, 0, __ATOMIC_RELAXED);
    request = NULL;
    __atomic_store_n(&clock_fn, NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}

uint32_t cuptiFinalize(void)
{
    finalize();
    return 0;
}

#include "cupti_gpu.inc"
