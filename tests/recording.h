/* SPDX-License-Identifier: MIT
 *
 * recording.h: runs a program under the recorder, as LD_PRELOAD alone would, ingests what it left and asks questions.
 *
 * Every recording lives in a folder of its own below $(O)/tests/out, made anew by recording_begin and named by the test.
 * Failures of the machinery end the test (ck_abort_msg). Programs find the stand-ins in $(O)/fake by LD_LIBRARY_PATH.
 */
#ifndef VS_TESTS_RECORDING_H
#define VS_TESTS_RECORDING_H

#include <stdbool.h>
#include <sys/types.h>

struct sqlite3;

struct recording {
    char folder[512];  /* of the test */
    char run[560];     /* VRAMSCOPE_RUN: the log folder */
    char db[560];
    int status;        /* as waitpid gives it */
    char out[65536];   /* what the program wrote to stdout and stderr */
    char err[65536];
    struct sqlite3 *sql;
};

void recording_begin(struct recording *r, const char *name);
/* argv[0] without a slash is a program of tests/programs. env: "NAME=value" strings, NULL-terminated, may be NULL; set
 * after the defaults (LD_PRELOAD, LD_LIBRARY_PATH, VRAMSCOPE_RUN, VRAMSCOPE_QUIET=1), so they can replace them.
 * Waits for its end and for its output. */
void recording_run(struct recording *r, const char *const argv[], const char *const env[]);
/* The same in two steps. */
pid_t recording_start(struct recording *r, const char *const argv[], const char *const env[]);
void recording_wait(struct recording *r);
/* Ingests the log (again) and opens the database. */
void recording_ingest(struct recording *r);
/* One number of the first row; NULL counts as -1. The text is formatted. */
long long recording_int(struct recording *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *recording_text(struct recording *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Checks what must hold of every recording: appended = stored + lost in the log, and no losses but the given number. */
void recording_check(struct recording *r, long long losses);
/* Sanitizers do not survive a fork of a program with threads: ThreadSanitizer takes the parent's threads for running in the
 * child, and the child waits forever for AddressSanitizer's allocator if a thread of the parent was in it. */
bool recording_forks_make_sense(void);
void recording_end(struct recording *r);

#endif
