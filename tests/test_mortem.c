/* SPDX-License-Identifier: MIT
 *
 * test_mortem.c: the report leads with what a process died of, and with nothing when it lived: from written logs, and from
 * programs that run out of memory under the real recorder (programs/oom_oracle.c).
 */
#include "test_cli.h"

#include "../db/run_end.h"
#include "ingest_case.h"

Suite *make_mortem_suite(void);

#define MIB    ((uint64_t)1 << 20)
#define SECOND ((uint64_t)1000000000)
#define TOTAL  (1024 * MIB)
#define ORACLE VS_BUILD_DIR "/tests/programs/oom_oracle"

static struct ingest_case c;
static struct vs_log_writer *w;
static uint64_t now;

static void set_up(void)
{
    cli_folder();
    case_make(&c);
    now = SECOND;
    w = case_writer(&c, 0);
}
static void tear_down(void)
{
    case_remove(&c);
    cli_clean();
}

static void report(void)
{
    case_ingest(&c, c.db);
    case_balanced(c.db);
    CLI("report", c.db);
    STATUS(0);
    ck_assert_str_eq(got.err, "");
}

/* What comes before the sections that every report has. */
static void leads(const char *text)
{
    const char *at = strstr(got.out, text), *memory = strstr(got.out, "\nMEMORY");
    ck_assert_msg(at && memory && at < memory, "'%s' does not lead: %s", text, got.out);
}

static uint64_t torch_address = 0x10000;

static void torch_takes(unsigned thread, uint64_t mib, uint64_t range)
{
    vs_put_torch(w, thread, 0, torch_address, (int64_t)(mib * MIB), 0, 0, range, ++now);
    torch_address += mib * MIB;
}

/* A segment of 512 MiB with 400 MiB handed out; then PyTorch wants more, the driver refuses twice. */
static void fail_in_torch(void)
{
    struct vs_rec_alloc *a;
    torch_address = 0x10000;
    vs_put_module(w, 1 << 20, (1 << 20) + 4096, "/a/libc10_cuda.so");
    a = vs_log_writer_add(w, 1, VS_K_ALLOC, sizeof *a, 0, 0);
    a->seq = vs_log_writer_seq(w);
    a->ts_ns = ++now;
    a->address = 0x10000;
    a->bytes = 512 * MIB;
    a->memory = VS_MEM_CUDA;
    a->caller = (1 << 20) + 8;
    torch_takes(1, 300, 0);
    torch_takes(1, 100, 0);
    uint64_t range = vs_put_range(w, 1, "step/forward", 0, 0, ++now);
    vs_put_refusal(w, 1, 0, 640 * MIB, 60 * MIB, TOTAL, (1 << 20) + 8, ++now);
    vs_put_refusal(w, 1, 0, 640 * MIB, 80 * MIB, TOTAL, (1 << 20) + 8, ++now);
    vs_put_oom(w, 1, 0, (int64_t)(640 * MIB), 400 * MIB, 512 * MIB, range, ++now);
}

static void close_after(uint64_t ns, enum vs_writer_end how)
{
    vs_log_writer_control(w)->heartbeat_ns = now + ns;
    vs_log_writer_close(w, how);
}

START_TEST(test_out_of_memory)
{
    fail_in_torch();
    vs_put_torch(w, 1, 0, 0x10000 + 300 * MIB, -(int64_t)(100 * MIB), 0, 0, 0, ++now); /* the exception unwinds */
    vs_log_writer_status(w, 1);
    close_after(SECOND, VS_WRITER_EXIT);
    report();
    ck_sql(c.db, "SELECT COUNT(*) FROM post_mortem", 1);
    char *row = case_text(c.db, "SELECT kind, device, asked_bytes >> 20, source, free_bytes >> 20, total_bytes >> 20, allocated_bytes >> 20,"
                                " reserved_bytes >> 20, refusals, allocations_after, exit_status FROM post_mortem");
    ck_assert_str_eq(row, "allocation failure|0|640|torch|80|1024|400|512|2|0|1");
    free(row);
    leads("POST-MORTEM  GPU 0: an allocation failed, and 1.00 s later the process ended with status 1\n"
          "  asked    640.0 MiB by PyTorch at +1000.0 ms, range step/forward\n"
          "  free     80.0 MiB of 1.0 GiB on the device, PyTorch held 112.0 MiB unused");
    leads("of 400.0 MiB live (sub) in 512.0 MiB held: ");
    leads("  largest  300.0 MiB ");
    HAS(got.out, "  ended    pid 4242 ended with status 1\n");
    HAS(got.out, "FAILED ALLOCATIONS  1; the last:\n"); /* one, not three */
}
END_TEST

