/* SPDX-License-Identifier: MIT
 *
 * test_suite.c: `vramscope suite` as a user sees it, around a stand-in for the workload (tests/programs/train_workload.c) that can be
 * made to fail, and once around the real one. It judges no time.
 */
#include "experiment_case.h"

#include <glob.h>
#include <signal.h>
#include <time.h>

Suite *make_suite_suite(void);

/* The n-th that matches, "": none. */
static const char *found(const char *pattern, unsigned n)
{
    static char path[4][PATH_MAX];
    static unsigned turn;
    char *out = path[turn++ % 4];
    glob_t g = {0};
    *out = 0;
    if (!glob(pattern, 0, NULL, &g) && n < g.gl_pathc) snprintf(out, PATH_MAX, "%s", g.gl_pathv[n]);
    globfree(&g);
    return out;
}

static const char *in_run(const char *name)
{
    char pattern[256];
    snprintf(pattern, sizeof pattern, "*/run_*/%s", name);
    return found(pattern, 0);
}

START_TEST(test_every_experiment_at_every_length)
{
    if (experiment_no_nvtx()) return;
    CLI("suite", "--experiments", "vanilla,ghost,auto", "--seq-len=64,128", "-o", "out/of runs", "--preset", "p");
    STATUS(0);
    HAS(got.err, "[1/6] vanilla T=64 ... ");
    HAS(got.err, "[5/6] ghost T=128 ... ");
    HAS(got.err, " s, about ");
    HAS(got.err, " left\n");
    HAS(got.out, "SUMMARY  'out/of runs/run_");
    HAS(got.out, "\n  auto T=64: Peak Memory = 7.00 MB, Avg Time = 2.80 ms\n");
    HAS(got.out, "\n  vanilla T=128: Peak Memory = 10.00 MB, Avg Time = 2.80 ms\n");
    HAS(got.out, "\nfigures: 'out/of runs/run_");
    HAS(got.out, "\nnext: vramscope export 'out/of runs/run_");
    CLI("query", found("out/*/run_*", 0), "SELECT COUNT(*) AS n FROM experiment", "--format", "csv");
    STATUS(0);
    ck_assert_str_eq(got.out, "n\n6\n"); /* the folder stands for its suite.db */
    for (int i = 0; i < 6; i++) {
        const char *json = found("out/*/*/*_result.json", (unsigned)i);
        ck_assert_str_eq(file_ask(json, ADDS_UP), "1");
        ck_assert_str_eq(file_ask(json, GET("arena_mismatch") " || json_extract(?1, '$.recording')"), "0suite.db");
        ck_assert_str_eq(
            file_ask(json, GET("config.seq_len") " IN (64, 128) AND json_extract(?1, '$.config.preset') = 'p'"), "1");
    }
    ck_assert(*found("out/*/*/ghost_seq128_result.json", 0));
    ck_assert_str_eq(found("out/*/*/*_result.json", 6), "");
    HAS(found("out/*/*/ghost_seq128.log", 0), "run_");
    ck_assert_int_eq(bench_number(found("out/*/*/suite.db", 0), "SELECT COUNT(DISTINCT process_id) FROM experiment"),
                     6);
    ck_assert(*found("out/*/*/visualizations/summary.txt", 0));
    ck_assert_str_eq(found("out/*/*/*.part", 0), "");
    ck_assert_str_eq(found("out/*/*/*.workload.json", 0), "");
}
END_TEST

