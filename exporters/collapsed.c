/* SPDX-License-Identifier: MIT
 *
 * collapsed.c: rows as collapsed stacks, which flame graph tools read: "outermost;...;innermost VALUE", one stack a line.
 * The rows of a stack follow each other, outermost frame first; their columns are the stack's number, its value and the
 * frame's name. Must never let a name be taken for more than one frame, or for the end of a line.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "visible.h"

enum { COLUMN_STACK, COLUMN_VALUE, COLUMN_NAME, COLUMNS };

struct collapsed {
    sqlite3_int64 stack, value;
    int started;
    char *name; /* made visible */
    size_t room;
};

static int collapsed_begin(struct vs_export *x)
{
    if (x->columns != COLUMNS) return -EINVAL;
    x->state = calloc(1, sizeof(struct collapsed));
    return x->state ? 0 : -ENOMEM;
}

static void end_line(struct vs_export *x, const struct collapsed *c)
{
    if (c->started) fprintf(x->out, " %lld\n", (long long)c->value);
}

static int put_name(struct vs_export *x, struct collapsed *c, const char *name, size_t bytes)
{
    size_t room = VS_VISIBLE_ROOM(bytes);
    if (room > c->room) {
        char *larger = realloc(c->name, room);
        if (!larger) return -ENOMEM;
        c->name = larger;
        c->room = room;
    }
    vs_visible(name, bytes, 0, c->name, c->room);
    for (const char *at = c->name; *at; at++) {
        if (*at == ';') fputs("\\x3b", x->out);
        else putc(*at, x->out);
    }
    return 0;
}

static int collapsed_row(struct vs_export *x)
{
    struct collapsed *c = x->state;
    sqlite3_int64 stack = sqlite3_column_int64(x->rows, COLUMN_STACK);
    const char *name = (const char *)sqlite3_column_text(x->rows, COLUMN_NAME);
    if (c->started && c->stack == stack) {
        putc(';', x->out);
    } else {
        end_line(x, c);
        c->started = 1;
        c->stack = stack;
        c->value = sqlite3_column_int64(x->rows, COLUMN_VALUE);
    }
    return put_name(x, c, name ? name : "?", name ? (size_t)sqlite3_column_bytes(x->rows, COLUMN_NAME) : 1);
}

static int collapsed_end(struct vs_export *x)
{
    end_line(x, x->state);
    return 0;
}

static void collapsed_close(struct vs_export *x)
{
    struct collapsed *c = x->state;
    if (c) free(c->name);
    free(c);
}

const struct vs_exporter vs_exporter_collapsed = {.name = "collapsed", .help = "one stack a line, for flame graphs",
                                                  .begin = collapsed_begin, .row = collapsed_row,
                                                  .end = collapsed_end, .close = collapsed_close};
