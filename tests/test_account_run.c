/* SPDX-License-Identifier: MIT
 *
 * test_account_run.c: the account of programs over the stand-in driver: what the driver takes for itself is measured to the
 * byte, other processes' memory is never taken for it, and the remainder is what nobody measured.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "recording.h"

Suite *make_account_run_suite(void);

#define MIB (1ll << 20)
static struct recording r;

static void run(const char *name, const char *const argv[], const char *const env[])
{
    const char *all[16] = {"VRAMSCOPE_SAMPLE_MS=10", "VRAMSCOPE_FLUSH_MS=10", NULL};
    for (int i = 0; env && env[i]; i++) {
        all[2 + i] = env[i];
        all[3 + i] = NULL;
    }
    recording_begin(&r, name);
    recording_run(&r, argv, all);
    ck_assert_msg(r.status == 0, "status %d: %s%s", r.status, r.out, r.err);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM (SELECT SUM(CASE WHEN owner = 'driver_used' THEN -bytes ELSE bytes END)"
                                       " AS s FROM account GROUP BY process_id, device, ts_ns) WHERE s <> 0"), 0);
}

/* In MiB, at the last moment; -1: NULL or no row. */
static long long last(const char *owner)
{
    long long bytes = recording_int(&r, "SELECT bytes FROM account WHERE owner = '%s' AND ts_ns = (SELECT MAX(ts_ns) FROM account)",
                                    owner);
    ck_assert_msg(bytes < 0 || bytes % MIB == 0, "%s: %lld", owner, bytes);
    return bytes < 0 ? bytes : bytes / MIB;
}

START_TEST(test_what_the_driver_takes_is_measured)
{
    run("account_everything", (const char *const[]){"account_events", "everything", "alloc", NULL}, NULL);
    ck_assert_int_eq(last("context"), 100 + 2 + 2 + 2 + 2 + 64 + 4 + 2);
    ck_assert_int_eq(last("other_cuda"), 10);
    ck_assert_int_eq(last("other_processes"), 16);
    ck_assert_int_eq(last("profiler"), 0);
    ck_assert_int_eq(last("remainder"), 0);
    ck_assert_int_eq(last("driver_used"), 178 + 10 + 16);
    ck_assert_int_eq(recording_int(&r, "SELECT SUM(bytes) FROM context_growth"), 178 * MIB);
    /* On a machine so busy that measuring took longer than it may, some calls are measured together. */
    if (!recording_int(&r, "SELECT COUNT(*) FROM context_growth WHERE what = 'together'"))
        ck_assert_str_eq(recording_text(&r, "SELECT group_concat(x, ' ') FROM (SELECT what || ' ' || (SUM(bytes) / 1048576) AS x FROM"
                                            " context_growth GROUP BY what ORDER BY what)"),
                         "context 100 graph 2 launch 68 module 4 stream 4");
    ck_assert_str_eq(r.out, "launched 1002\n"); /* every argument of every launch */
    recording_end(&r);
}
END_TEST

