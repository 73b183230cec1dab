/* SPDX-License-Identifier: MIT
 *
 * trainer_sites.c: what happens with the gradient of each weight where the backward pass comes by: summed, stored by sample, or kept
 * for a norm. Which of them is the pass's to say; this file runs no layer of the model.
 */
#include <errno.h>
#include <stdlib.h>

#include "workloads/trainer_parts.h"

enum { VECTORS = VS_TRAIN_MATRICES, SITES_PER_UNIT = VS_TRAIN_MATRICES + 1 };

size_t vs_train_sites(const struct vs_trainer *t)
{
    return t->layout.units * SITES_PER_UNIT;
}

double *vs_train_n(const struct vs_trainer *t, size_t unit, enum vs_train_tensor id)
{
    return (double *)t->n + (unit * SITES_PER_UNIT + id) * t->settings.model.B;
}

/* How many weights have their squares in that place. */
static size_t weights_of(const struct vs_trainer *t, size_t unit, enum vs_train_tensor id)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    size_t vectors = 0;
    for (int i = VS_TRAIN_MATRICES; i < VS_TRAIN_TENSORS_COUNT; i++) vectors += u->tensor[i].rows > 0;
    return id == VS_TRAIN_MATRICES ? vectors : 1;
}

int vs_train_square(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, const void *store, size_t B, size_t count, size_t stride)
{
    size_t bytes = t->device->train->square_sum_workspace_bytes(&t->on, B, count);
    void *workspace = NULL;
    int err = vs_train_take(t, bytes, &workspace, "workspace/norm_samples.sums");
    if (!err) err = vs_train_span_begin(t, VS_SPAN_NORMS, t->on.stream);
    if (!err) err = VS_TRAIN_RUN(t, square_sum(&t->on, store, B, count, stride, false, vs_train_n(t, unit, id), workspace));
    if (!err) err = vs_train_span_end(t, VS_SPAN_NORMS, weights_of(t, unit, id), t->on.stream);
    vs_train_give(t, &workspace);
    return err;
}

/* gradient[p,d] (+)= G^T A over `rows` rows. */
static int sum_gradient(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, const void *A, const void *G, size_t rows)
{
    const struct vs_train_place *p = &vs_train_unit_of(&t->layout, unit)->tensor[id];
    int err = vs_train_take_gradient(t, unit);
    struct vs_train_weights *w = &t->unit[unit];
    struct vs_train_product product = {.transpose_x = true,
                                       .m = p->padded,
                                       .n = p->columns,
                                       .k = rows,
                                       .x = G,
                                       .ldx = p->padded,
                                       .y = A,
                                       .ldy = p->columns,
                                       .out = vs_train_at(w->gradient, p->offset, vs_train_W(t)),
                                       .ldo = p->columns,
                                       .out_wide = true,
                                       .alpha = 1,
                                       .beta = w->written >> id & 1 ? 1 : 0};
    if (!err) err = VS_TRAIN_RUN(t, product(&t->on, &product));
    w->written |= 1u << id;
    return err;
}

/* store[first + b] = G_b^T A_b, and its norm; of the tied table the norm waits for the embedding's part. */
static int store_gradients(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, const void *A, const void *G, size_t first,
                           size_t B)
{
    const struct vs_train_place *p = &vs_train_unit_of(&t->layout, unit)->tensor[id];
    size_t count = p->padded * p->columns, T = t->settings.model.T, W = vs_train_W(t);
    struct vs_train_weights *w = &t->unit[unit];
    char text[16];
    int err = 0;
    if (!w->store[id])
        err = vs_train_take(t, t->settings.model.B * count * W, &w->store[id], "workspace/norm_samples.%s.%s",
                            vs_train_unit_name(&t->layout, unit, text, sizeof text), vs_train_tensor_name(id));
    void *out = vs_train_at(w->store[id], first * count, W);
    struct vs_train_product product = {.transpose_x = true,
                                       .m = p->padded,
                                       .n = p->columns,
                                       .k = T,
                                       .x = G,
                                       .ldx = p->padded,
                                       .y = A,
                                       .ldy = p->columns,
                                       .out = out,
                                       .ldo = p->columns,
                                       .out_wide = true,
                                       .alpha = 1,
                                       .batch = B,
                                       .step_x = T * p->padded,
                                       .step_y = T * p->columns,
                                       .step_out = count};
    if (!err) err = VS_TRAIN_RUN(t, product(&t->on, &product));
    if (err || id == VS_TENSOR_TOKEN || first + B < t->settings.model.B) return err;
    return vs_train_square(t, unit, id, w->store[id], t->settings.model.B, count, count);
}

static int keep(struct vs_trainer *t, const struct vs_train_kept *entry)
{
    if (t->kept_count == t->kept_room) {
        size_t room = t->kept_room ? 2 * t->kept_room : 64;
        struct vs_train_kept *more = realloc(t->kept, room * sizeof *more);
        if (!more) return -ENOMEM;
        t->kept = more;
        t->kept_room = room;
    }
    t->kept[t->kept_count++] = *entry;
    return 0;
}

int vs_train_site_rows(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit, enum vs_train_tensor id, void *A, void *G,
                       size_t first, size_t B, size_t rows, bool *holds)
{
    unsigned action = p->action[id];
    int err = 0;
    *holds = false;
    if (action & VS_DO_GRADIENT) err = sum_gradient(t, unit, id, A, G, rows);
    if (!err && action & VS_DO_STORE) err = store_gradients(t, unit, id, A, G, first, B);
    if (err || !(action & (VS_DO_NORM | VS_DO_KEEP))) return err;
    struct vs_train_kept entry = {.unit = unit, .first = first, .B = B, .id = id, .action = action, .A = A, .G = G};
    err = keep(t, &entry);
    *holds = !err;
    return err;
}

