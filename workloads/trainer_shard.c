/* SPDX-License-Identifier: MIT
 *
 * trainer_shard.c: whole units while they are needed, and sums of gradients. What is queued on the communication's streams waits for
 * what the trainer's stream was given before: memory that goes back to the arena can be taken for a gather at once.
 */
#include "workloads/trainer_shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/team.h"
#include "workloads/trainer_parts.h"

enum { AHEAD = 3 }; /* a unit that is needed again so soon stays */
enum pass { LEARNING, LISTING, RUNNING };

struct whole {
    void *matrices, *vectors;
    void *event;  /* the gather is done */
    size_t until; /* one more than the last need it was gathered or kept for */
};

/* For the team, from whatever thread the device tells it: of this step and of the one before. */
struct told {
    struct vs_team *team;
    uint64_t step;
    size_t index;
};

struct vs_shard {
    const struct vs_shard_ranks *ranks;
    enum pass pass;
    size_t *need, needs, need_room, at; /* units in the order a step needs them */
    struct vs_shard_op *op;
    size_t ops, op_room, next;
    struct told *told; /* 2 * ops */
    struct whole *unit;
    void *gather_stream, *reduce_stream, *tell_stream;
    void *here, *reduced[2]; /* events */
    unsigned turn;           /* which reduced[] the next sum's is */
    bool reducing;           /* a sum is under way: the last one, of reduced_unit */
    size_t reduced_unit;
};

static enum vs_comm_dtype comm_dtype(const struct vs_trainer *t, size_t element)
{
    return element == 8 ? VS_COMM_fp64 : element == 4 ? VS_COMM_fp32 : t->on.dtype == VS_TRAIN_bf16 ? VS_COMM_bf16 : VS_COMM_fp16;
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
    return u->vectors * (kind == VS_SHARD_GATHER ? vs_train_E(t) : vs_train_W(t)) + (u->count - u->vectors) * vs_train_W(t);
}

/* The next collective of the step: listed, or held against the list. *run: it is to be made. */
static int next_op(struct vs_trainer *t, enum vs_shard_kind kind, size_t unit, bool *run)
{
    struct vs_shard *s = t->shard;
    char name[16];
    *run = false;
    if (s->pass == LEARNING) return 0;
    if (s->pass == LISTING) {
        int err = grow((void **)&s->op, s->ops, &s->op_room, sizeof *s->op);
        if (err) return err;
        struct vs_shard_op *op = &s->op[s->ops++];
        *op = (struct vs_shard_op){.kind = kind, .unit = unit, .bytes = op_bytes(t, kind, unit)};
        snprintf(op->what, sizeof op->what, "%s %s", kind == VS_SHARD_GATHER ? "all_gather" : "reduce_scatter",
                 vs_train_unit_name(&t->layout, unit, name, sizeof name));
        return 0;
    }
    if (s->next == s->ops || s->op[s->next].kind != kind || s->op[s->next].unit != unit) return -EPROTO;
    if (s->ranks->team && vs_team_stopped(s->ranks->team)) return -ECANCELED;
    *run = ++s->next != s->ranks->left_out;
    if (*run && s->ranks->team) vs_team_note(s->ranks->team, t->step, s->next - 1, s->op[s->next - 1].what);
    return 0;
}

static void completed(void *arg)
{
    const struct told *told = arg;
    vs_team_done(told->team, told->step, told->index);
}

/* The team learns of it from a stream of its own: the communication's does not wait for the host. */
static int tell(struct vs_trainer *t, void *event)
{
    struct vs_shard *s = t->shard;
    size_t index = s->next - 1;
    struct told *told = &s->told[2 * index + t->step % 2];
    if (!s->ranks->team) return 0;
    *told = (struct told){s->ranks->team, t->step, index};
    int err = t->device->queue->follow(s->tell_stream, event);
    return err ? err : t->device->queue->tell(s->tell_stream, completed, told);
}

