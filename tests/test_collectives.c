/* SPDX-License-Identifier: MIT
 *
 * test_collectives.c: collectives matched across ranks, with answers worked out by hand: skew, duration, bandwidth, who came
 * last, who never came; several communicators, groups, hosts.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest_case.h"
#include "match_case.h"

Suite *make_collectives_suite(void);

#define INT(sql, expected)                                                                                             \
    ck_assert_msg(match_case_int(sql) == (int64_t)(expected), "%s: %lld, not %lld", sql, (long long)match_case_int(sql),      \
                  (long long)(expected))
#define TEXT(sql, expected) ck_assert_str_eq(match_case_text(sql), expected)

static int64_t comm[8];

static void ranks(int n)
{
    for (int r = 0; r < n; r++) {
        match_case_rank(r, n, "a", 0);
        comm[r] = match_case_communicator(r, 77, n);
    }
}

/* Called at `call` for 10 ns; the kernel runs from begin to end. */
static void collective(int rank, int sequence, const char *op, int64_t bytes, int64_t call, int64_t begin, int64_t end)
{
    match_case_call(rank, comm[rank], sequence, op, bytes, call, call + 10, 0);
    match_case_kernel(rank, "nccl", call + 5, begin, end);
}

START_TEST(test_times_are_of_kernels)
{
    ranks(2);
    collective(0, 0, "all_gather", 1000, 2000, 3000, 5000);
    collective(1, 0, "all_gather", 1000, 9000, 3500, 5010); /* the calls' times say the opposite of the kernels' */
    match_case_run();
    TEXT("SELECT op, bytes, ranks_expected, ranks_recorded, ranks_seen, missing, unfinished, unreported, differs, times,"
         " first_start_ns, last_start_ns, end_ns, skew_ns, duration_ns, last_rank, late_ns, grouped FROM collective_match",
         "all_gather|1000|2|2|2|-|-|-|0|kernel|3000|3500|5010|500|1510|1|500|1");
    ck_assert_double_eq_tol(match_case_real("SELECT alg_gbps FROM collective_match"), 2000 / 1510.0, 1e-9);
    ck_assert_double_eq_tol(match_case_real("SELECT bus_gbps FROM collective_match"), 1000 / 1510.0, 1e-9);
}
END_TEST

START_TEST(test_bandwidth_of_each_operation)
{
    static const struct {
        const char *op;
        double all, factor; /* of bytes on 4 ranks, as NCCL publishes them */
    } known[] = {{"all_reduce", 1, 1.5},     {"all_gather", 4, 0.75}, {"reduce_scatter", 4, 0.75}, {"broadcast", 1, 1},
                 {"reduce", 1, 1}, {"all_to_all", 4, 0.75}, {"gather", 4, 0.75},         {"scatter", 4, 0.75}};
    char sql[128];
    ranks(4);
    for (int i = 0; i < 8; i++)
        for (int r = 0; r < 4; r++) collective(r, i, known[i].op, 8000, 2000 + 1000 * i, 2100 + 1000 * i + r, 2603 + 1000 * i);
    match_case_run();
    for (int i = 0; i < 8; i++) {
        snprintf(sql, sizeof sql, "SELECT alg_gbps FROM collective_match WHERE op = '%s'", known[i].op);
        ck_assert_double_eq_tol(match_case_real(sql), known[i].all * 8000 / 500, 1e-9);
        snprintf(sql, sizeof sql, "SELECT bus_gbps FROM collective_match WHERE op = '%s'", known[i].op);
        ck_assert_double_eq_tol(match_case_real(sql), known[i].all * known[i].factor * 8000 / 500, 1e-9);
    }
}
END_TEST

