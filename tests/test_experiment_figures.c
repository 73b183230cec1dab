/* SPDX-License-Identifier: MIT
 *
 * test_experiment_figures.c: figures and summary of folders of results, looked at through the svg text: what is drawn where.
 * Must never judge by time.
 */
#include "figures_case.h"

#include <math.h>

Suite *make_experiment_figures_suite(void);

START_TEST(test_the_summary_is_this_text)
{
    static char wanted[16384];
    struct vs_error e = {""};
    copy_fixtures();
    put("notes.json", "not a result");
    char *path = strdup(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1); /* it needs no gnuplot */
    ck_assert_int_eq(draw("in", "out", &e), -ENOENT);
    setenv("PATH", path, 1);
    free(path);
    HAS(e.text, "gnuplot is not installed: apt-get install gnuplot-nox");
    ck_assert_int_eq(files, 1);
    ck_assert_int_eq(entries("out"), 1);
    cli_read(FIXTURES "summary.txt", wanted, sizeof wanted);
    ck_assert_uint_gt(strlen(wanted), 2000);
    ck_assert_str_eq(text_of("out/summary.txt"), wanted);
}
END_TEST

START_TEST(test_every_figure)
{
    struct vs_error e = {""};
    if (no_gnuplot()) return;
    copy_fixtures();
    ck_assert_msg(!draw("in", "out", &e), "%s", e.text);
    ck_assert_int_eq(files, 2 * STEMS + 1);
    ck_assert_int_eq(entries("out"), 2 * STEMS + 1);
    for (int i = 0; i < STEMS; i++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "out/%s.png", stems[i]);
        ck_assert(!stat(path, &st) && st.st_size > 10000);
        ck_assert(!memcmp(text_of(path), "\211PNG", 4));
        const char *text = svg(stems[i]);
        SHOWS(text, ">vanilla (no DP)<");
        SHOWS(text, ">ghost (norms only)<");
        SHOWS(text, "NVIDIA H200");
    }
    const char *text = svg("memory_breakdown_comparison");
    SHOWS(text, ">36224 MB<");
    SHOWS(text, ">+2048.2 MB (+5.7 %)<");
    SHOWS(text, ">-128.00 MB (-0.4 %)<");
    SHOWS(text, ">added against vanilla (no DP)<");
    SHOWS(text, "rgb( 52, 152, 219)"); /* the notes' colour of parameters */
    SHOWS(text, ">8939<");
    text = svg("memory_timeline");
    SHOWS(text, ">peak 38273 MB<");
    SHOWS(text, ">6_iter0_after<");
    SHOWS(text, ">backward<");
    text = svg("performance_tradeoff");
    SHOWS(text, ">38273 MB \xc2\xb7 1288.5 ms<");
    text = svg("time_vs_seq_length");
    SHOWS(text, ">512.2<");
    SHOWS(text, ">2.515<");
    SHOWS(svg("memory_vs_seq_length"), ">0.996<"); /* below 1 is not made 1 */
}
END_TEST

/* The last box of a colour: bars come after the legend. */
static void last_box(const char *text, const char *color, double *left, double *right)
{
    char start[64];
    double x0 = 0, y = 0, x1 = 0;
    snprintf(start, sizeof start, "<polygon fill = '%s' points = '", color);
    *left = *right = -1;
    for (const char *at = text; (at = strstr(at, start)); at++)
        if (sscanf(at + strlen(start), "%lf,%lf %lf,", &x0, &y, &x1) == 3) *left = fmin(x0, x1), *right = fmax(x0, x1);
}

START_TEST(test_bars_are_as_long_as_their_memory)
{
    struct vs_error e = {""};
    if (no_gnuplot()) return;
    result("a_result.json", "auto", 64, 300, 100, 5, "");
    ck_assert_msg(!draw("in", "out", &e), "%s", e.text);
    const char *text = svg("memory_breakdown_comparison");
    double from, middle, next, to, mark, end;
    last_box(text, "rgb( 52, 152, 219)", &from, &middle);
    last_box(text, "rgb(155,  89, 182)", &next, &to);
    last_box(text, "rgb(176,  16,  42)", &mark, &end); /* of the peak */
    ck_assert_double_gt(to - next, 50);
    ck_assert_double_eq_tol((middle - from) / (to - next), 3, 0.01);
    ck_assert_double_eq_tol(middle, next, 0.1);
    ck_assert_double_eq_tol(to, (mark + end) / 2, 0.1);
    SHOWS(text, ">400.00 MB<");
    SHOWS_NOT(text, "added against"); /* there is nothing without DP */
    SHOWS_NOT(text, ">gradients<");   /* which nothing has */
}
END_TEST

