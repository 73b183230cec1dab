/* SPDX-License-Identifier: MIT
 *
 * trainer_auto.c: the cheapest plan for several samples that fits into the memory budget, by what this device was just measured to do:
 * the rate of large products, that of memory, and what the norms expect to take (device.h, choice). Per layer: norm and book-keeping, or
 * the per-sample gradient in memory. For the whole step: those, two passes, or sample by sample.
 *
 * Costs counted, beyond three products per layer and the attention's passes: F = 2 B T d p operations, N weights of W bytes.
 *     keep       norm + F's weighting of G (2 B T p E bytes)
 *     store      gradients of the samples written, squared and weighted: (3 B + 1) d p W bytes
 *     two_pass   norm + F + the attention's and the head's second pass
 *     micro      per sample: squares, and one sum read and written: 4 N W bytes
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/team.h"
#include "workloads/trainer_parts.h"

struct rates {
    double operations, bytes; /* per second */
};

static int measure(struct vs_trainer *t, struct rates *r)
{
    enum { BYTES = 256 << 20 };
    const struct vs_device *d = t->device;
    enum vs_norms_dtype dtype = vs_train_norms_dtype(t);
    size_t bytes = d == vs_device_cpu() ? BYTES / 32 : BYTES, count = bytes / vs_train_W(t);
    void *memory = NULL;
    double ms = 0;
    int err = d->ceiling(t->on.context, dtype, &r->operations);
    if (!err) err = d->calibrate(t->on.context, dtype);
    if (!err) err = d->alloc(bytes, &memory);
    if (!err) err = d->clear(memory, bytes);
    if (!err) err = d->train->weighted_sum(&t->on, memory, NULL, 2, count / 2, count / 2, false, memory); /* loads its code */
    if (!err) err = d->start(t->on.context, t->on.stream);
    if (!err) err = d->train->weighted_sum(&t->on, memory, NULL, 2, count / 2, count / 2, false, memory);
    if (!err) err = d->stop(t->on.context, t->on.stream, &ms);
    d->release(memory);
    r->bytes = 1.5 * (double)bytes / (ms > 0 ? ms * 1e-3 : 1e-6);
    return err;
}

/* What the norms of one such layer are expected to take, in seconds. */
static double norm_seconds(const struct vs_trainer *t, enum vs_train_tensor id)
{
    const struct vs_train_place *p = &vs_train_unit_of(&t->layout, id == VS_TENSOR_HEAD ? t->layout.units - 1 : 1)->tensor[id];
    const void *nowhere = t->unit; /* an address that is not read */
    struct vs_norms_layer layer = {
        .B = t->settings.model.B, .T = t->settings.model.T, .d = p->columns, .p = p->rows, .A = nowhere, .G = nowhere};
    struct vs_norms_call call = {.dtype = vs_train_norms_dtype(t),
                                 .layers = &layer,
                                 .count = 1,
                                 .workspace_bytes = SIZE_MAX / 2,
                                 .context = t->on.context};
    double ms[3] = {(double)INFINITY, (double)INFINITY, (double)INFINITY}, least;
    t->device->choice(&call, 0, ms);
    least = fmin(ms[0], fmin(ms[1], ms[2]));
    return least * 1e-3;
}

/* Extra seconds of a step over one that is not private. */
struct costs {
    double mixed, kept, two_pass, micro;
};

/* Sets the cheaper action of each linear layer of book-keeping, and adds up. */
static void weigh(struct vs_trainer *t, const struct rates *r, struct vs_train_plan *mixed, struct costs *c)
{
    const struct vs_train_model *m = &t->settings.model;
    double BT = (double)m->B * (double)m->T, W = (double)vs_train_W(t), E = (double)vs_train_E(t);
    memset(c, 0, sizeof *c);
    for (int i = VS_TENSOR_QKV; i <= VS_TENSOR_HEAD; i++) {
        const struct vs_train_place *p =
            &vs_train_unit_of(&t->layout, i == VS_TENSOR_HEAD ? t->layout.units - 1 : 1)->tensor[i];
        double dp = (double)p->rows * (double)p->columns, times = i == VS_TENSOR_HEAD ? 1 : (double)m->L;
        if (dp == 0) continue;
        double norm = norm_seconds(t, (enum vs_train_tensor)i), product = 2 * BT * dp / r->operations;
        double keep = norm + 2 * BT * (double)p->rows * E / r->bytes, store = (3 * (double)m->B + 1) * dp * W / r->bytes;
        if (store < keep) mixed->action[i] = VS_DO_STORE;
        c->mixed += times * fmin(store, keep);
        c->kept += times * keep;
        c->two_pass += times * (norm + product + (i == VS_TENSOR_HEAD ? product : 0));
    }
    double attention = 4 * BT * (double)m->T * (double)m->h * (m->llama ? 0.5 : 1) * (double)m->L / r->operations;
    c->two_pass += 2.5 * attention;
    c->micro = (double)m->B * 4 * (double)t->layout.parameters * W / r->bytes;
}

