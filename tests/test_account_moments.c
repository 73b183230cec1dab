/* SPDX-License-Identifier: MIT
 *
 * test_account_moments.c: which moments of the account are kept, the segments at them, and what must hold whatever the log
 * holds: owners and remainder come to driver-used, and a log taken in many steps gives what it gives in one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account_case.h"

Suite *make_account_moments_suite(void);

/* ---- which moments ---- */

START_TEST(test_moments_are_few_and_the_right_ones)
{
    uint64_t first = 0, highest = 0, fullest = 0, failed = 0, last = 0, n = 20000;
    account_measure(VS_MEASURED_CONTEXT, 0, 0xc0, 300, 0);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t *which = i == 0 ? &first : i == 7777 ? &highest : i == 13001 ? &fullest : i == 15003 ? &failed : &last;
        if (i == 13001) account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x10000, 5000);
        *which = account_sample(i == 15003 ? VS_DM_FAILURE : 0, i == 7777 ? 1000000 : 10000 + i, 0);
        if (i == 13001) account_free(0x10000);
        if (i == 9999) account_sample(VS_DM_UNSETTLED, 2000000, 0); /* in the middle of something: not to be believed */
    }
    account_finish();
    ck_assert_int_le(case_int(account.in.db, "SELECT COUNT(DISTINCT ts_ns) FROM account"), 1024 + 5);
    ck_assert_int_ge(case_int(account.in.db, "SELECT COUNT(DISTINCT ts_ns) FROM account"), 512);
    ck_account(first, "context 300,driver_used 10000,other_cuda 0,other_processes 0,profiler 0,remainder 9700");
    ck_account(highest, "context 300,driver_used 1000000,other_cuda 0,other_processes 0,profiler 0,remainder 999700");
    ck_account(fullest, "context 300,driver_used 23001,other_cuda 5000,other_processes 0,profiler 0,remainder 17701");
    ck_account(failed, "context 300,driver_used 25003,other_cuda 0,other_processes 0,profiler 0,remainder 24703");
    ck_account(last, "context 300,driver_used 29999,other_cuda 0,other_processes 0,profiler 0,remainder 29699");
    ck_sql(account.in.db, "SELECT MAX(bytes) FROM account WHERE owner = 'driver_used'", 1000000);
    /* evenly: no more than twice the mean distance */
    ck_sql(account.in.db,
           "SELECT MAX(d) > 2 * 40 FROM (SELECT ts_ns - LAG(ts_ns) OVER (ORDER BY ts_ns) AS d FROM"
           " (SELECT DISTINCT ts_ns FROM account))",
           0);
}
END_TEST

START_TEST(test_only_unsettled_samples)
{
    uint64_t at[2];
    at[0] = account_sample(VS_DM_UNSETTLED, 100, 0);
    at[1] = account_sample(VS_DM_UNSETTLED, 200, 0);
    account_finish();
    ck_account(at[1], "context NULL,driver_used 200,other_processes 0,profiler 0,remainder 200");
    ck_assert_uint_lt(at[0], at[1]);
}
END_TEST

START_TEST(test_nobody_to_ask)
{
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x10000, 100);
    account_measure(VS_MEASURED_CONTEXT, VS_MF_UNKNOWN, 0xc0, 0, 0);
    account_finish();
    ck_sql(account.in.db, "SELECT COUNT(*) FROM account", 0);
}
END_TEST

/* ---- segments ---- */

static void ck_segments(const char *moment, const char *expected)
{
    char sql[256], *rows;
    snprintf(
        sql, sizeof sql,
        "SELECT printf('%%x %%d %%d %%d %%d %%d', address, bytes, live_bytes, free_bytes, largest_free_bytes, blocks)"
        " FROM segment_fragmentation WHERE moment = '%s' ORDER BY address",
        moment);
    rows = case_text(account.in.db, sql);
    ck_assert_msg(!strcmp(rows, expected), "%s: %s, not %s", moment, rows, expected);
    free(rows);
}

