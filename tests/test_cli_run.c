/* SPDX-License-Identifier: MIT
 *
 * test_cli_run.c: `vramscope run` is not noticed by the program: streams, signals, status; what it does to files; several
 * runs of one job. The recorded program is core_events under the real library.
 */
#include "test_cli.h"

#include <time.h>

#define EVENTS VS_BUILD_DIR "/tests/programs/core_events"
#define NOTHING "nothing was recorded"

Suite *make_cli_run_suite(void);

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void wait_for(const char *path)
{
    int i;
    for (i = 0; i < 500 && !cli_exists(path); i++) pause_ms(10);
    ck_assert_msg(cli_exists(path), "%s did not appear", path);
}

static long long number(const char *db, const char *sql)
{
    CLI("query", db, sql, "--format", "csv");
    STATUS(0);
    return strchr(got.out, '\n') ? atoll(strchr(got.out, '\n')) : -1;
}

static const struct {
    const char *script;
    int status;
} ends[] = {{"exit 0", 0}, {"exit 7", 7}, {"exit 255", 255}, {"kill -9 $$", 137}, {"kill -TERM $$", 143}, {"kill -INT $$", 130}};

START_TEST(test_status)
{
    CLI("run", "--", "sh", "-c", ends[_i].script);
    STATUS(ends[_i].status);
    ck_assert_str_eq(got.out, "");
    HAS(got.err, NOTHING);
    ck_assert(!cli_exists("run.db"));
    ck_assert(!cli_exists("run.db.log"));
}
END_TEST

START_TEST(test_streams)
{
    FILE *f = fopen("in", "w");
    fputs("through\n", f);
    fclose(f);
    ck_assert_int_ge(dup2(open("in", O_RDONLY), 0), 0);
    CLI("run", "sh", "-c", "cat; echo err >&2"); /* -- may be left out; the options after it are the program's */
    STATUS(0);
    ck_assert_str_eq(got.out, "through\n");
    ck_assert_int_eq(strncmp(got.err, "err\n", 4), 0);
}
END_TEST

START_TEST(test_environment)
{
    setenv("LD_PRELOAD", "libm.so.6", 1);
    setenv("VRAMSCOPE_RANKS", "9", 1);
    CLI("run", "-o", "x.db", "--trace", "api", "--ranks", "0,2-3", "--", "env");
    STATUS(0);
    HAS(got.out, "libvramscope.so:libm.so.6\n");
    HAS(got.out, "/x.db.log\n");
    HAS(got.out, "VRAMSCOPE_QUIET=1\n");
    HAS(got.out, "VRAMSCOPE_TRACE=api\n");
    HAS(got.out, "VRAMSCOPE_RANKS=0,2-3\n");
    HAS_NOT(got.out, "VRAMSCOPE_RANKS=9");
    unsetenv("LD_PRELOAD");
    setenv("VRAMSCOPE_TRACE", "kernels", 1);
    CLI("run", "env");
    HAS(got.out, "VRAMSCOPE_TRACE=kernels\n");
}
END_TEST

static const struct {
    const char *args[8];
    int status;
    const char *err;
} before[] = {
    {{"run", "-o", "/absent/x.db", "--", "touch", "ran"}, 1, "folder /absent: No such file"},
    {{"run", "-o", "dir", "--", "touch", "ran"}, 1, "is a folder"},
    {{"run", "-o", "dir/", "--", "touch", "ran"}, 1, "names a folder"},
    {{"run", "-o", "", "--", "touch", "ran"}, 1, "-o needs the name"},
    {{"run", "-o", "old.db", "--", "touch", "ran"}, 1, "--force replaces it, --append adds"},
    {{"run", "-o", "notes", "--force", "--", "touch", "ran"}, 1, "is not a database; --force does not delete it"},
    {{"run", "-o", "notes", "--append", "--", "touch", "ran"}, 1, "notes"},
    {{"run", "-o", "mine", "--force", "--", "touch", "ran"}, 1, "holds other files"},
    {{"run", "-o", "left", "--", "touch", "ran"}, 1, "holds the log of an earlier run"},
    {{"run", "--", "./absent"}, 127, "cannot run ./absent: No such file"},
    {{"run", "--", "no-such-program"}, 127, "not in any folder of PATH"},
    {{"run", "--", "./notes"}, 126, "not an executable file"},
    {{"run", "--", "./dir"}, 126, "not an executable file"},
};

