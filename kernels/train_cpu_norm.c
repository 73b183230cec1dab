/* SPDX-License-Identifier: MIT
 *
 * train_cpu_norm.c: the norms of train.h on the CPU, and the sums over rows that are gradients of gamma, beta and biases. Sums
 * are kept in float64, in blocks on the stack: no workspace is needed.
 */
#include "kernels/train_cpu.h"

#include <math.h>

#define REAL float
#define NAME(x) x##_f32
#include "kernels/train_cpu_norm.inc"
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) x##_f64
#include "kernels/train_cpu_norm.inc"
#undef REAL
#undef NAME

static bool is_kind(enum vs_train_norm kind)
{
    return kind == VS_TRAIN_LAYER_NORM || kind == VS_TRAIN_RMS_NORM;
}

int vs_train_cpu_norm_forward(const struct vs_train_on *on, const struct vs_train_norm_forward *p)
{
    bool good = p && is_kind(p->kind) && p->rows && p->width && p->x && (p->sum || (!p->y && !p->bias));
    good = good && (p->gamma ? p->out && p->mean_rstd && p->eps >= 0 : p->sum != NULL);
    int err = vs_train_cpu_check(on, good);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(p->rows, vs_train_grain_rows(p->width)), forward_item, (void *)p);
    return err;
}

int vs_train_cpu_norm_backward(const struct vs_train_on *on, const struct vs_train_norm_backward *p)
{
    bool good = p && is_kind(p->kind) && p->rows && p->width && p->sum && p->dout && p->gamma && p->mean_rstd && p->dx &&
                p->dx != p->dout;
    int err = vs_train_cpu_check(on, good);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(p->rows, vs_train_grain_rows(p->width)), backward_item, (void *)p);
    return err;
}

size_t vs_train_cpu_column_workspace_bytes(const struct vs_train_on *on, size_t B, size_t T, size_t width)
{
    (void)on, (void)B, (void)T, (void)width;
    return 0;
}

int vs_train_cpu_norm_gradient(const struct vs_train_on *on, const struct vs_train_norm_gradient *p)
{
    bool good = p && is_kind(p->kind) && p->B && p->T && p->width && p->sum && p->dout && p->mean_rstd && p->dgamma &&
                (p->B == 1 || p->stride >= p->width);
    int err = vs_train_cpu_check(on, good);
    if (!err) VS_TRAIN_RUN(on, p->B * vs_train_items(p->width, VS_TRAIN_COLUMNS), gradient_item, (void *)p);
    return err;
}

int vs_train_cpu_bias_gradient(const struct vs_train_on *on, const void *G, size_t B, size_t T, size_t width, size_t stride,
                               void *out, void *workspace)
{
    struct vs_train_norm_gradient p = {.B = B, .T = T, .width = width, .stride = stride, .dout = G, .dbeta = out};
    int err = vs_train_cpu_check(on, G && out && B && T && width && (B == 1 || stride >= width));
    (void)workspace;
    if (!err) VS_TRAIN_RUN(on, B * vs_train_items(width, VS_TRAIN_COLUMNS), gradient_item, &p);
    return err;
}
