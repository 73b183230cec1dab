/* SPDX-License-Identifier: MIT
 *
 * csv.c: rows as RFC 4180 text. NULL is an empty field, an empty text is "". Lines end with LF alone, so that shell tools
 * need not strip CR. Must never change a value.
 */
#include <sqlite3.h>
#include <string.h>

#include "exporter.h"

static void field(FILE *out, const char *text, size_t bytes)
{
    const char *quote;
    if (bytes && !memchr(text, '"', bytes) && !memchr(text, ',', bytes) && !memchr(text, '\n', bytes) &&
        !memchr(text, '\r', bytes)) {
        fwrite(text, 1, bytes, out);
        return;
    }
    putc('"', out);
    while ((quote = memchr(text, '"', bytes))) {
        size_t n = (size_t)(quote - text) + 1;
        fwrite(text, 1, n, out);
        putc('"', out);
        text += n;
        bytes -= n;
    }
    fwrite(text, 1, bytes, out);
    putc('"', out);
}

static int csv_begin(struct vs_export *x)
{
    int i;
    for (i = 0; i < x->columns; i++) {
        const char *name = sqlite3_column_name(x->rows, i);
        if (i) putc(',', x->out);
        field(x->out, name ? name : "", name ? strlen(name) : 0);
    }
    if (x->columns) putc('\n', x->out);
    return 0;
}

static int csv_row(struct vs_export *x)
{
    int i, k;
    for (i = 0; i < x->columns; i++) {
        if (i) putc(',', x->out);
        if (sqlite3_column_type(x->rows, i) == SQLITE_BLOB) {
            const unsigned char *b = sqlite3_column_blob(x->rows, i);
            for (k = 0; k < sqlite3_column_bytes(x->rows, i); k++) fprintf(x->out, "%02x", b[k]);
        } else if (sqlite3_column_type(x->rows, i) != SQLITE_NULL) {
            const char *text = (const char *)sqlite3_column_text(x->rows, i);
            field(x->out, text ? text : "", (size_t)sqlite3_column_bytes(x->rows, i));
        }
    }
    putc('\n', x->out);
    return 0;
}

static int csv_end(struct vs_export *x)
{
    (void)x;
    return 0;
}

const struct vs_exporter vs_exporter_csv = {
    .name = "csv", .help = "RFC 4180 with one header line, ended by LF", .begin = csv_begin, .row = csv_row, .end = csv_end};
