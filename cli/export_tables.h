/* SPDX-License-Identifier: MIT
 *
 * export_tables.h: the tables of a paper from outcomes: experiments (peak, time, both over the run without privacy) and
 * components (rows: what the memory is; columns: experiments). Must never round what csv and json carry.
 *
 * Ownership: borrows. Threading: none. Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_EXPORT_TABLES_H
#define VS_CLI_EXPORT_TABLES_H

#include <stdio.h>

#include "../db/error.h"

struct sqlite3;

/* X(name, help) */
#define VS_EXPORT_TABLES(X)                                                                                            \
    X(experiments, "peak and time of each, and how much that is of vanilla's")                                         \
    X(components, "what each one's memory was at its peak")

/* db: of vs_outcomes_begin, with one side loaded, whose path is `path`. table: NULL: all that `format` can hold in one
 * text. */
int vs_export_tables(struct sqlite3 *db, const char *format, const char *table, const char *path, FILE *out,
                     struct vs_error *e);

#endif
