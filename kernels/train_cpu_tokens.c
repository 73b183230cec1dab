/* SPDX-License-Identifier: MIT
 *
 * train_cpu_tokens.c: both ends of the model on the CPU: the tables that tokens are looked up in, and the loss.
 */
#include "kernels/train_cpu.h"

#include <math.h>

struct lookup {
    const int64_t *ids;
    const void *table, *positions;
    size_t rows, T, width;
    void *out;
};

struct row_sums {
    const struct vs_train_ids *ids;
    const void *G;
    const float *c;
    size_t B, T, width;
    void *out;
};

#define REAL float
#define NAME(x) x##_f32
#include "kernels/train_cpu_tokens.inc"
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) x##_f64
#include "kernels/train_cpu_tokens.inc"
#undef REAL
#undef NAME

int vs_train_cpu_embed(const struct vs_train_on *on, const int64_t *ids, const void *table, const void *positions, size_t rows,
                       size_t T, size_t width, void *out)
{
    struct lookup p = {ids, table, positions, rows, T, width, out};
    int err = vs_train_cpu_check(on, ids && table && rows && T && width && out);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(rows, vs_train_grain_rows(width)), embed_item, &p);
    return err;
}

int vs_train_cpu_embed_gradient(const struct vs_train_on *on, const struct vs_train_ids *ids, const void *G, const float *c,
                                size_t T, size_t width, void *gradient)
{
    struct row_sums p = {.ids = ids, .G = G, .c = c, .T = T, .width = width, .out = gradient};
    bool good = ids && ids->ids && ids->order && ids->first && ids->distinct && G && T && width && gradient;
    int err = vs_train_cpu_check(on, good);
    if (!err) VS_TRAIN_RUN(on, ids->distinct, embed_gradient_item, &p);
    return err;
}

int vs_train_cpu_position_gradient(const struct vs_train_on *on, const void *G, const float *c, size_t B, size_t T,
                                   size_t width, void *gradient)
{
    struct row_sums p = {.G = G, .c = c, .B = B, .T = T, .width = width, .out = gradient};
    int err = vs_train_cpu_check(on, G && B && T && width && gradient);
    if (!err) VS_TRAIN_RUN(on, T, position_gradient_item, &p);
    return err;
}

int vs_train_cpu_loss(const struct vs_train_on *on, const struct vs_train_loss *p)
{
    int err = vs_train_cpu_check(on, p && p->rows && p->width && p->T && p->logits && p->targets && (!p->row || p->row >= p->width));
    if (!err) VS_TRAIN_RUN(on, p->rows, loss_item, (void *)p);
    return err;
}

int vs_train_cpu_sample_loss(const struct vs_train_on *on, const void *loss, size_t B, size_t T, double *out)
{
    int err = vs_train_cpu_check(on, loss && B && T && out);
    for (size_t b = 0; !err && b < B; b++) {
        double sum = 0;
        for (size_t t = 0; t < T; t++) sum += vs_train_cpu_is_double(on) ? ((const double *)loss)[b * T + t] : (double)((const float *)loss)[b * T + t];
        out[b] = sum / (double)T;
    }
    return err;
}
