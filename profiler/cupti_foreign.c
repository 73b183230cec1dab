/* SPDX-License-Identifier: MIT
 *
 * cupti_foreign.c: keeps account of what other users of CUPTI in this process have put into it. Must never call CUPTI, nor
 * anything that waits: it runs in their calls.
 */
#include "cupti_foreign.h"

#include <stddef.h>

#include "log.h"
#include "src_cupti.h"

/* A user that disabled its kinds still has to fetch its buffers. One that flushed after that, and has been silent for a
 * moment, is gone; one that never flushes is given longer. */
enum { SILENT_AFTER_FLUSH_MS = 200, SILENT_MS = 1500 };

static struct {
    vs_cupti_subscriber subscriber;
    vs_cupti_callback_fn callback;
    void *userdata;
    struct vs_foreign_callbacks buffers;
    vs_cupti_clock_fn clock;
    uint32_t calls;        /* its threads inside a wrapper now */
    uint32_t buffers_out;  /* its buffers that CUPTI holds */
    uint64_t kinds;        /* enabled, one bit each */
    uint64_t last_call_ns; /* 0: never seen */
    bool flushed;          /* since it last had a kind enabled */
    bool recorded;         /* has it ever had one */
    uint64_t wants[VS_CUPTI_DOMAINS][VS_CUPTI_CBIDS / 64]; /* callbacks it enabled */
} foreign; /* every field atomic */

#define GET(field) __atomic_load_n(&foreign.field, __ATOMIC_ACQUIRE)
#define SET(field, value) __atomic_store_n(&foreign.field, value, __ATOMIC_RELEASE)

void vs_foreign_enter(void)
{
    __atomic_fetch_add(&foreign.calls, 1, __ATOMIC_ACQ_REL);
    SET(last_call_ns, vs_now());
}

void vs_foreign_leave(void)
{
    SET(last_call_ns, vs_now());
    __atomic_fetch_sub(&foreign.calls, 1, __ATOMIC_ACQ_REL);
}

/* ---- its subscription ---- */

void vs_foreign_subscribing(vs_cupti_callback_fn callback, void *userdata)
{
    SET(userdata, userdata);
    SET(callback, callback);
}

void vs_foreign_subscribed(vs_cupti_subscriber subscriber)
{
    SET(subscriber, subscriber);
    if (!subscriber)
        SET(callback, NULL);
}

vs_cupti_subscriber vs_foreign_subscriber(void)
{
    return GET(subscriber);
}

void vs_foreign_enable_callbacks(bool enable, uint32_t domain, uint32_t first, uint32_t last)
{
    uint32_t cbid;
    if (domain >= VS_CUPTI_DOMAINS)
        return;
    for (cbid = first; cbid <= last && cbid < VS_CUPTI_CBIDS; cbid++) {
        uint64_t bit = 1ull << (cbid % 64);
        if (enable)
            __atomic_fetch_or(&foreign.wants[domain][cbid / 64], bit, __ATOMIC_RELAXED);
        else
            __atomic_fetch_and(&foreign.wants[domain][cbid / 64], ~bit, __ATOMIC_RELAXED);
    }
}

bool vs_foreign_wants(uint32_t domain, uint32_t cbid)
{
    return domain < VS_CUPTI_DOMAINS && cbid < VS_CUPTI_CBIDS &&
           (__atomic_load_n(&foreign.wants[domain][cbid / 64], __ATOMIC_RELAXED) >> (cbid % 64) & 1);
}

void vs_foreign_forward(uint32_t domain, uint32_t cbid, const void *data)
{
    vs_cupti_callback_fn callback = GET(callback);
    if (callback)
        callback(GET(userdata), domain, cbid, data);
}

/* ---- its activities ---- */

void vs_foreign_set_buffers(vs_cupti_request_fn request, vs_cupti_complete_fn complete)
{
    SET(buffers.complete, complete);
    SET(buffers.request, request);
}

struct vs_foreign_callbacks vs_foreign_buffers(void)
{
    struct vs_foreign_callbacks b = {GET(buffers.request), GET(buffers.complete)};
    return b;
}

void vs_foreign_set_kind(uint32_t kind, bool enabled)
{
    uint64_t bit = kind < VS_CUPTI_KINDS ? 1ull << kind : 0;
    if (enabled) {
        SET(recorded, true);
        SET(flushed, false);
        __atomic_fetch_or(&foreign.kinds, bit, __ATOMIC_ACQ_REL);
    } else {
        __atomic_fetch_and(&foreign.kinds, ~bit, __ATOMIC_ACQ_REL);
    }
}

uint64_t vs_foreign_kinds(void)
{
    return GET(kinds);
}

void vs_foreign_flushed(void)
{
    if (!GET(kinds))
        SET(flushed, true);
}

void vs_foreign_set_clock(vs_cupti_clock_fn clock)
{
    SET(clock, clock);
}

vs_cupti_clock_fn vs_foreign_clock(void)
{
    return GET(clock);
}

void vs_foreign_buffer_out(int change)
{
    __atomic_fetch_add(&foreign.buffers_out, (uint32_t)change, __ATOMIC_RELAXED);
}

uint32_t vs_foreign_buffers_out(void)
{
    return GET(buffers_out);
}

/* cuptiFinalize: CUPTI forgot everything. */
void vs_foreign_finalized(void)
{
    size_t i, j;
    vs_foreign_subscribed(NULL);
    SET(kinds, 0);
    SET(buffers.request, NULL); /* `complete` stays: a buffer may still be on its way */
    SET(buffers_out, 0);
    SET(clock, NULL);
    SET(flushed, true);
    for (i = 0; i < VS_CUPTI_DOMAINS; i++)
        for (j = 0; j < VS_CUPTI_CBIDS / 64; j++)
            __atomic_store_n(&foreign.wants[i][j], 0, __ATOMIC_RELAXED);
}

/* A subscription alone is no presence: PyTorch's profiler keeps its own for the life of the process. */
bool vs_foreign_present(uint64_t now_ns)
{
    uint64_t last = GET(last_call_ns);
    uint64_t quiet = (GET(flushed) || !GET(recorded) ? SILENT_AFTER_FLUSH_MS : SILENT_MS) * 1000000ull;
    if (!last)
        return false;
    return GET(calls) || GET(kinds) || now_ns < last + quiet;
}
