/* SPDX-License-Identifier: MIT
 *
 * sheet.c: queries, cells and lines of the report. Must never let a program's text reach the terminal unfiltered.
 */
#include "sheet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../exporters/visible.h"
#include "human.h"

static void fail(struct vs_sheet *s)
{
    if (!s->failed) vs_fail(&s->error, EIO, "cannot read the database: %s", sqlite3_errmsg(s->db));
    s->failed = 1;
}

sqlite3_stmt *vs_sheet_query(struct vs_sheet *s, const char *sql)
{
    sqlite3_stmt *q = NULL;
    if (s->failed) return NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL)) {
        fail(s);
        return NULL;
    }
    if (s->has_rank) sqlite3_bind_int64(q, 1, s->rank);
    return q;
}

int vs_sheet_next(struct vs_sheet *s, sqlite3_stmt **q)
{
    int rc = *q ? sqlite3_step(*q) : SQLITE_DONE;
    if (rc == SQLITE_ROW) return 1;
    if (rc != SQLITE_DONE) fail(s);
    sqlite3_finalize(*q);
    *q = NULL;
    return 0;
}

int64_t vs_sheet_number(struct vs_sheet *s, const char *sql)
{
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    int64_t n = 0;
    if (vs_sheet_next(s, &q)) n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

void vs_sheet_line(struct vs_sheet *s, const char *format, ...)
{
    char text[2048], shown[VS_SHEET_COLUMNS * 8];
    size_t n;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    n = strlen(text);
    while (n && text[n - 1] == ' ') n--;
    vs_visible(text, n, VS_SHEET_COLUMNS, shown, sizeof shown);
    fprintf(s->out, "%s\n", shown);
}

void vs_sheet_say(struct vs_sheet *s, const char *format, ...)
{
    char text[1024], shown[VS_VISIBLE_ROOM(sizeof text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vs_visible(text, strlen(text), 0, shown, sizeof shown);
    fputs(shown, s->out);
}

char *vs_cell(const char *text, int width, char out[VS_CELL])
{
    unsigned want = (unsigned)(width < 0 ? -width : width);
    unsigned columns = vs_visible(text, strlen(text), want, out, VS_CELL - VS_SHEET_COLUMNS);
    size_t n = strlen(out), pad = columns < want ? want - columns : 0;
    if (width < 0) {
        memmove(out + pad, out, n + 1);
        memset(out, ' ', pad);
    } else {
        memset(out + n, ' ', pad);
        out[n + pad] = 0;
    }
    return out;
}

char *vs_column_text(sqlite3_stmt *q, int column, const char *unknown, int width, char out[VS_CELL])
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    return vs_cell(text ? text : unknown, width, out);
}

static char *number(sqlite3_stmt *q, int column, int width, char *write(int64_t, char *), const char *sign, char out[VS_CELL])
{
    char text[VS_HUMAN] = "-", signedtext[VS_HUMAN + 2];
    int known = sqlite3_column_type(q, column) != SQLITE_NULL;
    if (known) write(sqlite3_column_int64(q, column), text);
    snprintf(signedtext, sizeof signedtext, "%s%s", known ? sign : "", text);
    return vs_cell(signedtext, width, out);
}

char *vs_column_bytes(sqlite3_stmt *q, int column, int width, char out[VS_CELL])
{
    return number(q, column, width, vs_human_bytes, "", out);
}

char *vs_column_time(sqlite3_stmt *q, int column, int width, char out[VS_CELL])
{
    return number(q, column, width, vs_human_time, "", out);
}

char *vs_column_count(sqlite3_stmt *q, int column, int width, char out[VS_CELL])
{
    int exact = sqlite3_column_int64(q, column) < 1000000000; /* counts are compared: exact while they fit */
    return exact ? vs_column_text(q, column, "-", width, out) : number(q, column, width, vs_human_count, "", out);
}

char *vs_column_moment(sqlite3_stmt *q, int column, int width, char out[VS_CELL])
{
    return number(q, column, width, vs_human_time, "+", out);
}

char *vs_column_place(sqlite3_stmt *q, int rank_column, int64_t processes, int width, char out[VS_CELL])
{
    char text[96] = "";
    long long rank = sqlite3_column_int64(q, rank_column), pid = sqlite3_column_int64(q, rank_column + 1),
              device = sqlite3_column_int64(q, rank_column + 2);
    size_t n = 0;
    if (sqlite3_column_type(q, rank_column) != SQLITE_NULL)
        n = (size_t)snprintf(text, sizeof text, "rank %lld ", rank);
    else if (processes > 1)
        n = (size_t)snprintf(text, sizeof text, "pid %lld ", pid);
    if (sqlite3_column_type(q, rank_column + 2) == SQLITE_NULL || device < 0)
        snprintf(text + n, sizeof text - n, "host");
    else
        snprintf(text + n, sizeof text - n, "GPU %lld", device);
    return vs_cell(text, width, out);
}
