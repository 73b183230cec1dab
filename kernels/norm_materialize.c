/* SPDX-License-Identifier: MIT
 *
 * norm_materialize.c: per-sample norms from gradients in memory, on the CPU: all B x p x d elements are written, then squared
 * and summed. The yardstick of long sequences: plain products as large as they come, after a cast to float32. Their sums over
 * all T rows are float32, as a framework's are: where terms are all alike, long ones lose digits that gram and direct keep.
 */
#include "kernels/cpu.h"
#include "kernels/dot.h"
#include "kernels/gemm.h"

/* Rows of a gradient that a thread makes at a time; it sums their squares while they are still in its cache. */
enum { STRIP = 256 };

struct gradients {
    const struct vs_norms_layer *layer;
    const float *A, *G;
    float *S;
};

static size_t gradient_floats(const struct vs_norms_layer *l)
{
    return l->gradient ? 0 : l->B * l->p * l->d;
}

static size_t workspace_bytes(const struct vs_norms_call *call)
{
    size_t most = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct vs_norms_layer *l = &call->layers[i];
        size_t cast = vs_is_float(call->dtype) ? 0 : l->B * l->T * (l->d + l->p);
        most = vs_cpu_larger(most, (gradient_floats(l) + cast) * sizeof(float));
    }
    return most;
}

static void term(void *state, size_t b, size_t strip, size_t thread, struct vs_sums *out)
{
    const struct gradients *x = state;
    const struct vs_norms_layer *l = x->layer;
    size_t i = strip * STRIP, rows = l->p - i < STRIP ? l->p - i : STRIP;
    float *S = x->S + (b * l->p + i) * l->d;
    (void)thread;
    vs_gemm_tn(rows, l->d, l->T, x->G + b * l->T * l->p + i, l->p, x->A + b * l->T * l->d, l->d, S, l->d);
    *out = vs_dot(S, S, rows * l->d);
}

static void done(void *state, size_t b, const struct vs_sums *total)
{
    const struct gradients *x = state;
    x->layer->n[b] = total->n;
    if (x->layer->absolute) x->layer->absolute[b] = total->n;
}

static void layer(const struct vs_norms_call *call, const struct vs_norms_layer *l)
{
    struct vs_sums scratch[VS_TERMS + 1];
    float *cast = (float *)call->workspace + gradient_floats(l);
    struct gradients x = {.layer = l,
                          .A = vs_cpu_floats(call, l->A, l->B * l->T, l->d, cast),
                          .G = vs_cpu_floats(call, l->G, l->B * l->T, l->p, cast + l->B * l->T * l->d),
                          .S = l->gradient ? l->gradient : call->workspace};
    struct vs_ordered_sum sum = {.threads = vs_cpu_threads(call->context),
                                 .samples = l->B,
                                 .terms = (l->p + STRIP - 1) / STRIP,
                                 .width = 1,
                                 .state = &x,
                                 .term = term,
                                 .done = done};
    vs_ordered_sum_run(&sum, scratch);
}

static int run(const struct vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cpu_materialize, call, true);
    if (err) return err;
    if (call->recomputed) *call->recomputed = 0;
    for (size_t i = 0; i < call->count; i++) layer(call, &call->layers[i]);
    return 0;
}

const struct vs_norms_algorithm vs_norms_cpu_materialize = {"materialize", workspace_bytes, run};
