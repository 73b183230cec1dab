/* SPDX-License-Identifier: MIT
 *
 * norm_gram_full.c: per-sample norms by two whole Gram matrices, on the CPU. The baseline: it writes all B x T x T
 * elements of both, as the frameworks' batched product does, after a cast to float32, and must not be made cleverer.
 */
#include "kernels/cpu.h"
#include "kernels/dot.h"
#include "kernels/gemm.h"

/* Rows of a matrix that a thread makes at a time. */
enum { STRIP = 256 };

struct matrices {
    const struct vs_norms_call *call;
    const struct vs_norms_layer *layer;
    const float *X; /* what is multiplied now, and its width */
    size_t width;
    float *K, *KA, *KG; /* K: the one that is made now */
};

static size_t strips(const struct vs_norms_layer *l)
{
    return (l->T + STRIP - 1) / STRIP;
}

static size_t strip_rows(const struct vs_norms_layer *l, size_t strip)
{
    size_t left = l->T - strip * STRIP;
    return left < STRIP ? left : STRIP;
}

static size_t cast_floats(const struct vs_norms_call *call, const struct vs_norms_layer *l)
{
    return vs_is_float(call->dtype) ? 0 : l->B * l->T * vs_cpu_larger(l->d, l->p);
}

/* The two matrices and the copy of A, then of G; or the blocks of samples that are computed from their gradient. */
static size_t workspace_bytes(const struct vs_norms_call *call)
{
    size_t most = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct vs_norms_layer *l = &call->layers[i];
        size_t bytes = (2 * l->B * l->T * l->T + cast_floats(call, l)) * sizeof(float);
        size_t again = vs_direct_block_bytes(call->dtype, l) * vs_cpu_threads(call->context);
        most = vs_cpu_larger(most, vs_cpu_larger(bytes, again));
    }
    return most;
}

static void multiply(void *state, size_t item, size_t thread)
{
    const struct matrices *x = state;
    size_t T = x->layer->T, b = item / strips(x->layer), strip = item % strips(x->layer);
    const float *X = x->X + b * T * x->width;
    (void)thread;
    vs_gemm_nt(strip_rows(x->layer, strip), T, x->width, X + strip * STRIP * x->width, x->width, X, x->width,
               x->K + (b * T + strip * STRIP) * T, T);
}

static void gram(struct matrices *x, const void *X, size_t width, float *K, float *cast)
{
    const struct vs_norms_layer *l = x->layer;
    x->X = vs_cpu_floats(x->call, X, l->B * l->T, width, cast);
    x->width = width;
    x->K = K;
    vs_parallel(vs_cpu_threads(x->call->context), l->B * strips(l), multiply, x);
}

static void term(void *state, size_t b, size_t strip, size_t thread, struct vs_sums *out)
{
    const struct matrices *x = state;
    size_t T = x->layer->T, at = (b * T + strip * STRIP) * T;
    (void)thread;
    *out = vs_dot(x->KA + at, x->KG + at, strip_rows(x->layer, strip) * T);
}

static void done(void *state, size_t b, const struct vs_sums *total)
{
    const struct matrices *x = state;
    vs_gram_judge(x->layer, b, total);
}

static void layer(const struct vs_norms_call *call, const struct vs_norms_layer *l)
{
    struct vs_sums scratch[VS_TERMS + 1];
    size_t all = l->B * l->T * l->T;
    struct matrices x = {.call = call, .layer = l, .KA = call->workspace, .KG = (float *)call->workspace + all};
    gram(&x, l->A, l->d, x.KA, x.KG + all);
    gram(&x, l->G, l->p, x.KG, x.KG + all);
    struct vs_ordered_sum sum = {.threads = vs_cpu_threads(call->context),
                                 .samples = l->B,
                                 .terms = strips(l),
                                 .width = 1,
                                 .state = &x,
                                 .term = term,
                                 .done = done};
    vs_ordered_sum_run(&sum, scratch);
    vs_gram_again(call, l, call->workspace); /* the matrices are no longer needed */
}

static int run(const struct vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cpu_gram_full, call, false);
    if (err) return err;
    if (call->recomputed) *call->recomputed = 0;
    for (size_t i = 0; i < call->count; i++) layer(call, &call->layers[i]);
    return 0;
}

const struct vs_norms_algorithm vs_norms_cpu_gram_full = {"gram_full", workspace_bytes, run};
