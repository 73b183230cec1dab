/* SPDX-License-Identifier: MIT
 *
 * test_account_report.c: the account in the report: every owner with what it has, the remainder on a line of its own, what
 * cannot be seen called so, and never more than its part of one screen.
 */
#include "test_cli.h"

Suite *make_account_report_suite(void);

#define MIB "*1048576"
#define PROCESS(id, rank) "INSERT INTO process(id, pid, rank, start_ns, end_ns, ended) VALUES(" #id ", 100+" #id ", " rank ", 0, 9000000000, 'exit');"
#define OWNER(process, device, ts, owner, bytes) \
    "INSERT INTO account_data VALUES(" #process "," #device "," #ts ",'" owner "'," bytes ");"

/* The part that begins with ACCOUNT: its lines are indented. */
static char *section(void)
{
    static char text[8192];
    char *begin = strstr(got.out, "ACCOUNT "), *end = begin;
    if (!begin) return NULL;
    do end = strchr(end, '\n') + 1;
    while (*end == ' ');
    snprintf(text, sizeof text, "%.*s", (int)(end - begin), begin);
    return text;
}

static void report(const char *sql)
{
    cli_database("a.db", sql);
    CLI("report", "a.db");
    STATUS(0);
    ck_assert_str_eq(got.err, "");
}

START_TEST(test_one_device)
{
    report(PROCESS(1, "NULL")
           OWNER(1, 0, 1000000000, "driver_used", "500" MIB) OWNER(1, 0, 1000000000, "remainder", "500" MIB)
           OWNER(1, 0, 2000000000, "driver_used", "1000" MIB) OWNER(1, 0, 2000000000, "remainder", "-30" MIB)
           OWNER(1, 0, 2000000000, "framework_live", "600" MIB) OWNER(1, 0, 2000000000, "framework_cached", "100" MIB)
           OWNER(1, 0, 2000000000, "context", "250" MIB) OWNER(1, 0, 2000000000, "library:cublas", "64" MIB)
           OWNER(1, 0, 2000000000, "library:\033[31m%s%n", "16" MIB) OWNER(1, 0, 2000000000, "profiler", "0")
           OWNER(1, 0, 2000000000, "other_processes", "NULL")
           "INSERT INTO segment_fragmentation VALUES(1, 0, 'peak', 1, 1, 400" MIB ", 350" MIB ", 50" MIB ", 20" MIB ", 3),"
           "(1, 0, 'peak', 1, 2, 300" MIB ", 250" MIB ", 50" MIB ", 40" MIB ", 3), (1, 0, 'end', 1, 2, 9, 9, 9, 9, 9);"
           "INSERT INTO account_check VALUES(1, 0, 1, 'framework_held', 700" MIB ", 720" MIB ");");
    ck_assert_str_eq(section(),
                     "ACCOUNT GPU 0: 1000.0 MiB used by the driver's count, at +2.00 s\n"
                     "  framework, live          600.0 MiB  60.0 % | cublas                    64.0 MiB   6.4 %\n"
                     "  context, modules         250.0 MiB  25.0 % | \\x1b[31m%s%n              16.0 MiB   1.6 %\n"
                     "  framework, cached        100.0 MiB  10.0 % | other processes        not visible\n"
                     "  remainder                -30.0 MiB  -3.0 %   used, but by none of these\n"
                     "  fragmentation: 100.0 MiB of the framework's 700.0 MiB free, 2 segments; largest piece 40.0 MiB\n"
                     "  !! the framework's allocator says 720.0 MiB, its segments come to 700.0 MiB\n");
}
END_TEST

static void device(char *sql, size_t room, int process, int used)
{
    size_t n = strlen(sql);
    snprintf(sql + n, room - n,
             "INSERT INTO process(id, pid, rank, start_ns, end_ns, ended) VALUES(%d, %d, %d, 0, 9000000000, 'exit');"
             "INSERT INTO account_data VALUES(%d, 0, 5, 'driver_used', %d" MIB "), (%d, 0, 5, 'remainder', %d" MIB "),"
             "(%d, 0, 5, 'nccl', 32" MIB "), (%d, 0, 5, 'framework_live', 10" MIB "), (%d, 0, 5, 'framework_cached', 5" MIB ");",
             process, process + 100, process - 1, process, used, process, used - 47, process, process, process);
}

START_TEST(test_many_ranks)
{
    static char sql[16384];
    char *text;
    int lines = 0;
    for (int i = 1; i <= 16; i++) device(sql, sizeof sql, i, 100 + i);
    report(sql);
    text = section();
    HAS(text, "ACCOUNT rank 15 GPU 0: 116.0 MiB");
    HAS(text, "  rank 14 GPU 0      115.0 MiB    15.0 MiB    32.0 MiB           -           -    68.0 MiB\n");
    HAS(text, "  ... 12 more");
    for (; *text; text++) lines += *text == '\n';
    ck_assert_int_le(lines, 11);
}
END_TEST

START_TEST(test_more_owners_than_room)
{
    char sql[4096] = PROCESS(1, "NULL") OWNER(1, 0, 5, "driver_used", "1000" MIB) OWNER(1, 0, 5, "remainder", "0");
    for (int i = 1; i <= 20; i++) {
        size_t n = strlen(sql);
        snprintf(sql + n, sizeof sql - n, "INSERT INTO account_data VALUES(1, 0, 5, 'library:l%d', %d" MIB ");", i, i);
    }
    report(sql);
    HAS(section(), "l14                       14.0 MiB");
    HAS(section(), "13 others                 91.0 MiB"); /* 1 to 13 */
    HAS_NOT(section(), "l13 ");
}
END_TEST

START_TEST(test_nobody_was_asked)
{
    report(PROCESS(1, "NULL"));
    ck_assert_ptr_null(section());
}
END_TEST

Suite *make_account_report_suite(void)
{
    Suite *s = suite_create("account_report");
    TCase *t = tcase_create("account_report");
    tcase_add_checked_fixture(t, cli_folder, cli_clean);
    tcase_add_test(t, test_one_device);
    tcase_add_test(t, test_many_ranks);
    tcase_add_test(t, test_more_owners_than_room);
    tcase_add_test(t, test_nobody_was_asked);
    suite_add_tcase(s, t);
    return s;
}
