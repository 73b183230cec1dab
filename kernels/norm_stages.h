/* SPDX-License-Identifier: MIT
 *
 * norm_stages.h: the parts of per-sample norms whose weights are sharded by tensor: each rank has squared norms of its shard of every
 * layer; they are stacked, summed over the layers, summed over the ranks (comm.h, on what `local` wrote), and become norms and
 * coefficients. It knows no rank.
 *
 * Of samples first .. first + count - 1, so that the sums of some can travel while those of others are made.
 * Ownership: the caller's buffers, where the operations run. Stream: queued on it in the order of the calls; the CPU is done when a call
 * returns. Sums over layers are float64 and in order. Errors: 0; -EINVAL an empty shape or another wire than fp32, fp16; the device's.
 */
#ifndef VS_KERNELS_NORM_STAGES_H
#define VS_KERNELS_NORM_STAGES_H

#include <stddef.h>

#include "kernels/comm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_norm_stage {
    size_t layers, B, first, count;
    const double *const *layer; /* [layers] of [B], squares */
    double *stack;              /* [layers][B] */
    void *wire;                 /* [B] of type `dtype`: what the ranks add up */
    enum vs_comm_dtype dtype;
    double bound; /* above 0 */
    double *norm; /* [B] */
    float *c;     /* [B]; 0 where the norm is not finite */
    void *stream;
};

struct vs_norm_stages {
    int (*stack)(const struct vs_norm_stage *s);
    /* wire[b] = the sum over layers, rounded to float32 and, with fp16, to half: from 65520 on that is infinite. */
    int (*local)(const struct vs_norm_stage *s);
    /* norm[b] = sqrt(wire[b]), c[b] = min(1, bound / (norm[b] + 1e-6)) */
    int (*finish)(const struct vs_norm_stage *s);
};

extern const struct vs_norm_stages vs_norm_stages_cpu;
/* In libvramscope_kernels.so only: reached through vs_device_cuda()->norm_stages. */
extern const struct vs_norm_stages vs_norm_stages_cuda;

static inline int vs_norm_stage_fits(const struct vs_norm_stage *s)
{
    return s->layers && s->count && s->first < s->B && s->count <= s->B - s->first && s->bound > 0 &&
           (s->dtype == VS_COMM_fp32 || s->dtype == VS_COMM_fp16);
}

#ifdef __cplusplus
}
#endif
#endif
