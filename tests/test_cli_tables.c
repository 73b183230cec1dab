/* SPDX-License-Identifier: MIT
 *
 * test_cli_tables.c: `report --by`: iterations and their verdict, ranks and how even they are, categories; and `plot` of
 * several recordings. Must never look at more than what a user sees.
 */
#include "test_cli.h"

Suite *make_cli_tables_suite(void);

static char sql[16384];

/* `iterations` of three phases of 10 ms; GROWTH is SQL of i for the bytes of activations at the end. */
static void iterations(const char *path, int count, const char *growth, const char *more)
{
    snprintf(sql, sizeof sql,
             "INSERT INTO process(id, pid, command_line, start_ns, start_real_ns, end_ns, ended) VALUES"
             " (1, 5, 'python train.py', 0, 0, 30000000 * %d, 'exit'); INSERT INTO device VALUES"
             " (1, 0, 'H200', NULL, NULL, 100 * 1073741824); INSERT INTO peak_data VALUES"
             " (1, 0, 'sub', 4 * 1073741824, 50000000, 0, 1, 1, NULL), (1, 0, 'held', 5 * 1073741824, 1, 0, 1, 1, NULL);"
             " WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1), k(k, name) AS"
             "  (VALUES (0, 'forward'), (1, 'backward'), (2, 'optimizer'))"
             " INSERT INTO phase SELECT 3 * i + k + 1, 1, name, i, 30000000 * i + 10000000 * k, 30000000 * i + 10000000 *"
             " (k + 1), 'inferred' FROM n, k;"
             " INSERT INTO phase_memory SELECT id, 1, 0, 'parameter', begin_ns, 1073741824, 1073741824 FROM phase;"
             " INSERT INTO phase_memory SELECT id, 1, 0, 'activation', begin_ns, i + (name = 'backward') * 2 * 1073741824, i"
             "  FROM (SELECT id, name, begin_ns, CAST(%s AS INTEGER) AS i FROM (SELECT *, iteration AS i FROM phase)); %s",
             count, count, growth, more);
    cli_database(path, sql);
}

