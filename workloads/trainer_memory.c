/* SPDX-License-Identifier: MIT
 *
 * trainer_memory.c: what the trainer takes from its arena, under which names. Every byte of a tensor has one name while it lives;
 * padding between the tensors of a unit has none.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "workloads/trainer_parts.h"

enum { NAME = 64 };

int vs_train_take(struct vs_trainer *t, size_t bytes, void **out, const char *format, ...)
{
    char name[NAME];
    va_list values;
    va_start(values, format);
    vsnprintf(name, sizeof name, format, values);
    va_end(values);
    return vs_arena_take(&t->arena, bytes, name, out);
}

void vs_train_give(struct vs_trainer *t, void **tensor)
{
    vs_arena_give(&t->arena, *tensor);
    *tensor = NULL;
}

const void *vs_train_matrix(const struct vs_trainer *t, size_t unit, enum vs_train_tensor id)
{
    const struct vs_train_weights *w = &t->unit[unit];
    size_t offset = vs_train_unit_of(&t->layout, unit)->tensor[id].offset;
    if (t->shard) return vs_shard_matrix(t, unit, offset);
    return w->working ? vs_train_at(w->working, offset, vs_train_E(t)) : vs_train_at(w->weight, offset, vs_train_W(t));
}

const void *vs_train_vector(const struct vs_trainer *t, size_t unit, enum vs_train_tensor id)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    if (!u->tensor[id].rows) return NULL;
    if (t->shard) return vs_shard_vector(t, unit, u->tensor[id].offset);
    return vs_train_at(t->unit[unit].weight, u->tensor[id].offset, vs_train_W(t));
}

/* Names, or takes away the names of, the tensors of a unit that lie in an array of a part of it. */
static void name_part(struct vs_trainer *t, size_t unit, const struct vs_train_part *part, void *base, size_t element,
                      const char *category, const char *suffix)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    char text[16], name[NAME];
    vs_train_unit_name(&t->layout, unit, text, sizeof text);
    for (int i = 0; i < VS_TRAIN_TENSORS_COUNT; i++) {
        struct vs_train_part in = vs_train_part_in(part, &u->tensor[i]);
        void *place = vs_train_at(base, in.at, element);
        if (!in.count) continue;
        if (!category) {
            vs_arena_unname(&t->arena, place, in.count * element);
            continue;
        }
        snprintf(name, sizeof name, "%s/%s.%s%s", category, text, vs_train_tensor_name((enum vs_train_tensor)i), suffix);
        vs_arena_name(&t->arena, place, in.count * element, name);
    }
}

int vs_train_take_parts(struct vs_trainer *t, size_t unit, size_t element, const char *category, const char *suffix,
                        const struct vs_train_part *parts, size_t count, void **out)
{
    size_t elements = 0;
    for (size_t i = 0; i < count; i++) elements += parts[i].count;
    int err = vs_arena_take(&t->arena, elements * element, NULL, out);
    for (size_t i = 0; !err && *out && i < count; i++) name_part(t, unit, &parts[i], *out, element, category, suffix);
    return err;
}

void vs_train_give_parts(struct vs_trainer *t, size_t unit, size_t element, const struct vs_train_part *parts, size_t count, void **array)
{
    for (size_t i = 0; *array && i < count; i++) name_part(t, unit, &parts[i], *array, element, NULL, NULL);
    vs_train_give(t, array);
}

/* Padding counts in no sum, and nothing reads what comes of it: it only must not be NaN. */
static int clear_gaps(struct vs_trainer *t, const struct vs_train_unit *u, void *base, size_t element)
{
    size_t end = u->count;
    int err = 0;
    for (int i = VS_TRAIN_TENSORS_COUNT - 1; !err && i >= 0; i--) { /* in the order of their offsets, from the last */
        const struct vs_train_place *p = &u->tensor[i];
        size_t exact = p->offset + p->rows * p->columns;
        if (!p->rows) continue;
        if (exact < end) err = VS_TRAIN_RUN(t, zero(&t->on, vs_train_at(base, exact, element), (end - exact) * element));
        end = p->offset;
    }
    return err;
}