START_TEST(test_the_late_rank_pays)
{
    static const int64_t begin[3][4] = {{100, 110, 120, 900}, {100, 700, 120, 130}, {100, 100, 100, 950}};
    ranks(4);
    for (int i = 0; i < 3; i++)
        for (int r = 0; r < 4; r++) collective(r, i, "all_reduce", 8, 10000 * i + 2000, 10000 * i + 3000 + begin[i][r], 10000 * i + 5000);
    match_case_run();
    TEXT("SELECT last_rank, skew_ns, late_ns FROM collective_match ORDER BY sequence", "3|800|790,1|600|580,3|850|850");
    TEXT("SELECT rank, collectives, last, late_ns, max_late_ns FROM straggler ORDER BY rank",
         "0|3|0|0|-,1|3|1|580|580,2|3|0|0|-,3|3|2|1640|850");
}
END_TEST

START_TEST(test_who_never_came_and_who_never_returned)
{
    ranks(4);
    for (int r = 0; r < 4; r++) collective(r, 0, "all_reduce", 8, 2000, 3000 + r, 4000);
    for (int r = 0; r < 4; r++)
        if (r != 2) match_case_call(r, comm[r], 1, "all_reduce", 8, 5000, r == 3 ? 0 : 5010, 0);
    match_case_run();
    TEXT("SELECT sequence, ranks_seen, missing, unfinished, duration_ns IS NULL, bus_gbps IS NULL FROM collective_match ORDER BY sequence",
         "0|4|-|-|0|0,1|3|2|3|1|1");
    INT("SELECT incomplete FROM collective_by_size", 1);
}
END_TEST

START_TEST(test_what_a_killed_rank_did_not_report)
{
    ranks(3);
    match_case_sql("UPDATE process SET ended = 'killed' WHERE rank > 0");
    for (int r = 0; r < 3; r++) collective(r, 0, "all_reduce", 8, 2000, 3000, 4000);
    for (int r = 0; r < 3; r++) match_case_call(r, comm[r], 1, "all_reduce", 8, 5000, 5010, 0);
    match_case_run();
    TEXT("SELECT unreported, times, end_ns FROM collective_match ORDER BY sequence", "-|kernel|4000,1,2|enqueue|-");
}
END_TEST

START_TEST(test_different_operations_under_one_number)
{
    ranks(2);
    collective(0, 0, "all_gather", 8, 2000, 3000, 4000);
    collective(1, 0, "all_reduce", 8, 2000, 3000, 4000);
    collective(0, 1, "all_reduce", 8, 5000, 6000, 7000);
    collective(1, 1, "all_reduce", 16, 5000, 6000, 7000);
    match_case_run();
    TEXT("SELECT differs, end_ns FROM collective_match ORDER BY sequence", "1|-,1|-");
}
END_TEST

START_TEST(test_lists_of_ranks)
{
    for (int r = 0; r < 8; r++) {
        match_case_rank(r, 8, "a", 0);
        comm[r] = match_case_communicator(r, 5, 8);
    }
    for (int r = 0; r < 8; r += 7) match_case_call(r, comm[r], 0, "all_reduce", 8, 2000, 2010, 0);
    for (int r = 1; r < 8; r += 3) match_case_call(r, comm[r], 1, "all_reduce", 8, 3000, 3010, 0);
    match_case_run();
    TEXT("SELECT missing FROM collective_match ORDER BY sequence", "1-6,0,2,3,5,6");
}
END_TEST

START_TEST(test_calls_of_a_group_share_a_kernel)
{
    ranks(2);
    for (int r = 0; r < 2; r++) {
        match_case_call(r, comm[r], 0, "all_gather", 1000, 2000, 2100, 9);
        match_case_call(r, comm[r], 1, "all_gather", 3000, 2010, 2100, 9);
        match_case_kernel(r, "nccl", 2090, 3000 + 100 * r, 4100);
        collective(r, 2, "all_gather", 1000, 5000, 6000, 7000); /* alone again */
    }
    match_case_run();
    TEXT("SELECT sequence, grouped, skew_ns, duration_ns FROM collective_match ORDER BY sequence", "0|2|100|1000,1|2|100|1000,2|1|0|1000");
    ck_assert_double_eq_tol(match_case_real("SELECT alg_gbps FROM collective_match WHERE sequence = 0"), 8.0, 1e-9);
    ck_assert_double_eq_tol(match_case_real("SELECT bus_gbps FROM collective_match WHERE sequence = 1"), 4.0, 1e-9);
    ck_assert_double_eq_tol(match_case_real("SELECT alg_gbps FROM collective_match WHERE sequence = 2"), 2.0, 1e-9);
    INT("SELECT SUM(duration_ns) FROM collective_by_size", 2000); /* a shared kernel's time once */
}
END_TEST

