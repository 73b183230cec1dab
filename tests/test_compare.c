/* SPDX-License-Identifier: MIT
 *
 * test_compare.c: `vramscope compare`: what it says of results, folders, databases and recordings, and what it refuses.
 */
#include "outcome_case.h"

Suite *make_compare_suite(void);

START_TEST(test_a_grown_category_is_named)
{
    RESULT("a.json", .name = "ghost");
    RESULT("b.json", .name = "ghost", .activation = 100 * MIB, .parameter = 99 * MIB, .ms = 12.5);
    CLI("compare", "a.json", "b.json");
    STATUS(0);
    HAS(got.out,
        "B's peak is 39.0 MiB (24.4 %) higher: activation +40.0 MiB, parameter -1.0 MiB; it is 25.0 % slower\n");
    HAS(got.out, "  peak                                             160.0 MiB   199.0 MiB    +39.0 MiB    1.244\n");
    HAS(got.out, "  time of an iteration (median)                      10.0 ms     12.5 ms      +2.5 ms    1.250\n");
    HAS(got.out, "BY CATEGORY, at the peak");
    HAS(got.out, "  activation                                        60.0 MiB   100.0 MiB    +40.0 MiB    1.667\n"
                 "  parameter                                        100.0 MiB    99.0 MiB     -1.0 MiB    0.990\n");
    HAS(got.out, "  activation/block00                                60.0 MiB   100.0 MiB    +40.0 MiB    1.667\n");
    CLI("compare", "b.json", "a.json");
    HAS(got.out,
        "B's peak is 39.0 MiB (19.6 %) lower: activation -40.0 MiB, parameter +1.0 MiB; it is 20.0 % faster\n");
    CLI("compare", "a.json", "a.json");
    STATUS(0);
    HAS(got.out, "B's peak is the same, 160.0 MiB; it takes the same time\n");
    HAS_NOT(got.out, "BY CATEGORY");
}
END_TEST

START_TEST(test_the_ten_components_that_changed_most)
{
    char more[2][2048] = {"\"components\": [", "\"components\": ["};
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < 13; i++)
            snprintf(more[side] + strlen(more[side]), 64, "%s{\"name\": \"activation/c%02d\", \"bytes\": %d}",
                     i ? "," : "", i, 1000 + side * i * 10);
    for (int side = 0; side < 2; side++) strcat(more[side], "], ");
    RESULT("a.json", .name = "x", .more = more[0]);
    RESULT("b.json", .name = "x", .more = more[1], .activation = 61 * MIB);
    CLI("compare", "a.json", "b.json");
    STATUS(0);
    HAS(got.out, "activation/c12  ");
    HAS(got.out, "activation/c03  ");
    HAS_NOT(got.out, "activation/c02  ");
    HAS(got.out, "  ... 2 more changed less\n"); /* 12 changed */
}
END_TEST

#define NOISE(s) "\"config\": {\"seq_len\": 128, \"noise_multiplier\": " s "}, "
START_TEST(test_two_modes_of_one_configuration)
{
    RESULT("v.json", .name = "vanilla");
    RESULT("g.json", .name = "ghost", .activation = 61 * MIB);
    CLI("compare", "v.json", "g.json");
    STATUS(0);
    HAS(got.out, "vanilla -> ghost, T=128 ");
    HAS(got.out, "  note: mode is vanilla in A and ghost in B\n");
    RESULT("quiet.json", .name = "vanilla", .more = NOISE("0"), .ms = 12);
    RESULT("noisy.json", .name = "ghost", .more = NOISE("1"));
    RESULT("noisier.json", .name = "micro", .more = NOISE("2"));
    CLI("compare", "quiet.json", "noisy.json"); /* no privacy, no noise */
    STATUS(0);
    HAS(got.out, "  note: noise_multiplier is 0 in A and 1 in B\n");
    HAS(got.out, "  time of an iteration (median)                      12.0 ms     10.0 ms      -2.0 ms    0.833\n");
    CLI("compare", "noisier.json", "noisy.json");
    STATUS(1);
    HAS(got.err, "noise_multiplier is 2 in A and 1 in B");
    CLI("compare", NOTES "/vanilla_result.json", NOTES "/ghost_result.json");
    STATUS(0);
    HAS(got.out, "B's peak is 13.3 GiB (31.3 %) higher; it is 146.6 % slower\n");
    HAS(got.out, "(mean)");
}
END_TEST

