/* SPDX-License-Identifier: MIT
 *
 * table.c: rows as aligned columns for people. Widths come from the first rows, so memory is bounded however many
 * follow. Must never pass a control character to the terminal, and never cut a value.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "visible.h"

#define SAMPLE_ROWS 1000 /* rows held back to find the widths */
#define WIDEST 60        /* a cell wider than this does not push the other rows apart */

struct cell {
    char *text;
    unsigned columns;
    int number;
};

struct table {
    unsigned *width;
    char *right; /* per column: all its values so far are numbers */
    struct cell *held;
    int rows, flowing; /* flowing: the widths are fixed and the held rows written */
};

static void table_close(struct vs_export *x)
{
    struct table *t = x->state;
    int i;
    if (!t) return;
    for (i = 0; t->held && i < t->rows * x->columns; i++) free(t->held[i].text);
    free(t->held);
    free(t->width);
    free(t->right);
    free(t);
}

static int make_cell(const char *text, size_t bytes, int number, struct cell *c)
{
    size_t room = VS_VISIBLE_ROOM(bytes);
    c->text = malloc(room);
    if (!c->text) return -ENOMEM;
    c->columns = vs_visible(text, bytes, 0, c->text, room);
    c->number = number;
    return 0;
}

static int read_cell(struct vs_export *x, int i, struct cell *c)
{
    int type = sqlite3_column_type(x->rows, i), k, n, err;
    if (type == SQLITE_NULL) return make_cell("NULL", 4, 0, c);
    if (type == SQLITE_BLOB) {
        const unsigned char *b = sqlite3_column_blob(x->rows, i);
        char *hex;
        n = sqlite3_column_bytes(x->rows, i);
        hex = malloc(2 * (size_t)n + 1);
        if (!hex) return -ENOMEM;
        for (k = 0; k < n; k++) snprintf(hex + 2 * k, 3, "%02x", b[k]);
        err = make_cell(hex, 2 * (size_t)n, 0, c);
        free(hex);
        return err;
    }
    if (!sqlite3_column_text(x->rows, i)) return -ENOMEM;
    return make_cell((const char *)sqlite3_column_text(x->rows, i), (size_t)sqlite3_column_bytes(x->rows, i),
                     type != SQLITE_TEXT, c);
}

static void write_cell(struct vs_export *x, int i, const char *text, unsigned columns)
{
    struct table *t = x->state;
    unsigned pad = columns < t->width[i] ? t->width[i] - columns : 0;
    int last = i + 1 == x->columns;
    if (t->right[i]) fprintf(x->out, "%*s", (int)pad, "");
    fputs(text, x->out);
    if (!t->right[i] && !last) fprintf(x->out, "%*s", (int)pad, "");
    fputs(last ? "\n" : "  ", x->out);
}

static int write_heading(struct vs_export *x)
{
    int i;
    for (i = 0; i < x->columns; i++) {
        const char *name = sqlite3_column_name(x->rows, i);
        struct cell c;
        if (make_cell(name ? name : "", name ? strlen(name) : 0, 0, &c)) return -ENOMEM;
        write_cell(x, i, c.text, c.columns);
        free(c.text);
    }
    return 0;
}

static int flow(struct vs_export *x)
{
    struct table *t = x->state;
    int i, err;
    t->flowing = 1;
    if ((err = write_heading(x))) return err;
    for (i = 0; i < t->rows * x->columns; i++) write_cell(x, i % x->columns, t->held[i].text, t->held[i].columns);
    return 0;
}

static int table_begin(struct vs_export *x)
{
    struct table *t = calloc(1, sizeof *t);
    size_t n = (size_t)x->columns + 1;
    int i;
    if (!t) return -ENOMEM;
    x->state = t;
    t->width = calloc(n, sizeof *t->width);
    t->right = malloc(n);
    t->held = calloc(n * SAMPLE_ROWS, sizeof *t->held);
    if (!t->width || !t->right || !t->held) return -ENOMEM;
    memset(t->right, 1, n);
    for (i = 0; i < x->columns; i++) {
        const char *name = sqlite3_column_name(x->rows, i);
        struct cell c;
        if (make_cell(name ? name : "", name ? strlen(name) : 0, 0, &c)) return -ENOMEM;
        t->width[i] = c.columns;
        free(c.text);
    }
    return 0;
}

static int table_row(struct vs_export *x)
{
    struct table *t = x->state;
    int i, err = 0, hold = !t->flowing;
    for (i = 0; i < x->columns; i++) {
        struct cell c;
        if ((err = read_cell(x, i, &c))) break;
        if (!hold) {
            write_cell(x, i, c.text, c.columns);
            free(c.text);
            continue;
        }
        t->held[t->rows * x->columns + i] = c;
        if (c.columns > t->width[i] && t->width[i] < WIDEST) t->width[i] = c.columns < WIDEST ? c.columns : WIDEST;
        if (!c.number && sqlite3_column_type(x->rows, i) != SQLITE_NULL) t->right[i] = 0;
    }
    if (hold) t->rows++;
    if (!err && hold && t->rows == SAMPLE_ROWS) err = flow(x);
    return err;
}

static int table_end(struct vs_export *x)
{
    struct table *t = x->state;
    return t->flowing || !x->columns ? 0 : flow(x);
}

const struct vs_exporter vs_exporter_table = {.name = "table", .help = "aligned columns for people", .begin = table_begin,
                                              .row = table_row, .end = table_end, .close = table_close};
