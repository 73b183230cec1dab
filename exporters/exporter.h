/* SPDX-License-Identifier: MIT
 *
 * exporter.h: writes the rows of a statement in a format. One format is one file with one struct vs_exporter and one
 * line in VS_EXPORTERS. It must never change the database, nor print anything but the rows.
 *
 * Ownership: statement and stream stay the caller's. Threading: one thread per export.
 * Errors: 0 or -errno with a text; a failing SQL step is -EINVAL with SQLite's message, a failing stream -EIO.
 */
#ifndef VS_EXPORTERS_EXPORTER_H
#define VS_EXPORTERS_EXPORTER_H

#include <stdio.h>

#include "../db/error.h"

struct sqlite3;
struct sqlite3_stmt;

struct vs_export {
    FILE *out;
    struct sqlite3 *db;
    struct sqlite3_stmt *rows;
    int columns;
    void *state; /* the format's own; freed by its close */
};

struct vs_exporter {
    const char *name, *help;
    int (*begin)(struct vs_export *x); /* before the first row, also when there is none */
    int (*row)(struct vs_export *x);   /* the statement stands on a row */
    int (*end)(struct vs_export *x);   /* after the last row, when nothing failed */
    void (*close)(struct vs_export *x); /* always; may be NULL */
};

#define VS_EXPORTERS(X) \
    X(table)            \
    X(csv)              \
    X(json)             \
    X(collapsed)        \
    X(markdown)         \
    X(latex)
#define X(name) extern const struct vs_exporter vs_exporter_##name;
VS_EXPORTERS(X)
#undef X

/* The formats, ended by NULL. */
extern const struct vs_exporter *const vs_exporters[];
const struct vs_exporter *vs_exporter_find(const char *name); /* NULL: there is none of that name */

/* Steps the statement to its end and writes every row. */
int vs_export_rows(const struct vs_exporter *format, struct sqlite3 *db, struct sqlite3_stmt *rows, FILE *out,
                   struct vs_error *e);

#endif
