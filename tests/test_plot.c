/* SPDX-License-Identifier: MIT
 *
 * test_plot.c: charts of databases made here by hand, looked at through the svg text. Must never judge by time.
 */
#include "plot_case.h"

#include "../viz/label.h"

Suite *make_plot_suite(void);

static const char *const files[] = {"memory_timeline.png", "memory_timeline.svg", "memory_breakdown.png",
                                    "memory_breakdown.svg", "memory_breakdown_comparison.png",
                                    "memory_breakdown_comparison.svg"};

static void assert_drawn(const char *out, int count)
{
    char path[128];
    ck_assert_int_eq(wrote_count, count);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", out, files[i]);
        char *text = slurp(path);
        ck_assert(i % 2 ? strstr(text, "</svg>") != NULL : !memcmp(text, "\211PNG", 4));
    }
}

static const struct {
    const char *name, *in_svg;
} hostile[] = {
    {"`touch pwned`", "`touch pwned`"},
    {"$(touch pwned) | touch pwned", "$(touch pwned) | touch pwned"},
    {"@ARG1 {a}_b^2 ~x &y", "@ARG1 {a}_b^2 ~x &amp;y"},
    {"\"two\" 'one' \"", "\"two\" 'one' \""},
    {"system(\"touch pwned\") # no", "system(\"touch pwned\") # no"},
    {"100% %s %n \\n \\042", "100% %s %n \\n \\042"},
    {"a\nb\tc\001d", "a↵b c\357\277\275d"},
    {"前向", "前向"},
    {"<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"},
    {"NaN", ">NaN<"},
};
enum { HOSTILE = sizeof hostile / sizeof *hostile, SHADED = 8 }; /* a timeline has 8 colours for ranges */

START_TEST(test_hostile_names_are_shown_and_nothing_is_executed)
{
    if (no_gnuplot()) return;
    add_process(1, 0, 100);
    sql("UPDATE process SET command_line = '`touch pwned` $(touch pwned) \"train\".py'");
    sql("UPDATE device SET name = '`touch pwned`'");
    add_bucket(1, 0, "sub", 1, 1, 0, HOSTILE * GIB);
    add_peak(1, 0, "sub", 1, HOSTILE * GIB);
    for (int i = 0; i < HOSTILE; i++) {
        if (i < SHADED) add_range(1, 0, hostile[i].name, 2 + i * 12, 13 + i * 12);
        add_at_peak(1, 0, "sub", "torch", NULL, hostile[i].name, GIB);
    }
    ck_assert_msg(!plot("out"), "%s", error.text);
    assert_drawn("out", 4);
    char *timeline = slurp("out/memory_timeline.svg"), *breakdown = slurp("out/memory_breakdown.svg");
    for (int i = 0; i < HOSTILE; i++) {
        ck_assert_msg(i >= SHADED || strstr(timeline, hostile[i].in_svg), "timeline lacks %s", hostile[i].in_svg);
        ck_assert_msg(strstr(breakdown, hostile[i].in_svg) != NULL, "breakdown lacks %s", hostile[i].in_svg);
    }
    ck_assert_ptr_nonnull(strstr(timeline, "`touch pwned` $(touch pwned) \"train\".py"));
    ck_assert_int_eq(access("pwned", F_OK), -1);
    ck_assert_int_eq(entries("out"), 4);
}
END_TEST

START_TEST(test_one_event)
{
    if (no_gnuplot()) return;
    add_process(1, 0, 1);
    add_bucket(1, 0, "held", 0.5, 65e-6, 0, 512);
    add_peak(1, 0, "held", 0.5, 512);
    add_at_peak(1, 0, "held", "cuda", NULL, NULL, 512);
    ck_assert_msg(!plot("out"), "%s", error.text);
    assert_drawn("out", 4);
    char *text = slurp("out/memory_timeline.svg");
    ck_assert(strstr(text, "peak 512 B") && strstr(text, "memory (bytes)"));
}
END_TEST

/* y of the axis mark that is labelled so */
static double mark_y(const char *svg, const char *label)
{
    const char *end = strstr(svg, label), *at = NULL;
    double y = NAN;
    ck_assert_msg(end != NULL, "no mark %s", label);
    for (const char *p = svg; (p = strstr(p, "d='M100.00,")) && p < end; p++) at = p;
    ck_assert(at && sscanf(at, "d='M100.00,%lf", &y) == 1);
    return y;
}

