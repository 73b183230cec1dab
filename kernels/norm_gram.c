/* SPDX-License-Identifier: MIT
 *
 * norm_gram.c: per-sample norms by pairs of row tiles, on the CPU. It never holds more than two tiles.
 *
 * 1. Cut the T rows of a sample into tiles of TILE rows.
 * 2. Both Gram matrices are symmetric: the tile pairs i <= j hold everything, and a pair off the diagonal counts twice.
 * 3. For a pair, make both Gram tiles (rows i against rows j), multiply them element by element, sum in float64.
 * Work: T (T + TILE) (d + p) operations per sample against 2 T^2 (d + p) of gram_full.
 */
#include "kernels/dot.h"
#include "kernels/gemm.h"
#include "kernels/norms.h"

/* 256 rows: two tiles are 512 KiB and stay in the second-level cache, and the product is large enough to run at full
 * speed. Smaller tiles save little memory and less symmetric work, and cost calls. */
enum { TILE = 256 };

static size_t tile_rows(const struct vs_norms_shape *s)
{
    return s->T < TILE ? s->T : TILE;
}

static size_t workspace_bytes(const struct vs_norms_shape *s)
{
    return 2 * tile_rows(s) * tile_rows(s) * sizeof(float);
}

static double sample(const struct vs_norms_shape *s, const float *A, const float *G, float *KA, float *KG)
{
    double sum = 0;
    for (size_t i = 0; i < s->T; i += TILE) {
        size_t rows = s->T - i < TILE ? s->T - i : TILE;
        for (size_t j = i; j < s->T; j += TILE) {
            size_t cols = s->T - j < TILE ? s->T - j : TILE;
            vs_gemm_nt(rows, cols, s->d, A + i * s->d, s->d, A + j * s->d, s->d, KA, cols);
            vs_gemm_nt(rows, cols, s->p, G + i * s->p, s->p, G + j * s->p, s->p, KG, cols);
            sum += (i == j ? 1 : 2) * vs_dot(KA, KG, rows * cols);
        }
    }
    return sum;
}

static int run(const struct vs_norms_args *args)
{
    const struct vs_norms_shape *s = &args->shape;
    int err = vs_norms_check_args(&vs_norms_cpu_gram, args);
    if (err) return err;
    float *KA = args->workspace, *KG = KA + tile_rows(s) * tile_rows(s);
    for (size_t b = 0; b < s->B; b++)
        args->n[b] = sample(s, args->A + b * s->T * s->d, args->G + b * s->T * s->p, KA, KG);
    return 0;
}

const struct vs_norms_algorithm vs_norms_cpu_gram = {"gram", workspace_bytes, run};
