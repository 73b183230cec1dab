/* SPDX-License-Identifier: MIT
 *
 * norms_args.c: the checks every algorithm shares, on the CPU and in the GPU's library. It computes no norm.
 */
#include "kernels/norms.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

static int product(size_t *out, size_t a, size_t b, size_t c, size_t element)
{
    size_t x;
    if (__builtin_mul_overflow(a, b, &x) || __builtin_mul_overflow(x, c, &x) || __builtin_mul_overflow(x, element, &x) ||
        x > PTRDIFF_MAX / 4)
        return -EOVERFLOW;
    *out = x;
    return 0;
}

int vs_norms_check(const struct vs_norms_shape *s)
{
    size_t bytes;
    if (!s || !s->B || !s->T || !s->d || !s->p) return -EINVAL;
    /* BLAS takes dimensions as int. */
    if (s->B > INT_MAX || s->T > INT_MAX || s->d > INT_MAX || s->p > INT_MAX) return -EOVERFLOW;
    if (product(&bytes, s->B, s->T, s->d, sizeof(float)) || product(&bytes, s->B, s->T, s->p, sizeof(float)) ||
        product(&bytes, s->B, s->T, s->T, sizeof(float)))
        return -EOVERFLOW;
    return 0;
}

int vs_norms_check_args(const struct vs_norms_algorithm *algorithm, const struct vs_norms_args *args)
{
    int err = vs_norms_check(&args->shape);
    if (err) return err;
    if (!args->A || !args->G || !args->n) return -EINVAL;
    size_t want = algorithm->workspace_bytes(&args->shape);
    if (want && (!args->workspace || args->workspace_bytes < want)) return -ENOBUFS;
    return 0;
}
