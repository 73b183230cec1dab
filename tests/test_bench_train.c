/* SPDX-License-Identifier: MIT
 *
 * test_bench_train.c: `vramscope bench train` as a user sees it, around a stand-in for the workload
 * (tests/programs/train_workload.c), and once around the real one. It judges no time.
 */
#include "experiment_case.h"

Suite *make_bench_train_suite(void);

START_TEST(test_one_experiment)
{
    if (experiment_no_nvtx()) return;
    CLI("bench", "train", "--mode", "ghost", "--output", "a b.json");
    STATUS(0);
    HAS(got.out, "TRAIN  ghost (two_pass): tiny T=64 B=2, fp32, optimizer adam, on a CPU\n");
    HAS(got.out, "  time     ms: median 2.50, average 2.80, least 2.00 of 2 iterations; the first 4.00\n");
    HAS(got.out, "  memory   peak 7.00 MB, 64.00 MB reserved");
    HAS(got.out, "  plan     book_keeping by gram: qkv x36; attention by own\n");
    HAS(got.out, "  optimizer states                 2.00  28.6 %\n");
    HAS(got.out, "  3_iter1_after_forward             7.00        64.00        7.00\n");
    HAS(got.out, "  the iteration before is the same\n");
    HAS_NOT(got.out, "!!");
    HAS(got.out, "\nnext: vramscope report train.db --by category\n");
    HAS(got.err, "what the workload prints\n");
    ck_assert_str_eq(file_ask("a b.json", ADDS_UP), "1");
    ck_assert_str_eq(file_ask("a b.json", GET("arena_mismatch")), "0");
    ck_assert_str_eq(file_ask("a b.json", GET("categories")),
                     "{\"activation\":3145729,\"optimizer_state\":2097152,\"parameter\":1048600,"
                     "\"gradient\":1048576,\"workspace\":4608,\"input\":100}");
    ck_assert_int_eq(bench_number("train.db", "SELECT COUNT(*) FROM experiment e JOIN process p ON p.id = e.process_id"
                                              " WHERE e.name = 'ghost' AND p.trace_level = 'memory'"),
                     1);
    CLI("bench", "train", "--mode", "ghost", "--output", "a b.json");
    STATUS(1);
    HAS(got.err, "a b.json exists; --force replaces it");
    CLI("bench", "train", "--mode", "ghost", "--output=a b.json", "--force", "--extra-mb", "8", "--trace", "api");
    STATUS(0);
    ck_assert_str_eq(file_ask("a b.json", GET("peak_bytes") " - 7344765"), "8388608"); /* it shows, to the byte */
    ck_assert_str_eq(file_ask("a b.json", GET("components[0].name")), "temporary/extra");
    ck_assert_int_eq(bench_number("train-2.db", "SELECT trace_level = 'api' FROM process"), 1);
    ck_assert_int_eq(symlink("/dev/null", "nothing"), 0);
    CLI("bench", "train", "--mode", "ghost", "--output", "nothing", "--force");
    STATUS(1);
    HAS(got.err, "nothing is not a file; --output names one");
    CLI("bench", "train", "--append", "-o", "train.db", "--experiment", "again");
    STATUS(0);
    ck_assert_int_eq(bench_number("train.db", "SELECT process_id FROM experiment WHERE name = 'again'"), 2);
}
END_TEST

START_TEST(test_experiments_that_fail)
{
    if (experiment_no_nvtx()) return;
    setenv("FAKE_FAIL", "fuse", 1);
    CLI("bench", "train", "--mode", "fuse", "--output", "f.json");
    STATUS(1);
    HAS(got.out, "  FAILED   not today\n");
    HAS(got.err, "vramscope: error: not today\n");
    ck_assert_str_eq(file_ask("f.json", GET("status")), "failed");
    setenv("FAKE_REASON", "this needs far more than there is, by so many bytes that the line is long; choose a smaller --seq-len", 1);
    CLI("bench", "train", "--mode", "fuse", "-o", "long.db");
    HAS(got.out, "; choose a smaller --seq-len\n"); /* what to do is not cut off */
    unsetenv("FAKE_REASON");
    ck_assert_str_eq(file_ask("f.json", ADDS_UP), "1");
    setenv("FAKE_KILL", "micro", 1);
    CLI("bench", "train", "--mode", "micro", "-o", "m.db", "--output", "m.json");
    STATUS(137);
    HAS(got.out, "TRAIN  micro\n  FAILED   killed by signal 9\n");
    ck_assert_str_eq(file_ask("m.json", GET("experiment") " || json_extract(?1, '$.breakdown.optimizer_states_mb')"),
                     "micro2.0");
    ck_assert_str_eq(file_ask("m.json", GET("snapshots[0].name")), "0_model_loaded"); /* from the recording */
    setenv("FAKE_DAMAGE", "auto", 1);
    CLI("bench", "train", "--mode", "auto", "-o", "d.db");
    STATUS(1);
    HAS(got.out, "is not a result: it does not hold one whole JSON object");
    HAS(got.err, "the results stay in d.db.results.");
    setenv("FAKE_SILENT", "ghost", 1);
    CLI("bench", "train", "--mode", "ghost", "-o", "s.db");
    STATUS(1);
    HAS(got.err, "the workload ended in order but wrote no results");
    setenv("FAKE_UNRECORDED", "flash", 1);
    CLI("bench", "train", "--mode", "flash", "-o", "u.db");
    STATUS(1);
    HAS(got.err, "the workload was not recorded");
    setenv("FAKE_ABSENT", "fuse_bk", 1); /* no such device */
    CLI("bench", "train", "--mode", "fuse_bk", "-o", "v.db");
    STATUS(1);
    HAS(got.err, "train: there is no such device\n");
    ck_assert_str_eq(got.out, "");
    ck_assert(!cli_exists("v.db"));
    setenv("FAKE_LIE", "explicit", 1);
    CLI("bench", "train", "--mode", "explicit", "-o", "l.db");
    STATUS(0);
    HAS(got.out, "!! the recording and the arena's own count of live bytes differ");
}
END_TEST

