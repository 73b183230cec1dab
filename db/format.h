/* SPDX-License-Identifier: MIT
 *
 * format.h: decides whether a file is a database this version can read, and says what it is when it is not.
 *
 * Errors: -ENOENT, -EACCES, -EINVAL, -EIO with a text that names the file and what to do.
 */
#ifndef VS_DB_FORMAT_H
#define VS_DB_FORMAT_H

#include "error.h"

struct sqlite3;

int vs_format_check_file(const char *path, struct vs_error *e);                        /* before SQLite opens it */
int vs_format_check_version(struct sqlite3 *db, const char *path, struct vs_error *e); /* after */

#endif
