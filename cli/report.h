/* SPDX-License-Identifier: MIT
 *
 * report.h: one screen of plain text that says where memory and time went. Must never print a text of the program as it
 * came, nor more than 100 columns, nor call unknown what is zero or zero what is unknown.
 *
 * Ownership: borrows the database and the stream. Threading: none. Errors: -EINVAL for a rank or a table that is not there, -EIO for
 * a database that cannot be read.
 */
#ifndef VS_CLI_REPORT_H
#define VS_CLI_REPORT_H

#include <stdio.h>

#include "../db/error.h"

struct vs_db;

struct vs_report_options {
    const char *db_path; /* as shown, and for the next command */
    int has_rank;        /* only the processes of one rank */
    long rank;
    int brief;           /* the summary after a run */
    const char *by;      /* one table alone, of VS_REPORT_TABLES; NULL: the report */
    int all;             /* every row of that table */
    int unfinished;      /* the caller names the next command */
};

int vs_report(struct vs_db *db, const struct vs_report_options *options, FILE *out, struct vs_error *e);

#endif
