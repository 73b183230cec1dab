/* SPDX-License-Identifier: MIT
 *
 * latex.c: rows as a tabular with the rules of package booktabs; NULL is "--". Must never let a value be a command.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "paper.h"

static const struct {
    char c;
    const char *text;
} escapes[] = {{'\\', "\\textbackslash{}"},
               {'{', "\\{"},
               {'}', "\\}"},
               {'&', "\\&"},
               {'%', "\\%"},
               {'$', "\\$"},
               {'#', "\\#"},
               {'_', "\\_"},
               {'~', "\\textasciitilde{}"},
               {'^', "\\textasciicircum{}"},
               {'<', "\\textless{}"},
               {'>', "\\textgreater{}"},
               {'|', "\\textbar{}"},
               {'"', "\\char34{}"}};

static void latex_cell(FILE *out, const char *text, int column)
{
    size_t i, n = sizeof escapes / sizeof *escapes;
    if (column) fputs(" & ", out);
    if (*text == '[' || *text == '*') fputs("{}", out); /* after the \\ of the row before it would be its argument */
    for (; *text; text++) {
        for (i = 0; i < n && escapes[i].c != *text; i++) {
        }
        if (i < n) fputs(escapes[i].text, out);
        else putc(*text, out);
    }
}

static int head(struct vs_export *x, int row)
{
    int i, err;
    x->state = x;                       /* written */
    fputs("\\begin{tabular}{", x->out); /* \usepackage{booktabs} */
    for (i = 0; i < x->columns; i++) putc(row && vs_paper_is_number(x->rows, i) ? 'r' : 'l', x->out);
    fputs("}\n\\toprule\n", x->out);
    err = vs_paper_names(x, latex_cell);
    fputs(" \\\\\n\\midrule\n", x->out);
    return err;
}

static int latex_begin(struct vs_export *x)
{
    x->state = NULL; /* the first row says which columns are numbers */
    return 0;
}

static int latex_row(struct vs_export *x)
{
    int err = x->state ? 0 : head(x, 1);
    if (!err) err = vs_paper_row(x, "--", latex_cell);
    if (!err) fputs(" \\\\\n", x->out);
    return err;
}

static int latex_end(struct vs_export *x)
{
    int err = x->state ? 0 : head(x, 0);
    if (!err) fputs("\\bottomrule\n\\end{tabular}\n", x->out);
    return err;
}

const struct vs_exporter vs_exporter_latex = {.name = "latex",
                                              .help = "a tabular; needs \\usepackage{booktabs}",
                                              .begin = latex_begin,
                                              .row = latex_row,
                                              .end = latex_end};
