/* SPDX-License-Identifier: MIT
 *
 * cpu.c: what the CPU's algorithms share. It makes no product.
 */
#include "kernels/cpu.h"

/* Rows that a thread converts at a time. */
enum { ROWS = 256 };

struct cast {
    enum vs_norms_dtype dtype;
    const void *from;
    size_t rows, cols;
    float *to;
};

static void cast_rows(void *state, size_t item, size_t thread)
{
    const struct cast *c = state;
    size_t first = item * ROWS, rows = c->rows - first < ROWS ? c->rows - first : ROWS, at = first * c->cols;
    (void)thread;
    vs_convert(c->dtype, vs_element(c->dtype, c->from, at), c->cols, rows, c->cols, c->to + at);
}

const float *vs_cpu_floats(const struct vs_norms_call *call, const void *X, size_t rows, size_t cols, float *to)
{
    struct cast c = {call->dtype, X, rows, cols, to};
    if (vs_is_float(call->dtype)) return X;
    vs_parallel(vs_cpu_threads(call->context), (rows + ROWS - 1) / ROWS, cast_rows, &c);
    return to;
}

void vs_gram_judge(const struct vs_norms_layer *l, size_t b, const struct vs_sums *sums)
{
    /* Never of a NaN. A negative n is one that was lost, too: so none is ever returned. */
    bool again = sums->absolute > VS_NORMS_KAPPA * sums->n && isfinite(sums->absolute);
    l->n[b] = again ? VS_AGAIN : sums->n;
    if (l->absolute) l->absolute[b] = sums->absolute;
}

void vs_gram_again(const struct vs_norms_call *call, const struct vs_norms_layer *l, void *blocks)
{
    for (size_t b = 0; b < l->B; b++) {
        if (l->n[b] != VS_AGAIN) continue;
        vs_direct_samples(call->dtype, l, b, 1, vs_cpu_threads(call->context), blocks, &l->n[b]);
        if (call->recomputed) ++*call->recomputed;
    }
}