static int lines(const char *text)
{
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

static void check_lines(const char *text)
{
    int columns = 0;
    for (; *text; text++) {
        if (*text == '\n') columns = 0;
        else {
            ck_assert_msg((unsigned char)*text >= ' ' && *text != 127, "control character %d", *text);
            columns += ((unsigned char)*text & 0xc0) != 0x80;
        }
        ck_assert_int_le(columns, 100);
    }
}

START_TEST(test_leak)
{
    iterations("leak.db", 30, "i * 52428800", "");
    CLI("report", "leak.db", "--by", "iteration");
    STATUS(0);
    check_lines(got.out);
    HAS(got.out, "ITERATIONS GPU 0  30 found, median 30.0 ms; peak 4.4 GiB in iteration 29, backward\n");
    HAS(got.out, "LEAK  +50.0 MiB per iteration over the last 28, in activation (+50.0 MiB)\n");
    HAS(got.out, "at this rate the 95.0 GiB left on the device last 1946 iterations, 58.37 s\n");
    HAS(got.out, "\n>      29   30.0 ms    4.4 GiB    3.4 GiB    1.0 GiB    2.4 GiB   +50.0 MiB\n");
    HAS(got.out, "\n      ... 12 more (--all shows them)\n");
    ck_assert_int_le(lines(got.out), 40);
    CLI("report", "leak.db", "--by", "iteration", "--all");
    STATUS(0);
    HAS_NOT(got.out, "more (--all");
    ck_assert_int_eq(lines(got.out), 30 + 6);
    CLI("report", "leak.db");
    STATUS(0);
    HAS(got.out, "ITERATIONS GPU 0  30 found");
    HAS(got.out, "  LEAK  +50.0 MiB per iteration");
}
END_TEST

START_TEST(test_no_leak)
{
    iterations("flat.db", 30, "CASE i WHEN 0 THEN 0 ELSE 52428800 END", "");
    CLI("report", "flat.db", "--by", "iteration");
    STATUS(0);
    HAS(got.out, "\nno growth since iteration 2\n");
    HAS_NOT(got.out, "LEAK");
    iterations("noise.db", 60, "(i * 7919 % 101) * 1048576", "");
    CLI("report", "noise.db", "--by", "iteration");
    HAS_NOT(got.out, "LEAK");
    iterations("step.db", 30, "CASE WHEN i < 25 THEN 0 ELSE 104857600 END", "");
    CLI("report", "step.db", "--by", "iteration");
    HAS(got.out, "no sustained growth, but +100.0 MiB since iteration 2, last in iteration 25\n");
    iterations("few.db", 6, "i * 52428800", "");
    CLI("report", "few.db", "--by", "iteration");
    HAS(got.out, "too few iterations to tell growth: 6, 10 are needed\n");
    iterations("losses.db", 30, "i * 512", "");
    CLI("report", "losses.db", "--by", "iteration");
    HAS(got.out, "slow growth  +512 B per iteration over the last 28, in activation");
    HAS_NOT(got.out, "LEAK");
    HAS_NOT(got.out, "at this rate");
}
END_TEST

START_TEST(test_iterations_that_are_not_whole_or_not_there)
{
    /* Killed in the last forward, with everything of it live. */
    iterations("killed.db", 20, "CASE WHEN i < 19 THEN 0 ELSE 3221225472 END",
               "DELETE FROM phase WHERE iteration = 19 AND name <> 'forward'");
    CLI("report", "killed.db", "--by", "iteration");
    STATUS(0);
    HAS(got.out, "\nno growth since iteration 2\n");
    iterations("none.db", 1, "0", "DELETE FROM phase");
    CLI("report", "none.db", "--by", "iteration");
    STATUS(0);
    HAS(got.out, "ITERATIONS  none found: neither passes of PyTorch nor NVTX ranges");
    CLI("report", "none.db");
    HAS_NOT(got.out, "ITERATIONS");
}
END_TEST

static void ranks(const char *path, int count, const char *bytes)
{
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1) INSERT INTO process(id, pid,"
             " rank, world_size, start_ns, start_real_ns, end_ns, ended) SELECT i + 1, i + 100, i, %d, 0, 0, 1, 'exit' FROM n;"
             " INSERT INTO peak_data SELECT id, 0, 'sub', %s, 1, 0, 1, 1, NULL FROM process;"
             " INSERT INTO peak_data SELECT id, 0, 'held', %s + 1048576, 1, 0, 1, 1, NULL FROM process;"
             " INSERT INTO at_peak SELECT id, 0, 'sub', 'torch', 'parameter', NULL, NULL, 1073741824, 3 FROM process;"
             " INSERT INTO at_peak SELECT id, 0, 'sub', 'torch', 'activation', NULL, NULL, %s - 1073741824, 9 FROM process",
             count, count, bytes, bytes, bytes);
    cli_database(path, sql);
}

START_TEST(test_ranks)
{
    ranks("uneven.db", 4, "(4 + (rank = 2)) * 1073741824");
    CLI("report", "uneven.db", "--by", "rank");
    STATUS(0);
    check_lines(got.out);
    HAS(got.out, "  rank 2 GPU 0        5.0 GiB    5.0 GiB    +1.0 GiB    4.0 GiB    1.0 GiB\n");
    HAS(got.out, "UNEVEN  from lowest to highest live (sub) differs by 1.0 GiB (25.0 % of the median)\n");
    HAS(got.out, "  highest rank 2 GPU 0     1.0 GiB above the median, most of it activation (+1.0 GiB)\n");
    ranks("even.db", 4, "4294967296 + rank * 1048576");
    CLI("report", "even.db", "--by", "rank");
    HAS(got.out, "EVEN  from lowest to highest live (sub) differs by 3.0 MiB (0.1 % of the median)\n");
    HAS_NOT(got.out, "UNEVEN");
    CLI("report", "even.db", "--by", "rank", "--rank", "1");
    HAS(got.out, "only one device was recorded: nothing to compare\n");
    ranks("many.db", 64, "(4 + (rank = 50)) * 1073741824");
    CLI("report", "many.db", "--by", "rank");
    check_lines(got.out);
    HAS(got.out, "rank 50 GPU 0");
    HAS(got.out, "  ... 40 more between");
    ck_assert_int_le(lines(got.out), 40);
    CLI("report", "many.db", "--by", "rank", "--all");
    ck_assert_int_gt(lines(got.out), 64);
}
END_TEST