START_TEST(test_the_peak_is_drawn_at_its_height)
{
    double x, y = NAN;
    char point[32];
    if (no_gnuplot()) return;
    add_process(1, 0, 10);
    /* A spike of one bucket among 8192: thinned away by anything that does not keep the highest. */
    for (int i = 0; i < 8192; i++)
        add_bucket(1, 0, "sub", i * 10 / 8192.0, 10 / 8192.0, 20 * GIB, i == 5001 ? 61.5 * GIB : 21 * GIB);
    add_peak(1, 0, "sub", 5001.5 * 10 / 8192, 61.5 * GIB);
    ck_assert_msg(!plot("out"), "%s", error.text);
    ck_assert_int_eq(wrote_count, 2); /* no at_peak: no breakdown */
    char *text = slurp("out/memory_timeline.svg");
    const char *peak = strstr(text, "href='#gpPt6' transform='translate(");
    ck_assert(peak && sscanf(peak, "href='#gpPt6' transform='translate(%lf,%lf)", &x, &y) == 2);
    double zero = mark_y(text, "<text>0</text>"), forty = mark_y(text, "<text>40</text>");
    ck_assert_double_eq_tol(y, zero + (forty - zero) / 40 * 61.5, 0.6);
    *(char *)strstr(text, "href='#gpPt6' transform=") = 0; /* what is drawn before the mark: the curve reaches it too */
    snprintf(point, sizeof point, ",%.2f", y);
    ck_assert_msg(strstr(text, point) != NULL, "no curve point at %s", point);
}
END_TEST