START_TEST(test_one_that_fails_stops_no_other)
{
    if (experiment_no_nvtx()) return;
    setenv("FAKE_FAIL", "ghost", 1);
    setenv("FAKE_REASON", "heads do not divide\\u001b[31m", 1);
    setenv("FAKE_KILL", "flash_clip", 1);
    setenv("FAKE_DAMAGE", "micro", 1);
    setenv("FAKE_SILENT", "fuse", 1);
    setenv("FAKE_ABSENT", "explicit", 1);
    CLI("suite", "--experiments", "ghost,flash_clip,micro,fuse,vanilla,explicit", "--num-iter", "1");
    STATUS(1);
    HAS(got.out, "\n  ghost: FAILED (heads do not divide\\x1b[31m)\n");
    HAS(got.out, "\n  flash_clip: FAILED (killed by signal 9)\n");
    HAS(got.out, "\n  micro: FAILED (");
    HAS(got.out, "micro.workload.json is not a result");
    HAS(got.out, "\n  fuse: FAILED (the workload ended in order but wrote no results)\n");
    HAS(got.out, "\n  vanilla: Peak Memory = 7.00 MB, Avg Time = 2.80 ms\n");
    HAS(got.out, "\n  explicit: FAILED (train: there is no such device)\n");
    HAS(got.out, "\nnext: vramscope suite --resume memory_profiling_results/run_");
    HAS(got.out, " --experiments ghost,flash_clip,micro,fuse,vanilla,explicit --num-iter 1\n");
    HAS(got.err, "[2/6] flash_clip ... FAILED after ");
    HAS(got.err, ": killed by signal 9\n");
    ck_assert_str_eq(file_ask(in_run("flash_clip_result.json"), GET("status")), "failed");
    ck_assert_str_eq(file_ask(in_run("ghost_result.json"), GET("reason")), "heads do not divide\033[31m");
    ck_assert(*in_run("micro.workload.json") && !*in_run("fuse.workload.json"));
    ck_assert(*found("*/*/visualizations/summary.txt", 0));
}
END_TEST

START_TEST(test_resume_does_what_is_missing)
{
    char run[PATH_MAX], before[64];
    if (experiment_no_nvtx()) return;
    setenv("FAKE_KILL", "ghost", 1);
    CLI("suite", "-o", "r", "--batch-size", "4");
    STATUS(1);
    unsetenv("FAKE_KILL");
    snprintf(run, sizeof run, "%s", found("r/run_*", 0));
    snprintf(before, sizeof before, "%s", file_ask(in_run("vanilla_result.json"), GET("pid")));
    CLI("suite", "-o", "r", "--resume", "--batch-size", "5");
    STATUS(2);
    HAS(got.err, "vanilla_result.json was made with other options (then --batch-size=4, now --batch-size=5)");
    CLI("suite", "--resume", run, "--batch_size", "4", "--seq-len", "64");
    STATUS(2);
    HAS(got.err, "(now --seq-len=64)");
    CLI("suite", "--resume", run, "--batch-size", "4", "--trace", "api");
    STATUS(2); /* their times are not alike */
    HAS(got.err, "vanilla_result.json was made with other options (then --trace memory)");
    setenv("FAKE_UNRECORDED", "ghost", 1);
    CLI("suite", "--resume", run, "--batch-size", "4");
    STATUS(1);
    HAS(got.out, "\n  ghost: FAILED (the workload was not recorded: ");
    unsetenv("FAKE_UNRECORDED");
    bench_write(in_run("auto_result.json"), "{\"experiment\":\"auto\",\"sta"); /* not whole */
    CLI("suite", "--batch-size", "4", "-o", "r", "--resume");
    STATUS(0);
    HAS(got.err, "[1/4] vanilla ... done before\n[2/4] ghost ... ");
    HAS(got.err, "[3/4] flash_clip ... done before\n[4/4] auto ... ");
    HAS(got.out, "\n  vanilla: Peak Memory = 7.00 MB, Avg Time = 2.80 ms\n  ghost: Peak");
    ck_assert_str_eq(file_ask(in_run("vanilla_result.json"), GET("pid")), before);
    ck_assert_str_eq(file_ask(in_run("auto_result.json"), ADDS_UP), "1");
    ck_assert_str_eq(found("r/run_*", 1), "");
}
END_TEST

/* The database keeps the failure; whoever reads it wants what came of the experiment in the end. */
START_TEST(test_a_failure_that_was_run_again_is_over)
{
    char db[PATH_MAX];
    if (experiment_no_nvtx()) return;
    setenv("FAKE_KILL", "ghost", 1);
    CLI("suite", "-o", "r", "--experiments", "vanilla,ghost,micro");
    STATUS(1);
    setenv("FAKE_KILL", "micro", 1);
    CLI("suite", "-o", "r", "--experiments", "vanilla,ghost,micro", "--resume");
    STATUS(0);
    snprintf(db, sizeof db, "%s", in_run("suite.db"));
    ck_assert_int_eq(bench_number(db, "SELECT COUNT(*) FROM experiment"), 4);
    CLI("suite", "-o", "other", "--experiments", "vanilla,ghost");
    STATUS(0);
    CLI("check", "--baseline", db, "--current", found("other/*/suite.db", 0));
    STATUS(1);
    HAS(got.out, "\nmissing  micro"); /* it succeeded once */
    HAS(got.out, "\nok       ghost");
    HAS_NOT(got.out, "skipped");
    CLI("check", "--baseline", found("other/*/suite.db", 0), "--current", db);
    STATUS(0);
    HAS_NOT(got.out, "failed");
}
END_TEST

