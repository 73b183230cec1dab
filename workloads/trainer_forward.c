/* SPDX-License-Identifier: MIT
 *
 * trainer_forward.c: the forward pass up to the input of the head (trainer_head.c goes on from there, because logits, loss and their
 * gradient are one chunked operation).
 *
 * The sum that ends a block (x + down(...) + bias) is made together with the norm that begins the next one.
 */
#include <string.h>

#include "workloads/trainer_parts.h"

/* What a block leaves to be added: x + y + bias. */
struct carry {
    void *x, *y;
    const void *bias;
};

int vs_train_linear(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, size_t rows, const void *in, void *out)
{
    const struct vs_train_place *p = &vs_train_unit_of(&t->layout, unit)->tensor[id];
    struct vs_train_product product = {.transpose_y = true,
                                       .m = rows,
                                       .n = p->padded,
                                       .k = p->columns,
                                       .x = in,
                                       .ldx = p->columns,
                                       .y = vs_train_matrix(t, unit, id),
                                       .ldy = p->columns,
                                       .out = out,
                                       .ldo = p->padded,
                                       .alpha = 1};
    return VS_TRAIN_RUN(t, product(&t->on, &product));
}

/* sum = carried x + y + bias, into a new tensor where there is something to add; out = norm(sum). gamma VS_TRAIN_TENSORS_COUNT: only
 * the sum. */
static int add_norm(struct vs_trainer *t, struct carry *c, size_t unit, enum vs_train_tensor gamma, enum vs_train_tensor beta,
                    size_t rows, void *sum, void *out, void *stats)
{
    struct vs_train_norm_forward p = {.kind = t->settings.model.llama ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM,
                                      .rows = rows,
                                      .width = t->settings.model.h,
                                      .eps = VS_TRAIN_NORM_EPS,
                                      .x = c->x,
                                      .y = c->y,
                                      .bias = c->bias,
                                      .sum = sum,
                                      .out = out,
                                      .mean_rstd = stats};
    if (gamma != VS_TRAIN_TENSORS_COUNT) {
        p.gamma = vs_train_vector(t, unit, gamma);
        p.beta = vs_train_vector(t, unit, beta);
    }
    int err = VS_TRAIN_RUN(t, norm_forward(&t->on, &p));
    vs_train_give(t, &c->y);
    if (sum) c->x = sum;
    c->bias = NULL;
    return err;
}

void vs_train_attention_of(const struct vs_trainer *t, size_t B, const struct vs_train_block *block, struct vs_train_attention *a)
{
    const struct vs_train_model *m = &t->settings.model;
    size_t width = m->h / m->heads, E = vs_train_E(t);
    *a = (struct vs_train_attention){.B = B,
                                     .T = m->T,
                                     .heads = m->heads,
                                     .kv_heads = m->kv_heads,
                                     .width = width,
                                     .row = vs_train_qkv_width(m),
                                     .causal = m->llama,
                                     .q = block->qkv,
                                     .k = vs_train_at(block->qkv, m->heads * width, E),
                                     .v = vs_train_at(block->qkv, (m->heads + m->kv_heads) * width, E),
                                     .o = block->o,
                                     .stats = block->attention};
}

const char *vs_trainer_attention(const struct vs_trainer *t)
{
    struct vs_train_attention a;
    vs_train_attention_of(t, t->settings.model.B, &(struct vs_train_block){0}, &a);
    return t->device->train->attention_by(&t->on, &a);
}

static int attend(struct vs_trainer *t, size_t B, size_t l)
{
    struct vs_train_block *block = &t->block[l];
    const struct vs_train_model *m = &t->settings.model;
    size_t rows = B * m->T;
    struct vs_train_attention a;
    void *workspace = NULL;
    int err = vs_train_take(t, rows * m->h * vs_train_E(t), &block->o, "activation/block%02zu.attention", l);
    if (!err) err = vs_train_take(t, rows * m->heads * vs_train_W(t), &block->attention, "activation/block%02zu.attention_stats", l);
    if (!err && m->llama)
        err = VS_TRAIN_RUN(t, rotate(&t->on, block->qkv, rows, m->T, vs_train_qkv_width(m), m->heads + m->kv_heads, m->h / m->heads,
                                     VS_TRAIN_ROTATION_BASE, false));
    vs_train_attention_of(t, B, block, &a);
    a.workspace_bytes = t->device->train->attention_workspace_bytes(&t->on, &a, false);
    if (!err) err = vs_train_take(t, a.workspace_bytes, &workspace, "workspace/attention");
    a.workspace = workspace;
    if (!err) err = VS_TRAIN_RUN(t, attention(&t->on, &a));
    vs_train_give(t, &workspace);
    return err;
}

