/* SPDX-License-Identifier: MIT
 *
 * ranges.c: opens and closes ranges, measures memory while they are open, writes their rows. It must never touch a
 * range that nothing holds any more.
 */
#include "ranges.h"

#include <stdlib.h>
#include <string.h>

#include "process.h"

#define WAITING_MAX 131072u

int64_t vs_ranges_name(const struct vs_process *p, uint64_t number)
{
    const struct vs_range *r = vs_id_map_get(&p->ranges.by_number, number);
    return r && r->name_id != VS_NONE ? r->name_id : 0;
}

struct vs_range *vs_ranges_hold(struct vs_process *p, uint64_t number)
{
    struct vs_range *r = number ? vs_id_map_get(&p->ranges.by_number, number) : NULL;
    if (r) r->references++;
    return r;
}

/* Goes up the nesting by a loop: it may be deep. */
void vs_ranges_release(struct vs_process *p, struct vs_range *r)
{
    while (r && --r->references == 0) {
        struct vs_range *parent = r->parent;
        if (r->gpu_end) {
            struct vs_range_total *t = vs_ranges_total(p, r);
            if (t) {
                vs_sum(&t->span_ns, r->gpu_end - r->gpu_begin);
                t->has_span = true;
            }
            if (parent) vs_ranges_gpu(p, parent, r->gpu_begin, r->gpu_end);
        }
        vs_id_map_remove(&p->ranges.by_number, r->number);
        free(r->marks);
        free(r);
        r = parent;
    }
}

void vs_ranges_gpu(struct vs_process *p, struct vs_range *r, int64_t begin_ns, int64_t end_ns)
{
    (void)p;
    if (!r->gpu_end || begin_ns < r->gpu_begin) r->gpu_begin = begin_ns;
    if (end_ns > r->gpu_end) r->gpu_end = end_ns;
}

static void write_row(struct vs_process *p, const struct vs_range *r)
{
    VS_PUT(p->store, VS_ST_RANGE, vs_int(vs_range_row(p, r->number)), vs_int(p->id),
           vs_int(vs_thread_row(p, r->thread) == VS_NONE ? (p->id - 1) << 20 : vs_thread_row(p, r->thread)),
           vs_int(vs_range_row(p, r->parent_number)), vs_int(r->depth), vs_text(vs_names_domain(p, r->domain)),
           vs_text(vs_names_category(p, r->domain, r->category)), vs_int(r->name_id),
           vs_text(r->start_end ? "start" : "push"), vs_int(r->begin_ns), vs_int(r->open ? VS_NONE : r->end_ns),
           vs_int(r->color ? (int64_t)r->color : VS_NONE));
}

void vs_ranges_write(struct vs_process *p)
{
    struct vs_ranges *a = &p->ranges;
    for (size_t i = 0; i < a->nwaiting; i++) {
        write_row(p, a->waiting[i]);
        a->waiting[i]->written = true;
        vs_ranges_release(p, a->waiting[i]);
    }
    a->nwaiting = 0;
}

static int queue(struct vs_process *p, struct vs_range *r)
{
    struct vs_ranges *a = &p->ranges;
    if (a->nwaiting == WAITING_MAX) vs_ranges_write(p);
    if (a->nwaiting == a->room) {
        size_t room = a->room ? a->room * 2 : 1024;
        struct vs_range **waiting = realloc(a->waiting, room * sizeof(*waiting));
        if (!waiting) return -ENOMEM;
        a->waiting = waiting;
        a->room = room;
    }
    a->waiting[a->nwaiting++] = r;
    return 0;
}

static void mark_levels(struct vs_process *p, struct vs_range *r)
{
    struct vs_series *s = &p->series;
    if (!p->ranges.open_stack++) vs_series_watch(s, true);
    if (!s->count) return;
    r->marks = malloc(sizeof *r->marks * s->count * VS_NLEVELS);
    if (!r->marks) {
        vs_process_check(p, -ENOMEM);
        return;
    }
    r->nmarks = s->count;
    for (unsigned d = 0; d < s->count; d++)
        for (int level = 0; level < VS_NLEVELS; level++) {
            struct vs_level *l = &s->list[d]->level[level];
            int64_t live = s->list[d]->meter[level].live;
            r->marks[d * VS_NLEVELS + (unsigned)level] = (struct vs_range_mark){l->events, live, 0};
            if (!l->nhighs) vs_process_check(p, vs_level_note(l, live));
        }
}

void vs_ranges_count(struct vs_process *p, uint64_t number, int device, int level)
{
    struct vs_range *r = vs_id_map_get(&p->ranges.by_number, number);
    struct vs_series *s = &p->series;
    if (!r || r->start_end || !r->open || !vs_series_device(s, device)) return;
    if (r->nmarks < s->count) { /* a device met only now: nothing was live there when the range began */
        struct vs_range_mark *marks = realloc(r->marks, sizeof *marks * s->count * VS_NLEVELS);
        if (!marks) {
            vs_process_check(p, -ENOMEM);
            return;
        }
        memset(marks + r->nmarks * VS_NLEVELS, 0, sizeof *marks * (s->count - r->nmarks) * VS_NLEVELS);
        r->marks = marks;
        r->nmarks = s->count;
    }
    for (unsigned d = 0; d < s->count; d++)
        if (s->list[d]->device == device) r->marks[d * VS_NLEVELS + (unsigned)level].allocations++;
}

