/* SPDX-License-Identifier: MIT
 *
 * test_ingest_live.c: logs that are read while the program runs, as `vramscope run` does, to its end and beyond. It judges no time.
 */
#include <check.h>
#include <stdbool.h>
#include <time.h>

#include "db/ingest.h"
#include "recording.h"

Suite *make_ingest_live_suite(void);

static struct recording r;

static long long stored(void)
{
    return recording_int(&r, "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'");
}

/* Ingested step by step while it runs, and finished when its memory is gone: as `vramscope run` does. */
START_TEST(test_ingest_while_it_runs)
{
    const char *argv[] = {"core_events", "slow", "2000", NULL};
    const struct timespec pause = {0, 100000000};
    struct vs_ingest *in = NULL;
    int i;
    recording_begin(&r, "steps");
    recording_start(&r, argv, NULL);
    ck_assert_int_eq(vs_ingest_open(r.db, VS_INGEST_NEW, &in, NULL), 0);
    for (i = 0; i < 10; i++) {
        nanosleep(&pause, NULL);
        vs_ingest_step(in, r.run, NULL); /* at first there is no folder */
    }
    recording_wait(&r);
    ck_assert_int_eq(vs_ingest_finish(in, r.run, 1, NULL), 0);
    vs_ingest_close(in);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 40000);
}
END_TEST

static void end_of_the_program(void *arg, const struct vs_ingest_progress *progress)
{
    (void)progress;
    if (*(bool *)arg) return;
    *(bool *)arg = true;
    recording_wait(&r);
}

/* It ends, and its memory goes, in the middle of a pass: what was counted before that is not what counts. */
START_TEST(test_ends_while_it_is_read)
{
    const char *argv[] = {"core_events", "slow", "2000", NULL};
    const struct timespec pause = {0, 500000000};
    struct vs_ingest *in = NULL;
    bool ended = false;
    recording_begin(&r, "ends");
    recording_start(&r, argv, NULL);
    nanosleep(&pause, NULL);
    ck_assert_int_eq(vs_ingest_open(r.db, VS_INGEST_NEW, &in, NULL), 0);
    vs_ingest_on_progress(in, end_of_the_program, &ended);
    ck_assert_int_eq(vs_ingest_step(in, r.run, NULL), 0);
    ck_assert(ended);
    ck_assert_int_eq(vs_ingest_finish(in, r.run, 1, NULL), 0);
    vs_ingest_close(in);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 40000);
}
END_TEST

Suite *make_ingest_live_suite(void)
{
    Suite *s = suite_create("ingest_live");
    TCase *c = tcase_create("ingest_live");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_ingest_while_it_runs);
    tcase_add_test(c, test_ends_while_it_is_read);
    suite_add_tcase(s, c);
    return s;
}
