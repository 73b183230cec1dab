/* SPDX-License-Identifier: MIT
 *
 * test_mortem_parts.c: the kernel's files about host memory, in both of their versions; and what POST-MORTEM makes of known
 * rows: every line of advice appears where the numbers support it and nowhere else.
 */
#include "test_cli.h"

#include "../profiler/src_host.h"

Suite *make_mortem_parts_suite(void);

#define NONE UINT64_MAX

/* ---- the kernel's files ---- */

static struct vs_host_group group;
static struct vs_host_memory host;

static void put(const char *path, const char *text)
{
    char folders[300];
    FILE *f;
    for (const char *p = path; (p = strchr(p, '/')); p++) {
        snprintf(folders, sizeof folders, "%.*s", (int)(p - path), path);
        mkdir(folders, 0700);
    }
    f = fopen(path, "w");
    ck_assert_msg(f != NULL, "%s", path);
    fputs(text, f);
    fclose(f);
}

static void look(void)
{
    memset(&group, 0x55, sizeof group);
    vs_host_find("proc", "cg", &group);
    vs_host_read("proc", &group, &host);
}

START_TEST(test_version_2)
{
    put("proc/self/cgroup", "0::/job/step/task\n");
    put("proc/self/statm", "1000 250 30 1 0 90 0\n");
    put("proc/meminfo", "MemTotal:       1000 kB\nMemFree:   1 kB\nMemAvailable:    400 kB\n");
    put("cg/job/step/task/memory.max", "max\n");
    put("cg/job/step/task/memory.current", "7\n");
    put("cg/job/step/task/memory.events", "low 0\noom_kill 9\n");
    put("cg/job/step/memory.max", "5000\n");
    put("cg/job/step/memory.current", "4000\n");
    put("cg/job/step/memory.events", "low 0\nhigh 0\nmax 4\noom 3\noom_kill 2\noom_group_kill 0\n");
    put("cg/job/step/memory.stat", "anon 1\nfile 900\ninactive_file 300\nactive_file 50\nunevictable 0\n");
    put("cg/job/memory.max", "6000\n");
    put("cg/job/memory.current", "5999\n");
    look();
    ck_assert_str_eq(group.folder, "cg/job/step");
    ck_assert_uint_eq(host.rss, 250u * (uint64_t)sysconf(_SC_PAGESIZE));
    ck_assert_uint_eq(host.total, 1000 << 10);
    ck_assert_uint_eq(host.available, 400 << 10);
    ck_assert_uint_eq(host.used, 4000);
    ck_assert_uint_eq(host.limit, 5000);
    ck_assert_uint_eq(host.kills, 2);
    ck_assert_uint_eq(host.file, NONE); /* 80 %: not asked for */
    put("cg/job/step/memory.current", "4600\n");
    look();
    ck_assert_uint_eq(host.file, 350);
}
END_TEST

