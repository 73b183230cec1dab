/* SPDX-License-Identifier: MIT
 *
 * cupti_deliver.c: the functions CUPTI calls: buffers, records and launch callbacks. Must never lock, map or allocate
 * where CUPTI runs them on an application thread, nor give one user's buffer to another.
 */
#include <errno.h>
#include <string.h>

#include "export.h"
#include "config.h"
#include "cupti_names.h"
#include "cupti_pool.h"
#include "cupti_record.h"
#include "driver.h"
#include "log.h"
#include "src_cupti.h"

static const struct vs_cupti_functions *cupti;
static uint64_t launch_bits[VS_CUPTI_CBIDS / 64]; /* driver calls that put work on a GPU; constant once in use */
static uint64_t first_ns;                         /* nothing we recorded began before */
static bool clock_lost, launched;                 /* atomic */
static uint64_t buffers_seen, last_ns;            /* atomic */

/* ---- which driver calls put work on a GPU ---- */

static const char *const launch_prefixes[] = {
    "cuLaunchKernel", "cuLaunchCooperativeKernel", "cuLaunchGrid", "cuGraphLaunch", "cuMemcpy", "cuMemset"};

void vs_deliver_use(const struct vs_cupti_functions *f)
{
    uint32_t cbid;
    size_t i;

    if (cupti) return;
    for (cbid = 1; cbid < VS_CUPTI_CBIDS; cbid++) {
        const char *name = NULL;
        if (f->callback_name(VS_CUPTI_DOMAIN_DRIVER, cbid, &name) || !name) continue;
        for (i = 0; i < sizeof launch_prefixes / sizeof *launch_prefixes; i++)
            if (!strncmp(name, launch_prefixes[i], strlen(launch_prefixes[i])))
                launch_bits[cbid / 64] |= 1ull << (cbid % 64);
    }
    first_ns = vs_now();
    cupti = f;
}

bool vs_deliver_launch_cbid(uint32_t cbid)
{
    return cbid < VS_CUPTI_CBIDS && launch_bits[cbid / 64] >> (cbid % 64) & 1;
}

/* ---- launches: on the application's thread, inside the driver call ---- */

VS_HOT static void append_launch(uint32_t correlation)
{
    struct vs_rec_launch *r = vs_log_begin(VS_K_LAUNCH, sizeof *r);
    if (!__atomic_load_n(&launched, __ATOMIC_RELAXED)) __atomic_store_n(&launched, true, __ATOMIC_RELAXED);
    if (!r) return;
    r->ts_ns = vs_now();
    r->range = vs_thread_range();
    r->correlation = correlation;
    vs_log_commit(r);
}

/* For our subscription and for a foreign one, whose callbacks pass through here. What the foreign user did not ask for
 * is ours alone. */
VS_HOT void vs_deliver_callback(void *userdata, uint32_t domain, uint32_t cbid, const void *data)
{
    const struct vs_cupti_callback_data *d = data;

    (void)userdata;
    if (domain == VS_CUPTI_DOMAIN_DRIVER && vs_deliver_launch_cbid(cbid)) {
        if (d->callbackSite == VS_CUPTI_ENTER && vs_cupti_turn_now() == VS_TURN_ON && !vs_marks()->own)
            append_launch(d->correlationId);
        if (!vs_foreign_wants(domain, cbid)) return;
    }
    vs_foreign_forward(domain, cbid, data);
}

/* ---- buffers ---- */

void vs_deliver_request(uint8_t **buffer, size_t *size, size_t *max_records)
{
    struct vs_foreign_callbacks theirs = vs_foreign_buffers();
    enum vs_cupti_turn state = vs_cupti_turn_now();
    bool ours =
        state == VS_TURN_ON || state == VS_TURN_ATTACHING || state == VS_TURN_LEAVING || state == VS_TURN_STOPPING;

    *buffer = NULL;
    *size = 0;
    *max_records = 0; /* as many as fit */
    if (!ours && theirs.request) {
        theirs.request(buffer, size, max_records);
        if (*buffer) vs_foreign_buffer_out(1);
        return;
    }
    __atomic_fetch_add(&buffers_seen, 1, __ATOMIC_RELAXED);
    if (!ours) return;
    *buffer = vs_cupti_pool_take(); /* none: CUPTI drops records and tells how many */
    if (*buffer) *size = VS_CUPTI_BUFFER_BYTES;
}

void vs_deliver_clock(bool lost)
{
    __atomic_store_n(&clock_lost, lost, __ATOMIC_RELAXED);
}

