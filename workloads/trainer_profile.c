/* SPDX-License-Identifier: MIT
 *
 * trainer_profile.c: how long the parts of a step take that the deferral of norms is about, by events in the streams where they run. It
 * orders nothing and waits for nothing until the times are read.
 */
#include <errno.h>
#include <stdlib.h>

#include "workloads/trainer_parts.h"

struct span {
    enum vs_train_span kind;
    size_t count; /* what was done in it */
    void *first, *last;
};

struct vs_train_profile {
    struct span *span;
    size_t spans, opened, room; /* spans of this step; with events; with memory */
    bool had_backward;
};

int vs_train_profile_open(struct vs_trainer *t)
{
    t->profile = calloc(1, sizeof *t->profile);
    return t->profile ? 0 : -ENOMEM;
}

void vs_train_profile_close(struct vs_trainer *t)
{
    struct vs_train_profile *p = t->profile;
    if (!p) return;
    for (size_t i = 0; i < p->opened; i++) {
        t->device->queue->event_close(p->span[i].first);
        t->device->queue->event_close(p->span[i].last);
    }
    free(p->span);
    free(p);
    t->profile = NULL;
}

void vs_train_profile_begin(struct vs_trainer *t)
{
    if (!t->profile) return;
    t->profile->spans = 0;
    t->profile->had_backward = false;
}

static int open_span(struct vs_trainer *t, struct vs_train_profile *p)
{
    if (p->spans < p->opened) return 0;
    if (p->opened == p->room) {
        size_t room = p->room ? 2 * p->room : 64;
        struct span *more = realloc(p->span, room * sizeof *more);
        if (!more) return -ENOMEM;
        p->span = more;
        p->room = room;
    }
    struct span *s = &p->span[p->opened];
    *s = (struct span){.kind = VS_SPAN_NORMS};
    int err = t->device->queue->event_open(&s->first, true);
    if (!err) err = t->device->queue->event_open(&s->last, true);
    if (err) t->device->queue->event_close(s->first);
    else p->opened++;
    return err;
}

int vs_train_span_begin(struct vs_trainer *t, enum vs_train_span kind, void *stream)
{
    struct vs_train_profile *p = t->profile;
    if (!p || t->arena.planning) return 0;
    int err = open_span(t, p);
    if (err) return err;
    p->span[p->spans].kind = kind;
    if (kind == VS_SPAN_FIRST_BACKWARD && p->had_backward) p->span[p->spans].kind = VS_SPAN_LATER_BACKWARD;
    p->had_backward |= kind == VS_SPAN_FIRST_BACKWARD;
    return t->device->queue->record(p->span[p->spans++].first, stream);
}

/* Spans of one kind do not nest, and end in any order with those of another. */
int vs_train_span_end(struct vs_trainer *t, enum vs_train_span kind, size_t count, void *stream)
{
    struct vs_train_profile *p = t->profile;
    if (!p || t->arena.planning) return 0;
    for (size_t i = p->spans; i-- > 0;) {
        bool same = p->span[i].kind == kind || (kind == VS_SPAN_FIRST_BACKWARD && p->span[i].kind == VS_SPAN_LATER_BACKWARD);
        if (!same) continue;
        p->span[i].count = count;
        return t->device->queue->record(p->span[i].last, stream);
    }
    return -EINVAL;
}

int vs_train_profile_read(struct vs_trainer *t, struct vs_train_times *out)
{
    const struct vs_train_profile *p = t->profile;
    int err = 0;
    *out = (struct vs_train_times){0};
    for (size_t i = 0; !err && i < p->spans; i++) {
        double ms;
        err = t->device->queue->ms(p->span[i].first, p->span[i].last, &ms);
        if (err) break;
        out->ms[p->span[i].kind] += ms;
        out->count[p->span[i].kind] += p->span[i].count;
    }
    return err;
}
