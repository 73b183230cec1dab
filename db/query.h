/* SPDX-License-Identifier: MIT
 *
 * query.h: opens a finished or growing database for reading, and refuses what is not one.
 *
 * Ownership: the handle belongs to vs_db; close with vs_db_close (NULL is fine).
 * Errors: -ENOENT missing, -EACCES unreadable, -EINVAL not a vramscope database or of another format version,
 * -EIO damaged; the text names the file and says what to do.
 */
#ifndef VS_DB_QUERY_H
#define VS_DB_QUERY_H

#include "error.h"

struct sqlite3;
struct vs_db;

/* Read-only: no statement run on it can change the file. */
int vs_db_open(const char *path, struct vs_db **out, struct vs_error *e);
struct sqlite3 *vs_db_handle(struct vs_db *db);
void vs_db_close(struct vs_db *db);

#endif
