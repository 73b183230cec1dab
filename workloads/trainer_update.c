/* SPDX-License-Identifier: MIT
 *
 * trainer_update.c: from norms to coefficients, from what a backward pass left to clipped gradients, and the optimizer. Clipped
 * gradients of one unit are made, applied and gone before the next one's, so that they never are in memory all at once.
 */
#include "workloads/trainer_parts.h"

/* Arithmetic's share of a norm: an underestimate would break the bound that privacy rests on. */
static double margin(enum vs_train_dtype dtype)
{
    return dtype == VS_TRAIN_fp64 ? 0 : dtype == VS_TRAIN_fp32 ? 1e-5 : 1e-3;
}

int vs_train_coefficients(struct vs_trainer *t)
{
    struct vs_train_clip p = {.sites = vs_train_sites(t),
                              .B = t->settings.model.B,
                              .n = t->n,
                              .bound = t->settings.bound,
                              .margin = margin(t->on.dtype),
                              .norm = t->norm,
                              .c = t->c};
    return VS_TRAIN_RUN(t, clip(&t->on, &p));
}

static int apply_part(struct vs_trainer *t, size_t unit, const struct vs_train_part *part, void *gradient, const float *c)
{
    const struct vs_train_settings *s = &t->settings;
    const struct vs_train_weights *w = &t->unit[unit];
    size_t W = vs_train_W(t), ranks = s->ranks ? s->ranks->world : 1;
    bool noisy = t->plan.semantics != VS_TRAIN_non_private && t->plan.semantics != VS_TRAIN_norms_only;
    struct vs_train_update p = {.optimizer = s->optimizer,
                                .count = part->count,
                                .first = part->key,
                                .weight = vs_train_at(w->weight, part->at, W),
                                .gradient = gradient,
                                .m = vs_train_at(w->m, part->at, W),
                                .v = vs_train_at(w->v, part->at, W),
                                .working = vs_train_at(w->working, part->at, vs_train_E(t)),
                                .c = c,
                                .noise = noisy ? s->noise * s->bound : 0,
                                .scale = 1.0 / (double)(s->model.B * ranks),
                                .rate = s->rate,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .weight_decay = s->weight_decay,
                                .seed = s->seed,
                                .step = t->step,
                                .write_back = t->observe != NULL,
                                .terms = vs_shard_terms(t, unit)};
    return part->count ? VS_TRAIN_RUN(t, update(&t->on, &p)) : 0;
}

int vs_train_apply(struct vs_trainer *t, size_t unit, const float *c)
{
    struct vs_train_part own[VS_TRAIN_PARTS];
    size_t count = vs_train_own(t, unit, own);
    int err = 0;
    for (size_t i = 0; !err && i < count; i++)
        err = apply_part(t, unit, &own[i], vs_train_at(t->unit[unit].gradient, vs_shard_gradient_at(t, unit, i), vs_train_W(t)), c);
    if (!err && t->observe && !t->arena.planning) err = t->observe(t->observer, t, unit);
    vs_train_give_gradient(t, unit);
    return err;
}

int vs_train_update_unit(struct vs_trainer *t, size_t unit, const float *c)
{
    return t->shard ? vs_shard_update(t, unit) : vs_train_apply(t, unit, c);
}

int vs_train_update_all(struct vs_trainer *t, const float *c)
{
    int err = vs_shard_flush(t);
    for (size_t u = 0; !err && u < t->layout.units; u++)
        if (t->unit[u].gradient) err = vs_train_update_unit(t, u, c); /* else it was applied in the pass */
    return err ? err : vs_shard_flush(t);
}

/* gradient (+)= sum_b c_b G_b^T A_b: G is weighted where it lies. */
static int from_kept(struct vs_trainer *t, struct vs_train_kept *k)
{
    size_t T = t->settings.model.T, count = T * vs_train_unit_of(&t->layout, k->unit)->tensor[k->id].padded;
    int err = VS_TRAIN_RUN(t, scale_samples(&t->on, k->G, (const float *)t->c + k->first, k->B, count));
    struct vs_train_pass pass = {.action = {[0] = 0}};
    bool holds;
    pass.action[k->id] = VS_DO_GRADIENT;
    if (!err) err = vs_train_site_rows(t, &pass, k->unit, k->id, k->A, k->G, k->first, k->B, k->B * T, &holds);
    vs_train_give(t, &k->G);
    if (k->owns_A) vs_train_give(t, &k->A);
    return err;
}

static int from_store(struct vs_trainer *t, size_t unit, void **store, size_t offset, size_t count)
{
    struct vs_train_weights *w = &t->unit[unit];
    if (!*store) return 0;
    int err = vs_train_take_gradient(t, unit);
    if (!err)
        err = VS_TRAIN_RUN(t, weighted_sum(&t->on, *store, t->c, t->settings.model.B, count, count, false,
                                           vs_train_at(w->gradient, offset, vs_train_W(t))));
    vs_train_give(t, store);
    return err;
}

static int finish_unit(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    struct vs_train_weights *w = &t->unit[unit];
    int err = from_store(t, unit, &w->vectors, u->vectors, u->count - u->vectors);
    for (int i = 0; !err && i < VS_TRAIN_MATRICES; i++)
        err = from_store(t, unit, &w->store[i], u->tensor[i].offset, u->tensor[i].padded * u->tensor[i].columns);
    for (size_t i = 0; !err && i < t->kept_count; i++)
        if (t->kept[i].unit == unit) err = from_kept(t, &t->kept[i]);
    if (!err && unit == 0 && t->embedding_G) {
        err = vs_train_embedding_sum(t, &t->batch, VS_TENSOR_TOKEN, t->embedding_G, t->c);
        if (!err && u->tensor[VS_TENSOR_POSITION].rows)
            err = vs_train_embedding_sum(t, &t->batch, VS_TENSOR_POSITION, t->embedding_G, t->c);
        vs_train_give(t, &t->embedding_G);
    }
    return err ? err : vs_train_update_unit(t, unit, NULL);
}

int vs_train_finish(struct vs_trainer *t)
{
    int err = vs_train_drop_kept(t);
    for (size_t u = t->layout.units; !err && u-- > 0;) err = finish_unit(t, u);
    t->kept_count = t->settled = 0;
    return err ? err : vs_shard_flush(t);
}