START_TEST(test_what_a_result_is_in_doubt_of_is_said)
{
    if (experiment_no_nvtx()) return;
    setenv("FAKE_LIE", "ghost", 1);
    CLI("suite", "-o", "r", "--experiments", "ghost,vanilla");
    STATUS(0);
    HAS(got.out, " ms\n    !! the recording and the arena's own count of live bytes differ: see snapshots in the result\n"
                 "  vanilla: Peak Memory = 7.00 MB, Avg Time = 2.80 ms\nfigures: ");
    ck_assert_int_eq(system("sed 's/\"losses_of_recording\": null/\"losses_of_recording\": \"nvtx pool_empty 3\"/' "
                            "r/*/vanilla_result.json > old.json && cp old.json r/*/vanilla_result.json"),
                     0);
    CLI("suite", "-o", "r", "--experiments", "ghost,vanilla", "--resume");
    STATUS(0);
    HAS(got.out, "    !! the recording and the arena's own count");
    HAS(got.out, "Avg Time = 2.80 ms\n    !! lost while recording: nvtx pool_empty 3\nfigures: ");
}
END_TEST

/* A suite of three whose second one does not end. */
static pid_t start_endless(void)
{
    const struct timespec moment = {0, 10000000};
    setenv("FAKE_SLEEP", "ghost", 1);
    pid_t pid = cli_start((const char *const[]){"suite", "--experiments", "vanilla,ghost,auto", NULL});
    for (int i = 0; i < 3000 && !cli_exists("asleep"); i++) nanosleep(&moment, NULL);
    ck_assert(cli_exists("asleep"));
    unsetenv("FAKE_SLEEP");
    return pid;
}

START_TEST(test_a_run_belongs_to_one_suite_at_a_time)
{
    if (experiment_no_nvtx()) return;
    pid_t pid = start_endless();
    CLI("suite", "--experiments", "vanilla,ghost,auto", "--resume");
    STATUS(1);
    HAS(got.err, "another suite runs in memory_profiling_results/run_");
    ck_assert(*in_run("ghost.log") && *in_run("vanilla_result.json") && !*in_run("ghost_result.json"));
    kill(pid, SIGTERM);
    cli_wait(pid);
}
END_TEST

START_TEST(test_the_newest_run_is_resumed)
{
    if (experiment_no_nvtx()) return;
    mkdir("r", 0700);
    mkdir("r/run_20240101_120000", 0700);
    mkdir("r/run_20240101_120000_9", 0700);
    mkdir("r/run_20240101_120000_10", 0700);
    mkdir("r/run_zz", 0700);
    CLI("suite", "-o", "r", "--resume", "--experiments", "vanilla");
    STATUS(0);
    ck_assert(cli_exists("r/run_20240101_120000_10/vanilla_result.json"));
    CLI("suite", "--resume=absent", "--experiments", "vanilla");
    STATUS(1);
    HAS(got.err, "cannot resume absent: No such file or directory");
    mkdir("empty", 0700);
    CLI("suite", "--resume", "-o", "empty");
    STATUS(1);
    HAS(got.err, "empty holds no run to resume");
}
END_TEST

START_TEST(test_a_signal_ends_it_in_order)
{
    if (experiment_no_nvtx()) return;
    pid_t pid = start_endless();
    kill(pid, _i ? SIGTERM : SIGINT);
    cli_wait(pid);
    STATUS(128 + (_i ? SIGTERM : SIGINT));
    HAS(got.err, "[2/3] ghost ... stopped after ");
    HAS_NOT(got.err, "[3/3]");
    HAS(got.err, "vramscope: stopped by signal ");
    HAS(got.out, "\n  vanilla: Peak Memory = 7.00 MB");
    HAS(got.out, "\n  ghost: not run\n  auto: not run\nnext: vramscope suite --resume memory_profiling_results/run_");
    ck_assert(!*in_run("ghost_result.json") && !*in_run("*.log/lock"));
    ck_assert_int_eq(bench_number(in_run("suite.db"), "SELECT COUNT(*) FROM experiment"), 1);
    CLI("suite", "--resume", found("*/run_*", 0), "--experiments", "vanilla,ghost,auto");
    STATUS(0);
    HAS(got.err, "[1/3] vanilla ... done before\n");
}
END_TEST

