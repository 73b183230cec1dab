/* SPDX-License-Identifier: MIT
 *
 * train_copy.h: weights and applied gradients of a trainer on the host, without padding, in the order of the model: token, position;
 * each block's norm1 gamma, beta, qkv, o, norm2 gamma, beta, up, up bias, down, down bias; the last norm's gamma or the head.
 *
 * Elements are float32, or float64 with fp64. Ownership: vs_train_copy_free. Errors: 0 or -errno.
 */
#ifndef VS_WORKLOADS_TRAIN_COPY_H
#define VS_WORKLOADS_TRAIN_COPY_H

#include "workloads/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_train_copy {
    char *data;
    bool *owned; /* by element: it was copied */
    size_t bytes, element;
};

int vs_train_copy_open(struct vs_train_copy *c, const struct vs_trainer *t);
void vs_train_copy_free(struct vs_train_copy *c);
/* One unit's weights, or its gradient while it is there: what this rank owns of it, and nothing else. packed: an array that holds
 * only that. */
int vs_train_copy_unit(struct vs_train_copy *c, struct vs_trainer *t, size_t unit, const void *array, bool packed);
int vs_train_copy_weights(struct vs_train_copy *c, struct vs_trainer *t);
/* For vs_trainer.observe; state is a struct vs_train_copy. */
int vs_train_copy_gradient(void *state, struct vs_trainer *t, size_t unit);
/* ||a - b|| / ||b||, in float64, over what both have; 0 where both are 0; NaN where any is not finite. */
double vs_train_copy_difference(const struct vs_train_copy *a, const struct vs_train_copy *b);
/* a -= b, both of one type. */
void vs_train_copy_subtract(struct vs_train_copy *a, const struct vs_train_copy *b);
/* The squares of both lengths, for a sum over ranks. Elements of a and b may differ in type. */
void vs_train_copy_squares(const struct vs_train_copy *a, const struct vs_train_copy *b, double *difference, double *length);
double vs_train_copy_length(const struct vs_train_copy *a);
/* A new file. */
int vs_train_copy_write(const struct vs_train_copy *c, const char *path);

#ifdef __cplusplus
}
#endif
#endif
