/* SPDX-License-Identifier: MIT
 *
 * paper.c: see paper.h.
 */
#include "paper.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "visible.h"

int vs_paper_is_number(sqlite3_stmt *rows, int column)
{
    int type = sqlite3_column_type(rows, column);
    const char *text;
    char *end;
    if (type != SQLITE_TEXT) return type != SQLITE_BLOB;
    text = (const char *)sqlite3_column_text(rows, column);
    if (!text || !*text) return 0;
    strtod(text, &end);
    return !*end;
}

static int write_cell(struct vs_export *x, const char *text, size_t bytes, int column, vs_paper_cell *cell)
{
    char *shown = malloc(VS_VISIBLE_ROOM(bytes));
    if (!shown) return -ENOMEM;
    vs_visible(text, bytes, 0, shown, VS_VISIBLE_ROOM(bytes));
    cell(x->out, shown, column);
    free(shown);
    return 0;
}

int vs_paper_row(struct vs_export *x, const char *nothing, vs_paper_cell *cell)
{
    int i, err = 0;
    for (i = 0; i < x->columns && !err; i++) {
        const char *text = (const char *)sqlite3_column_text(x->rows, i);
        if (sqlite3_column_type(x->rows, i) == SQLITE_NULL) cell(x->out, nothing, i);
        else err = text ? write_cell(x, text, (size_t)sqlite3_column_bytes(x->rows, i), i, cell) : -ENOMEM;
    }
    return err;
}

int vs_paper_names(struct vs_export *x, vs_paper_cell *cell)
{
    int i, err = 0;
    for (i = 0; i < x->columns && !err; i++) {
        const char *name = sqlite3_column_name(x->rows, i);
        err = name ? write_cell(x, name, strlen(name), i, cell) : -ENOMEM;
    }
    return err;
}
