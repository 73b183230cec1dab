/* SPDX-License-Identifier: MIT
 *
 * markdown.c: rows as a table of GitHub's Markdown; NULL is "-". Must never let a value end its cell or mean anything but
 * its own text.
 */
#include <ctype.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "paper.h"

static void markdown_cell(FILE *out, const char *text, int column)
{
    const char *p;
    (void)column;
    putc(' ', out);
    for (p = text; *p; p++) {
        int inside = *p == '_' && p > text && isalnum((unsigned char)p[-1]) && isalnum((unsigned char)p[1]);
        if (strchr("\\`*_[]<>|~&#$", *p) && !inside) putc('\\', out); /* an underscore inside a word is only that */
        putc(*p, out);
    }
    fputs(" |", out);
}

static int head(struct vs_export *x, int row)
{
    int i, err;
    x->state = x; /* written */
    putc('|', x->out);
    if ((err = vs_paper_names(x, markdown_cell))) return err;
    fputs("\n|", x->out);
    for (i = 0; i < x->columns; i++) fputs(row && vs_paper_is_number(x->rows, i) ? " ---: |" : " --- |", x->out);
    putc('\n', x->out);
    return 0;
}

static int markdown_begin(struct vs_export *x)
{
    x->state = NULL; /* the first row says which columns are numbers */
    return 0;
}

static int markdown_row(struct vs_export *x)
{
    int err = x->state ? 0 : head(x, 1);
    if (err) return err;
    putc('|', x->out);
    err = vs_paper_row(x, "-", markdown_cell);
    putc('\n', x->out);
    return err;
}

static int markdown_end(struct vs_export *x)
{
    return x->state ? 0 : head(x, 0);
}

const struct vs_exporter vs_exporter_markdown = {.name = "markdown",
                                                 .help = "a table of GitHub's Markdown",
                                                 .begin = markdown_begin,
                                                 .row = markdown_row,
                                                 .end = markdown_end};
