/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms_run.h: the runs of a correctness test and what came of them: between who makes them (fsdp_norms_check.c) and who shows them
 * (fsdp_norms_show.c).
 */
#ifndef VS_WORKLOADS_FSDP_NORMS_RUN_H
#define VS_WORKLOADS_FSDP_NORMS_RUN_H

#include "workloads/fsdp_norms.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(field, what is compared): relative errors, NaN where something is not finite, below 0 where it was not looked at. */
#define VS_FSDP_CHECKS(X)                                                                                              \
    X(norms, "norms of step 1")                                                                                        \
    X(gradients, "clipped gradients of step 1")                                                                        \
    X(weights, "change of the weights by all steps")                                                                          \
    X(timing, "norms of one timing against another's")
struct vs_fsdp_errors {
#define X(field, what) double field;
    VS_FSDP_CHECKS(X)
#undef X
};

struct vs_fsdp_run {
    enum vs_train_mode mode;
    enum vs_train_timing timing; /* usual: the mode knows no other */
    bool noisy;
    size_t steps;
    bool first;     /* of its mode */
    double *norm;   /* [B of all ranks] of step 1 */
    size_t clipped; /* samples */
    struct vs_fsdp_errors errors;
};

struct vs_fsdp_check {
    struct vs_fsdp_job *job;
    struct vs_fsdp_reference reference;
    struct vs_fsdp_run *run;
    size_t runs;
    struct vs_fsdp_errors allowed; /* timing 0: bit by bit */
};

static inline double vs_fsdp_relative(double value, double reference)
{
    double difference = value > reference ? value - reference : reference - value;
    return difference / reference;
}

/* Rank 0 speaks. True: nothing is beyond its tolerance. */
bool vs_fsdp_check_show(const struct vs_fsdp_check *c);

#ifdef __cplusplus
}
#endif
#endif
