/* SPDX-License-Identifier: MIT
 *
 * experiment_complete.c: runs the one query (experiment.sql) that makes an experiment's result out of the workload's file and the
 * recording.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"
#include "schema.h"
#include "store.h"

static void bind_text(sqlite3_stmt *q, int at, const char *text)
{
    sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC); /* NULL: SQL's */
}

static int copy_row(sqlite3 *db, sqlite3_stmt *q, char **json, struct vs_error *e)
{
    const char *text = sqlite3_step(q) == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (!text) return vs_fail(e, EIO, "cannot complete the result: %s", sqlite3_errmsg(db));
    *json = strdup(text);
    return *json ? 0 : vs_fail(e, ENOMEM, "out of memory");
}

int vs_experiment_words(sqlite3 *db, const char *const *words, int count, char **json, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    char *list = strdup("[]");
    int err = list ? 0 : vs_fail(e, ENOMEM, "out of memory");
    if (!err && sqlite3_prepare_v2(db, "SELECT json_insert(?1, '$[#]', ?2)", -1, &q, NULL))
        err = vs_fail(e, EIO, "cannot make a list: %s", sqlite3_errmsg(db));
    for (int i = 0; i < count && !err; i++) {
        char *longer = NULL;
        bind_text(q, 1, list);
        bind_text(q, 2, words[i]);
        err = copy_row(db, q, &longer, e);
        sqlite3_reset(q);
        if (err) break;
        free(list);
        list = longer;
    }
    sqlite3_finalize(q);
    if (err) free(list);
    else *json = list;
    return err;
}

int vs_experiment_complete(sqlite3 *db, const struct vs_experiment_run *run, const char *document, int64_t process,
                           char **json, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    char *words = NULL;
    int err = vs_experiment_words(db, run->words, run->word_count, &words, e);
    if (!err && sqlite3_prepare_v2(db, vs_experiment_sql, -1, &q, NULL))
        err = vs_fail(e, EIO, "cannot complete the result: %s", sqlite3_errmsg(db));
    if (!err) {
        bind_text(q, 1, document);
        if (process != VS_NONE) sqlite3_bind_int64(q, 2, process);
        bind_text(q, 3, run->problem);
        sqlite3_bind_int(q, 4, run->status);
        bind_text(q, 5, run->name);
        bind_text(q, 6, run->recording);
        bind_text(q, 7, run->version);
        bind_text(q, 8, words);
        err = copy_row(db, q, json, e);
    }
    sqlite3_finalize(q);
    free(words);
    return err;
}
