/* SPDX-License-Identifier: MIT
 *
 * driver_measure.c: measures the device memory the driver takes for itself inside a call: used before and after. Must never
 * count memory that something else took at the same time, nor cost a program that makes such calls all the time.
 *
 * What a call took is known only if no other thread was in the driver meanwhile. Calls of which it is not known are counted,
 * and told to ingest with the next sample of the device: it knows what the allocations came to, and what the process had.
 */
#include <errno.h>

#include "config.h"
#include "driver.h"

enum { UNTOLD_MAX = VS_MAX_DEVICES };
static uint64_t paid_ns;                /* when all measuring so far is paid for; atomic */
static uint32_t untold[UNTOLD_MAX];     /* calls not measured since the last sample, by device; atomic */

/* About 16 us a measurement. A program that makes streams in a loop is not to pay for it more than 0.5 %: what measuring
 * took is paid for by 200 times as much time. On credit are 50 ms, however long nothing was measured. */
enum { SHARE = 200, CREDIT_NS = 50000000 };

static bool affordable(uint64_t now)
{
    return __atomic_load_n(&paid_ns, __ATOMIC_RELAXED) < now + (uint64_t)CREDIT_NS * SHARE;
}

static void pay(uint64_t now, uint64_t ns)
{
    uint64_t was = __atomic_load_n(&paid_ns, __ATOMIC_RELAXED), next;
    do
        next = (was > now ? was : now) + ns * SHARE;
    while (!__atomic_compare_exchange_n(&paid_ns, &was, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void vs_measure_begin(struct vs_measure *m, int device)
{
    m->device = -1;
    if (!vs_config()->sample_ms)
        return;
    m->device = device == VS_ON_CURRENT ? vs_driver_current_device() : device;
    m->began_ns = vs_now();
    m->affordable = affordable(m->began_ns);
    m->activity = vs_driver_activity();
    m->asked = m->affordable && vs_device_ask(m->device, &m->before);
    m->cost_ns = vs_now() - m->began_ns;
}

/* By what the driver accounts to this process, where it says so: then what others did meanwhile does not matter. A process
 * that has nothing of the device yet is not in its list: who is there with our number is somebody else. */
static bool difference(const struct vs_measure *m, struct vs_device_use *after, int64_t *bytes, uint8_t *flags)
{
    bool unused = m->device < VS_MAX_DEVICES && !(vs_driver_devices() >> m->device & 1);
    uint64_t before = m->asked ? m->before.process : UINT64_MAX;
    if (unused && before != UINT64_MAX) {
        vs_device_distrust();
        after->process = after->others = UINT64_MAX;
    } else if (unused) {
        before = 0;
    }
    *flags = 0;
    if (before != UINT64_MAX && after->process != UINT64_MAX) {
        *bytes = (int64_t)(after->process - before);
        *flags = VS_MF_PROCESS;
        return true;
    }
    *bytes = m->asked ? (int64_t)(after->used - m->before.used) : 0;
    return m->asked;
}

static uint64_t current_context(void)
{
    void *context = NULL;
    if (!vs_driver_fill() || !vs_cu(cuCtxGetCurrent) || vs_cu(cuCtxGetCurrent)(&context))
        context = NULL;
    return (uint64_t)(uintptr_t)context;
}

static void append(int device, enum vs_measured what, uint64_t context, int64_t bytes, uint8_t flags, uint32_t calls,
                   const struct vs_device_use *after)
{
    struct vs_rec_measure *r = vs_log_begin(VS_K_MEASURE, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, flags, device);
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->context = context;
    r->bytes = bytes;
    r->recorder_bytes = what == VS_MEASURED_CONTEXT ? vs_log_gpu_buffer() : 0;
    r->used_bytes = after ? after->used : UINT64_MAX;
    r->free_bytes = after ? after->unused : UINT64_MAX;
    r->process_used_bytes = after ? after->process : UINT64_MAX;
    r->others_used_bytes = after ? after->others : UINT64_MAX;
    r->what = what;
    r->calls = calls;
    vs_log_commit(r);
}

void vs_measure_end(const struct vs_measure *m, enum vs_measured what, void *context)
{
    int saved = errno;
    uint64_t began = vs_now();
    struct vs_device_use after;
    int64_t bytes = 0;
    uint8_t flags = 0;
    bool asked, known;

    if (m->device < 0 || m->device >= VS_MAX_DEVICES || !vs_log_active())
        return;
    asked = m->affordable && vs_device_ask(m->device, &after);
    known = asked && difference(m, &after, &bytes, &flags);
    if (known && (vs_activity_inside(m->activity) != 1 || vs_driver_activity() != m->activity) && bytes)
        known = false; /* nothing changed: nobody took anything */
    if (what == VS_MEASURED_CONTEXT || (known && bytes))
        append(m->device, what, context ? (uint64_t)(uintptr_t)context : current_context(), known ? bytes : 0,
               known ? flags : VS_MF_UNKNOWN, 1, asked ? &after : NULL);
    else if (!known)
        vs_measure_missed(m->device);
    pay(began, m->cost_ns + (vs_now() - began));
    errno = saved;
}

void vs_measure_missed(int device)
{
    if (device >= 0 && device < VS_MAX_DEVICES && vs_config()->sample_ms)
        __atomic_fetch_add(&untold[device], 1, __ATOMIC_RELAXED);
}

void vs_measure_tell(int device)
{
    uint32_t calls = __atomic_exchange_n(&untold[device], 0, __ATOMIC_RELAXED);
    if (calls)
        append(device, VS_MEASURED_CALLS, 0, 0, VS_MF_UNKNOWN, calls, NULL);
}

/* ---- functions seen ---- */

/* Open addressing; what finds no place within a few steps is not measured, and counted. */
enum { SEEN = 1 << VS_SEEN_BITS, STEPS = 8 };
uint64_t vs_measure_seen_keys[SEEN]; /* 0: free */

/* Code is loaded once per context. The quick half knows no key of several devices. */
static uint64_t key_of(const void *function, enum vs_measured what, int *device)
{
    uint64_t key = vs_seen_key(function, what), devices = vs_driver_devices();
    if (!(devices & (devices - 1))) {
        *device = devices ? __builtin_ctzll(devices) : -1;
        return key;
    }
    *device = vs_driver_current_device();
    return key ^ (uint64_t)(*device + 2) << 56;
}

bool vs_measure_unseen(const void *function, enum vs_measured what)
{
    int device;
    uint64_t key = key_of(function, what, &device), at = vs_seen_place(key), i;
    for (i = 0; i < STEPS; i++, at = (at + 1) % SEEN) {
        uint64_t found = __atomic_load_n(&vs_measure_seen_keys[at], __ATOMIC_RELAXED);
        if (found == key)
            return false;
        if (!found && __atomic_compare_exchange_n(&vs_measure_seen_keys[at], &found, key, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
        if (found == key)
            return false;
    }
    vs_measure_missed(device);
    return false;
}

void vs_measure_forget(void)
{
    uint32_t i;
    for (i = 0; i < SEEN; i++)
        if (__atomic_load_n(&vs_measure_seen_keys[i], __ATOMIC_RELAXED))
            __atomic_store_n(&vs_measure_seen_keys[i], 0, __ATOMIC_RELAXED);
}

void vs_measure_reset(void)
{
    int i;
    __atomic_store_n(&paid_ns, 0, __ATOMIC_RELAXED);
    for (i = 0; i < VS_MAX_DEVICES; i++)
        __atomic_store_n(&untold[i], 0, __ATOMIC_RELAXED);
    vs_measure_forget();
}