/* What tells the dead from the living. */
static const struct {
    enum vs_writer_end how;
    int status; /* -1: not known */
    unsigned after; /* allocations */
    uint64_t later;
    const char *kind;
} ends[] = {
    {VS_WRITER_EXIT, 1, 0, SECOND, "allocation failure"},
    {VS_WRITER_EXIT, 1, 0, 600 * SECOND, "allocation failure"},
    {VS_WRITER_EXIT, 0, 0, SECOND, ""},
    {VS_WRITER_EXIT, -1, 0, SECOND, "allocation failure"},
    {VS_WRITER_EXIT, -1, 1, SECOND, ""},
    {VS_WRITER_EXIT, 1, 10, SECOND, "allocation failure"}, /* an error handler did something */
    {VS_WRITER_EXIT, 1, 10, 20 * SECOND, ""},
    {VS_WRITER_EXIT, 1, 100, SECOND, ""},
    {VS_WRITER_EXIT, 0, 100, SECOND, ""},
    {VS_WRITER_DETACH, -1, 0, SECOND, ""},
    {VS_WRITER_KILL, -1, 0, 600 * SECOND, "allocation failure"}, /* by a watchdog */
    {VS_WRITER_KILL, -1, 0, 3600 * SECOND, "killed"},
    {VS_WRITER_KILL, -1, 100, SECOND, "killed"},
};

START_TEST(test_who_is_dead)
{
    fail_in_torch();
    for (unsigned i = 0; i < ends[_i].after; i++) torch_takes(1, 1, 0);
    if (ends[_i].status >= 0) vs_log_writer_status(w, ends[_i].status);
    close_after(ends[_i].later, ends[_i].how);
    report();
    char *kind = case_text(c.db, "SELECT kind FROM post_mortem");
    ck_assert_str_eq(kind, ends[_i].kind);
    free(kind);
    if (*ends[_i].kind)
        leads("POST-MORTEM");
    else
        HAS_NOT(got.out, "POST-MORTEM");
    if (!strcmp(ends[_i].kind, "allocation failure"))
        HAS_NOT(got.out, "the program went on");
    else
        HAS(got.out, "FAILED ALLOCATIONS  1, the program went on; the last:\n");
}
END_TEST

/* In the middle of an iteration and of a collective; its helper thread lived on for a minute. */
START_TEST(test_killed)
{
    uint64_t step = vs_put_range(w, 1, "step", 0, 0, ++now);
    torch_takes(1, 100, vs_put_range(w, 1, "step/backward", step, 0, ++now));
    torch_takes(2, 7, 0);
    vs_put_coll(w, 1, 1, 0x77, VS_COLL_ALL_REDUCE, 0, ++now);
    vs_put_coll_end(w, 1, 1, 0, 0, ++now);
    vs_put_coll(w, 1, 2, 0x77, VS_COLL_ALL_GATHER, 0, ++now);
    close_after(60 * SECOND, VS_WRITER_KILL);
    report();
    ck_sql(c.db, "SELECT alive_ns - end_ns FROM process", 60 * SECOND);
    ck_sql(c.db, "SELECT end_ns - last_event_ns FROM process", 0);
    leads("POST-MORTEM  GPU 0: the process was killed\n"
          "  when     last alive at +61.00 s, last event 60.00 s before");
    leads(", range step/backward\n");
    leads("  in NCCL  all_gather #1 of 4.0 KiB, called 60.00 s before the end: it had not returned\n");
    HAS_NOT(got.out, "all_reduce #0 of");
    leads("of 107.0 MiB live (sub): ");
    leads("  ranges   step/backward 100.0 MiB, outside any range 7.0 MiB\n");
}
END_TEST

