/* SPDX-License-Identifier: MIT
 *
 * test_core.c: the recorder's core, driven by the real library in real processes: nothing is lost by kill -9, forks,
 * signals, short-lived threads, closed descriptors or a full disk, and processes that raise no event leave nothing.
 */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "recording.h"

Suite *make_core_suite(void);

static struct recording r;

static void run(const char *mode, const char *count, const char *const env[])
{
    const char *argv[] = {"core_events", mode, count, NULL};
    char name[80];
    snprintf(name, sizeof name, "core-%s", mode); /* suites run beside each other */
    recording_begin(&r, name);
    recording_run(&r, argv, env);
}

static long long stored(void)
{
    return recording_int(&r, "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'");
}

static long long records(void) /* as appended, whatever became of them */
{
    return recording_int(&r, "SELECT stored FROM balance WHERE source = 'torch'");
}

static int entries(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int n = 0;
    if (!d)
        return -1;
    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int memory_left(pid_t of) /* live folders of a process that has ended */
{
    DIR *d = opendir("/dev/shm");
    struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d))) {
        unsigned uid, pid;
        if (sscanf(e->d_name, "vramscope.%u.%u.", &uid, &pid) == 2 && uid == getuid() && (pid_t)pid == of)
            n++;
    }
    if (d)
        closedir(d);
    return n;
}

START_TEST(test_plain)
{
    const char *argv[] = {"core_events", "plain", "23", NULL};
    recording_begin(&r, "core-plain");
    pid_t child = recording_start(&r, argv, NULL);
    recording_wait(&r);
    ck_assert_msg(WIFEXITED(r.status) && !WEXITSTATUS(r.status), "status %x: %s", r.status, r.err);
    ck_assert_str_eq(r.out, "23\n");
    ck_assert_str_eq(r.err, "");
    ck_assert_int_eq(entries(r.run), 1);
    ck_assert_int_eq(memory_left(child), 0);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = 'torch'"), 12);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM live_at_end"), 1);
    ck_assert_int_eq(recording_int(&r, "SELECT peak_bytes FROM peak WHERE source = 'torch'"), 512);
    ck_assert_str_eq(recording_text(&r, "SELECT ended FROM process"), "exit");
    ck_assert_int_eq(recording_int(&r, "SELECT pid FROM process") > 0, 1);
    ck_assert(strstr(recording_text(&r, "SELECT command_line FROM process"), "core_events plain 23"));
    recording_end(&r);
}
END_TEST

START_TEST(test_nothing_leaves_nothing)
{
    run("nothing", "1", NULL);
    ck_assert_int_eq(r.status, 0);
    ck_assert_int_eq(entries(r.run), -1);
    ck_assert_str_eq(r.err, "");
}
END_TEST

/* The closing line is printed by the process that began the run, and tells a folder that exists. */
START_TEST(test_without_wrapper)
{
    static const char *const env[] = {"VRAMSCOPE_RUN=", "VRAMSCOPE_QUIET=", "VRAMSCOPE_OUT=" VS_BUILD_DIR "/tests/out/alone", NULL};
    const char *argv[] = {"core_events", "fork", "1000", NULL};
    char *folder;
    recording_begin(&r, "alone");
    recording_run(&r, argv, env);
    folder = strstr(r.err, "recorded in ");
    ck_assert_msg(folder != NULL, "stderr: %s", r.err);
    folder += strlen("recorded in ");
    folder[strcspn(folder, "\n")] = 0;
    ck_assert_int_eq(entries(r.folder), 1);
    ck_assert_int_eq(entries(folder), 2); /* parent and child */
    ck_assert(strstr(folder + strlen(folder) + 1, "vramscope report "));
}
END_TEST

START_TEST(test_killed)
{
    run("killed", "20000", NULL);
    ck_assert(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 20000);
    ck_assert_str_eq(recording_text(&r, "SELECT ended FROM process"), "killed");
}
END_TEST

/* Killed from outside at an arbitrary moment: all that it had told us of is there, and at most the one event under
 * construction is counted as torn. */
START_TEST(test_killed_any_moment)
{
    const char *argv[] = {"core_events", "endless", NULL};
    const struct timespec pause = {0, 20000000L + 37000000L * _i};
    char name[32];
    pid_t pid;
    snprintf(name, sizeof name, "endless-%d", _i);
    recording_begin(&r, name);
    pid = recording_start(&r, argv, (const char *[]){"VRAMSCOPE_POOL_MB=256", NULL});
    nanosleep(&pause, NULL);
    kill(pid, SIGKILL);
    recording_wait(&r);
    if (entries(r.run) < 0 && !*r.out) return; /* it had not come to its first event */
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log"), 0);
    ck_assert_msg(recording_int(&r, "SELECT ifnull(SUM(count), 0) FROM loss WHERE reason NOT IN ('pool_empty', 'unmatched')") <= 1,
                  "losses: %s", recording_text(&r, "SELECT group_concat(source || ' ' || reason || ' ' || count) FROM loss"));
    ck_assert_int_ge(records() + recording_int(&r, "SELECT ifnull(SUM(count), 0) FROM loss WHERE reason <> 'unmatched'"),
                     1000 * (long long)strlen(r.out));
}
END_TEST

