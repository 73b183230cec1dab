/* SPDX-License-Identifier: MIT
 *
 * phases.c: the phases of finished passes, and the moments at which their memory is looked at. It must never place a
 * moment after pieces that were live at it have been settled.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "process.h"

const char *const vs_phase_names[VS_NPHASES] = {
#define X(id, name) name,
    VS_PHASES(X)
#undef X
};

static int add_phase(struct vs_process *p, enum vs_phase kind, bool named, uint32_t pass, int64_t begin, int64_t end)
{
    struct vs_passes *s = &p->passes;
    int err = vs_passes_grow(&s->phases, &s->phases_room, s->nphases, sizeof *s->phases);
    if (err) return err;
    s->phases[s->nphases++] = (struct vs_phase_row){(uint8_t)kind, named, pass, begin, end};
    return 0;
}

static size_t first_after(const struct vs_live_event *events, size_t n, int64_t ts)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (events[mid].ts > ts) high = mid;
        else low = mid + 1;
    }
    return low;
}

/* The highest moment of a device from begin to end, of its events; begin when nothing was higher than what it began with. */
static int64_t highest(const struct vs_live_event *events, size_t n, int64_t begin, int64_t end)
{
    size_t i = first_after(events, n, begin);
    int64_t at = begin, live = i > 0 ? events[i - 1].live : 0;
    for (; i < n && events[i].ts <= end; i++) {
        if (events[i].live <= live) continue;
        live = events[i].live;
        at = events[i].ts;
    }
    return at;
}

/* The moment that stands for the end of a phase: the end, or the last one that was kept before it. */
static int64_t ending(const struct vs_passes *s, const struct vs_live_event *events, size_t n, int64_t end)
{
    size_t i = end < s->cut_ts ? first_after(events, n, end) : 0;
    return i > 0 ? events[i - 1].ts : end;
}

/* The events of one device; the caller frees them. */
static struct vs_live_event *events_of(struct vs_process *p, int device, size_t *n)
{
    const struct vs_passes *s = &p->passes;
    struct vs_live_event *events = malloc((s->nevents + 1) * sizeof *events);
    *n = 0;
    if (!events) vs_process_check(p, -ENOMEM);
    for (size_t i = 0; events && i < s->nevents; i++)
        if (s->events[i].device == device) events[(*n)++] = s->events[i];
    return events;
}

/* Moments of one device for the phases from `unplaced` to n. */
static void place(struct vs_process *p, int device, size_t n)
{
    struct vs_passes *s = &p->passes;
    struct vs_composition *c = s->of[device + 1];
    size_t count = n - s->unplaced, nevents, i;
    struct vs_live_event *events = events_of(p, device, &nevents);
    int64_t *ts = malloc((2 * count + 1) * sizeof *ts), *sorted = malloc((2 * count + 1) * sizeof *ts);
    if (!ts || !sorted || !events) {
        vs_process_check(p, -ENOMEM);
        count = 0;
    }
    for (i = 0; i < count; i++) {
        const struct vs_phase_row *f = &s->phases[s->unplaced + i];
        ts[2 * i] = highest(events, nevents, f->begin, f->end);
        ts[2 * i + 1] = ending(s, events, nevents, f->end);
    }
    if (count) {
        memcpy(sorted, ts, 2 * count * sizeof *ts);
        qsort(sorted, 2 * count, sizeof *sorted, vs_passes_by_time);
    }
    for (i = 0; i < 2 * count; i++)
        if (vs_composition_moment(c, sorted[i]) < 0) vs_process_check(p, -ENOMEM);
    for (i = 0; i < count; i++) {
        int err = vs_passes_grow(&s->moments, &s->moments_room, s->nmoments, sizeof *s->moments);
        if (err) {
            vs_process_check(p, err);
            break;
        }
        s->moments[s->nmoments++] =
            (struct vs_phase_moment){.phase = (uint32_t)(s->unplaced + i),
                                     .device = (int8_t)device,
                                     .peak = (uint32_t)vs_composition_find(c, ts[2 * i]),
                                     .end = (uint32_t)vs_composition_find(c, ts[2 * i + 1])};
    }
    free(ts);
    free(sorted);
    free(events);
}

/* The last event before the pieces that are left: what it was is in the device's live bytes. */
static void drop_events(struct vs_passes *s, int64_t until)
{
    bool kept[VS_NDEVICES] = {false};
    size_t n = 0, i = s->nevents;
    while (i > 0) { /* the last event of each device tells what the next pass begins with */
        struct vs_live_event *e = &s->events[i - 1];
        bool keep = e->ts > until || !kept[e->device + 1];
        if (e->ts <= until) kept[e->device + 1] = true;
        if (!keep) e->ts = 0;
        i--;
    }
    for (i = 0; i < s->nevents; i++)
        if (s->events[i].ts) s->events[n++] = s->events[i];
    s->nevents = n;
}

