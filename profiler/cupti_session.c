/* SPDX-License-Identifier: MIT
 *
 * cupti_session.c: puts our things into CUPTI and takes them out again, leaving CUPTI as it was found. Must never decide
 * whose turn it is (src_cupti.c), nor run in two threads at once.
 */
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "cupti_pool.h"
#include "log.h"
#include "say.h"
#include "src_cupti.h"

#define CLOCK_SLACK_NS 1000000u       /* CUPTI's clock may differ from ours by this much before its times are distrusted */
#define SILENT_NS 3000000000ull       /* launches without traffic of buffers, with none of ours in CUPTI */
#define SILENT_BUSY_NS 30000000000ull /* the same with some */

static const struct vs_cupti_functions *cupti;
static vs_cupti_subscriber subscriber; /* whose callbacks we use */
static bool borrowed;                  /* it is a foreign user's, which sits idle */
static bool reattached;                /* not the first session of this process */
static bool api_whole;                 /* this session records every runtime call */

/* ---- settings of CUPTI that are everybody's: noted, set, and put back ---- */

static struct {
    uint32_t id;
    size_t bytes;
    uint64_t wanted, found;
    bool changed;
} attributes[] = {
    {VS_CUPTI_ATTR_DEVICE_BUFFER_POOL_LIMIT, sizeof(size_t), 0, 0, false},
    {VS_CUPTI_ATTR_ZEROED_BUFFER, 1, 1, 0, false}, /* else CUPTI zeroes each buffer on the application's thread */
};
enum { NATTRIBUTES = sizeof attributes / sizeof *attributes };
static uint32_t found_thread_ids;

static void set_attributes(void)
{
    size_t bytes = sizeof(size_t), each = 3200000, ahead = 3, i; /* CUPTI 13.0's defaults */

    cupti->get_attribute(VS_CUPTI_ATTR_DEVICE_BUFFER_SIZE, &bytes, &each);
    bytes = sizeof ahead;
    cupti->get_attribute(VS_CUPTI_ATTR_DEVICE_BUFFER_PRE_ALLOCATE, &bytes, &ahead);
    attributes[0].wanted = each ? (uint64_t)vs_config()->gpu_buffer_mb * 1000000u / each : 0;
    if (attributes[0].wanted < ahead)
        attributes[0].wanted = ahead;
    vs_log_set_gpu_buffer(each * ahead); /* per context, as measured; more only while these are full */
    for (i = 0; i < NATTRIBUTES; i++) {
        attributes[i].found = 0;
        bytes = attributes[i].bytes;
        if (cupti->get_attribute(attributes[i].id, &bytes, &attributes[i].found))
            continue;
        bytes = attributes[i].bytes;
        attributes[i].changed = !cupti->set_attribute(attributes[i].id, &bytes, &attributes[i].wanted);
    }
    cupti->get_thread_ids(&found_thread_ids);
    cupti->set_thread_ids(VS_CUPTI_THREAD_ID_SYSTEM);
}

static void put_attributes_back(void)
{
    size_t bytes, i;
    for (i = 0; i < NATTRIBUTES; i++) {
        bytes = attributes[i].bytes;
        if (attributes[i].changed)
            cupti->set_attribute(attributes[i].id, &bytes, &attributes[i].found);
        attributes[i].changed = false;
    }
    cupti->set_thread_ids(found_thread_ids);
}

/* ---- clocks ---- */

static uint64_t clock_ours(void)
{
    return vs_now();
}

/* CUPTI's own default, for a foreign user that registered none: CUPTI has no call to take a clock back. A second function
 * rather than a switch inside the first, so that CUPTI is told of the change. */
