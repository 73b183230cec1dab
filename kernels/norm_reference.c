/* SPDX-License-Identifier: MIT
 *
 * norm_reference.c: the float64 oracle of the per-sample norms. Simple before fast: it must share no step with the
 * algorithms it judges.
 */
#include "kernels/norms.h"

#include <errno.h>
#include <string.h>

/* A block of the gradient S = A^T G is held while all T rows stream by: 4 KiB, so it stays in the first-level cache. */
enum { ROWS = 8, COLS = 64 };

static double block_squares(const struct vs_norms_shape *s, const float *A, const float *G, size_t i0, size_t j0)
{
    size_t rows = s->d - i0 < ROWS ? s->d - i0 : ROWS;
    size_t cols = s->p - j0 < COLS ? s->p - j0 : COLS;
    double S[ROWS][COLS], sum = 0;
    memset(S, 0, sizeof S);
    for (size_t t = 0; t < s->T; t++) {
        const float *a = A + t * s->d + i0, *g = G + t * s->p + j0;
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) S[i][j] += (double)a[i] * (double)g[j];
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) sum += S[i][j] * S[i][j];
    return sum;
}

int vs_norms_reference(const struct vs_norms_shape *s, const float *A, const float *G, double *n)
{
    int err = vs_norms_check(s);
    if (err) return err;
    if (!A || !G || !n) return -EINVAL;
    for (size_t b = 0; b < s->B; b++) {
        double sum = 0;
        for (size_t i = 0; i < s->d; i += ROWS)
            for (size_t j = 0; j < s->p; j += COLS)
                sum += block_squares(s, A + b * s->T * s->d, G + b * s->T * s->p, i, j);
        n[b] = sum;
    }
    return 0;
}
