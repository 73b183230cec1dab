/* SPDX-License-Identifier: MIT
 *
 * norm_case.h: one shape of the norms workload: its inputs, the oracle's answer, and timed runs of one algorithm on it.
 * It prints nothing but errors.
 *
 * Ownership: everything taken by vs_norm_case_open goes with vs_norm_case_close (which accepts a half-opened case).
 * Errors: 0 or -errno, said on stderr.
 */
#ifndef VS_WORKLOADS_NORM_CASE_H
#define VS_WORKLOADS_NORM_CASE_H

#include <stdbool.h>

#include "kernels/norms.h"
#include "workloads/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_norm_case {
    struct vs_norms_shape shape;
    const struct vs_device *device;
    void *context;
    struct vs_memory A, G, n; /* where the algorithms run */
    struct vs_memory reference, result; /* on the host: B float64 each */
};

struct vs_norm_outcome {
    double median_ms;
    size_t temporary_bytes;
    double relative_error; /* against the oracle; NaN when it was not asked for or a norm is not finite */
};

/* Makes reproducible inputs from the seed and, when check is set, the oracle's norms. */
int vs_norm_case_open(struct vs_norm_case *c, const struct vs_norms_shape *shape, const struct vs_device *device,
                      void *context, size_t seed, bool check);
int vs_norm_case_run(struct vs_norm_case *c, const char *algorithm, size_t iterations, struct vs_norm_outcome *out);
void vs_norm_case_close(struct vs_norm_case *c);

#ifdef __cplusplus
}
#endif
#endif
