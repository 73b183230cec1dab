/* SPDX-License-Identifier: MIT
 *
 * trainer_shard.c: the schedule, and whole units while they are needed. What is queued on the communication's streams waits for
 * what the trainer's stream was given before: memory that goes back to the arena can be taken for a gather at once.
 */
#include "workloads/trainer_shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/team.h"
#include "workloads/trainer_shard_parts.h"

enum { AHEAD = 3 }; /* a unit that is needed again so soon stays */
enum { SLOTS = 8 }; /* steps until a message to the team may be overwritten: nobody is that late */

enum vs_comm_dtype vs_shard_dtype(size_t element)
{
    return element == 8 ? VS_COMM_fp64 : element == 4 ? VS_COMM_fp32 : VS_COMM_bf16;
}

size_t vs_train_own(const struct vs_trainer *t, size_t unit, struct vs_train_part own[VS_TRAIN_PARTS])
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    uint64_t first = vs_train_unit_first(&t->layout, unit);
    if (!t->shard) {
        own[0] = (struct vs_train_part){0, u->count, 0, first};
        return 1;
    }
    size_t world = t->shard->ranks->world, rank = t->shard->ranks->rank;
    size_t matrices = u->vectors / world, vectors = (u->count - u->vectors) / world;
    own[0] = (struct vs_train_part){rank * matrices, matrices, 0, first + rank * matrices};
    own[1] = (struct vs_train_part){u->vectors + rank * vectors, vectors, matrices, first + u->own_vectors + rank * vectors};
    return 2;
}

struct vs_train_part vs_train_part_in(const struct vs_train_part *part, const struct vs_train_place *tensor)
{
    size_t end = tensor->offset + tensor->rows * tensor->columns, last = part->first + part->count;
    size_t first = tensor->offset > part->first ? tensor->offset : part->first;
    if (last > end) last = end;
    if (first >= last) return (struct vs_train_part){0};
    return (struct vs_train_part){first, last - first, part->at + first - part->first, part->key + first - part->first};
}

size_t vs_train_own_count(const struct vs_trainer *t, size_t unit)
{
    return vs_train_unit_of(&t->layout, unit)->count / (t->shard ? t->shard->ranks->world : 1);
}

const void *vs_shard_matrix(const struct vs_trainer *t, size_t unit, size_t offset)
{
    return vs_train_at(t->shard->unit[unit].matrices, offset, vs_train_E(t));
}

const void *vs_shard_vector(const struct vs_trainer *t, size_t unit, size_t offset)
{
    size_t vectors = vs_train_unit_of(&t->layout, unit)->vectors;
    return vs_train_at(t->shard->unit[unit].vectors, offset - vectors, vs_train_W(t));
}

/* ---- the list ---- */

static int grow(void **list, size_t count, size_t *room, size_t bytes)
{
    if (count < *room) return 0;
    size_t more = *room ? 2 * *room : 64;
    void *bigger = realloc(*list, more * bytes);
    if (!bigger) return -ENOMEM;
    *list = bigger;
    *room = more;
    return 0;
}

static size_t op_bytes(const struct vs_trainer *t, enum vs_shard_kind kind, size_t unit)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    if (kind == VS_SHARD_COEFFICIENTS) return t->shard->ranks->world * sizeof(float);
    return u->vectors * (kind == VS_SHARD_GATHER ? vs_train_E(t) : vs_train_W(t)) + (u->count - u->vectors) * vs_train_W(t);
}

int vs_shard_failed(struct vs_trainer *t, int err)
{
    if (err) snprintf(t->why, sizeof t->why, "%s", t->device->comm->last_error());
    return err;
}

static const char *const kinds[] = {
#define X(id, name) name,
    VS_SHARD_KINDS(X)
#undef X
};

int vs_shard_next(struct vs_trainer *t, enum vs_shard_kind kind, size_t unit, bool *run)
{
    struct vs_shard *s = t->shard;
    char name[16];
    *run = false;
    if (s->pass == VS_SHARD_LEARNING) return 0;
    if (s->pass == VS_SHARD_LISTING) {
        int err = grow((void **)&s->op, s->ops, &s->op_room, sizeof *s->op);
        if (err) return err;
        struct vs_shard_op *op = &s->op[s->ops++];
        *op = (struct vs_shard_op){.kind = kind, .unit = unit, .bytes = op_bytes(t, kind, unit)};
        snprintf(op->what, sizeof op->what, "%s %s", kinds[kind],
                 kind == VS_SHARD_COEFFICIENTS ? "coefficients" : vs_train_unit_name(&t->layout, unit, name, sizeof name));
        return 0;
    }
    if (s->next == s->ops || s->op[s->next].kind != kind || s->op[s->next].unit != unit) {
        snprintf(t->why, sizeof t->why, "the step is not the one that was planned: its collective %zu should be %s", s->next + 1,
                 s->next == s->ops ? "none" : s->op[s->next].what);
        return -EPROTO;
    }
    if (s->ranks->team && vs_team_stopped(s->ranks->team)) return -ECANCELED;
    bool sums = kind == VS_SHARD_REDUCE || kind == VS_SHARD_EXCHANGE;
    int err = vs_shard_failed(t, t->device->comm->check(sums ? s->ranks->reduce : s->ranks->gather));
    if (err) return err;
    *run = ++s->next != s->ranks->left_out;
    if (*run && s->ranks->team) vs_team_note(s->ranks->team, s->step, s->next - 1, s->op[s->next - 1].what);
    return 0;
}