struct candidate {
    struct vs_train_plan plan;
    double cost;
};

static int by_cost(const struct candidate *all, const bool *tried, int count)
{
    int best = -1;
    for (int i = 0; i < count; i++)
        if (!tried[i] && (best < 0 || all[i].cost < all[best].cost)) best = i;
    return best;
}

enum { MIXED, KEPT, TWO_PASS, MICRO, COUNT }; /* candidates */

/* What one rank found out; all follow rank 0, and the one with the least memory. */
struct finding {
    unsigned mixed[VS_TRAIN_MATRICES];
    double cost[COUNT];
    size_t budget;
};

static int agree(struct vs_trainer *t, struct finding *f)
{
    const struct vs_shard_ranks *ranks = t->settings.ranks;
    if (!ranks || !ranks->team) return 0;
    int err;
    struct finding *all = vs_team_collect(ranks->team, f, sizeof *f, &err);
    if (!err) *f = all[0];
    for (size_t r = 1; !err && r < ranks->world; r++)
        if (all[r].budget < f->budget) f->budget = all[r].budget;
    free(all);
    return err;
}

/* Of all ranks, whose norms may want different workspaces. */
static int largest(struct vs_trainer *t, size_t *bytes)
{
    const struct vs_shard_ranks *ranks = t->settings.ranks;
    if (!ranks || !ranks->team) return 0;
    int err;
    size_t *all = vs_team_collect(ranks->team, bytes, sizeof *bytes, &err);
    for (size_t r = 0; !err && r < ranks->world; r++)
        if (all[r] > *bytes) *bytes = all[r];
    free(all);
    return err;
}

int vs_train_choose(struct vs_trainer *t)
{
    struct candidate all[COUNT];
    bool tried[COUNT] = {false};
    struct rates rates;
    struct costs costs;
    size_t budget = t->settings.budget_bytes;
    int err = measure(t, &rates);
    if (err) return err;
    if (!budget && t->device->free_bytes(&budget)) budget = SIZE_MAX;
    for (int i = 0; i < COUNT; i++) all[i].plan = t->plan;
    weigh(t, &rates, &all[MIXED].plan, &costs);
    all[TWO_PASS].plan.semantics = VS_TRAIN_two_pass;
    vs_train_plan_all(&all[TWO_PASS].plan, VS_DO_NORM);
    vs_train_plan_tie(&t->settings, &all[TWO_PASS].plan);
    all[MICRO].plan = (struct vs_train_plan){.semantics = VS_TRAIN_micro, .norm = ""};
    vs_train_plan_all(&all[MICRO].plan, VS_DO_GRADIENT);
    /* kept: without stores, where those do not fit */
    struct finding found = {.cost = {costs.mixed, costs.kept, costs.two_pass, costs.micro}, .budget = budget};
    memcpy(found.mixed, all[MIXED].plan.action, sizeof found.mixed);
    err = agree(t, &found);
    if (err) return err;
    memcpy(all[MIXED].plan.action, found.mixed, sizeof found.mixed);
    for (int i = 0; i < COUNT; i++) all[i].cost = found.cost[i];
    for (int i = 0; i < COUNT; i++) {
        int best = by_cost(all, tried, COUNT);
        tried[best] = true;
        t->plan = all[best].plan;
        vs_arena_close(&t->arena);
        err = vs_train_rehearse(t);
        size_t needed = t->arena.high;
        if (!err) err = largest(t, &needed);
        if (err || needed <= found.budget) return err;
    }
    return 0; /* none fits: whoever opens it is told */
}
