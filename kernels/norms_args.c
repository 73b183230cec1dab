/* SPDX-License-Identifier: MIT
 *
 * norms_args.c: the checks, the element types and the yardsticks that all algorithms share, on the CPU and in the GPU's
 * library. It computes no norm.
 */
#include "kernels/norms.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
    double bound;
} dtypes[VS_NORMS_DTYPE_COUNT] = {
#define X(name, bytes, bound, what) {#name, bytes, bound},
    VS_NORMS_DTYPES(X)
#undef X
};

size_t vs_norms_dtype_bytes(enum vs_norms_dtype dtype)
{
    return dtypes[dtype].bytes;
}

double vs_norms_dtype_bound(enum vs_norms_dtype dtype)
{
    return dtypes[dtype].bound;
}

const char *vs_norms_dtype_name(enum vs_norms_dtype dtype)
{
    return dtypes[dtype].name;
}

int vs_norms_dtype_find(const char *name)
{
    for (int i = 0; i < VS_NORMS_DTYPE_COUNT; i++)
        if (!strcmp(dtypes[i].name, name)) return i;
    return -1;
}

/* Can B x rows x cols float32 be addressed, four times over? */
static bool fits(size_t B, size_t rows, size_t cols)
{
    size_t bytes;
    return !__builtin_mul_overflow(B, rows, &bytes) && !__builtin_mul_overflow(bytes, cols, &bytes) &&
           !__builtin_mul_overflow(bytes, sizeof(float), &bytes) && bytes <= PTRDIFF_MAX / 4;
}

static int check_layer(const struct vs_norms_layer *l)
{
    if (!l->B || !l->T || !l->d || !l->p) return -EINVAL;
    /* BLAS takes dimensions as int. */
    if (l->B > INT_MAX || l->T > INT_MAX || l->d > INT_MAX || l->p > INT_MAX) return -EOVERFLOW;
    if (!fits(l->B, l->T, l->d) || !fits(l->B, l->T, l->p) || !fits(l->B, l->T, l->T) || !fits(l->B, l->d, l->p))
        return -EOVERFLOW;
    return 0;
}

int vs_norms_check(const struct vs_norms_call *call)
{
    if (!call || !call->layers || !call->count || (unsigned)call->dtype >= VS_NORMS_DTYPE_COUNT) return -EINVAL;
    int err = 0;
    for (size_t i = 0; !err && i < call->count; i++) err = check_layer(&call->layers[i]);
    return err;
}

int vs_norms_check_run(const struct vs_norms_algorithm *algorithm, const struct vs_norms_call *call, bool gradients)
{
    int err = vs_norms_check(call);
    if (err) return err;
    for (size_t i = 0; i < call->count; i++) {
        const struct vs_norms_layer *l = &call->layers[i];
        if (!l->A || !l->G || !l->n || (l->gradient && !gradients)) return -EINVAL;
    }
    size_t want = algorithm->workspace_bytes(call);
    if (call->workspace_bytes < want) return -ENOBUFS;
    return want && !call->workspace ? -EINVAL : 0;
}

size_t vs_norms_shared(const struct vs_norms_layer *layers, size_t count)
{
    const struct vs_norms_layer *first = layers;
    size_t same = 1;
    while (same < count && layers[same].A == first->A && layers[same].B == first->B && layers[same].T == first->T &&
           layers[same].d == first->d)
        same++;
    return same;
}

double vs_norms_error(size_t B, const double *n, const double *reference)
{
    double worst = 0;
    for (size_t b = 0; b < B; b++) {
        if (!isfinite(n[b]) || !isfinite(reference[b])) return (double)NAN;
        /* A true zero must come out as zero: any other value is an infinite relative error. */
        double scale = fabs(reference[b]), off = fabs(n[b] - reference[b]);
        double e = off == 0 ? 0 : off / scale;
        if (e > worst) worst = e;
    }
    return worst;
}

double vs_norms_floor_operations(const struct vs_norms_layer *l)
{
    double B = (double)l->B, T = (double)l->T, d = (double)l->d, p = (double)l->p;
    double gram = B * T * (T + 128) * (d + p), gradient = 2 * B * T * d * p;
    return gram < gradient ? gram : gradient;
}
