/* SPDX-License-Identifier: MIT
 *
 * test_cli_lines.c: what a user sees of Python lines: `report --by line` and `export --format collapsed`.
 */
#include "test_cli.h"

Suite *make_cli_lines_suite(void);

static const char known[] =
    "INSERT INTO process(id, pid, rank, start_ns) VALUES(1, 11, 0, 1000), (2, 12, 1, 1000);"
    "INSERT INTO peak_data VALUES(1, 0, 'sub', 100000, 2001000, 0, 9, 9, NULL), (2, 1, 'sub', 7000, 3001000, 0, 9, 9, NULL);"
    "INSERT INTO frame VALUES(1, 1, '/home/me/run/train.py', '<module>', 88, 0), (2, 1, '/v/site-packages/torch/nn/modules/module.py',"
    " 'Module._call_impl', 1501, 1), (3, 1, 'a;b' || char(10) || char(27) || '[31m.py', 'f;g', 3, 0), (4, 1, NULL, 'backward', NULL, 0),"
    " (5, 2, '/home/me/run/train.py', '<module>', 90, 0);"
    "INSERT INTO stack VALUES(1, 1, NULL, 1, 1), (2, 1, 1, 2, 1), (3, 1, 2, 3, 3), (4, 1, NULL, 4, 4), (5, 1, NULL, NULL, NULL),"
    " (6, 1, 5, 2, NULL), (7, 2, NULL, 5, 5);"
    "INSERT INTO at_peak_line VALUES(1, 0, 'sub', 2, 40000, 3), (1, 0, 'sub', 3, 30000, 2), (1, 0, 'sub', 4, 20000, 1),"
    " (1, 0, 'sub', NULL, 6000, 4), (1, 0, 'sub', 6, 4000, 1), (2, 1, 'sub', 7, 7000, 1);"
    "INSERT INTO allocation_failure(process_id, device, source, bytes, ts_ns) VALUES(1, 0, 'torch', 2147483648, 3001000);"
    "INSERT INTO failure_stack VALUES(1, 3001000, 2);";

START_TEST(test_report_by_line)
{
    cli_database("known.db", known);
    CLI("report", "known.db", "--by", "line");
    STATUS(0);
    HAS(got.out, "39.1 KiB   40.0 %         3  run/train.py:88 <module>");
    HAS(got.out, "30.0 %         2  a;b\\n\\x1b[31m.py:3 f;g");
    HAS(got.out, "20.0 %         1  (backward: by autograd, outside Python)");
    HAS(got.out, "6.0 %         4  (no Python stack known)");
    HAS(got.out, "4.0 %         1  modules/module.py:1501 Module._call_impl");
    HAS(got.out, "97.7 KiB  100.0 %        11  total");
    HAS(got.out, "run/train.py:90 <module>");
    HAS(got.out, "OUT OF MEMORY, rank 0 GPU 0, at +3.0 ms: 2.0 GiB asked for by run/train.py:88 <module>");
    HAS_NOT(got.out, "\x1b");
    CLI("report", "known.db", "--by", "line", "--rank", "1");
    STATUS(0);
    HAS(got.out, "run/train.py:90 <module>");
    HAS_NOT(got.out, "run/train.py:88");
    HAS_NOT(got.out, "OUT OF MEMORY");
    cli_database("none.db", "INSERT INTO process(id, pid) VALUES(1, 11)");
    CLI("report", "none.db", "--by", "line");
    STATUS(0);
    HAS(got.out, "vramscope run --python-lines");
    cli_database("off.db", "INSERT INTO process(id, pid) VALUES(1, 11);"
                           "INSERT INTO setting VALUES(1, 'python_lines_off', 'only CPython 3.10 to 3.13 is known')");
    CLI("report", "off.db", "--by", "line");
    STATUS(0);
    HAS(got.out, "only CPython 3.10 to 3.13 is known");
}
END_TEST

