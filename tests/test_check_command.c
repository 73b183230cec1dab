/* SPDX-License-Identifier: MIT
 *
 * test_check_command.c: `vramscope check`: its exit status, the names in its verdict, its JSON, and what it does not judge.
 */
#include "outcome_case.h"

Suite *make_check_command_suite(void);

#define CHECK(a, b, ...) CLI("check", "--baseline", a, "--current", b, ##__VA_ARGS__)

START_TEST(test_equal_sides_pass)
{
    RESULT("a.json", .name = "ghost");
    CHECK("a.json", "a.json");
    STATUS(0);
    ck_assert_str_eq(got.out,
                     "ok       ghost, T=128: peak 160.0 MiB -> 160.0 MiB (x1.000); time 10.0 ms -> 10.0 ms (x1.000)\n"
                     "ok: 1 experiment\n");
    CHECK(NOTES, NOTES "/", "--threshold", "1");
    STATUS(0);
    HAS(got.out, "\nok: 3 experiments\n");
}
END_TEST

START_TEST(test_more_memory_is_a_regression)
{
    RESULT("a.json", .name = "ghost");
    RESULT("b.json", .name = "ghost", .activation = 70 * MIB, .parameter = 99 * MIB); /* 169 / 160 = 1.056 */
    CHECK("a.json", "b.json");
    STATUS(1);
    HAS(got.out,
        "worse    ghost, T=128: peak 160.0 MiB -> 169.0 MiB (x1.056, x1.05 is allowed), activation grew most: +10.0 MiB"
        " (60.0 MiB -> 70.0 MiB); time 10.0 ms -> 10.0 ms (x1.000)\nREGRESSION in 1 of 1 experiments\n");
    CHECK("a.json", "b.json", "--threshold", "1.06");
    STATUS(0);
    HAS_NOT(got.out, "activation");
    RESULT("edge.json", .name = "ghost", .activation = 100 * MIB); /* 200 / 160 is exactly 1.25 */
    CHECK("a.json", "edge.json", "--threshold", "1.25");
    STATUS(0);
    RESULT("edge.json", .name = "ghost", .activation = 100 * MIB + 1);
    CHECK("a.json", "edge.json", "--threshold", "1.25");
    STATUS(1);
    CHECK("b.json", "a.json", "--threshold", "1"); /* less is none */
    STATUS(0);
}
END_TEST

START_TEST(test_more_time_is_a_regression)
{
    RESULT("a.json", .name = "ghost");
    RESULT("b.json", .name = "ghost", .ms = 10.8);
    CHECK("a.json", "b.json");
    STATUS(1);
    HAS(got.out, "peak 160.0 MiB -> 160.0 MiB (x1.000); time 10.0 ms -> 10.8 ms (x1.080, x1.05 is allowed)\n");
    CHECK("a.json", "b.json", "--threshold", "1.1");
    STATUS(0);
    CHECK("a.json", "b.json", "--time-threshold", "1.1");
    STATUS(0);
    CHECK("a.json", "b.json", "--threshold", "2", "--time-threshold", "1.07");
    STATUS(1);
    RESULT("none.json", .name = "ghost", .more = "\"avg_time_ms\": null, \"median_time_ms\": null, ");
    CHECK("a.json", "none.json");
    STATUS(1);
    HAS(got.out, "time 11.0 ms -> not known");
    CHECK("none.json", "a.json");
    STATUS(0);
    HAS(got.out, "time not known in the baseline\n");
    RESULT("mean.json", .name = "ghost",
           .more = "\"median_time_ms\": null, \"avg_time_ms\": 11, "); /* like the mean of a.json */
    CHECK("a.json", "mean.json", "--threshold", "1");
    STATUS(0);
}
END_TEST

