/* SPDX-License-Identifier: MIT
 *
 * train_check.h: does a mode do what mode explicit does? One step of each from the same weights on the same batch without noise, with a
 * bound that clips about half of the samples; norms, applied gradients and the change of the weights are compared.
 */
#ifndef VS_WORKLOADS_TRAIN_CHECK_H
#define VS_WORKLOADS_TRAIN_CHECK_H

#include "workloads/train_settings.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_train_errors {
    double norms, gradients, weights; /* relative: the worst sample; over all weights; of their change, which is far smaller than they */
    double clipped;                   /* with one sample: length of its clipped gradient over the bound; else NaN */
    double bound, tolerance, change_tolerance; /* change_tolerance: of weights */
};

/* 0 and the errors, or -errno. norm, c: B values of the mode. */
int vs_train_check(const struct vs_train_settings *settings, const struct vs_device *device, void *context, double *norm, float *c,
                   struct vs_train_errors *out);
/* The largest relative error that norms and clipped gradients of this type may have. */
double vs_train_tolerance(enum vs_train_dtype dtype);
/* The same of the change of the weights: 1 where they do not change at all, 2 where they change the wrong way. Adam gives a small
 * gradient as long a step as a large one, and so does to its error. */
double vs_train_change_tolerance(enum vs_train_dtype dtype);
bool vs_train_check_passes(const struct vs_train_errors *e);

#ifdef __cplusplus
}
#endif
#endif
