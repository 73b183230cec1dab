/* SPDX-License-Identifier: MIT
 *
 * norm_run.h: one algorithm on one case: its workspace, its time with and without the cost of launches, the memory that it took,
 * and whether its results are right. The NVTX range `norms ALGORITHM DTYPE SHAPE` spans all of it, from before the
 * workspace is taken to after it is given back, and nothing else.
 */
#ifndef VS_WORKLOADS_NORM_RUN_H
#define VS_WORKLOADS_NORM_RUN_H

#include "workloads/norm_case.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a list of layers is run: X(name). one: there is but one layer. */
#define VS_NORM_GROUPINGS(X) X(one) X(grouped) X(each)
/* X(name) */
#define VS_NORM_STATUSES(X)  X(ok) X(beyond_bound) X(nonfinite) X(skipped) X(unchecked)
#define X(name)              VS_NORM_##name,
enum vs_norm_grouping { VS_NORM_GROUPINGS(X) VS_NORM_GROUPING_COUNT };
enum vs_norm_status { VS_NORM_STATUSES(X) VS_NORM_STATUS_COUNT };
#undef X
const char *vs_norm_grouping_name(enum vs_norm_grouping grouping);
const char *vs_norm_status_name(enum vs_norm_status status);

struct vs_norm_how {
    const char *algorithm;
    enum vs_norm_grouping grouping;
    size_t iterations; /* timed samples; 0: as many as `seconds` allow */
    double seconds, bound;
    bool check; /* is a result beyond the bound, or one that could not be compared, wrong? */
    bool kappa;
};

/* NaN and -1: unknown. */
struct vs_norm_outcome {
    enum vs_norm_status status;
    bool wrong;       /* the program should fail */
    char reason[320]; /* of a status that is not ok */
    char range[96];   /* empty: it did not come to that */
    char choice[64];  /* of auto */
    double median_ms; /* one set of inputs: on the device alone, where it can keep a list of work, else as call_ms */
    double call_ms;   /* with what it costs to launch the work */
    double min_ms;    /* the shortest sample of those behind median_ms */
    size_t samples;
    double error; /* relative, the largest */
    double kappa;
    long long recomputed, workspace_bytes, temporary_bytes;
};

void vs_norm_outcome_skip(struct vs_norm_outcome *out, const char *reason);
void vs_norm_run(const struct vs_norm_case *c, const struct vs_norm_how *how, struct vs_norm_outcome *out);
/* Runs it once, outside of any range and of any judgement, so that what a library takes once in a life is not billed to a case. */
void vs_norm_warm_up(const struct vs_norm_case *c, const char *algorithm);

#ifdef __cplusplus
}
#endif
#endif
