/* SPDX-License-Identifier: MIT
 *
 * test_bench_ranks.c: `bench` started by a launcher once for each rank: one job, one database, one result.
 */
#include <signal.h>

#include "rank_case.h"

Suite *make_bench_ranks_suite(void);

#define TRAIN "vramscope", "bench", "train", "--shard", "--preset", "tiny", "--device", "cpu", "--patience-s", "10"
#define NORMS                                                                                                          \
    "vramscope", "bench", "fsdp-norms", "--device", "cpu", "--num-layers", "1", "--hidden-dim", "32", "--seq-len",     \
        "8", "--vocab-size", "64"

static void count(const char *db, const char *condition, int expected)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM process WHERE %s", condition);
    ck_assert_msg(bench_number(db, sql) == expected, "%s: not %d", sql, expected);
}

START_TEST(test_train)
{
    if (experiment_no_nvtx()) return;
    for (int i = 0; i < RANKS; i++)
        rank_start(i, _i, "3", (const char *const[]){TRAIN, "--output", "r.json", "--results", "own.json", NULL}, 0);
    rank_finish(RANKS);
    rank_ended(0, 0, "next: vramscope report train.db --by category");
    for (int i = 1; i < RANKS; i++) {
        rank_ended(i, 0, "");
        ck_assert_str_eq(ranks[i].text, "");
    }
    count("train.db", "ended = 'exit' AND world_size = 3 AND launcher <> 'vramscope'", 3);
    ck_assert_int_eq(bench_number("train.db", "SELECT COUNT(*) FROM experiment"), 1);
    ck_assert_int_eq(bench_number("train.db", "SELECT rank FROM process WHERE id = (SELECT process_id FROM experiment)"), 0);
    ck_assert_str_eq(file_ask("r.json", GET("status")), "ok");
    ck_assert_int_eq(access("own.json", F_OK), 0);
    ck_assert_int_ne(access("train.db.log", F_OK), 0);
    ck_assert_int_ne(access("train-2.db", F_OK), 0);
}
END_TEST

static const struct timespec look = {0, 20000000};

/* Two ranks, of which 1 has ended, and somebody who records into the same database until there is a file `go`: another rank, as far as
 * rank 0 can tell. */
static pid_t start_beside_another(void)
{
    pid_t other =
        cli_start((const char *const[]){"run", "-o", "train.db", "--", "sh", "-c", "until [ -e go ]; do sleep 0.1; done", NULL});
    for (int i = 0; i < 1000 && access("train.db.log/lock", F_OK); i++) nanosleep(&look, NULL);
    for (int i = 0; i < 2; i++) rank_start(i, TORCHRUN, "2", (const char *const[]){TRAIN, NULL}, 0);
    ck_assert_int_eq(waitpid(ranks[1].pid, &ranks[1].status, 0), ranks[1].pid);
    return other;
}

START_TEST(test_rank_0_waits)
{
    pid_t other;
    if (experiment_no_nvtx()) return;
    other = start_beside_another();
    nanosleep(&(struct timespec){1, 0}, NULL);
    ck_assert_int_eq(waitpid(ranks[0].pid, &ranks[0].status, WNOHANG), 0);
    ck_assert_int_eq(close(open("go", O_WRONLY | O_CREAT, 0600)), 0);
    cli_wait(other);
    ck_assert_int_eq(waitpid(ranks[0].pid, &ranks[0].status, 0), ranks[0].pid);
    cli_read(ranks[0].out, ranks[0].text, sizeof ranks[0].text);
    rank_ended(0, 0, "next: vramscope report train.db --by category");
    count("train.db", "ended = 'exit'", 2);
}
END_TEST

/* Whoever asks it to end is heard while it waits. */
START_TEST(test_rank_0_is_told_to_end)
{
    pid_t other;
    if (experiment_no_nvtx()) return;
    other = start_beside_another();
    time_t end = time(NULL) + PATIENCE;
    do {
        ck_assert_int_lt(time(NULL), end);
        ck_assert_int_eq(kill(ranks[0].pid, SIGTERM), 0);
        nanosleep(&look, NULL);
    } while (!waitpid(ranks[0].pid, &ranks[0].status, WNOHANG));
    cli_read(ranks[0].out, ranks[0].text, sizeof ranks[0].text);
    ck_assert_msg(WIFEXITED(ranks[0].status) && WEXITSTATUS(ranks[0].status), "%x: %s", ranks[0].status, ranks[0].text);
    ck_assert_int_eq(close(open("go", O_WRONLY | O_CREAT, 0600)), 0);
    cli_wait(other);
    ck_assert_int_gt(bench_number("train.db", "SELECT COUNT(*) FROM process"), 0);
}
END_TEST

START_TEST(test_fsdp_norms)
{
    if (experiment_no_nvtx()) return;
    for (int i = 0; i < 2; i++)
        rank_start(i, TORCHRUN, "2", (const char *const[]){NORMS, "--output", "r.json", _i ? "--fault" : NULL, "scale", NULL}, 0);
    rank_finish(2);
    rank_ended(0, _i, _i ? "CORRECTNESS TEST FAILED\nnext: vramscope report fsdp-norms.db --by rank\n"
                         : "CORRECTNESS TEST PASSED\nnext: vramscope report fsdp-norms.db --by rank\n");
    rank_ended(1, _i, "");
    HAS_NOT(ranks[1].text, "vramscope");
    count("fsdp-norms.db", "ended = 'exit' AND world_size = 2", 2);
    ck_assert_int_eq(access("r.json", F_OK), 0);
}
END_TEST

/* What a job before has left is nobody's to guess a name beside. */
START_TEST(test_a_second_job)
{
    static const char *const more[] = {NULL, "--append", "--force"};
    static const int processes[] = {2, 4, 2};
    if (experiment_no_nvtx()) return;
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 2; i++) rank_start(i, TORCHRUN, "2", (const char *const[]){NORMS, more[k], NULL}, 0);
        rank_finish(2);
        rank_ended(0, 0, "next: vramscope report fsdp-norms.db --by rank");
        count("fsdp-norms.db", "ended = 'exit'", processes[k]);
    }
    for (int i = 0; i < 2; i++) rank_start(i, TORCHRUN, "2", (const char *const[]){NORMS, NULL}, 0);
    rank_finish(2);
    rank_ended(0, 1, "exists; --force replaces it, --append adds");
    rank_ended(1, 1, "exists; --force replaces it, --append adds");
}
END_TEST

Suite *make_bench_ranks_suite(void)
{
    Suite *s = suite_create("bench_ranks");
    TCase *c = tcase_create("bench_ranks");
    tcase_set_timeout(c, 150);
    tcase_add_checked_fixture(c, rank_folder, cli_clean);
    tcase_add_loop_test(c, test_train, 0, LAUNCHERS);
    tcase_add_test(c, test_rank_0_waits);
    tcase_add_test(c, test_rank_0_is_told_to_end);
    tcase_add_loop_test(c, test_fsdp_norms, 0, 2);
    tcase_add_test(c, test_a_second_job);
    suite_add_tcase(s, c);
    return s;
}
