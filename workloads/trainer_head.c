/* SPDX-License-Identifier: MIT
 *
 * trainer_head.c: logits, loss and their gradients, some rows at a time: the logits of the whole batch are never in memory at once,
 * unless book-keeping keeps them.
 */
#include "workloads/trainer_parts.h"

enum { CHUNK_BYTES = 256 << 20, CHUNK_ROWS = 128 }; /* of logits; at least so many rows, for the products' sake */

/* The head's weight: a matrix of its own, or the token table. */
struct head {
    size_t unit;
    enum vs_train_tensor id;
    void *input;
};

static struct head head_of(const struct vs_trainer *t)
{
    if (t->settings.model.llama) return (struct head){0, VS_TENSOR_TOKEN, t->norm_end};
    return (struct head){t->layout.units - 1, VS_TENSOR_HEAD, t->x_end};
}

/* Elements of a row of logits. */
static size_t padded(const struct vs_trainer *t, const struct head *h)
{
    return vs_train_unit_of(&t->layout, h->unit)->tensor[h->id].padded;
}

static size_t chunk_rows(const struct vs_trainer *t, const struct vs_train_pass *p, const struct head *h)
{
    const struct vs_train_model *m = &t->settings.model;
    size_t all = p->batch->B * m->T, rows = CHUNK_BYTES / (padded(t, h) * vs_train_E(t)) / CHUNK_ROWS * CHUNK_ROWS;
    if (p->action[h->id] & (VS_DO_NORM | VS_DO_KEEP | VS_DO_STORE)) return m->T; /* a sample's norm needs all of its rows */
    if (rows < CHUNK_ROWS) rows = CHUNK_ROWS;
    if (t->settings.logits_rows) rows = t->settings.logits_rows;
    return rows < all ? rows : all;
}

static int chunk(struct vs_trainer *t, const struct vs_train_pass *p, const struct head *h, size_t first, size_t rows, void *dx)
{
    const struct vs_train_model *m = &t->settings.model;
    size_t E = vs_train_E(t), B = rows == m->T ? 1 : 0, row = padded(t, h);
    void *input = vs_train_at(h->input, first * m->h, E), *logits = NULL;
    bool holds = false, keeps = p->action[h->id] & VS_DO_KEEP;
    int err = vs_train_take(t, rows * row * E, &logits, keeps ? "activation/head.d_logits" : "temporary/head.logits");
    if (!err) err = vs_train_linear(t, h->unit, h->id, rows, input, logits);
    struct vs_train_loss loss = {.rows = rows,
                                 .width = m->V,
                                 .first_row = first,
                                 .T = m->T,
                                 .logits = logits,
                                 .targets = p->batch->targets + first,
                                 .factor = 1.0 / (double)m->T,
                                 .c = p->c,
                                 .loss = vs_train_at(t->loss, (size_t)(p->batch->targets - t->batch.targets) + first, vs_train_W(t)),
                                 .row = row};
    if (!err) err = VS_TRAIN_RUN(t, loss(&t->on, &loss));
    if (!err) err = vs_train_site_rows(t, p, h->unit, h->id, input, logits, first / m->T, B, rows, &holds);
    if (!err) err = vs_train_input_gradient(t, h->unit, h->id, rows, logits, vs_train_at(dx, first * m->h, E));
    if (!holds) vs_train_give(t, &logits);
    return err || !holds || keeps ? err : vs_train_settle(t);
}

/* The last norm of llama. */
static int end_backward(struct vs_trainer *t, const struct vs_train_pass *p, size_t rows, void **dx)
{
    size_t unit = t->layout.units - 1;
    struct vs_train_vectors v;
    void *dout = *dx;
    *dx = NULL;
    int err = vs_train_need(t, unit);
    if (!err) err = vs_train_vectors_begin(t, p, unit, &v);
    if (!err) err = vs_train_norm_site(t, &v, unit, VS_TENSOR_NORM_END, VS_TENSOR_NORM1_BETA, t->x_end, t->stats_end, dout);
    if (!err) err = vs_train_vectors_end(t, p, unit);
    if (!err)
        err = vs_train_norm_input(t, unit, VS_TENSOR_NORM_END, rows, t->x_end, t->stats_end, &dout, true, "temporary/d_x", dx);
    vs_train_done(t, unit);
    return err;
}

int vs_train_head(struct vs_trainer *t, const struct vs_train_pass *p, void **dx)
{
    const struct vs_train_model *m = &t->settings.model;
    struct head h = head_of(t);
    size_t all = p->batch->B * m->T, rows = chunk_rows(t, p, &h);
    bool keeps = p->action[h.id] & VS_DO_KEEP;
    int err = vs_train_take(t, all * m->h * vs_train_E(t), dx,
                            p->action[VS_TENSOR_DOWN] & VS_DO_KEEP && !m->llama ? "activation/end.d_x" : "temporary/d_x");
    if (!err) err = vs_train_need(t, h.unit);
    for (size_t first = 0; !err && first < all; first += rows)
        err = chunk(t, p, &h, first, all - first < rows ? all - first : rows, *dx);
    vs_train_done(t, h.unit);
    if (p->release && !keeps) vs_train_give(t, m->llama ? &t->norm_end : &t->x_end);
    if (!err && m->llama) err = end_backward(t, p, all, dx);
    if (!err && p->leave) err = p->leave(t, t->layout.units - 1);
    if (!p->release || !m->llama) return err;
    vs_train_give(t, &t->stats_end);
    vs_train_give(t, &t->x_end);
    return err;
}
