/* SPDX-License-Identifier: MIT
 *
 * test_train_ranks.c: `train --shard` as a user sees it: recorded, launched in every way, and with a rank that is killed, held up, runs
 * out of memory or was started wrongly. On the CPU; it judges no time but that nothing hangs.
 */
#include <signal.h>

#include "rank_case.h"

Suite *make_train_ranks_suite(void);

/* A rank by itself, as torchrun would start it. more: further words. */
static void start(int rank, const char *world, const char *mode, const char *more, size_t room)
{
    rank_start(rank, TORCHRUN, world,
               (const char *const[]){"vramscope-workload", "train", "--shard", "--device", "cpu", "--preset", "tiny", "--mode", mode,
                                     "--patience-s", "4", more ? more : "--num-iter=3", NULL}, room);
}

START_TEST(test_recorded)
{
    static const char *const count[] = {"1", "2", "3", "4"};
    int world = _i + 1;
    if (experiment_no_nvtx()) return;
    CLI("bench", "train", "--shard", "--nproc", count[_i], "--preset", "tiny", "--device", "cpu", "--mode", "ghost_bk", "--output",
        "r.json");
    STATUS(0);
    HAS(got.out, "TRAIN  ghost_bk (book_keeping): tiny");
    HAS_NOT(got.out, "!!");
    ck_assert_int_eq(atoi(file_ask("r.json", GET("world_size"))), world);
    ck_assert_int_eq(atoi(file_ask("r.json", "SELECT json_array_length(?1, '$.ranks')")), world);
    ck_assert_int_eq(atoi(file_ask("r.json", GET("total_batch_size"))), 2 * world);
    ck_assert_str_eq(file_ask("r.json", GET("arena_mismatch")), "0");
    ck_assert_str_eq(file_ask("r.json", "SELECT MIN(value ->> 'peak_bytes') > 0 AND COUNT(DISTINCT value ->> 'pid') = COUNT(*)"
                                        " FROM json_each(?1, '$.ranks')"), "1");
    ck_assert_int_eq(bench_number("train.db", "SELECT COUNT(DISTINCT rank) FROM process WHERE ended = 'exit' AND world_size ="
                                              " (SELECT COUNT(*) FROM process) AND launcher = 'vramscope'"), world);
    ck_assert_int_eq(bench_number("train.db", "SELECT p.rank FROM experiment e JOIN process p ON p.id = e.process_id"), 0);
    /* every rank made the same collectives on the same two communicators */
    ck_assert_int_eq(bench_number("train.db", "SELECT COUNT(DISTINCT hash) FROM communicator"), 2);
    ck_assert_int_gt(bench_number("train.db", "SELECT COUNT(*) FROM collective"), 0);
    ck_assert_int_eq(bench_number("train.db", "SELECT COUNT(*) FROM (SELECT hash, sequence, op, c.bytes FROM collective c JOIN"
                                              " communicator m ON m.id = communicator_id GROUP BY 1, 2, 3, 4"
                                              " HAVING COUNT(*) <> (SELECT COUNT(*) FROM process))"), 0);
    ck_assert_int_eq(bench_number("train.db", "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log"), 0);
}
END_TEST

START_TEST(test_a_launcher_of_others)
{
    setenv("OPACUS_USE_DEFERRED_NORM", "1", 1);
    setenv("OPACUS_PROFILE_DETAILED", "1", 1);
    for (int i = 0; i < RANKS; i++) start(i, "3", "ghost", i ? NULL : "--results=r.json", 0);
    rank_finish(RANKS);
    rank_ended(0, 0, "3 ranks: ");
    ck_assert_str_eq(file_ask("r.json", GET("norm_timing")), "deferred");
    for (int i = 0; i < RANKS; i++) {
        char line[64];
        snprintf(line, sizeof line, "[Profile] Rank %d norms: ", i);
        rank_ended(i, 0, line);
        if (i) HAS_NOT(ranks[i].text, "3 ranks: "); /* one speaks for all */
    }
}
END_TEST

/* The rank with this number among the processes in this folder; 0: there is none yet. */
static pid_t find_rank(int rank)
{
    char command[256], pid[16] = "";
    snprintf(command, sizeof command,
             "for p in /proc/[0-9]*; do [ \"$(readlink $p/cwd 2>/dev/null)\" = \"$PWD\" ] &&"
             " tr '\\0' '\\n' < $p/environ 2>/dev/null | grep -qx RANK=%d && basename $p; done",
             rank);
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    if (!fgets(pid, sizeof pid, f)) pid[0] = 0;
    pclose(f);
    return atoi(pid);
}

/* Kills rank 1 so long after it is there; what the others say of it is in got.err. */
static pid_t kill_rank(int seconds)
{
    const struct timespec look = {0, 100000000}, pause = {seconds, 0};
    pid_t pid = 0, tool = cli_start((const char *const[]){"run", "-o", "k.db", "--force", "--", VS_BUILD_DIR "/bin/vramscope-workload",
                                                          "train", "--shard", "--nproc", "3", "--device", "cpu", "--preset", "tiny",
                                                          "--mode", "flash", "--num-iter", "100000", "--patience-s", "20", NULL});
    for (int i = 0; i < 10 * PATIENCE && !pid; i++) {
        nanosleep(&look, NULL);
        pid = find_rank(1);
    }
    ck_assert_int_gt(pid, 0);
    nanosleep(&pause, NULL);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    cli_wait(tool);
    return pid;
}

