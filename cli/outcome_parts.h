/* SPDX-License-Identifier: MIT
 *
 * outcome_parts.h: what the files outcome*.c share. Nobody else includes it.
 *
 * Ownership: vs_outcome_run finalizes. Threading: none. Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_OUTCOME_PARTS_H
#define VS_CLI_OUTCOME_PARTS_H

#include <sqlite3.h>
#include <stddef.h>

#include "../db/error.h"

struct vs_db;

/* Where an outcome comes from: for its row, and for messages. */
struct vs_outcome_source {
    const char *side, *origin;
    sqlite3_int64 process_id; /* 0: its JSON says */
};

int vs_outcome_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct vs_error *e);
int vs_outcome_run(sqlite3 *db, sqlite3_stmt *q, struct vs_error *e); /* to its end */

/* One result as `bench train` and the suite write it, or as the scripts did whose keys they keep. */
int vs_outcome_add_json(sqlite3 *db, const struct vs_outcome_source *from, const char *text, size_t bytes,
                        struct vs_error *e);

/* Every rank of a recording, or every process where none has a rank. */
int vs_outcome_add_recording(sqlite3 *db, const struct vs_outcome_source *from, struct vs_db *recording,
                             struct vs_error *e);

#endif