/* What this rank owns of a unit, for good. */
static int take_own(struct vs_trainer *t, size_t unit, size_t element, const char *category, const char *suffix, void **out)
{
    struct vs_train_part own[VS_TRAIN_PARTS];
    size_t count = vs_train_own(t, unit, own);
    int err = vs_train_take_parts(t, unit, element, category, suffix, own, count, out);
    if (err || !*out) return err;
    if (t->shard) return VS_TRAIN_RUN(t, zero(&t->on, *out, vs_train_own_count(t, unit) * element));
    return clear_gaps(t, vs_train_unit_of(&t->layout, unit), *out, element);
}

static void give_own(struct vs_trainer *t, size_t unit, size_t element, void **array)
{
    struct vs_train_part own[VS_TRAIN_PARTS];
    size_t count = vs_train_own(t, unit, own);
    vs_train_give_parts(t, unit, element, own, count, array);
}

int vs_train_take_gradient(struct vs_trainer *t, size_t unit)
{
    struct vs_train_weights *w = &t->unit[unit];
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    const struct vs_train_part all = {0, u->count, 0, 0};
    if (w->gradient) return 0;
    w->written = 0;
    int err = vs_train_take_parts(t, unit, vs_train_W(t), t->shard ? "unsharded_gradient" : "gradient", "", &all, 1, &w->gradient);
    return err || !w->gradient ? err : clear_gaps(t, u, w->gradient, vs_train_W(t));
}

void vs_train_give_gradient(struct vs_trainer *t, size_t unit)
{
    const struct vs_train_part all = {0, vs_train_unit_of(&t->layout, unit)->count, 0, 0};
    vs_train_give_parts(t, unit, vs_train_W(t), &all, 1, &t->unit[unit].gradient);
    t->unit[unit].written = 0;
}

static int take_weights(struct vs_trainer *t, size_t unit)
{
    struct vs_train_weights *w = &t->unit[unit];
    size_t W = vs_train_W(t);
    int err = take_own(t, unit, W, "parameter", "", &w->weight);
    if (!err && vs_train_E(t) != W) err = take_own(t, unit, vs_train_E(t), "parameter", ".rounded", &w->working);
    if (err || !vs_train_optimizer_states(t->settings.optimizer)) return err;
    err = take_own(t, unit, W, "optimizer_state", ".m", &w->m);
    return err ? err : take_own(t, unit, W, "optimizer_state", ".v", &w->v);
}

int vs_train_take_all(struct vs_trainer *t)
{
    size_t B = t->settings.model.B, tokens = B * t->settings.model.T;
    int err = vs_train_take(t, t->settings.extra_bytes, &t->extra, "temporary/extra");
    for (size_t u = 0; !err && u < t->layout.units; u++) err = take_weights(t, u);
    if (!err) err = vs_train_take(t, vs_train_input_bytes(&t->settings.model), &t->ids_memory, "input/ids");
    if (!err) err = vs_train_take(t, tokens * vs_train_W(t), &t->loss, "workspace/loss");
    if (!err) err = vs_train_take(t, B * sizeof(double), &t->sample_loss, "workspace/sample_loss");
    if (err || t->plan.semantics == VS_TRAIN_non_private) return err;
    err = vs_train_take(t, vs_train_sites(t) * B * sizeof(double), &t->n, "workspace/norm_samples.squares");
    if (!err) err = vs_train_take(t, B * sizeof(double), &t->norm, "workspace/norm_samples.norms");
    if (!err) err = vs_train_take(t, B * sizeof(float), &t->c, "workspace/norm_samples.coefficients");
    if (!err) err = vs_train_take(t, t->norm_workspace_bytes, &t->norm_workspace, "workspace/norm_samples.workspace");
    if (!err) err = vs_train_aside_take(t);
    return err || !t->norm_workspace ? err : VS_TRAIN_RUN(t, zero(&t->on, t->norm_workspace, t->norm_workspace_bytes));
}

void vs_train_give_all(struct vs_trainer *t)
{
    void **const tensors[] = {&t->norm_workspace, &t->c, &t->norm, &t->n, &t->sample_loss, &t->loss, &t->ids_memory, &t->extra};
    vs_train_aside_give(t);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) vs_train_give(t, tensors[i]);
    for (size_t u = 0; u < t->layout.units; u++) {
        struct vs_train_weights *w = &t->unit[u];
        vs_train_give_gradient(t, u); /* of a step that failed */
        give_own(t, u, vs_train_W(t), &w->v);
        give_own(t, u, vs_train_W(t), &w->m);
        give_own(t, u, vs_train_E(t), &w->working);
        give_own(t, u, vs_train_W(t), &w->weight);
    }
}
