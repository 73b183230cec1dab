/* SPDX-License-Identifier: MIT
 *
 * norm_gram_full.c: per-sample norms by two whole Gram matrices, on the CPU. The baseline: it writes all B x T x T
 * elements of both, as the frameworks' batched product does, and must not be made cleverer.
 */
#include "kernels/dot.h"
#include "kernels/gemm.h"
#include "kernels/norms.h"

static size_t workspace_bytes(const struct vs_norms_shape *s)
{
    return 2 * s->B * s->T * s->T * sizeof(float);
}

static int run(const struct vs_norms_args *args)
{
    const struct vs_norms_shape *s = &args->shape;
    int err = vs_norms_check_args(&vs_norms_cpu_gram_full, args);
    if (err) return err;
    size_t square = s->T * s->T;
    float *KA = args->workspace, *KG = KA + s->B * square;
    for (size_t b = 0; b < s->B; b++) {
        const float *A = args->A + b * s->T * s->d, *G = args->G + b * s->T * s->p;
        vs_gemm_nt(s->T, s->T, s->d, A, s->d, A, s->d, KA + b * square, s->T);
        vs_gemm_nt(s->T, s->T, s->p, G, s->p, G, s->p, KG + b * square, s->T);
    }
    for (size_t b = 0; b < s->B; b++) args->n[b] = vs_dot(KA + b * square, KG + b * square, square);
    return 0;
}

const struct vs_norms_algorithm vs_norms_cpu_gram_full = {"gram_full", workspace_bytes, run};
