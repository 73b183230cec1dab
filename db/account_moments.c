/* SPDX-License-Identifier: MIT
 *
 * account_moments.c: the account as it was when the driver was asked: which moments are kept, and their rows. It must never
 * make the remainder fit: that is what the driver says minus what the owners come to, whatever it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

static const char *const owner_names[VS_OWNER_LIBRARY] = {
#define X(id, name) [VS_OWNER_##id] = name,
    VS_OWNERS(X)
#undef X
};

static void fill(const struct vs_account_device *d, const struct vs_account_asked *asked, struct vs_account_moment *m)
{
    const int64_t *sum = d->sum;
    m->ts_ns = asked->ts_ns;
    m->used = asked->used;
    m->unsettled = asked->unsettled;
    m->untold = d->untold != 0;
    m->bytes[VS_OWNER_FRAMEWORK_LIVE] = sum[VS_SUM_LIVE] + sum[VS_SUM_LIVE_OUT];
    m->bytes[VS_OWNER_FRAMEWORK_CACHED] = sum[VS_SUM_SEGMENTS] - sum[VS_SUM_LIVE];
    m->bytes[VS_OWNER_NCCL] = sum[VS_SUM_NCCL];
    m->bytes[VS_OWNER_POOLS] = sum[VS_SUM_POOLS];
    m->bytes[VS_OWNER_GRAPH_POOLS] = sum[VS_SUM_GRAPH_POOLS];
    m->bytes[VS_OWNER_OTHER_CUDA] = sum[VS_SUM_OTHER];
    m->bytes[VS_OWNER_MANAGED] = sum[VS_SUM_MANAGED] ? VS_NONE : 0; /* it moves between host and device by itself */
    m->bytes[VS_OWNER_CONTEXT] = d->context_seen && !d->unmeasured ? d->context : VS_NONE;
    m->bytes[VS_OWNER_PROFILER] = d->profiler;
    m->bytes[VS_OWNER_OTHER_PROCESSES] = asked->others;
    memcpy(&m->bytes[VS_OWNER_LIBRARY], &sum[VS_SUM_LIBRARY], VS_OWNER_LIBRARIES * sizeof *sum);
}

/* What was asked while memory changed is the last choice. */
static bool offer(struct vs_account_moment *place, const struct vs_account_moment *m, bool better)
{
    bool take = place->used < 0 || (place->unsettled && (better || !m->unsettled)) || (better && !m->unsettled);
    if (take) *place = *m;
    return take;
}

static void keep(struct vs_process *p, struct vs_account_device *d, const struct vs_account_moment *m)
{
    if (m->unsettled || d->samples++ % d->stride) return;
    if (!d->kept && !(d->kept = malloc(VS_ACCOUNT_MOMENTS * sizeof *d->kept))) {
        vs_process_check(p, -ENOMEM);
        return;
    }
    if (d->nkept == VS_ACCOUNT_MOMENTS) {
        for (d->nkept = 0; d->nkept < VS_ACCOUNT_MOMENTS / 2; d->nkept++) d->kept[d->nkept] = d->kept[2 * d->nkept];
        d->stride *= 2;
    }
    d->kept[d->nkept++] = *m;
}

static void take_segments(struct vs_process *p, struct vs_account_device *d, int device, int which, int64_t ts)
{
    vs_process_check(p, vs_segments_take(p, device, ts, &d->segments[which]));
}

void vs_account_moment(struct vs_process *p, int device, const struct vs_account_asked *asked)
{
    struct vs_account_device *d = vs_account_device(p, device);
    struct vs_account_moment m;
    if (!d || asked->used < 0 || asked->used > (int64_t)VS_MAX_PIECE_BYTES) return;
    fill(d, asked, &m);
    for (int i = 0; i < VS_NOWNERS; i++) d->used[i] |= m.bytes[i] != 0;
    if (d->context_seen) offer(&d->special[VS_MOMENT_FIRST], &m, false);
    const struct vs_account_moment *high = &d->special[VS_MOMENT_HIGHEST];
    if (offer(&d->special[VS_MOMENT_HIGHEST], &m, m.used > high->used || (m.used == high->used && high->untold && !m.untold)))
        take_segments(p, d, device, VS_SEGMENTS_HIGHEST, m.ts_ns);
    if (offer(&d->special[VS_MOMENT_HIGHEST_HELD], &m, vs_account_held(d) > d->highest_held))
        d->highest_held = vs_account_held(d);
    if (asked->failure) {
        d->special[VS_MOMENT_FAILURE] = m;
        take_segments(p, d, device, VS_SEGMENTS_FAILURE, m.ts_ns);
    }
    offer(&d->special[VS_MOMENT_LAST], &m, true);
    keep(p, d, &m);
}