START_TEST(test_many_lines_fit_a_screen)
{
    char sql[65536];
    size_t n = (size_t)snprintf(sql, sizeof sql, "INSERT INTO process(id, pid, start_ns) VALUES(1, 11, 1000);"
                                                 "INSERT INTO peak_data VALUES(1, 0, 'sub', 5050, 2000, 0, 9, 9, NULL);");
    for (int i = 1; i <= 100; i++)
        n += (size_t)snprintf(sql + n, sizeof sql - n,
                              "INSERT INTO frame VALUES(%d, 1, 'long/%0200d.py', 'f', %d, 0);"
                              "INSERT INTO stack VALUES(%d, 1, NULL, %d, %d);"
                              "INSERT INTO at_peak_line VALUES(1, 0, 'sub', %d, %d, 1);",
                              i, i, i, i, i, i, i, i);
    cli_database("many.db", sql);
    CLI("report", "many.db", "--by", "line");
    STATUS(0);
    HAS(got.out, "80 other lines (--all shows them)");
    int lines = 0, column = 0;
    for (const char *p = got.out; *p; p++) {
        column = *p == '\n' ? 0 : column + ((*p & 0xc0) != 0x80);
        lines += *p == '\n';
        ck_assert_int_le(column, 100);
    }
    ck_assert_int_le(lines, 26);
    CLI("report", "many.db", "--by", "line", "--all");
    STATUS(0);
    HAS_NOT(got.out, "other lines");
}
END_TEST

START_TEST(test_collapsed_stacks)
{
    static const char expected[] =
        "rank 0 GPU 0;<module> (/home/me/run/train.py:88);Module._call_impl (/v/site-packages/torch/nn/modules/module.py:1501) 40000\n"
        "rank 0 GPU 0;<module> (/home/me/run/train.py:88);Module._call_impl (/v/site-packages/torch/nn/modules/module.py:1501);"
        "f\\x3bg (a\\x3bb\\n\\x1b[31m.py:3) 30000\n"
        "rank 0 GPU 0;backward 20000\n"
        "rank 0 GPU 0;(no Python stack known) 6000\n"
        "rank 0 GPU 0;(outer frames cut);Module._call_impl (/v/site-packages/torch/nn/modules/module.py:1501) 4000\n"
        "rank 1 GPU 1;<module> (/home/me/run/train.py:90) 7000\n";
    static char file[65536];
    cli_database("known.db", known);
    CLI("export", "known.db", "--format", "collapsed");
    STATUS(0);
    ck_assert_str_eq(got.out, expected);
    CLI("export", "known.db", "-o", "out.txt");
    STATUS(0);
    ck_assert_str_eq(got.out, "");
    cli_read("out.txt", file, sizeof file);
    ck_assert_str_eq(file, expected);
    ck_assert(!cli_exists("out.txt.part"));
    CLI("export", "known.db", "--rank", "1");
    STATUS(0);
    ck_assert_str_eq(got.out, "rank 1 GPU 1;<module> (/home/me/run/train.py:90) 7000\n");
    CLI("export", "known.db", "-o", "no/such/folder/out.txt");
    STATUS(1);
    HAS(got.err, "cannot write no/such/folder/out.txt");
    CLI("export", "known.db", "--format", "svg");
    STATUS(2);
    cli_database("none.db", "INSERT INTO process(id, pid) VALUES(1, 11)");
    CLI("export", "none.db", "-o", "none.txt");
    STATUS(1);
    HAS(got.err, "vramscope run --python-lines");
    ck_assert(!cli_exists("none.txt"));
}
END_TEST

START_TEST(test_run_asks_the_recorder)
{
    setenv("VRAMSCOPE_PYTHON_LINES", "0", 1);
    CLI("run", "--python-lines", "-o", "a.db", "--", "env");
    STATUS(0);
    HAS(got.out, "VRAMSCOPE_PYTHON_LINES=1\n");
    HAS_NOT(got.out, "VRAMSCOPE_PYTHON_LINES=0");
    CLI("run", "-o", "b.db", "--", "env");
    STATUS(0);
    HAS(got.out, "VRAMSCOPE_PYTHON_LINES=0\n"); /* as the user had set it */
    unsetenv("VRAMSCOPE_PYTHON_LINES");
    CLI("run", "-o", "c.db", "--", "env");
    STATUS(0);
    HAS_NOT(got.out, "VRAMSCOPE_PYTHON_LINES");
}
END_TEST

Suite *make_cli_lines_suite(void)
{
    Suite *s = suite_create("cli_lines");
    TCase *cli = tcase_create("cli_lines");
    tcase_add_checked_fixture(cli, cli_folder, cli_clean);
    tcase_set_timeout(cli, 60);
    tcase_add_test(cli, test_run_asks_the_recorder);
    tcase_add_test(cli, test_report_by_line);
    tcase_add_test(cli, test_many_lines_fit_a_screen);
    tcase_add_test(cli, test_collapsed_stacks);
    suite_add_tcase(s, cli);
    return s;
}
