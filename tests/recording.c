/* SPDX-License-Identifier: MIT
 *
 * recording.c: see recording.h.
 */
#include "recording.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db/ingest.h"

extern char **environ;
static pid_t child;
static int child_out = -1, child_err = -1;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void recording_begin(struct recording *r, const char *name)
{
    memset(r, 0, sizeof *r);
    mkdir(VS_BUILD_DIR "/tests", 0777);
    mkdir(VS_BUILD_DIR "/tests/out", 0777);
    snprintf(r->folder, sizeof r->folder, VS_BUILD_DIR "/tests/out/%s", name);
    nftw(r->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(r->folder, 0777))
        ck_abort_msg("%s: %s", r->folder, strerror(errno));
    snprintf(r->run, sizeof r->run, "%s/run-%d", r->folder, (int)getpid()); /* never one that a killed test left memory for */
    snprintf(r->db, sizeof r->db, "%s/run.db", r->folder);
}

static void environment(struct recording *r, const char *const env[])
{
    setenv("LD_PRELOAD", VS_BUILD_DIR "/lib/libvramscope.so", 1);
    setenv("LD_LIBRARY_PATH", VS_BUILD_DIR "/fake", 1);
    setenv("VRAMSCOPE_RUN", r->run, 1);
    setenv("VRAMSCOPE_QUIET", "1", 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    for (; env && *env; env++) {
        char *copy = strdup(*env), *equal = strchr(copy, '=');
        *equal = 0;
        if (equal[1])
            setenv(copy, equal + 1, 1);
        else
            unsetenv(copy);
    }
}

pid_t recording_start(struct recording *r, const char *const argv[], const char *const env[])
{
    char path[1024];
    int out[2], err[2];

    snprintf(path, sizeof path, strchr(argv[0], '/') ? "%s" : VS_BUILD_DIR "/tests/programs/%s", argv[0]);
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || (child = fork()) < 0)
        ck_abort_msg("cannot start %s: %s", path, strerror(errno));
    if (!child) {
        dup2(out[1], 1);
        dup2(err[1], 2);
        environment(r, env);
        execv(path, (char *const *)argv);
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    child_out = out[0];
    child_err = err[0];
    return child;
}

static bool take(int *fd, char *text, size_t size, size_t *have)
{
    char rest[4096];
    ssize_t n = *have + 1 < size ? read(*fd, text + *have, size - 1 - *have) : read(*fd, rest, sizeof rest);
    if (n > 0) {
        if (*have + 1 < size)
            *have += (size_t)n;
        return true;
    }
    if (n < 0 && errno == EINTR)
        return true;
    close(*fd);
    *fd = -1;
    return false;
}

void recording_wait(struct recording *r)
{
    size_t out = 0, err = 0;
    while (child_out >= 0 || child_err >= 0) {
        struct pollfd p[2] = {{child_out, POLLIN, 0}, {child_err, POLLIN, 0}};
        if (poll(p, 2, 60000) == 0) {
            kill(child, SIGKILL);
            ck_abort_msg("the program hangs");
        }
        if (p[0].revents)
            take(&child_out, r->out, sizeof r->out, &out);
        if (p[1].revents)
            take(&child_err, r->err, sizeof r->err, &err);
    }
    r->out[out] = r->err[err] = 0;
    while (waitpid(child, &r->status, 0) < 0 && errno == EINTR)
        ;
}

void recording_run(struct recording *r, const char *const argv[], const char *const env[])
{
    recording_start(r, argv, env);
    recording_wait(r);
}

void recording_ingest(struct recording *r)
{
    struct vs_ingest *in = NULL;
    struct vs_error e = {{0}};
    int err;

    sqlite3_close(r->sql);
    r->sql = NULL;
    err = vs_ingest_open(r->db, VS_INGEST_RESUME, &in, &e);
    if (!err)
        err = vs_ingest_finish(in, r->run, 1, &e);
    vs_ingest_close(in);
    if (err)
        ck_abort_msg("ingest: %s\nstderr of the program:\n%s", e.text, r->err);
    if (sqlite3_open_v2(r->db, &r->sql, SQLITE_OPEN_READONLY, NULL))
        ck_abort_msg("%s: %s", r->db, sqlite3_errmsg(r->sql));
}

static sqlite3_stmt *ask(struct recording *r, const char *format, va_list args)
{
    char *text = sqlite3_vmprintf(format, args);
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(r->sql, text, -1, &s, NULL) || sqlite3_step(s) == SQLITE_ERROR)
        ck_abort_msg("%s: %s", text, sqlite3_errmsg(r->sql));
    sqlite3_free(text);
    return s;
}

long long recording_int(struct recording *r, const char *format, ...)
{
    va_list args;
    sqlite3_stmt *s;
    long long value = -1;
    va_start(args, format);
    s = ask(r, format, args);
    va_end(args);
    if (sqlite3_data_count(s) && sqlite3_column_type(s, 0) != SQLITE_NULL)
        value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

const char *recording_text(struct recording *r, const char *format, ...)
{
    static char text[8][8192];
    static unsigned turn;
    char *out = text[turn++ % 8];
    va_list args;
    sqlite3_stmt *s;
    const char *value = NULL;
    va_start(args, format);
    s = ask(r, format, args);
    va_end(args);
    if (sqlite3_data_count(s))
        value = (const char *)sqlite3_column_text(s, 0);
    snprintf(out, sizeof *text, "%s", value ? value : "NULL");
    sqlite3_finalize(s);
    return out;
}

void recording_check(struct recording *r, long long losses)
{
    ck_assert_msg(recording_int(r, "SELECT COUNT(*) FROM balance WHERE appended IS NOT stored + lost_in_log") == 0,
                  "out of balance: %s", recording_text(r, "SELECT group_concat(source || ': ' || ifnull(appended, '?') || ' appended, ' || stored || "
                  "' stored, ' || lost_in_log || ' lost') FROM balance"));
    ck_assert_msg(recording_int(r, "SELECT ifnull(SUM(count), 0) FROM loss") == losses, "losses: %s; stderr: %s",
                  recording_text(r, "SELECT group_concat(source || ' ' || reason || ' ' || count) FROM loss"), r->err);
}

bool recording_forks_make_sense(void)
{
    const char *san = getenv("VS_TEST_SAN");
    return !san || !*san;
}

void recording_end(struct recording *r)
{
    sqlite3_close(r->sql);
    r->sql = NULL;
}
