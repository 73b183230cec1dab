/* SPDX-License-Identifier: MIT
 *
 * trainer_reduce.c: gradients on their way to the ranks that own them: summed on the way, or, where their weights are not known yet, sent as
 * they are and summed there. One is under way while the next is made; of the last units of a pass several are, whose sums are applied
 * while that of the embedding, which nothing is made behind, is under way.
 */
#include "workloads/trainer_shard_parts.h"

/* What was under way for the unit is done: its sum is applied, or its gradient is at its owners'. */
static int settle(struct vs_trainer *t, size_t unit, void *event)
{
    int err = t->shard->pass == VS_SHARD_RUNNING ? t->device->queue->follow(t->on.stream, event) : 0;
    if (!t->shard->unit[unit].dealt) return err ? err : vs_train_apply(t, unit, NULL);
    vs_train_give_gradient(t, unit);
    return err;
}

/* Own parts lie in the unit's gradient where the unit has them; of an exchange, at the begin of the matrices and of the vectors. */
size_t vs_shard_gradient_at(const struct vs_trainer *t, size_t unit, size_t part)
{
    struct vs_train_part own[VS_TRAIN_PARTS];
    vs_train_own(t, unit, own);
    if (!t->shard || !t->shard->unit[unit].exchanged) return own[part].first;
    return part ? vs_train_unit_of(&t->layout, unit)->vectors : 0;
}

size_t vs_shard_terms(const struct vs_trainer *t, size_t unit)
{
    return t->shard && t->shard->unit[unit].exchanged ? t->shard->ranks->world : 1;
}

static int run_sum(struct vs_trainer *t, enum vs_shard_kind kind, size_t unit)
{
    struct vs_shard *s = t->shard;
    const struct vs_comm *comm = t->device->comm;
    void *gradient = t->unit[unit].gradient, *dealt = s->unit[unit].dealt;
    size_t W = vs_train_W(t), vectors = vs_train_unit_of(&t->layout, unit)->vectors, count = 0;
    struct vs_train_part own[VS_TRAIN_PARTS];
    struct vs_comm_part parts[VS_TRAIN_PARTS];
    for (size_t i = 0; i < vs_train_own(t, unit, own); i++) {
        size_t first = i ? vectors : 0;
        void *to = kind == VS_SHARD_REDUCE ? vs_train_at(gradient, own[i].first, W) : vs_train_at(dealt, first, W);
        if (own[i].count) parts[count++] = (struct vs_comm_part){vs_train_at(gradient, first, W), to, own[i].count, vs_shard_dtype(W)};
    }
    int err = vs_shard_follow(t, s->reduce_stream);
    if (!err && kind == VS_SHARD_REDUCE) err = vs_shard_failed(t, comm->reduce_scatter(s->ranks->reduce, parts, count, s->reduce_stream));
    else if (!err) err = vs_shard_failed(t, comm->all_to_all(s->ranks->reduce, parts, count, s->reduce_stream));
    if (!err) err = t->device->queue->record(s->reduced[s->turn], s->reduce_stream);
    return err ? err : vs_shard_tell(t, s->reduced[s->turn]);
}

/* Those under way but `most`, the oldest first. */
static int settle_but(struct vs_trainer *t, size_t most)
{
    struct vs_shard *s = t->shard;
    int err = 0;
    while (!err && s->under_way > most) {
        size_t oldest = (s->turn + VS_SHARD_SUMS - s->under_way--) % VS_SHARD_SUMS;
        err = settle(t, s->reduced_unit[oldest], s->reduced[oldest]);
    }
    return err;
}

/* How many may be under way once this one is, itself among them. What an exchange sends from would still be in memory, where all that was exchanged before
 * is already; and in the first half of a pass activations are. */
static size_t most_under_way(const struct vs_trainer *t, enum vs_shard_kind kind, size_t unit)
{
    size_t half = t->settings.model.L / 2, late = half < VS_SHARD_LATE ? half : VS_SHARD_LATE;
    return kind == VS_SHARD_REDUCE && unit <= late && late ? late : 1;
}

static int begin_sum(struct vs_trainer *t, enum vs_shard_kind kind, size_t unit)
{
    struct vs_shard *s = t->shard;
    bool run;
    int err = vs_shard_next(t, kind, unit, &run);
    if (!err && run) err = run_sum(t, kind, unit);
    s->reduced_unit[s->turn] = unit;
    s->turn = (s->turn + 1) % VS_SHARD_SUMS;
    s->under_way++;
    return err ? err : settle_but(t, most_under_way(t, kind, unit));
}

int vs_shard_update(struct vs_trainer *t, size_t unit)
{
    return begin_sum(t, VS_SHARD_REDUCE, unit);
}

int vs_shard_exchange(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_part all = {0, vs_train_unit_of(&t->layout, unit)->count, 0, 0};
    int err = vs_train_take_parts(t, unit, vs_train_W(t), "gradient", ".of_ranks", &all, 1, &t->shard->unit[unit].dealt);
    return err ? err : begin_sum(t, VS_SHARD_EXCHANGE, unit);
}

int vs_shard_flush(struct vs_trainer *t)
{
    return t->shard ? settle_but(t, 0) : 0;
}

/* By the communicator of the gathers, which has nothing left to do: the last exchange is still under way on the other. */
static int gather_coefficients(struct vs_trainer *t, void *all)
{
    struct vs_shard *s = t->shard;
    const struct vs_comm_part part = {t->c, all, 1, VS_COMM_fp32};
    bool run;
    int err = vs_shard_next(t, VS_SHARD_COEFFICIENTS, 0, &run);
    if (err || !run) return err;
    err = vs_shard_follow(t, s->gather_stream);
    if (!err) err = vs_shard_failed(t, t->device->comm->all_gather(s->ranks->gather, &part, 1, s->gather_stream));
    if (!err) err = t->device->queue->record(s->reduced[s->turn], s->gather_stream);
    if (!err) err = vs_shard_tell(t, s->reduced[s->turn]);
    return err ? err : t->device->queue->follow(t->on.stream, s->reduced[s->turn]);
}

static int apply_exchanged(struct vs_trainer *t, size_t unit, const float *c)
{
    struct vs_shard_unit *u = &t->shard->unit[unit];
    t->unit[unit].gradient = u->dealt;
    u->dealt = NULL;
    u->exchanged = true;
    int err = vs_train_apply(t, unit, c);
    u->exchanged = false;
    return err;
}

int vs_shard_apply_exchanged(struct vs_trainer *t)
{
    void *c = NULL;
    int err = vs_train_take(t, t->shard->ranks->world * sizeof(float), &c, "workspace/norm_samples.coefficients_of_ranks");
    if (!err) err = gather_coefficients(t, c);
    for (size_t u = t->layout.units; !err && --u > 0;) err = apply_exchanged(t, u, c);
    if (!err) err = vs_shard_flush(t); /* the embedding's exchange was under way meanwhile */
    if (!err) err = apply_exchanged(t, 0, c);
    vs_train_give(t, &c);
    return err;
}
