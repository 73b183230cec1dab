/* SPDX-License-Identifier: MIT
 *
 * norm_direct.c: per-sample norms by the gradient itself, tile by tile, on the CPU. It never holds more of a gradient than one
 * tile per thread.
 *
 * 1. Cut S = G^T A (p x d) into tiles of at most 256 x 256.
 * 2. A tile is summed over all T rows, square by square in float64, and stored only if the caller wants the gradient.
 * Work: 2 T d p operations per sample.
 */
#include "kernels/cpu.h"
#include "kernels/dot.h"
#include "kernels/tile.h"

struct direct {
    enum vs_norms_dtype dtype;
    const struct vs_norms_layer *layer;
    size_t first;
    char *blocks;
    size_t block_bytes;
    double *n;
};

size_t vs_direct_block_bytes(enum vs_norms_dtype dtype, const struct vs_norms_layer *l)
{
    size_t m = vs_tile_edge(l->p), n = vs_tile_edge(l->d);
    return vs_cpu_align(m * n * sizeof(double) + vs_tile_scratch(dtype, m, n, l->T) * sizeof(float));
}

static void keep(const struct vs_norms_layer *l, size_t b, size_t i, size_t j, const struct vs_tile *t, const double *S)
{
    float *to = l->gradient + (b * l->p + i) * l->d + j;
    for (size_t r = 0; r < t->m; r++)
        for (size_t c = 0; c < t->n; c++) to[r * l->d + c] = (float)S[r * t->n + c];
}

static void term(void *state, size_t sample, size_t tile, size_t thread, struct vs_sums *out)
{
    const struct direct *x = state;
    const struct vs_norms_layer *l = x->layer;
    size_t across = vs_tile_count(l->d), b = x->first + sample;
    size_t i = tile / across * vs_tile_edge(l->p), j = tile % across * vs_tile_edge(l->d);
    double *S = (double *)(x->blocks + thread * x->block_bytes);
    struct vs_tile t = {.dtype = x->dtype,
                        .m = vs_tile_rows(l->p, tile / across),
                        .n = vs_tile_rows(l->d, tile % across),
                        .k = l->T,
                        .X = vs_element(x->dtype, l->G, b * l->T * l->p + i),
                        .Y = vs_element(x->dtype, l->A, b * l->T * l->d + j),
                        .ldx = l->p,
                        .ldy = l->d};
    if (!t.m || !t.n) return;
    t.scratch = (float *)(S + vs_tile_edge(l->p) * vs_tile_edge(l->d));
    vs_tile_tn(&t, S);
    *out = vs_dot_f64(S, S, t.m * t.n);
    if (l->gradient) keep(l, b, i, j, &t, S);
}

static void done(void *state, size_t sample, const struct vs_sums *total)
{
    struct direct *x = state;
    x->n[sample] = total->n;
}

void vs_direct_samples(enum vs_norms_dtype dtype, const struct vs_norms_layer *layer, size_t first, size_t count, size_t threads,
                       void *blocks, double *n)
{
    struct vs_sums scratch[VS_TERMS + 1];
    struct direct x = {dtype, layer, first, blocks, vs_direct_block_bytes(dtype, layer), n};
    struct vs_ordered_sum sum = {.threads = threads,
                                 .samples = count,
                                 .terms = vs_tile_count(layer->p) * vs_tile_count(layer->d),
                                 .width = 1,
                                 .state = &x,
                                 .term = term,
                                 .done = done};
    vs_ordered_sum_run(&sum, scratch);
}

static size_t workspace_bytes(const struct vs_norms_call *call)
{
    size_t most = 0;
    for (size_t i = 0; i < call->count; i++) most = vs_cpu_larger(most, vs_direct_block_bytes(call->dtype, &call->layers[i]));
    return most * vs_cpu_threads(call->context);
}

static int run(const struct vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cpu_direct, call, true);
    if (err) return err;
    if (call->recomputed) *call->recomputed = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct vs_norms_layer *l = &call->layers[i];
        vs_direct_samples(call->dtype, l, 0, l->B, vs_cpu_threads(call->context), call->workspace, l->n);
        for (size_t b = 0; l->absolute && b < l->B; b++) l->absolute[b] = l->n[b];
    }
    return 0;
}

const struct vs_norms_algorithm vs_norms_cpu_direct = {"direct", workspace_bytes, run};