static const struct {
    const char *args[8];
    int status;
    const char *err;
} usage[] = {
    {{"suite", "--experiments", "vanila"}, 2, "there is no experiment 'vanila'; did you mean vanilla?"},
    {{"suite", "--experiments", "vanilla,,ghost"}, 2, "there is no experiment ''; there are: vanilla ghost"},
    {{"suite", "--experiments", "bookkeeping_xyz"}, 2, "there is no experiment 'bookkeeping_xyz'"},
    {{"suite", "--experiments", "ghost,vanilla,ghost"}, 2, "ghost is asked for twice"},
    {{"suite", "--seq-len", "64,64"}, 2, "vanilla at T=64 is asked for twice"},
    {{"suite", "--seq-len", "64,x"}, 2, "--seq-len needs lengths like 1024,2048, not 'x'"},
    {{"suite", "--seq_len=0"}, 2, "not '0'"},
    {{"suite", "--seq-len"}, 2, "option --seq-len needs a value"},
    {{"suite", "--mode", "ghost"}, 2, "--mode is the suite's to choose; --experiments says what runs"},
    {{"suite", "--check"}, 2, "run vramscope-workload train --check"},
    {{"suite", "--results=x"}, 2, "--results is the suite's to choose"},
    {{"suite", "--trace", "all"}, 2, "--trace cannot be 'all'"},
    {{"suite", "-o", ""}, 2, "-o needs the name of a folder"},
    {{"suite", "-o", "file"}, 1, "file is not a folder; choose another -o"},
    {{"suite", "-o", "/proc/none/x"}, 1, "cannot make the folder /proc/none"},
    {{"suite", "--hidden-dimm", "7"}, 2, "FAILED after "}, /* the workload's to know */
};

START_TEST(test_usage)
{
    if (experiment_no_nvtx()) return;
    bench_write("file", "");
    cli_wait(cli_start(usage[_i].args));
    STATUS(usage[_i].status);
    HAS(got.err, usage[_i].err);
    ck_assert_str_eq(got.out, "");
    ck_assert_str_eq(found("*/run_*", 0), ""); /* nothing is left */
}
END_TEST

START_TEST(test_the_workload_says_what_is_wrong)
{
    if (experiment_no_nvtx()) return;
    CLI("suite", "--experiments", "ghost,auto", "--hidden-dimm", "7");
    STATUS(2);
    HAS(got.err, "[1/2] ghost ... FAILED after ");
    HAS(got.err, ": train: --hidden-dimm is no option\n");
    CLI("suite", "--help");
    STATUS(0);
    HAS(got.out, "Usage: vramscope suite [--experiments LIST]");
    HAS(got.out, "Options of the workload:\n\nusage of the train workload\n");
}
END_TEST

START_TEST(test_without_gnuplot_all_else_is_done)
{
    char path[4096];
    if (experiment_no_nvtx()) return;
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    setenv("PATH", "/absent", 1);
    CLI("suite", "--experiments", "vanilla,ghost", "-o", "s p");
    setenv("PATH", path, 1);
    STATUS(1);
    HAS(got.err, "gnuplot");
    HAS(got.err, "vramscope: error: no figures: ");
    ck_assert_ptr_null(strstr(strstr(got.err, "no figures: ") + 1, "no figures: ")); /* once */
    HAS(got.out, "\n  ghost: Peak Memory = 7.00 MB, Avg Time = 2.80 ms\nnext: vramscope plot --input-dir 's p/run_");
    HAS(got.out, "/visualizations'\n");
    ck_assert(*in_run("ghost_result.json"));
    ck_assert(*found("*/*/visualizations/summary.txt", 0));
}
END_TEST

/* Two that begin in one second have a folder each. */
START_TEST(test_two_at_once)
{
    if (experiment_no_nvtx()) return;
    for (int attempt = 0; attempt < 20; attempt++) {
        CLI("suite", "--experiments", "vanilla", "--hidden-dimm", "1"); /* warm */
        pid_t a = cli_start((const char *const[]){"suite", "--experiments", "vanilla", NULL});
        pid_t b = cli_start((const char *const[]){"suite", "--experiments", "vanilla", NULL});
        cli_wait(a);
        STATUS(0);
        cli_wait(b);
        STATUS(0);
        if (*found("*/run_*_*_2", 0)) break; /* they met */
    }
    ck_assert(*found("*/run_*_*_2/vanilla_result.json", 0));
}
END_TEST

