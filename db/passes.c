/* SPDX-License-Identifier: MIT
 *
 * passes.c: finds where backward begins and ends, event by event. It must never settle a piece before the pass it was
 * freed in is known whole, unless nobody can wait longer.
 */
#include "passes.h"

#include <stdlib.h>
#include <string.h>

#include "process.h"

#define WAITING_MAX ((size_t)1 << 16) /* pieces of a pass without an end: half of the rows that live.c gathers */
#define EARLY_MAX   ((size_t)1 << 13) /* before there is any backward: what came and went is temporary, whatever follows */
#define EVENTS_MAX  ((size_t)1 << 20)

/* Room for one more at the end of *(T **)array. */
int vs_passes_grow(void *array, size_t *room, size_t count, size_t each)
{
    void **at = array, *more;
    size_t wanted = *room ? *room * 2 : 64;
    if (count < *room) return 0;
    if (!(more = realloc(*at, wanted * each))) return -ENOMEM;
    *at = more;
    *room = wanted;
    return 0;
}

static bool is_autograd(const struct vs_process *p)
{
    const struct vs_thread_name *t = vs_id_map_get(&p->threads, p->thread);
    return t && (!strncmp(t->name, "pt_autograd", 11) || !strncmp(t->name, "pt_reentrant", 12));
}

enum vs_by vs_passes_by(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    if (s->by_thread == p->thread && p->thread) return (enum vs_by)s->by; /* asked for with every event */
    if (is_autograd(p) || (s->named_depth && s->named_backward_thread == p->thread)) s->by = VS_BY_AUTOGRAD;
    else s->by = !s->main_thread || p->thread == s->main_thread ? VS_BY_MAIN : VS_BY_OTHER;
    s->by_thread = p->thread;
    return (enum vs_by)s->by;
}

static void count_allocation(struct vs_passes *s, uint32_t thread)
{
    enum { N = sizeof s->counts / sizeof *s->counts };
    uint64_t most = 0;
    size_t i = 0;
    while (i < N && s->counts[i].thread != thread && s->counts[i].thread) i++;
    if (i == N) return; /* not the one that allocates most */
    s->counts[i].thread = thread;
    s->counts[i].allocations++;
    for (size_t j = 0; j < N; j++)
        if (s->counts[j].thread == s->main_thread) most = s->counts[j].allocations;
    if (s->counts[i].allocations <= most || thread == s->main_thread) return;
    s->main_thread = thread;
    s->by_thread = 0;
}

/* The pass under way lies behind the finished ones, and an empty one behind it. */
static struct vs_pass *under_way(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    size_t room = s->room;
    if (s->count + 1 < room) return &s->pass[s->count];
    int err = vs_passes_grow(&s->pass, &s->room, room, sizeof *s->pass);
    if (err) {
        vs_process_check(p, err);
        return NULL;
    }
    memset(s->pass + room, 0, (s->room - room) * sizeof *s->pass);
    return &s->pass[s->count];
}

/* The main thread's n-th allocation since the pass began, 0: there are fewer. */
static int64_t nth_allocation(const struct vs_passes *s, uint64_t n)
{
    return n < s->nallocated ? s->allocated_at[n] : 0;
}

/* A pass that has no backward yet begins its forward after as many allocations as the pass before did. */
static int64_t guess_forward(const struct vs_passes *s)
{
    enum { ENOUGH = 8, PASSES = 32 }; /* fewer allocations may be the next input */
    uint64_t most = 0;
    if (s->count < 3) return s->last_state ? s->last_state + 1 : 0;
    for (size_t i = s->count > PASSES + 2 ? s->count - PASSES : 2; i < s->count; i++) /* of steps; some passes have none */
        if (s->pass[i].allocations > most) most = s->pass[i].allocations;
    return nth_allocation(s, most + ENOUGH) ? nth_allocation(s, most) : 0;
}

int64_t vs_passes_forward(const struct vs_passes *s)
{
    return s->named_forward ? s->named_forward : s->first_saved ? s->first_saved : guess_forward(s);
}

