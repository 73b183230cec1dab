/* SPDX-License-Identifier: MIT
 *
 * tile.c: tiles of products, summed in float64. It holds no memory of its own.
 */
#include "kernels/tile.h"

#include "kernels/clones.h"
#include "kernels/convert.h"
#include "kernels/gemm.h"

size_t vs_tile_scratch(enum vs_norms_dtype dtype, size_t m, size_t n, size_t k)
{
    size_t depth = k < VS_DEPTH ? k : VS_DEPTH;
    return m * n + (vs_is_float(dtype) ? 0 : (m + n) * depth);
}

VS_CLONES static void store(double *restrict S, const float *restrict product, size_t count)
{
    for (size_t i = 0; i < count; i++) S[i] = (double)product[i];
}

VS_CLONES static void add(double *restrict S, const float *restrict product, size_t count)
{
    for (size_t i = 0; i < count; i++) S[i] += (double)product[i];
}

/* A piece of a factor as float32, and its row stride. */
static const float *piece(enum vs_norms_dtype dtype, const void *X, size_t *stride, size_t rows, size_t cols, float *to)
{
    if (vs_is_float(dtype)) return X;
    vs_convert(dtype, X, *stride, rows, cols, to);
    *stride = cols;
    return to;
}

static void promote(double *S, const float *product, size_t count, bool first)
{
    if (first)
        store(S, product, count);
    else
        add(S, product, count);
}

void vs_tile_nt(const struct vs_tile *t, double *S)
{
    float *left = t->scratch + t->m * t->n;
    for (size_t l = 0; l < t->k; l += VS_DEPTH) {
        size_t depth = t->k - l < VS_DEPTH ? t->k - l : VS_DEPTH, ldx = t->ldx, ldy = t->ldy;
        const float *X = piece(t->dtype, vs_element(t->dtype, t->X, l), &ldx, t->m, depth, left);
        const float *Y = piece(t->dtype, vs_element(t->dtype, t->Y, l), &ldy, t->n, depth, left + t->m * depth);
        vs_gemm_nt(t->m, t->n, depth, X, ldx, Y, ldy, t->scratch, t->n);
        promote(S, t->scratch, t->m * t->n, l == 0);
    }
}

void vs_tile_tn(const struct vs_tile *t, double *S)
{
    float *left = t->scratch + t->m * t->n;
    for (size_t l = 0; l < t->k; l += VS_DEPTH) {
        size_t depth = t->k - l < VS_DEPTH ? t->k - l : VS_DEPTH, ldx = t->ldx, ldy = t->ldy;
        const float *X = piece(t->dtype, vs_element(t->dtype, t->X, l * ldx), &ldx, depth, t->m, left);
        const float *Y = piece(t->dtype, vs_element(t->dtype, t->Y, l * ldy), &ldy, depth, t->n, left + t->m * depth);
        vs_gemm_tn(t->m, t->n, depth, X, ldx, Y, ldy, t->scratch, t->n);
        promote(S, t->scratch, t->m * t->n, l == 0);
    }
}
