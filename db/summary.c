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

/* A copy of the groups, so that what is still live can be added to it again and again. */
static int copy_groups(const struct vs_groups *from, struct vs_groups *to)
{
    *to = *from;
    to->slots = NULL;
    if (!from->size) return 0;
    to->slots = malloc(from->size * sizeof *to->slots);
    if (!to->slots) return -ENOMEM;
    memcpy(to->slots, from->slots, from->size * sizeof *to->slots);
    return 0;
}

static void write_groups(struct vs_process *p, const struct vs_device_series *d, int level, const struct vs_groups *g)
{
    for (size_t i = 0; i < g->size; i++) {
        const struct vs_group *s = &g->slots[i];
        if (s->generation != g->generation) continue;
        char *name = s->range_name ? vs_store_string_text(p->store, s->range_name) : NULL;
        VS_PUT(p->store, VS_ST_AT_PEAK, vs_int(p->id), vs_int(d->device),
               vs_text(level == VS_LEVEL_HELD ? "held" : "sub"), vs_text(vs_series_names[s->source]),
               vs_text(vs_category_names[s->category]), vs_int(s->range_name ? vs_range_row(p, s->range) : VS_NONE),
               vs_text(name), vs_int(s->bytes), vs_int(s->count));
        free(name);
    }
}

static void write_at_peak(struct vs_process *p)
{
    struct vs_groups copies[VS_NDEVICES][VS_NLEVELS];
    VS_PUT(p->store, VS_ST_CLEAR_AT_PEAK, vs_int(p->id));
    memset(copies, 0, sizeof copies);
    for (unsigned i = 0; i < p->series.count; i++)
        for (int level = 0; level < VS_NLEVELS; level++)
            vs_process_check(
                p, copy_groups(&p->series.list[i]->level[level].groups, &copies[p->series.list[i]->device + 1][level]));
    for (const struct vs_piece *x = p->live.first; x; x = x->next) {
        const struct vs_device_series *d = p->series.of[x->device + 1];
        struct vs_group g = {.range = x->alloc_range,
                             .range_name = x->range_name,
                             .bytes = (int64_t)x->bytes,
                             .count = 1,
                             .source = x->source,
                             .category = x->category};
        if (x->in_level && d && x->alloc_ts <= d->meter[x->level].peak_ts)
            vs_process_check(p, vs_groups_add(&copies[x->device + 1][x->level], &g));
    }
    for (unsigned i = 0; i < p->series.count; i++) {
        const struct vs_device_series *d = p->series.list[i];
        for (int level = 0; level < VS_NLEVELS; level++) {
            write_groups(p, d, level, &copies[d->device + 1][level]);
            free(copies[d->device + 1][level].slots);
        }
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
    write_at_peak(p);
    write_totals(p);
}
