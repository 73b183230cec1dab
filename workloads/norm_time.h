/* SPDX-License-Identifier: MIT
 *
 * norm_time.h: runs an algorithm on every set of inputs of a case, again and again, and takes the time. It judges no result, but
 * that every call gives the bits that the first one gave.
 *
 * Errors: 0 or -errno of the device; -EILSEQ: two calls gave different bits.
 */
#ifndef VS_WORKLOADS_NORM_TIME_H
#define VS_WORKLOADS_NORM_TIME_H

#include "workloads/norm_case.h"
#include "workloads/norm_resident.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_NORM_SAMPLES_MAX = 2000 }; /* where the time decides */

struct vs_norm_job {
    const struct vs_norm_case *c;
    const struct vs_norms_algorithm *algorithm;
    bool each; /* a call per layer instead of one for all */
    void *workspace;
    size_t workspace_bytes;
    double *ms;                /* room for the samples */
    struct vs_resident before; /* what the memory of the process is compared with; unknown: not asked */
    char *first, *again; /* on the host: c->norms as the first call of every set left it, and room for a copy more */
};

struct vs_norm_samples {
    size_t count;
    double median_ms, min_ms; /* of one set */
    long long grown_bytes;    /* since job->before, when the last sample was taken; -1: unknown */
};

/* One call, or one per layer, for every set, done when it returns. absolute: does the first set also get the sums that kappa is
 * made of? It gets `recomputed` in any case. */
int vs_norm_first_pass(const struct vs_norm_job *job, bool absolute);

/* Then, with job->first filled: `wanted` samples; 0: as many as `seconds` allow and at least `least`. */
int vs_norm_time_calls(const struct vs_norm_job *job, size_t wanted, double seconds, size_t least,
                       struct vs_norm_samples *out);
/* The same with the work kept on the device; it must be able to. */
int vs_norm_time_replays(const struct vs_norm_job *job, size_t wanted, double seconds, size_t least,
                         struct vs_norm_samples *out);

#ifdef __cplusplus
}
#endif
#endif