/* Corners of the n-th line of a colour; how many. */
static int corners(const char *text, const char *color, int nth, double x[8], double y[8])
{
    char start[64];
    const char *at = text;
    int n = 0, read = 0;
    snprintf(start, sizeof start, "<path stroke='%s'", color);
    for (int i = 0; i <= nth; i++)
        if (!(at = strstr(at + (i > 0), start))) return 0;
    if (!(at = strstr(at, "d='M"))) return 0;
    at += 4;
    while (n < 8 && sscanf(at, "%lf,%lf%n", &x[n], &y[n], &read) == 2) {
        n++;
        at += read;
        while (*at == ' ' || *at == 'L' || *at == '\n' || *at == '\t') at++;
    }
    return n;
}

START_TEST(test_lengths_are_equally_spaced_and_ratios_are_not_cut)
{
    static const int T[] = {512, 4096, 16384};
    struct vs_error e = {""};
    double x[8], y[8], vx[8], vy[8];
    char file[64];
    if (no_gnuplot()) return;
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "vanilla_seq%d_result.json", T[i]);
        result(file, "vanilla", T[i], 100, 100, 10 * (i + 1), "");
        snprintf(file, sizeof file, "micro_seq%d_result.json", T[i]);
        result(file, "micro", T[i], 100, 60 + 40 * i, 10 * (i + 1), "");
    }
    ck_assert_msg(!draw("in", "out", &e), "%s", e.text);
    const char *text = svg("memory_vs_seq_length");
    ck_assert_int_eq(corners(text, "rgb(153, 153,  51)", 1, x, y), 3); /* micro: 0.8, 1, 1.2 */
    ck_assert_int_eq(corners(text, "rgb( 34,  34,  34)", 1, vx, vy), 3);
    ck_assert_double_eq_tol(x[1] - x[0], x[2] - x[1], 0.1);
    ck_assert_double_eq_tol(vy[0], vy[2], 0.1);
    ck_assert_double_gt(y[0], vy[0] + 50); /* y goes down */
    ck_assert_double_eq_tol(y[0] - vy[0], vy[2] - y[2], 0.2);
    SHOWS(text, ">4096<");
    SHOWS(svg("memory_breakdown_comparison"), "T=16384 (one of 3)");
    ck_assert_ptr_nonnull(strstr(text_of("out/summary.txt"), "micro T=4096"));
}
END_TEST

START_TEST(test_only_the_same_settings_are_compared)
{
    struct vs_error e = {""};
    if (no_gnuplot()) return;
    result("vanilla_result.json", "vanilla", 64, 100, 100, 5, "");
    result("a_result.json", "ghost", 64, 100, 150, 5, "");
    result("b_result.json", "ghost", 64, 100, 190, 5, "\"dtype\": \"fp32\",");
    result("c_result.json", "ghost", 64, 100, 170, 5, ""); /* as a */
    ck_assert_msg(!draw("in", "out", &e), "%s", e.text);
    const char *text = svg("memory_breakdown_comparison");
    SHOWS(text, ">ghost (bf16)<");
    SHOWS(text, ">ghost (fp32)<");
    SHOWS(text, ">+50.00 MB (+25.0 %)<");
    SHOWS(text, ">no result without DP to compare with<");
    text = text_of("out/summary.txt");
    SHOWS(text, "c_result.json: a_result.json has the same experiment, T and settings");
    SHOWS_NOT(text, "+90.00");
}
END_TEST

START_TEST(test_many_methods)
{
    struct vs_error e = {""};
    char name[32], file[64];
    if (no_gnuplot()) return;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "method %02d", i);
        snprintf(file, sizeof file, "%s_result.json", name);
        result(file, name, 64, 100, 100 + i % 3, 5, ""); /* nearly all on one point */
    }
    result("z_result.json", "auto", 64, 100, 100, 5, "");
    ck_assert_msg(!draw("in", "out", &e), "%s", e.text);
    for (int i = 0; i < STEMS; i++) {
        const char *text = svg(stems[i]);
        SHOWS(text, "the first 15 of 21 methods; summary.txt has all");
        SHOWS(text, ">auto<"); /* known ones come first */
        SHOWS(text, ">method 13<");
        SHOWS_NOT(text, ">method 14<");
    }
    SHOWS(text_of("out/summary.txt"), "method 19");
}
END_TEST

Suite *make_experiment_figures_suite(void)
{
    Suite *s = suite_create("experiment_figures");
    TCase *c = tcase_create("figures");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, begin, cli_clean);
    tcase_add_test(c, test_the_summary_is_this_text);
    tcase_add_test(c, test_every_figure);
    tcase_add_test(c, test_bars_are_as_long_as_their_memory);
    tcase_add_test(c, test_lengths_are_equally_spaced_and_ratios_are_not_cut);
    tcase_add_test(c, test_only_the_same_settings_are_compared);
    tcase_add_test(c, test_many_methods);
    suite_add_tcase(s, c);
    return s;
}