/* A piece that autograd frees was saved in a forward: of this pass, or of an earlier one whose graph was kept. */
static void saw_saved(struct vs_passes *s, const struct vs_piece *x)
{
    if (x->alloc_pass > s->count) return;
    struct vs_pass *of = &s->pass[x->alloc_pass];
    int64_t *forward = x->alloc_pass < s->count ? &of->forward : &s->first_saved;
    if (x->alloc_ts <= of->begin || x->alloc_ts <= of->barrier) return;
    if (!*forward || x->alloc_ts < *forward) *forward = x->alloc_ts;
}

static void saw_autograd(struct vs_process *p, const struct vs_piece *x, bool frees, int64_t ts)
{
    struct vs_passes *s = &p->passes;
    struct vs_pass *now = under_way(p);
    if (!now) return;
    if (!frees && !s->backward) {
        s->backward = true;
        now->backward = ts;
    } else if (!frees) {
        s->returned = false; /* the main thread has only freed something meanwhile */
    }
    if (frees && x->alloc_by != VS_BY_AUTOGRAD) saw_saved(s, x);
    if (s->backward && !s->returned) s->last_autograd = ts;
}

void vs_passes_before(struct vs_process *p, struct vs_piece *x, bool frees, int64_t ts)
{
    struct vs_passes *s = &p->passes;
    enum vs_by by = vs_passes_by(p);
    if (by != VS_BY_AUTOGRAD && !frees) count_allocation(s, p->thread);
    if (by == VS_BY_AUTOGRAD) {
        saw_autograd(p, x, frees, ts);
    } else if (by == VS_BY_MAIN) {
        if (s->backward) s->returned = true;
        if (s->backward && !frees) vs_passes_end(p, s->last_autograd);
        if (!frees && s->nallocated < EVENTS_MAX) {
            int err = vs_passes_grow(&s->allocated_at, &s->allocated_room, s->nallocated, sizeof *s->allocated_at);
            if (err) vs_process_check(p, err);
            else s->allocated_at[s->nallocated++] = ts;
        }
    }
    if (!frees) s->last_allocation = ts;
    if (frees) {
        x->free_by = (uint8_t)by;
        x->free_pass = vs_passes_now(s);
    } else {
        x->alloc_pass = vs_passes_now(s);
    }
}

static struct vs_composition *composition(struct vs_process *p, int device)
{
    struct vs_composition **c = &p->passes.of[device + 1];
    if (!*c && !(*c = vs_composition_new(p->series.origin_ns))) vs_process_check(p, -ENOMEM);
    return *c;
}

/* Of what is too much to keep, the highest and the last event of each device stand for all. */
static void thin_events(struct vs_passes *s)
{
    struct vs_live_event *high[VS_NDEVICES] = {NULL}, *last[VS_NDEVICES] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < s->nevents; i++) {
        struct vs_live_event *e = &s->events[i];
        if (!high[e->device + 1] || e->live > high[e->device + 1]->live) high[e->device + 1] = e;
        last[e->device + 1] = e;
    }
    for (size_t i = 0; i < s->nevents; i++) {
        struct vs_live_event e = s->events[i];
        if (high[e.device + 1] == &s->events[i] || last[e.device + 1] == &s->events[i]) s->events[n++] = e;
    }
    s->nevents = n;
}

static struct vs_piece *take_first(struct vs_passes *s)
{
    struct vs_piece *x = s->first;
    s->first = x->next;
    if (!s->first) s->last = NULL;
    s->waiting--;
    return x;
}

static void settle_until(struct vs_process *p, int64_t ts)
{
    struct vs_passes *s = &p->passes;
    vs_labels_forget(p);
    while (s->first && s->first->free_ts <= ts) vs_live_settle(p, take_first(s));
}

/* A pass too long to keep: what has waited is settled as far as is known. Moments that may be wanted later are fixed before:
 * per device the highest since the last time, and the last. */
