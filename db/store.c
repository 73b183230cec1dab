/* SPDX-License-Identifier: MIT
 *
 * store.c: connection, transactions and prepared statements of the database being written. It must never be used by a
 * reader, and never leave a transaction half done.
 */
#include "store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "schema.h"
#include "store_parts.h"

#ifndef VS_VERSION
#define VS_VERSION "0.1"
#endif

static const struct {
    const char *sql; /* table of an insert, or a whole statement */
    int columns;     /* 0: a whole statement */
} statements[VS_NSTATEMENTS] = {
#define X(id, table, n) [VS_ST_##id] = {table, n},
    VS_INSERTS(X)
#undef X
#define X(id, text) [VS_ST_##id] = {text, 0},
        VS_CHANGES(X)
#undef X
};

void vs_store_fail(struct vs_store *s, int code, const char *what)
{
    if (s->err) return;
    s->err = -code;
    snprintf(s->message, sizeof s->message, "%s", what);
}

static int errno_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL: return ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return EBUSY;
    case SQLITE_NOMEM: return ENOMEM;
    case SQLITE_READONLY:
    case SQLITE_PERM: return EACCES;
    default: return EIO;
    }
}

void vs_store_database_failed(struct vs_store *s, int rc)
{
    vs_store_fail(s, errno_of(rc), sqlite3_errmsg(s->db));
}

static void run(struct vs_store *s, const char *sql)
{
    if (s->err) return;
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK) vs_store_database_failed(s, rc);
}

static sqlite3_stmt *prepared(struct vs_store *s, enum vs_statement st)
{
    char sql[256];
    if (s->statement[st]) return s->statement[st];
    if (statements[st].columns) {
        int at = snprintf(sql, sizeof sql, "INSERT %s VALUES(?", statements[st].sql);
        for (int i = 1; i < statements[st].columns; i++) at += snprintf(sql + at, sizeof sql - (size_t)at, ",?");
        snprintf(sql + at, sizeof sql - (size_t)at, ")");
    }
    int rc = sqlite3_prepare_v3(s->db, statements[st].columns ? sql : statements[st].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                &s->statement[st], NULL);
    if (rc != SQLITE_OK) vs_store_database_failed(s, rc);
    return s->statement[st];
}

void vs_store_run(struct vs_store *s, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) vs_store_database_failed(s, rc);
    sqlite3_reset(q);
}

void vs_store_put(struct vs_store *s, enum vs_statement st, const struct vs_value *values, int n)
{
    sqlite3_stmt *q;
    if (s->muted || s->err || !(q = prepared(s, st))) return;
    for (int i = 0; i < n; i++) {
        const struct vs_value *v = &values[i];
        if (v->is_text && v->text) sqlite3_bind_text(q, i + 1, v->text, -1, SQLITE_STATIC);
        else if (v->number != VS_NONE) sqlite3_bind_int64(q, i + 1, v->number);
        else sqlite3_bind_null(q, i + 1);
    }
    vs_store_run(s, q);
    s->rows++;
}

static void make_schema(struct vs_store *s)
{
    char created[32] = "", version[16];
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm)) strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(version, sizeof version, "%d", VS_SCHEMA_VERSION);
    run(s, "BEGIN IMMEDIATE");
    run(s, vs_schema_sql);
    VS_PUT(s, VS_ST_META, vs_text("format_version"), vs_text(version));
    VS_PUT(s, VS_ST_META, vs_text("vramscope_version"), vs_text(VS_VERSION));
    VS_PUT(s, VS_ST_META, vs_text("created"), vs_text(created));
    run(s, "COMMIT");
}

/* An ingest that dies must change nothing, readers must be able to look while it runs, and nothing waits for the disk
 * until the end: a write-ahead log without syncs. Where it cannot be had (no shared memory), a rollback journal. */