START_TEST(test_underscore_exit)
{
    run("_exit", "2000", NULL);
    ck_assert_int_eq(WEXITSTATUS(r.status), 5);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 2000);
    ck_assert_str_eq(recording_text(&r, "SELECT ended FROM process"), "exit");
}
END_TEST

START_TEST(test_threads)
{
    run("threads", "200", NULL);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 40002);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(DISTINCT alloc_thread_id) FROM allocation"), 201);
}
END_TEST

START_TEST(test_short_lived_threads)
{
    run("short", "20000", NULL);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 40000);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(DISTINCT alloc_thread_id) FROM allocation"), 20000);
}
END_TEST

START_TEST(test_fork)
{
    run("fork", "1000", NULL);
    ck_assert_int_eq(r.status, 0);
    ck_assert_int_eq(entries(r.run), 2);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 1000 + 2 + 500);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM process WHERE ended = 'exit'"), 2);
}
END_TEST

START_TEST(test_fork_idle_child)
{
    run("fork-idle", "1000", NULL);
    ck_assert_int_eq(r.status, 0);
    ck_assert_int_eq(entries(r.run), 1);
}
END_TEST

START_TEST(test_raw_fork)
{
    run("raw-fork", "1000", NULL);
    ck_assert_int_eq(r.status, 0);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM process"), 2);
    ck_assert_int_eq(stored(), 1000 + 2 + 500);
}
END_TEST

/* Handlers that run in the middle of an append are refused and counted, never mixed into it. */
START_TEST(test_signals)
{
    long long raised, refused;
    run("signals", "5000", NULL);
    ck_assert_msg(r.status == 0, "status %x: %s", r.status, r.err);
    raised = atoll(r.out);
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log"), 0);
    refused = recording_int(&r, "SELECT ifnull(SUM(count), 0) FROM loss WHERE reason = 'reentered'");
    ck_assert_int_gt(refused, 0);
    refused += recording_int(&r, "SELECT ifnull(SUM(count), 0) FROM loss WHERE reason IN ('starting', 'pool_empty')");
    ck_assert_int_eq(records() + refused, raised);
}
END_TEST

START_TEST(test_closes_descriptors)
{
    run("close", "3000", NULL);
    ck_assert_int_eq(r.status, 0);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(stored(), 6000);
}
END_TEST

START_TEST(test_pool_exhausted_is_counted)
{
    static const char *const env[] = {"VRAMSCOPE_POOL_MB=2", "VRAMSCOPE_FLUSH_MS=60000", NULL};
    run("plain", "400000", env);
    ck_assert_int_eq(r.status, 0);
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log"), 0);
    ck_assert_int_eq(records() + recording_int(&r, "SELECT ifnull(SUM(count), 0) FROM loss WHERE reason = 'pool_empty' AND source = 'torch'"),
                     400000);
}
END_TEST

