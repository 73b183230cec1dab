/* SPDX-License-Identifier: MIT
 *
 * layer_norm_check.h: the checks of a layer_norms.h call that the CPU and the GPU's library share. Inline because the two are
 * linked apart; it looks at no data.
 */
#ifndef VS_KERNELS_LAYER_NORM_CHECK_H
#define VS_KERNELS_LAYER_NORM_CHECK_H

#include <errno.h>
#include <limits.h>

#include "kernels/layer_norms.h"

/* Which fields each kind reads beside B, T, p, G and n. */
enum { VS_READS_A = 1, VS_READS_D = 2, VS_READS_IDS = 4, VS_READS_EPS = 8, VS_READS_E = 16 };

static inline int vs_layer_norms_reads(enum vs_layer_norms_kind kind)
{
    switch (kind) {
    case VS_LAYER_NORMS_embedding: return VS_READS_IDS;
    case VS_LAYER_NORMS_layer_norm:
    case VS_LAYER_NORMS_rms_norm: return VS_READS_A | VS_READS_EPS;
    case VS_LAYER_NORMS_tied: return VS_READS_A | VS_READS_D | VS_READS_IDS | VS_READS_E;
    case VS_LAYER_NORMS_outer: return VS_READS_A | VS_READS_D;
    default: return 0;
    }
}

/* Can a buffer of a x b x c values and what is made from it be addressed? 16 bytes a value are the most that one element of an
 * input leads to in the workspace. */
static inline bool vs_layer_norms_fits(size_t a, size_t b, size_t c)
{
    size_t x;
    return !__builtin_mul_overflow(a, b, &x) && !__builtin_mul_overflow(x, c, &x) && x <= PTRDIFF_MAX / 128;
}

static inline int vs_layer_norms_check_shape(const struct vs_layer_norms_call *c)
{
    if (!c || (unsigned)c->kind >= VS_LAYER_NORMS_KIND_COUNT || (unsigned)c->dtype >= VS_NORMS_DTYPE_COUNT) return -EINVAL;
    bool has_d = vs_layer_norms_reads(c->kind) & VS_READS_D;
    if (!c->B || !c->T || !c->p || (has_d && !c->d)) return -EINVAL;
    if (c->kind == VS_LAYER_NORMS_outer && c->T != 1) return -EINVAL;
    if (c->B > INT_MAX || c->T > INT_MAX || c->p > INT_MAX || (has_d && c->d > INT_MAX)) return -EOVERFLOW;
    if (!vs_layer_norms_fits(c->B, c->T, c->p) || (has_d && !vs_layer_norms_fits(c->B, c->T, c->d))) return -EOVERFLOW;
    return 0;
}

static inline int vs_layer_norms_check(const struct vs_layer_norms *device, const struct vs_layer_norms_call *c)
{
    int err = vs_layer_norms_check_shape(c);
    if (err) return err;
    int reads = vs_layer_norms_reads(c->kind);
    if (!c->G || !c->n || ((reads & VS_READS_A) && !c->A) || ((reads & VS_READS_IDS) && !c->ids)) return -EINVAL;
    if ((reads & VS_READS_E) && (!c->E || !c->n_head)) return -EINVAL;
    if ((reads & VS_READS_EPS) && !(c->eps >= 0)) return -EINVAL;
    size_t want = device->workspace_bytes(c);
    if (want == SIZE_MAX) return -EIO; /* the shape is good, so the device did not answer */
    if (c->workspace_bytes < want) return -ENOBUFS;
    return want && !c->workspace ? -EINVAL : 0;
}

#endif