/* `stream` is behind all that the trainer's was given. */
static int follow(struct vs_trainer *t, void *stream)
{
    int err = t->device->queue->record(t->shard->here, t->on.stream);
    return err ? err : t->device->queue->follow(stream, t->shard->here);
}

/* ---- whole units ---- */

static int take_whole(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    struct whole *w = &t->shard->unit[unit];
    const struct vs_train_part matrices = {0, u->vectors, 0, 0}, vectors = {u->vectors, u->count - u->vectors, 0, 0};
    int err = vs_train_take_parts(t, unit, vs_train_E(t), "unsharded_parameter", "", &matrices, 1, &w->matrices);
    return err ? err : vs_train_take_parts(t, unit, vs_train_W(t), "unsharded_parameter", "", &vectors, 1, &w->vectors);
}

static void give_whole(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    struct whole *w = &t->shard->unit[unit];
    const struct vs_train_part matrices = {0, u->vectors, 0, 0}, vectors = {u->vectors, u->count - u->vectors, 0, 0};
    vs_train_give_parts(t, unit, vs_train_E(t), &matrices, 1, &w->matrices);
    vs_train_give_parts(t, unit, vs_train_W(t), &vectors, 1, &w->vectors);
}

static int run_gather(struct vs_trainer *t, size_t unit)
{
    struct vs_shard *s = t->shard;
    const struct vs_train_weights *own = &t->unit[unit];
    struct whole *w = &s->unit[unit];
    struct vs_train_part part[VS_TRAIN_PARTS];
    vs_train_own(t, unit, part);
    const struct vs_comm_part parts[] = {
        {own->working ? own->working : own->weight, w->matrices, part[0].count, comm_dtype(t, vs_train_E(t))},
        {vs_train_at(own->weight, part[1].at, vs_train_W(t)), w->vectors, part[1].count, comm_dtype(t, vs_train_W(t))}};
    size_t skip = !part[0].count, count = VS_TRAIN_PARTS - skip - !part[1].count; /* a unit may have no matrices, or no vectors */
    int err = follow(t, s->gather_stream);
    if (!err) err = t->device->comm->all_gather(s->ranks->gather, parts + skip, count, s->gather_stream);
    if (!err) err = t->device->queue->record(w->event, s->gather_stream);
    return err ? err : tell(t, w->event);
}

/* For the need at `at`: nothing where the unit is still there. */
static int gather(struct vs_trainer *t, size_t at)
{
    struct vs_shard *s = t->shard;
    size_t unit = s->need[at];
    bool run, there = s->unit[unit].until > 0;
    s->unit[unit].until = at + 1;
    if (there) return 0;
    int err = take_whole(t, unit);
    if (!err) err = next_op(t, VS_SHARD_GATHER, unit, &run);
    return err || !run ? err : run_gather(t, unit);
}

