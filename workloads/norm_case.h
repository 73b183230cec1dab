/* SPDX-License-Identifier: MIT
 *
 * norm_case.h: one case of the norms workload: inputs of a list of layers in one element type, several sets of them on a GPU so
 * that no call finds its inputs in the cache, and the oracle's norms of the first set. It runs no algorithm but the oracle, and
 * measures nothing.
 *
 * Ownership: everything taken by vs_norm_case_open goes with vs_norm_case_close (which accepts a half-opened case). The list must
 * outlive the case.
 * Errors: 0 or -errno, with one line of text in `trouble`.
 */
#ifndef VS_WORKLOADS_NORM_CASE_H
#define VS_WORKLOADS_NORM_CASE_H

#include "workloads/memory.h"
#include "workloads/norm_layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(identifier, name as in an option, in G instead of A, NaN instead of Inf) */
#define VS_NORM_POISONS(X)                                                                                             \
    X(NAN, "nan", false, true)                                                                                         \
    X(INF, "inf", false, false)                                                                                        \
    X(NAN_G, "nan-g", true, true)                                                                                      \
    X(INF_G, "inf-g", true, false)
#define X(id, name, in_G, is_nan) VS_NORM_##id,
enum vs_norm_poison { VS_NORM_CLEAN, VS_NORM_POISONS(X) };
#undef X

struct vs_norm_case {
    const struct vs_norm_list *list;
    const struct vs_device *device;
    void *context;
    enum vs_norms_dtype dtype;
    enum vs_norm_poison poison;    /* of sample 0 of the first layer's A or G, in the first set */
    size_t sets, samples;          /* samples: norms of one set */
    struct vs_norms_layer *layers; /* those of the first set, then of the next */
    struct vs_buffer A, G, norms;  /* norms: n of every set, absolute of the first, and a counter per layer */
    double *absolute;              /* in `norms`: where a layer's `absolute` may point, as n of the first set does */
    unsigned *recomputed;
    double *oracle; /* NULL: not asked for, or it failed and `trouble` says why */
    char trouble[256];
};

struct vs_norm_inputs {
    size_t seed;
    enum vs_norm_poison poison;
    bool oracle;
};

int vs_norm_case_open(struct vs_norm_case *c, const struct vs_norm_list *list, enum vs_norms_dtype dtype,
                      const struct vs_device *device, void *context, const struct vs_norm_inputs *inputs);
void vs_norm_case_close(struct vs_norm_case *c);

/* What an error of a call means: the device's own words where it has some. */
const char *vs_norm_error_text(const struct vs_device *device, int err);
/* Does the sample hold the poison? Counted over all layers. */
bool vs_norm_case_poisoned(const struct vs_norm_case *c, size_t sample);

#ifdef __cplusplus
}
#endif
#endif
