/* SPDX-License-Identifier: MIT
 *
 * bench_run.h: what the commands share that record a built-in workload: options of theirs among the workload's, names nobody
 * uses yet, and how a recorded run ended. Must never judge an option of the workload.
 *
 * Ownership: vs_bench_split's list is the caller's, free(). Threading: none. Errors: told on stderr where an exit status is
 * returned; else 0 or -errno with a text.
 */
#ifndef VS_CLI_BENCH_RUN_H
#define VS_CLI_BENCH_RUN_H

#include <stddef.h>

#include "../db/error.h"
#include "job.h"
#include "recorded_run.h"

struct vs_command;
struct vs_option;

/* argv of the workload: path, its name, --results, FILE, then what was passed through. Ours are first, or a last option
 * without its value would take --results. */
enum { VS_BENCH_OURS = 4 };
struct vs_bench_words {
    char **argv;
    int argc;
};

/* Takes argv[*i] when it is ours; a value may be in the same word or the next. -1: it is not ours; 0; else the exit status. */
int vs_bench_take(const struct vs_command *self, const struct vs_option *table, int argc, char **argv, int *i);
/* Ours go where the table says, the others into `words`, after VS_BENCH_OURS free places. -1: go on. */
int vs_bench_split(const struct vs_command *self, const struct vs_option *table, int argc, char **argv,
                   struct vs_bench_words *words);
void vs_bench_fill(struct vs_bench_words *words, char *path, const char *name, const char *results);

int vs_bench_check_trace(const struct vs_command *self, const char *trace); /* NULL is fine. -1: go on */
/* Where the workload is; "": it cannot be run, and `e` says why. -1: go on; else help was asked for and printed. */
int vs_bench_find(const struct vs_command *self, const struct vs_option *table, int argc, char **argv, const char *name,
                  char *workload, size_t workload_bytes, struct vs_error *e);

/* STEM.db, STEM-2.db, ...: neither it nor the log folder of its name is there. A benchmark that is simply run again must not
 * fail, nor touch what the last one measured. For several ranks STEM.db: all must come to the same. */
#define VS_BENCH_NAME 64
void vs_bench_free_name(const char *stem, struct vs_job job, char out[VS_BENCH_NAME]);
/* The workload makes the file and refuses one that exists, so that it is this run's alone. */
void vs_bench_results_name(const char *db, const char *ending, char *out, size_t out_bytes);

/* Known before anything runs: an older vramscope made the database that is to be added to. */
int vs_bench_takes(const char *db, const char *table, struct vs_error *e);

#define VS_BENCH_UNRECORDED "the workload was not recorded: it made no NVTX call that the recorder saw"
int vs_bench_holds(const char *results);                         /* a file with something in it */
const char *vs_bench_trouble(const struct vs_recorded_run *run); /* NULL: all of it is in the database */
int vs_bench_ending_signal(const struct vs_recorded_run *run);   /* 0: none */
/* The file may hold hours of work: says why it stays. */
void vs_bench_keep(const char *results, const char *failed);

#endif