START_TEST(test_communicators_do_not_mix)
{
    int64_t other[2];
    ranks(2);
    for (int r = 0; r < 2; r++) other[r] = match_case_communicator(r, 78, 2);
    for (int r = 0; r < 2; r++) {
        collective(r, 0, "all_reduce", 8, 2000, 3000 + 10 * r, 4000);
        match_case_call(r, other[r], 0, "all_gather", 16, 5000, 5010, 0);
        match_case_kernel(r, "nccl", 5005, 6000 + 70 * r, 7000);
    }
    match_case_run();
    TEXT("SELECT op, bytes, skew_ns, differs FROM collective_match ORDER BY op", "all_gather|16|70|0,all_reduce|8|10|0");
    INT("SELECT COUNT(DISTINCT team) FROM collective_match", 2);
}
END_TEST

/* Kernels that other threads launch meanwhile, and before and after it, are other calls'. */
START_TEST(test_a_call_has_its_own_kernels)
{
    ranks(2);
    for (int r = 0; r < 2; r++) {
        collective(r, 0, "all_reduce", 8, 2000, 3000, 4000);
        match_case_kernel(r, "nccl", 2006, 100, 9000);
        match_case_sql("UPDATE kernel SET thread_id = 99 WHERE begin_ns = 100");
        match_case_kernel(r, "nccl", 1999, 200, 9000);
        match_case_kernel(r, "nccl", 2011, 300, 9000);
        match_case_kernel(r, "gemm", 2007, 400, 9000);
    }
    match_case_run();
    TEXT("SELECT first_start_ns, end_ns FROM collective_match", "3000|4000");
}
END_TEST

/* A program that makes the same communicator twice, one after the other. */
START_TEST(test_a_communicator_made_again)
{
    ranks(2);
    for (int r = 0; r < 2; r++) collective(r, 0, "all_reduce", 8, 2000, 3000, 4000);
    for (int r = 0; r < 2; r++) {
        comm[r] = match_case_communicator(r, 77, 2);
        match_case_sql("UPDATE communicator SET created_ns = 5000 WHERE id = %lld", (long long)comm[r]);
        collective(r, 0, "all_reduce", 8, 6000, 7000 + 20 * r, 8000);
    }
    match_case_run();
    TEXT("SELECT team, ranks_recorded, ranks_seen, skew_ns FROM collective_match ORDER BY team", "1|2|2|0,2|2|2|20");
}
END_TEST

/* Of the first run rank 1 was not recorded, of the second rank 0: they never met. */
START_TEST(test_ranks_that_never_met)
{
    ranks(2);
    match_case_sql("UPDATE process SET start_ns = 2000000000, start_real_ns = 2000000000, end_ns = 3000000000 WHERE id = 2;"
                   "UPDATE communicator SET created_ns = 2000001000 WHERE process_id = 2");
    collective(0, 0, "all_reduce", 8, 2000, 3000, 4000);
    collective(1, 0, "all_reduce", 8, 2000002000, 2000003000, 2000004000);
    match_case_run();
    TEXT("SELECT ranks_expected, ranks_recorded, missing FROM collective_match", "2|1|-,2|1|-");
}
END_TEST

/* Two runs of one program in one database, whose communicators have the same hash; in the second one rank is missing. */
START_TEST(test_a_hash_that_comes_again)
{
    ranks(2);
    for (int r = 2; r < 4; r++) {
        match_case_rank(r, 2, "a", 0);
        comm[r] = match_case_communicator(r, 77, 2);
        match_case_sql("UPDATE process SET rank = %d, start_ns = 2000000000, start_real_ns = 2000000000, end_ns = 3000000000 WHERE id = %d",
                       r - 2, r + 1);
        match_case_sql("UPDATE communicator SET rank = %d, created_ns = 2000001000 WHERE id = %lld", r - 2, (long long)comm[r]);
    }
    for (int r = 0; r < 4; r++)
        if (r != 1) collective(r, 0, "all_reduce", 8, 2000 + r / 2 * 2000000000LL, 3000 + r / 2 * 2000000000LL, 4000 + r / 2 * 2000000000LL);
    match_case_run();
    TEXT("SELECT ranks_seen, missing FROM collective_match ORDER BY team", "1|1,2|-");
}
END_TEST

