/* SPDX-License-Identifier: MIT
 *
 * experiment_file.c: results as files, and what is looked up in them. Must never leave half a file, nor take one for a result
 * that is not.
 */
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beside.h"
#include "experiment.h"

static void new_line(FILE *f, int depth)
{
    fprintf(f, "\n%*s", 2 * depth, "");
}

/* Valid JSON without spaces, as SQLite writes it: only what lies outside of texts has a meaning. */
static void indent(const char *json, FILE *f)
{
    int depth = 0, in_text = 0;
    for (; *json; json++) {
        int closes = !in_text && (*json == '}' || *json == ']'), opens = !in_text && (*json == '{' || *json == '[');
        if (closes) new_line(f, --depth);
        fputc(*json, f);
        if (in_text && *json == '\\') fputc(*++json, f);
        else if (*json == '"') in_text = !in_text;
        else if (opens && (json[1] == '}' || json[1] == ']')) fputc(*++json, f);
        else if (opens) new_line(f, ++depth);
        else if (!in_text && *json == ',') new_line(f, depth);
        else if (!in_text && *json == ':') fputc(' ', f);
    }
    fputc('\n', f);
}

int vs_experiment_write(const char *json, const char *path, struct vs_error *e)
{
    struct vs_beside beside;
    int err = vs_beside_open(&beside, path, e);
    if (err) return err;
    indent(json, beside.file);
    return vs_beside_close(&beside, 1, e);
}

/* Texts of one document need no database. */
static int open_none(sqlite3 **db, struct vs_error *e)
{
    if (!sqlite3_open(":memory:", db)) return 0;
    sqlite3_close(*db);
    *db = NULL;
    return vs_fail(e, ENOMEM, "out of memory");
}

int vs_experiment_read(const char *path, char **json, struct vs_error *e)
{
    sqlite3 *db = NULL;
    int err = vs_experiment_text(path, json, e);
    if (err) return err;
    err = open_none(&db, e);
    if (!err) err = vs_experiment_check(db, path, *json, e);
    sqlite3_close(db);
    if (err) {
        free(*json);
        *json = NULL;
    }
    return err;
}

static sqlite3_stmt *start(sqlite3 *db, const char *sql, const char *json, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL)) {
        vs_fail(e, EIO, "cannot read a result: %s", sqlite3_errmsg(db));
        return NULL;
    }
    sqlite3_bind_text(q, 1, json, -1, SQLITE_STATIC);
    return q;
}

static double number(sqlite3_stmt *q, int column)
{
    int type = sqlite3_column_type(q, column);
    return type == SQLITE_FLOAT || type == SQLITE_INTEGER ? sqlite3_column_double(q, column) : NAN;
}

static void text(sqlite3_stmt *q, int column, char *out, size_t room)
{
    const char *t = (const char *)sqlite3_column_text(q, column);
    snprintf(out, room, "%s", t ? t : "");
}

int vs_experiment_look(const char *json, struct vs_experiment_facts *out, struct vs_error *e)
{
    sqlite3 *db = NULL;
    int err = open_none(&db, e);
    sqlite3_stmt *q = err ? NULL
                          : start(db,
                                  "SELECT json_extract(?1, '$.status') = 'ok', json_extract(?1, '$.experiment'),"
                                  " json_extract(?1, '$.reason'), json_extract(?1, '$.peak_memory_mb'),"
                                  " json_extract(?1, '$.avg_time_ms'), json_extract(?1, '$.arena_mismatch'),"
                                  " json_extract(?1, '$.losses_of_recording'), json_extract(?1, '$.trace')",
                                  json, e);
    *out = (struct vs_experiment_facts){.peak_mb = NAN, .avg_ms = NAN};
    if (q && sqlite3_step(q) == SQLITE_ROW) {
        out->ok = sqlite3_column_int(q, 0);
        text(q, 1, out->name, sizeof out->name);
        text(q, 2, out->reason, sizeof out->reason);
        out->peak_mb = number(q, 3);
        out->avg_ms = number(q, 4);
        out->arena_mismatch = sqlite3_column_int(q, 5);
        text(q, 6, out->lost, sizeof out->lost);
        text(q, 7, out->trace, sizeof out->trace);
    } else if (!err) err = vs_fail(e, EINVAL, "not a result");
    sqlite3_finalize(q);
    sqlite3_close(db);
    return err;
}

int vs_experiment_differs(const char *json, const char *const *words, int count, char out[VS_EXPERIMENT_TEXT],
                          struct vs_error *e)
{
    static const char sql[] =
        "WITH was AS (SELECT value FROM json_each(?1, '$.arguments')), now AS (SELECT value FROM json_each(?2)),"
        " other(text) AS (SELECT 'then ' || value FROM (SELECT * FROM was EXCEPT SELECT * FROM now) UNION ALL"
        " SELECT 'now ' || value FROM (SELECT * FROM now EXCEPT SELECT * FROM was))"
        " SELECT group_concat(text, ', ') FROM (SELECT text FROM other LIMIT 4)";
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    char *list = NULL;
    int err = open_none(&db, e);
    if (!err) err = vs_experiment_words(db, words, count, &list, e);
    if (!err && !(q = start(db, sql, json, e))) err = -EIO;
    if (!err) {
        sqlite3_bind_text(q, 2, list, -1, SQLITE_STATIC);
        if (sqlite3_step(q) == SQLITE_ROW) text(q, 0, out, VS_EXPERIMENT_TEXT);
        else err = vs_fail(e, EINVAL, "not a result");
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
    free(list);
    return err;
}
