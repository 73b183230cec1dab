/* SPDX-License-Identifier: MIT
 *
 * store_text.c: table string, and the notes ingest leaves itself in table ingest_state. It must never give one text two
 * rows, unless the first one was handed out before its text was known.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_parts.h"
#include "text.h"

int vs_store_load_strings(struct vs_store *s)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, "SELECT id, text FROM string ORDER BY id", -1, &q, NULL);
    vs_interned_free(&s->interned);
    s->next_string = 1;
    while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        s->next_string = sqlite3_column_int64(q, 0) + 1;
        const char *text = (const char *)sqlite3_column_text(q, 1);
        rc = SQLITE_OK;
        if (text && vs_interned_add(&s->interned, text, (size_t)sqlite3_column_bytes(q, 1), s->next_string - 1))
            rc = SQLITE_NOMEM;
    }
    if (rc != SQLITE_DONE) vs_store_database_failed(s, rc);
    sqlite3_finalize(q);
    return s->err;
}

/* Also while muted: a replay finds the texts it needs, and one it does not find does no harm. */
static int64_t insert_string(struct vs_store *s, const char *text)
{
    int64_t id = s->next_string++;
    if (!s->string_insert) {
        int rc = sqlite3_prepare_v3(s->db, "INSERT INTO string VALUES(?1,?2)", -1, SQLITE_PREPARE_PERSISTENT,
                                    &s->string_insert, NULL);
        if (rc != SQLITE_OK) {
            vs_store_database_failed(s, rc);
            return id;
        }
    }
    sqlite3_bind_int64(s->string_insert, 1, id);
    sqlite3_bind_text(s->string_insert, 2, text, -1, SQLITE_STATIC); /* NULL: stored as NULL */
    vs_store_run(s, s->string_insert);
    return id;
}

int64_t vs_store_string(struct vs_store *s, const char *bytes, size_t n)
{
    int64_t id = vs_interned_find(&s->interned, bytes, n);
    size_t length;
    char *clean;
    if (id) return id;
    if (s->err || !(clean = vs_text_clean(bytes, n, &length))) {
        vs_store_fail(s, ENOMEM, "out of memory");
        return VS_NONE;
    }
    id = vs_interned_find(&s->interned, clean, length);
    if (!id) {
        id = insert_string(s, clean);
        if (vs_interned_add(&s->interned, clean, length, id)) vs_store_fail(s, ENOMEM, "out of memory");
    }
    free(clean);
    return id;
}

int64_t vs_store_string_later(struct vs_store *s)
{
    return insert_string(s, NULL);
}

void vs_store_string_fill(struct vs_store *s, int64_t id, const char *bytes, size_t n)
{
    size_t length;
    char *clean = vs_text_clean(bytes, n, &length);
    if (!clean || vs_interned_add(&s->interned, clean, length, id)) vs_store_fail(s, ENOMEM, "out of memory");
    else VS_PUT(s, VS_ST_STRING_TEXT, vs_int(id), vs_text(clean));
    free(clean);
}

static sqlite3_stmt *find_state(struct vs_store *s, int64_t process, const char *key)
{
    if (!s->state_get && sqlite3_prepare_v2(s->db, "SELECT value FROM ingest_state WHERE process_id=?1 AND key=?2", -1,
                                            &s->state_get, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_bind_int64(s->state_get, 1, process);
    sqlite3_bind_text(s->state_get, 2, key, -1, SQLITE_STATIC);
    return sqlite3_step(s->state_get) == SQLITE_ROW ? s->state_get : NULL;
}

int64_t vs_store_state(struct vs_store *s, int64_t process, const char *key)
{
    sqlite3_stmt *q = find_state(s, process, key);
    int64_t value = q && sqlite3_column_type(q, 0) == SQLITE_INTEGER ? sqlite3_column_int64(q, 0) : VS_NONE;
    if (s->state_get) sqlite3_reset(s->state_get);
    return value;
}

char *vs_store_state_text(struct vs_store *s, int64_t process, const char *key)
{
    sqlite3_stmt *q = find_state(s, process, key);
    const char *value = q ? (const char *)sqlite3_column_text(q, 0) : NULL;
    char *copy = value ? strdup(value) : NULL;
    if (s->state_get) sqlite3_reset(s->state_get);
    return copy;
}

char *vs_store_string_text(struct vs_store *s, int64_t id)
{
    char *copy = NULL;
    if (!s->string_get && sqlite3_prepare_v3(s->db, "SELECT text FROM string WHERE id=?1", -1,
                                             SQLITE_PREPARE_PERSISTENT, &s->string_get, NULL) != SQLITE_OK)
        return NULL;
    sqlite3_bind_int64(s->string_get, 1, id);
    if (sqlite3_step(s->string_get) == SQLITE_ROW && sqlite3_column_text(s->string_get, 0))
        copy = strdup((const char *)sqlite3_column_text(s->string_get, 0));
    sqlite3_reset(s->string_get);
    return copy;
}

/* A process taken for ended whose log then grew is read anew, from nothing. */
int vs_store_forget(struct vs_store *s, int64_t process, int64_t base, int64_t rows)
{
    static const char *const tables[] = {
        "thread",       "device",     "setting",  "allocation",    "allocation_failure",
        "range",        "mark",       "kernel",   "transfer",      "api_call",
        "communicator", "collective", "snapshot", "device_sample", "pool_sample", "host_sample",
        "phase",        "phase_memory", "at_failure", "timeline_category", "loss",       "balance",  "gap",           "overhead",
        "account_data", "account_check", "segment_fragmentation", "context_growth",
        "frame",        "stack",      "at_peak_line", "failure_stack", "peak_data",    "at_peak",    "timeline", "kernel_total",  "range_total",
    };
    char sql[160];
    for (size_t i = 0; !s->err && i < sizeof tables / sizeof *tables; i++) {
        snprintf(sql, sizeof sql, "DELETE FROM %s WHERE process_id=%lld", tables[i], (long long)process);
        if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
            vs_store_database_failed(s, sqlite3_errcode(s->db));
    }
    snprintf(sql, sizeof sql, "DELETE FROM range_memory_data WHERE range_id>=%lld AND range_id<%lld", (long long)base,
             (long long)(base + rows));
    if (!s->err && sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        vs_store_database_failed(s, sqlite3_errcode(s->db));
    snprintf(sql, sizeof sql,
             "DELETE FROM ingest_state WHERE process_id=%lld AND (key IN ('log_at', 'slabs_at', "
             "'final') OR key LIKE 'string %%')",
             (long long)process);
    if (!s->err && sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        vs_store_database_failed(s, sqlite3_errcode(s->db));
    return s->err;
}