int vs_train_need(struct vs_trainer *t, size_t unit)
{
    struct vs_shard *s = t->shard;
    int err = 0;
    if (!s) return 0;
    if (s->pass == LEARNING) {
        err = grow((void **)&s->need, s->needs, &s->need_room, sizeof *s->need);
        if (err) return err;
        s->need[s->needs++] = unit;
    }
    if (s->at == s->needs || s->need[s->at] != unit) return -EPROTO;
    err = gather(t, s->at++);
    if (!err && s->at < s->needs) err = gather(t, s->at);
    return err || s->pass != RUNNING ? err : t->device->queue->follow(t->on.stream, s->unit[unit].event);
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

/* ---- gradients ---- */

static int apply_reduced(struct vs_trainer *t, size_t unit, void *event)
{
    int err = t->shard->pass == RUNNING ? t->device->queue->follow(t->on.stream, event) : 0;
    return err ? err : vs_train_apply(t, unit, NULL);
}

static int run_reduce(struct vs_trainer *t, size_t unit, const float *c)
{
    struct vs_shard *s = t->shard;
    void *gradient = t->unit[unit].gradient;
    size_t W = vs_train_W(t), vectors = vs_train_unit_of(&t->layout, unit)->vectors;
    enum vs_comm_dtype dtype = comm_dtype(t, W);
    struct vs_train_part own[VS_TRAIN_PARTS];
    struct vs_comm_part parts[VS_TRAIN_PARTS];
    size_t count = 0;
    for (size_t i = 0; i < vs_train_own(t, unit, own); i++)
        if (own[i].count)
            parts[count++] = (struct vs_comm_part){vs_train_at(gradient, i ? vectors : 0, W), vs_train_at(gradient, own[i].first, W),
                                                   own[i].count, dtype};
    int err = follow(t, s->reduce_stream);
    if (!err) err = t->device->comm->reduce_scatter(s->ranks->reduce, parts, count, c, s->reduce_stream);
    if (!err) err = t->device->queue->record(s->reduced[s->turn], s->reduce_stream);
    return err ? err : tell(t, s->reduced[s->turn]);
}

int vs_shard_update(struct vs_trainer *t, size_t unit, const float *c)
{
    struct vs_shard *s = t->shard;
    size_t count = vs_train_unit_of(&t->layout, unit)->count;
    void *gradient = t->unit[unit].gradient, *event = s->reduced[!s->turn];
    size_t before = s->reduced_unit;
    bool run, more = s->reducing;
    int err = 0;
    if (c && vs_train_W(t) != sizeof *c) { /* a coefficient is float32, and a sum's factor of the summands' type */
        err = VS_TRAIN_RUN(t, weighted_sum(&t->on, gradient, c, 1, count, count, false, gradient));
        c = NULL;
    }
    if (!err) err = next_op(t, VS_SHARD_REDUCE, unit, &run);
    if (!err && run) err = run_reduce(t, unit, c);
    s->turn = !s->turn;
    s->reducing = true;
    s->reduced_unit = unit;
    return err || !more ? err : apply_reduced(t, before, event); /* its sum was made while this unit's gradient was */
}

int vs_shard_flush(struct vs_trainer *t)
{
    struct vs_shard *s = t->shard;
    if (!s || !s->reducing) return 0;
    s->reducing = false;
    return apply_reduced(t, s->reduced_unit, s->reduced[!s->turn]);
}

/* ---- a step, and the whole ---- */

void vs_shard_forget(struct vs_trainer *t)
{
    if (t->shard) t->shard->needs = 0;
}

void vs_shard_begin(struct vs_trainer *t)
{
    struct vs_shard *s = t->shard;
    if (!s) return;
    s->at = s->next = 0;
    s->pass = !t->arena.planning ? RUNNING : s->needs ? LISTING : LEARNING;
    if (s->pass != RUNNING) s->ops = 0;
}

int vs_shard_end(struct vs_trainer *t, int err)
{
    struct vs_shard *s = t->shard;
    if (!s) return err;
    for (size_t u = 0; u < t->layout.units; u++) {
        if (s->unit[u].until && s->at == s->needs && !err) err = -EPROTO; /* it would be old in the next step */
        s->unit[u].until = 0;
        give_whole(t, u);
    }
    s->reducing = false;
    return err || (s->at == s->needs && (s->pass != RUNNING || s->next == s->ops)) ? err : -EPROTO;
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
    s->told = calloc(2 * s->ops, sizeof *s->told);
    int err = s->told ? q->open(&s->gather_stream) : -ENOMEM;
    if (!err) err = q->open(&s->reduce_stream);
    if (!err) err = q->open(&s->tell_stream);
    if (!err) err = q->event_open(&s->here);
    for (int i = 0; !err && i < 2; i++) err = q->event_open(&s->reduced[i]);
    for (size_t u = 0; !err && u < t->layout.units; u++) err = q->event_open(&s->unit[u].event);
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
    for (int i = 0; i < 2; i++) q->event_close(s->reduced[i]);
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