START_TEST(test_errors_before_the_start)
{
    char text[64];
    FILE *f = fopen("notes", "w");
    fputs("my notes, long enough to look like a file\n", f);
    fclose(f);
    mkdir("dir", 0700);
    mkdir("mine.log", 0700);
    fclose(fopen("mine.log/thesis.txt", "w"));
    mkdir("left.log", 0700);
    mkdir("left.log/p", 0700);
    fclose(fopen("left.log/p/log", "w"));
    cli_database("old.db", "SELECT 1");
    cli_wait(cli_start(before[_i].args));
    STATUS(before[_i].status);
    HAS(got.err, before[_i].err);
    ck_assert(!cli_exists("ran"));
    ck_assert(!cli_exists("run.db.log"));
    ck_assert(!cli_exists("old.db.log"));
    ck_assert(!cli_exists("notes.log"));
    ck_assert(cli_exists("mine.log/thesis.txt"));
    ck_assert(!cli_exists("mine.log/lock"));
    ck_assert(cli_exists("left.log/p/log"));
    ck_assert(cli_exists("old.db"));
    cli_read("notes", text, sizeof text);
    HAS(text, "my notes");
}
END_TEST

START_TEST(test_no_library)
{
    setenv("VRAMSCOPE_LIB", "/absent/lib.so", 1);
    CLI("run", "--", "touch", "ran");
    STATUS(1);
    HAS(got.err, "cannot read /absent/lib.so, which VRAMSCOPE_LIB names");
    ck_assert(!cli_exists("ran"));
    ck_assert(!cli_exists("run.db.log"));
}
END_TEST

START_TEST(test_signals_are_passed_on)
{
    static const char script[] = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo int' INT; trap 'echo term; exit 5' TERM;"
                                 " : > ready; while :; do sleep 0.02; done";
    static const int signals[] = {SIGUSR1, SIGHUP, SIGINT, SIGTERM};
    pid_t pid;
    int i;
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL); /* as nohup leaves it, the shell could not trap it */
    pid = cli_start((const char *const[]){"run", "--", "sh", "-c", script, NULL});
    wait_for("ready");
    for (i = 0; i < 4; i++) {
        kill(pid, signals[i]);
        pause_ms(200);
    }
    cli_wait(pid);
    STATUS(5);
    ck_assert_str_eq(got.out, "usr1\nhup\nint\nterm\n"); /* each once */
}
END_TEST

START_TEST(test_dispositions_are_inherited)
{
    signal(SIGUSR2, SIG_IGN);
    signal(SIGCHLD, SIG_IGN); /* or our own wait would find nothing */
    pid_t pid = cli_start((const char *const[]){"run", "--", "sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 3", NULL});
    signal(SIGCHLD, SIG_DFL);
    cli_wait(pid);
    STATUS(3);
    HAS(got.out, "SigBlk:\t0000000000000000");
    ck_assert_msg(strtoull(strstr(got.out, "SigIgn:\t") + 8, NULL, 16) & 1ull << (SIGUSR2 - 1), "%s", got.out);
}
END_TEST

START_TEST(test_recorded)
{
    struct stat st;
    CLI("run", "-o", "x.db", "--", EVENTS, "plain", "1001");
    STATUS(0);
    ck_assert_str_eq(got.out, "1001\n");
    HAS(got.err, "vramscope: recorded into x.db\n");
    HAS(got.err, "LOSSES  none\n");
    HAS(got.err, "\nnext: vramscope report x.db\n");
    ck_assert(!cli_exists("x.db.log"));
    ck_assert_int_eq(stat("x.db", &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 1001);
    CLI("run", "-o", "x.db", "--", EVENTS, "plain", "11");
    STATUS(1);
    CLI("run", "-o", "x.db", "--append", "--", EVENTS, "plain", "11");
    STATUS(0);
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 1012);
    ck_assert_int_eq(number("x.db", "SELECT COUNT(*) FROM process"), 2);
    CLI("run", "-o", "x.db", "--force", "--", EVENTS, "plain", "5");
    STATUS(0);
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 5);
}
END_TEST

START_TEST(test_killed)
{
    CLI("run", "-o", "x.db", "--", EVENTS, "killed", "1001");
    STATUS(137);
    HAS(got.err, "was killed");
    ck_assert(!cli_exists("x.db.log"));
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 1001);
    ck_assert_int_eq(number("x.db", "SELECT COUNT(*) FROM process WHERE ended = 'killed'"), 1);
}
END_TEST