START_TEST(test_one_host_has_one_clock)
{
    match_case_rank(0, 3, "a", 0);
    match_case_rank(1, 3, "a", 123456); /* CLOCK_REALTIME was set in between: no matter */
    match_case_rank(2, 3, "b", 500);    /* its clock was 500 ns behind in the calendar's time */
    match_case_rank(3, 3, "b", 900);
    for (int r = 0; r < 4; r++) comm[r] = match_case_communicator(r, 77, 4);
    for (int r = 0; r < 4; r++) collective(r, 0, "all_reduce", 8, 2000, 3000 + 10 * r, 4000);
    match_case_run();
    TEXT("SELECT offset_ns, basis FROM process_clock ORDER BY process_id", "0|host,0|host,500|calendar,500|calendar");
    TEXT("SELECT first_start_ns, last_start_ns, end_ns, last_rank FROM collective_match", "3000|3530|4500|3");
}
END_TEST

START_TEST(test_without_kernels)
{
    ranks(2);
    for (int r = 0; r < 2; r++) {
        match_case_call(r, comm[r], 0, "all_reduce", 1000, 2000 + 300 * r, 3300, 0);
        match_case_call(r, comm[r], 1, "all_reduce", 1000, 4000 + 300 * r, 5300, 0);
    }
    match_case_sql("UPDATE collective SET origin = 'nvtx' WHERE sequence = 1");
    match_case_sql("UPDATE communicator SET device = NULL");
    match_case_run();
    TEXT("SELECT times, skew_ns, duration_ns, alg_gbps, bus_gbps FROM collective_match ORDER BY sequence",
         "enqueue|300|1000|-|-,call|300|1000|1.0|1.0");
    INT("SELECT COUNT(*) FROM step_overlap_data", 0);
    INT("SELECT SUM(communication_ns) FROM rank_activity WHERE process_id = 1 AND device = -1", 1300); /* handing work over is not communication */
}
END_TEST

START_TEST(test_without_a_hash_nothing_is_matched)
{
    for (int r = 0; r < 2; r++) {
        match_case_rank(r, 2, "a", 0);
        comm[r] = match_case_communicator(r, 0, 2);
        collective(r, 0, "all_reduce", 8, 2000, 3000, 4000);
    }
    match_case_run();
    INT("SELECT COUNT(*) FROM collective_match", 0);
    INT("SELECT communication_ns FROM step_overlap WHERE process_id = 1", 1000); /* that needs no other rank */
}
END_TEST

START_TEST(test_again_is_the_same_and_more_ranks_join)
{
    char *before;
    ranks(2);
    match_case_sql("DELETE FROM ingest_state WHERE process_id = 2"); /* not read yet */
    match_case_sql("UPDATE communicator SET hash = 1 WHERE process_id = 2");
    collective(0, 0, "all_reduce", 8, 2000, 3000, 4000);
    collective(1, 0, "all_reduce", 8, 2000, 3100, 4000);
    match_case_run();
    TEXT("SELECT ranks_recorded, last_rank FROM collective_match WHERE hash = 77", "1|-");
    match_case_sql("UPDATE communicator SET hash = 77");
    match_case_sql("INSERT INTO ingest_state VALUES (2, 'log_at', 4096)");
    match_case_run();
    TEXT("SELECT ranks_recorded, skew_ns, last_rank FROM collective_match WHERE hash = 77", "2|100|1");
    before = strdup(match_case_text("SELECT * FROM collective_match, step_overlap_data, rank_activity"));
    match_case_run();
    TEXT("SELECT * FROM collective_match, step_overlap_data, rank_activity", before);
    INT("SELECT COUNT(*) FROM step_overlap_data", 2);
    free(before);
}
END_TEST

