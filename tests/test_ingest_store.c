/* SPDX-License-Identifier: MIT
 *
 * test_ingest_store.c: the database as a file: who may write it, what a failure leaves, what a reader may do; and which
 * processes count as ended.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../db/query.h"
#include "ingest_case.h"

static struct ingest_case c;

static void set_up(void)
{
    case_make(&c);
}
static void tear_down(void)
{
    case_remove(&c);
}

static void some(struct vs_log_writer *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) vs_put_torch(w, 1 + i % 2, 0, 4096ull * (i + 1), 512, 0, 0, 0, 2000 + i);
}

START_TEST(test_one_writer_and_no_surprise)
{
    struct vs_error e = {""};
    struct vs_ingest *in, *other = NULL;
    struct stat st;
    int status;
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e));
    ck_assert(!stat(c.db, &st));
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    if (!fork()) { /* another process */
        int err = vs_ingest_open(c.db, VS_INGEST_RESUME, &other, &e);
        int err2 = vs_ingest_open(c.db, VS_INGEST_REPLACE, &other, &e);
        _exit(err == -EBUSY && err2 == -EBUSY && strstr(e.text, c.db) ? 0 : 1);
    }
    ck_assert(wait(&status) > 0 && status == 0);
    ck_assert_int_eq(vs_ingest_open(c.db, VS_INGEST_RESUME, &other, &e), -EBUSY);
    vs_ingest_close(in);
    ck_assert_int_eq(vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e), -EEXIST);
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_REPLACE, &in, &e));
    vs_ingest_close(in);
    char other_file[200];
    snprintf(other_file, sizeof other_file, "%s/notes.txt", c.root);
    FILE *f = fopen(other_file, "w");
    fputs("my notes, not a database\n", f);
    fclose(f);
    ck_assert_int_eq(vs_ingest_open(other_file, VS_INGEST_REPLACE, &in, &e), -EINVAL);
    ck_assert_int_eq(vs_ingest_open(other_file, VS_INGEST_RESUME, &in, &e), -EINVAL);
    ck_assert_int_eq(vs_ingest_open("/nonexistent/x.db", VS_INGEST_NEW, &in, &e), -ENOENT);
}
END_TEST

START_TEST(test_full_disk_is_an_error_and_loses_nothing)
{
    struct vs_error e = {""};
    struct vs_ingest *in;
    struct rlimit limit = {0}, old;
    struct vs_log_writer *w = case_writer(&c, 0);
    some(w, 30000);
    vs_log_writer_close(w, VS_WRITER_KILL);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e));
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 400000u + (unsigned)_i * 300000u; /* in the log of changes, or when it is moved to the file */
    setrlimit(RLIMIT_FSIZE, &limit);
    int err = vs_ingest_finish(in, c.run, 1, &e);
    ck_assert_int_lt(err, 0);
    ck_assert_ptr_nonnull(strstr(e.text, c.db));
    setrlimit(RLIMIT_FSIZE, &old);
    ck_assert_msg(!vs_ingest_finish(in, c.run, 1, &e), "%s", e.text); /* the same ingest goes on when there is room */
    vs_ingest_close(in);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 30000);
    ck_sql(c.db, "SELECT COUNT(*) FROM loss", 0);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_ingest_that_dies_changes_nothing)
{
    struct vs_error e = {""};
    struct vs_ingest *in;
    struct vs_log_writer *w = case_writer(&c, 0);
    char whole[100];
    some(w, 700000 + 3); /* more than one transaction */
    vs_log_writer_close(w, VS_WRITER_KILL);
    for (int round = 0; round < 3; round++) {
        pid_t child = fork();
        if (!child) {
            if (!vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e)) vs_ingest_finish(in, c.run, 0, &e);
            _exit(0);
        }
        usleep(100000u + (unsigned)round * 250000u);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    ck_assert_msg(!vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e), "%s", e.text);
    ck_assert_msg(!vs_ingest_finish(in, c.run, 0, &e), "%s", e.text);
    vs_ingest_close(in);
    snprintf(whole, sizeof whole, "%s/whole.db", c.root);
    case_ingest(&c, whole);
    char *a = case_dump(c.db), *b = case_dump(whole);
    ck_assert(!strcmp(a, b));
    free(a);
    free(b);
}
END_TEST

