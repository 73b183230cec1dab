/* SPDX-License-Identifier: MIT
 *
 * test_overlap.c: what a GPU did in each iteration: worked out by hand, and nanosecond by nanosecond against a count that
 * knows nothing of intervals.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "match_case.h"

Suite *make_overlap_suite(void);

#define INT(sql, expected)                                                                                             \
    ck_assert_msg(match_case_int(sql) == (int64_t)(expected), "%s: %lld, not %lld", sql, (long long)match_case_int(sql),      \
                  (long long)(expected))
#define TEXT(sql, expected) ck_assert_str_eq(match_case_text(sql), expected)

static void one_rank(void)
{
    match_case_rank(0, 1, "a", 0);
    match_case_call(0, match_case_communicator(0, 77, 1), 0, "all_reduce", 8, 1500, 1501, 0); /* or nobody would ask */
}

START_TEST(test_by_hand)
{
    one_rank();
    match_case_kernel(0, "gemm", 1000, 2000, 2100);
    match_case_kernel(0, "gemm", 1010, 2050, 2200); /* on another stream: 2000 to 2200 is computed */
    match_case_kernel(0, "nccl", 1020, 2150, 2300); /* hidden to 2200 */
    match_case_kernel(0, "nccl", 1030, 2160, 2170); /* within another one */
    match_case_kernel(0, "gemm", 1040, 2400, 2450);
    match_case_run();
    TEXT("SELECT iteration, begin_ns, end_ns, compute_ns, communication_ns, both_ns, idle_ns, compute_kernels, communication_kernels FROM"
         " step_overlap_data", "-|2000|2450|200|100|50|100|3|2");
    TEXT("SELECT compute_ns, communication_ns, hidden_ns, exposed_ns, idle_ns FROM step_overlap", "250|150|50|100|100");
    ck_assert_double_eq_tol(match_case_real("SELECT hidden_percent FROM step_overlap"), 100 / 3.0, 1e-9);
}
END_TEST

/* The GPU lags behind: work of an iteration is what was launched in it. */
START_TEST(test_iterations_begin_with_their_first_kernel)
{
    one_rank();
    match_case_iteration(0, 0, 1000, 1100);
    match_case_iteration(0, 1, 1100, 1200);
    match_case_kernel(0, "gemm", 900, 1500, 1600);  /* before all iterations */
    match_case_kernel(0, "gemm", 1010, 2000, 2500); /* 0 */
    match_case_kernel(0, "nccl", 1050, 2400, 2600);
    match_case_kernel(0, "gemm", 1110, 2700, 2900); /* 1 */
    match_case_kernel(0, "nccl", 1060, 2800, 3000); /* launched in 0, runs late: its time is where it ran */
    match_case_kernel(0, "gemm", 1150, 3100, 3200);
    match_case_kernel(0, "gemm", 1300, 4000, 4100); /* after all iterations */
    match_case_run();
    TEXT("SELECT iteration, begin_ns, end_ns, compute_ns, communication_ns, both_ns, idle_ns FROM step_overlap_data ORDER BY begin_ns, end_ns",
         "-|1500|4100|800|200|200|1400,0|2000|2700|400|100|100|100,1|2700|4000|200|100|100|900");
    INT("SELECT median_step_ns FROM straggler", 700);
}
END_TEST

START_TEST(test_kernels_without_times_or_launches)
{
    one_rank();
    match_case_iteration(0, 0, 1000, 1100);
    match_case_kernel(0, "gemm", 1010, 2000, 2100);
    match_case_kernel(0, "gemm", 0, 2200, 2300); /* its launch was not seen */
    match_case_sql("INSERT INTO kernel (id, process_id, device, name_id) VALUES (500, 1, 0, 1)");
    match_case_run();
    TEXT("SELECT iteration, compute_ns, idle_ns, compute_kernels FROM step_overlap_data ORDER BY iteration", "-|200|100|2,0|200|100|2");
}
END_TEST

START_TEST(test_two_devices_of_one_process)
{
    one_rank();
    match_case_kernel(0, "gemm", 1000, 2000, 2100);
    match_case_kernel(0, "nccl", 1000, 2000, 2100);
    match_case_sql("UPDATE kernel SET device = 1 WHERE name_id = 2");
    match_case_run();
    TEXT("SELECT device, compute_ns, communication_ns, both_ns FROM step_overlap_data ORDER BY device", "0|100|0|0,1|0|100|0");
}
END_TEST

START_TEST(test_no_collectives_no_rows)
{
    match_case_rank(0, 1, "a", 0);
    match_case_kernel(0, "gemm", 1000, 2000, 2100);
    match_case_run();
    INT("SELECT COUNT(*) FROM step_overlap_data", 0);
}
END_TEST

enum { SPAN = 60000, KERNELS = 400, STEPS = 6 };

static unsigned next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(*state >> 33);
}

