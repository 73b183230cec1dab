/* SPDX-License-Identifier: MIT
 *
 * test_plot_category.c: categories in the charts: layers over time that add up, one colour for one word everywhere, and
 * runs or ranks side by side. Must never judge by time.
 */
#include "plot_case.h"

#include "../db/category.h"
#include "../viz/category.h"
#include "../viz/layers.h"

Suite *make_plot_category_suite(void);

enum { BUCKETS = 64 };
static const double WIDTH = 0.1; /* s */

static void add_category(int process, double at_s, const char *category, double bytes)
{
    sql("INSERT INTO timeline_category VALUES (%d, 0, %lld, %lld, %lld, %Q, %lld)", process,
        1000000 + (long long)(at_s * 1e9), (long long)(WIDTH * 1e9), 1000000 + (long long)(at_s * 1e9), category,
        (long long)bytes);
}

/* Parameters all the time, activations in every fourth bucket, something unheard of in one. */
static double bytes_of(const char *category, int bucket)
{
    if (!strcmp(category, "parameter")) return GIB;
    if (!strcmp(category, "activation")) return bucket % 4 == 3 ? (1 + bucket) * GIB / 8 : 0;
    return bucket == 10 ? GIB / 2 : 0;
}

static void add_layers(int process)
{
    static const char *const categories[] = {"activation", "parameter", "of_tomorrow"};
    for (int i = 0; i < BUCKETS; i++)
        for (int k = 0; k < 3; k++)
            if (bytes_of(categories[k], i) > 0) add_category(process, i * WIDTH, categories[k], bytes_of(categories[k], i));
    add_bucket(process, 0, "sub", 0, BUCKETS * WIDTH, 0, 9 * GIB);
    add_peak(process, 0, "sub", 63 * WIDTH, 9 * GIB);
    add_at_peak(process, 0, "sub", "torch", "parameter", NULL, GIB);
    add_at_peak(process, 0, "sub", "torch", "activation", NULL, 6 * GIB);
    add_at_peak(process, 0, "sub", "torch", "comm_buffer", NULL, GIB);
    add_at_peak(process, 0, "sub", "torch", "unsharded_gradient", NULL, GIB);
}

struct layer {
    double x[4 * BUCKETS + 8], y[4 * BUCKETS + 8];
    int points;
};

static int read_layers(const char *path, struct layer layer[3])
{
    char line[128];
    int n = 0, blank = 0;
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    memset(layer, 0, 3 * sizeof *layer);
    while (fgets(line, sizeof line, f)) {
        double x = NAN, y = NAN;
        if (sscanf(line, "%lf %lf", &x, &y) != 2) {
            blank++;
            continue;
        }
        if (blank >= 2) n++;
        ck_assert_int_lt(n, 3);
        if (blank == 1) layer[n].x[layer[n].points] = NAN, layer[n].points++; /* interrupted */
        blank = 0;
        ck_assert_int_lt(layer[n].points, (int)(sizeof layer->x / sizeof *layer->x) - 2);
        layer[n].x[layer[n].points] = x;
        layer[n].y[layer[n].points++] = y;
    }
    fclose(f);
    return n + 1;
}

/* 0 where the layer is interrupted. */
static double height_at(const struct layer *l, double x)
{
    for (int i = 0; i + 1 < l->points; i++)
        if (l->x[i] <= x && x < l->x[i + 1]) return l->y[i];
    return 0;
}

START_TEST(test_layers_add_up_to_what_is_live)
{
    static struct layer layer[3];
    struct vs_devices devices;
    struct vs_layers known;
    struct vs_page page;
    const struct vs_curve_scale scale = {1e9, GIB, 0};
    add_process(1, 0, 7);
    add_layers(1);
    sql("DELETE FROM timeline_category WHERE ts_ns BETWEEN 3001000000 AND 3599000000"); /* not known for a while */
    ck_assert_int_eq(vs_devices_load(made, 8, &devices, &error), 0);
    ck_assert_int_eq(vs_layers_load(made, &devices.item[0], &known, &error), 0);
    ck_assert(known.known && known.gaps);
    ck_assert_double_eq(known.peak_bytes[vs_category_place("activation")], 6 * GIB);
    vs_page_open(&page, ".");
    ck_assert_int_eq(vs_layers_write(made, &page, "layers", "colors", &known, &devices.item[0], &scale, &error), 0);
    ck_assert_int_eq(vs_page_close(&page, &error), 0);
    ck_assert_int_eq(read_layers("layers", layer), 3); /* from the top: unknown, activation, parameter */
    for (int i = 0; i < BUCKETS; i++) {
        double x = (i + 0.5) * WIDTH, parameter = 1, activation = bytes_of("activation", i) / GIB,
               unknown = bytes_of("of_tomorrow", i) / GIB;
        int gap = i >= 30 && i < 36;
        ck_assert_double_eq_tol(height_at(&layer[2], x), gap ? 0 : parameter, 1e-6);
        ck_assert_double_eq_tol(height_at(&layer[1], x), gap || activation <= 0 ? 0 : parameter + activation, 1e-6);
        ck_assert_double_eq_tol(height_at(&layer[0], x), gap || unknown <= 0 ? 0 : parameter + activation + unknown, 1e-6);
    }
    char expected[64];
    snprintf(expected, sizeof expected, "%u\n%u\n%u\n", 0xa9b0b8u, 0xccbb44u, 0x4477aau);
    ck_assert_str_eq(slurp("colors"), expected);
    vs_devices_free(&devices);
}
END_TEST

