/* SPDX-License-Identifier: MIT
 *
 * cmd_query.c: `vramscope query`: runs one SQL statement on a recording. Must never let a statement change any file.
 */
#include <ctype.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "../db/query.h"
#include "../exporters/exporter.h"
#include "command.h"
#include "folder.h"
#include "option.h"

static void add_columns(sqlite3 *db, const char *table, sqlite3_str *out)
{
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", table);
    sqlite3_stmt *q = NULL;
    int i;
    if (sql && !sqlite3_prepare_v2(db, sql, -1, &q, NULL))
        for (i = 0; i < sqlite3_column_count(q); i++) sqlite3_str_appendf(out, "%s%q", i ? " " : "", sqlite3_column_name(q, i));
    sqlite3_finalize(q);
    sqlite3_free(sql);
}

/* A statement whose rows are the tables and views with their columns; to be freed with sqlite3_free. */
static char *tables_sql(sqlite3 *db)
{
    sqlite3_str *out = sqlite3_str_new(db);
    sqlite3_stmt *q = NULL;
    int n = 0;
    if (!sqlite3_prepare_v2(db, "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')"
                                " AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name", -1, &q, NULL))
        while (sqlite3_step(q) == SQLITE_ROW) {
            const char *name = (const char *)sqlite3_column_text(q, 1);
            sqlite3_str_appendf(out, n++ ? " UNION ALL SELECT %Q, %Q, '" : "SELECT %Q AS type, %Q AS name, '",
                                sqlite3_column_text(q, 0), name);
            add_columns(db, name, out);
            sqlite3_str_appendall(out, n == 1 ? "' AS columns" : "'");
        }
    sqlite3_finalize(q);
    return sqlite3_str_finish(out);
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct vs_error *e)
{
    const char *tail = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, out, &tail);
    if (rc == SQLITE_AUTH) /* vs_db_open's authorizer */
        return vs_fail(e, EPERM, "query only reads; this statement is refused (%s)", sqlite3_errmsg(db));
    if (rc) return vs_fail(e, EINVAL, "SQL: %s", sqlite3_errmsg(db));
    if (!*out) return vs_fail(e, EINVAL, "the SQL statement is empty");
    if (!sqlite3_stmt_readonly(*out)) return vs_fail(e, EPERM, "query only reads; this statement is refused");
    while (isspace((unsigned char)*tail) || *tail == ';') tail++;
    if (*tail) return vs_fail(e, EINVAL, "one SQL statement at a time; this follows the first: %.60s", tail);
    return 0;
}

static int query_main(const struct vs_command *self, int argc, char **argv)
{
    const char *format = "table";
    const struct vs_option options[] = {{.letter = 'f', .name = "format", .argument = "FORMAT",
                                         .help = "table (aligned, for people; default), csv (RFC 4180, one header line) or\n"
                                                 "                           json (one array of objects)",
                                         .text = &format, .choices = "table csv json"},
                                        {0}};
    struct vs_operands operands = {0};
    struct vs_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    struct vs_error e;
    char path[4200], *list = NULL;
    int err, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (operands.count < 1) return vs_usage(self, "query needs a database or log folder");
    if (operands.count > 2) return vs_usage(self, "query takes one SQL statement; put it in quotes");
    err = vs_recording_open(operands.text[0], &db, path, sizeof path, &e);
    if (!err && operands.count == 1 && !(list = tables_sql(vs_db_handle(db)))) err = vs_fail(&e, ENOMEM, "out of memory");
    if (!err) err = prepare(vs_db_handle(db), list ? list : operands.text[1], &rows, &e);
    if (!err) err = vs_export_rows(vs_exporter_find(format), vs_db_handle(db), rows, stdout, &e);
    sqlite3_finalize(rows);
    sqlite3_free(list);
    vs_db_close(db);
    return err ? vs_complain("%s", e.text) : VS_OK;
}

const struct vs_command vs_command_query = {
    .name = "query",
    .operands = "DB [SQL] [--format table|csv|json]",
    .summary = "Run one SQL statement on a recording, read-only",
    .about = "DB is a database or a log folder. Without SQL the tables and views are listed with their columns;\n"
             "db/schema.sql explains each. Times are ns, sizes bytes, unknown is NULL.",
    .example = "vramscope query run.db \"SELECT * FROM peak\" --format csv",
    .main = query_main};
