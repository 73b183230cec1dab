/* SPDX-License-Identifier: MIT
 *
 * test_plot_ranks.c: the chart of ranks over time, of databases made by hand, looked at through the svg text: what is where, in
 * pixels worked out here.
 */
#include "plot_case.h"

Suite *make_plot_ranks_suite(void);

enum { LEFT = 220, WIDTH = 1344 }; /* of a strip, whose columns are 2 pixels wide */

static const char compute[] = "rgb(  0, 114, 178)", both[] = "rgb(  0, 158, 115)", communication[] = "rgb(213,  94,   0)";

static void add_rank(int rank, const char *host, long long offset)
{
    sql("INSERT INTO process (id, host, pid, rank, command_line, start_ns, start_real_ns, end_ns) VALUES (%d, %Q, %d, %d, 'train', 0, 0, 1000)",
        rank + 1, host, 100 + rank, rank);
    sql("INSERT INTO process_clock VALUES (%d, %lld, 'host')", rank + 1, offset);
}

static void add_activity(int rank, int device, long long ts, long long width, long long alone, long long exposed, long long at_once)
{
    sql("INSERT INTO rank_activity VALUES (%d, %d, %lld, %lld, %lld, %lld, %lld)", rank + 1, device, ts, width, alone, exposed, at_once);
}

static void add_step(int rank, int iteration, long long begin, long long end, long long first, long long last)
{
    sql("INSERT INTO step_overlap_data VALUES (%d, 0, NULLIF(%d, -1), %lld, %lld, 30, 10, 90, 0, 2, 2, %lld, %lld)", rank + 1, iteration, begin, end, first, last);
}

static void add_kernel(int id, int rank, const char *name, long long begin, long long end)
{
    sql("INSERT INTO string (text) SELECT %Q WHERE NOT EXISTS (SELECT 1 FROM string WHERE text = %Q)", name, name);
    sql("INSERT INTO kernel (id, process_id, device, name_id, begin_ns, end_ns) SELECT %d, %d, 0, id, %lld, %lld FROM string WHERE text = %Q",
        id, rank + 1, begin, end, name);
}

/* Is there a box of this colour that begins (and ends) there? Boxes are closed paths from the lower left corner. */
static int box(const char *svg, const char *rgb, double x0, double x1, double height)
{
    char fill[64];
    snprintf(fill, sizeof fill, "fill = '%s'", rgb);
    for (const char *p = svg; (p = strstr(p, "<polygon fill = '"));) {
        const char *points = strstr(p, "points = '");
        double ax, ay, bx, by, cx, cy;
        if (!strncmp(p + 9, fill, strlen(fill)) && points &&
            sscanf(points, "points = '%lf,%lf %lf,%lf %lf,%lf", &ax, &ay, &bx, &by, &cx, &cy) == 6 && fabs(fmin(ax, cx) - x0) < 2.1 &&
            fabs(fmax(ax, cx) - x1) < 2.1 && (height < 0 || fabs(fabs(ay - cy) - height) < 1.2))
            return 1;
        p++;
    }
    return 0;
}

#define DRAWN()                                                                                                        \
    if (no_gnuplot()) return;                                                                                          \
    ck_assert_msg(!plot("out"), "%s", error.text);                                                                     \
    char *svg = slurp("out/rank_timeline.svg")

START_TEST(test_shares_of_the_run)
{
    for (int r = 0; r < 2; r++) add_rank(r, "box", r ? 500 : 0); /* rank 1's clock is 500 ns behind */
    add_activity(0, 0, 0, 1000, 1000, 0, 0);
    add_activity(0, 0, 1000, 1000, 0, 250, 500);
    add_activity(1, 0, 500, 1000, 0, 1000, 0); /* at 1000 to 2000 on the one clock */
    DRAWN();
    ck_assert(box(svg, compute, LEFT, LEFT + WIDTH / 2, 56));
    ck_assert(box(svg, both, LEFT + WIDTH / 2, LEFT + WIDTH, 28));
    ck_assert(box(svg, communication, LEFT + WIDTH / 2, LEFT + WIDTH, 14));
    ck_assert(box(svg, communication, LEFT + WIDTH / 2, LEFT + WIDTH, 56));
    ck_assert(!box(svg, compute, LEFT + WIDTH / 2, LEFT + WIDTH, -1));
    ck_assert(strstr(svg, "rank 1 · GPU 0") && strstr(svg, "67 % hidden") && !strstr(svg, "enlarged"));
    ck_assert_int_eq(access("out/rank_timeline.png", R_OK), 0);
}
END_TEST

