/* SPDX-License-Identifier: MIT
 *
 * summary.c: writes what is computed while ingesting: peaks and what was live at them, totals, timelines. It must never
 * scan a table: charts and reports read these rows so that nobody has to.
 */
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "timeline.h"

void vs_summary_snapshot(struct vs_process *p, int64_t ts, const char *name)
{
    for (unsigned i = 0; i < p->series.count; i++) {
        const struct vs_device_series *d = p->series.list[i];
        const struct vs_meter *held = &d->meter[VS_SE_HELD], *sub = &d->meter[VS_SE_SUB];
        if (held->used || sub->used)
            VS_PUT(p->store, VS_ST_SNAPSHOT, vs_int(p->id), vs_int(vs_device_or_none(d->device)), vs_int(ts),
                   vs_text(name), vs_int(sub->live), vs_int(held->live), vs_int(sub->peak));
    }
}

static void write_peaks(struct vs_process *p, const struct vs_device_series *d)
{
    for (int id = 0; id < VS_NSERIES; id++) {
        const struct vs_meter *m = &d->meter[id];
        if (m->used)
            VS_PUT(p->store, VS_ST_PEAK, vs_int(p->id), vs_int(d->device), vs_text(vs_series_names[id]),
                   vs_int(m->peak), vs_int(m->peak_ts), vs_int(m->live), vs_int(m->allocations), vs_int(m->frees),
                   vs_int(vs_range_row(p, m->peak_range)));
    }
}

static void write_timelines(struct vs_process *p, const struct vs_device_series *d)
{
    for (int id = 0; id < VS_NSERIES; id++) {
        struct vs_timeline *t = d->meter[id].timeline;
        if (!t || !t->changed) continue;
        VS_PUT(p->store, VS_ST_CLEAR_TIMELINE, vs_int(p->id), vs_int(d->device), vs_text(vs_series_names[id]));
        for (unsigned i = 0; i < t->used; i++) {
            const struct vs_bucket *b = &t->bucket[i];
            if (b->min <= b->max)
                VS_PUT(p->store, VS_ST_TIMELINE, vs_int(p->id), vs_int(d->device), vs_text(vs_series_names[id]),
                       vs_int(t->origin_ns + ((int64_t)i << t->shift)), vs_int((int64_t)1 << t->shift), vs_int(b->min),
                       vs_int(b->max), vs_int(b->last));
        }
        t->changed = vs_store_muted(p->store);
    }
}

static void write_totals(struct vs_process *p)
{
    VS_PUT(p->store, VS_ST_CLEAR_KERNEL_TOTAL, vs_int(p->id));
    for (size_t i = 0; i < p->gpu.ntotals; i++) {
        const struct vs_kernel_total *t = &p->gpu.totals[i];
        VS_PUT(p->store, VS_ST_KERNEL_TOTAL, vs_int(p->id), vs_int(vs_device_or_none(t->device)), vs_int(t->name_id),
               vs_int(t->count), vs_int(t->total_ns), vs_int(t->min_ns), vs_int(t->max_ns), vs_int(t->untimed));
    }
    VS_PUT(p->store, VS_ST_CLEAR_RANGE_TOTAL, vs_int(p->id));
    for (size_t i = 0; i < p->ranges.ntotals; i++) {
        const struct vs_range_total *t = &p->ranges.totals[i];
        VS_PUT(p->store, VS_ST_RANGE_TOTAL, vs_int(p->id), vs_text(vs_names_domain(p, t->domain)), vs_int(t->name_id),
               vs_int(t->count), vs_int(t->host_ns), vs_int(t->gpu_ns), vs_int(t->has_span ? t->span_ns : VS_NONE));
    }
}

void vs_summary_write(struct vs_process *p)
{
    for (unsigned i = 0; i < p->series.count; i++) {
        write_peaks(p, p->series.list[i]);
        write_timelines(p, p->series.list[i]);
    }
    vs_at_peak_write(p);
    vs_lines_write(p);
    vs_phase_rows_write(p);
    vs_account_write(p);
    write_totals(p);
}
