/* SPDX-License-Identifier: MIT
 *
 * tile.h: one tile of a Gram matrix or of a gradient: products in float32 over pieces of VS_DEPTH, the pieces summed in
 * float64, so that the error does not grow with the length of the sum. 16-bit inputs are made float32 piece by piece.
 *
 * Threading: any thread, with scratch of its own. Errors: none.
 */
#ifndef VS_KERNELS_TILE_H
#define VS_KERNELS_TILE_H

#include "kernels/norms.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Edge of a tile: 256 x 256 float32 are 256 KiB and stay in the second-level cache, and the product is large enough to run at
 * full speed. Depth: longer pieces are no faster, and lose digits where all terms are alike. */
enum { VS_TILE = 256, VS_DEPTH = 256 };

/* An axis in tiles of like size: 300 rows are 2 x 150, not 256 + 44. */
static inline size_t vs_tile_count(size_t length)
{
    return (length + VS_TILE - 1) / VS_TILE;
}
static inline size_t vs_tile_edge(size_t length)
{
    return (length + vs_tile_count(length) - 1) / vs_tile_count(length);
}
/* Of tile i: its rows. */
static inline size_t vs_tile_rows(size_t length, size_t i)
{
    size_t edge = vs_tile_edge(length), first = i * edge;
    return first >= length ? 0 : length - first < edge ? length - first : edge;
}

/* Floats of scratch for tiles up to m x n of sums of k terms. */
size_t vs_tile_scratch(enum vs_norms_dtype dtype, size_t m, size_t n, size_t k);

struct vs_tile {
    enum vs_norms_dtype dtype;
    size_t m, n, k;
    const void *X, *Y; /* the first element of each factor that is used */
    size_t ldx, ldy;   /* elements */
    float *scratch;
};

/* S[m,n], dense, = X[m,k] Y[n,k]^T. */
void vs_tile_nt(const struct vs_tile *t, double *S);
/* S[m,n], dense, = X[k,m]^T Y[k,n]. */
void vs_tile_tn(const struct vs_tile *t, double *S);

#ifdef __cplusplus
}
#endif
#endif
