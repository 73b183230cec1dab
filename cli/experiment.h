/* SPDX-License-Identifier: MIT
 *
 * experiment.h: one experiment: the train workload recorded, and its result completed from the recording. What `bench train` does
 * once and `suite` many times. It must never print while the workload runs.
 *
 * Ownership: borrows the request; vs_experiment_end_free frees (NULL-safe). Threading: as recorded_run.h.
 * Errors: 0 or -errno with a text when the workload was not started; what went wrong afterwards is in the end.
 */
#ifndef VS_CLI_EXPERIMENT_H
#define VS_CLI_EXPERIMENT_H

#include <stdint.h>
#include <stdio.h>

#include "../db/error.h"
#include "../db/experiment.h"
#include "bench_run.h"

/* The options of the workload as a set: "--name=value" or "--name", with dashes, the last of a name, by name. What names the run
 * and its files is left out. */
struct vs_experiment_options {
    char **text;
    int count;
};
int vs_experiment_options_make(const struct vs_bench_words *words,
                               struct vs_experiment_options *out); /* 0 or -ENOMEM */
void vs_experiment_options_free(struct vs_experiment_options *o);
const char *vs_experiment_option(const struct vs_experiment_options *o,
                                 const char *name); /* its value, "" where it has none; NULL: not there */

/* What makes no result is refused: the workload's --check. -1: go on; else the exit status. */
struct vs_command;
int vs_experiment_check_words(const struct vs_command *self, const struct vs_bench_words *words);

struct vs_experiment_request {
    struct vs_bench_words words; /* whole, as vs_bench_fill leaves them */
    const char *db, *recording;  /* recording: what the result calls db */
    enum vs_output_mode mode;
    const char *trace;
    const char *name;  /* of the experiment, should the workload not come to say it */
    int words_to;      /* descriptor for what it prints; 0: its stdout goes to our stderr */
    int keep_results;  /* its own file stays */
    struct vs_job job; /* of its ranks only 0 makes a result */
    int store_refused; /* a result also of what the workload refused with status 2 */
};

struct vs_experiment_end {
    int status, signal; /* of the workload; signal 0: it ended by itself */
    int stopped;        /* by a signal that people send */
    int opened;         /* as in recorded_run.h */
    int64_t id;
    char *json; /* NULL: there is no result; `error` says why, or "" where the workload has said it */
    int kept;   /* the workload's file is still there, though it should not be */
    struct vs_error error;
};

int vs_experiment_run(const struct vs_experiment_request *r, struct vs_experiment_end *end, struct vs_error *e);
void vs_experiment_end_free(struct vs_experiment_end *end);

/* One screen for people; where: the database, for the losses of the recording. */
int vs_experiment_show(const char *json, FILE *out, struct vs_error *e);

#endif