/* ---- host memory ---- */

static void host(uint64_t used, uint64_t file, uint64_t limit, uint64_t oom_kills)
{
    struct vs_rec_host_memory *r = vs_log_writer_add(w, 1, VS_K_HOST_MEMORY, sizeof *r, 0, -1);
    *r = (struct vs_rec_host_memory){.h = r->h, .ts_ns = ++now, .rss_bytes = used / 2, .cgroup_used_bytes = used,
                                     .cgroup_file_bytes = file, .cgroup_limit_bytes = limit, .cgroup_oom_kills = oom_kills,
                                     .host_available_bytes = 4096 * MIB, .host_total_bytes = 8192 * MIB};
}

static const struct {
    uint64_t used, file;
    int64_t kills, status; /* as the parent saw; < 0: no parent */
    const char *host, *verdict;
} pressures[] = {
    {999, 1, -1, -1, "the container used 99.8 % of its 1000.0 MiB, this process 499.5 MiB, 120.0 ms before that\n",
     "that is when the kernel's OOM killer strikes"},
    {999, 500, -1, -1, "the container used 49.9 % of its 1000.0 MiB", NULL}, /* nearly all of it file cache */
    {999, 1, 0, 137, "the container used 99.8 %", NULL},
    {300, UINT64_MAX, 1, 137, "the container used 30.0 %", "it looks like the kernel's OOM killer: it killed 1 process here"},
    {999, 1, 2, 139, "the container used 99.8 %", NULL}, /* it died of something else */
};

START_TEST(test_host_memory)
{
    const uint64_t file = pressures[_i].file;
    torch_takes(1, 64, 0);
    host(10 * MIB, UINT64_MAX, 1000 * MIB, 5);
    host(pressures[_i].used * MIB, file == UINT64_MAX ? file : file * MIB, 1000 * MIB, 5);
    close_after(120000000, VS_WRITER_KILL);
    if (pressures[_i].status >= 0) {
        struct vs_run_end end = {.pid = 4242, .status = (int)pressures[_i].status, .start_ns = 0, .end_ns = 5000,
                                 .oom_kills = pressures[_i].kills}, other = end;
        gethostname(end.host, sizeof end.host - 1);
        memcpy(other.host, end.host, sizeof end.host);
        other.pid = 4243; /* the program of another run */
        other.status = 9;
        other.start_ns = 4000;
        ck_assert_int_eq(vs_run_end_write(c.run, &end) + vs_run_end_write(c.run, &other), 0);
    }
    report();
    ck_sql(c.db, "SELECT COUNT(*) FROM host_sample", 2);
    ck_sql(c.db, "SELECT COALESCE(exit_status, -1) FROM process", pressures[_i].status);
    ck_sql(c.db, "SELECT COALESCE(oom_kills, -1) FROM process", pressures[_i].kills);
    leads(pressures[_i].host);
    if (pressures[_i].verdict)
        leads(pressures[_i].verdict);
    else
        HAS_NOT(got.out, "OOM killer");
    if (pressures[_i].status == 139) leads("the process was killed by signal 11 (Segmentation fault)");
}
END_TEST

