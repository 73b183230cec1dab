/* SPDX-License-Identifier: MIT
 *
 * trainer_backward.c: the backward pass through the blocks. A gradient lives until the last who reads it; whoever waits for a norm,
 * or keeps it for book-keeping, holds it longer.
 */
#include <stdio.h>

#include "workloads/trainer_parts.h"

/* One block on its way: the pass, and what everyone asks. */
struct at {
    struct vs_trainer *t;
    const struct vs_train_pass *p;
    struct vs_train_block *block;
    struct vs_train_vectors vectors;
    size_t l, unit, rows;
};

int vs_train_input_gradient(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, size_t rows, const void *G, void *dX)
{
    const struct vs_train_place *p = &vs_train_unit_of(&t->layout, unit)->tensor[id];
    struct vs_train_product product = {.m = rows,
                                       .n = p->columns,
                                       .k = p->padded,
                                       .x = G,
                                       .ldx = p->padded,
                                       .y = vs_train_matrix(t, unit, id),
                                       .ldy = p->columns,
                                       .out = dX,
                                       .ldo = p->columns,
                                       .alpha = 1};
    return VS_TRAIN_RUN(t, product(&t->on, &product));
}

int vs_train_norm_input(struct vs_trainer *t, size_t unit, enum vs_train_tensor gamma, size_t rows, const void *sum, const void *stats,
                        void **dout, bool fresh, const char *name, void **dx)
{
    const struct vs_train_model *m = &t->settings.model;
    void *residual = *dx, *out = residual;
    int err = fresh ? vs_train_take(t, rows * m->h * vs_train_E(t), &out, "%s", name) : 0;
    struct vs_train_norm_backward p = {.kind = m->llama ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM,
                                       .rows = rows,
                                       .width = m->h,
                                       .sum = sum,
                                       .dout = *dout,
                                       .residual = residual,
                                       .gamma = vs_train_vector(t, unit, gamma),
                                       .mean_rstd = stats,
                                       .dx = out};
    if (!err) err = VS_TRAIN_RUN(t, norm_backward(&t->on, &p));
    vs_train_give(t, dout);
    *dx = out;
    return err;
}

/* A gradient of the activations: kept ones are activations, others pass by. */
static int take(const struct at *at, enum vs_train_tensor id, size_t width, const char *name, void **out)
{
    const char *category = id != VS_TRAIN_TENSORS_COUNT && at->p->action[id] & VS_DO_KEEP ? "activation" : "temporary";
    return vs_train_take(at->t, at->rows * width * vs_train_E(at->t), out, "%s/block%02zu.%s", category, at->l, name);
}

static void used(const struct at *at, void **activation, bool holds)
{
    if (at->p->release && !holds) vs_train_give(at->t, activation);
}

/* From d(block output) to d(hidden layer before its nonlinearity), and the sites of DOWN. */
static int hidden_backward(struct at *at, void *dx, void **d_up, bool *holds)
{
    struct vs_trainer *t = at->t;
    const struct vs_train_model *m = &t->settings.model;
    void *up = at->block->up, *gated = NULL, *d_hidden = NULL, **A = m->llama ? &gated : &at->block->up;
    int err = 0;
    if (m->llama) {
        err = take(at, VS_TENSOR_DOWN, m->ffn, "gated", &gated);
        if (!err) err = VS_TRAIN_RUN(t, swiglu(&t->on, up, at->rows, m->ffn, gated));
    }
    if (!err) err = vs_train_site(t, at->p, at->unit, VS_TENSOR_DOWN, A, dx, holds);
    if (!err) err = vs_train_bias_site(t, &at->vectors, at->unit, VS_TENSOR_DOWN_BIAS, dx);
    if (!err) err = take(at, m->llama ? VS_TRAIN_TENSORS_COUNT : VS_TENSOR_UP, m->ffn, m->llama ? "d_gated" : "d_up", &d_hidden);
    if (!err) err = vs_train_input_gradient(t, at->unit, VS_TENSOR_DOWN, at->rows, dx, d_hidden);
    if (!m->llama) {
        if (!err) err = VS_TRAIN_RUN(t, relu_backward(&t->on, up, d_hidden, at->rows, m->ffn));
        used(at, &at->block->up, *holds);
        *d_up = d_hidden;
        return err;
    }
    if (*holds) t->kept[t->kept_count - 1].owns_A = true; /* nobody else gives it back */
    else vs_train_give(t, &gated);
    if (!err) err = take(at, VS_TENSOR_UP, 2 * m->ffn, "d_up", d_up);
    if (!err) err = VS_TRAIN_RUN(t, swiglu_backward(&t->on, up, d_hidden, at->rows, m->ffn, *d_up));
    vs_train_give(t, &d_hidden);
    used(at, &at->block->up, false);
    return err;
}

