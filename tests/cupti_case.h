/* SPDX-License-Identifier: MIT
 *
 * cupti_case.h: one run of tests/programs/cupti_events.c under the recorder, for the suites of the CUPTI source.
 *
 * Each suite has its own copy of what follows. Failures end the test.
 */
#ifndef VS_TESTS_CUPTI_CASE_H
#define VS_TESTS_CUPTI_CASE_H

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "db/record.h"
#include "log_reader.h"
#include "recording.h"

static struct recording r;
static struct log *l;

/* Runs cupti_events MODE COUNT with the settings of most tests and up to three more. */
static void record(const char *mode, const char *count, const char *e1, const char *e2, const char *e3)
{
    const char *argv[] = {"cupti_events", mode, count, NULL};
    const char *env[] = {"VRAMSCOPE_TRACE=kernels", "VRAMSCOPE_FLUSH_MS=50", "VRAMSCOPE_SAMPLE_MS=0", e1, e2, e3, NULL};
    char name[64];
    snprintf(name, sizeof name, "cupti-%s", mode);
    recording_begin(&r, name);
    recording_run(&r, argv, env);
    l = log_open(r.run);
}

static void ended_well(void)
{
    ck_assert_msg(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 0, "status %#x: %s", (unsigned)r.status, r.err);
    ck_assert_str_eq(r.out, "done\n"); /* nothing of ours on stdout */
    ck_assert_ptr_nonnull(l);
    ck_assert_uint_eq(l->damaged, 0);
}

static void finish(void)
{
    log_close(l);
    recording_end(&r);
}

static uint64_t gpu_lost(enum vs_loss loss)
{
    return log_lost(l, VS_SRC_GPU, loss);
}

#endif
