/* SPDX-License-Identifier: MIT
 *
 * train_cpu_update.c: what is done with gradients on the CPU: squared norms, clipping, weighted sums, noise, the optimizer.
 */
#include "kernels/train_cpu.h"

#include <math.h>

#include "kernels/train_rng.h"

struct samples {
    const void *x;
    const float *c;
    size_t B, count, stride;
    bool add;
    void *out;
};

struct filling {
    void *out, *working;
    size_t count;
    uint64_t first, seed;
    double std, value;
};

struct updating {
    const struct vs_train_update *p;
    double rate, correction; /* Adam's, with the bias correction of this step */
};

/* The numbers of consecutive weights: four at a time are computed. */
struct normals {
    uint64_t seed, step, block; /* block: 1 + index / 4 of what is held */
    struct vs_train_normals held;
};

static double next_normal(struct normals *n, uint64_t index)
{
    if (n->block != index / 4 + 1) {
        n->held = vs_train_normals(n->seed, n->step, index);
        n->block = index / 4 + 1;
    }
    return (double)n->held.z[index % 4];
}

#define REAL float
#define NAME(x) x##_f32
#define ROOT sqrtf
#include "kernels/train_cpu_update.inc"
#undef REAL
#undef NAME
#undef ROOT
#define REAL double
#define NAME(x) x##_f64
#define ROOT sqrt
#include "kernels/train_cpu_update.inc"
#undef REAL
#undef NAME
#undef ROOT

int vs_train_cpu_clip(const struct vs_train_on *on, const struct vs_train_clip *p)
{
    int err = vs_train_cpu_check(on, p && p->sites && p->B && p->n && p->norm && p->c && p->bound > 0 && p->margin >= 0);
    for (size_t b = 0; !err && b < p->B; b++) {
        double sum = 0;
        for (size_t s = 0; s < p->sites; s++) {
            double n = p->n[s * p->B + b];
            sum += n < 0 ? 0 : n; /* a NaN stays */
        }
        p->norm[b] = sqrt(sum);
        double c = p->bound / (p->norm[b] * (1 + p->margin) + 1e-6);
        p->c[b] = isfinite(p->norm[b]) ? (float)(c < 1 ? c : 1) : 0;
    }
    return err;
}

int vs_train_cpu_scale_samples(const struct vs_train_on *on, void *x, const float *c, size_t B, size_t count)
{
    struct samples p = {.c = c, .B = B, .count = count, .out = x};
    int err = vs_train_cpu_check(on, x && B && count);
    if (!err && c) VS_TRAIN_RUN(on, B * vs_train_items(count, VS_TRAIN_GRAIN), scale_item, &p);
    return err;
}

size_t vs_train_cpu_square_sum_workspace_bytes(const struct vs_train_on *on, size_t B, size_t count)
{
    (void)on;
    return B * vs_train_items(count, VS_TRAIN_GRAIN) * sizeof(double);
}

int vs_train_cpu_square_sum(const struct vs_train_on *on, const void *x, size_t B, size_t count, size_t stride, bool add,
                            double *n, void *workspace)
{
    struct samples p = {.x = x, .B = B, .count = count, .stride = stride, .out = workspace};
    int err = vs_train_cpu_check(on, x && B && count && (B == 1 || stride >= count) && n && workspace);
    if (err) return err;
    size_t blocks = vs_train_items(count, VS_TRAIN_GRAIN);
    const double *parts = workspace;
    VS_TRAIN_RUN(on, B * blocks, square_item, &p);
    for (size_t b = 0; b < B; b++) {
        double sum = 0;
        for (size_t i = 0; i < blocks; i++) sum += parts[b * blocks + i];
        n[b] = add ? n[b] + sum : sum;
    }
    return 0;
}

int vs_train_cpu_weighted_sum(const struct vs_train_on *on, const void *x, const float *c, size_t B, size_t count,
                              size_t stride, bool add, void *out)
{
    struct samples p = {x, c, B, count, stride, add, out};
    int err = vs_train_cpu_check(on, x && B && count && (B == 1 || stride >= count) && out);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(count, VS_TRAIN_GRAIN), weighted_item, &p);
    return err;
}

int vs_train_cpu_fill(const struct vs_train_on *on, void *out, void *working, size_t count, uint64_t first, uint64_t seed,
                      double std, double value)
{
    struct filling p = {out, working, count, first, seed, std, value};
    int err = vs_train_cpu_check(on, out && count);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(count, VS_TRAIN_GRAIN), fill_item, &p);
    return err;
}

int vs_train_cpu_update(const struct vs_train_on *on, const struct vs_train_update *p)
{
    bool good = p && (unsigned)p->optimizer < VS_TRAIN_OPTIMIZER_COUNT && p->count && p->gradient && p->step;
    good = good && (p->weight || p->optimizer == VS_TRAIN_OPT_none);
    good = good && ((p->m && p->v) || vs_train_optimizer_states(p->optimizer) == 0);
    int err = vs_train_cpu_check(on, good);
    if (err) return err;
    struct updating u = {.p = p,
                         .rate = p->rate / (1 - pow(p->beta1, (double)p->step)),
                         .correction = 1 / (1 - pow(p->beta2, (double)p->step))};
    VS_TRAIN_RUN(on, vs_train_items(p->count, VS_TRAIN_GRAIN), update_item, &u);
    return 0;
}