START_TEST(test_several_runs_of_one_job)
{
    enum { RUNS = 6 };
    pid_t pid[RUNS];
    int i, complete = 0;
    for (i = 0; i < RUNS; i++) {
        char script[256];
        snprintf(script, sizeof script, ": > ready%d; while [ ! -e go ]; do sleep 0.01; done; exec %s plain %d", i, EVENTS,
                 101 + i);
        pid[i] = cli_start((const char *const[]){"run", "-o", "job.db", "--", "sh", "-c", script, NULL});
    }
    for (i = 0; i < RUNS; i++) {
        char name[32];
        snprintf(name, sizeof name, "ready%d", i);
        wait_for(name);
    }
    fclose(fopen("go", "w"));
    for (i = 0; i < RUNS; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
        complete += cli_exists("job.db.log") == 0;
    }
    ck_assert_int_ge(complete, 1);
    ck_assert(!cli_exists("job.db.log"));
    ck_assert_int_eq(number("job.db", "SELECT COUNT(*) FROM process WHERE ended = 'exit'"), RUNS);
    ck_assert_int_eq(number("job.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"),
                     RUNS * 101 + RUNS * (RUNS - 1) / 2);
}
END_TEST

START_TEST(test_run_killed_itself) /* the wrapper dies; the program goes on; the log is read later */
{
    pid_t pid = cli_start((const char *const[]){"run", "-o", "x.db", "--", "sh", "-c", ": > ready; sleep 0.5; exec " EVENTS
                                                " plain 77 > /dev/null", NULL});
    wait_for("ready");
    kill(pid, SIGKILL);
    cli_wait(pid);
    STATUS(-SIGKILL);
    pause_ms(1500);
    CLI("run", "-o", "x.db", "--", "touch", "ran");
    STATUS(1);
    HAS(got.err, "holds the log of an earlier run");
    CLI("report", "x.db.log");
    STATUS(0);
    HAS(got.out, "next: vramscope plot x.db.log/run.db");
    CLI("ingest", "x.db.log", "-o", "x.db");
    STATUS(0);
    HAS(got.out, "x.db: 1 process");
    HAS(got.out, "next: vramscope report x.db\n");
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 77);
    CLI("ingest", "-o", "x.db", "x.db.log"); /* again: nothing twice */
    STATUS(0);
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 77);
}
END_TEST

START_TEST(test_output_fails_later)
{
    CLI("run", "-o", "x.db", "--", "sh", "-c", "mkdir x.db; " EVENTS " plain 77; exit 4");
    STATUS(4);
    HAS(got.out, "77\n");
    HAS(got.err, "vramscope: error: ");
    HAS(got.err, "next: vramscope ingest x.db.log -o x.db\n");
    ck_assert_int_eq(rmdir("x.db"), 0);
    CLI("ingest", "x.db.log", "-o", "x.db");
    STATUS(0);
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 77);
}
END_TEST

START_TEST(test_left_behind) /* a process outlives the program: its log is kept until it has ended */
{
    CLI("run", "-o", "x.db", "--", "sh", "-c", EVENTS " slow 10 > /dev/null 2>&1 & while [ -z \"$(ls -d x.db.log/*/)\" ];"
                                               " do sleep 0.02; done; sleep 0.2");
    STATUS(0);
    if (cli_exists("x.db.log")) HAS(got.err, "next: vramscope ingest x.db.log -o x.db\n");
    pause_ms(2500);
    if (cli_exists("x.db.log")) CLI("ingest", "x.db.log", "-o", "x.db");
    ck_assert_int_eq(number("x.db", "SELECT SUM(allocations + frees) FROM peak_data WHERE series = 'torch'"), 200);
}
END_TEST

Suite *make_cli_run_suite(void)
{
    Suite *s = suite_create("cli_run");
    TCase *c = tcase_create("pass-through");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_add_loop_test(c, test_status, 0, sizeof ends / sizeof ends[0]);
    tcase_add_test(c, test_streams);
    tcase_add_test(c, test_environment);
    tcase_add_loop_test(c, test_errors_before_the_start, 0, sizeof before / sizeof before[0]);
    tcase_add_test(c, test_no_library);
    tcase_add_test(c, test_signals_are_passed_on);
    tcase_add_test(c, test_dispositions_are_inherited);
    suite_add_tcase(s, c);
    c = tcase_create("recording");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, test_recorded);
    tcase_add_test(c, test_killed);
    tcase_add_test(c, test_several_runs_of_one_job);
    tcase_add_test(c, test_run_killed_itself);
    tcase_add_test(c, test_output_fails_later);
    tcase_add_test(c, test_left_behind);
    suite_add_tcase(s, c);
    return s;
}
