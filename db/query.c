/* SPDX-License-Identifier: MIT
 *
 * query.c: opens databases for reading. It must never let a statement write, attach or load anything.
 */
#include "query.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

struct vs_db {
    sqlite3 *db;
};

/* Reading only, whatever text a user hands us; a temporary table or an ATTACH would create files. */
static int allow(void *arg, int action, const char *a, const char *b, const char *database, const char *trigger)
{
    (void)arg;
    (void)database;
    (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
    case SQLITE_TRANSACTION: return SQLITE_OK;
    case SQLITE_FUNCTION: return b && !sqlite3_stricmp(b, "load_extension") ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA: /* descriptions, and nothing with a value that sets something */
        return a && (!strncmp(a, "table_", 6) || !strncmp(a, "index_", 6) || !strcmp(a, "data_version")) ? SQLITE_OK
                                                                                                         : SQLITE_DENY;
    default: return SQLITE_DENY;
    }
}

int vs_db_open(const char *path, struct vs_db **out, struct vs_error *e)
{
    struct vs_db *db = NULL;
    int rc, err = vs_format_check_file(path, e);
    if (err) goto out;
    db = calloc(1, sizeof *db);
    if (!db) {
        err = vs_fail(e, ENOMEM, "out of memory");
        goto out;
    }
    rc = sqlite3_open_v2(path, &db->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        err = vs_fail(e, EACCES, "cannot open %s: %s", path, db->db ? sqlite3_errmsg(db->db) : "out of memory");
        goto out;
    }
    sqlite3_busy_timeout(db->db, 5000); /* an ingest commits about once a second */
    sqlite3_exec(db->db,
                 "PRAGMA query_only=1; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536;"
                 "PRAGMA mmap_size=1073741824",
                 NULL, NULL, NULL);
    if ((err = vs_format_check_version(db->db, path, e))) goto out;
    sqlite3_set_authorizer(db->db, allow, NULL);
    *out = db;
    db = NULL;
out:
    vs_db_close(db);
    return err;
}

struct sqlite3 *vs_db_handle(struct vs_db *db)
{
    return db->db;
}

void vs_db_close(struct vs_db *db)
{
    if (!db) return;
    sqlite3_close_v2(db->db);
    free(db);
}
