/* SPDX-License-Identifier: MIT
 *
 * trainer_step.c: one step of each way to train (VS_TRAIN_SEMANTICS).
 */
#include <nvtx3/nvToolsExt.h>
#include <string.h>

#include "workloads/trainer_parts.h"

static int moment(struct vs_trainer *t, const char *name)
{
    return t->moment && !t->arena.planning ? t->moment(t->moment_state, name) : 0;
}

static void begin(struct vs_trainer *t, const char *range)
{
    if (!t->arena.planning) nvtxRangePushA(range);
}

static void end(struct vs_trainer *t)
{
    if (!t->arena.planning) nvtxRangePop();
}

static int forward(struct vs_trainer *t, const struct vs_train_batch *b)
{
    begin(t, "forward");
    int err = vs_train_forward(t, b);
    end(t);
    return err;
}

static int backward(struct vs_trainer *t, const struct vs_train_pass *p)
{
    begin(t, "backward");
    int err = vs_train_span_begin(t, VS_SPAN_FIRST_BACKWARD, t->on.stream);
    if (!err) err = vs_train_backward(t, p);
    if (!err) err = vs_train_span_end(t, VS_SPAN_FIRST_BACKWARD, 1, t->on.stream);
    end(t);
    return err;
}

/* The pass that only sums. */
static struct vs_train_pass summing(const struct vs_train_batch *b, const float *c)
{
    struct vs_train_pass p = {.batch = b, .release = true, .c = c};
    for (int i = 0; i < VS_TRAIN_MATRICES; i++) p.action[i] = VS_DO_GRADIENT;
    return p;
}

static enum vs_train_timing timing(const struct vs_trainer *t, enum vs_train_timing usual)
{
    return t->settings.timing == VS_TIMING_usual ? usual : t->settings.timing;
}

static int no_squares(struct vs_trainer *t, size_t B)
{
    return VS_TRAIN_RUN(t, zero(&t->on, t->n, vs_train_sites(t) * B * sizeof(double)));
}

/* The square of a unit's gradient in memory, which is that of one sample. */
static int square_gradient(struct vs_trainer *t, size_t unit)
{
    size_t count = vs_train_unit_of(&t->layout, unit)->count;
    return vs_train_square(t, unit, (enum vs_train_tensor)0, t->unit[unit].gradient, 1, count, count);
}

static int square_gradients(struct vs_trainer *t)
{
    int err = 0;
    for (size_t u = 0; !err && u < t->layout.units; u++) err = square_gradient(t, u);
    return err;
}

/* Over ranks sums are applied as soon as they are complete, and a sample's own gradient sent as soon as its norm is known. */
static int square_and_send(struct vs_trainer *t, size_t unit)
{
    int err = square_gradient(t, unit);
    return err ? err : vs_shard_exchange(t, unit);
}

static int optimize(struct vs_trainer *t, int (*apply)(struct vs_trainer *t))
{
    int err = moment(t, "backward");
    begin(t, "optimizer");
    if (!err) err = apply(t);
    end(t);
    return err ? err : moment(t, "step");
}

static int apply_plain(struct vs_trainer *t)
{
    return vs_train_update_all(t, NULL);
}

static int apply_weighted(struct vs_trainer *t)
{
    return vs_train_update_all(t, t->c);
}

static int once(struct vs_trainer *t, const struct vs_train_pass *p)
{
    int err = forward(t, &t->batch);
    if (!err) err = moment(t, "forward");
    return err ? err : backward(t, p);
}

static int clip(struct vs_trainer *t)
{
    begin(t, "norms");
    int err = vs_train_span_begin(t, VS_SPAN_COEFFICIENTS, t->on.stream);
    if (!err) err = vs_train_coefficients(t);
    if (!err) err = vs_train_span_end(t, VS_SPAN_COEFFICIENTS, 1, t->on.stream);
    end(t);
    return err;
}

static int step_plain(struct vs_trainer *t)
{
    struct vs_train_pass p = summing(&t->batch, NULL);
    p.leave = t->shard ? vs_shard_update : NULL;
    int err = once(t, &p);
    return err ? err : optimize(t, apply_plain);
}

static int step_one_pass(struct vs_trainer *t)
{
    struct vs_train_pass p = summing(&t->batch, NULL);
    int err = no_squares(t, 1);
    if (t->shard) p.leave = square_and_send;
    if (!err) err = once(t, &p);
    if (!err && !t->shard) err = square_gradients(t);
    if (!err) err = clip(t);
    if (err) return err;
    if (t->shard) return optimize(t, vs_shard_apply_exchanged);
    err = vs_train_drop_gradients(t, t->c);
    return err ? err : optimize(t, apply_weighted);
}

/* explicit and book-keeping, and every mix of them: the plan says what is stored and what is kept. */
static int step_one_backward(struct vs_trainer *t)
{
    struct vs_train_pass p = {.batch = &t->batch, .vectors_by_sample = true, .release = true};
    p.timing = timing(t, VS_TIMING_deferred);
    memcpy(p.action, t->plan.action, sizeof p.action);
    int err = no_squares(t, t->batch.B);
    if (!err) err = once(t, &p);
    if (!err) err = clip(t);
    return err ? err : optimize(t, vs_train_finish);
}

static void forget_stores(struct vs_trainer *t)
{
    for (size_t u = 0; u < t->layout.units; u++) {
        vs_train_give(t, &t->unit[u].vectors);
        for (int i = 0; i < VS_TRAIN_MATRICES; i++) vs_train_give(t, &t->unit[u].store[i]);
    }
}

