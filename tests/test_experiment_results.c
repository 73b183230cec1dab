/* SPDX-License-Identifier: MIT
 *
 * test_experiment_results.c: folders of results that are broken, hostile or not there, and the command. Must never judge by
 * time.
 */
#include "figures_case.h"

Suite *make_experiment_results_suite(void);

START_TEST(test_what_is_left_out_is_said)
{
    if (no_gnuplot()) return;
    result("vanilla_result.json", "vanilla", 64, 100, 100, 5, "");
    result("failed_result.json", "explicit", 64, 100, 100, 5,
           "\"status\": \"failed\", \"reason\": \"out of memory: 9 GiB\\u001b[2J\",");
    result("text_result.json", "flash", 64, 100, 100, 5, "\"peak_memory_mb\": \"12\",");
    result("huge_result.json", "fuse", 64, 100, 100, 5, "\"peak_memory_mb\": 1e999,");
    result("minus_result.json", "micro", 64, 100, -1, 5, "");
    result("odd_result.json", "odd", 64, 100, 100, 5,
           "\"snapshots\": [1, \"x\", null, {}], \"breakdown\": 7, \"config\": [],");
    put("cut_result.json", "{\"experiment\": \"ghost\", ");
    put("list_result.json", "[1, 2]");
    put("empty_result.json", "");
    ck_assert_int_eq(mkdir("in/folder_result.json", 0700), 0);
    ck_assert_int_eq(mkfifo("in/fifo_result.json", 0600), 0);
    CLI("plot", "--input-dir", "in", "--output-dir", "out");
    STATUS(0);
    HAS(got.err, "left out failed_result.json: the experiment failed: out of memory: 9 GiB");
    HAS_NOT(got.err, "\033");
    HAS(got.err, "left out text_result.json: it has no peak_memory_mb");
    HAS(got.err, "left out huge_result.json: it has no peak_memory_mb");
    HAS(got.err, "left out minus_result.json: a part of its memory is below 0");
    HAS(got.err, "left out cut_result.json: it is not JSON");
    HAS(got.err, "left out list_result.json: it has no peak_memory_mb");
    HAS(got.err, "left out empty_result.json: it is not JSON");
    HAS(got.err, "left out folder_result.json: it is not a file");
    HAS(got.err, "left out fifo_result.json: it is not a file");
    HAS_NOT(got.err, "odd_result");
    SHOWS(svg("memory_breakdown_comparison"), "9 results left out: see summary.txt");
    SHOWS(text_of("out/summary.txt"), "LEFT OUT:\n\ncut_result.json: it is not JSON: was it cut off?\n");
}
END_TEST

START_TEST(test_hostile_names)
{
    static const struct {
        const char *json, *in_svg, *in_text;
    } names[] = {
        {"`touch pwned`", "`touch pwned`", "`touch pwned`"},
        {"$(touch pwned) | touch pwned", "$(touch pwned) | touch pwned", "$(touch pwned) |"},
        {"@ARG1 {a}_b^2 ~x &y", "@ARG1 {a}_b^2 ~x &amp;y", "@ARG1 {a}_b^2 ~x &y"},
        {"\\\"two\\\" 'one' \\\"", "\"two\" 'one' \"", "\"two\" 'one' \""},
        {"100% %s %n \\\\n \\\\042", "100% %s %n \\n \\042", "100% %s %n \\n \\042"},
        {"a\\nb\\tc\\u0001d", "a↵b c\357\277\275d", "a↵b c\357\277\275d"},
        {"前向", "前向", "前向"},
        {"<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>", "<script>alert(1)</script>"},
        {"NaN", ">NaN<", "NaN"},
        {"%s'; DROP TABLE x; --", "%s'; DROP TABLE x; --", "%s'; DROP TABLE x; --"},
    };
    struct vs_error e = {""};
    char file[64];
    if (no_gnuplot()) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(file, sizeof file, "`touch pwned` %zu %%s_result.json", i);
        result(file, names[i].json, 64, 100, 100, 1e300,
               "\"device_name\": \"$(touch pwned)\", \"optimizer\": \"%n %s\",");
    }
    ck_assert_msg(!draw("in", "out", &e), "%s", e.text);
    for (int k = 0; k < STEMS; k++) {
        const char *text = svg(stems[k]);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) SHOWS(text, names[i].in_svg);
        SHOWS(text, "$(touch pwned)");
        SHOWS(text, "optimizer %n %s");
    }
    const char *text = text_of("out/summary.txt");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) SHOWS(text, names[i].in_text);
    ck_assert(!cli_exists("pwned") && !cli_exists("in/pwned") && !cli_exists("out/pwned"));
}
END_TEST

START_TEST(test_nothing_to_draw)
{
    struct vs_error e = {""};
    ck_assert_int_eq(draw("missing", "out", &e), -ENOENT);
    HAS(e.text, "cannot read the folder of results missing");
    ck_assert_int_eq(draw("in", "out", &e), -ENODATA);
    HAS(e.text, "in holds no *_result.json; give the folder run_... that `vramscope suite` made");
    ck_assert_int_eq(mkdir("in/run_20260101_000000", 0700), 0);
    ck_assert_int_eq(mkdir("in/run_20260202_000000", 0700), 0);
    ck_assert_int_eq(draw("in", "out", &e), -ENODATA);
    HAS(e.text, "did you mean in/run_20260202_000000?");
    put("x_result.json", "{");
    ck_assert_int_eq(draw("in", "out", &e), -ENODATA);
    HAS(e.text, "of 1 results in in none can be shown; x_result.json: it is not JSON");
    ck_assert(!cli_exists("out"));
}
END_TEST

START_TEST(test_the_command)
{
    if (no_gnuplot()) return;
    copy_fixtures();
    CLI("plot", "--input-dir", "in");
    STATUS(0);
    HAS(got.out, "in/visualizations/summary.txt\n");
    HAS(got.out, "in/visualizations/performance_tradeoff.svg\n");
    ck_assert(cli_exists("in/visualizations/memory_timeline.png"));
    CLI("plot", "--input-dir", "in/", "-o", "elsewhere");
    STATUS(0);
    ck_assert(cli_exists("elsewhere/summary.txt"));
    CLI("plot", "--input-dir", "in", "run.db");
    STATUS(2);
    HAS(got.err, "--input-dir draws a folder of results; it goes without databases");
    CLI("plot", "--input-dir", "");
    STATUS(2);
    CLI("plot", "in");
    STATUS(1);
    HAS(got.err, "in holds the results of experiments: use plot --input-dir in");
    CLI("plot");
    STATUS(2);
    HAS(got.err, "or --input-dir");
}
END_TEST

Suite *make_experiment_results_suite(void)
{
    Suite *s = suite_create("experiment_results");
    TCase *c = tcase_create("figures");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, begin, cli_clean);
    tcase_add_test(c, test_what_is_left_out_is_said);
    tcase_add_test(c, test_hostile_names);
    tcase_add_test(c, test_nothing_to_draw);
    tcase_add_test(c, test_the_command);
    suite_add_tcase(s, c);
    return s;
}