START_TEST(test_the_middle_iteration_is_enlarged)
{
    const double at = WIDTH / 106.0; /* 100 ns and margins of 3 */
    for (int r = 0; r < 2; r++) {
        add_rank(r, "box", 0);
        add_activity(r, 0, 0, 1024, 500, 0, 0);
        for (int i = 0; i < 3; i++) add_step(r, i, 100 * i + 1000, 100 * i + 1100, 1000 * r + 10 * i, 1000 * r + 10 * i + 9);
        add_kernel(1000 * r + 10, r, "gemm", 1100, 1140);
        add_kernel(1000 * r + 11, r, "gemm", 1120, 1150); /* another stream: drawn once */
        add_kernel(1000 * r + 12, r, "ncclDevKernel_AllGather_RING_LL(x)", r ? 1110 : 1150, r ? 1160 : 1170);
        add_kernel(1000 * r + 200, r, "gemm", 1180, 1190); /* of no iteration nearby, by its number: not looked at */
    }
    DRAWN();
    ck_assert_ptr_nonnull(strstr(svg, "iteration 1, enlarged"));
    ck_assert(box(svg, compute, LEFT + 3 * at, LEFT + 53 * at, 56));
    ck_assert(box(svg, communication, LEFT + 53 * at, LEFT + 73 * at, 56));
    ck_assert(box(svg, both, LEFT + 13 * at, LEFT + 53 * at, 56)); /* of rank 1 */
    ck_assert(!box(svg, compute, LEFT + 83 * at, LEFT + 93 * at, -1));
    ck_assert_ptr_nonnull(strstr(svg, "90 % hidden")); /* of the iteration, as its row says */
}
END_TEST

START_TEST(test_one_iteration_is_not_shown_twice)
{
    for (int r = 0; r < 2; r++) {
        add_rank(r, "box", 0);
        add_activity(r, 0, 0, 1024, 500, 0, 0);
        add_step(r, 0, 10, 1000, 1000 * r + 1, 1000 * r + 2);
    }
    DRAWN();
    ck_assert(strstr(svg, "all of the run") && !strstr(svg, "enlarged"));
}
END_TEST

START_TEST(test_of_many_three_are_shown)
{
    for (int r = 0; r < 9; r++) {
        add_rank(r, "box", 0);
        add_activity(r, 0, 0, 1024, r == 3 ? 1000 : r == 7 ? 10 : 400 + r, 0, 0);
    }
    DRAWN();
    ck_assert(strstr(svg, "rank 3 · GPU 0") && strstr(svg, "rank 7 · GPU 0") && strstr(svg, "most compute") && strstr(svg, "least compute"));
    ck_assert(strstr(svg, "rank 4 · GPU 0") && strstr(svg, "median") && !strstr(svg, "rank 0 · GPU 0")); /* 7 0 1 2 4 5 6 8 3 */
    ck_assert_ptr_nonnull(strstr(svg, "of 9"));
}
END_TEST

START_TEST(test_ranks_without_kernels)
{
    for (int r = 0; r < 2; r++) {
        add_rank(r, "box", 0);
        add_activity(r, -1, 0, 1000, 0, 500, 0);
        add_activity(r, -1, 1000, 1000, 0, 1000, 0);
        sql("INSERT INTO phase (process_id, name, iteration, begin_ns, end_ns, origin) VALUES (%d, 'forward', 0, 1000, 1100, 'nvtx')", r + 1);
        sql("INSERT INTO collective (process_id, op, begin_ns, end_ns, origin) VALUES (%d, 'all_reduce', 1050, 1100, 'nvtx')", r + 1);
    }
    DRAWN();
    ck_assert(strstr(svg, "no kernels were recorded") && strstr(svg, "inside a collective") && strstr(svg, "iteration 0, enlarged"));
    ck_assert(!strstr(svg, "compute alone") && !strstr(svg, "hidden"));
    ck_assert(box(svg, communication, LEFT + 53 * WIDTH / 106.0, LEFT + 103 * WIDTH / 106.0, 56));
}
END_TEST

