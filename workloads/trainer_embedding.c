/* SPDX-License-Identifier: MIT
 *
 * trainer_embedding.c: gradients and norms of the token and position tables. With a tied head the token table has the head's gradient
 * already, and this one is added.
 */
#include "workloads/trainer_parts.h"

static void *table(const struct vs_trainer *t, void *base, enum vs_train_tensor id)
{
    return vs_train_at(base, t->layout.kind[VS_UNIT_EMBEDDING].tensor[id].offset, vs_train_W(t));
}

static size_t table_count(const struct vs_trainer *t, enum vs_train_tensor id)
{
    const struct vs_train_place *p = &t->layout.kind[VS_UNIT_EMBEDDING].tensor[id];
    return p->padded * p->columns;
}

int vs_train_embedding_sum(struct vs_trainer *t, const struct vs_train_batch *b, enum vs_train_tensor id, const void *G, const float *c)
{
    const struct vs_train_model *m = &t->settings.model;
    struct vs_train_weights *w = &t->unit[0];
    int err = vs_train_take_gradient(t, 0);
    void *gradient = table(t, w->gradient, id);
    if (!err && id == VS_TENSOR_POSITION)
        err = VS_TRAIN_RUN(t, position_gradient(&t->on, G, c, b->B, m->T, m->h, gradient));
    else if (!err) {
        if (!(w->written >> id & 1)) err = VS_TRAIN_RUN(t, zero(&t->on, gradient, table_count(t, id) * vs_train_W(t)));
        if (!err) err = VS_TRAIN_RUN(t, embed_gradient(&t->on, &b->all, G, c, m->T, m->h, gradient));
    }
    w->written |= 1u << id;
    return err;
}

static int store(struct vs_trainer *t, const struct vs_train_batch *b, enum vs_train_tensor id, const void *G)
{
    const struct vs_train_model *m = &t->settings.model;
    struct vs_train_weights *w = &t->unit[0];
    size_t count = table_count(t, id), W = vs_train_W(t);
    int err = 0;
    if (!w->store[id]) {
        err = vs_train_take(t, b->B * count * W, &w->store[id], "workspace/norm_samples.embedding.%s", vs_train_tensor_name(id));
        if (!err) err = VS_TRAIN_RUN(t, zero(&t->on, w->store[id], b->B * count * W));
    }
    for (size_t s = 0; !err && s < b->B; s++) {
        void *own = vs_train_at(w->store[id], s * count, W);
        const void *mine = (const char *)G + s * m->T * m->h * vs_train_E(t);
        if (id == VS_TENSOR_POSITION) err = VS_TRAIN_RUN(t, position_gradient(&t->on, mine, NULL, 1, m->T, m->h, own));
        else err = VS_TRAIN_RUN(t, embed_gradient(&t->on, &b->sample[s], mine, NULL, m->T, m->h, own));
    }
    return err ? err : vs_train_square(t, 0, id, w->store[id], b->B, count, count);
}

static int one_table(struct vs_trainer *t, const struct vs_train_pass *p, enum vs_train_tensor id, const void *G)
{
    unsigned action = p->action[id];
    int err = 0;
    if (!table_count(t, id)) return 0;
    if (action & VS_DO_GRADIENT) err = vs_train_embedding_sum(t, p->batch, id, G, NULL);
    if (!err && action & VS_DO_STORE) err = store(t, p->batch, id, G);
    if (!err && action & (VS_DO_NORM | VS_DO_KEEP)) err = vs_train_embedding_norm(t, p->batch, 0, id, G);
    return err;
}

int vs_train_embedding(struct vs_trainer *t, const struct vs_train_pass *p, void **dx)
{
    int err = one_table(t, p, VS_TENSOR_TOKEN, *dx);
    if (!err) err = one_table(t, p, VS_TENSOR_POSITION, *dx);
    if (!((p->action[VS_TENSOR_TOKEN] | p->action[VS_TENSOR_POSITION]) & VS_DO_KEEP)) {
        vs_train_give(t, dx);
        return err;
    }
    t->embedding_G = *dx;
    *dx = NULL;
    return err;
}