START_TEST(test_a_rank_is_killed)
{
    char sql[160];
    int seconds = 1;
    pid_t pid;
    if (experiment_no_nvtx()) return;
    do pid = kill_rank(seconds); /* longer, where the machine is so busy that nobody had come to a step */
    while (!strstr(got.err, "rank 1: last completed step ") && (seconds *= 3) < 30);
    ck_assert_int_ne(got.status, 0);
    HAS(got.err, "rank 1 was ended by signal 9");
    HAS(got.err, "rank 0: the job ends: rank 1 is gone");
    HAS(got.err, "rank 2: the job ends: rank 1 is gone");
    snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM process WHERE pid = %d AND rank = 1 AND ended = 'killed'", (int)pid);
    ck_assert_int_eq(bench_number("k.db", sql), 1);
    ck_assert_int_eq(bench_number("k.db", "SELECT COUNT(*) FROM process WHERE rank <> 1 AND ended = 'exit' AND exit_status = 1"), 2);
    ck_assert_int_eq(bench_number("k.db", "SELECT COUNT(DISTINCT process_id) FROM collective"), 3);
}
END_TEST

START_TEST(test_a_rank_is_held_up)
{
    struct timespec pause = {1, 0};
    do { /* longer, where the machine is so busy that nobody had come to a step */
        for (int i = 0; i < RANKS; i++) start(i, "3", "ghost_bk", "--num-iter=100000", 0);
        nanosleep(&pause, NULL);
        ck_assert_int_eq(kill(ranks[2].pid, SIGSTOP), 0);
        rank_finish(2);
        kill(ranks[2].pid, SIGKILL);
        waitpid(ranks[2].pid, &ranks[2].status, 0);
        pause.tv_sec *= 3;
    } while (!strstr(ranks[1].text, "rank 2: last completed step ") && pause.tv_sec < 30);
    rank_ended(0, 1, "rank 0: the job ends: rank ");
    rank_ended(0, 1, "within 4.0 s");
    rank_ended(1, 1, "rank 1:   rank 2: last completed step "); /* where it stands still */
    rank_ended(1, 1, "ended with the job");
}
END_TEST

START_TEST(test_a_rank_has_no_memory)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    for (int i = 0; i < RANKS; i++) start(i, "3", "vanilla", "--extra-mb=3000", i == 1 ? (size_t)2 << 30 : 0);
    rank_finish(RANKS);
    rank_ended(1, 1, "rank 1: ");
    rank_ended(1, 1, "annot allocate memory");
    rank_ended(0, 1, "rank 1 failed: ");
    rank_ended(2, 1, "rank 1 failed: ");
#endif
}
END_TEST

START_TEST(test_started_wrongly)
{
    start(0, "2", "ghost", NULL, 0);
    start(1, "3", "ghost", NULL, 0);
    rank_finish(2);
    rank_ended(0, 1, "rank 1 says 3 ranks");
    rank_ended(1, 1, "rank 1 says 3 ranks");
    start(0, "2", "ghost", NULL, 0);
    start(1, "2", "flash", NULL, 0);
    rank_finish(2);
    rank_ended(0, 1, "mode=");
    rank_ended(1, 1, "mode=");
    start(0, "2", "ghost", "--seed=8", 0);
    start(1, "2", "ghost", "--seed=9", 0);
    rank_finish(2);
    rank_ended(0, 1, "seed=");
}
END_TEST

START_TEST(test_refusals)
{
    CLI("bench", "train", "--shard", "--device", "cpu", "--norm-every", "2");
    STATUS(2);
    HAS(got.err, "breaks per-sample clipping");
    CLI("bench", "train", "--nproc", "2", "--device", "cpu");
    STATUS(2);
    HAS(got.err, "with --shard");
    CLI("bench", "train", "--shard", "--norm-timing", "later", "--device", "cpu");
    STATUS(2);
    HAS(got.err, "immediate deferred overlapped");
    setenv("RANK", "0", 1);
    setenv("WORLD_SIZE", "2", 1);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    CLI("bench", "train", "--shard", "--nproc", "2", "--device", "cpu");
    STATUS(2);
    HAS(got.err, "torchrun has started this one as rank 0 of 2: leave out --nproc");
}
END_TEST

Suite *make_train_ranks_suite(void)
{
    Suite *s = suite_create("train_ranks");
    TCase *c = tcase_create("train_ranks");
    tcase_set_timeout(c, 150);
    tcase_add_checked_fixture(c, rank_folder, cli_clean);
    tcase_add_loop_test(c, test_recorded, 0, 4);
    tcase_add_test(c, test_a_launcher_of_others);
    tcase_add_test(c, test_a_rank_is_killed);
    tcase_add_test(c, test_a_rank_is_held_up);
    tcase_add_test(c, test_a_rank_has_no_memory);
    tcase_add_test(c, test_started_wrongly);
    tcase_add_test(c, test_refusals);
    suite_add_tcase(s, c);
    return s;
}