/* One byte for each nanosecond: 1 computed, 2 communicated. */
START_TEST(test_against_counting)
{
    static unsigned char busy[2 * SPAN];
    uint64_t seed = (uint64_t)_i + 1;
    int64_t sum[4] = {0}, from = INT64_MAX, to = 0;
    char expected[128];
    memset(busy, 0, sizeof busy);
    one_rank();
    match_case_sql("BEGIN");
    for (int i = 0; i < STEPS; i++) match_case_iteration(0, i, 1000 + i * SPAN / STEPS, 1000 + (i + 1) * SPAN / STEPS);
    for (int i = 0; i < KERNELS; i++) {
        int communication = next_random(&seed) % 3 == 0;
        int64_t begin = 1000 + next_random(&seed) % SPAN, end = begin + next_random(&seed) % (_i % 2 ? 30 : 900);
        match_case_kernel(0, communication ? "nccl" : "gemm", begin - next_random(&seed) % 900, begin, end);
        for (int64_t t = begin; t < end; t++) busy[t] |= (unsigned char)(1 << communication);
        if (begin < from) from = begin;
        if (end > to) to = end;
    }
    match_case_run();
    for (int64_t t = from; t < to; t++) sum[busy[t]]++;
    snprintf(expected, sizeof expected, "%lld|%lld|%lld|%lld|%lld|%lld", (long long)from, (long long)to, (long long)sum[1],
             (long long)sum[2], (long long)sum[3], (long long)sum[0]);
    TEXT("SELECT begin_ns, end_ns, compute_ns, communication_ns, both_ns, idle_ns FROM step_overlap_data WHERE iteration IS NULL", expected);
    INT("SELECT COUNT(*) FROM step_overlap_data WHERE iteration IS NOT NULL", STEPS);
    INT("SELECT COUNT(*) FROM step_overlap_data WHERE compute_ns + communication_ns + both_ns + idle_ns <> end_ns - begin_ns", 0);
    INT("SELECT COUNT(*) FROM step_overlap_data a JOIN step_overlap_data b ON b.iteration = a.iteration + 1 WHERE a.end_ns <> b.begin_ns", 0);
    INT("SELECT SUM(compute_ns) FROM rank_activity", sum[1]);
    INT("SELECT SUM(communication_ns) FROM rank_activity", sum[2]);
    INT("SELECT SUM(both_ns) FROM rank_activity", sum[3]);
    INT("SELECT COUNT(*) FROM rank_activity WHERE compute_ns + communication_ns + both_ns > width_ns", 0);
    for (int64_t i = 0; i < STEPS; i++) { /* each step by itself */
        char sql[256];
        int64_t begin, end, step[4] = {0};
        snprintf(sql, sizeof sql, "SELECT begin_ns FROM step_overlap_data WHERE iteration = %lld", (long long)i);
        begin = match_case_int(sql);
        snprintf(sql, sizeof sql, "SELECT end_ns FROM step_overlap_data WHERE iteration = %lld", (long long)i);
        end = match_case_int(sql);
        for (int64_t t = begin; t < end; t++) step[busy[t]]++;
        snprintf(sql, sizeof sql, "SELECT compute_ns = %lld AND communication_ns = %lld AND both_ns = %lld FROM step_overlap_data WHERE iteration = %lld",
                 (long long)step[1], (long long)step[2], (long long)step[3], (long long)i);
        INT(sql, 1);
    }
}
END_TEST

/* Days between two kernels: the buckets grow, and nothing is lost. */
START_TEST(test_buckets_grow)
{
    one_rank();
    match_case_kernel(0, "gemm", 1000, 2000, 2100);
    match_case_kernel(0, "nccl", 1000, 86400000000000, 86400000000000 + 5000000000);
    match_case_kernel(0, "gemm", 1000, INT64_MAX / 2 - 10, INT64_MAX / 2);
    match_case_run();
    TEXT("SELECT SUM(compute_ns), SUM(communication_ns), SUM(both_ns), COUNT(DISTINCT width_ns) FROM rank_activity", "110|5000000000|0|1");
    INT("SELECT COUNT(*) FROM rank_activity", 2); /* a bucket is years wide by then */
}
END_TEST

Suite *make_overlap_suite(void)
{
    Suite *s = suite_create("overlap");
    TCase *t = tcase_create("overlap");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, match_case_begin, match_case_end);
    tcase_add_test(t, test_by_hand);
    tcase_add_test(t, test_iterations_begin_with_their_first_kernel);
    tcase_add_test(t, test_kernels_without_times_or_launches);
    tcase_add_test(t, test_two_devices_of_one_process);
    tcase_add_test(t, test_no_collectives_no_rows);
    tcase_add_loop_test(t, test_against_counting, 0, 8);
    tcase_add_test(t, test_buckets_grow);
    return s;
}