START_TEST(test_folders_are_matched_by_name_and_length)
{
    ck_assert_int_eq(mkdir("a", 0700) || mkdir("b", 0700), 0);
    RESULT("a/vanilla_result.json", .name = "vanilla");
    RESULT("a/ghost_128_result.json", .name = "ghost");
    RESULT("a/ghost_256_result.json", .name = "ghost", .seq_len = 256, .activation = 120 * MIB);
    RESULT("a/micro_result.json", .name = "micro");
    RESULT("b/0_result.json", .name = "ghost", .seq_len = 256, .activation = 130 * MIB);
    RESULT("b/1_result.json", .name = "ghost");
    RESULT("b/2_result.json", .name = "vanilla", .activation = 50 * MIB);
    RESULT("b/3_result.json", .name = "flash");
    file_write("b/notes.json", "not read");
    CLI("compare", "a/", "b");
    STATUS(0);
    HAS(got.out,
        "B's peak is higher in 1 and lower in 1 of 3 experiments; it changed most in vanilla, T=128, -10.0 MiB (-6.2 %)\n");
    HAS(got.out, "\nghost, T=256: B's peak is 10.0 MiB (4.5 %) higher: activation +10.0 MiB;");
    HAS(got.out, "\nghost, T=128: B's peak is the same, 160.0 MiB;");
    HAS(got.out, "\nonly in A: micro, T=128\nonly in B: flash, T=128\n");
    CLI("compare", "b/3_result.json", "a");
    STATUS(1);
    HAS(got.err, "A and B have no experiment in common: A has flash, T=128, B has ");
}
END_TEST

START_TEST(test_databases_and_results_of_one_run)
{
    const struct result in[] = {{.name = "vanilla"}, {.name = "ghost", .activation = 70 * MIB}};
    result_store("suite.db", in, 2);
    ck_assert_int_eq(mkdir("run", 0700), 0);
    RESULT("run/vanilla_result.json", .name = "vanilla");
    RESULT("run/ghost_result.json", .name = "ghost", .activation = 71 * MIB);
    CLI("compare", "suite.db", "run");
    STATUS(0);
    HAS(got.out, "B's peak is higher in 1 and lower in 0 of 2 experiments");
    ck_assert_int_eq(mkdir("bare", 0700) || rename("suite.db", "bare/suite.db"), 0);
    CLI("compare", "bare", "run/ghost_result.json");
    STATUS(0);
    HAS(got.out, "B's peak is 1.0 MiB (0.6 %) higher: activation +1.0 MiB");
    HAS(got.out, "only in A: vanilla, T=128\n");
}
END_TEST

START_TEST(test_refuses_other_seeds_and_configurations)
{
    RESULT("a.json", .name = "ghost");
    RESULT("seed.json", .name = "ghost", .seed = 7);
    RESULT("layers.json", .name = "ghost", .layers = 3, .seed = 7);
    CLI("compare", "a.json", "seed.json");
    STATUS(1);
    HAS(got.err,
        "A (a.json) and B (seed.json) were not run alike; seed is 1337 in A and 7 in B. --any-config compares them");
    ck_assert_str_eq(got.out, "");
    CLI("compare", "a.json", "layers.json");
    STATUS(1);
    HAS(got.err, "alike; seed is 1337 in A and 7 in B; num_layers is 2 in A and 3 in B. ");
    CLI("compare", "a.json", "layers.json", "--any-config");
    STATUS(0);
    HAS(got.out, "  note: num_layers is 2 in A and 3 in B\n  note: seed is 1337 in A and 7 in B\n");
    CLI("compare", NOTES "/ghost_result.json", "a.json");
    STATUS(1);
    HAS(got.err, "seed is not told in A and 1337 in B");
    HAS(got.err, "; and ");
    ck_assert_int_eq(mkdir("x", 0700) || mkdir("y", 0700), 0); /* one name, two modes: not what the name says */
    RESULT("x/1_result.json", .name = "mine", .mode = "ghost");
    RESULT("x/2_result.json", .name = "vanilla");
    RESULT("y/1_result.json", .name = "mine", .mode = "flash");
    RESULT("y/2_result.json", .name = "vanilla", .seed = 7);
    CLI("compare", "x", "y");
    STATUS(1);
    HAS(got.err, "seed is 1337 in A and 7 in B; mode is ghost in A and flash in B");
}
END_TEST

