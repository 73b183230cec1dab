/* SPDX-License-Identifier: MIT
 *
 * paper.h: what the formats for documents share: which columns hold numbers, and values as text. It must never pass on a
 * control character, nor decide what a format escapes.
 *
 * Ownership: texts are the caller's, to be freed. Threading: none. Errors: NULL or -ENOMEM: no memory.
 */
#ifndef VS_EXPORTERS_PAPER_H
#define VS_EXPORTERS_PAPER_H

#include <stdio.h>

struct vs_export;
struct sqlite3_stmt;

/* Is the value of the current row a number or nothing? Columns whose first value is are set to the right. */
int vs_paper_is_number(struct sqlite3_stmt *rows, int column);

/* Calls `cell` with each value of the row, or with the names of the columns; NULL comes as `nothing`. */
typedef void vs_paper_cell(FILE *out, const char *text, int column);
int vs_paper_row(struct vs_export *x, const char *nothing, vs_paper_cell *cell);
int vs_paper_names(struct vs_export *x, vs_paper_cell *cell);

#endif