START_TEST(test_version_1)
{
    put("proc/self/cgroup", "9:name=systemd:/\n4:memory_hot:/x\n3:cpu,memory:/docker/abc\n0::/other\n");
    put("cg/unified/other/memory.max", "1\n");
    put("cg/memory/memory.limit_in_bytes", "5000\n"); /* a container sees its own group at the mount */
    put("cg/memory/memory.usage_in_bytes", "4900\n");
    put("cg/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    put("cg/memory/memory.stat", "cache 1\ninactive_file 1\ntotal_inactive_file 40\ntotal_active_file 2\n");
    look();
    ck_assert_str_eq(group.folder, "cg/memory");
    ck_assert_uint_eq(host.used, 4900);
    ck_assert_uint_eq(host.limit, 5000);
    ck_assert_uint_eq(host.kills, 3);
    ck_assert_uint_eq(host.file, 42);
    /* on the host: the limit of a job, kills counted in its own group alone */
    put("cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("cg/memory/docker/memory.limit_in_bytes", "800\n");
    put("cg/memory/docker/memory.usage_in_bytes", "300\n");
    put("cg/memory/docker/memory.oom_control", "oom_kill 8\n");
    put("cg/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
    put("cg/memory/docker/abc/memory.usage_in_bytes", "200\n");
    put("cg/memory/docker/abc/memory.oom_control", "oom_kill 1\n");
    look();
    ck_assert_str_eq(group.folder, "cg/memory/docker");
    ck_assert_uint_eq(host.used, 300);
    ck_assert_uint_eq(host.limit, 800);
    ck_assert_uint_eq(host.kills, 1);
}
END_TEST

START_TEST(test_no_limit_and_no_files)
{
    look();
    ck_assert_str_eq(group.folder, "");
    ck_assert(host.rss == NONE && host.used == NONE && host.limit == NONE && host.kills == NONE && host.total == NONE);
    put("proc/self/cgroup", "0::/\n");
    put("proc/self/statm", "nonsense\n");
    put("proc/meminfo", "");
    look();
    ck_assert_str_eq(group.folder, ""); /* the root of the host has no such files */
    ck_assert(host.rss == NONE && host.available == NONE);
    put("proc/self/cgroup", "0::/a\n");
    put("cg/a/memory.current", "700\n");
    put("cg/a/memory.max", "max\n");
    look();
    ck_assert_str_eq(group.folder, "cg/a");
    ck_assert_uint_eq(host.used, 700);
    ck_assert_uint_eq(host.limit, NONE);
}
END_TEST

/* ---- known rows ---- */

#define GIB "000000000"
/* A process of 80 units that asked for 10 and had 2; its categories, its account. */
static const char rows[] =
    "INSERT INTO process(id, pid, host, start_ns, start_real_ns, end_ns, ended, exit_status) VALUES(1, 5, 'h', 0, 0, 9" GIB ", 'exit', 1);"
    "INSERT INTO device VALUES(1, 0, 'GPU', 'GPU-a', '0', 80" GIB ");"
    "INSERT INTO peak_data VALUES(1, 0, 'sub', 70" GIB ", 1, 0, 10, 10, NULL), (1, 0, 'held', 76" GIB ", 1, 0, 3, 3, NULL);"
    "INSERT INTO allocation_failure VALUES(1, 0, 'cuda', 10" GIB ", 2" GIB ", 80" GIB ", NULL, NULL, 2, 8" GIB ", 1, NULL, 'libc10_cuda.so', 10, 3),"
    " (1, 0, 'torch', 10" GIB ", NULL, NULL, 70" GIB ", 76" GIB ", NULL, 8" GIB ", 1, NULL, NULL, 10, 3);"
    "INSERT INTO at_failure VALUES(1, 0, 8" GIB ", 'held', 'cuda', NULL, NULL, NULL, 76" GIB ", 9),"
    " (1, 0, 8" GIB ", 'sub', 'torch', 'activation', NULL, NULL, 30" GIB ", 9), (1, 0, 8" GIB ", 'sub', 'torch', 'parameter', NULL, NULL, 10" GIB ", 9),"
    " (1, 0, 8" GIB ", 'sub', 'torch', 'optimizer_state', NULL, NULL, 30" GIB ", 9);"
    "INSERT INTO account_data VALUES(1, 0, 7900000000, 'driver_used', 78" GIB "), (1, 0, 7900000000, 'framework_live', 70" GIB "),"
    " (1, 0, 7900000000, 'framework_cached', 6" GIB "), (1, 0, 7900000000, 'other_processes', NULL), (1, 0, 7900000000, 'remainder', 2" GIB ");";

static const struct {
    const char *sql, *says;
} advice[] = {
    {"SELECT 1", "57 % is parameters, gradients, optimizer state: sharding"},
    {"UPDATE at_failure SET bytes = 90" GIB " WHERE category = 'activation'", "69 % is activations: a smaller batch"},
    {"UPDATE at_failure SET category = 'unknown' WHERE level = 'sub'", NULL},
    {"UPDATE allocation_failure SET bytes = 90" GIB, "nothing on this device: it has 74.5 GiB in all"},
    {"UPDATE account_data SET bytes = 9" GIB " WHERE owner = 'other_processes'", "other processes hold 8.4 GiB on this GPU"},
    {"UPDATE account_data SET bytes = 7" GIB " WHERE owner = 'other_processes'", "sharding"}, /* 8 are missing */
    /* 6 cached and 2 free would not do for 10, but for 8 */
    {"INSERT INTO segment_fragmentation VALUES(1, 0, 'failure', 8" GIB ", 1, 9, 3, 6, 1" GIB ", 4)", "sharding"},
    {"INSERT INTO segment_fragmentation VALUES(1, 0, 'failure', 8" GIB ", 1, 9, 3, 6, 1" GIB ", 4);"
     "UPDATE allocation_failure SET bytes = 8" GIB, "cache is in pieces: 5.6 GiB cached, the largest 953.7 MiB"},
    {"INSERT INTO segment_fragmentation VALUES(1, 0, 'failure', 8" GIB ", 1, 9, 3, 6, 1" GIB ", 4);"
     "INSERT INTO allocation(id, process_id, device, level, source, bytes, alloc_ts_ns, imported, flags, library) VALUES"
     "(1, 1, 0, 'held', 'cuda', 1, 1, 0, 16, 'libc10_cuda.so');"
     "UPDATE allocation_failure SET bytes = 8" GIB, "sharding"}, /* they are expandable already */
    {"WITH n(i) AS (VALUES(1), (2), (3), (4)) INSERT INTO phase SELECT i, 1, 'backward', i, i * 1" GIB ", i * 1" GIB " + 9, 'inferred' FROM n;"
     "INSERT INTO phase_memory SELECT id, 1, 0, 'unknown', 1, 1, iteration * 5" GIB " FROM phase",
     "each of the last 3 iterations left more behind, 9.3 GiB in all"},
    {"WITH n(i) AS (VALUES(1), (2), (3), (4)) INSERT INTO phase SELECT i, 1, 'backward', i, i * 1" GIB ", i * 1" GIB " + 9, 'inferred' FROM n;"
     "INSERT INTO phase_memory SELECT id, 1, 0, 'unknown', 1, 1, iteration * 1" GIB " FROM phase", "sharding"}, /* not enough to matter */
};

START_TEST(test_advice)
{
    static char sql[8192];
    snprintf(sql, sizeof sql, "%s%s", rows, advice[_i].sql);
    cli_database("dead.db", sql);
    CLI("report", "dead.db");
    STATUS(0);
    ck_assert_str_eq(got.err, "");
    HAS(got.out, "POST-MORTEM  GPU 0: an allocation failed, and 1.00 s later the process ended with status 1\n");
    if (advice[_i].says)
        HAS(got.out, advice[_i].says);
    else
        HAS_NOT(got.out, "  helps  ");
    ck_assert_ptr_eq(strstr(got.out, "  helps  ") ? strstr(strstr(got.out, "  helps  ") + 5, "  helps  ") : NULL, NULL);
}
END_TEST

START_TEST(test_every_line)
{
    cli_database("dead.db", rows);
    CLI("report", "dead.db");
    HAS(got.out, "POST-MORTEM  GPU 0: an allocation failed, and 1.00 s later the process ended with status 1\n"
                 "  asked    9.3 GiB by PyTorch at +8.00 s\n"
                 "  free     1.9 GiB of 74.5 GiB on the device, PyTorch held 5.6 GiB unused\n"
                 "  fits     at most 1.9 GiB would have fitted; 7.5 GiB were missing\n"
                 "  owners   of 65.2 GiB live (sub) in 70.8 GiB held: activation 27.9 GiB (43 %),\n"
                 "           optimizer_state 27.9 GiB (43 %), parameter 9.3 GiB (14 %)\n"
                 "  account  72.6 GiB used on the device, 100.0 ms before, framework_live 65.2 GiB,\n"
                 "           framework_cached 5.6 GiB, other_processes not visible, remainder 1.9 GiB\n");
}
END_TEST

/* Pieces live at the failure by their line of Python, a file without its folders; 3 was freed before it. */
START_TEST(test_lines)
{
    static char sql[8192];
    snprintf(sql, sizeof sql, "%s%s", rows,
             "INSERT INTO frame VALUES(1, 1, '/home/a b/model.py', 'Block.forward', 33, 0), (2, 1, '/home/train.py', 'main', 7, 0);"
             "INSERT INTO stack VALUES(1, 1, NULL, 1, 1), (2, 1, NULL, 2, 2);"
             "INSERT INTO allocation(id, process_id, device, level, source, bytes, alloc_ts_ns, free_ts_ns, imported, flags, stack_id) VALUES"
             " (1, 1, 0, 'sub', 'torch', 5368709120, 1, 8500000000, 0, 0, 1), (2, 1, 0, 'sub', 'torch', 1073741824, 2, NULL, 0, 0, 2),"
             " (3, 1, 0, 'sub', 'torch', 9663676416, 3, 5, 0, 0, 2), (4, 1, 0, 'sub', 'torch', 2147483648, 4, NULL, 0, 0, NULL)");
    cli_database("dead.db", sql);
    CLI("report", "dead.db");
    STATUS(0);
    HAS(got.out, "  lines    model.py:33 5.0 GiB, train.py:7 1.0 GiB\n"
                 "  largest    5.0 GiB torch                +1 ns  model.py:33 Block.forward\n"
                 "             2.0 GiB torch                +4 ns  outside any range\n"
                 "             1.0 GiB torch                +2 ns  train.py:7 main\n");
}
END_TEST

START_TEST(test_hostile_names)
{
    static char sql[8192];
    snprintf(sql, sizeof sql, "%s%s", rows,
             "UPDATE allocation_failure SET library = char(27) || ']0;x' || char(10) || 'next: rm', source = 'cuda';"
             "UPDATE at_failure SET category = '%s%n' || char(27) || char(7) || category WHERE level = 'sub';"
             "UPDATE account_data SET owner = 'library:' || char(10) || owner WHERE owner LIKE 'frame%'");
    cli_database("dead.db", sql);
    CLI("report", "dead.db");
    STATUS(0);
    HAS(got.out, "\\x1b]0;x\\nnext: rm");
    HAS(got.out, "%s%n\\x1b\\x07activation");
    for (const char *p = got.out; *p; p++) ck_assert_msg(*p == '\n' || (unsigned char)*p >= ' ', "control character %d", *p);
    HAS_NOT(got.out, "\nnext: rm");
}
END_TEST

Suite *make_mortem_parts_suite(void)
{
    Suite *s = suite_create("mortem_parts");
    TCase *t = tcase_create("parts");
    tcase_add_checked_fixture(t, cli_folder, cli_clean);
    tcase_add_test(t, test_version_2);
    tcase_add_test(t, test_version_1);
    tcase_add_test(t, test_no_limit_and_no_files);
    tcase_add_loop_test(t, test_advice, 0, sizeof advice / sizeof *advice);
    tcase_add_test(t, test_every_line);
    tcase_add_test(t, test_lines);
    tcase_add_test(t, test_hostile_names);
    suite_add_tcase(s, t);
    return s;
}
