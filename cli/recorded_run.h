/* SPDX-License-Identifier: MIT
 *
 * recorded_run.h: one program under the recorder, from its start to the database: what `run` does with the user's program
 * and `bench` with the built-in workload. It must never print, nor stop the program once it runs.
 *
 * Ownership: borrows every text of the request. Threading: from the thread that started the process; starts one itself.
 * Errors: 0 or -errno with a text when the program was not started. What went wrong with the recording of a program that
 * did run is in `outcome` and `error`.
 */
#ifndef VS_CLI_RECORDED_RUN_H
#define VS_CLI_RECORDED_RUN_H

#include <sys/types.h>

#include "../db/error.h"
#include "output.h"
#include "recorder.h"

struct vs_recorded_run {
    const char *output; /* database */
    enum vs_output_mode mode;
    const char *trace, *ranks; /* NULL: as the environment says, else the default */
    int python_lines;          /* record Python stacks of allocations; 0: as the environment says */
    const char *program;       /* its path */
    char **argv;
    int quiet_stdout; /* the program's stdout goes where our stderr goes */
    int wait_s;       /* when the program has ended: for so long wait for other runs into the output to end as well */
    int words;        /* descriptor its stdout and stderr go to; 0: none */

    /* Results. */
    int opened; /* the output was there to be written: a failure is the program's */
    pid_t pid;
    int status; /* exit status of the program, 128 + n for signal n */
    enum vs_recorded outcome;
    struct vs_error error;
};

int vs_recorded_run(struct vs_recorded_run *r, struct vs_error *e);

#endif