int vs_train_site(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit, enum vs_train_tensor id, void **A, void *G,
                  bool *holds)
{
    size_t B = p->batch->B;
    int err = vs_train_site_rows(t, p, unit, id, *A, G, 0, B, B * t->settings.model.T, holds);
    if (err || !*holds || !(p->action[id] & VS_DO_KEEP)) return err;
    t->kept[t->kept_count - 1].owns_A = true;
    *A = NULL;
    return 0;
}

void vs_train_forget_kept(struct vs_trainer *t, size_t first, size_t end)
{
    size_t kept = first;
    for (size_t i = first; i < t->kept_count; i++) {
        if (i >= end || t->kept[i].action & VS_DO_KEEP) {
            t->kept[kept++] = t->kept[i];
            continue;
        }
        vs_train_give(t, &t->kept[i].G);
        if (t->kept[i].owns_A) vs_train_give(t, &t->kept[i].A);
    }
    t->kept_count = kept;
}

int vs_train_settle(struct vs_trainer *t)
{
    const struct vs_train_norm_place here = {t->on.context, t->on.stream, t->norm_workspace};
    int err = 0;
    if (t->kept_count > t->settled) err = vs_train_linear_norms(t, &here, t->kept + t->settled, t->kept_count - t->settled);
    vs_train_forget_kept(t, t->settled, t->kept_count);
    t->settled = t->kept_count;
    return err;
}

int vs_train_settle_block(struct vs_trainer *t, const struct vs_train_pass *p)
{
    switch (p->timing) {
    case VS_TIMING_deferred: return 0;
    case VS_TIMING_overlapped: return vs_train_aside_begin(t);
    default: return vs_train_settle(t);
    }
}

/* ---- vectors ---- */

int vs_train_vectors_begin(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit, struct vs_train_vectors *v)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    size_t count = u->count - u->vectors, B = p->batch->B, W = vs_train_W(t);
    struct vs_train_weights *w = &t->unit[unit];
    char text[16];
    *v = (struct vs_train_vectors){.B = 1, .T = B * t->settings.model.T, .stride = count};
    if (!count) return 0;
    if (!p->vectors_by_sample) {
        int err = vs_train_take_gradient(t, unit);
        v->base = vs_train_at(w->gradient, u->vectors, W);
        return err;
    }
    *v = (struct vs_train_vectors){.B = B, .T = t->settings.model.T, .stride = count};
    int err = vs_train_take(t, B * count * W, &w->vectors, "workspace/norm_samples.%s.vectors",
                            vs_train_unit_name(&t->layout, unit, text, sizeof text));
    v->base = w->vectors;
    return err ? err : VS_TRAIN_RUN(t, zero(&t->on, w->vectors, B * count * W)); /* padding counts in no sum */
}

int vs_train_vectors_end(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    size_t count = u->count - u->vectors, B = p->batch->B;
    struct vs_train_weights *w = &t->unit[unit];
    if (!count || !p->vectors_by_sample) return 0;
    int err = vs_train_square(t, unit, VS_TRAIN_MATRICES, w->vectors, B, count, count);
    if (err || !p->vectors_summed) return err;
    err = vs_train_take_gradient(t, unit);
    if (!err)
        err = VS_TRAIN_RUN(t, weighted_sum(&t->on, w->vectors, NULL, B, count, count, false,
                                           vs_train_at(w->gradient, u->vectors, vs_train_W(t))));
    vs_train_give(t, &w->vectors);
    return err;
}

static void *vector(const struct vs_trainer *t, const struct vs_train_vectors *v, size_t unit, enum vs_train_tensor id)
{
    const struct vs_train_unit *u = vs_train_unit_of(&t->layout, unit);
    return u->tensor[id].rows ? vs_train_at(v->base, u->tensor[id].offset - u->vectors, vs_train_W(t)) : NULL;
}

int vs_train_norm_site(struct vs_trainer *t, const struct vs_train_vectors *v, size_t unit, enum vs_train_tensor gamma,
                       enum vs_train_tensor beta, const void *sum, const void *stats, const void *dout)
{
    size_t h = t->settings.model.h;
    void *workspace = NULL;
    int err = vs_train_take(t, t->device->train->column_workspace_bytes(&t->on, v->B, v->T, h), &workspace, "workspace/columns");
    struct vs_train_norm_gradient p = {.kind = t->settings.model.llama ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM,
                                       .B = v->B,
                                       .T = v->T,
                                       .width = h,
                                       .stride = v->stride,
                                       .sum = sum,
                                       .dout = dout,
                                       .mean_rstd = stats,
                                       .dgamma = vector(t, v, unit, gamma),
                                       .dbeta = vector(t, v, unit, beta),
                                       .workspace = workspace};
    if (!err) err = VS_TRAIN_RUN(t, norm_gradient(&t->on, &p));
    vs_train_give(t, &workspace);
    return err;
}

int vs_train_bias_site(struct vs_trainer *t, const struct vs_train_vectors *v, size_t unit, enum vs_train_tensor bias, const void *G)
{
    size_t width = vs_train_unit_of(&t->layout, unit)->tensor[bias].columns;
    void *out = vector(t, v, unit, bias), *workspace = NULL;
    if (!out) return 0;
    int err = vs_train_take(t, t->device->train->column_workspace_bytes(&t->on, v->B, v->T, width), &workspace, "workspace/columns");
    if (!err) err = VS_TRAIN_RUN(t, bias_gradient(&t->on, G, v->B, v->T, width, v->stride, out, workspace));
    vs_train_give(t, &workspace);
    return err;
}