static void completed(void *arg)
{
    const struct vs_shard_told *told = arg;
    vs_team_done(told->team, told->step, told->index);
}

/* The team learns of it from a stream of its own: the communication's does not wait for the host. */
int vs_shard_tell(struct vs_trainer *t, void *event)
{
    struct vs_shard *s = t->shard;
    size_t index = s->next - 1;
    struct vs_shard_told *told = &s->told[SLOTS * index + s->step % SLOTS];
    if (!s->ranks->team) return 0;
    *told = (struct vs_shard_told){s->ranks->team, s->step, index};
    int err = t->device->queue->follow(s->tell_stream, event);
    return err ? err : t->device->queue->tell(s->tell_stream, completed, told);
}

int vs_shard_follow(struct vs_trainer *t, void *stream)
{
    int err = t->device->queue->record(t->shard->here, t->on.stream);
    return err ? err : t->device->queue->follow(stream, t->shard->here);
}

/* ---- whole units ---- */

static int take_whole(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    struct vs_shard_unit *w = &t->shard->unit[unit];
    const struct vs_train_part matrices = {0, u->vectors, 0, 0}, vectors = {u->vectors, u->count - u->vectors, 0, 0};
    int err = vs_train_take_parts(t, unit, vs_train_E(t), "unsharded_parameter", "", &matrices, 1, &w->matrices);
    return err ? err : vs_train_take_parts(t, unit, vs_train_W(t), "unsharded_parameter", "", &vectors, 1, &w->vectors);
}

static void give_whole(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    struct vs_shard_unit *w = &t->shard->unit[unit];
    const struct vs_train_part matrices = {0, u->vectors, 0, 0}, vectors = {u->vectors, u->count - u->vectors, 0, 0};
    vs_train_give_parts(t, unit, vs_train_E(t), &matrices, 1, &w->matrices);
    vs_train_give_parts(t, unit, vs_train_W(t), &vectors, 1, &w->vectors);
}

static int run_gather(struct vs_trainer *t, size_t unit)
{
    struct vs_shard *s = t->shard;
    const struct vs_train_weights *own = &t->unit[unit];
    struct vs_shard_unit *w = &s->unit[unit];
    struct vs_train_part part[VS_TRAIN_PARTS];
    vs_train_own(t, unit, part);
    const struct vs_comm_part parts[] = {
        {own->working ? own->working : own->weight, w->matrices, part[0].count, vs_shard_dtype(vs_train_E(t))},
        {vs_train_at(own->weight, part[1].at, vs_train_W(t)), w->vectors, part[1].count, vs_shard_dtype(vs_train_W(t))}};
    size_t skip = !part[0].count, count = VS_TRAIN_PARTS - skip - !part[1].count; /* a unit may have no matrices, or no vectors */
    int err = vs_shard_follow(t, s->gather_stream);
    if (!err) err = vs_shard_failed(t, t->device->comm->all_gather(s->ranks->gather, parts + skip, count, s->gather_stream));
    if (!err) err = t->device->queue->record(w->event, s->gather_stream);
    return err ? err : vs_shard_tell(t, w->event);
}

/* For the need at `at`: nothing where the unit is still there. */
static int gather(struct vs_trainer *t, size_t at)
{
    struct vs_shard *s = t->shard;
    size_t unit = s->need[at];
    bool run, there = s->unit[unit].until > 0;
    if (s->unit[unit].until <= at) s->unit[unit].until = at + 1;
    if (there) return 0;
    int err = take_whole(t, unit);
    if (!err) err = vs_shard_next(t, VS_SHARD_GATHER, unit, &run);
    return err || !run ? err : run_gather(t, unit);
}

/* Up to the next unit with matrices: one without is over too soon to hide a gather. */
static int gather_ahead(struct vs_trainer *t)
{
    struct vs_shard *s = t->shard;
    int err = 0;
    for (size_t at = s->at; !err && at < s->needs; at++) {
        err = gather(t, at);
        if (vs_train_unit_of(&t->layout, s->need[at])->vectors) break;
    }
    return err;
}