static int feed_backward(struct at *at, void **dx)
{
    struct vs_trainer *t = at->t;
    void *d_up = NULL, *d_norm = NULL;
    bool holds_down = false, holds_up = false;
    int err = hidden_backward(at, *dx, &d_up, &holds_down);
    const void *stats = at->block->stats2;
    if (!err) err = vs_train_site(t, at->p, at->unit, VS_TENSOR_UP, &at->block->norm2, d_up, &holds_up);
    if (!err) err = vs_train_bias_site(t, &at->vectors, at->unit, VS_TENSOR_UP_BIAS, d_up);
    if (!err) err = take(at, VS_TRAIN_TENSORS_COUNT, t->settings.model.h, "d_norm2", &d_norm);
    if (!err) err = vs_train_input_gradient(t, at->unit, VS_TENSOR_UP, at->rows, d_up, d_norm);
    if (!holds_up) vs_train_give(t, &d_up);
    used(at, &at->block->norm2, holds_up);
    if (!err)
        err = vs_train_norm_site(t, &at->vectors, at->unit, VS_TENSOR_NORM2, VS_TENSOR_NORM2_BETA, at->block->middle, stats, d_norm);
    char name[48];
    snprintf(name, sizeof name, "%s/block%02zu.d_middle", at->p->action[VS_TENSOR_O] & VS_DO_KEEP ? "activation" : "temporary", at->l);
    if (!err)
        err = vs_train_norm_input(t, at->unit, VS_TENSOR_NORM2, at->rows, at->block->middle, stats, &d_norm, holds_down, name, dx);
    used(at, &at->block->middle, false);
    used(at, &at->block->stats2, false);
    return err;
}

static int attend_backward(struct at *at, void *d_o, void **d_qkv)
{
    struct vs_trainer *t = at->t;
    const struct vs_train_model *m = &t->settings.model;
    size_t E = vs_train_E(t), width = m->h / m->heads;
    struct vs_train_attention a;
    void *workspace = NULL;
    int err = take(at, VS_TENSOR_QKV, vs_train_qkv_width(m), "d_qkv", d_qkv);
    vs_train_attention_of(t, at->p->batch->B, at->block, &a);
    a.d_o = d_o;
    a.dq = *d_qkv;
    a.dk = vs_train_at(*d_qkv, m->heads * width, E);
    a.dv = vs_train_at(*d_qkv, (m->heads + m->kv_heads) * width, E);
    a.workspace_bytes = t->device->train->attention_workspace_bytes(&t->on, &a, true);
    if (!err) err = vs_train_take(t, a.workspace_bytes, &workspace, "workspace/attention");
    a.workspace = workspace;
    if (!err) err = VS_TRAIN_RUN(t, attention_backward(&t->on, &a));
    vs_train_give(t, &workspace);
    if (!err && m->llama)
        err = VS_TRAIN_RUN(t, rotate(&t->on, *d_qkv, at->rows, m->T, a.row, m->heads + m->kv_heads, width, VS_TRAIN_ROTATION_BASE, true));
    return err;
}