/* ---- rows ---- */

static void put(struct vs_process *p, int device, int64_t ts, const char *owner, int64_t bytes)
{
    VS_PUT(p->store, VS_ST_ACCOUNT, vs_int(p->id), vs_int(device), vs_int(ts), vs_text(owner), vs_int(bytes));
}

static bool always_shown(int owner)
{
    return owner == VS_OWNER_CONTEXT || owner == VS_OWNER_PROFILER || owner == VS_OWNER_OTHER_PROCESSES;
}

static void write_moment(struct vs_process *p, int device, const struct vs_account_moment *m)
{
    const struct vs_account_device *d = p->account.of[device];
    int64_t remainder = m->used;
    if (m->used < 0) return;
    for (int i = 0; i < VS_NOWNERS; i++) {
        char library[80];
        int64_t bytes = m->bytes[i];
        if (bytes != VS_NONE) vs_sum(&remainder, (int64_t)(0 - (uint64_t)bytes));
        if (!d->used[i] && !always_shown(i)) continue;
        if (i >= VS_OWNER_LIBRARY)
            snprintf(library, sizeof library, "library:%s", p->account.library[i - VS_OWNER_LIBRARY]);
        put(p, device, m->ts_ns, i < VS_OWNER_LIBRARY ? owner_names[i] : library, bytes);
    }
    put(p, device, m->ts_ns, "driver_used", m->used);
    put(p, device, m->ts_ns, "remainder", remainder);
}

static void write_segments(struct vs_process *p, int device, const char *moment, const struct vs_segments *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct vs_segment *g = &s->list[i];
        VS_PUT(p->store, VS_ST_SEGMENT, vs_int(p->id), vs_int(device), vs_text(moment), vs_int(s->ts_ns),
               vs_int((int64_t)g->address), vs_int((int64_t)g->bytes), vs_int((int64_t)g->live),
               vs_int((int64_t)(g->bytes - g->live)), vs_int((int64_t)g->largest_free), vs_int((int64_t)g->blocks));
    }
}

static void write_checks(struct vs_process *p, int device)
{
    static const char *const what[VS_NCHECKS] = {
        [VS_CHECK_LIVE] = "framework_live", [VS_CHECK_HELD] = "framework_held"};
    for (int i = 0; i < VS_NCHECKS; i++) {
        const struct vs_account_check *c = &p->account.of[device]->check[i];
        if (c->difference)
            VS_PUT(p->store, VS_ST_ACCOUNT_CHECK, vs_int(p->id), vs_int(device), vs_int(c->ts_ns), vs_text(what[i]),
                   vs_int(c->ours), vs_int(c->theirs));
    }
}

void vs_account_write(struct vs_process *p)
{
    VS_PUT(p->store, VS_ST_CLEAR_ACCOUNT, vs_int(p->id));
    VS_PUT(p->store, VS_ST_CLEAR_ACCOUNT_CHECK, vs_int(p->id));
    VS_PUT(p->store, VS_ST_CLEAR_SEGMENT, vs_int(p->id));
    for (int device = 0; device < VS_NDEVICES - 1; device++) {
        struct vs_account_device *d = p->account.of[device];
        if (!d) continue;
        for (unsigned i = 0; i < d->nkept; i++) write_moment(p, device, &d->kept[i]);
        for (int i = 0; i < VS_NMOMENTS; i++) write_moment(p, device, &d->special[i]);
        write_checks(p, device);
        write_segments(p, device, "peak", &d->segments[VS_SEGMENTS_HIGHEST]);
        write_segments(p, device, "failure", &d->segments[VS_SEGMENTS_FAILURE]);
        take_segments(p, d, device, VS_SEGMENTS_END, p->lifetime_ns > p->end_ns ? p->lifetime_ns : p->end_ns);
        write_segments(p, device, "end", &d->segments[VS_SEGMENTS_END]);
    }
}