static const struct {
    const char *args[6];
    int status;
    const char *out, *err; /* must be in it; NULL: it must be empty */
} usage[] = {
    {{"bench", "tarin"}, 2, NULL, "there is no benchmark tarin; did you mean train?"},
    {{"bench", "--help"}, 0, "\n  train: one step of DP-SGD training", NULL},
    {{"bench", "train", "--help"}, 0, "Options of the workload:\n\nusage of the train workload\n", NULL},
    {{"bench", "train", "--no-such"}, 2, NULL, "train: --no-such is no option"},
    {{"bench", "train", "--force", "--append"}, 2, NULL, "exclude each other"},
    {{"bench", "train", "--output"}, 2, NULL, "option --output needs a value"},
    {{"bench", "train", "--output", "absent/f.json"}, 1, NULL, "cannot write absent/f.json: No such file or directory"},
    {{"bench", "train", "--trace", "kernel"}, 2, NULL, "--trace cannot be 'kernel'"},
    {{"bench", "train", "--mode", "ghost", "--check"}, 2, NULL, "run vramscope-workload train --check"},
    {{"bench", "train", "-o", "/absent/x.db"}, 1, NULL, "folder /absent"},
};

START_TEST(test_usage)
{
    if (experiment_no_nvtx()) return;
    cli_wait(cli_start(usage[_i].args));
    STATUS(usage[_i].status);
    if (usage[_i].out) HAS(got.out, usage[_i].out);
    else ck_assert_str_eq(got.out, "");
    if (usage[_i].err) HAS(got.err, usage[_i].err);
    else ck_assert_str_eq(got.err, "");
    ck_assert(!cli_exists("train.db") && !cli_exists("train.db.log"));
}
END_TEST

START_TEST(test_older_database)
{
    cli_database("old.db", "DROP TABLE experiment;");
    CLI("bench", "train", "--append", "-o", "old.db");
    STATUS(1);
    HAS(got.err, "old.db cannot take results: it was made by an older vramscope");
}
END_TEST

START_TEST(test_the_real_workload_on_the_cpu)
{
    unsetenv("VRAMSCOPE_WORKLOAD");
    CLI("bench", "train", "--device", "cpu", "--preset", "tiny", "--mode", "ghost", "--output", "a.json");
    STATUS(0);
    if (experiment_no_nvtx()) return;
    HAS_NOT(got.out, "!!");
    ck_assert_str_eq(file_ask("a.json", ADDS_UP), "1");
    ck_assert_str_eq(file_ask("a.json", GET("arena_mismatch")), "0");
    ck_assert_str_eq(
        file_ask("a.json",
                 "SELECT COUNT(*) FROM json_each(?1, '$.snapshots') WHERE json_extract(value, '$.allocated_mb')"
                 " * 1048576 IS NOT json_extract(value, '$.arena_bytes')"),
        "0");
    ck_assert_str_eq(file_ask("a.json", GET("peak_bytes") " = json_extract(?1, '$.arena.peak_bytes')"
                                                          " AND json_array_length(?1, '$.snapshots') >= 8"),
                     "1");
    CLI("bench", "train", "--device", "cpu", "--preset", "tiny", "--mode", "ghost", "--output", "b.json", "--extra-mb",
        "8");
    STATUS(0);
    char a[64];
    snprintf(a, sizeof a, "%s", file_ask("a.json", GET("peak_bytes")));
    ck_assert_int_eq(atoll(file_ask("b.json", GET("peak_bytes"))) - atoll(a), 8 << 20);
    ck_assert_str_eq(file_ask("b.json", GET("categories.temporary") " >= 8388608"), "1");
}
END_TEST

Suite *make_bench_train_suite(void)
{
    Suite *s = suite_create("bench_train");
    TCase *c = tcase_create("train");
    tcase_add_checked_fixture(c, experiment_folder, cli_clean);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_one_experiment);
    tcase_add_test(c, test_experiments_that_fail);
    tcase_add_loop_test(c, test_usage, 0, sizeof usage / sizeof *usage);
    tcase_add_test(c, test_older_database);
    tcase_add_test(c, test_the_real_workload_on_the_cpu);
    suite_add_tcase(s, c);
    return s;
}