START_TEST(test_one_rank_has_no_such_chart)
{
    if (no_gnuplot()) return;
    add_rank(0, "box", 0);
    add_activity(0, 0, 0, 1000, 1000, 0, 0);
    ck_assert_int_eq(plot("out"), -ENODATA);
    ck_assert_int_eq(access("out/rank_timeline.svg", F_OK), -1);
}
END_TEST

START_TEST(test_ranks_whose_kernels_were_not_recorded)
{
    if (no_gnuplot()) return;
    for (int r = 0; r < 2; r++) add_rank(r, "box", 0);
    sql("INSERT INTO collective_match (team, hash, sequence, op, ranks_recorded, ranks_seen, differs, times, first_start_ns, last_start_ns,"
        " skew_ns, grouped) VALUES (1, 1, 0, 'all_reduce', 2, 2, 0, 'enqueue', 1, 1, 0, 1)");
    ck_assert_int_eq(plot("out"), -ENODATA);
    ck_assert_int_eq(access("out/rank_timeline.svg", F_OK), -1);
}
END_TEST

START_TEST(test_hostile_names_and_what_is_wrong)
{
    static const char evil[] = "`touch pwned` $(touch pwned) \"x\" @y {z}";
    for (int r = 0; r < 2; r++) {
        add_rank(r, r ? "`touch a`" : "$(touch b)", 0);
        add_activity(r, 0, 0, 1000, 1000, 0, 0);
    }
    sql("INSERT INTO collective_match (team, hash, sequence, op, ranks_recorded, ranks_seen, missing, differs, times, first_start_ns,"
        " last_start_ns, skew_ns, grouped) VALUES (1, 1, 57, %Q, 2, 1, '1', 0, 'kernel', 1, 1, 0, 1)", evil);
    DRAWN();
    ck_assert_ptr_nonnull(strstr(svg, "`touch a`"));
    ck_assert_ptr_nonnull(strstr(svg, "`touch pwned` $(touch pwned) \"x\" @y {z} number 57"));
    ck_assert_int_eq(access("pwned", F_OK) & access("a", F_OK) & access("b", F_OK), -1);
    ck_assert_int_eq(entries("out"), 2);
}
END_TEST

START_TEST(test_an_older_database)
{
    if (no_gnuplot()) return;
    add_process(1, 0, 1);
    sql("DROP TABLE rank_activity; DROP VIEW step_overlap; DROP VIEW straggler; DROP TABLE step_overlap_data");
    add_bucket(1, 0, "sub", 0.5, 65e-6, 0, 512);
    add_peak(1, 0, "sub", 0.5, 512);
    ck_assert_msg(!plot("out"), "%s", error.text);
    ck_assert_int_eq(access("out/memory_timeline.svg", F_OK), 0);
}
END_TEST

Suite *make_plot_ranks_suite(void)
{
    Suite *s = suite_create("plot_ranks");
    TCase *t = tcase_create("plot_ranks");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_shares_of_the_run);
    tcase_add_test(t, test_the_middle_iteration_is_enlarged);
    tcase_add_test(t, test_one_iteration_is_not_shown_twice);
    tcase_add_test(t, test_of_many_three_are_shown);
    tcase_add_test(t, test_ranks_without_kernels);
    tcase_add_test(t, test_one_rank_has_no_such_chart);
    tcase_add_test(t, test_ranks_whose_kernels_were_not_recorded);
    tcase_add_test(t, test_hostile_names_and_what_is_wrong);
    tcase_add_test(t, test_an_older_database);
    return s;
}
