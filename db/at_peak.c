/* SPDX-License-Identifier: MIT
 *
 * at_peak.c: what was live at peaks and failures, grouped: tables at_peak and at_failure. It must never keep what is
 * still live in the groups: they get it anew, as copies, each time they are written.
 */
#include <stdlib.h>
#include <string.h>

#include "process.h"

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

static bool live_at(const struct vs_piece *x, int64_t ts)
{
    return x->in_level && x->level_ts <= ts && (!x->free_ts || x->free_ts > ts);
}

static void add(struct vs_process *p, struct vs_groups *g, const struct vs_piece *x)
{
    vs_process_check(p, vs_groups_add(g, &(struct vs_group){.range = x->alloc_range,
                                                            .range_name = x->range_name,
                                                            .bytes = (int64_t)x->bytes,
                                                            .count = 1,
                                                            .source = x->source,
                                                            .level = x->level,
                                                            .category = (uint8_t)vs_category_infer(p, x)}));
}

void vs_at_peak_settled(struct vs_process *p, const struct vs_piece *x)
{
    struct vs_device_series *d = vs_series_device(&p->series, x->device);
    const struct vs_failed *f = p->passes.failed[x->device + 1];
    if (d && live_at(x, d->meter[x->level].peak_ts)) add(p, &d->level[x->level].groups, x);
    if (f && live_at(x, f->ts)) add(p, &p->passes.failed[x->device + 1]->groups, x);
}

static void write_groups(struct vs_process *p, int device, int64_t failed_ts, const struct vs_groups *g)
{
    for (size_t i = 0; i < g->size; i++) {
        const struct vs_group *s = &g->slots[i];
        if (s->generation != g->generation) continue;
        char *name = s->range_name ? vs_store_string_text(p->store, s->range_name) : NULL;
        struct vs_value level = vs_text(s->level == VS_LEVEL_HELD ? "held" : "sub");
        struct vs_value source = vs_text(vs_series_names[s->source]), category = vs_text(vs_category_names[s->category]);
        struct vs_value range = vs_int(s->range_name ? vs_range_row(p, s->range) : VS_NONE);
        if (failed_ts)
            VS_PUT(p->store, VS_ST_AT_FAILURE, vs_int(p->id), vs_int(device), vs_int(failed_ts), level, source, category,
                   range, vs_text(name), vs_int(s->bytes), vs_int(s->count));
        else
            VS_PUT(p->store, VS_ST_AT_PEAK, vs_int(p->id), vs_int(device), level, source, category, range, vs_text(name),
                   vs_int(s->bytes), vs_int(s->count));
        free(name);
    }
}

/* What was live on a device at that moment and is not settled. level -1: both */
static void add_unsettled(struct vs_process *p, struct vs_groups *g, int device, int level, int64_t ts)
{
    const struct vs_piece *lists[2] = {p->live.first, p->passes.first};
    for (int l = 0; l < 2; l++)
        for (const struct vs_piece *x = lists[l]; x; x = x->next)
            if (x->device == device && (level < 0 || x->level == level) && live_at(x, ts)) add(p, g, x);
}

void vs_at_peak_write(struct vs_process *p)
{
    VS_PUT(p->store, VS_ST_CLEAR_AT_PEAK, vs_int(p->id));
    VS_PUT(p->store, VS_ST_CLEAR_AT_FAILURE, vs_int(p->id));
    for (unsigned i = 0; i < p->series.count; i++) {
        const struct vs_device_series *d = p->series.list[i];
        const struct vs_failed *failed = p->passes.failed[d->device + 1];
        struct vs_groups g;
        for (int level = 0; level < VS_NLEVELS; level++) {
            vs_process_check(p, copy_groups(&d->level[level].groups, &g));
            add_unsettled(p, &g, d->device, level, d->meter[level].peak_ts);
            write_groups(p, d->device, 0, &g);
            free(g.slots);
        }
        if (!failed) continue;
        vs_process_check(p, copy_groups(&failed->groups, &g));
        add_unsettled(p, &g, d->device, -1, failed->ts);
        write_groups(p, d->device, failed->ts, &g);
        free(g.slots);
    }
}