static void write_memory(struct vs_process *p, const struct vs_range *r)
{
    for (unsigned d = 0; d < p->series.count; d++)
        for (int level = 0; level < VS_NLEVELS; level++) {
            const struct vs_device_series *s = p->series.list[d];
            struct vs_range_mark m = {0};
            if (d < r->nmarks) m = r->marks[d * VS_NLEVELS + (unsigned)level];
            if (s->level[level].events == m.event) continue;
            int64_t high = vs_level_high_since(&s->level[level], m.event);
            VS_PUT(p->store, VS_ST_RANGE_MEMORY, vs_int(vs_range_row(p, r->number)), vs_int(s->device),
                   vs_text(level == VS_LEVEL_HELD ? "held" : "sub"), vs_int(high > m.live ? high : m.live),
                   vs_int(s->meter[level].live - m.live), vs_int(m.allocations));
        }
}

void vs_apply_range_begin(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_range_begin *b = (const void *)rec;
    struct vs_range *r = calloc(1, sizeof *r);
    if (!r || vs_id_map_put(&p->ranges.by_number, b->seq, r)) {
        free(r);
        vs_process_check(p, -ENOMEM);
        return;
    }
    r->number = b->seq;
    r->parent = vs_ranges_hold(p, b->parent == b->seq ? 0 : b->parent);
    r->parent_number = r->parent ? b->parent : 0;
    r->depth = r->parent ? r->parent->depth + 1 : 0;
    r->name_id = vs_names_text(p, b->string, b->text, vs_text_bytes(rec, sizeof *b, b->text_bytes));
    r->begin_ns = vs_process_time(p, b->ts_ns);
    r->thread = p->thread;
    r->domain = b->domain;
    r->category = b->category;
    r->color = b->color;
    r->start_end = rec->flags & VS_RF_START_END;
    r->open = true;
    r->references = 2; /* open, waits to be written */
    if (!r->start_end) mark_levels(p, r);
    vs_passes_range(p, r, true);
    vs_process_check(p, queue(p, r));
    p->changed = true;
}

void vs_apply_range_end(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_range_end *e = (const void *)rec;
    struct vs_range *r = vs_id_map_get(&p->ranges.by_number, e->begin);
    int64_t now = vs_process_time(p, e->ts_ns);
    if (!r || !r->open) {
        p->unmatched[VS_SRC_NVTX]++;
        return;
    }
    r->open = false;
    r->end_ns = now > r->begin_ns ? now : r->begin_ns;
    vs_passes_range(p, r, false);
    struct vs_range_total *t = vs_ranges_total(p, r);
    if (t) {
        t->count++;
        vs_sum(&t->host_ns, r->end_ns - r->begin_ns);
    }
    if (!r->start_end) {
        write_memory(p, r);
        if (!--p->ranges.open_stack) vs_series_watch(&p->series, false);
    }
    if (r->written) VS_PUT(p->store, VS_ST_RANGE_END, vs_int(vs_range_row(p, r->number)), vs_int(r->end_ns));
    vs_ranges_release(p, r);
    p->changed = true;
}

void vs_apply_mark(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_mark *m = (const void *)rec;
    uint32_t n = vs_text_bytes(rec, sizeof *m, m->text_bytes);
    int64_t ts = vs_process_time(p, m->ts_ns), name = vs_names_text(p, m->string, m->text, n);
    VS_PUT(p->store, VS_ST_MARK, vs_int(p->id),
           vs_int(vs_thread_row(p, p->thread) == VS_NONE ? (p->id - 1) << 20 : vs_thread_row(p, p->thread)),
           vs_int(vs_range_row(p, m->range)), vs_text(vs_names_domain(p, m->domain)),
           vs_text(vs_names_category(p, m->domain, m->category)), vs_int(name), vs_int(ts));
    char *text = m->string ? vs_names_full(p, m->string) : vs_names_copy(p, m->text, n);
    vs_summary_snapshot(p, ts, text);
    free(text);
}

void vs_ranges_finish(struct vs_process *p)
{
    struct vs_id_map *m = &p->ranges.by_number;
    struct vs_range **open = malloc((m->count + 1) * sizeof(*open));
    size_t n = 0;
    if (!open) {
        vs_process_check(p, -ENOMEM);
        return;
    }
    vs_ranges_write(p);
    for (size_t i = 0; i < m->size; i++) {
        struct vs_range *r = m->slots[i].value;
        if (r && r->open) open[n++] = r;
    }
    for (size_t i = 0; i < n; i++) /* each is still held for being open */
        vs_ranges_release(p, open[i]);
    free(open);
}

void vs_ranges_free(struct vs_process *p)
{
    for (size_t i = 0; i < p->ranges.by_number.size; i++) {
        struct vs_range *r = p->ranges.by_number.slots[i].value;
        if (r) free(r->marks);
        free(r);
    }
    vs_id_map_free(&p->ranges.by_number);
    vs_id_map_free(&p->ranges.total_index);
    free(p->ranges.waiting);
    free(p->ranges.totals);
}
