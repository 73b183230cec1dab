/* SPDX-License-Identifier: MIT
 *
 * train_check.c: two trainers one after the other, and how far apart they end.
 */
#include "workloads/train_check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/train_copy.h"

struct outcome {
    struct vs_train_copy gradients, weights; /* weights: how far the step moved them */
    double *norm;
    float *c;
    double loss;
};

static void outcome_free(struct outcome *o)
{
    vs_train_copy_free(&o->gradients);
    vs_train_copy_free(&o->weights);
    free(o->norm);
    free(o->c);
}

static int step(struct vs_trainer *t, struct outcome *o)
{
    struct vs_train_copy first = {0};
    int err = vs_train_copy_open(&o->gradients, t);
    if (!err) err = vs_train_copy_open(&o->weights, t);
    if (!err) err = vs_train_copy_open(&first, t);
    t->observe = vs_train_copy_gradient;
    t->observer = &o->gradients;
    if (!err) err = vs_trainer_open(t);
    if (!err) err = vs_train_copy_weights(&first, t);
    if (!err) err = vs_trainer_load(t, 0);
    if (!err) err = vs_trainer_step(t);
    if (!err) err = vs_trainer_read(t, &o->loss, o->norm, o->c);
    if (!err) err = vs_train_copy_weights(&o->weights, t);
    if (!err) vs_train_copy_subtract(&o->weights, &first);
    vs_train_copy_free(&first);
    return err;
}

static int run(const struct vs_train_settings *s, const struct vs_device *device, void *context, struct outcome *o)
{
    struct vs_trainer t;
    memset(o, 0, sizeof *o);
    o->norm = calloc(s->model.B, sizeof *o->norm);
    o->c = calloc(s->model.B, sizeof *o->c);
    int err = o->norm && o->c ? vs_trainer_plan(&t, s, device, context) : -ENOMEM;
    if (!err) err = step(&t, o);
    if (o->norm && o->c) vs_trainer_close(&t);
    return err;
}

/* Of norms and clipped gradients; of the change of the weights. */
static const double tolerances[VS_TRAIN_DTYPE_COUNT][2] = {
    [VS_TRAIN_fp64] = {1e-9, 1e-7}, [VS_TRAIN_fp32] = {1e-4, 1e-2}, [VS_TRAIN_tf32] = {1e-2, 0.1}, [VS_TRAIN_bf16] = {3e-2, 0.3}};

double vs_train_tolerance(enum vs_train_dtype dtype)
{
    return tolerances[dtype][0];
}

double vs_train_change_tolerance(enum vs_train_dtype dtype)
{
    return tolerances[dtype][1];
}

static void compare(const struct vs_train_settings *s, const struct outcome *mine, const struct outcome *reference,
                    struct vs_train_errors *out)
{
    for (size_t b = 0; b < s->model.B; b++) {
        double e = fabs(mine->norm[b] - reference->norm[b]) / reference->norm[b];
        if (!(e <= out->norms)) out->norms = e;
    }
    out->gradients = vs_train_copy_difference(&mine->gradients, &reference->gradients);
    out->weights = vs_train_copy_difference(&mine->weights, &reference->weights);
    out->clipped = s->model.B == 1 ? vs_train_copy_length(&mine->gradients) / s->bound : (double)NAN;
}

int vs_train_check(const struct vs_train_settings *settings, const struct vs_device *device, void *context, double *norm, float *c,
                   struct vs_train_errors *out)
{
    struct vs_train_settings s = *settings, reference = *settings;
    struct outcome first = {0}, expected = {0}, mine = {0};
    *out = (struct vs_train_errors){.tolerance = vs_train_tolerance(s.dtype), .change_tolerance = vs_train_change_tolerance(s.dtype)};
    s.noise = reference.noise = 0;
    reference.mode = s.mode == VS_MODE_vanilla ? VS_MODE_vanilla : VS_MODE_explicit;
    int err = run(&reference, device, context, &first);
    if (!err && s.mode != VS_MODE_vanilla) { /* between the shortest and the longest, or below the only one */
        double low = first.norm[0], high = low;
        for (size_t b = 1; b < s.model.B; b++) {
            low = fmin(low, first.norm[b]);
            high = fmax(high, first.norm[b]);
        }
        s.bound = reference.bound = s.model.B == 1 ? low / 2 : (low + high) / 2;
    }
    outcome_free(&first); /* only its norms were wanted */
    memset(&first, 0, sizeof first);
    if (!err) err = run(&reference, device, context, &expected);
    if (!err) err = run(&s, device, context, &mine);
    if (!err) {
        out->bound = s.bound;
        compare(&s, &mine, &expected, out);
        memcpy(norm, mine.norm, s.model.B * sizeof *norm);
        memcpy(c, mine.c, s.model.B * sizeof *c);
    }
    outcome_free(&expected);
    outcome_free(&mine);
    return err;
}

bool vs_train_check_passes(const struct vs_train_errors *e)
{
    return e->norms <= e->tolerance && e->gradients <= e->tolerance && e->weights <= e->change_tolerance && !(e->clipped > 1 + 1e-3);
}
