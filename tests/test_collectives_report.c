/* SPDX-License-Identifier: MIT
 *
 * test_collectives_report.c: what `vramscope report` says of collectives across ranks: numbers of known rows, what is not complete
 * first, and what is not known said as such.
 */
#include "test_cli.h"

#include "match_case.h"

Suite *make_collectives_report_suite(void);

static int64_t comm[4];

static void setup(void)
{
    cli_folder();
    match_case_begin();
}

static void teardown(void)
{
    match_case_end();
    cli_clean();
}

static void ranks(int n, int calls, int with_kernels)
{
    for (int r = 0; r < n; r++) {
        match_case_rank(r, n, "a", 0);
        comm[r] = match_case_communicator(r, 77, n);
        for (int i = 0; i < calls; i++) {
            int64_t at = 10000000 + 1000000 * i;
            match_case_call(r, comm[r], i, "all_gather", 1000000, at + (with_kernels ? 0 : 100000 * (r == 1)), at + 200000, 0);
            if (!with_kernels) continue;
            match_case_kernel(r, "nccl", at + 1000, at + 100000 + 200000 * (r == 1), at + 500000);
            match_case_kernel(r, "gemm", at + 2000, at + 350000, at + 600000);
        }
    }
}

static void narrow(void)
{
    int columns = 0;
    for (const char *p = got.out; *p; p++) {
        columns = *p == '\n' ? 0 : columns + ((*p & 0xc0) != 0x80);
        ck_assert_msg(columns <= 100 && (*p == '\n' || (unsigned char)*p >= ' '), "%s", got.out);
        ck_assert_msg(strncmp(p, "\342\200\246", 3), "a line was cut: %s", got.out);
    }
}

START_TEST(test_by_collective)
{
    ranks(4, 10, 1);
    match_case_run();
    CLI("report", mc.db, "--by", "collective");
    STATUS(0);
    narrow();
    HAS(got.out, "COLLECTIVES  10 on 1 communicator, of up to 4 ranks");
    HAS(got.out, "  all_gather       976.6 KiB       10    200.0 us    200.0 us   200.0 us      15.0     2.0 ms");
    HAS(got.out, "times of 10 are of NCCL's kernels");
    HAS(got.out, "rank 1 costs most: last in 100 % of collectives, others waited 2.0 ms, 100 % of all waiting");
    ck_assert_ptr_null(strstr(got.out, "!!"));
}
END_TEST

START_TEST(test_by_straggler)
{
    ranks(4, 10, 1);
    match_case_run();
    CLI("report", mc.db, "--by", "straggler");
    STATUS(0);
    narrow();
    HAS(got.out, "  rank 1                      10        10 100.0 %           2.0 ms     200.0 us            -");
    HAS(got.out, "  rank 0                      10         0   0.0 %             0 ns            -            -");
    HAS(got.out, "rank 1 costs most");
}
END_TEST

START_TEST(test_nobody_is_blamed_for_noise)
{
    ranks(2, 10, 1);
    match_case_sql("UPDATE kernel SET begin_ns = begin_ns - 195000 WHERE process_id = 2 AND name_id = 2"); /* 5 us late */
    match_case_run();
    CLI("report", mc.db, "--by", "straggler");
    HAS(got.out, "no rank stands out: the one that was last most came 5.0 us too late on average");
    ck_assert_ptr_null(strstr(got.out, "costs most"));
}
END_TEST

START_TEST(test_by_overlap)
{
    ranks(2, 10, 1);
    for (int r = 0; r < 2; r++)
        for (int i = 0; i < 10; i++) match_case_iteration(r, i, 10000000 + 1000000 * i, 10900000 + 1000000 * i);
    match_case_run();
    CLI("report", mc.db, "--by", "overlap");
    STATUS(0);
    narrow();
    HAS(got.out, "  rank 0 GPU 0          10     1.0 ms   250.0 us      400.0 us    37.5 %   250.0 us   500.0 us");
    HAS(got.out, "  rank 1 GPU 0          10     1.0 ms   250.0 us      200.0 us    75.0 %    50.0 us   700.0 us");
    HAS(got.out, "  9                          500.0 us   250.0 us      400.0 us    50.0 %   250.0 us       0 ns");
    CLI("report", mc.db, "--by", "overlap", "--rank", "1");
    ck_assert_ptr_null(strstr(got.out, "rank 0"));
    HAS(got.out, "rank 1");
}
END_TEST

