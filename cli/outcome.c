/* SPDX-License-Identifier: MIT
 *
 * outcome.c: finds out what a side is and reads it. Must never take a file for what its name says.
 */
#include "outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../db/experiment.h"
#include "../db/experiment_folder.h"
#include "../db/query.h"
#include "folder.h"
#include "outcome_parts.h"

static const char tables_sql[] =
    "CREATE TABLE outcome(id INTEGER PRIMARY KEY, side TEXT NOT NULL, origin TEXT, name TEXT NOT NULL, mode TEXT,"
    " seq_len INTEGER, status TEXT NOT NULL, reason TEXT, peak_bytes INTEGER, peak_mb REAL, avg_ms REAL, median_ms REAL,"
    " vanilla INTEGER NOT NULL, process_id INTEGER);"
    "CREATE TABLE amount(outcome INTEGER, kind TEXT, name TEXT, bytes NUMERIC NOT NULL, PRIMARY KEY (outcome, kind, name))"
    " WITHOUT ROWID;"
    "CREATE TABLE setting(outcome INTEGER, key TEXT, value TEXT NOT NULL, must INTEGER NOT NULL, PRIMARY KEY (outcome, key))"
    " WITHOUT ROWID;";

int vs_outcomes_begin(sqlite3 **db, struct vs_error *e)
{
    if (sqlite3_open(":memory:", db) || sqlite3_exec(*db, tables_sql, NULL, NULL, NULL))
        return vs_fail(e, ENOMEM, "out of memory: %s", *db ? sqlite3_errmsg(*db) : "no database");
    return 0;
}

int vs_outcome_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct vs_error *e)
{
    *out = NULL;
    if (!sqlite3_prepare_v2(db, sql, -1, out, NULL)) return 0;
    return vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
}

int vs_outcome_run(sqlite3 *db, sqlite3_stmt *q, struct vs_error *e)
{
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
    }
    if (rc != SQLITE_DONE) vs_fail(e, EIO, "cannot read it: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? 0 : -EIO;
}

static int load_json(sqlite3 *db, const char *side, const char *path, struct vs_error *e)
{
    const struct vs_outcome_source from = {.side = side, .origin = path};
    char *text = NULL;
    int err = vs_experiment_text(path, &text, e);
    if (!err) err = vs_outcome_add_json(db, &from, text, strlen(text), e);
    free(text);
    return err;
}

/* ---- a database ---- */

/* A failure that was run again, with the same words, is over: --resume keeps both rows. */
static const char experiments_sql[] =
    "WITH told AS (SELECT *, CASE WHEN json_valid(result) THEN json_extract(result, '$.status') END AS status,"
    " CASE WHEN json_valid(result) THEN json_extract(result, '$.arguments') END AS arguments FROM experiment)"
    " SELECT result, process_id, name FROM told t WHERE status IS NOT 'failed' OR NOT EXISTS (SELECT 1 FROM told l"
    " WHERE l.id > t.id AND l.name = t.name AND l.arguments = t.arguments) ORDER BY id";

/* Rows of table experiment; 0 too where a recording has no such table. */
static int has_experiments(struct vs_db *db)
{
    sqlite3_stmt *q = NULL;
    int some = 0;
    if (!sqlite3_prepare_v2(vs_db_handle(db), experiments_sql, -1, &q, NULL)) some = sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return some;
}

static int add_experiments(sqlite3 *db, const char *side, const char *path, struct vs_db *recording, struct vs_error *e)
{
    sqlite3_stmt *q;
    char origin[4400];
    int rc = SQLITE_DONE, err = vs_outcome_prepare(vs_db_handle(recording), experiments_sql, &q, e);
    while (!err && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(q, 0), *name = (const char *)sqlite3_column_text(q, 2);
        const struct vs_outcome_source from = {side, origin, sqlite3_column_int64(q, 1)};
        snprintf(origin, sizeof origin, "%s, experiment %.100s", path, name ? name : "?");
        err = vs_outcome_add_json(db, &from, text ? text : "", text ? (size_t)sqlite3_column_bytes(q, 0) : 0, e);
    }
    if (!err && rc != SQLITE_DONE)
        err = vs_fail(e, EIO, "cannot read %s: %s", path, sqlite3_errmsg(vs_db_handle(recording)));
    sqlite3_finalize(q);
    return err;
}