uint64_t vs_deliver_count(void)
{
    return __atomic_load_n(&buffers_seen, __ATOMIC_RELAXED);
}

uint64_t vs_deliver_last_ns(void)
{
    return __atomic_load_n(&last_ns, __ATOMIC_RELAXED);
}

bool vs_deliver_launched(void)
{
    return __atomic_exchange_n(&launched, false, __ATOMIC_RELAXED);
}

/* ---- records ---- */

static uint64_t api_name(const struct vs_rec_api *r)
{
    const char *name = NULL;
    if (cupti->callback_name(r->domain, r->cbid, &name) || !name) return 0;
    return vs_cupti_name(name);
}

/* Measured (CUDA 13.0): CUPTI reports the static variables of a process that uses GPU 1 alone as lying on GPU 0. */
static int device_of_static(int reported)
{
    uint64_t used = vs_driver_devices();
    if (!used || (reported >= 0 && used >> reported & 1)) return reported;
    return used & (used - 1) ? -1 : __builtin_ctzll(used);
}

static void append(struct vs_converted *c)
{
    struct vs_rec *r;
    uint64_t name = 0;

    if (c->kind == VS_K_KERNEL) c->out.kernel.name = name = vs_cupti_name(c->name);
    else if (c->kind == VS_K_API) c->out.api.name = name = api_name(&c->out.api);
    r = vs_log_begin(c->kind, c->bytes + c->name_bytes);
    if (!r) return; /* counted by the log */
    memcpy(r + 1, &c->out.h + 1, c->bytes - sizeof *r);
    if (c->name_bytes) memcpy((char *)r + c->bytes, c->name, c->name_bytes);
    if (c->lifetime) ((struct vs_rec_free *)(void *)r)->seq = vs_log_seq();
    vs_rec_set(r, c->out.h.flags, c->kind == VS_K_STATIC ? device_of_static(c->out.h.device) : c->out.h.device);
    vs_log_commit(r);
}

/* At --trace api CUPTI may have been told to record every call (see cupti_session.c): only the launches are wanted. */
static bool wanted(const struct vs_converted *c)
{
    const char *name = NULL;
    if (c->kind != VS_K_API) return true;
    if (c->out.api.domain == VS_CUPTI_DOMAIN_DRIVER) return vs_deliver_launch_cbid(c->out.api.cbid);
    return !cupti->callback_name(c->out.api.domain, c->out.api.cbid, &name) && name &&
           (strstr(name, "Launch") || strstr(name, "Memcpy") || strstr(name, "Memset"));
}

static void note_end(uint64_t ns)
{
    uint64_t seen = __atomic_load_n(&last_ns, __ATOMIC_RELAXED);
    while (ns > seen && !__atomic_compare_exchange_n(&last_ns, &seen, ns, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void take_records(uint8_t *buffer, size_t valid)
{
    struct vs_convert_limits limits = {first_ns, vs_now(), __atomic_load_n(&clock_lost, __ATOMIC_RELAXED)};
    uint64_t untimed = 0, unknown = 0;
    struct vs_converted c;
    void *activity = NULL;
    uint32_t err = 0;

    while (valid && !(err = cupti->next(buffer, valid, &activity))) {
        enum vs_convert what = vs_cupti_convert(activity, &limits, &c);
        if (what == VS_CONVERT_UNKNOWN) unknown++;
        if (what == VS_CONVERT_UNKNOWN || what == VS_CONVERT_IGNORE || !wanted(&c)) continue;
        if (what == VS_CONVERT_UNTIMED) untimed++;
        note_end(c.end_ns);
        append(&c);
    }
    if (valid && err != VS_CUPTI_MAX_LIMIT_REACHED)
        unknown++; /* an incomplete record: what follows it in this buffer cannot be read */
    if (untimed) vs_log_lost(VS_SRC_GPU, VS_LOST_UNTIMED, untimed);
    if (unknown) vs_log_lost(VS_SRC_GPU, VS_LOST_UNKNOWN, unknown);
}

void vs_deliver_complete(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    struct vs_foreign_callbacks theirs = vs_foreign_buffers();
    int saved = errno;

    if (vs_cupti_pool_owns(buffer)) {
        take_records(buffer, valid);
        vs_cupti_pool_give(buffer, valid);
        __atomic_fetch_add(&buffers_seen, 1, __ATOMIC_RELAXED);
        errno = saved;
        return;
    }
    vs_foreign_buffer_out(-1);
    if (theirs.complete) theirs.complete(context, stream, buffer, size, valid);
}
