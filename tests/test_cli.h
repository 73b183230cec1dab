/* SPDX-License-Identifier: MIT
 *
 * test_cli.h: runs the built command (VS_TEST_BIN, else $(O)/bin/vramscope) in a fresh folder and keeps what it printed.
 * Must never look at more than status, output and files: what a user sees.
 */
#ifndef VS_TESTS_TEST_CLI_H
#define VS_TESTS_TEST_CLI_H

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../db/schema.h"

static struct {
    int status; /* exit status; -n: ended by signal n */
    char out[65536], err[65536];
} got;

static inline void cli_folder(void) /* checked fixture: each test runs in a folder of its own */
{
    char name[] = "/tmp/vramscope-cli-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(name));
    ck_assert_int_eq(chdir(name), 0);
    setenv("TZ", "UTC", 1);
    unsetenv("LD_PRELOAD");
}

static inline void cli_clean(void)
{
    char name[PATH_MAX], command[PATH_MAX + 16];
    if (!getcwd(name, sizeof name) || strncmp(name, "/tmp/vramscope-cli-", 19)) return;
    if (chdir("/")) return;
    snprintf(command, sizeof command, "rm -rf '%s'", name);
    if (system(command)) return;
}

static inline const char *cli_program(void)
{
    const char *set = getenv("VS_TEST_BIN");
    return set && *set ? set : VS_BUILD_DIR "/bin/vramscope";
}

static inline void cli_read(const char *path, char *text, size_t room)
{
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, room - 1, f) : 0;
    text[n] = 0;
    if (f) fclose(f);
}

static inline pid_t cli_start(const char *const *args)
{
    const char *argv[32] = {cli_program()};
    pid_t pid;
    int i;
    for (i = 0; args[i]; i++) argv[i + 1] = args[i];
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid) return pid;
    if (dup2(open(".out", O_WRONLY | O_CREAT | O_TRUNC, 0600), 1) < 0 ||
        dup2(open(".err", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2) < 0)
        _exit(99);
    execv(argv[0], (char *const *)argv);
    perror(argv[0]);
    _exit(99);
}

static inline void cli_wait(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    got.status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    cli_read(".out", got.out, sizeof got.out);
    cli_read(".err", got.err, sizeof got.err);
}

#define CLI(...) cli_wait(cli_start((const char *const[]){__VA_ARGS__, NULL}))

#define HAS(text, part) ck_assert_msg(strstr(text, part), "'%s' is not in: %s", part, text)
#define HAS_NOT(text, part) ck_assert_msg(!strstr(text, part), "'%s' is in: %s", part, text)
#define STATUS(n) ck_assert_msg(got.status == (n), "status %d, not %d; stderr: %s", got.status, (n), got.err)

static inline int cli_exists(const char *path)
{
    struct stat st;
    return !lstat(path, &st);
}

/* A database of our format, filled by SQL. */
static inline void cli_database(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, &message); /* nobody pulls the plug on a test */
    if (!message) sqlite3_exec(db, vs_schema_sql, NULL, NULL, &message);
    if (!message) sqlite3_exec(db, "INSERT INTO meta VALUES('format_version', '1'), ('complete', '1')", NULL, NULL, &message);
    if (!message) sqlite3_exec(db, sql, NULL, NULL, &message);
    ck_assert_msg(!message, "%s", message);
    sqlite3_close(db);
}

#endif
