/* SPDX-License-Identifier: MIT
 *
 * train_case.h: what the tests of train.h's operations share: random buffers, and gradients against finite differences.
 */
#ifndef VS_TESTS_TRAIN_CASE_H
#define VS_TESTS_TRAIN_CASE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/train.h"

/* Of float64, in [-1, 1); to be freed. */
double *train_random(size_t count, uint64_t seed);
double *train_zeros(size_t count);
double train_dot(const double *x, const double *y, size_t count);

/* value(state) is a function of at[0 .. count), which is moved and put back; every `step`-th entry of its gradient is compared
 * with a central difference. Fails the test where they differ. */
void train_check_gradient(const char *what, double (*value)(void *state), void *state, double *at, size_t count, size_t step,
                          const double *gradient);

#endif