int vs_train_need(struct vs_trainer *t, size_t unit)
{
    struct vs_shard *s = t->shard;
    int err = 0;
    if (!s) return 0;
    if (s->pass == VS_SHARD_LEARNING) {
        err = grow((void **)&s->need, s->needs, &s->need_room, sizeof *s->need);
        if (err) return err;
        s->need[s->needs++] = unit;
    }
    if (s->at == s->needs || s->need[s->at] != unit) return -EPROTO;
    err = gather(t, s->at++);
    if (!err) err = gather_ahead(t);
    return err || s->pass != VS_SHARD_RUNNING ? err : t->device->queue->follow(t->on.stream, s->unit[unit].event);
}

void vs_train_done(struct vs_trainer *t, size_t unit)
{
    struct vs_shard *s = t->shard;
    if (!s || s->unit[unit].until > s->at) return; /* gathered ahead for the next need already */
    for (size_t i = s->at; i < s->needs && i < s->at + AHEAD; i++)
        if (s->need[i] == unit) return;
    s->unit[unit].until = 0;
    give_whole(t, unit);
}

/* ---- a step, and the whole ---- */

/* Of a step that failed. */
static void give_dealt(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_part all = {0, vs_train_unit_of(&t->layout, unit)->count, 0, 0};
    vs_train_give_parts(t, unit, vs_train_W(t), &all, 1, &t->shard->unit[unit].dealt);
    t->shard->unit[unit].exchanged = false;
}

void vs_shard_forget(struct vs_trainer *t)
{
    if (t->shard) t->shard->needs = 0;
}

void vs_shard_begin(struct vs_trainer *t)
{
    struct vs_shard *s = t->shard;
    if (!s) return;
    s->at = s->next = 0;
    s->pass = !t->arena.planning ? VS_SHARD_RUNNING : s->needs ? VS_SHARD_LISTING : VS_SHARD_LEARNING;
    if (s->pass != VS_SHARD_RUNNING) s->ops = 0;
    else if (s->ranks->team) s->step = ++*s->ranks->steps;
}

int vs_shard_end(struct vs_trainer *t, int err)
{
    struct vs_shard *s = t->shard;
    if (!s) return err;
    for (size_t u = 0; u < t->layout.units; u++) {
        if (s->unit[u].until && s->at == s->needs && !err) err = -EPROTO; /* it would be old in the next step */
        s->unit[u].until = 0;
        give_whole(t, u);
        give_dealt(t, u);
    }
    s->under_way = 0;
    return err || (s->at == s->needs && (s->pass != VS_SHARD_RUNNING || s->next == s->ops)) ? err : -EPROTO;
}

int vs_shard_open(struct vs_trainer *t)
{
    struct vs_shard *s = calloc(1, sizeof *s);
    t->shard = s;
    if (!s) return -ENOMEM;
    s->ranks = t->settings.ranks;
    vs_train_layout_split(&t->layout, s->ranks->world);
    s->unit = calloc(t->layout.units, sizeof *s->unit);
    return s->unit ? 0 : -ENOMEM;
}

int vs_shard_start(struct vs_trainer *t)
{
    struct vs_shard *s = t->shard;
    const struct vs_queue *q = t->device->queue;
    if (!s) return 0;
    s->told = calloc(SLOTS * s->ops, sizeof *s->told);
    int err = s->told ? q->open(&s->gather_stream, true) : -ENOMEM;
    if (!err) err = q->open(&s->reduce_stream, true);
    if (!err) err = q->open(&s->tell_stream, false);
    if (!err) err = q->event_open(&s->here, false);
    for (int i = 0; !err && i < VS_SHARD_SUMS; i++) err = q->event_open(&s->reduced[i], false);
    for (size_t u = 0; !err && u < t->layout.units; u++) err = q->event_open(&s->unit[u].event, false);
    return err;
}

void vs_shard_close(struct vs_trainer *t)
{
    struct vs_shard *s = t->shard;
    const struct vs_queue *q = t->device->queue;
    if (!s) return;
    void *const streams[] = {s->gather_stream, s->reduce_stream, s->tell_stream};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        if (streams[i]) t->device->wait(streams[i]); /* an aborted communicator's come back too */
        q->close(streams[i]);
    }
    for (int i = 0; i < VS_SHARD_SUMS; i++) q->event_close(s->reduced[i]);
    for (size_t u = 0; s->unit && u < t->layout.units; u++) q->event_close(s->unit[u].event);
    q->event_close(s->here);
    free(s->unit);
    free(s->told);
    free(s->need);
    free(s->op);
    free(s);
    t->shard = NULL;
}

const struct vs_shard_op *vs_shard_schedule(const struct vs_trainer *t, size_t *count)
{
    *count = t->shard ? t->shard->ops : 0;
    return t->shard ? t->shard->op : NULL;
}
