/* SPDX-License-Identifier: MIT
 *
 * run_end.h: what `vramscope run` knows of its program's end and the program could not say itself: a small file in the run
 * folder, read with the logs. It must never overrule what a process said of itself.
 *
 * Errors: write 0 or -errno; apply: stick in the store.
 */
#ifndef VS_DB_RUN_END_H
#define VS_DB_RUN_END_H

#include <stdint.h>

struct vs_store;

#define VS_RUN_END_PREFIX "end-" /* of the file's name */

struct vs_run_end {
    char host[65];
    long pid;          /* of the program */
    int status;        /* its exit status, 128 + n for signal n */
    int64_t start_ns, end_ns; /* before it was started, after it ended: CLOCK_MONOTONIC */
    int64_t oom_kills; /* in our memory cgroup while it ran; < 0: not known */
};

int vs_run_end_write(const char *run_folder, const struct vs_run_end *end);
void vs_run_end_apply(struct vs_store *s, const char *run_folder);

#endif
