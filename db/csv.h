/* SPDX-License-Identifier: MIT
 *
 * csv.h: reads a file of comma-separated values (RFC 4180; lines end with LF or CRLF), row by row.
 *
 * Ownership: fields point into the reader and live until vs_csv_close (NULL-safe on a zeroed one). Threading: none.
 * Errors: -errno with a text that names the file and the line. A last row without the end of its line is a row whose
 * writer died: it is not handed out, `torn` says so.
 */
#ifndef VS_DB_CSV_H
#define VS_DB_CSV_H

#include <stddef.h>

#include "error.h"

#define VS_CSV_FIELDS 64 /* more in a row are an error */

struct vs_csv {
    const char *path;
    char *text;
    size_t bytes, at;
    unsigned long line, next_line; /* of the row handed out; where the next one begins */
    char *field[VS_CSV_FIELDS];    /* zero-terminated, but may hold a zero */
    size_t length[VS_CSV_FIELDS];
    int fields, torn;
};

int vs_csv_open(struct vs_csv *c, const char *path, struct vs_error *e); /* borrows path */
int vs_csv_next(struct vs_csv *c, struct vs_error *e);                   /* 1: a row; 0: the end */
void vs_csv_close(struct vs_csv *c);

#endif
