/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms.h: what the parts of the fsdp_norms workload (fsdp_norms*.c) know of each other; nobody else includes it.
 *
 * Ranks train one small model sharded, each on its own samples, and what they compute is held against float64 on one rank
 * (correctness), against the clock (performance), or their norms are made of shards by tensor (stages, norm_stages.h).
 */
#ifndef VS_WORKLOADS_FSDP_NORMS_H
#define VS_WORKLOADS_FSDP_NORMS_H

#include <stdio.h>

#include "workloads/norm_stages.h"
#include "workloads/options.h"
#include "workloads/ranks.h"
#include "workloads/train_copy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, the name of its verdict, what it does) */
#define VS_FSDP_PARTS(X)                                                                                               \
    X(correctness, "CORRECTNESS", "norms, clipped gradients and weights against float64 on one rank")                  \
    X(performance, "PERFORMANCE", "a step with immediate, deferred and overlapped norms")                              \
    X(stages, "STAGES", "norms of shards by tensor: stack, local compute, all-reduce, final compute")
enum vs_fsdp_part {
#define X(name, verdict, what) VS_FSDP_##name,
    VS_FSDP_PARTS(X)
#undef X
        VS_FSDP_PART_COUNT
};

/* What the last rank does wrong. X(id, name, what it is) */
#define VS_FSDP_FAULTS(X)                                                                                              \
    X(NONE, "none", "nothing")                                                                                         \
    X(SKIP, "skip-collective", "it leaves one collective of every step out")                                           \
    X(SCALE, "scale", "its losses are divided by its number of samples (one: by 2), as no other's")                    \
    X(SWAP, "swap-samples", "two of its samples swap places")
enum vs_fsdp_fault {
#define X(id, name, what) VS_FSDP_FAULT_##id,
    VS_FSDP_FAULTS(X)
#undef X
        VS_FSDP_FAULT_COUNT
};
const char *vs_fsdp_fault_name(enum vs_fsdp_fault fault);

struct vs_fsdp_given { /* 0 and NULL: not given */
    const char *preset, *dtype;
    size_t V, h, L, heads, kv_heads, ffn, T, B;
};

struct vs_fsdp_options {
    enum vs_fsdp_part part;
    enum vs_fsdp_fault fault;
    struct vs_ranks_options ranks;
    struct vs_train_settings
        train; /* of one rank; mode, timing and noise are each run's. Model and dtype: when completed */
    struct vs_fsdp_given given;
    bool llama;
    enum vs_train_mode mode[VS_MODE_COUNT];
    enum vs_train_timing timing[VS_TIMING_COUNT];
    size_t modes, timings; /* modes 0: the part's own */
    size_t iterations, warm_up, rounds;
    bool all;           /* every run makes all steps */
    double min_speedup; /* 0: none is asked for */
    enum vs_norm_allreduce allreduce;
    double norm_size;
    const char *device, *results;
};

/* 0: go on. 1: help was asked for and printed. 2: wrong, said so. */
int vs_fsdp_options_parse(struct vs_fsdp_options *o, int argc, char **argv);
/* What depends on the device: 0, or 2, said so. */
int vs_fsdp_options_complete(struct vs_fsdp_options *o, const struct vs_device *device);
/* Settings that ranks must have alike. Returns text. */
const char *vs_fsdp_fingerprint(const struct vs_fsdp_options *o, char *text, size_t bytes);
const char *vs_fsdp_part_name(enum vs_fsdp_part part);

/* One rank at work. */
struct vs_fsdp_job {
    const struct vs_fsdp_options *o;
    const struct vs_device *device; /* with a fault: one that computes wrong things */
    void *context;
    struct vs_ranks ranks;
    size_t rank, world;
    bool faulty;   /* this rank is the one */
    FILE *results; /* rank 0's; NULL: nobody wants them */
    char why[256]; /* it failed; empty: a result is wrong, and was printed */
};
/* The larger of two errors; NaN where either is. */
static inline double vs_fsdp_worse(double most, double error)
{
    return error != error || error > most ? error : most;
}
/* Keeps why; returns err. */
int vs_fsdp_failed(struct vs_fsdp_job *job, int err, const char *doing);
/* The same, with what the trainer knows of it. */
int vs_fsdp_trainer_failed(struct vs_fsdp_job *job, const struct vs_trainer *t, int err, const char *doing);
/* A trainer of these settings on this rank, ready for its first step. Closed also when that failed. */
int vs_fsdp_trainer_open(struct vs_fsdp_job *job, const struct vs_train_settings *s, struct vs_trainer *t);
/* The largest value of all ranks; NaN where any is. */
int vs_fsdp_largest(struct vs_fsdp_job *job, double *value);

/* The parts. 0; 1: a result is wrong; or -errno. The same on all ranks unless one failed. */
int vs_fsdp_correctness(struct vs_fsdp_job *job);
int vs_fsdp_performance(struct vs_fsdp_job *job);
int vs_fsdp_stages(struct vs_fsdp_job *job);

/* fsdp_norms_fault.c */
void vs_fsdp_fault_prepare(struct vs_fsdp_job *job);
/* After a batch was loaded. */
int vs_fsdp_fault_batch(struct vs_fsdp_job *job, struct vs_trainer *t);

/* fsdp_norms_reference.c: the same training on one rank in float64, on the CPU, mode explicit. */
struct vs_fsdp_reference {
    size_t B;                                    /* of all ranks */
    double bound;                                /* between the shortest and the longest norm */
    double *norm;                                /* [B] of step 1 */
    struct vs_train_copy gradient[2], weight[2]; /* without and with noise: clipped, of step 1; after the last step */
};
/* Rank 0 computes, all get it; nobody's patience is tried meanwhile. */
int vs_fsdp_reference_make(struct vs_fsdp_job *job, struct vs_fsdp_reference *out);
void vs_fsdp_reference_free(struct vs_fsdp_reference *r);

/* fsdp_norms_stages.c: the worked example of two samples by as many ranks as there are. 0, 1 or -errno. */
int vs_fsdp_example(struct vs_fsdp_job *job);

/* JSON has no NaN. */
void vs_fsdp_number(FILE *f, const char *key, double value);

#ifdef __cplusplus
}
#endif
#endif