/* As gnuplot's svg writes it. */
static int has_color(const char *svg, unsigned rgb)
{
    char text[40];
    snprintf(text, sizeof text, "rgb(%3u, %3u, %3u)", rgb >> 16, rgb >> 8 & 255, rgb & 255);
    return strstr(svg, text) != NULL;
}

START_TEST(test_one_colour_for_a_category_in_every_chart)
{
    if (no_gnuplot()) return;
    for (int p = 1; p <= 2; p++) {
        add_process(p, 0, 7);
        add_layers(p);
    }
    ck_assert_msg(!plot("out"), "%s", error.text);
    ck_assert_int_eq(wrote_count, 6);
    char *timeline = slurp("out/memory_timeline.svg"), *breakdown = slurp("out/memory_breakdown.svg");
    ck_assert(has_color(timeline, 0x4477aa) && has_color(timeline, 0xccbb44));
    ck_assert(has_color(breakdown, 0x4477aa) && has_color(breakdown, 0xaa3377) && has_color(breakdown, 0xf9bcc4));
    ck_assert_ptr_nonnull(strstr(timeline, "activation 6.00 GiB"));
    ck_assert_ptr_nonnull(strstr(timeline, "at the peak of rank 0 · GPU 0:"));
    char *comparison = slurp("out/memory_breakdown_comparison.svg");
    ck_assert(has_color(comparison, 0x4477aa) && has_color(comparison, 0xaa3377) && has_color(comparison, 0xf9bcc4));
    ck_assert_ptr_nonnull(strstr(comparison, "Peak memory of two ranks"));
}
END_TEST

START_TEST(test_what_is_all_unknown_is_drawn_as_one_area)
{
    if (no_gnuplot()) return;
    add_process(1, 0, 7);
    for (int i = 0; i < BUCKETS; i++) add_category(1, i * WIDTH, "unknown", GIB);
    add_bucket(1, 0, "sub", 0, BUCKETS * WIDTH, 0, GIB);
    add_peak(1, 0, "sub", 1, GIB);
    add_at_peak(1, 0, "sub", "torch", "unknown", "layer 1", GIB);
    ck_assert_msg(!plot("out"), "%s", error.text);
    char *timeline = slurp("out/memory_timeline.svg");
    ck_assert_ptr_nonnull(strstr(timeline, "in use by the program"));
    ck_assert_ptr_null(strstr(timeline, ">unknown"));
    ck_assert_ptr_nonnull(strstr(slurp("out/memory_breakdown.svg"), "by allocating range"));
}
END_TEST

static void add_phases(int iterations, double seconds)
{
    static const char *const names[] = {"forward", "backward", "optimizer"};
    for (int i = 0; i < iterations; i++)
        for (int k = 0; k < 3; k++)
            sql("INSERT INTO phase (process_id, name, iteration, begin_ns, end_ns, origin) VALUES (1, %Q, %d, %lld, %lld,"
                " 'inferred')",
                names[k], i, 1000000 + (long long)((i * 3 + k) * seconds / iterations / 3 * 1e9),
                1000000 + (long long)((i * 3 + k + 1) * seconds / iterations / 3 * 1e9));
}

START_TEST(test_many_phases_become_iterations)
{
    if (no_gnuplot()) return;
    add_process(1, 0, 7);
    add_layers(1);
    add_phases(4, 6.4);
    ck_assert_msg(!plot("out"), "%s", error.text);
    char *few = slurp("out/memory_timeline.svg");
    ck_assert(strstr(few, "backward 3") && strstr(few, "strip: phases of the program"));
    sql("DELETE FROM phase");
    add_phases(500, 6.4);
    ck_assert_msg(!plot("out"), "%s", error.text);
    char *many = slurp("out/memory_timeline.svg");
    ck_assert(strstr(many, "strip: iterations") && strstr(many, "0 … 41") && !strstr(many, "backward"));
    add_range(1, 0, "training", 0, 6); /* the program's own word goes first; iterations stay marked */
    ck_assert_msg(!plot("out"), "%s", error.text);
    char *ranges = slurp("out/memory_timeline.svg");
    ck_assert(strstr(ranges, "vertical lines: iterations begin") && strstr(ranges, "training"));
}
END_TEST