static int attention_backward(struct at *at, void **dx)
{
    struct vs_trainer *t = at->t;
    void *d_o = NULL, *d_qkv = NULL, *d_norm = NULL, *A = at->block->o;
    bool holds_o = false, holds_qkv = false;
    int err = vs_train_site(t, at->p, at->unit, VS_TENSOR_O, &A, *dx, &holds_o); /* the attention reads o once more */
    if (!err) err = take(at, VS_TRAIN_TENSORS_COUNT, t->settings.model.h, "d_attention", &d_o);
    if (!err) err = vs_train_input_gradient(t, at->unit, VS_TENSOR_O, at->rows, *dx, d_o);
    if (!err) err = attend_backward(at, d_o, &d_qkv);
    vs_train_give(t, &d_o);
    at->block->o = A; /* NULL: kept */
    used(at, &at->block->o, holds_o);
    used(at, &at->block->qkv, false);
    used(at, &at->block->attention, false);
    if (!err) err = vs_train_site(t, at->p, at->unit, VS_TENSOR_QKV, &at->block->norm1, d_qkv, &holds_qkv);
    if (!err) err = take(at, VS_TRAIN_TENSORS_COUNT, t->settings.model.h, "d_norm1", &d_norm);
    if (!err) err = vs_train_input_gradient(t, at->unit, VS_TENSOR_QKV, at->rows, d_qkv, d_norm);
    if (!holds_qkv) vs_train_give(t, &d_qkv);
    used(at, &at->block->norm1, holds_qkv);
    if (!err)
        err = vs_train_norm_site(t, &at->vectors, at->unit, VS_TENSOR_NORM1, VS_TENSOR_NORM1_BETA, at->block->x, at->block->stats1,
                                 d_norm);
    char name[48];
    snprintf(name, sizeof name, "%s/block%02zu.d_x", at->p->action[VS_TENSOR_DOWN] & VS_DO_KEEP ? "activation" : "temporary", at->l);
    if (!err)
        err = vs_train_norm_input(t, at->unit, VS_TENSOR_NORM1, at->rows, at->block->x, at->block->stats1, &d_norm, holds_o, name, dx);
    used(at, &at->block->x, false);
    used(at, &at->block->stats1, false);
    return err;
}

static void release_block(struct vs_trainer *t, size_t l)
{
    struct vs_train_block *b = &t->block[l];
    void **const all[] = {&b->up, &b->stats2, &b->norm2, &b->middle, &b->attention, &b->o, &b->qkv, &b->stats1, &b->norm1, &b->x};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) vs_train_give(t, all[i]);
}

static int block_backward(struct vs_trainer *t, const struct vs_train_pass *p, size_t l, void **dx)
{
    struct at at = {.t = t, .p = p, .block = &t->block[l], .l = l, .unit = l + 1, .rows = p->batch->B * t->settings.model.T};
    int err = vs_train_need(t, at.unit);
    if (!err) err = vs_train_vectors_begin(t, p, at.unit, &at.vectors);
    if (!err) err = feed_backward(&at, dx);
    if (!err) err = attention_backward(&at, dx);
    if (!err) err = vs_train_vectors_end(t, p, at.unit);
    if (!err) err = vs_train_settle_block(t, p);
    vs_train_done(t, at.unit);
    if (p->release) release_block(t, l);
    return err || !p->leave ? err : p->leave(t, at.unit);
}

int vs_train_backward(struct vs_trainer *t, const struct vs_train_pass *p)
{
    void *dx = NULL;
    int err = vs_train_head(t, p, &dx);
    for (size_t l = t->settings.model.L; !err && l-- > 0;) err = block_backward(t, p, l, &dx);
    if (!err) err = vs_train_embedding(t, p, &dx);
    if (!err && p->leave) err = p->leave(t, 0);
    vs_train_give(t, &dx);
    if (!err && p->timing == VS_TIMING_overlapped) err = vs_train_aside_begin(t);
    if (!err) err = vs_train_aside_end(t);
    return err ? err : vs_train_settle(t);
}
