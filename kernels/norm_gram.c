/* SPDX-License-Identifier: MIT
 *
 * norm_gram.c: per-sample norms by pairs of row tiles, on the CPU. It never holds more than two tiles per thread.
 *
 * 1. Cut the T rows of a sample into tiles of at most 256 rows.
 * 2. Both Gram matrices are symmetric: the tile pairs i <= j hold everything, and a pair off the diagonal counts twice.
 * 3. For a pair, make the tile of K_A (rows i against rows j) once, then for every layer that shares this input its tile of
 *    K_G; multiply element by element, sum in float64.
 * Work: T (T + tile) (d + p) operations per sample against 2 T^2 (d + p) of gram_full.
 */
#include "kernels/cpu.h"
#include "kernels/dot.h"
#include "kernels/tile.h"

struct group {
    const struct vs_norms_call *call;
    const struct vs_norms_layer *layers; /* that share their input */
    size_t members;
    char *blocks;
    size_t block_bytes;
};

/* Doubles of one Gram tile. */
static size_t tile_square(const struct vs_norms_layer *l)
{
    return vs_tile_edge(l->T) * vs_tile_edge(l->T);
}

static size_t block_bytes(enum vs_norms_dtype dtype, const struct vs_norms_layer *l)
{
    size_t edge = vs_tile_edge(l->T), widest = vs_cpu_larger(l->d, l->p);
    return vs_cpu_align(2 * tile_square(l) * sizeof(double) + vs_tile_scratch(dtype, edge, edge, widest) * sizeof(float));
}

static size_t scratch_bytes(size_t members)
{
    return vs_cpu_align((VS_TERMS + 1) * members * sizeof(struct vs_sums));
}

/* The sums of the largest group, then the blocks, in which a sample may also be computed from its gradient. */
static size_t workspace_bytes(const struct vs_norms_call *call)
{
    size_t block = 0, members = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct vs_norms_layer *l = &call->layers[i];
        block = vs_cpu_larger(block, block_bytes(call->dtype, l));
        block = vs_cpu_larger(block, vs_direct_block_bytes(call->dtype, l));
        members = vs_cpu_larger(members, vs_norms_shared(l, call->count - i));
    }
    return scratch_bytes(members) + block * vs_cpu_threads(call->context);
}

static void gram_tile(const struct group *g, const void *X, size_t b, size_t width, size_t i, size_t j, float *scratch, double *K)
{
    size_t T = g->layers->T, edge = vs_tile_edge(T);
    enum vs_norms_dtype dtype = g->call->dtype;
    struct vs_tile t = {.dtype = dtype,
                        .m = vs_tile_rows(T, i),
                        .n = vs_tile_rows(T, j),
                        .k = width,
                        .X = vs_element(dtype, X, (b * T + i * edge) * width),
                        .Y = vs_element(dtype, X, (b * T + j * edge) * width),
                        .ldx = width,
                        .ldy = width,
                        .scratch = scratch};
    vs_tile_nt(&t, K);
}

static void term(void *state, size_t b, size_t pair, size_t thread, struct vs_sums *out)
{
    const struct group *g = state;
    const struct vs_norms_layer *l = g->layers;
    size_t tiles = vs_tile_count(l->T), i = 0;
    for (; pair >= tiles - i; i++) pair -= tiles - i;
    size_t j = i + pair, count = vs_tile_rows(l->T, i) * vs_tile_rows(l->T, j);
    if (!count) return;
    double *KA = (double *)(g->blocks + thread * g->block_bytes), *KG = KA + tile_square(l), weight = i == j ? 1 : 2;
    float *scratch = (float *)(KG + tile_square(l));
    gram_tile(g, l->A, b, l->d, i, j, scratch, KA);
    for (size_t m = 0; m < g->members; m++) {
        gram_tile(g, l[m].G, b, l[m].p, i, j, scratch, KG);
        struct vs_sums sums = vs_dot_f64(KA, KG, count);
        out[m].n = weight * sums.n;
        out[m].absolute = weight * sums.absolute;
    }
}

static void done(void *state, size_t b, const struct vs_sums *total)
{
    const struct group *g = state;
    for (size_t m = 0; m < g->members; m++) vs_gram_judge(&g->layers[m], b, &total[m]);
}

static int run(const struct vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cpu_gram, call, false);
    if (err) return err;
    if (call->recomputed) *call->recomputed = 0;
    for (size_t i = 0, members; i < call->count; i += members) {
        const struct vs_norms_layer *l = &call->layers[i];
        members = vs_norms_shared(l, call->count - i);
        struct group g = {call, l, members, (char *)call->workspace + scratch_bytes(members), 0};
        for (size_t m = 0; m < members; m++) g.block_bytes = vs_cpu_larger(g.block_bytes, block_bytes(call->dtype, &l[m]));
        size_t tiles = vs_tile_count(l->T);
        struct vs_ordered_sum sum = {.threads = vs_cpu_threads(call->context),
                                     .samples = l->B,
                                     .terms = tiles * (tiles + 1) / 2,
                                     .width = members,
                                     .state = &g,
                                     .term = term,
                                     .done = done};
        vs_ordered_sum_run(&sum, call->workspace);
        for (size_t m = 0; m < members; m++) vs_gram_again(call, &l[m], g.blocks);
    }
    return 0;
}

const struct vs_norms_algorithm vs_norms_cpu_gram = {"gram", workspace_bytes, run};
