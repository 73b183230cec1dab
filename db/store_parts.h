/* SPDX-License-Identifier: MIT
 *
 * store_parts.h: the inside of vs_store, for store.c and store_text.c only.
 */
#ifndef VS_DB_STORE_PARTS_H
#define VS_DB_STORE_PARTS_H

#include <sqlite3.h>

#include "interned.h"
#include "store.h"

struct vs_store {
    sqlite3 *db;
    sqlite3_stmt *statement[VS_NSTATEMENTS];
    sqlite3_stmt *string_insert, *string_get, *state_get;
    struct vs_interned interned;
    int64_t next_string;
    uint64_t rows;
    int err;
    bool muted;
    char message[256];
};

void vs_store_database_failed(struct vs_store *s, int rc); /* makes SQLite's error stick */
void vs_store_run(struct vs_store *s, sqlite3_stmt *q);    /* one step of a bound statement, then ready for the next */
int vs_store_load_strings(struct vs_store *s);

#endif
