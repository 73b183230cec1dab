/* SPDX-License-Identifier: MIT
 *
 * test_plot_norms.c: charts of results made here by hand, looked at through the svg text: which lines there are, and that
 * both axes are logarithmic. Must never judge by time.
 */
#include "test_cli.h"

#include <errno.h>

#include "../db/query.h"
#include "../viz/plot.h"

Suite *make_plot_norms_suite(void);

static char rows[65536];
static int files;

static void count(void *arg, const char *path)
{
    (void)arg;
    ck_assert(cli_exists(path));
    files++;
}

static void row(const char *algo, const char *dtype, int d, int T, const char *ms, const char *floor_ms,
                const char *bytes)
{
    size_t n = strlen(rows);
    char *sql = sqlite3_mprintf(
        "INSERT INTO norm_result (algo, device, dtype, grouping, B, T, d, p, status, median_ms, floor_ms,"
        " temp_bytes) VALUES (%Q, 'cpu', %Q, 'one', 1, %d, %d, 8, 'ok', %s, %s, %s);",
        algo, dtype, T, d, ms, floor_ms, bytes);
    ck_assert_uint_lt(n + strlen(sql), sizeof rows);
    strcpy(rows + n, sql);
    sqlite3_free(sql);
}

/* What vs_plot returns. */
static int plot(struct vs_error *e)
{
    const struct vs_plot_options how = {.quiet = 1, .wrote = count};
    struct vs_db *db = NULL;
    unlink("t.db");
    cli_database("t.db", rows);
    files = 0;
    ck_assert_msg(!vs_db_open("t.db", &db, e), "%s", e->text);
    int err = vs_plot(db, "out", &how, e);
    vs_db_close(db);
    rows[0] = 0;
    return err;
}

static const char *svg(const char *name)
{
    static char text[1 << 20];
    cli_read(name, text, sizeof text);
    HAS(text, "</svg>");
    return text;
}

static int no_gnuplot(void)
{
    return system("gnuplot --version >/dev/null 2>&1") != 0;
}

/* Corners of the first line of a colour; how many. */
static int corners(const char *text, const char *color, double x[8], double y[8])
{
    char start[64];
    const char *at;
    int n = 0, read = 0;
    snprintf(start, sizeof start, "<path stroke='%s'", color);
    at = strstr(text, start);
    if (!at || !(at = strstr(at, "d='M"))) return 0;
    at += 4;
    while (n < 8 && sscanf(at, "%lf,%lf%n", &x[n], &y[n], &read) == 2) {
        n++;
        at += read;
        while (*at == ' ' || *at == 'L') at++;
    }
    return n;
}

START_TEST(test_both_axes_are_logarithmic)
{
    struct vs_error e = {""};
    double x[8], y[8], fx[8], fy[8];
    if (no_gnuplot()) return;
    row("gram", "bf16", 8, 1024, "0.5", "0.005", "65536"); /* older, and out of order */
    row("gram", "bf16", 8, 512, "0.1", "0.001", "4096");
    row("gram", "bf16", 8, 1024, "1", "0.01", "65536");
    row("gram", "bf16", 8, 2048, "10", "0.1", "1048576");
    row("auto", "bf16", 8, 2048, "10", "0.1", "NULL");
    ck_assert_msg(!plot(&e), "%s", e.text);
    ck_assert_int_eq(files, 4);
    const char *text = svg("out/norms_time.svg");
    ck_assert_int_eq(corners(text, "rgb(  0, 114, 178)", x, y), 3);
    ck_assert_int_eq(corners(text, "rgb( 34,  34,  34)", fx, fy), 3);
    ck_assert_double_gt(x[1], x[0] + 100);
    ck_assert_double_eq_tol(x[2] - x[1], x[1] - x[0], 0.1);
    ck_assert_double_lt(y[1], y[0] - 20);
    ck_assert_double_eq_tol(y[2] - y[1], y[1] - y[0], 0.1);
    ck_assert_double_eq_tol(fy[0] - y[0], 2 * (y[0] - y[1]), 0.2); /* two decades below */
    HAS(text, "bf16 \xc2\xb7 B=1 d=8 p=8 \xc2\xb7 cpu");
    HAS(text, ">10 ms<");
    HAS(text, ">2048<");
    HAS(text, ">floor<");
    HAS(text, ">auto<");
    text = svg("out/norms_memory.svg");
    ck_assert_int_eq(corners(text, "rgb(  0, 114, 178)", x, y), 3);
    ck_assert_double_eq_tol(y[2] - y[1], y[1] - y[0], 0.1);
    HAS(text, " KiB<");
    HAS_NOT(text, ">floor<");
    HAS_NOT(text, ">auto<"); /* its memory is not known */
    HAS_NOT(text, ">0 B<");
}
END_TEST

