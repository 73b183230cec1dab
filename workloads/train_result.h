/* SPDX-License-Identifier: MIT
 *
 * train_result.h: what a run of the training workload found out, and its file: one JSON object. Memory here is the arena's own count;
 * what a recording says is for whoever reads that.
 */
#ifndef VS_WORKLOADS_TRAIN_RESULT_H
#define VS_WORKLOADS_TRAIN_RESULT_H

#include "workloads/train_check.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_train_moment {
    char name[40];
    size_t arena_bytes;
    long long ts_ns; /* CLOCK_MONOTONIC */
};

struct vs_train_rank {
    int pid;
    double median_ms;
    size_t peak_bytes; /* of the arena */
};

struct vs_train_result {
    const struct vs_train_options *options;
    struct vs_trainer *trainer; /* NULL: it never came to be */
    const char *device_name, *device_kind;
    char reason[512]; /* empty: it went well */
    double *times_ms, *losses; /* of the timed steps that were made */
    size_t steps;
    double first_ms; /* 0: none was made */
    double *norms;
    float *coefficients; /* B of the last step; NULL: none */
    struct vs_train_rank *ranks; /* of all ranks, once they were joined; NULL: there is one, or they were not */
    struct vs_train_moment *moments;
    size_t moments_count, moments_room;
    size_t planned_peak;
    bool checked;
    struct vs_train_errors errors; /* when checked */
};

double vs_train_average(const double *values, size_t count);
double vs_train_median(const double *values, size_t count);
/* 0 or -errno. An existing file is not overwritten. */
int vs_train_result_write(const struct vs_train_result *r, const char *path);
/* A few lines for people, on stdout. */
void vs_train_result_show(const struct vs_train_result *r);

#ifdef __cplusplus
}
#endif
#endif
