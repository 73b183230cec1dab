/* SPDX-License-Identifier: MIT
 *
 * database_file.h: makes, locks and replaces the file of a database.
 *
 * Errors: -EEXIST, -EBUSY, -errno with a text.
 */
#ifndef VS_DB_DATABASE_FILE_H
#define VS_DB_DATABASE_FILE_H

#include "error.h"
#include "ingest.h"

/* *lock: a descriptor that holds the writer's lock until it is closed (after SQLite's own). */
int vs_database_file_take(const char *path, enum vs_ingest_mode mode, int *lock, struct vs_error *e);

#endif