static int load_recording(sqlite3 *db, const char *side, const char *path, struct vs_error *e)
{
    struct vs_db *recording = NULL;
    char db_path[4200];
    const struct vs_outcome_source from = {.side = side, .origin = db_path};
    int err = vs_recording_open(path, &recording, db_path, sizeof db_path, e);
    if (!err && has_experiments(recording)) err = add_experiments(db, side, db_path, recording, e);
    else if (!err) err = vs_outcome_add_recording(db, &from, recording, e);
    vs_db_close(recording);
    return err;
}

/* ---- a folder ---- */

/* The folder above the runs: the user wants one of them, most often the last. */
static int name_runs(const char *folder, struct vs_error *e)
{
    char newest[256];
    if (vs_experiment_newest_run(folder, newest) || !*newest) return 0;
    return vs_fail(e, EISDIR, "%s holds runs, not results; name one of them, the last is %s/%s", folder, folder, newest);
}

static int load_folder(sqlite3 *db, const char *side, const char *folder, struct vs_error *e)
{
    struct vs_experiment_files files;
    char path[4400];
    int count, err = vs_experiment_files(folder, &files);
    if (err) return vs_fail(e, -err, "cannot read folder %s: %s", folder, strerror(-err));
    count = files.count;
    for (int i = 0; i < count && !err; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files.name[i]);
        err = load_json(db, side, path, e);
    }
    vs_experiment_files_free(&files);
    if (count) return err;
    snprintf(path, sizeof path, "%s/suite.db", folder);
    if (!access(path, F_OK)) return load_recording(db, side, path, e);
    if ((err = name_runs(folder, e))) return err;
    if (vs_folder_foreign(folder) || (vs_folder_processes(folder) <= 0 && vs_folder_unlogged(folder) <= 0))
        return vs_fail(e, ENOENT, "%s holds no *_result.json and no recording; name the folder of a run of the suite",
                       folder);
    return load_recording(db, side, folder, e);
}

static int is_database(const char *path)
{
    char head[16] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), is;
    is = fd >= 0 && read(fd, head, sizeof head) == sizeof head && !memcmp(head, "SQLite format 3", 16);
    if (fd >= 0) close(fd);
    return is;
}

static size_t without_slashes(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return n;
}

int vs_outcomes_load(sqlite3 *db, const char *side, const char *path, struct vs_error *e)
{
    char bare[4200];
    struct stat st;
    if ((size_t)snprintf(bare, sizeof bare, "%.*s", (int)without_slashes(path), path) >= sizeof bare)
        return vs_fail(e, ENAMETOOLONG, "the path %.100s... is too long", path);
    if (stat(path, &st)) return vs_fail(e, errno, "cannot read %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return load_folder(db, side, bare, e);
    return is_database(path) ? load_recording(db, side, path, e) : load_json(db, side, path, e);
}

int vs_outcomes_are_experiments(const char *path)
{
    struct vs_experiment_files files;
    struct vs_db *db = NULL;
    char inside[4400];
    struct stat st;
    int n = 0, are;
    snprintf(inside, sizeof inside, "%s", path);
    if (stat(path, &st)) return 0;
    if (S_ISDIR(st.st_mode)) {
        if (!vs_experiment_files(path, &files)) n = files.count;
        vs_experiment_files_free(&files);
        snprintf(inside, sizeof inside, "%s/suite.db", path);
    } else if (S_ISREG(st.st_mode) && !is_database(path)) n = 1; /* a result, if it is anything */
    if (n > 0) return 1;
    if (vs_db_open(inside, &db, NULL)) return 0;
    are = has_experiments(db);
    vs_db_close(db);
    return are;
}