static void cut(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    struct vs_pass *now = under_way(p);
    if (now) vs_pass_find_step(s, now);
    thin_events(s);
    for (size_t i = 0; i < s->nevents; i++)
        if (s->events[i].ts > s->cut_ts && vs_composition_moment(s->of[s->events[i].device + 1], s->events[i].ts) < 0)
            vs_process_check(p, -ENOMEM);
    if (s->nevents) s->cut_ts = s->events[s->nevents - 1].ts;
    settle_until(p, INT64_MAX);
}

void vs_passes_after(struct vs_process *p, const struct vs_piece *x, int64_t ts)
{
    struct vs_passes *s = &p->passes;
    const struct vs_device_series *d = vs_series_device(&p->series, x->device);
    struct vs_composition *c = composition(p, x->device);
    int err = vs_passes_grow(&s->events, &s->events_room, s->nevents, sizeof *s->events);
    if (err || !d || !c) {
        vs_process_check(p, -ENOMEM);
        return;
    }
    vs_composition_set(c, ts, d->meter[VS_SE_SUB].live);
    s->events[s->nevents++] = (struct vs_live_event){ts, d->meter[VS_SE_SUB].live, x->device};
    if (s->nevents >= EVENTS_MAX) cut(p);
}

void vs_passes_wait(struct vs_process *p, struct vs_piece *x)
{
    struct vs_passes *s = &p->passes;
    x->waits = true;
    x->next = NULL;
    if (s->last) s->last->next = x;
    else s->first = x;
    s->last = x;
    if (++s->waiting > (s->count || s->backward ? WAITING_MAX : EARLY_MAX)) cut(p);
}

void vs_passes_settled(struct vs_process *p, const struct vs_piece *x)
{
    if (x->in_level && x->level == VS_LEVEL_SUB && p->passes.of[x->device + 1])
        vs_composition_add(p->passes.of[x->device + 1], x->level_ts, x->free_ts,
                           x->category ? (enum vs_category)x->category : VS_CAT_UNKNOWN, (int64_t)x->bytes);
}

/* backward ended at `end`; what happened since belongs to the next pass. */
void vs_passes_end(struct vs_process *p, int64_t end)
{
    struct vs_passes *s = &p->passes;
    struct vs_pass *now = under_way(p);
    if (!now) return;
    now->end = end;
    now[1].begin = end;
    vs_pass_place(p, now);
    while (now->allocations < s->nallocated && (!now->forward || s->allocated_at[now->allocations] < now->forward)) now->allocations++;
    s->count++;
    s->backward = s->returned = false; /* from here on this pass is a finished one */
    vs_pass_learn(p);
    vs_phases_of_pass(p, (uint32_t)s->count - 1);
    settle_until(p, end);
    under_way(p);
    s->first_saved = s->named_forward = 0;
    s->nallocated = 0;
}

void vs_passes_finish(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    if (!s->count && !s->backward) vs_pass_find_settled(p);
    if (s->backward && s->returned) vs_passes_end(p, s->last_autograd);
    struct vs_pass *now = under_way(p);
    if (!now) return;
    now->end = p->lifetime_ns;
    for (int d = 0; d < VS_NDEVICES; d++) /* the curve goes on to the end */
        if (s->of[d]) vs_composition_set(s->of[d], p->end_ns > p->lifetime_ns ? p->end_ns : p->lifetime_ns, s->of[d]->live);
    vs_pass_place_last(p, now);
    vs_phases_of_pass(p, (uint32_t)s->count);
    settle_until(p, INT64_MAX);
    for (struct vs_piece *x = p->live.first; x; x = x->next) {
        uint8_t category = (uint8_t)vs_category_infer(p, x);
        if (category == x->category) continue;
        x->category = category;
        vs_live_changed(p, x);
    }
}

void vs_passes_free(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    for (int i = 0; i < VS_NDEVICES; i++) {
        vs_composition_free(s->of[i]);
        if (s->failed[i]) free(s->failed[i]->groups.slots);
        free(s->failed[i]);
    }
    vs_sizes_free(&s->parameters);
    vs_sizes_free(&s->gradients);
    free(s->pass);
    free(s->allocated_at);
    free(s->events);
    free(s->phases);
    free(s->moments);
    vs_id_map_free(&s->phase_names);
    *s = (struct vs_passes){0};
}