static struct vs_db *run_of(const char *path, double scale, const char *category)
{
    struct vs_db *db = NULL;
    if (made) sqlite3_close(made);
    ck_assert_int_eq(sqlite3_open(path, &made), SQLITE_OK);
    sqlite3_exec(made, vs_schema_sql, NULL, NULL, NULL);
    sql("INSERT OR REPLACE INTO meta VALUES ('format_version', '%d')", VS_SCHEMA_VERSION);
    add_process(1, 0, 10);
    add_peak(1, 0, "sub", 1, 4 * scale * GIB);
    add_at_peak(1, 0, "sub", "torch", "parameter", NULL, scale * GIB);
    add_at_peak(1, 0, "sub", "torch", category, NULL, 3 * scale * GIB);
    ck_assert_int_eq(vs_db_open(path, &db, &error), 0);
    return db;
}

START_TEST(test_runs_side_by_side)
{
    struct vs_plot_options how = {.quiet = 1, .wrote = wrote, .arg = &wrote_count};
    struct vs_db *db[3];
    static const char *const names[] = {"before", "`touch pwned` $(x) \"two\"", "<third> {a}_b"};
    if (no_gnuplot()) return;
    sql("COMMIT");
    db[0] = run_of("a.db", 1, "activation");
    db[1] = run_of("b.db", 1.5, "activation");
    db[2] = run_of("c.db", 0.5, "gradient");
    ck_assert_msg(!vs_plot_runs(db, names, 2, "out", &how, &error), "%s", error.text);
    ck_assert_int_eq(wrote_count, 2);
    ck_assert_int_eq(entries("out"), 2);
    char *two = slurp("out/memory_breakdown_comparison.svg");
    ck_assert_ptr_nonnull(strstr(two, "Peak memory of two runs: `touch pwned` $(x) \"two\" +50.0 % against before"));
    ck_assert(strstr(two, "4.00 GiB") && strstr(two, "6.00 GiB") && strstr(two, "activation  4.50 GiB"));
    ck_assert_msg(!vs_plot_runs(db, names, 3, "out", &how, &error), "%s", error.text);
    char *three = slurp("out/memory_breakdown_comparison.svg");
    ck_assert_ptr_nonnull(strstr(three, "Peak memory of 3 runs: 2.00 GiB to 6.00 GiB in use"));
    ck_assert(has_color(three, 0x4477aa) && has_color(three, 0xccbb44) && has_color(three, 0xee6677));
    ck_assert_ptr_nonnull(strstr(three, "&lt;third> {a}_b"));
    ck_assert_int_eq(access("pwned", F_OK), -1);
    for (int i = 0; i < 3; i++) vs_db_close(db[i]);
}
END_TEST

START_TEST(test_nothing_to_compare)
{
    struct vs_plot_options how = {.quiet = 1};
    struct vs_db *db[2];
    sql("COMMIT");
    db[0] = run_of("a.db", 1, "activation");
    ck_assert_int_eq(vs_db_open("run.db", &db[1], &error), 0); /* empty */
    ck_assert_int_eq(vs_plot_runs(db, (const char *const[]){"a", "b"}, 2, "out", &how, &error), -ENODATA);
    ck_assert_ptr_nonnull(strstr(error.text, "only one of the recordings"));
    ck_assert_int_eq(vs_plot_runs(db, (const char *const[]){"a"}, 1, "out", &how, &error), -EINVAL);
    for (int i = 0; i < 2; i++) vs_db_close(db[i]);
}
END_TEST

START_TEST(test_every_category_has_a_place_and_a_colour)
{
    for (int i = 1; i < VS_NCATEGORIES; i++) ck_assert_int_ge(vs_category_place(vs_category_names[i]), 0);
    ck_assert_int_eq(VS_NCATEGORIES - 1, VS_CATEGORY_COUNT);
    ck_assert_int_eq(vs_category_place(NULL), -1);
    ck_assert_int_eq(vs_category_place("no such word"), -1);
    for (int i = 0; i < VS_CATEGORY_COUNT; i++)
        for (int k = 0; k < i; k++) ck_assert_uint_ne(vs_category_looks[i].rgb, vs_category_looks[k].rgb);
}
END_TEST

Suite *make_plot_category_suite(void)
{
    Suite *s = suite_create("plot_category");
    TCase *t = tcase_create("charts");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_layers_add_up_to_what_is_live);
    tcase_add_test(t, test_one_colour_for_a_category_in_every_chart);
    tcase_add_test(t, test_what_is_all_unknown_is_drawn_as_one_area);
    tcase_add_test(t, test_many_phases_become_iterations);
    tcase_add_test(t, test_runs_side_by_side);
    tcase_add_test(t, test_nothing_to_compare);
    tcase_add_test(t, test_every_category_has_a_place_and_a_colour);
    suite_add_tcase(s, t);
    return s;
}