/* A run folder may lie where others can write. */
START_TEST(test_end_files_of_others)
{
    struct vs_run_end end = {.pid = 4242, .status = 3, .start_ns = 0, .end_ns = 5000, .oom_kills = -1};
    char outside[4400], path[4400], name[4400];
    FILE *f;
    gethostname(end.host, sizeof end.host - 1);
    torch_takes(1, 64, 0);
    close_after(SECOND, VS_WRITER_KILL);
    snprintf(outside, sizeof outside, "%s/outside", c.run);
    ck_assert_ptr_nonnull(f = fopen(outside, "w"));
    fprintf(f, "pid 4242 status 9 start_ns 0 end_ns 5000 oom_kills 7 host %s\n", end.host);
    fclose(f);
    snprintf(path, sizeof path, "%s/" VS_RUN_END_PREFIX "pipe-1", c.run);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* whoever opens it waits for ever */
    snprintf(path, sizeof path, "%s/" VS_RUN_END_PREFIX "link-1", c.run);
    ck_assert_int_eq(symlink(outside, path), 0); /* is not read */
    snprintf(path, sizeof path, "%s/" VS_RUN_END_PREFIX "%s-%ld", c.run, end.host, end.pid);
    snprintf(name, sizeof name, "%s/.new-" VS_RUN_END_PREFIX "%s-%ld", c.run, end.host, end.pid);
    ck_assert_int_eq(symlink(outside, path) + symlink(outside, name), 0); /* are not written through */
    ck_assert_int_eq(vs_run_end_write(c.run, &end), 0);
    ck_assert_int_ne(access(name, F_OK), 0);
    report();
    ck_sql(c.db, "SELECT exit_status FROM process", 3);
    ck_sql(c.db, "SELECT COALESCE(oom_kills, -1) FROM process", -1);
    ck_assert_ptr_nonnull(f = fopen(outside, "r"));
    ck_assert_int_eq(fscanf(f, "pid 4242 status %d", &end.status), 1);
    ck_assert_int_eq(end.status, 9);
    fclose(f);
}
END_TEST

/* ---- several ---- */

START_TEST(test_the_first_to_run_out_leads)
{
    vs_put_meta(w, "rank", "0");
    torch_takes(1, 5, 0);
    now += 3 * SECOND;
    torch_takes(1, 5, 0);
    close_after(0, VS_WRITER_KILL); /* by its launcher, three seconds later */
    for (uint32_t rank = 1; rank < 7; rank++) {
        char text[8];
        w = case_writer(&c, 4300 + rank);
        snprintf(text, sizeof text, "%u", rank);
        vs_put_meta(w, "rank", text);
        now = SECOND + rank;
        if (rank == 2)
            fail_in_torch();
        else
            torch_takes(1, 6, 0);
        if (rank == 2) vs_log_writer_status(w, 1);
        close_after(SECOND, rank == 2 ? VS_WRITER_EXIT : VS_WRITER_KILL);
    }
    report();
    leads("POST-MORTEM  rank 2 GPU 0: an allocation failed");
    leads("  also     rank ");
    leads("  also     3 more: SELECT * FROM post_mortem\n");
    CLI("report", c.db, "--rank", "0");
    leads("POST-MORTEM  rank 0 GPU 0: the process was killed\n");
    HAS_NOT(got.out, "rank 2");
}
END_TEST

/* ---- programs ---- */

static void oracle(const char *mode, int status)
{
    setenv("LD_LIBRARY_PATH", VS_BUILD_DIR "/fake", 1);
    CLI("run", "-o", "run.db", "--", ORACLE, mode);
    STATUS(status);
    unsetenv("LD_LIBRARY_PATH");
}

START_TEST(test_program_that_dies)
{
    oracle("die", 3);
    HAS(got.out, "blocks 16\n");
    /* the stand-in's runtime calls the driver with or without a frame of its own, as the compiler likes */
    HAS(got.err, strstr(got.err, "libcudart") ? "ended with status 3\n  asked    64.0 MiB (cuda) through libcudart.so.13 at "
                                              : "ended with status 3\n  asked    64.0 MiB (cuda) by oom_oracle at ");
    HAS(got.err, "  free     0 B of 1.0 GiB on the device\n  fits     nothing would have fitted; 64.0 MiB were missing\n"
                 "  owners   of 1.0 GiB held: ");
    HAS(got.err, " 1.0 GiB (100 %)\n");
    ck_sql("run.db", "SELECT exit_status FROM process", 3);
}
END_TEST

START_TEST(test_programs_that_live)
{
    oracle(_i ? "search" : "survive", 0);
    HAS_NOT(got.err, "POST-MORTEM");
    HAS(got.err, _i ? "FAILED ALLOCATIONS  3, the program went on; the last:\n" : "FAILED ALLOCATIONS  1, the program went on");
    HAS(got.err, "  ended    in order\n");
    ck_sql("run.db", "SELECT exit_status FROM process", 0);
    ck_sql("run.db", "SELECT COUNT(*) FROM post_mortem", 0);
}
END_TEST

