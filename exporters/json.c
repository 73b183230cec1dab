/* SPDX-License-Identifier: MIT
 *
 * json.c: rows as one JSON array of objects. Values are written by SQLite's own json_quote; blobs as hexadecimal text,
 * bytes that are not UTF-8 as U+FFFD. Must never emit two equal keys in one object: a second `id` becomes `id:1`.
 */
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "visible.h"

struct json {
    sqlite3_stmt *quote, *quote_blob;
    char **keys; /* already quoted */
    size_t rows;
};

static void json_close(struct vs_export *x)
{
    struct json *j = x->state;
    int i;
    if (!j) return;
    for (i = 0; j->keys && i < x->columns; i++) free(j->keys[i]);
    free(j->keys);
    sqlite3_finalize(j->quote);
    sqlite3_finalize(j->quote_blob);
    free(j);
}

/* Result of a bound quoting statement, valid until the next call; NULL when SQLite has no memory. */
static const char *quoted(sqlite3_stmt *s)
{
    return sqlite3_step(s) == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
}

static const char *quote_text(struct json *j, const char *text, size_t bytes)
{
    const char *result = NULL;
    size_t i, used = 0;
    uint32_t code;
    unsigned n;
    char *copy;
    for (i = 0; i < bytes && (n = vs_utf8_next(text + i, bytes - i, &code)); i += n)
        ;
    sqlite3_reset(j->quote);
    if (i == bytes) {
        sqlite3_bind_text64(j->quote, 1, text, bytes, SQLITE_STATIC, SQLITE_UTF8);
        return quoted(j->quote);
    }
    copy = malloc(3 * bytes + 1);
    if (!copy) return NULL;
    for (i = 0; i < bytes; i += n ? n : 1) {
        n = vs_utf8_next(text + i, bytes - i, &code);
        memcpy(copy + used, n ? text + i : "\ufffd", n ? n : 3);
        used += n ? n : 3;
    }
    if (!sqlite3_bind_text64(j->quote, 1, copy, used, SQLITE_TRANSIENT, SQLITE_UTF8)) result = quoted(j->quote);
    free(copy);
    return result;
}

static int json_keys(struct vs_export *x, struct json *j)
{
    int i, k;
    j->keys = calloc((size_t)x->columns + 1, sizeof *j->keys);
    if (!j->keys) return -ENOMEM;
    for (i = 0; i < x->columns; i++) {
        const char *name = sqlite3_column_name(x->rows, i), *q;
        char *unique;
        int same = 0;
        if (!name) return -ENOMEM;
        for (k = 0; k < i; k++) same += !strcmp(sqlite3_column_name(x->rows, k), name);
        unique = same ? sqlite3_mprintf("%s:%d", name, same) : sqlite3_mprintf("%s", name);
        q = unique ? quote_text(j, unique, strlen(unique)) : NULL;
        j->keys[i] = q ? strdup(q) : NULL;
        sqlite3_free(unique);
        if (!j->keys[i]) return -ENOMEM;
    }
    return 0;
}

static int json_begin(struct vs_export *x)
{
    struct json *j = calloc(1, sizeof *j);
    if (!j) return -ENOMEM;
    x->state = j;
    if (sqlite3_prepare_v2(x->db, "SELECT json_quote(?1)", -1, &j->quote, NULL) ||
        sqlite3_prepare_v2(x->db, "SELECT json_quote(hex(?1))", -1, &j->quote_blob, NULL))
        return -ENOMEM;
    putc('[', x->out);
    return json_keys(x, j);
}

static const char *json_value(struct vs_export *x, struct json *j, int i)
{
    double real;
    switch (sqlite3_column_type(x->rows, i)) {
    case SQLITE_NULL: return "null";
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(x->rows, i);
        return text ? quote_text(j, text, (size_t)sqlite3_column_bytes(x->rows, i)) : NULL;
    }
    case SQLITE_BLOB:
        sqlite3_reset(j->quote_blob);
        sqlite3_bind_value(j->quote_blob, 1, sqlite3_column_value(x->rows, i));
        return quoted(j->quote_blob);
    case SQLITE_FLOAT:
        real = sqlite3_column_double(x->rows, i);
        if (isinf(real)) return real > 0 ? "9e999" : "-9e999"; /* JSON has no infinity; parsers read this as one */
        return (const char *)sqlite3_column_text(x->rows, i);
    default: return (const char *)sqlite3_column_text(x->rows, i);
    }
}

static int json_row(struct vs_export *x)
{
    struct json *j = x->state;
    int i;
    fputs(j->rows++ ? ",\n{" : "\n{", x->out);
    for (i = 0; i < x->columns; i++) {
        const char *value = json_value(x, j, i);
        if (!value) return -ENOMEM;
        fprintf(x->out, "%s%s:", i ? "," : "", j->keys[i]);
        fputs(value, x->out);
    }
    putc('}', x->out);
    return 0;
}

static int json_end(struct vs_export *x)
{
    struct json *j = x->state;
    fputs(j->rows ? "\n]\n" : "]\n", x->out);
    return 0;
}

const struct vs_exporter vs_exporter_json = {.name = "json", .help = "one array of objects", .begin = json_begin,
                                             .row = json_row, .end = json_end, .close = json_close};
