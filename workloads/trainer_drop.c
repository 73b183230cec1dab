/* SPDX-License-Identifier: MIT
 *
 * trainer_drop.c: samples without a finite norm leave nothing behind: what belongs to them is zeroed before it is weighted, because a NaN
 * stays one however small its weight.
 */
#include <errno.h>
#include <stdlib.h>

#include "workloads/trainer_parts.h"

/* What is to be zeroed, collected for one call of the device. */
struct drops {
    struct vs_train_samples *list;
    size_t count, room;
    bool failed;
};

static void add(struct drops *d, void *data, size_t bytes, size_t first, size_t B)
{
    if (!data) return;
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 256;
        struct vs_train_samples *more = realloc(d->list, room * sizeof *more);
        if (!more) {
            d->failed = true;
            return;
        }
        d->list = more;
        d->room = room;
    }
    d->list[d->count++] = (struct vs_train_samples){data, bytes, first, B};
}

static int drop(struct vs_trainer *t, struct drops *d, const float *c)
{
    int err = d->failed ? -ENOMEM : d->count ? VS_TRAIN_RUN(t, drop(&t->on, d->list, d->count, c)) : 0;
    free(d->list);
    return err;
}

int vs_train_drop_gradients(struct vs_trainer *t, const float *c)
{
    struct drops d = {0};
    for (size_t u = 0; u < t->layout.units; u++)
        add(&d, t->unit[u].gradient, vs_train_unit_of(&t->layout, u)->count * vs_train_W(t), 0, 1);
    return drop(t, &d, c);
}

/* Everything the second backward pass reads of the forward pass. */
int vs_train_drop_activations(struct vs_trainer *t)
{
    const struct vs_train_model *m = &t->settings.model;
    size_t row = m->T * m->h * vs_train_E(t), stats = m->T * 2 * vs_train_W(t), B = m->B;
    struct drops d = {0};
    for (size_t l = 0; l < m->L; l++) {
        const struct vs_train_block *b = &t->block[l];
        void *const rows[] = {b->x, b->norm1, b->o, b->middle, b->norm2};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) add(&d, rows[i], row, 0, B);
        add(&d, b->qkv, m->T * vs_train_qkv_width(m) * vs_train_E(t), 0, B);
        add(&d, b->up, m->T * vs_train_up_width(m) * vs_train_E(t), 0, B);
        add(&d, b->stats1, stats, 0, B);
        add(&d, b->stats2, stats, 0, B);
        add(&d, b->attention, m->T * m->heads * vs_train_W(t), 0, B);
    }
    add(&d, t->x_end, row, 0, B);
    add(&d, t->norm_end, row, 0, B);
    add(&d, t->stats_end, stats, 0, B);
    return drop(t, &d, t->c);
}

/* What book-keeping and stores left. */
int vs_train_drop_kept(struct vs_trainer *t)
{
    const struct vs_train_model *m = &t->settings.model;
    size_t E = vs_train_E(t), W = vs_train_W(t);
    struct drops d = {0};
    for (size_t i = 0; i < t->kept_count; i++) {
        const struct vs_train_kept *k = &t->kept[i];
        const struct vs_train_place *p = &vs_train_unit_of(&t->layout, k->unit)->tensor[k->id];
        add(&d, k->A, m->T * p->columns * E, k->first, k->B);
        add(&d, k->G, m->T * p->padded * E, k->first, k->B);
    }
    for (size_t u = 0; u < t->layout.units; u++) {
        const struct vs_train_unit *unit = vs_train_unit_of(&t->layout, u);
        add(&d, t->unit[u].vectors, (unit->count - unit->vectors) * W, 0, m->B);
        for (int i = 0; i < VS_TRAIN_MATRICES; i++)
            add(&d, t->unit[u].store[i], unit->tensor[i].padded * unit->tensor[i].columns * W, 0, m->B);
    }
    add(&d, t->embedding_G, m->T * m->h * E, 0, m->B);
    return drop(t, &d, t->c);
}