START_TEST(test_equal_numbers_in_other_words_are_equal)
{
    const char *format =
        "{\"experiment\": \"x\", \"config\": {\"lr\": %s, \"deep\": {\"a\": [1, 2]}, \"on\": %s}, \"peak_memory_mb\": 1}";
    char text[512];
    snprintf(text, sizeof text, format, "1e-4", "true");
    file_write("a.json", text);
    snprintf(text, sizeof text, format, "0.00010", "true");
    file_write("b.json", text);
    CLI("compare", "a.json", "b.json");
    STATUS(0);
    snprintf(text, sizeof text, format, "0.00011", "false");
    file_write("b.json", text);
    CLI("compare", "a.json", "b.json");
    STATUS(1);
    HAS(got.err, "lr is 0.0001 in A and 0.00011 in B; on is true in A and false in B");
}
END_TEST

START_TEST(test_recordings_are_compared_rank_by_rank)
{
    recording_write("a.db", 2, 1073741824, 20000000, "");
    recording_write("b.db", 2, 1073741824, 20000000,
                    "UPDATE peak_data SET peak_bytes = 3221225472 WHERE process_id = 2 AND series = 'sub';"
                    "UPDATE at_peak SET bytes = 2147483648 WHERE process_id = 2 AND category = 'activation';"
                    "UPDATE process SET command_line = 'python other.py'");
    CLI("compare", "a.db", "b.db");
    STATUS(0);
    HAS(got.out,
        "B's peak is higher in 1 and lower in 0 of 2 experiments; it changed most in rank 1, +1.0 GiB (+50.0 %)");
    HAS(got.out, "rank 1: B's peak is 1.0 GiB (50.0 %) higher: activation +1.0 GiB; it takes the same time\n");
    HAS(got.out, "  activation in block 3                              1.0 GiB     2.0 GiB     +1.0 GiB    2.000\n");
    HAS(got.out, "(median)                      20.0 ms     20.0 ms ");
    HAS(got.out, "note: command_line is python train.py in A and python other.py in B\n");
    recording_write("one.db", 1, 1073741824, 20000000, "");
    CLI("compare", "a.db", "one.db");
    STATUS(1);
    HAS(got.err, "world_size is 2 in A and 1 in B");
    recording_write("held.db", 1, 1, 1,
                    "DELETE FROM peak_data WHERE series = 'sub' OR device < 0; DELETE FROM phase;"
                    "INSERT INTO at_peak VALUES (1, 0, 'held', 'nccl', NULL, NULL, NULL, 9663676416, 1)");
    CLI("compare", "one.db", "held.db");
    STATUS(1);
    HAS(got.err, "level is sub in A and held in B");
    CLI("compare", "held.db", "held.db");
    STATUS(0);
    HAS(got.out, "B's peak is the same, 9.0 GiB\n");
}
END_TEST

static const struct {
    const char *text, *said;
} broken[] = {
    {"", "b.json is neither a recording nor JSON (it is empty)"},
    {"{\"experiment\": \"x\", ", "b.json is neither a recording nor JSON"},
    {"[1, 2]", "b.json is not the result of an experiment: it is no object"},
    {"{\"name\": \"package\", \"config\": {}}", "it has no text \"experiment\""},
    {"{\"experiment\": 5, \"config\": {}}", "it has no text \"experiment\""},
    {"{\"experiment\": \"x\"}", "it has no object \"config\""},
    {"{\"experiment\": \"x\", \"config\": {}}", "it has no \"peak_memory_mb\""},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": \"5\"}", "\"peak_memory_mb\" is no amount"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": -1}", "\"peak_memory_mb\" is no amount"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": 1e999}", "\"peak_memory_mb\" is no amount"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_bytes\": 1.5e300, \"peak_memory_mb\": 1}",
     "\"peak_bytes\" is no amount"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": 1, \"avg_time_ms\": [1]}",
     "\"avg_time_ms\" is no time"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": 1, \"status\": 1}", "\"status\" is no text"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": 1, \"categories\": [1]}", "\"categories\" must be"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": 1, \"categories\": {\"a\": \"b\"}}",
     "\"categories\" must be"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": 1, \"components\": [3]}", "\"components\" must be"},
    {"{\"experiment\": \"x\", \"config\": {}, \"peak_memory_mb\": 1, \"components\": [{\"name\": \"a\"}]}",
     "\"components\" must be"},
    {"\x89PNG\r\n\x1a\n", "b.json is neither a recording nor JSON"},
};

START_TEST(test_what_is_no_result)
{
    RESULT("a.json", .name = "x");
    file_write("b.json", broken[_i].text);
    CLI("compare", "a.json", "b.json");
    STATUS(1);
    HAS(got.err, broken[_i].said);
    ck_assert_str_eq(got.out, "");
}
END_TEST