static uint64_t clock_default(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void vs_session_check_clock(void)
{
    uint64_t before = vs_now(), theirs = 0;
    bool lost = cupti->timestamp(&theirs) || theirs + CLOCK_SLACK_NS < before || theirs > vs_now() + CLOCK_SLACK_NS;
    if (lost)
        vs_say_once(VS_SAY_WARN, "CUPTI's clock is not CLOCK_MONOTONIC now: times of kernels and copies are left out");
    vs_deliver_clock(lost);
}

/* ---- what is recorded ---- */

static const struct {
    uint32_t kind;
    enum vs_trace from;
    bool essential;
    const char *name;
} kinds[] = {
    {VS_CUPTI_CONCURRENT_KERNEL, VS_TRACE_KERNELS, true, "kernels"},
    {VS_CUPTI_MEMCPY, VS_TRACE_KERNELS, false, "copies"},
    {VS_CUPTI_MEMCPY2, VS_TRACE_KERNELS, false, "peer copies"},
    {VS_CUPTI_MEMSET, VS_TRACE_KERNELS, false, "sets"},
    {VS_CUPTI_OVERHEAD, VS_TRACE_KERNELS, false, "CUPTI's own overhead"},
    {VS_CUPTI_MEMORY2, VS_TRACE_MEMORY, false, "static variables"},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

/* CUPTI takes a choice of single calls only before the driver is up, and forgets it for good once somebody enabled and
 * disabled the whole kind, as PyTorch's profiler does. Coming back, the runtime calls are recorded as a whole and sifted
 * at delivery. */
static void enable_api(bool on)
{
    uint32_t cbid;
    const char *name;

    if (on)
        api_whole = reattached;
    if (api_whole) {
        (void)(on ? cupti->enable(VS_CUPTI_RUNTIME) : cupti->disable(VS_CUPTI_RUNTIME));
        return;
    }
    for (cbid = 1; cbid < VS_CUPTI_CBIDS; cbid++) {
        if (vs_deliver_launch_cbid(cbid))
            cupti->enable_driver(cbid, on);
        name = NULL;
        if (!cupti->callback_name(VS_CUPTI_DOMAIN_RUNTIME, cbid, &name) && name &&
            (strstr(name, "Launch") || strstr(name, "Memcpy") || strstr(name, "Memset")))
            cupti->enable_runtime(cbid, on);
    }
}

static uint32_t enable_kinds(void)
{
    uint32_t err;
    size_t i;
    for (i = 0; i < NKINDS; i++) {
        if ((int)kinds[i].from > vs_config()->trace || !(err = cupti->enable(kinds[i].kind)))
            continue;
        if (kinds[i].essential)
            return err;
        vs_say(VS_SAY_WARN, "CUPTI does not record %s here (error %u)", kinds[i].name, err);
    }
    if (vs_config()->trace >= VS_TRACE_API)
        enable_api(true);
    return 0;
}

/* A kind that a foreign user enables is its own business now: it is on its way to its call and enables it itself. */
static void disable_kinds(void)
{
    size_t i;
    for (i = 0; i < NKINDS; i++)
        if ((int)kinds[i].from <= vs_config()->trace)
            cupti->disable(kinds[i].kind);
    if (vs_config()->trace >= VS_TRACE_API)
        enable_api(false);
}

/* The thread and the range of a launch. Callbacks cost nothing measurable beside the kernel records (H200: 3365 ns a
 * launch with, 3380 without) and, unlike API records, carry the range and work again after a foreign session. */
static void enable_launches(bool on)
{
    uint32_t cbid;
    if (vs_config()->trace < VS_TRACE_KERNELS || !subscriber || (borrowed && subscriber != vs_foreign_subscriber()))
        return;
    for (cbid = 1; cbid < VS_CUPTI_CBIDS; cbid++)
        if (vs_deliver_launch_cbid(cbid) && (on || !vs_foreign_wants(VS_CUPTI_DOMAIN_DRIVER, cbid)))
            cupti->enable_callback(on, subscriber, VS_CUPTI_DOMAIN_DRIVER, cbid);
}

/* ---- begin, keep, end ---- */

static uint32_t subscribe(char holder[64])
{
    struct vs_cupti_subscriber_params params = {sizeof params, "vramscope", holder, 64};
    holder[0] = 0;
    subscriber = vs_foreign_subscriber();
    borrowed = subscriber != NULL;
    if (borrowed)
        return 0;
    if (cupti->subscribe_v2)
        return cupti->subscribe_v2(&subscriber, vs_deliver_callback, NULL, &params);
    return cupti->subscribe(&subscriber, vs_deliver_callback, NULL);
}

uint32_t vs_session_begin(const struct vs_cupti_functions *f, char holder[64])
{
    uint32_t err;

    cupti = f;
    vs_deliver_use(f);
    err = subscribe(holder);
    if (err) {
        subscriber = NULL;
        return err;
    }
    /* A foreign user's half-filled buffers go back to it before our records could land in them. */
    if (vs_foreign_buffers_out())
        cupti->flush(VS_CUPTI_FLUSH_FORCED);
    set_attributes();
    err = cupti->register_clock(clock_ours);
    if (!err)
        err = cupti->register_callbacks(vs_deliver_request, vs_deliver_complete);
    vs_session_check_clock();
    enable_launches(true);
    if (!err)
        err = enable_kinds();
    if (err)
        vs_session_end(true);
    reattached = true;
    return err;
}

void vs_session_count_dropped(void)
{
    size_t n = 0;
    if (!cupti->dropped(NULL, 0, &n) && n)
        vs_log_lost(VS_SRC_GPU, VS_LOST_DROPPED, n);
}

void vs_session_end(bool for_foreign)
{
    vs_cupti_clock_fn theirs = vs_foreign_clock();

    enable_launches(false);
    disable_kinds();
    cupti->flush(VS_CUPTI_FLUSH_FORCED);
    vs_session_count_dropped();
    if (!borrowed && subscriber)
        cupti->unsubscribe(subscriber);
    subscriber = NULL;
    if (!for_foreign)
        return;
    put_attributes_back();
    cupti->register_clock(theirs ? theirs : clock_default);
}

/* What is launched asks for a buffer. If launches go on and no buffer moves, somebody has put its own callbacks in the place
 * of ours, unseen. While CUPTI still has buffers of ours that is less sure: a kernel may simply run for long; then a
 * forced flush tells, late, for it costs such a kernel its times. (A long capture of a graph looks the same: if it was
 * one, the next request for a buffer brings us back.) */
static bool buffers_move(void)
{
    static uint64_t seen_count, since_ns;
    uint64_t count = vs_deliver_count(), now = vs_now();
    bool launched = vs_deliver_launched(), out = vs_cupti_pool_out() != 0;

    if (count != seen_count || (!since_ns && !launched)) {
        seen_count = count;
        since_ns = 0;
        return true;
    }
    if (!since_ns)
        since_ns = now;
    if (!launched || now - since_ns < (out ? SILENT_BUSY_NS : SILENT_NS))
        return true;
    if (out)
        cupti->flush(VS_CUPTI_FLUSH_FORCED);
    since_ns = 0;
    return vs_deliver_count() != count;
}

enum vs_session_fate vs_session_keep(void)
{
    uint32_t enabled = 1, cbid = 1;
    char holder[64];

    if (borrowed && subscriber != vs_foreign_subscriber()) { /* it gave the subscription back: ours now */
        if (subscribe(holder))
            return VS_SESSION_REPLACED;
        enable_launches(true);
    }
    if (vs_config()->trace < VS_TRACE_KERNELS)
        return VS_SESSION_OURS;
    while (cbid < VS_CUPTI_CBIDS && !vs_deliver_launch_cbid(cbid))
        cbid++;
    if (cbid < VS_CUPTI_CBIDS && (cupti->callback_state(&enabled, subscriber, VS_CUPTI_DOMAIN_DRIVER, cbid) || !enabled))
        return VS_SESSION_FINALISED;
    return buffers_move() ? VS_SESSION_OURS : VS_SESSION_REPLACED;
}

void vs_session_abandon(enum vs_session_fate why)
{
    if (why == VS_SESSION_REPLACED && !borrowed) {
        enable_launches(false);
        cupti->unsubscribe(subscriber);
    }
    vs_session_forget();
}

void vs_session_forget(void)
{
    subscriber = NULL;
    borrowed = false;
}