/* A first step that waits for a rank must not outweigh all others in what is hidden. */
START_TEST(test_hidden_is_a_median)
{
    ranks(1, 10, 1);
    for (int i = 0; i < 10; i++) match_case_iteration(0, i, 10000000 + 1000000 * i, 10900000 + 1000000 * i);
    match_case_kernel(0, "nccl", 0, 10550000, 10890000);
    match_case_run();
    CLI("report", mc.db, "--by", "overlap");
    HAS(got.out, "  rank 0 GPU 0          10     1.0 ms   250.0 us      400.0 us    37.5 %   250.0 us");
}
END_TEST

START_TEST(test_without_kernels_the_option_is_named)
{
    ranks(2, 3, 0);
    match_case_run();
    CLI("report", mc.db, "--by", "overlap");
    HAS(got.out, "OVERLAP  not available: no kernels were recorded; record them with: vramscope run --trace kernels");
    CLI("report", mc.db, "--by", "collective");
    narrow();
    HAS(got.out, "only hand the work to the GPU; for the GPU's: run --trace kernels");
    HAS(got.out, "  all_gather       976.6 KiB        3    100.0 us    100.0 us   100.0 us         -   300.0 us");
    HAS(got.out, "rank 1 called last most: 100 % of collectives, 300.0 us behind the others; who waited is not known");
    HAS_NOT(got.out, "waited 300.0 us");
}
END_TEST

START_TEST(test_ranks_on_the_cpu)
{
    ranks(2, 3, 0);
    match_case_sql("UPDATE collective SET origin = 'nvtx'; UPDATE communicator SET device = NULL");
    match_case_run();
    CLI("report", mc.db, "--by", "collective");
    narrow();
    HAS(got.out, "times of 3 are of the calls, which return when all is done: ranks on the CPU");
    HAS(got.out, "  all_gather       976.6 KiB        3    100.0 us    100.0 us   100.0 us      10.0   300.0 us");
    CLI("report", mc.db, "--by", "overlap");
    HAS(got.out, "OVERLAP  not available: these ranks communicate on the CPU, with calls that hide nothing");
}
END_TEST

/* One process with several GPUs: it cannot be waited for by another one. */
START_TEST(test_one_process_is_no_straggler)
{
    int64_t other;
    ranks(1, 1, 1);
    other = match_case_communicator(0, 77, 2);
    match_case_sql("UPDATE communicator SET rank = 1, device = 1 WHERE id = %lld", (long long)other);
    match_case_call(0, other, 0, "all_gather", 1000000, 11500000, 11700000, 0);
    match_case_sql("UPDATE process SET world_size = NULL, rank = NULL");
    match_case_run();
    CLI("report", mc.db, "--by", "collective");
    HAS(got.out, "of up to 2 ranks");
    HAS_NOT(got.out, "costs most");
}
END_TEST

START_TEST(test_what_is_not_complete_comes_first)
{
    ranks(4, 3, 1);
    match_case_call(0, comm[0], 3, "all_reduce", 4096, 20000000, 20000010, 0);
    match_case_call(3, comm[3], 3, "all_reduce", 4096, 20000000, 0, 0);
    match_case_sql("UPDATE communicator SET name = 'a' || char(27) || '[31m'");
    match_case_run();
    CLI("report", mc.db, "--by", "collective");
    narrow();
    HAS(got.out, "!! 1 COLLECTIVE NOT COMPLETE; of each communicator the first:\n"
                 "!!   all_reduce number 3, 4.0 KiB, on a\\x1b[31m: never made by rank 1,2; never returned on rank 3\n");
    CLI("report", mc.db);
    HAS(got.out, "!! 1 COLLECTIVE NOT COMPLETE");
    HAS(got.out, "all_gather of 976.6 KiB takes most: median start skew 200.0 us, bus 15.0 GB/s (--by collective)");
    HAS(got.out, "% of communication is hidden behind compute (--by overlap)");
    ck_assert(strstr(got.out, "!! 1 COLL") < strstr(got.out, "takes most"));
}
END_TEST