START_TEST(test_places_without_results)
{
    RESULT("a.json", .name = "x");
    CLI("compare", "a.json", "nothing.json");
    STATUS(1);
    HAS(got.err, "cannot read nothing.json: No such file");
    ck_assert_int_eq(mkdir("empty", 0700), 0);
    CLI("compare", "empty", "a.json");
    STATUS(1);
    HAS(got.err, "empty holds no *_result.json and no recording");
    ck_assert(!cli_exists("empty/run.db"));
    ck_assert_int_eq(
        mkdir("runs", 0700) || mkdir("runs/run_20250101_000000", 0700) || mkdir("runs/run_20250102_000000", 0700), 0);
    CLI("compare", "runs", "a.json");
    STATUS(1);
    HAS(got.err, "runs holds runs, not results; name one of them, the last is runs/run_20250102_000000");
    ck_assert_int_eq(mkdir("odd", 0700) || mkdir("odd/x_result.json", 0700), 0);
    CLI("compare", "odd", "a.json");
    STATUS(1);
    HAS(got.err, "odd/x_result.json is not a file");
    cli_database("none.db", "SELECT 1");
    CLI("compare", "none.db", "a.json");
    STATUS(1);
    HAS(got.err, "none.db holds neither an experiment nor a process that allocated memory");
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    CLI("compare", "fifo", "a.json");
    STATUS(1);
    HAS(got.err, "fifo is not a file");
    if (geteuid()) { /* root reads everything */
        ck_assert_int_eq(chmod("a.json", 0), 0);
        CLI("compare", "a.json", "a.json");
        STATUS(1);
        HAS(got.err, "cannot read a.json: Permission denied");
    }
    CLI("compare", "a.json");
    STATUS(2);
    HAS(got.err, "compare needs two sides");
}
END_TEST

START_TEST(test_failed_experiments)
{
    RESULT("a.json", .name = "ghost");
    RESULT("b.json", .name = "ghost", .status = "failed", .reason = "an allocation of 9.0 MiB failed");
    CLI("compare", "a.json", "b.json");
    STATUS(0);
    HAS(got.out, "B failed: an allocation of 9.0 MiB failed; B's peak is the same");
    file_write(
        "early.json",
        "{\"experiment\": \"ghost\", \"status\": \"failed\", \"reason\": \"\", \"config\": {}, \"peak_memory_mb\": null}");
    CLI("compare", "a.json", "early.json");
    STATUS(0);
    HAS(got.out, "B failed; the peak of B is not known\n");
}
END_TEST

START_TEST(test_hostile_names)
{
    RESULT("a.json", .name = "a\\u001b[31m\\nb%s'; DROP TABLE outcome; --", .mode = "x");
    RESULT("b.json", .name = "a\\u001b[31m\\nb%s'; DROP TABLE outcome; --", .mode = "y", .activation = 61 * MIB);
    CLI("compare", "a.json", "b.json");
    STATUS(0);
    HAS(got.out, "a\\x1b[31m\\nb%s'; DROP TABLE outcome; --");
    HAS_NOT(got.out, "\033");
}
END_TEST

START_TEST(test_a_result_is_no_recording)
{
    result_write("r.json", (struct result){.name = "ghost"});
    CLI("report", "r.json");
    STATUS(1);
    HAS(got.err, "results in JSON are read by: vramscope compare, check, export");
}
END_TEST

Suite *make_compare_suite(void)
{
    Suite *s = suite_create("compare");
    TCase *c = tcase_create("compare");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, test_a_grown_category_is_named);
    tcase_add_test(c, test_the_ten_components_that_changed_most);
    tcase_add_test(c, test_two_modes_of_one_configuration);
    tcase_add_test(c, test_folders_are_matched_by_name_and_length);
    tcase_add_test(c, test_databases_and_results_of_one_run);
    tcase_add_test(c, test_refuses_other_seeds_and_configurations);
    tcase_add_test(c, test_equal_numbers_in_other_words_are_equal);
    tcase_add_test(c, test_recordings_are_compared_rank_by_rank);
    tcase_add_test(c, test_failed_experiments);
    tcase_add_test(c, test_hostile_names);
    suite_add_tcase(s, c);
    c = tcase_create("bad input");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_add_loop_test(c, test_what_is_no_result, 0, sizeof broken / sizeof *broken);
    tcase_add_test(c, test_places_without_results);
    tcase_add_test(c, test_a_result_is_no_recording);
    suite_add_tcase(s, c);
    return s;
}