START_TEST(test_the_real_workload_on_the_cpu)
{
    static const char *const keys[] = {
        "experiment",    "status",     "reason",     "mode",       "semantics",      "device",         "dtype",
        "optimizer",     "seed",       "config",     "parameters", "avg_time_ms",    "median_time_ms", "min_time_ms",
        "first_time_ms", "times_ms",   "losses",     "arena",      "snapshots",      "plan",           "peak_memory_mb",
        "breakdown",     "peak_bytes", "categories", "components", "arena_mismatch", "recording",      "process_id"};
    unsetenv("VRAMSCOPE_WORKLOAD");
    if (experiment_no_nvtx()) return;
    CLI("suite", "--experiments", "vanilla,ghost,flash_clip,auto", "--device", "cpu", "--preset", "tiny", "-o", "r");
    STATUS(0);
    for (unsigned i = 0; i < 4; i++) {
        const char *json = found("r/*/*_result.json", i);
        char sql[96];
        ck_assert_msg(!strcmp(file_ask(json, ADDS_UP), "1"), "%s", json);
        ck_assert_str_eq(file_ask(json, GET("arena_mismatch")), "0");
        ck_assert_str_eq(file_ask(json, GET("peak_bytes") " = json_extract(?1, '$.arena.peak_bytes')"), "1");
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            snprintf(sql, sizeof sql, "SELECT json_type(?1, '$.%s')", keys[k]);
            ck_assert_msg(strcmp(file_ask(json, sql), "NULL"), "%s has no %s", json, keys[k]);
        }
    }
    CLI("suite", "--device", "cpu", "--preset", "tiny", "-o", "r", "--resume", "--experiments",
        "vanilla,ghost,flash_clip,auto");
    STATUS(0);
    HAS(got.err, "[4/4] auto ... done before\n");
    CLI("check", "--baseline", found("r/run_*", 0), "--current", found("r/*/suite.db", 0));
    STATUS(0);
    HAS(got.out, "ok: 4 experiments\n");
    CLI("suite", "--device", "cpu", "--preset", "tiny", "-o", "more", "--extra-mb", "8");
    STATUS(0);
    CLI("check", "--baseline", found("r/run_*", 0), "--current", found("more/run_*", 0), "--time-threshold", "1e9");
    STATUS(1);
    HAS(got.out, "worse    ghost, T=32: peak ");
    HAS(got.out, "temporary grew most: +8.0 MiB (");
    HAS(got.out, "REGRESSION in 4 of 4 experiments\n");
    for (const char *const *name =
             (const char *const[]){"explicit", "flash", "ghost_bk", "flash_bk", "fuse", "fuse_bk", "micro", NULL};
         *name; name++) {
        CLI("suite", "--device", "cpu", "--preset", "tiny", "-o", "all", "--experiments", *name, "--num-iter", "1");
        STATUS(0); /* the workload knows every name of ours */
    }
    CLI("suite", "--device", "cpu", "--preset", "tiny", "-o", "f", "--experiments", "ghost,vanilla", "--num-heads",
        "3");
    ck_assert_int_ne(got.status, 0);
    HAS(got.err, "[2/2] vanilla ... FAILED after ");
}
END_TEST

Suite *make_suite_suite(void)
{
    Suite *s = suite_create("suite");
    TCase *c = tcase_create("suite");
    tcase_add_checked_fixture(c, experiment_folder, cli_clean);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, test_every_experiment_at_every_length);
    tcase_add_test(c, test_one_that_fails_stops_no_other);
    tcase_add_test(c, test_resume_does_what_is_missing);
    tcase_add_test(c, test_a_failure_that_was_run_again_is_over);
    tcase_add_test(c, test_what_a_result_is_in_doubt_of_is_said);
    tcase_add_test(c, test_a_run_belongs_to_one_suite_at_a_time);
    tcase_add_test(c, test_the_newest_run_is_resumed);
    tcase_add_loop_test(c, test_a_signal_ends_it_in_order, 0, 2);
    tcase_add_loop_test(c, test_usage, 0, sizeof usage / sizeof *usage);
    tcase_add_test(c, test_the_workload_says_what_is_wrong);
    tcase_add_test(c, test_without_gnuplot_all_else_is_done);
    tcase_add_test(c, test_two_at_once);
    tcase_add_test(c, test_the_real_workload_on_the_cpu);
    suite_add_tcase(s, c);
    return s;
}