START_TEST(test_what_makes_matching_doubtful_is_said)
{
    ranks(2, 2, 1);
    match_case_rank(2, 3, "b", 5);
    match_case_call(2, match_case_communicator(2, 0, 3), 0, "all_reduce", 8, 2000, 2010, 0);
    match_case_sql("INSERT INTO loss VALUES (1, 'nccl', 'pool_empty', 3)");
    match_case_run();
    CLI("report", mc.db, "--by", "collective");
    narrow();
    HAS(got.out, "!! 3 records of NCCL were lost");
    HAS(got.out, "several hosts: start skew between them is only as good as their clocks agree");
    HAS(got.out, "1 call on communicators that nothing tells apart");
}
END_TEST

/* Two jobs one after the other, and calls that one group made. */
START_TEST(test_runs_and_groups_are_said)
{
    ranks(2, 2, 1);
    match_case_call(0, comm[0], 2, "all_gather", 64, 20000000, 20000010, 9);
    match_case_call(0, comm[0], 3, "all_gather", 128, 20000010, 20000020, 9);
    match_case_call(1, comm[1], 2, "all_gather", 64, 20000000, 20000010, 9);
    match_case_call(1, comm[1], 3, "all_gather", 128, 20000010, 20000020, 9);
    match_case_run();
    CLI("report", mc.db, "--by", "collective");
    narrow();
    HAS(got.out, "calls of one group: each has the time and bandwidth of all of it; time, all: its share");
    HAS_NOT(got.out, "runs are in this database");
    match_case_rank(2, 2, "a", 5);
    match_case_communicator(2, 78, 2);
    match_case_sql("UPDATE process SET rank = 0 WHERE id = 3");
    CLI("report", mc.db, "--by", "collective");
    HAS(got.out, "2 runs are in this database, and counted together");
}
END_TEST

START_TEST(test_nothing_to_match)
{
    match_case_rank(0, 1, "a", 0);
    match_case_run();
    CLI("report", mc.db, "--by", "collective");
    STATUS(0);
    HAS(got.out, "COLLECTIVES  no collective was recorded");
}
END_TEST

/* Made by a version that did not match: everything else is still said, and ingest may go on with it. */
START_TEST(test_an_older_database)
{
    static const char *const tables[] = {"collective", "overlap", "straggler"};
    ranks(2, 2, 1);
    match_case_sql("DROP VIEW collective_by_size; DROP VIEW step_overlap; DROP VIEW straggler; DROP TABLE collective_match;"
                   "DROP TABLE step_overlap_data; DROP TABLE rank_activity; DROP TABLE process_clock");
    match_case_run();
    for (int i = 0; i < 3; i++) {
        CLI("report", mc.db, "--by", tables[i]);
        STATUS(0);
        HAS(got.out, "this database was made before collectives were matched");
    }
    CLI("report", mc.db);
    STATUS(0);
    HAS(got.out, "COLLECTIVES ");
}
END_TEST

START_TEST(test_tables_are_exported_by_query)
{
    ranks(2, 1, 1);
    match_case_run();
    CLI("query", mc.db, "SELECT op, skew_ns, bus_gbps FROM collective_match", "--format", "csv");
    ck_assert_str_eq(got.out, "op,skew_ns,bus_gbps\nall_gather,200000,5.0\n");
    CLI("query", mc.db);
    HAS(got.out, "step_overlap");
    HAS(got.out, "straggler");
}
END_TEST

Suite *make_collectives_report_suite(void)
{
    Suite *s = suite_create("collectives_report");
    TCase *t = tcase_create("collectives_report");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_by_collective);
    tcase_add_test(t, test_by_straggler);
    tcase_add_test(t, test_nobody_is_blamed_for_noise);
    tcase_add_test(t, test_by_overlap);
    tcase_add_test(t, test_hidden_is_a_median);
    tcase_add_test(t, test_without_kernels_the_option_is_named);
    tcase_add_test(t, test_ranks_on_the_cpu);
    tcase_add_test(t, test_one_process_is_no_straggler);
    tcase_add_test(t, test_what_is_not_complete_comes_first);
    tcase_add_test(t, test_what_makes_matching_doubtful_is_said);
    tcase_add_test(t, test_runs_and_groups_are_said);
    tcase_add_test(t, test_nothing_to_match);
    tcase_add_test(t, test_an_older_database);
    tcase_add_test(t, test_tables_are_exported_by_query);
    return s;
}