/* The hidden layer from its input; the output of the block, not yet added, is the carry's y. */
static int feed(struct vs_trainer *t, size_t B, size_t l, struct carry *c)
{
    struct vs_train_block *block = &t->block[l];
    const struct vs_train_model *m = &t->settings.model;
    size_t rows = B * m->T, unit = l + 1, E = vs_train_E(t);
    void *gated = NULL;
    int err = vs_train_take(t, rows * vs_train_up_width(m) * E, &block->up, "activation/block%02zu.up", l);
    if (!err) err = vs_train_linear(t, unit, VS_TENSOR_UP, rows, block->norm2, block->up);
    if (m->llama) {
        if (!err) err = vs_train_take(t, rows * m->ffn * E, &gated, "temporary/gated");
        if (!err) err = VS_TRAIN_RUN(t, swiglu(&t->on, block->up, rows, m->ffn, gated));
    } else {
        if (!err) err = VS_TRAIN_RUN(t, bias_relu(&t->on, block->up, vs_train_vector(t, unit, VS_TENSOR_UP_BIAS), rows, m->ffn));
        c->bias = vs_train_vector(t, unit, VS_TENSOR_DOWN_BIAS);
    }
    if (!err) err = vs_train_take(t, rows * m->h * E, &c->y, "temporary/down");
    if (!err) err = vs_train_linear(t, unit, VS_TENSOR_DOWN, rows, m->llama ? gated : block->up, c->y);
    vs_train_give(t, &gated);
    return err;
}

static int block_forward(struct vs_trainer *t, size_t B, size_t l, struct carry *c)
{
    struct vs_train_block *block = &t->block[l];
    const struct vs_train_model *m = &t->settings.model;
    size_t rows = B * m->T, unit = l + 1, E = vs_train_E(t), W = vs_train_W(t);
    int err = vs_train_need(t, unit);
    if (err) return err;
    if (l) err = vs_train_take(t, rows * m->h * E, &block->x, "activation/block%02zu.x", l);
    else block->x = c->x;
    if (!err) err = vs_train_take(t, rows * m->h * E, &block->norm1, "activation/block%02zu.norm1", l);
    if (!err) err = vs_train_take(t, rows * 2 * W, &block->stats1, "activation/block%02zu.norm1_stats", l);
    if (!err) err = add_norm(t, c, unit, VS_TENSOR_NORM1, VS_TENSOR_NORM1_BETA, rows, l ? block->x : NULL, block->norm1, block->stats1);
    if (l) vs_train_done(t, unit - 1); /* its last bias was added here */
    if (!err) err = vs_train_take(t, rows * vs_train_qkv_width(m) * E, &block->qkv, "activation/block%02zu.qkv", l);
    if (!err) err = vs_train_linear(t, unit, VS_TENSOR_QKV, rows, block->norm1, block->qkv);
    if (!err) err = attend(t, B, l);
    if (!err) err = vs_train_take(t, rows * m->h * E, &c->y, "temporary/o");
    if (!err) err = vs_train_linear(t, unit, VS_TENSOR_O, rows, block->o, c->y);
    if (!err) err = vs_train_take(t, rows * m->h * E, &block->middle, "activation/block%02zu.middle", l);
    if (!err) err = vs_train_take(t, rows * m->h * E, &block->norm2, "activation/block%02zu.norm2", l);
    if (!err) err = vs_train_take(t, rows * 2 * W, &block->stats2, "activation/block%02zu.norm2_stats", l);
    if (!err) err = add_norm(t, c, unit, VS_TENSOR_NORM2, VS_TENSOR_NORM2_BETA, rows, block->middle, block->norm2, block->stats2);
    return err ? err : feed(t, B, l, c);
}

static int end(struct vs_trainer *t, size_t rows, struct carry *c)
{
    const struct vs_train_model *m = &t->settings.model;
    size_t bytes = rows * m->h * vs_train_E(t);
    int err = vs_train_take(t, bytes, &t->x_end, "activation/end.x");
    if (!m->llama) {
        if (!err) err = add_norm(t, c, 0, VS_TRAIN_TENSORS_COUNT, VS_TRAIN_TENSORS_COUNT, rows, t->x_end, NULL, NULL);
        vs_train_done(t, m->L);
        return err;
    }
    vs_train_done(t, m->L);
    if (!err) err = vs_train_need(t, t->layout.units - 1);
    if (!err) err = vs_train_take(t, bytes, &t->norm_end, "activation/end.norm");
    if (!err) err = vs_train_take(t, rows * 2 * vs_train_W(t), &t->stats_end, "activation/end.norm_stats");
    if (!err)
        err = add_norm(t, c, t->layout.units - 1, VS_TENSOR_NORM_END, VS_TENSOR_NORM1_BETA, rows, t->x_end, t->norm_end, t->stats_end);
    vs_train_done(t, t->layout.units - 1);
    return err;
}

int vs_train_forward(struct vs_trainer *t, const struct vs_train_batch *b)
{
    const struct vs_train_model *m = &t->settings.model;
    size_t rows = b->B * m->T;
    struct carry c = {0};
    int err = vs_train_take(t, rows * m->h * vs_train_E(t), &c.x, "activation/block00.x");
    if (!err) err = vs_train_need(t, 0);
    if (!err)
        err = VS_TRAIN_RUN(t, embed(&t->on, b->ids, vs_train_matrix(t, 0, VS_TENSOR_TOKEN),
                                    m->llama ? NULL : vs_train_matrix(t, 0, VS_TENSOR_POSITION), rows, m->T, m->h, c.x));
    vs_train_done(t, 0);
    for (size_t l = 0; !err && l < m->L; l++) err = block_forward(t, b->B, l, &c);
    return err ? err : end(t, rows, &c);
}
