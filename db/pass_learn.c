/* SPDX-License-Identifier: MIT
 *
 * pass_learn.c: where the parts of a pass begin, and what the model is like. It must never take one odd piece for a sign:
 * autograd's threads also free what the program's garbage collector finds there.
 */
#include <stdlib.h>
#include <string.h>

#include "process.h"

#define LEARNING 16 /* passes after which no more sizes are learnt */
#define RUN      8  /* allocations in a row that all stay: a model, or the state of its optimizer, is being made */

static bool counts(const struct vs_piece *x)
{
    return x->level == VS_LEVEL_SUB && x->in_level;
}

/* What was made before the first forward and is still there. */
static void learn_parameters(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    const struct vs_pass *first = &s->pass[0];
    s->parameters.count = 0;
    s->parameter_bytes = 0;
    for (const struct vs_piece *x = p->live.first; x; x = x->next)
        if (counts(x) && x->alloc_by != VS_BY_AUTOGRAD && !x->alloc_pass &&
            (!first->forward || x->alloc_ts < first->forward)) {
            vs_process_check(p, vs_sizes_add(&s->parameters, x->bytes));
            s->parameter_bytes += x->bytes;
        }
}

/* live.first is the latest one: only this pass's are looked at. */
static void learn_gradients(struct vs_process *p, const struct vs_pass *pass)
{
    struct vs_passes *s = &p->passes;
    s->gradient_bytes = 0;
    for (const struct vs_piece *x = p->live.first; x && x->alloc_ts >= pass->backward; x = x->next) {
        if (!counts(x) || x->alloc_by != VS_BY_AUTOGRAD || vs_category_workspace(p, x) ||
            !vs_sizes_match(&s->parameters, x->bytes))
            continue;
        vs_process_check(p, vs_sizes_add(&s->gradients, x->bytes));
        s->gradient_bytes += x->bytes;
    }
}

/* What was allocated after the last parameter that has a gradient is no part of the model that is trained. */
static void find_last_matched(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    const struct vs_pass *first = &s->pass[0];
    uint64_t all = 0, matched = 0;
    s->last_matched = 0;
    s->after_matched = 0;
    for (const struct vs_piece *x = p->live.first; x; x = x->next) {
        if (!counts(x) || x->alloc_pass || x->alloc_by == VS_BY_AUTOGRAD ||
            (first->forward && x->alloc_ts >= first->forward))
            continue;
        all += x->bytes;
        if (!vs_sizes_match(&s->gradients, x->bytes)) {
            s->after_matched += !s->last_matched;
            continue;
        }
        matched += x->bytes;
        if (!s->last_matched) s->last_matched = x->id;
    }
    if (matched < all / 2) s->last_matched = 0; /* sharded: gradients come in other portions; or most is frozen */
}

/* Forward begins with what it frees again, too: no more than a few allocations before the first that is saved. */
static void include_first_temporaries(struct vs_passes *s, struct vs_pass *now, int64_t not_before)
{
    enum { FEW = 8 };
    size_t at = 0;
    while (at < s->nallocated && s->allocated_at[at] < now->forward) at++;
    if (at > FEW && s->allocated_at[at - FEW] > not_before) not_before = s->allocated_at[at - FEW] - 1;
    int64_t first = now->forward;
    for (const struct vs_piece *x = s->first; x; x = x->next)
        if (x->alloc_by == VS_BY_MAIN && x->alloc_ts > not_before && x->alloc_ts < first && x->free_ts > now->forward &&
            x->free_ts < now->backward)
            first = x->alloc_ts;
    now->forward = first;
}

static int note_state(const struct vs_passes *s, const struct vs_pass *now, const struct vs_piece *x,
                      struct vs_sizes *found, int64_t *last)
{
    if (x->alloc_ts > now->end || !counts(x) || x->alloc_by == VS_BY_AUTOGRAD || x->bytes <= VS_SMALLEST ||
        !vs_sizes_match(&s->parameters, x->bytes))
        return 0;
    if (x->alloc_ts > *last) *last = x->alloc_ts;
    return vs_sizes_add(found, x->bytes);
}

/* When the last of the optimizer's state was made in this pass; 0: none was. It comes in the sizes of the parameters, and
 * in many of them: a few are outputs or inputs that were kept. */
static int64_t last_state(const struct vs_process *p, const struct vs_pass *now)
{
    const struct vs_passes *s = &p->passes;
    const struct vs_sizes *wanted = s->gradients.count ? &s->gradients : &s->parameters;
    struct vs_sizes found = {0};
    int64_t last = 0;
    int err = 0;
    /* what is live, and what went as the program gave up on a failed allocation */
    for (const struct vs_piece *x = s->count ? p->live.first : NULL; x && x->alloc_ts > now->begin; x = x->next)
        err |= note_state(s, now, x, &found, &last);
    for (const struct vs_piece *x = s->count ? s->first : NULL; x; x = x->next)
        if (x->alloc_ts > now->begin && vs_passes_live_at_failure(s, x)) err |= note_state(s, now, x, &found, &last);
    bool many = found.count && found.count * 3 >= wanted->count;
    vs_sizes_free(&found);
    vs_process_check((struct vs_process *)p, err);
    return many ? last : 0;
}

