/* SPDX-License-Identifier: MIT
 *
 * test_cli_report.c: the report of known rows, word for word (VS_GOLDEN_UPDATE=1 rewrites it), and what must hold of every
 * report: one screen, no control characters, losses and missing ranks said.
 */
#include "test_cli.h"

#define GOLDEN VS_SOURCE_DIR "/tests/golden/"

Suite *make_cli_report_suite(void);

static char sql[65536];

static void known(const char *more)
{
    size_t n;
    cli_read(GOLDEN "cli_report.sql", sql, sizeof sql);
    n = strlen(sql);
    ck_assert_uint_gt(n, 0);
    snprintf(sql + n, sizeof sql - n, "%s", more);
    cli_database("known.db", sql);
}

/* Columns as characters: the report cuts wide ones itself. */
static void check_screen(const char *text, int most_lines)
{
    int lines = 0, columns = 0;
    for (; *text; text++) {
        if (*text == '\n') {
            lines++;
            columns = 0;
            continue;
        }
        ck_assert_msg((unsigned char)*text >= ' ' && *text != 127, "control character %d", *text);
        columns += ((unsigned char)*text & 0xc0) != 0x80;
        ck_assert_int_le(columns, 100);
    }
    ck_assert_int_le(lines, most_lines);
}

START_TEST(test_golden)
{
    static char expected[65536];
    const char *update = getenv("VS_GOLDEN_UPDATE");
    known("");
    CLI("report", "known.db");
    STATUS(0);
    ck_assert_str_eq(got.err, "");
    check_screen(got.out, 60); /* every section at once, with a post-mortem and a leak; 48 or fewer in a healthy run */
    if (update && *update == '1') {
        FILE *f = fopen(GOLDEN "cli_report.txt", "w");
        fputs(got.out, f);
        fclose(f);
    }
    cli_read(GOLDEN "cli_report.txt", expected, sizeof expected);
    ck_assert_str_eq(got.out, expected);
}
END_TEST

START_TEST(test_rank)
{
    known("");
    CLI("report", "known.db", "--rank", "1");
    STATUS(0);
    HAS(got.out, "rank 1 GPU 1");
    HAS_NOT(got.out, "rank 0");
    HAS(got.out, "8404051000");
    CLI("report", "--rank=7", "known.db");
    STATUS(1);
    HAS(got.err, "rank 7 was not recorded; there are ranks 0 to 1");
}
END_TEST

START_TEST(test_many_ranks)
{
    known("; WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 64) INSERT INTO process(id, pid, rank,"
          " world_size, ended, start_ns, start_real_ns, end_ns) SELECT i, i, i - 1, 64, 'exit', 0, 0, 1 FROM n;"
          " INSERT INTO peak_data SELECT id, 0, 'held', id * 1000000, 1, 1, 1, 1, NULL FROM process WHERE id > 2;"
          " INSERT INTO peak_data SELECT id, -1, 'held', 9, 1, 1, 1, 1, NULL FROM process WHERE id > 2");
    CLI("report", "known.db");
    STATUS(0);
    check_screen(got.out, 64);
    HAS(got.out, "rank 0 GPU 0");
    HAS(got.out, "  ... 57 more");
    HAS(got.out, "rank 2 GPU 0"); /* the lowest */
    HAS_NOT(got.out, "ranks were recorded");
}
END_TEST

START_TEST(test_hostile_names)
{
    known("; UPDATE process SET command_line = 'x' || char(27) || ']0;title' || char(7) || char(10) || 'next: rm -rf', host ="
          " char(155) || '2J'; UPDATE string SET text = char(8238) || char(13) || CAST(x'ff' AS TEXT) || text");
    CLI("report", "known.db");
    STATUS(0);
    check_screen(got.out, 60);
    HAS(got.out, "x\\x1b]0;title\\x07\\nnext: rm -rf");
    HAS_NOT(got.out, "\nnext: rm");
    HAS(got.out, "\\u202e\\r\\xff");
}
END_TEST

START_TEST(test_healthy)
{
    cli_database("fine.db",
                 "INSERT INTO process(id, pid, host, command_line, start_ns, start_real_ns, end_ns, ended) VALUES"
                 " (1, 5, 'h', 'prog', 0, 0, 2000000000, 'exit'); INSERT INTO peak_data VALUES"
                 " (1, -1, 'held', 1024, 1000000, 0, 1, 1, NULL)");
    CLI("report", "fine.db");
    STATUS(0);
    ck_assert_str_eq(got.out, "RECORDING  fine.db\n"
                              "  command  prog\n"
                              "  where    h, 1 process, no GPU seen\n"
                              "  when     1970-01-01 00:00:00 UTC, for 2.00 s; trace level not known\n"
                              "  ended    in order\n"
                              "MEMORY host                     peak, bytes         at at the end allocated     freed  in range\n"
                              "  held               1.0 KiB           1024    +1.0 ms        0 B         1         1\n"
                              "NEVER FREED  nothing\n"
                              "LOSSES  none\n"
                              "OWN COST  time not known; log -, RAM -, GPU none\n"
                              "next: vramscope plot fine.db -o charts\n");
}
END_TEST

START_TEST(test_empty)
{
    cli_database("a 'quoted' name.db", "SELECT 1");
    CLI("report", "a 'quoted' name.db");
    STATUS(0);
    HAS(got.out, "holds no process yet");
    HAS(got.out, "next: vramscope plot 'a '\\''quoted'\\'' name.db' -o charts\n");
}
END_TEST

Suite *make_cli_report_suite(void)
{
    Suite *s = suite_create("cli_report");
    TCase *c = tcase_create("report");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_add_test(c, test_golden);
    tcase_add_test(c, test_rank);
    tcase_add_test(c, test_many_ranks);
    tcase_add_test(c, test_hostile_names);
    tcase_add_test(c, test_healthy);
    tcase_add_test(c, test_empty);
    suite_add_tcase(s, c);
    return s;
}