/* A log folder on a file system of 256 KiB: the program runs on, all that fits in memory is kept for the next ingest. */
START_TEST(test_disk_full)
{
    static const char *const env[] = {"VRAMSCOPE_RUN=" VS_BUILD_DIR "/tests/out/slow/small/run", "VRAMSCOPE_POOL_MB=2", NULL};
    const char *argv[] = {"core_events", "slow", "5000", NULL};
    char small[600];
    long long lost;
    while (!umount2(VS_BUILD_DIR "/tests/out/slow/small", MNT_DETACH)) /* what an earlier run left when it died */
        ;
    recording_begin(&r, "slow");
    snprintf(small, sizeof small, "%s/small", r.folder);
    mkdir(small, 0700);
    if (mount("vramscope-test", small, "tmpfs", 0, "size=256k"))
        return; /* needs root */
    recording_run(&r, argv, env);
    snprintf(r.run, sizeof r.run, "%s/run", small);
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.out, "100000\n");
    ck_assert(strstr(r.err, "cannot write the log"));
    recording_ingest(&r);
    umount(small);
    lost = recording_int(&r, "SELECT SUM(count) FROM loss WHERE reason = 'pool_empty' AND source = 'torch'");
    ck_assert_int_gt(lost, 0);
    ck_assert_int_gt(recording_int(&r, "SELECT SUM(count) FROM loss WHERE reason = 'log_write'"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log"), 0);
    ck_assert_msg(records() + lost == 100000, "%lld stored, losses: %s", records(),
                  recording_text(&r, "SELECT group_concat(source || ' ' || reason || ' ' || count) FROM loss"));
}
END_TEST

START_TEST(test_unwritable_folder)
{
    static const char *const env[] = {"VRAMSCOPE_RUN=/proc/nowhere/run", NULL};
    const char *argv[] = {"core_events", "plain", "1000", NULL};
    char *memory;
    recording_begin(&r, "unwritable");
    recording_run(&r, argv, env);
    ck_assert_int_eq(r.status, 0);
    memory = strstr(r.err, "vramscope ingest ");
    ck_assert_msg(memory != NULL, "%s", r.err);
    memory += strlen("vramscope ingest ");
    memory[strcspn(memory, " ")] = 0;
    snprintf(r.run, sizeof r.run, "%s", memory); /* the message names a folder that holds everything */
    recording_ingest(&r);
    ck_assert_int_eq(stored(), 1000);
}
END_TEST

START_TEST(test_settings)
{
    static const char *const env[] = {"VRAMSCOPE_FLUSH_MS=ten", "VRAMSCOPE_TRACES=kernels", "VRAMSCOPE_SAMPLE_MS=50", NULL};
    run("plain", "10", env);
    ck_assert_int_eq(r.status, 0);
    ck_assert(strstr(r.err, "bad value in VRAMSCOPE_FLUSH_MS: \"ten\""));
    ck_assert(strstr(r.err, "unknown setting VRAMSCOPE_TRACES; did you mean VRAMSCOPE_TRACE?"));
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT value FROM setting WHERE name = 'VRAMSCOPE_FLUSH_MS'"), 250);
    ck_assert_int_eq(recording_int(&r, "SELECT value FROM setting WHERE name = 'VRAMSCOPE_SAMPLE_MS'"), 50);
}
END_TEST

START_TEST(test_ranks)
{
    static const char *const wanted[] = {"RANK=2", "LOCAL_RANK=0", "WORLD_SIZE=4", "VRAMSCOPE_RANKS=0,2-3", NULL};
    static const char *const other[] = {"RANK=1", "WORLD_SIZE=4", "VRAMSCOPE_RANKS=0,2-3", NULL};
    run("plain", "10", other);
    ck_assert_int_eq(entries(r.run), -1);
    run("plain", "10", wanted);
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT rank FROM process"), 2);
    ck_assert_int_eq(recording_int(&r, "SELECT world_size FROM process"), 4);
    ck_assert_str_eq(recording_text(&r, "SELECT launcher FROM process"), "torchrun");
}
END_TEST

/* A batch script has a number of its own, and is no rank; what srun starts in it is. */
START_TEST(test_a_batch_script_is_no_rank)
{
    static const char *const script[] = {"SLURM_PROCID=0", "SLURM_LOCALID=0", "SLURM_NTASKS=8", "VRAMSCOPE_RANKS=3", NULL};
    static const char *const task[] = {"SLURM_PROCID=3", "SLURM_LOCALID=1", "SLURM_NTASKS=8", "SLURM_STEP_NUM_TASKS=4", NULL};
    run("plain", "10", script);
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM process WHERE rank IS NULL AND launcher IS NULL"), 1);
    recording_end(&r);
    run("plain", "10", task);
    recording_ingest(&r);
    ck_assert_str_eq(recording_text(&r, "SELECT launcher || rank || local_rank || world_size FROM process"), "srun314");
}
END_TEST

START_TEST(test_private)
{
    char command[700];
    run("plain", "10", NULL);
    snprintf(command, sizeof command, "test -z \"$(find %s -perm /077)\"", r.run);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(test_thread_names)
{
    run("names", "10", NULL);
    recording_ingest(&r);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM thread WHERE name IN ('pt_autograd_0', 'renamed')"), 1);
}
END_TEST

Suite *make_core_suite(void)
{
    Suite *s = suite_create("core");
    TCase *c = tcase_create("core");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, test_plain);
    tcase_add_test(c, test_nothing_leaves_nothing);
    tcase_add_test(c, test_without_wrapper);
    tcase_add_test(c, test_killed);
    tcase_add_loop_test(c, test_killed_any_moment, 0, 8);
    tcase_add_test(c, test_underscore_exit);
    tcase_add_test(c, test_threads);
    tcase_add_test(c, test_short_lived_threads);
    if (recording_forks_make_sense()) {
        tcase_add_test(c, test_fork);
        tcase_add_test(c, test_raw_fork);
    }
    tcase_add_test(c, test_fork_idle_child);
    tcase_add_test(c, test_signals);
    tcase_add_test(c, test_closes_descriptors);
    tcase_add_test(c, test_pool_exhausted_is_counted);
    tcase_add_test(c, test_disk_full);
    tcase_add_test(c, test_unwritable_folder);
    tcase_add_test(c, test_settings);
    tcase_add_test(c, test_ranks);
    tcase_add_test(c, test_a_batch_script_is_no_rank);
    tcase_add_test(c, test_private);
    tcase_add_test(c, test_thread_names);
    suite_add_tcase(s, c);
    return s;
}