START_TEST(test_many_devices_and_full_timelines)
{
    static const char *const series[] = {"sub", "held", "driver_used"};
    struct timespec a, b;
    if (no_gnuplot()) return;
    for (int p = 1; p <= 11; p++) {
        add_process(p, 0, 100);
        for (int s = 0; s < 3; s++) {
            for (int i = 0; i < 8192; i++)
                add_bucket(p, 0, series[s], i * 100 / 8192.0, 100 / 8192.0, i % 97 * GIB / 4,
                           (p + i % 97 + s) * GIB / 4);
            add_peak(p, 0, series[s], 1, (96 + p + s) * GIB / 4);
        }
        add_at_peak(p, 0, "sub", "torch", "activation", NULL, (96 + p) * GIB / 4);
        for (int i = 0; i < 500; i++) add_range(p, 0, i % 2 ? "forward" : "backward", i * 0.2, i * 0.2 + 0.19);
    }
    sql("COMMIT");
    clock_gettime(CLOCK_MONOTONIC, &a);
    ck_assert_msg(!plot("out"), "%s", error.text);
    clock_gettime(CLOCK_MONOTONIC, &b);
    fprintf(stderr, "test_plot: 8 panels of 3 x 8192 buckets: %.2f s\n",
            (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
    assert_drawn("out", 6);
    char *text = slurp("out/memory_timeline.svg");
    ck_assert_ptr_nonnull(strstr(text, "8 of 11"));
    ck_assert(strstr(text, "rank 3 ") && !strstr(text, "rank 2 "));
    ck_assert_ptr_nonnull(strstr(text, "backward … forward"));
}
END_TEST

START_TEST(test_breakdown_groups)
{
    if (no_gnuplot()) return;
    add_process(1, 0, 10);
    add_bucket(1, 0, "sub", 1, 1, 0, 20 * GIB);
    add_peak(1, 0, "sub", 1, 21 * GIB);
    add_peak(1, 0, "held", 1, 24 * GIB);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer %d", i);
        add_at_peak(1, 0, "sub", "torch", NULL, name, GIB);
    }
    add_at_peak(1, 0, "held", "cuda", NULL, NULL, 23 * GIB);
    add_at_peak(1, 0, "held", "nccl", NULL, NULL, GIB);
    ck_assert_msg(!plot("out"), "%s", error.text);
    char *text = slurp("out/memory_breakdown.svg");
    ck_assert_ptr_nonnull(strstr(text, "21.00 GiB in use, 24.00 GiB held"));
    ck_assert_ptr_nonnull(strstr(text, "other (9 more)")); /* 20 names and "not itemised": 21 - 12 */
    ck_assert_ptr_nonnull(strstr(text, "nccl"));
}
END_TEST

START_TEST(test_host_only_where_there_is_no_gpu)
{
    if (no_gnuplot()) return;
    add_process(1, 0, 10);
    add_process(2, -1, 10);
    for (int p = 1; p <= 2; p++) {
        add_bucket(p, -1, "held", 1, 1, 0, GIB);
        add_peak(p, -1, "held", 1, GIB);
        add_at_peak(p, -1, "held", "host", NULL, NULL, GIB);
    }
    add_bucket(1, 0, "held", 1, 1, 0, GIB);
    add_peak(1, 0, "held", 1, GIB);
    ck_assert_msg(!plot("out"), "%s", error.text);
    char *text = slurp("out/memory_timeline.svg");
    ck_assert_ptr_nonnull(strstr(text, "rank 0 · GPU 0"));
    ck_assert_ptr_null(strstr(text, "rank 0 · host"));
    ck_assert_ptr_nonnull(strstr(text, "rank 1 · host memory"));
}
END_TEST

START_TEST(test_errors_say_what_to_do)
{
    ck_assert_int_eq(plot("out"), -ENODATA);
    ck_assert_ptr_eq(strstr(error.text, "nothing to draw: "), error.text);
    ck_assert_int_eq(entries("out"), 0);
    add_process(1, 0, 10);
    add_bucket(1, 0, "held", 1, 1, 0, GIB);
    add_peak(1, 0, "held", 1, GIB);
    fclose(fopen("file", "we"));
    ck_assert_int_lt(plot("file"), 0);
    ck_assert_ptr_nonnull(strstr(error.text, "output folder file"));
    ck_assert_int_lt(plot("/proc/none"), 0);
    ck_assert_ptr_nonnull(strstr(error.text, "output folder /proc/none"));
    setenv("PATH", "", 1);
    ck_assert_int_eq(plot("out"), -ENOENT);
    ck_assert_str_eq(error.text, "gnuplot is not installed: apt-get install gnuplot-nox (Debian/Ubuntu), "
                                 "dnf install gnuplot (Fedora/RHEL)");
    ck_assert_int_eq(entries("out"), 0);
    ck_assert_int_eq(mkdir("bin", 0700), 0);
    FILE *f = fopen("bin/gnuplot", "we");
    fputs("#!/bin/sh\necho >&2; echo '     ^' >&2; echo '\"page.gp\" line 9: no such terminal' >&2; exit 1\n", f);
    fclose(f);
    chmod("bin/gnuplot", 0700);
    setenv("PATH", "../bin:../../bin", 1); /* of the folder gnuplot runs in, out/.vramscope-plot-* */
    ck_assert_int_eq(plot("out"), -EIO);
    ck_assert_ptr_nonnull(strstr(error.text, "line 9: no such terminal"));
    ck_assert_int_eq(entries("out"), 0);
    setenv("PATH", "/usr/bin:/bin", 1); /* for teardown */
}
END_TEST

START_TEST(test_labels)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {NULL, "(no name)"},
        {"0123456789", "0123456…"},
        {"\xff\xc0\x80", "���"},
        {"\xed\xa0\x80", "���"},
        {"\342\200\256x", "�x"},
        {"前向传播前向传播", "前向传播前向传播"},
        {"前向传播前向传播前", "前向传播前向传…"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vs_label_clean(out, sizeof out, cases[i].text, cases[i].text && *cases[i].text ? 8 : 60);
        ck_assert_str_eq(out, cases[i].shown);
    }
    for (size_t room = 1; room < sizeof out; room++) {
        memset(out, 'X', sizeof out);
        vs_label_clean(out, room, "前向\001传播 and on and on and on and on and on and on and on", 60);
        ck_assert_uint_lt(strnlen(out, sizeof out), room);
    }
}
END_TEST

Suite *make_plot_suite(void)
{
    Suite *s = suite_create("plot");
    TCase *t = tcase_create("charts");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_hostile_names_are_shown_and_nothing_is_executed);
    tcase_add_test(t, test_one_event);
    tcase_add_test(t, test_the_peak_is_drawn_at_its_height);
    tcase_add_test(t, test_many_devices_and_full_timelines);
    tcase_add_test(t, test_breakdown_groups);
    tcase_add_test(t, test_host_only_where_there_is_no_gpu);
    tcase_add_test(t, test_errors_say_what_to_do);
    tcase_add_test(t, test_labels);
    suite_add_tcase(s, t);
    return s;
}