START_TEST(test_segments_at_the_peak_a_failure_and_the_end)
{
    account_alloc(BY_TORCH, VS_MEM_CUDA, 0x10000, 0x1000);
    account_alloc(BY_RUNTIME, VS_MEM_CUDA, 0x20000, 0x2000);
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x30000, 0x2000); /* no segment */
    account_block(0x20000, 0x400, 0, 0);
    account_block(0x20c00, 0x400, 0, 0);
    account_block(0x21c00, 0x400, 0, 0);
    account_sample(0, 5000, 0);
    account_block(0x21c00, -0x400, 0, 0);
    account_sample(VS_DM_FAILURE, 4000, 0);
    account_block(0x20c00, -0x400, 0, 0);
    account_free(0x10000);
    account_finish();
    ck_segments("peak", "10000 4096 0 4096 4096 0,20000 8192 3072 5120 3072 3");
    ck_segments("failure", "10000 4096 0 4096 4096 0,20000 8192 2048 6144 4096 2");
    ck_segments("end", "20000 8192 1024 7168 7168 1");
}
END_TEST

/* Physical pieces mapped one after the other, and blocks across their borders. */
START_TEST(test_an_expandable_segment_is_one)
{
    uint64_t at;
    for (uint64_t i = 0; i < 4; i++) {
        struct vs_rec_vmm *v = vs_log_writer_add(account.w, 1, VS_K_VMM, sizeof *v, 0, 0);
        *v = (struct vs_rec_vmm){.h = v->h,
                                 .seq = vs_log_writer_seq(account.w),
                                 .ts_ns = ++account.now,
                                 .op = VS_VMM_CREATE,
                                 .handle = 50 + i,
                                 .bytes = 0x1000,
                                 .caller = (uint64_t)(i == 2 ? BY_RUNTIME : BY_TORCH) << 20};
        vs_put_vmm(account.w, 1, 0, VS_VMM_MAP, 50 + i, 0x40000 + i * 0x1000 + (i == 3 ? 0x1000 : 0), 0x1000,
                   ++account.now);
    }
    account_sample(0, 0x4000, 0);
    account_block(0x40800, 0x2000, 0x2000, 0x4000); /* over three */
    at = account_sample(0, 0x4001, 0);
    account_finish();
    ck_segments("peak", "40000 12288 8192 4096 2048 1,44000 4096 0 4096 4096 0");
    ck_account(
        at, "context NULL,driver_used 16385,framework_cached 8192,framework_live 8192,other_cuda 0,other_processes 0,"
            "profiler 0,remainder 1");
    ck_sql(account.in.db, "SELECT COUNT(*) FROM account_check", 0);
}
END_TEST

/* ---- anything at all ---- */