START_TEST(test_no_bytes_have_a_row_of_their_own)
{
    struct vs_error e = {""};
    double x[8], y[8], z[8];
    if (no_gnuplot()) return;
    for (int T = 512; T <= 2048; T *= 2) {
        row("gram", "bf16", 8, T, "NULL", "NULL", T == 1024 ? "64" : "0");
        row("direct", "bf16", 8, T, "NULL", "NULL", "4096");
    }
    ck_assert_msg(!plot(&e), "%s", e.text);
    ck_assert_int_eq(files, 2); /* no times */
    const char *text = svg("out/norms_memory.svg");
    HAS(text, ">0 B<");
    ck_assert_int_eq(corners(text, "rgb(  0, 114, 178)", x, y), 3);
    ck_assert_int_eq(corners(text, "rgb(  0, 158, 115)", x, z), 3);
    ck_assert_double_eq_tol(y[0], y[2], 0.01);
    ck_assert_double_lt(y[1], y[0] - 30);
    ck_assert_double_lt(z[1], y[1] - 30);
}
END_TEST

START_TEST(test_panels_and_their_limit)
{
    struct vs_error e = {""};
    char name[32];
    if (no_gnuplot()) return;
    for (int i = 0; i < 11; i++) row("gram", i % 2 ? "bf16" : "fp32", 8 + i, 512, "1", "0.5", "1"); /* one T each */
    for (int i = 0; i < 15; i++) {
        snprintf(name, sizeof name, "method %d", i);
        row(name, "bf16", 1, 512, "1", "0.5", "1");
    }
    ck_assert_msg(!plot(&e), "%s", e.text);
    const char *text = svg("out/norms_time.svg");
    HAS(text, "time over T (8 of 12 shapes)");
    HAS(text, "further algorithms are not shown");
    HAS(text, "bf16 \xc2\xb7 B=1 d=17 p=8");
    HAS_NOT(text, "fp32 \xc2\xb7 B=1 d=18 p=8");
}
END_TEST

START_TEST(test_hostile_names)
{
    static const char *const names[] = {"`touch pwned`", "\"two\" 'one", "@ARG1 {a}_b ~x",
                                        "100% %s \\042", "a\nb\tc\001d", "<b>"};
    struct vs_error e = {""};
    if (no_gnuplot()) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int T = 8; T < 64; T *= 2) row(names[i], i ? "bf16" : "$(touch pwned)", 8, T, "1e300", "1e-300", "9e15");
    ck_assert_msg(!plot(&e), "%s", e.text);
    ck_assert_int_eq(files, 4);
    const char *text = svg("out/norms_memory.svg");
    HAS(text, "$(touch pwned) \xc2\xb7 B=1");
    HAS(text, "`touch pwned`");
    HAS(text, "\"two\" 'one");
    HAS(text, "@ARG1 {a}_b ~x");
    HAS(text, "100% %s \\042");
    HAS(text, "a\xe2\x86\xb5"
              "b c");
    HAS(text, "&lt;b>");
    ck_assert(!cli_exists("pwned") && !cli_exists("out/pwned"));
}
END_TEST

START_TEST(test_only_layers_that_were_measured_alone)
{
    struct vs_error e = {""};
    row("gram", "bf16", 8, 512, "1", "0.5", "1");
    strcat(rows, "UPDATE norm_result SET grouping = 'each';");
    ck_assert_int_eq(plot(&e), -ENODATA);
    for (int i = 0; i < 3; i++) {
        static const char *const statuses[] = {"skipped", "beyond_bound", "unchecked"};
        row("gram", "bf16", 8, 512, "1", "0.5", "1");
        snprintf(rows + strlen(rows), 64, "UPDATE norm_result SET status = '%s';", statuses[i]);
        ck_assert_int_eq(plot(&e), -ENODATA);
        HAS(e.text, "of the results of bench norms none is of a single layer, ok, and of known time");
    }
    strcat(rows, "DELETE FROM norm_result;");
    ck_assert_int_eq(plot(&e), -ENODATA);
    HAS(e.text, "no memory events");
    strcat(rows, "DROP TABLE norm_result;"); /* a database of an older vramscope */
    ck_assert_int_eq(plot(&e), -ENODATA);
    HAS(e.text, "no memory events");
}
END_TEST

Suite *make_plot_norms_suite(void)
{
    Suite *s = suite_create("plot_norms");
    TCase *c = tcase_create("charts");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_add_test(c, test_both_axes_are_logarithmic);
    tcase_add_test(c, test_no_bytes_have_a_row_of_their_own);
    tcase_add_test(c, test_panels_and_their_limit);
    tcase_add_test(c, test_hostile_names);
    tcase_add_test(c, test_only_layers_that_were_measured_alone);
    suite_add_tcase(s, c);
    return s;
}