START_TEST(test_modes_against_vanilla)
{
    CHECK(NOTES "/vanilla_result.json", NOTES "/flash_clip_result.json", "--threshold", "1.3");
    STATUS(1);
    HAS(got.out,
        "worse    vanilla -> flash_clip, T=16384: peak 42.4 GiB -> 55.5 GiB (x1.309, x1.3 is allowed), no category is known to"
        " have grown; time 7.09 s -> 7.83 s (x1.104)\n");
    CHECK(NOTES "/vanilla_result.json", NOTES "/flash_clip_result.json", "--threshold", "1.31");
    STATUS(0);
}
END_TEST

START_TEST(test_missing_failed_and_new_experiments)
{
    ck_assert_int_eq(mkdir("a", 0700) || mkdir("b", 0700), 0);
    RESULT("a/1_result.json", .name = "vanilla");
    RESULT("a/2_result.json", .name = "ghost");
    RESULT("a/3_result.json", .name = "flash");
    RESULT("a/4_result.json", .name = "micro", .status = "failed");
    RESULT("b/1_result.json", .name = "vanilla");
    file_write(
        "b/2_result.json",
        "{\"experiment\": \"ghost\", \"status\": \"failed\", \"reason\": \"out of \\u001b memory\", \"config\": {},"
        " \"peak_memory_mb\": null}");
    RESULT("b/5_result.json", .name = "auto");
    RESULT("b/4_result.json", .name = "micro");
    CHECK("a", "b");
    STATUS(1);
    HAS(got.out, "failed   ghost, T=128 -> ghost: out of \\x1b memory\n");
    HAS(got.out, "missing  flash, T=128: it is in the baseline and not in the current run\n");
    HAS(got.out, "skipped  micro, T=128: the baseline failed\n");
    HAS(got.out, "new      auto, T=128: it is not in the baseline\n");
    HAS(got.out, "ok       vanilla, T=128: ");
    HAS(got.out, "REGRESSION in 2 of 3 experiments\n");
    ck_assert_int_eq(unlink("a/2_result.json") || unlink("a/3_result.json"), 0);
    CHECK("a", "b");
    STATUS(0);
    CHECK("a/4_result.json", "b/4_result.json");
    STATUS(2);
    HAS(got.err, "nothing could be compared: no experiment of the baseline succeeded");
}
END_TEST

START_TEST(test_what_it_cannot_judge_is_status_2)
{
    RESULT("a.json", .name = "ghost");
    RESULT("b.json", .name = "ghost", .seed = 7, .layers = 4, .activation = 600 * MIB);
    CHECK("a.json", "b.json");
    STATUS(2);
    HAS(got.err, "seed is 1337 in A and 7 in B; num_layers is 2 in A and 4 in B");
    ck_assert_str_eq(got.out, "");
    CHECK("a.json", "b.json", "--any-config");
    STATUS(1);
    HAS(got.out, "note     ghost, T=128: seed is 1337 in the baseline and 7 now\n");
    CHECK("a.json", "gone.json");
    STATUS(2);
    file_write("c.json", "{\"experiment\": ");
    CHECK("a.json", "c.json");
    STATUS(2);
    HAS(got.err, "c.json is neither a recording nor JSON");
    CHECK("c.json", "a.json", "--json");
    STATUS(2);
    ck_assert_str_eq(got.out, "");
    CLI("check", "--baseline", "a.json");
    STATUS(2);
    HAS(got.err, "check needs --baseline A and --current B");
    CHECK("a.json", "a.json", "a.json");
    STATUS(2);
}
END_TEST

static const char *const thresholds[] = {"0.99", "", "nan", "inf", "-1", "1.05x", "x", "1e999"};

START_TEST(test_thresholds)
{
    RESULT("a.json", .name = "ghost");
    CHECK("a.json", "a.json", "--threshold", thresholds[_i]);
    STATUS(2);
    HAS(got.err, "--threshold needs a number from 1 on, not '");
    CHECK("a.json", "a.json", "--time-threshold", thresholds[_i]);
    STATUS(2);
    HAS(got.err, "--time-threshold needs");
}
END_TEST