static void set_up(struct vs_store *s, bool empty)
{
    sqlite3_busy_timeout(s->db, 2000);
    if (empty) run(s, "PRAGMA page_size=16384");
    run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536; PRAGMA temp_store=FILE;"
           "PRAGMA wal_autocheckpoint=4096; PRAGMA journal_size_limit=0");
}

int vs_store_open(const char *path, struct vs_store **out, struct vs_error *e)
{
    int err = 0, rc;
    bool empty = true;
    sqlite3_stmt *q = NULL;
    struct vs_store *s = calloc(1, sizeof *s);
    if (!s) return vs_fail(e, ENOMEM, "out of memory");
    rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(s->db, "SELECT 1 FROM sqlite_master LIMIT 1", -1, &q, NULL);
    if (rc == SQLITE_OK) empty = sqlite3_step(q) == SQLITE_DONE;
    sqlite3_finalize(q);
    if (rc != SQLITE_OK) {
        err = vs_fail(e, errno_of(rc), "cannot open %s: %s", path, s->db ? sqlite3_errmsg(s->db) : "out of memory");
        goto out;
    }
    if (!empty && (err = vs_format_check_version(s->db, path, e))) goto out;
    set_up(s, empty);
    if (empty) make_schema(s);
    if (!s->err) vs_store_load_strings(s);
    if (s->err) {
        err = vs_fail(e, -s->err, "cannot write %s: %s", path, s->message);
        goto out;
    }
    *out = s;
    s = NULL;
out:
    vs_store_close(s);
    return err;
}

void vs_store_close(struct vs_store *s)
{
    if (!s) return;
    if (s->db && !sqlite3_get_autocommit(s->db)) vs_store_rollback(s);
    for (int i = 0; i < VS_NSTATEMENTS; i++) sqlite3_finalize(s->statement[i]);
    sqlite3_finalize(s->string_insert);
    sqlite3_finalize(s->state_get);
    sqlite3_finalize(s->string_get);
    if (s->db) /* fails when somebody reads: then the -wal file stays, and the last reader removes it */
        sqlite3_exec(s->db, "PRAGMA busy_timeout=0; PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    sqlite3_close(s->db);
    vs_interned_free(&s->interned);
    free(s);
}

struct sqlite3 *vs_store_handle(struct vs_store *s)
{
    return s->db;
}

int vs_store_begin(struct vs_store *s)
{
    run(s, "BEGIN IMMEDIATE");
    return s->err;
}

int vs_store_commit(struct vs_store *s)
{
    run(s, "COMMIT");
    return s->err;
}

void vs_store_rollback(struct vs_store *s)
{
    for (int i = 0; i < VS_NSTATEMENTS; i++)
        if (s->statement[i]) sqlite3_reset(s->statement[i]);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->err = 0;
    s->message[0] = 0;
    vs_store_load_strings(s);
}

/* Only what a view or a report scans for: every index is paid for by each ingest. */
int vs_store_index(struct vs_store *s)
{
    /* it holds what the report asks of each live row: a million of them is not rare, and the table is far larger */
    run(s, "CREATE INDEX IF NOT EXISTS allocation_live ON allocation(process_id, imported, bytes, level, parent_id) "
           "WHERE free_ts_ns IS NULL");
    return s->err;
}

int vs_store_settle(struct vs_store *s)
{
    if (s->err) return s->err;
    sqlite3_exec(s->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) /* busy: a reader; all is in the -wal file */
        vs_store_database_failed(s, rc);
    sqlite3_exec(s->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL); /* after the error's text was read */
    return s->err;
}

int vs_store_error(const struct vs_store *s)
{
    return s->err;
}

const char *vs_store_message(const struct vs_store *s)
{
    return s->message;
}

void vs_store_mute(struct vs_store *s, bool muted)
{
    s->muted = muted;
}

bool vs_store_muted(const struct vs_store *s)
{
    return s->muted;
}

uint64_t vs_store_rows(const struct vs_store *s)
{
    return s->rows;
}