START_TEST(test_readers_read_while_it_grows_and_never_write)
{
    struct vs_error e = {""};
    struct vs_ingest *in;
    struct vs_db *db = NULL;
    struct vs_log_writer_options o = {.run = c.run, .alive = true};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    some(w, 5000);
    vs_log_writer_flush(w);
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e));
    ck_assert_msg(!vs_ingest_step(in, c.run, &e), "%s", e.text);
    int status;
    fflush(NULL);
    if (!fork()) { /* closing a descriptor here would drop SQLite's locks of this process: a reader is another one */
        sqlite3_stmt *q;
        static const char *const forbidden[] = {
            "DELETE FROM allocation", "ATTACH 'x' AS y",     "PRAGMA journal_mode=DELETE", "CREATE TEMP TABLE t(x)",
            "VACUUM INTO '/tmp/x'",   "PRAGMA query_only=0", "SELECT load_extension('x')"};
        if (vs_db_open(c.db, &db, &e)) _exit(1);
        if (sqlite3_prepare_v2(vs_db_handle(db), "SELECT COUNT(*) FROM live_at_end", -1, &q, NULL) ||
            sqlite3_step(q) != SQLITE_ROW || sqlite3_column_int(q, 0) != 5000)
            _exit(2);
        sqlite3_finalize(q);
        for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
            if (sqlite3_exec(vs_db_handle(db), forbidden[i], NULL, NULL, NULL) == SQLITE_OK) _exit(10 + (int)i);
        vs_db_close(db);
        _exit(0);
    }
    ck_assert(wait(&status) > 0);
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    some(w, 100);
    vs_log_writer_flush(w);
    ck_assert(!vs_ingest_finish(in, c.run, 1, &e)); /* it still runs */
    vs_ingest_close(in);
    ck_sql(c.db, "SELECT ended = 'running' FROM process", 1);
    ck_sql(c.db, "SELECT value FROM meta WHERE key = 'complete'", 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 5100);
    vs_log_writer_close(w, VS_WRITER_DETACH); /* it runs on, without us */
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_RESUME, &in, &e));
    ck_assert(!vs_ingest_finish(in, c.run, 1, &e));
    vs_ingest_close(in);
    ck_sql(c.db, "SELECT ended = 'detached' FROM process", 1);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_processes_of_other_machines_end_at_finish_and_may_go_on)
{
    struct vs_error e = {""};
    struct vs_ingest *in;
    struct vs_log_writer_options o = {.run = c.run, .other_host = true};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    some(w, 100);
    vs_log_writer_flush(w);
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e));
    ck_assert(!vs_ingest_step(in, c.run, &e));
    ck_sql(c.db, "SELECT ended = 'running' FROM process", 1);
    ck_assert(!vs_ingest_finish(in, c.run, 1, &e));
    ck_sql(c.db, "SELECT ended = 'killed' FROM process", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM balance WHERE appended IS NOT NULL", 0);
    some(w, 50); /* it was not */
    vs_log_writer_close(w, VS_WRITER_EXIT);
    ck_assert_msg(!vs_ingest_finish(in, c.run, 1, &e), "%s", e.text);
    vs_ingest_close(in);
    ck_sql(c.db, "SELECT ended = 'exit' FROM process", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 150);
    ck_sql(c.db, "SELECT COUNT(*) FROM process", 1);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_ranks_share_a_database)
{
    struct vs_error e = {""};
    struct vs_ingest *in;
    char memory[300];
    for (unsigned rank = 0; rank < 4; rank++) {
        struct vs_log_writer *w = case_writer(&c, 100 + rank);
        char text[8];
        snprintf(text, sizeof text, "%u", rank);
        vs_put_meta(w, "rank", text);
        uint64_t r = vs_put_range(w, 1, "step", 0, 0, 2000);
        some(w, 10 + rank);
        vs_put_range_end(w, 1, r, 3000);
        snprintf(memory, sizeof memory, "%s", vs_log_writer_memory(w));
        vs_log_writer_close(w, rank % 2 ? VS_WRITER_KILL : VS_WRITER_EXIT);
    }
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e));
    ck_assert_msg(!vs_ingest_finish(in, c.run, 1, &e), "%s", e.text);
    vs_ingest_close(in);
    ck_assert(access(memory, F_OK)); /* removed once it is stored */
    char *peaks = case_text(c.db, "SELECT rank, peak_bytes FROM peak WHERE source = 'torch' ORDER BY rank");
    ck_assert_str_eq(peaks, "0|5120,1|5632,2|6144,3|6656");
    free(peaks);
    ck_sql(c.db, "SELECT COUNT(*) FROM string WHERE text = 'step'", 1);
    ck_sql(c.db, "SELECT COUNT(DISTINCT id) FROM range", 4);
    ck_sql(
        c.db,
        "SELECT COUNT(*) FROM allocation a JOIN thread t ON t.id = a.alloc_thread_id WHERE t.process_id = a.process_id",
        46);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_what_is_no_database_is_refused_with_a_reason)
{
    struct vs_error e = {""};
    struct vs_db *db = NULL;
    char path[200];
    sqlite3 *other;
    ck_assert_int_eq(vs_db_open("/nonexistent.db", &db, &e), -ENOENT);
    ck_assert_str_eq(e.text,
                     "no such database: /nonexistent.db; record one with: vramscope run -o /nonexistent.db -- CMD");
    ck_assert_int_eq(vs_db_open(c.run, &db, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.text, "folder"));
    snprintf(path, sizeof path, "%s/text", c.root);
    FILE *f = fopen(path, "w");
    fputs("not a database, but long enough to hold a header of one", f);
    fclose(f);
    ck_assert_int_eq(vs_db_open(path, &db, &e), -EINVAL);
    snprintf(path, sizeof path, "%s/other.db", c.root);
    ck_assert(!sqlite3_open(path, &other));
    ck_assert(!sqlite3_exec(other, "CREATE TABLE t(x)", NULL, NULL, NULL));
    ck_assert_int_eq(vs_db_open(path, &db, &e), -EINVAL);
    ck_assert(!sqlite3_exec(other,
                            "CREATE TABLE meta(key, value); INSERT INTO meta VALUES('format_version', '99'), "
                            "('vramscope_version', '7.5')",
                            NULL, NULL, NULL));
    ck_assert_int_eq(vs_db_open(path, &db, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.text, "7.5"));
    sqlite3_close(other);
}
END_TEST

Suite *make_ingest_store_suite(void);
Suite *make_ingest_store_suite(void)
{
    Suite *s = suite_create("ingest_store");
    TCase *t = tcase_create("store");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_one_writer_and_no_surprise);
    tcase_add_loop_test(t, test_full_disk_is_an_error_and_loses_nothing, 0, 5);
    tcase_add_test(t, test_ingest_that_dies_changes_nothing);
    tcase_add_test(t, test_readers_read_while_it_grows_and_never_write);
    tcase_add_test(t, test_processes_of_other_machines_end_at_finish_and_may_go_on);
    tcase_add_test(t, test_ranks_share_a_database);
    tcase_add_test(t, test_what_is_no_database_is_refused_with_a_reason);
    suite_add_tcase(s, t);
    return s;
}