/* From the log of each rank: ingest finds launches, groups and communicators itself. */
static void write_rank(struct ingest_case *c, int rank)
{
    struct vs_log_writer_options o = {.run = c->run, .memory = c->memory, .pid = 4242 + (uint32_t)rank, .start_ns = 1000 + (uint64_t)rank};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    struct vs_rec_comm *m;
    uint32_t correlation = 0;
    vs_put_meta(w, "rank", rank ? "1" : "0");
    vs_put_meta(w, "world_size", "2");
    vs_put_string(w, 1, 1, "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)");
    vs_put_string(w, 1, 2, "gemm");
    m = vs_log_writer_add(w, 1, VS_K_COMM, sizeof *m, VS_COMM_CREATE, 0);
    *m = (struct vs_rec_comm){.h = m->h, .seq = vs_log_writer_seq(w), .ts_ns = 1500, .comm = 0xc0, .id_hash = 5, .nranks = 2, .rank = rank};
    for (uint64_t i = 0; i < 50; i++) {
        uint64_t ts = 2000 + 1000 * i, group = i % 5 ? 0 : 1000 + i;
        vs_put_coll(w, 1, i + 1, 0xc0, VS_COLL_ALL_REDUCE, group, ts);
        vs_put_launch(w, 1, ++correlation, 0, ts + 5);
        vs_put_coll_end(w, 1, group ? group : i + 1, group != 0, 0, ts + 10);
        vs_put_kernel(w, 2, 0, correlation, 1, ts + 100 + 40 * (uint64_t)rank, ts + 500);
        vs_put_launch(w, 1, ++correlation, 0, ts + 50);
        vs_put_kernel(w, 2, 0, correlation, 2, ts + 300, ts + 800);
    }
    vs_log_writer_close(w, VS_WRITER_EXIT);
}

START_TEST(test_from_logs)
{
    struct ingest_case c;
    char *text;
    case_make(&c);
    for (int r = 0; r < 2; r++) write_rank(&c, r);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM collective_match WHERE times = 'kernel' AND skew_ns = 40 AND duration_ns = 360 AND last_rank = 1", 50);
    text = case_text(c.db, "SELECT rank, compute_ns, communication_ns, hidden_ns, exposed_ns, idle_ns FROM step_overlap ORDER BY rank");
    ck_assert_str_eq(text, "0|25000|20000|10000|10000|14700,1|25000|18000|10000|8000|16660");
    free(text);
    case_balanced(c.db);
    case_remove(&c);
}
END_TEST

Suite *make_collectives_suite(void)
{
    Suite *s = suite_create("collectives");
    TCase *t = tcase_create("collectives");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, match_case_begin, match_case_end);
    tcase_add_test(t, test_times_are_of_kernels);
    tcase_add_test(t, test_bandwidth_of_each_operation);
    tcase_add_test(t, test_the_late_rank_pays);
    tcase_add_test(t, test_who_never_came_and_who_never_returned);
    tcase_add_test(t, test_what_a_killed_rank_did_not_report);
    tcase_add_test(t, test_different_operations_under_one_number);
    tcase_add_test(t, test_lists_of_ranks);
    tcase_add_test(t, test_calls_of_a_group_share_a_kernel);
    tcase_add_test(t, test_communicators_do_not_mix);
    tcase_add_test(t, test_a_call_has_its_own_kernels);
    tcase_add_test(t, test_a_communicator_made_again);
    tcase_add_test(t, test_ranks_that_never_met);
    tcase_add_test(t, test_a_hash_that_comes_again);
    tcase_add_test(t, test_one_host_has_one_clock);
    tcase_add_test(t, test_without_kernels);
    tcase_add_test(t, test_without_a_hash_nothing_is_matched);
    tcase_add_test(t, test_again_is_the_same_and_more_ranks_join);
    tcase_add_test(t, test_from_logs);
    return s;
}