/* By SQLite's functions over the file the command wrote. */
static const char *of_json(const char *expression)
{
    static char text[256];
    char sql[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    snprintf(sql, sizeof sql, "SELECT %s", expression);
    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_msg(!sqlite3_prepare_v2(db, sql, -1, &q, NULL), "%s", sqlite3_errmsg(db));
    sqlite3_bind_text(q, 1, got.out, -1, SQLITE_STATIC);
    ck_assert_msg(sqlite3_step(q) == SQLITE_ROW, "%s: %s", sqlite3_errmsg(db), got.out);
    snprintf(text, sizeof text, "%s", sqlite3_column_text(q, 0) ? (const char *)sqlite3_column_text(q, 0) : "NULL");
    sqlite3_finalize(q);
    sqlite3_close(db);
    return text;
}

START_TEST(test_json)
{
    RESULT("a.json", .name = "a \\\"b\\\" \\u0007");
    RESULT("b.json", .name = "a \\\"b\\\" \\u0007", .activation = 76 * MIB);
    CHECK("a.json", "b.json", "--json");
    STATUS(1);
    ck_assert_str_eq(of_json("json_valid(?1)"), "1");
    ck_assert_str_eq(of_json("json_type(?1, '$.ok')"), "false");
    ck_assert_str_eq(of_json("json_extract(?1, '$.threshold')"), "1.05");
    ck_assert_str_eq(of_json("json_array_length(?1, '$.experiments')"), "1");
    ck_assert_str_eq(of_json("json_extract(?1, '$.experiments[0].experiment') = 'a \"b\" ' || char(7)"), "1");
    ck_assert_str_eq(of_json("json_extract(?1, '$.experiments[0].verdict')"), "worse");
    ck_assert_str_eq(of_json("json_extract(?1, '$.experiments[0].peak_ratio')"), "1.1");
    ck_assert_str_eq(of_json("json_extract(?1, '$.experiments[0].grew')"), "activation");
    ck_assert_str_eq(of_json("json_extract(?1, '$.experiments[0].grew_to_bytes') / 1048576"), "76");
    CHECK("a.json", "a.json", "--json");
    STATUS(0);
    ck_assert_str_eq(of_json("json_type(?1, '$.ok')"), "true");
    ck_assert_str_eq(of_json("json_extract(?1, '$.experiments[0].grew')"), "NULL");
}
END_TEST

START_TEST(test_recordings)
{
    recording_write("a.db", 2, 1073741824, 20000000, "");
    recording_write("b.db", 2, 1073741824, 20000000,
                    "UPDATE phase SET end_ns = begin_ns + 23000000 WHERE process_id = 1");
    CHECK("a.db", "b.db");
    STATUS(1);
    HAS(got.out,
        "worse    rank 0: peak 2.0 GiB -> 2.0 GiB (x1.000); time 20.0 ms -> 23.0 ms (x1.150, x1.05 is allowed)\n");
    HAS(got.out, "ok       rank 1: ");
    recording_write("c.db", 2, 1073741824, 20000000, "UPDATE process SET exit_status = 3 WHERE id = 2");
    CHECK("a.db", "c.db");
    STATUS(1);
    HAS(got.out, "failed   rank 1: ended with status 3\n");
}
END_TEST

Suite *make_check_command_suite(void)
{
    Suite *s = suite_create("check_command");
    TCase *c = tcase_create("check");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, test_equal_sides_pass);
    tcase_add_test(c, test_more_memory_is_a_regression);
    tcase_add_test(c, test_more_time_is_a_regression);
    tcase_add_test(c, test_modes_against_vanilla);
    tcase_add_test(c, test_missing_failed_and_new_experiments);
    tcase_add_test(c, test_what_it_cannot_judge_is_status_2);
    tcase_add_loop_test(c, test_thresholds, 0, sizeof thresholds / sizeof *thresholds);
    tcase_add_test(c, test_json);
    tcase_add_test(c, test_recordings);
    suite_add_tcase(s, c);
    return s;
}