START_TEST(test_categories)
{
    ranks("two.db", 2, "(4 + rank) * 1073741824");
    CLI("report", "two.db", "--by", "category");
    STATUS(0);
    check_lines(got.out);
    HAS(got.out, "AT THE PEAK, rank 1 GPU 0    live (sub)          bytes    share    pieces  at +1 ns\n"
                 "  activation                    4.0 GiB     4294967296   80.0 %         9\n"
                 "  parameter                     1.0 GiB     1073741824   20.0 %         3\n"
                 "  total                         5.0 GiB     5368709120  100.0 %\n");
    CLI("report", "two.db");
    HAS(got.out, "AT THE PEAK, rank 1 GPU 0     live (sub)  pieces | live (sub), by range");
    HAS(got.out, "  activation                     4.0 GiB       9 | outside any range              5.0 GiB      12\n");
    ranks("nine.db", 9, "(4 + rank) * 1073741824");
    CLI("report", "nine.db", "--by", "category");
    HAS(got.out, "rank 8 GPU 0");
    HAS(got.out, "... 5 more with lower peaks (--all shows them, --rank N one)\n");
    cli_database("held.db", "INSERT INTO process(id, pid, start_ns) VALUES (1, 5, 0); INSERT INTO peak_data VALUES"
                            " (1, 0, 'held', 1024, 7, 0, 1, 1, NULL); INSERT INTO at_peak VALUES"
                            " (1, 0, 'held', 'cuda' || char(27) || '[31m', NULL, NULL, NULL, 1024, 1)");
    CLI("report", "held.db", "--by", "category");
    check_lines(got.out);
    HAS(got.out, "  cuda\\x1b[31m                  1.0 KiB           1024  100.0 %         1\n");
    CLI("report", "held.db", "--by", "rank");
    HAS(got.out, "  GPU 0               1.0 KiB          -         0 B\n");
}
END_TEST

START_TEST(test_usage)
{
    cli_database("empty.db", "SELECT 1");
    CLI("report", "empty.db", "--by", "iterations");
    STATUS(2);
    HAS(got.err, "did you mean iteration? (one of: iteration rank category");
    CLI("report", "empty.db", "--all");
    STATUS(2);
    HAS(got.err, "--all goes with --by");
    CLI("report", "empty.db", "--by", "rank");
    STATUS(0);
    HAS(got.out, "holds no process yet");
    CLI("report", "--help");
    HAS(got.out, "--by category: ");
}
END_TEST

START_TEST(test_plot_of_several)
{
    if (system("gnuplot --version >/dev/null 2>&1")) return;
    ck_assert_int_eq(mkdir("one", 0700) || mkdir("two", 0700), 0);
    ranks("one/run.db", 1, "2147483648");
    ranks("two/run.db", 1, "4294967296");
    ranks("-x;.db", 1, "3221225472");
    CLI("plot", "one/run.db", "two/run.db", "./-x;.db", "-o", "out");
    STATUS(0);
    ck_assert_str_eq(got.out, "out/memory_breakdown_comparison.png\nout/memory_breakdown_comparison.svg\n");
    cli_read("out/memory_breakdown_comparison.svg", got.out, sizeof got.out);
    HAS(got.out, ">one/run.db<");
    HAS(got.out, ">two/run.db<");
    HAS(got.out, ">-x;<");
    CLI("plot", "one/run.db", "missing.db");
    STATUS(1);
    HAS(got.err, "missing.db");
    CLI("plot");
    STATUS(2);
    HAS(got.err, "plot needs one database or log folder, or several to compare");
}
END_TEST

Suite *make_cli_tables_suite(void)
{
    Suite *s = suite_create("cli_tables");
    TCase *c = tcase_create("tables");
    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_add_test(c, test_leak);
    tcase_add_test(c, test_no_leak);
    tcase_add_test(c, test_iterations_that_are_not_whole_or_not_there);
    tcase_add_test(c, test_ranks);
    tcase_add_test(c, test_categories);
    tcase_add_test(c, test_usage);
    tcase_add_test(c, test_plot_of_several);
    suite_add_tcase(s, c);
    return s;
}