START_TEST(test_training_that_runs_out)
{
    oracle("torch", 1);
    HAS(got.err, "an allocation failed, and ");
    HAS(got.err, "  asked    16.0 MiB by PyTorch at ");
    HAS(got.err, "of 128.0 MiB live (sub): optimizer_state 64.0 MiB (50 %), ");
    HAS(got.err, "parameter 32.0 MiB (25 %)");
    ck_sql("run.db", "SELECT allocated_bytes >> 20 FROM post_mortem WHERE exit_status = 1", 128);
}
END_TEST

START_TEST(test_training_that_is_killed)
{
    oracle("kill", 137);
    HAS(got.err, "POST-MORTEM  GPU 0: the process was killed by signal 9 (Killed)\n");
    HAS(got.err, ", in iteration 1, forward\n");
    HAS(got.err, "of 160.0 MiB live (sub): activation 64.0 MiB (40 %), optimizer_state 64.0 MiB (40 %)");
    HAS(got.err, "  growth   peak of iteration 0: ");
    ck_sql("run.db", "SELECT exit_status FROM process WHERE ended = 'killed'", 137);
}
END_TEST

/* The real one, where this test may make a memory cgroup (version 1, or an undelegated version 2); elsewhere it kills nobody
 * and test_host_memory stands for it. */
START_TEST(test_oom_killer)
{
    static const char script[] =
        "v1=/sys/fs/cgroup/memory/vramscope-test-$$ v2=/sys/fs/cgroup/vramscope-test-$$;"
        "if mkdir $v1 2>/dev/null && echo 200M > $v1/memory.limit_in_bytes; then g=$v1;"
        "elif mkdir $v2 2>/dev/null && echo 200M > $v2/memory.max; then echo 0 > $v2/memory.swap.max; g=$v2;"
        "else rmdir $v1 $v2; exit 99; fi 2>/dev/null;"
        "sh -c 'echo $$ > \"$0\"/cgroup.procs && exec \"$@\"' $g \"$@\"; s=$?; rmdir $g; exit $s";
    setenv("LD_LIBRARY_PATH", VS_BUILD_DIR "/fake", 1);
    pid_t pid = fork();
    if (!pid) {
        if (!freopen(".out", "w", stdout) || !freopen(".err", "w", stderr)) _exit(98);
        execl("/bin/sh", "sh", "-c", script, "sh", cli_program(), "run", "--", ORACLE, "host", "400", (char *)NULL);
        _exit(98);
    }
    cli_wait(pid);
    if (got.status == 99) return;
    STATUS(137);
    HAS(got.err, "POST-MORTEM  GPU 0: the process was killed by signal 9 (Killed)\n");
    HAS(got.err, "  host     the container used ");
    HAS(got.err, " of its 200.0 MiB, ");
    HAS(got.err, "it looks like the kernel's OOM killer: it killed 1 process here during the run\n");
    HAS(got.err, "owners   of 64.0 MiB held: ");
    ck_sql("run.db", "SELECT oom_kills FROM process", 1);
}
END_TEST

Suite *make_mortem_suite(void)
{
    Suite *s = suite_create("mortem");
    TCase *logs = tcase_create("logs"), *programs = tcase_create("programs");
    tcase_add_checked_fixture(logs, set_up, tear_down);
    tcase_add_test(logs, test_out_of_memory);
    tcase_add_loop_test(logs, test_who_is_dead, 0, sizeof ends / sizeof *ends);
    tcase_add_test(logs, test_killed);
    tcase_add_loop_test(logs, test_host_memory, 0, sizeof pressures / sizeof *pressures);
    tcase_add_test(logs, test_end_files_of_others);
    tcase_add_test(logs, test_the_first_to_run_out_leads);
    suite_add_tcase(s, logs);
    tcase_add_checked_fixture(programs, cli_folder, cli_clean);
    tcase_set_timeout(programs, 60);
    tcase_add_test(programs, test_program_that_dies);
    tcase_add_loop_test(programs, test_programs_that_live, 0, 2);
    tcase_add_test(programs, test_training_that_runs_out);
    tcase_add_test(programs, test_training_that_is_killed);
    tcase_add_test(programs, test_oom_killer);
    suite_add_tcase(s, programs);
    return s;
}
