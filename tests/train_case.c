/* SPDX-License-Identifier: MIT
 *
 * train_case.c: random buffers and finite differences. It knows no operation.
 */
#include "tests/train_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "tests/norms_case.h"

double *train_zeros(size_t count)
{
    double *x = calloc(count, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

double *train_random(size_t count, uint64_t seed)
{
    double *x = train_zeros(count);
    for (size_t i = 0; i < count; i++) x[i] = norms_random(&seed);
    return x;
}

double train_dot(const double *x, const double *y, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += x[i] * y[i];
    return sum;
}

void train_check_gradient(const char *what, double (*value)(void *state), void *state, double *at, size_t count, size_t step,
                          const double *gradient)
{
    const double h = 1e-5; /* its square and 1e-16 / h are both far below the tolerance */
    double seen = 0;
    for (size_t i = 0; i < count; i += step) {
        double was = at[i];
        at[i] = was + h;
        double above = value(state);
        at[i] = was - h;
        double below = value(state);
        at[i] = was;
        double want = (above - below) / (2 * h);
        ck_assert_msg(fabs(gradient[i] - want) <= 1e-7 * (1 + fabs(want)), "%s[%zu]: %.12g, by differences %.12g", what, i,
                      gradient[i], want);
        seen += fabs(want);
    }
    ck_assert_msg(seen > 0, "%s has no gradient at all", what);
}