static int step_two_pass(struct vs_trainer *t)
{
    struct vs_train_pass norms = {.batch = &t->batch, .vectors_by_sample = true}, sums = summing(&t->batch, t->c);
    memcpy(norms.action, t->plan.action, sizeof norms.action);
    norms.timing = timing(t, VS_TIMING_immediate);
    sums.leave = t->shard ? vs_shard_update : NULL;
    int err = no_squares(t, t->batch.B);
    if (!err) err = once(t, &norms);
    forget_stores(t);
    if (!err) err = clip(t);
    if (!err) err = vs_train_drop_activations(t);
    if (!err) err = backward(t, &sums);
    return err ? err : optimize(t, apply_plain);
}

static int step_norms_only(struct vs_trainer *t)
{
    struct vs_train_pass p = {.batch = &t->batch, .vectors_by_sample = true, .vectors_summed = true, .release = true};
    p.timing = VS_TIMING_immediate; /* activations go block by block */
    memcpy(p.action, t->plan.action, sizeof p.action);
    int err = no_squares(t, t->batch.B);
    if (!err) err = once(t, &p);
    forget_stores(t);
    if (!err) err = clip(t); /* the norms are read; the coefficients are not */
    return err ? err : optimize(t, apply_plain);
}

/* ---- sample by sample ---- */

static struct vs_train_batch sample_of(const struct vs_trainer *t, size_t b)
{
    size_t first = b * t->settings.model.T;
    return (struct vs_train_batch){.B = 1,
                                   .ids = t->batch.ids + first,
                                   .targets = t->batch.targets + first,
                                   .positions = t->batch.positions,
                                   .all = t->batch.sample[b],
                                   .sample = t->batch.sample + b};
}

static int clip_sample(struct vs_trainer *t, size_t b)
{
    double *norm = t->norm;
    float *c = t->c;
    size_t B = t->settings.model.B;
    t->norm = norm + b; /* a batch of one, at its own place */
    t->c = c + b;
    t->settings.model.B = 1;
    int err = square_gradients(t);
    if (!err) err = clip(t);
    t->norm = norm;
    t->c = c;
    t->settings.model.B = B;
    return err;
}

/* sum (+)= c_b * gradient, unit by unit; the last sample's gradients are where the sum goes to. */
static int add_sample(struct vs_trainer *t, size_t b, void **sum)
{
    int err = 0;
    for (size_t u = 0; !err && u < t->layout.units; u++) {
        struct vs_train_weights *w = &t->unit[u];
        size_t count = vs_train_unit_of(&t->layout, u)->count;
        if (b == 0) { /* its gradient becomes the sum */
            sum[u] = w->gradient;
            w->gradient = NULL;
            err = VS_TRAIN_RUN(t, weighted_sum(&t->on, sum[u], (const float *)t->c, 1, count, count, false, sum[u]));
            continue;
        }
        err = VS_TRAIN_RUN(t, weighted_sum(&t->on, w->gradient, (const float *)t->c + b, 1, count, count, true, sum[u]));
        vs_train_give_gradient(t, u);
    }
    return err;
}

static int step_micro(struct vs_trainer *t)
{
    size_t B = t->batch.B;
    int err = 0;
    for (size_t b = 0; !err && b < B; b++) {
        struct vs_train_batch sample = sample_of(t, b);
        struct vs_train_pass p = summing(&sample, NULL);
        err = no_squares(t, 1);
        if (!err) err = forward(t, &sample);
        if (!err && b == 0) err = moment(t, "forward");
        if (!err) err = backward(t, &p);
        if (!err) err = clip_sample(t, b);
        if (!err) err = vs_train_drop_gradients(t, (const float *)t->c + b);
        if (!err) err = add_sample(t, b, t->sum);
    }
    for (size_t u = 0; u < t->layout.units; u++) {
        if (!t->sum[u]) continue;
        vs_train_give_gradient(t, u); /* of a sample that failed */
        t->unit[u].gradient = t->sum[u];
        t->sum[u] = NULL;
    }
    return err ? err : optimize(t, apply_plain);
}

int vs_trainer_step(struct vs_trainer *t)
{
    static int (*const steps[])(struct vs_trainer *t) = {[VS_TRAIN_non_private] = step_plain,
                                                         [VS_TRAIN_explicit] = step_one_backward,
                                                         [VS_TRAIN_two_pass] = step_two_pass,
                                                         [VS_TRAIN_book_keeping] = step_one_backward,
                                                         [VS_TRAIN_one_pass] = step_one_pass,
                                                         [VS_TRAIN_micro] = step_micro,
                                                         [VS_TRAIN_norms_only] = step_norms_only};
    t->step++;
    begin(t, "iteration");
    vs_shard_begin(t);
    vs_train_profile_begin(t);
    int err = vs_shard_end(t, steps[t->plan.semantics](t));
    vs_train_clean(t);
    end(t);
    if (!err)
        err = VS_TRAIN_RUN(t, sample_loss(&t->on, t->loss, t->settings.model.B, t->settings.model.T, t->sample_loss));
    return err;
}

void vs_train_clean(struct vs_trainer *t)
{
    vs_train_give(t, &t->norm_end);
    vs_train_give(t, &t->stats_end);
    vs_train_give(t, &t->x_end);
}