START_TEST(test_it_is_given_back)
{
    run("account_limit", (const char *const[]){"account_events", "everything", "50", "limit", "second", NULL},
        (const char *const[]){"FAKE_CUDA_DEVICES=3", NULL}); /* NVML lists them in another order */
    ck_assert_int_eq(last("context"), 178 - 64);
    ck_assert_int_eq(last("remainder"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT MAX(bytes) FROM account WHERE owner = 'context'"), (178 - 64 + 100) * MIB);
    recording_end(&r);
    run("account_reset", (const char *const[]){"account_events", "everything", "50", "reset", NULL}, NULL);
    ck_assert_int_eq(last("context"), 0);
    ck_assert_int_eq(last("remainder"), 16); /* the list is without this process: whose the rest is cannot be seen */
    ck_assert_int_eq(last("other_processes"), -1);
    recording_end(&r);
}
END_TEST

START_TEST(test_code_that_is_loaded_again)
{
    run("account_reload", (const char *const[]){"account_events", "reload", "50", NULL}, NULL);
    ck_assert_int_eq(last("context"), 100 + 2 - 2 + 2);
    ck_assert_int_eq(last("remainder"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT SUM(bytes) FROM context_growth WHERE what = 'launch'"), 4 * MIB);
    recording_end(&r);
}
END_TEST

/* 300 MiB of another process come in the middle of the making of a context. */
START_TEST(test_what_others_take_is_not_the_contexts)
{
    run("account_foreign", (const char *const[]){"account_events", "foreign", "200", NULL},
        (const char *const[]){"FAKE_CUDA_CONTEXT_MS=60", NULL});
    ck_assert_int_eq(last("context"), 100);
    ck_assert_int_eq(last("other_processes"), 316);
    ck_assert_int_eq(last("remainder"), 0);
    recording_end(&r);
    /* Where processes cannot be told apart, at least what comes between the calls is nobody's. */
    run("account_foreign_unseen", (const char *const[]){"account_events", "foreign", "200", NULL},
        (const char *const[]){"FAKE_NVML_PIDS=0", NULL});
    ck_assert_int_eq(last("context"), 100);
    ck_assert_int_eq(last("other_processes"), -1);
    ck_assert_int_eq(last("remainder"), 316);
    recording_end(&r);
}
END_TEST

/* In another namespace, somebody else may have this process's number. */
START_TEST(test_another_process_with_our_number)
{
    run("account_pids", (const char *const[]){"account_events", "alloc", "50", NULL}, (const char *const[]){"FAKE_NVML_PIDS=2", NULL});
    ck_assert_int_eq(last("context"), 100);
    ck_assert_int_eq(last("other_processes"), -1);
    ck_assert_int_eq(last("remainder"), 16);
    recording_end(&r);
}
END_TEST

/* A launch takes memory while another thread allocates: of that call alone it is not known, together it is. */
START_TEST(test_calls_at_the_same_time)
{
    run("account_between", (const char *const[]){"account_events", "between", "50", NULL},
        (const char *const[]){"FAKE_CUDA_LOAD_MS=15", NULL});
    ck_assert_int_eq(last("context"), 166);
    ck_assert_int_eq(last("remainder"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT SUM(bytes) FROM context_growth WHERE what = 'together'"), 66 * MIB);
    ck_assert_int_eq(recording_int(&r, "SELECT calls FROM context_growth WHERE what = 'calls' AND bytes IS NULL"), 1);
    recording_end(&r);
    run("account_between_unseen", (const char *const[]){"account_events", "between", "50", NULL},
        (const char *const[]){"FAKE_CUDA_LOAD_MS=15", "FAKE_NVML_PIDS=0", NULL});
    ck_assert_int_eq(last("context"), 100); /* and never more than was measured */
    ck_assert_int_eq(last("remainder"), 66 + 16);
    recording_end(&r);
}
END_TEST

START_TEST(test_a_refused_allocation_is_a_moment)
{
    run("account_refused", (const char *const[]){"account_events", "alloc", "refused", NULL},
        (const char *const[]){"VRAMSCOPE_SAMPLE_MS=60000", NULL});
    ck_assert_str_eq(r.out, "refused 2\nlaunched 0\n");
    ck_assert_int_eq(recording_int(&r, "SELECT bytes FROM account WHERE owner = 'other_cuda' AND ts_ns BETWEEN"
                                       " (SELECT ts_ns FROM allocation_failure) AND (SELECT ts_ns + 10000000 FROM allocation_failure)"),
                     10 * MIB);
    recording_end(&r);
}
END_TEST

START_TEST(test_nobody_is_asked_when_off)
{
    run("account_off", (const char *const[]){"account_events", "everything", "refused", NULL},
        (const char *const[]){"VRAMSCOPE_SAMPLE_MS=0", NULL});
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM account"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM context_growth WHERE bytes IS NOT NULL"), 0);
    recording_end(&r);
}
END_TEST

Suite *make_account_run_suite(void)
{
    Suite *s = suite_create("account_run");
    TCase *t = tcase_create("account_run");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_what_the_driver_takes_is_measured);
    tcase_add_test(t, test_it_is_given_back);
    tcase_add_test(t, test_code_that_is_loaded_again);
    tcase_add_test(t, test_what_others_take_is_not_the_contexts);
    tcase_add_test(t, test_another_process_with_our_number);
    tcase_add_test(t, test_calls_at_the_same_time);
    tcase_add_test(t, test_a_refused_allocation_is_a_moment);
    tcase_add_test(t, test_nobody_is_asked_when_off);
    suite_add_tcase(s, t);
    return s;
}