void vs_phases_of_pass(struct vs_process *p, uint32_t pass)
{
    struct vs_passes *s = &p->passes;
    const struct vs_pass *now = &s->pass[pass];
    int64_t end = now->end;
    int64_t forward = now->forward ? now->forward : now->backward;
    int err = 0;
    /* a phase that begins with an allocation ends the one before it just before that */
    if (!pass && (now->backward || now->forward)) err = add_phase(p, VS_PH_INIT, false, 0, p->series.origin_ns, forward - 1);
    else if (now->stepped) err = add_phase(p, VS_PH_OPTIMIZER, false, pass - 1, now->begin, now->stepped);
    if (!err && now->forward) err = add_phase(p, VS_PH_FORWARD, false, pass, forward, now->backward ? now->backward - 1 : end);
    if (!err && now->backward) err = add_phase(p, VS_PH_BACKWARD, false, pass, now->backward, end);
    if (err) {
        vs_process_check(p, err);
        return;
    }
    for (int device = -1; device < VS_NDEVICES - 1; device++)
        if (s->of[device + 1]) place(p, device, s->nphases);
    s->unplaced = s->nphases;
    drop_events(s, end);
}

/* ---- what ranges say ---- */

/* 1 + enum vs_phase, or 0 */
static int meaning(const char *name)
{
    static const struct {
        const char *name;
        enum vs_phase phase;
    } known[] = {
        {"forward", VS_PH_FORWARD},        {"fwd", VS_PH_FORWARD},
        {"forward_pass", VS_PH_FORWARD},   {"forward pass", VS_PH_FORWARD},
        {"backward", VS_PH_BACKWARD},      {"bwd", VS_PH_BACKWARD},
        {"backward_pass", VS_PH_BACKWARD}, {"backward pass", VS_PH_BACKWARD},
        {"optimizer", VS_PH_OPTIMIZER},    {"optimizer_step", VS_PH_OPTIMIZER},
        {"optimizer step", VS_PH_OPTIMIZER}, {"optimizer.step", VS_PH_OPTIMIZER},
    };
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(name, known[i].name)) return 1 + (int)known[i].phase;
    return !name || strncmp(name, "Optimizer.step#", 15) ? 0 : 1 + VS_PH_OPTIMIZER; /* PyTorch's own */
}

static int phase_of_range(struct vs_process *p, const struct vs_range *r)
{
    static char meanings[1 + VS_NPHASES]; /* their addresses stand for the numbers */
    struct vs_id_map *m = &p->passes.phase_names;
    if (r->name_id == VS_NONE || r->start_end) return 0;
    char *known = vs_id_map_get(m, (uint64_t)r->name_id);
    if (!known) {
        char *name = vs_store_string_text(p->store, r->name_id);
        if (!name) return 0; /* its text comes later */
        known = &meanings[meaning(name)];
        free(name);
        vs_process_check(p, vs_id_map_put(m, (uint64_t)r->name_id, known));
    }
    return (int)(known - meanings);
}

static void named_backward(struct vs_passes *s, const struct vs_range *r, bool begins)
{
    s->by_thread = 0;
    if (begins && (!s->named_depth || s->named_backward_thread == r->thread)) {
        s->named_backward_thread = r->thread;
        s->named_depth++;
    } else if (!begins && s->named_depth && s->named_backward_thread == r->thread && !--s->named_depth && s->backward) {
        s->returned = true;
    }
}

void vs_passes_range(struct vs_process *p, const struct vs_range *r, bool begins)
{
    struct vs_passes *s = &p->passes;
    int what = phase_of_range(p, r);
    if (!what) return;
    enum vs_phase phase = (enum vs_phase)(what - 1);
    if (phase != VS_PH_BACKWARD && vs_passes_by(p) == VS_BY_AUTOGRAD) return; /* a part of it that is computed again */
    uint32_t pass = vs_passes_now(s);
    if (phase == VS_PH_BACKWARD) named_backward(s, r, begins);
    else if (begins && s->backward) s->returned = true;
    if (phase == VS_PH_FORWARD && begins && (!s->named_forward || s->returned)) {
        if (s->returned) vs_passes_end(p, s->last_autograd);
        s->named_forward = r->begin_ns;
    }
    if (begins) return;
    s->named |= (uint8_t)(1 << phase);
    vs_process_check(p, add_phase(p, phase, true, phase == VS_PH_OPTIMIZER && pass ? pass - 1 : pass, r->begin_ns, r->end_ns));
}

void vs_passes_failure(struct vs_process *p, int device, int64_t ts)
{
    struct vs_failed **f = &p->passes.failed[device + 1];
    if (!*f && !(*f = calloc(1, sizeof **f))) {
        vs_process_check(p, -ENOMEM);
        return;
    }
    (*f)->ts = ts;
    (*f)->pass = vs_passes_now(&p->passes);
    (*f)->groups.generation++; /* of the last one only */
    (*f)->groups.count = 0;
}