static uint64_t seed;
static uint64_t roll(uint64_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

static void anything(void)
{
    uint64_t slot = roll(64), base = 0x100000 + slot * 0x10000;
    switch (roll(10)) {
    case 0: account_alloc((int)roll(BY_PROGRAM + 1), roll(4) ? VS_MEM_CUDA : VS_MEM_MANAGED, base, 0x8000); break;
    case 1: account_free(base); break;
    case 2:
    case 3: account_block(base + roll(8) * 0x1000, 0x1000, 0, 0); break;
    case 4: account_block(base + roll(8) * 0x1000, -0x1000, 0, 0); break;
    case 5: account_pool(0x70 + roll(3), roll(4) << 20); break;
    case 6:
        account_measure(1 + (enum vs_measured)roll(4), roll(5) ? 0 : VS_MF_UNKNOWN, 0xc0 + roll(3),
                        (int64_t)roll(1000) - 200, 0);
        break;
    case 7:
        if (!roll(4)) account_end_context(roll(4) ? 0xc0 + roll(3) : 0);
        break;
    case 8: account_sample_process((unsigned)roll(8), 1 << 30, roll(1 << 24)); break;
    default: account_sample((unsigned)roll(8), 1 << 30, roll(2) ? NOBODY : roll(1000));
    }
}

/* Owners and remainder come to driver-used (finish), the sums of the pieces to what the rows say, and a log that is taken in
 * many steps gives the rows it gives in one. */
START_TEST(test_anything_adds_up)
{
    static const char rows[] =
        "SELECT process_id || ' ' || ts_ns || ' ' || owner || ' ' || COALESCE(bytes, 'NULL') FROM account"
        " UNION ALL SELECT moment || address || ' ' || live_bytes || ' ' || largest_free_bytes FROM"
        " segment_fragmentation ORDER BY 1";
    char steps[96], *once, *stepped;
    struct vs_ingest *in = NULL;
    struct vs_error e;
    uint64_t last;
    seed = (uint64_t)_i + 1;
    account.w = vs_log_writer_open(
        &(struct vs_log_writer_options){.run = account.in.run, .memory = account.in.memory, .pid = 77, .alive = true});
    snprintf(steps, sizeof steps, "%s/steps.db", account.in.root);
    for (int i = 0; i < 4000; i++) {
        anything();
        if (i % 1000 != 999) continue;
        vs_log_writer_flush(account.w);
        ck_assert_int_eq(vs_ingest_open(steps, VS_INGEST_RESUME, &in, &e), 0);
        ck_assert_int_eq(vs_ingest_step(in, account.in.run, &e), 0);
        vs_ingest_close(in);
    }
    last = account_sample(0, 1 << 30, 0);
    vs_log_writer_close(account.w, VS_WRITER_EXIT);
    case_ingest(&account.in, account.in.db);
    account_check();
    ck_assert_int_eq(vs_ingest_open(steps, VS_INGEST_RESUME, &in, &e), 0);
    ck_assert_int_eq(vs_ingest_finish(in, account.in.run, 0, &e), 0);
    vs_ingest_close(in);
    once = case_text(account.in.db, rows);
    stepped = case_text(steps, rows);
    for (size_t i = 0; once[i] || stepped[i]; i++)
        ck_assert_msg(once[i] == stepped[i], "in one: %.80s; in steps: %.80s", &once[i > 40 ? i - 40 : 0],
                      &stepped[i > 40 ? i - 40 : 0]);
    free(once);
    free(stepped);
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT (SELECT SUM(bytes) FROM account WHERE ts_ns = %llu AND owner IN ('framework_live', "
             "'framework_cached', 'nccl',"
             " 'other_cuda', 'stream_ordered_pools') OR (ts_ns = %llu AND owner LIKE 'library:%%'))"
             " - (SELECT SUM(bytes) FROM allocation WHERE level = 'held' AND device = 0 AND free_ts_ns IS NULL AND"
             " source <> 'managed')"
             " - (SELECT COALESCE(SUM(bytes), 0) FROM allocation WHERE source = 'torch' AND parent_id IS NULL AND "
             "free_ts_ns IS NULL)",
             (unsigned long long)last, (unsigned long long)last);
    ck_sql(account.in.db, sql, 0);
}
END_TEST

Suite *make_account_moments_suite(void)
{
    Suite *s = suite_create("account_moments");
    TCase *t = tcase_create("moments"), *anything_at_all = tcase_create("anything");
    tcase_add_checked_fixture(t, account_begin, account_end);
    tcase_add_checked_fixture(anything_at_all, account_begin_folder, account_end);
    tcase_set_timeout(t, 60);
    tcase_set_timeout(anything_at_all, 60);
    tcase_add_test(t, test_moments_are_few_and_the_right_ones);
    tcase_add_test(t, test_only_unsettled_samples);
    tcase_add_test(t, test_nobody_to_ask);
    tcase_add_test(t, test_segments_at_the_peak_a_failure_and_the_end);
    tcase_add_test(t, test_an_expandable_segment_is_one);
    tcase_add_loop_test(anything_at_all, test_anything_adds_up, 0, 5);
    suite_add_tcase(s, t);
    suite_add_tcase(s, anything_at_all);
    return s;
}