/* The end of the last run of the main thread's allocations that are all still live. */
static int64_t last_run(struct vs_process *p, const struct vs_pass *now)
{
    const struct vs_passes *s = &p->passes;
    int64_t *stays = malloc((s->nallocated + 1) * sizeof *stays), barrier = 0;
    size_t n = 0, run = 0;
    if (!stays) vs_process_check(p, -ENOMEM);
    for (const struct vs_piece *x = stays ? p->live.first : NULL; x && x->alloc_ts > now->begin; x = x->next)
        if (counts(x) && x->alloc_by == VS_BY_MAIN && x->alloc_ts <= now->end && n < s->nallocated) stays[n++] = x->alloc_ts;
    for (size_t i = 0; i < s->nallocated && n; i++) { /* the latest of stays is its first */
        while (n && stays[n - 1] < s->allocated_at[i]) n--;
        run = n && stays[n - 1] == s->allocated_at[i] ? run + 1 : 0;
        if (run >= RUN) barrier = s->allocated_at[i];
    }
    free(stays);
    return barrier;
}

static void place_forward(struct vs_process *p, struct vs_pass *now)
{
    struct vs_passes *s = &p->passes;
    int64_t last = last_state(p, now);
    now->made_state = last != 0;
    if (last > now->stepped) now->stepped = last;
    now->barrier = last_run(p, now);
    if (last > now->barrier) now->barrier = last;
    now->forward = s->named_forward;
    if (now->forward) return;
    int64_t after = now->barrier > now->begin ? now->barrier : now->begin;
    for (const struct vs_piece *x = s->first; x; x = x->next)
        if (x->free_by == VS_BY_AUTOGRAD && x->alloc_by != VS_BY_AUTOGRAD && x->alloc_ts > after &&
            (!now->forward || x->alloc_ts < now->forward))
            now->forward = x->alloc_ts;
    if (now->forward) include_first_temporaries(s, now, after);
}

/* What memory shows of the step before this pass: gradients that were dropped, and else the temporaries that went before
 * forward began. */
void vs_pass_find_step(struct vs_passes *s, struct vs_pass *now)
{
    int64_t until = now->forward ? now->forward : now->backward ? now->backward : INT64_MAX, temporary = 0;
    for (const struct vs_piece *x = s->first; x && s->count; x = x->next) {
        bool gradient = x->alloc_by == VS_BY_AUTOGRAD && x->alloc_pass < s->count && x->bytes > VS_SMALLEST &&
                        ((x->comm & VS_COMM_SCATTERED) || vs_sizes_match(&s->parameters, x->bytes));
        if (x->free_by != VS_BY_MAIN || (now->backward && x->free_ts >= now->backward)) continue;
        if (gradient) now->gradients_freed += x->bytes;
        if (gradient && x->free_ts < until && x->free_ts > now->stepped) now->stepped = x->free_ts;
        if (x->alloc_by != VS_BY_AUTOGRAD && x->free_ts < until && x->alloc_ts >= now->begin) temporary = x->free_ts;
    }
    if (!now->stepped) now->stepped = temporary;
}

/* The pass whose backward has just ended. */
void vs_pass_place(struct vs_process *p, struct vs_pass *now)
{
    place_forward(p, now);
    vs_pass_find_step(&p->passes, now);
}

/* What came after the last backward, when nothing more comes. */
void vs_pass_place_last(struct vs_process *p, struct vs_pass *now)
{
    p->passes.last_state = last_state(p, now);
    now->made_state = p->passes.last_state != 0;
    if (p->passes.last_state > now->stepped) now->stepped = p->passes.last_state;
    now->forward = vs_passes_forward(&p->passes);
    vs_pass_find_step(&p->passes, now);
}

void vs_pass_learn(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    if (s->count > LEARNING) return;
    learn_parameters(p);
    learn_gradients(p, &s->pass[s->count - 1]);
    if (s->count == 1) s->first_left = s->gradient_bytes;
    find_last_matched(p);
}

int vs_passes_by_time(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Without a backward, what stays is the model if it came before the program began to allocate and free. That moment
 * parts what stays from what goes best. */
void vs_pass_find_settled(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    size_t n = 0, stays = 0, room = 0, i = 0, run = 0;
    int64_t *at = NULL, best = INT64_MIN, score = 0;
    bool failed = false; /* then what a forward has saved stays, too: the model is what came without a break */
    for (i = 0; i < VS_NDEVICES; i++) failed |= s->failed[i] && s->failed[i]->ts >= s->last_allocation;
    for (const struct vs_piece *x = p->live.first, *next = s->first; x || next;) { /* what is live, and freed at the end */
        const struct vs_piece *y = x ? x : next;
        if (x) x = x->next;
        else next = next->next;
        if (!counts(y) || (y->free_ts && y->free_ts < s->last_allocation)) continue;
        if (vs_passes_grow(&at, &room, n, sizeof *at)) break;
        at[n++] = y->alloc_ts;
    }
    if (n) qsort(at, n, sizeof *at, vs_passes_by_time);
    s->settled_at = 0;
    for (i = 0; i < s->nallocated; i++) {
        while (stays < n && at[stays] < s->allocated_at[i]) stays++; /* other threads' */
        bool stayed = stays < n && at[stays] == s->allocated_at[i];
        score += stayed ? 1 : -1;
        run = stayed ? run + 1 : 0;
        if (failed ? run < RUN : score < best) continue;
        best = score;
        s->settled_at = s->allocated_at[i] + 1;
    }
    free(at);
}
