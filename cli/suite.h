/* SPDX-License-Identifier: MIT
 *
 * suite.h: a run of the suite: which experiments, in which folder, and how far each has come.
 *
 * The folder DIR/run_YYYYMMDD_HHMMSS holds, per experiment, {experiment}_result.json and what the workload printed
 * ({experiment}.log); where several lengths are asked for, {experiment}_seq{T} in their place; suite.db with every recording;
 * and visualizations/.
 *
 * Ownership: texts are borrowed from the command line; vs_suite_free. Threading: none.
 * Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_SUITE_H
#define VS_CLI_SUITE_H

#include <signal.h>

#include "../db/error.h"
#include "bench_run.h"
#include "experiment.h"

/* X(name): what the workload knows as a mode. The first VS_SUITE_DEFAULTS run when none are named: the notes' three, and ours. */
#define VS_SUITE_EXPERIMENTS(X)                                                                                        \
    X(vanilla)                                                                                                         \
    X(ghost)                                                                                                           \
    X(flash_clip)                                                                                                      \
    X(grad_materialize)                                                                                                \
    X(auto)                                                                                                            \
    X(explicit)                                                                                                        \
    X(flash)                                                                                                           \
    X(ghost_bk)                                                                                                        \
    X(flash_bk)                                                                                                        \
    X(fuse)                                                                                                            \
    X(fuse_bk)                                                                                                         \
    X(micro)
#define VS_SUITE_DEFAULTS "vanilla,ghost,flash_clip,auto"

enum vs_suite_state { VS_SUITE_WAITS, VS_SUITE_KEPT, VS_SUITE_DONE, VS_SUITE_FAILED, VS_SUITE_REFUSED };

struct vs_suite_one {
    char name[64], length[24]; /* length "": as the workload likes */
    enum vs_suite_state state;
    double seconds;
    struct vs_experiment_facts facts; /* of its result */
    char reason[VS_EXPERIMENT_TEXT];
};

struct vs_suite {
    const char *output, *experiments, *lengths, *trace, *resume; /* resume: NULL: no; "": the newest of output */
    struct vs_bench_words passed;
    struct vs_suite_one *one;
    int count, several; /* several lengths */
    char workload[4200], folder[4200];
    int made; /* the folder, just now */
    int lock; /* on the folder, to the end of the process; -1: none */

    int stopped; /* by this signal */
    sigset_t mask;
};

/* Fills `one`. Else says what is wrong with a list: the exit status; -1: go on. */
struct vs_command;
int vs_suite_plan(const struct vs_command *self, struct vs_suite *s);
void vs_suite_free(struct vs_suite *s);

/* suite_folder.c */
int vs_suite_make_folder(struct vs_suite *s, struct vs_error *e);
int vs_suite_find_folder(struct vs_suite *s, struct vs_error *e);
/* "ghost_seq64" + tail, in the folder. */
void vs_suite_path(const struct vs_suite *s, const struct vs_suite_one *x, const char *tail, char out[4300]);
/* Takes back a folder in which nothing was measured. */
void vs_suite_drop_folder(const struct vs_suite *s);

/* suite_run.c: one after the other, with progress on stderr. */
int vs_suite_words(const struct vs_suite *s, const struct vs_suite_one *x, struct vs_bench_words *out);
int vs_suite_run(struct vs_suite *s, struct vs_error *e);

/* suite_resume.c: marks what need not run again. -EINVAL: what is there was asked for otherwise. */
int vs_suite_resume(struct vs_suite *s, struct vs_error *e);

/* suite_end.c: figures, the summary, the next command. The exit status. */
int vs_suite_end(struct vs_suite *s);

#endif
