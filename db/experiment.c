/* SPDX-License-Identifier: MIT
 *
 * experiment.c: from the workload's file to a row of table experiment. Must never store what it could not check.
 */
#include "experiment.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database_file.h"
#include "store.h"
#include "text.h"

#define MOST_BYTES ((off_t)64 << 20) /* results of 10^6 samples have a tenth of it */

/* What others read. X(path, types it may have, is it needed of an experiment that failed) */
#define FIELDS(X)                                                                                                      \
    X("$.experiment", "text", 1)                                                                                       \
    X("$.status", "text", 1)                                                                                           \
    X("$.reason", "text", 0)                                                                                           \
    X("$.mode", "text", 0)                                                                                             \
    X("$.device", "text", 0)                                                                                           \
    X("$.dtype", "text", 0)                                                                                            \
    X("$.optimizer", "text", 0)                                                                                        \
    X("$.seed", "integer", 0)                                                                                          \
    X("$.config", "object", 1)                                                                                         \
    X("$.arena", "object", 0)                                                                                          \
    X("$.times_ms", "array", 0)                                                                                        \
    X("$.avg_time_ms", "real integer", 0)                                                                              \
    X("$.median_time_ms", "real integer", 0)                                                                           \
    X("$.snapshots", "array", 0)

static const struct {
    const char *path, *types;
    int always;
} fields[] = {
#define X(path, types, always) {path, types, always},
    FIELDS(X)
#undef X
};

static int read_all(int fd, const char *path, char **text, struct vs_error *e)
{
    struct stat st;
    char *bytes;
    size_t used = 0, length;
    ssize_t n = 1;
    if (fstat(fd, &st)) return vs_fail(e, errno, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return vs_fail(e, EINVAL, "%s is not a file", path);
    if (st.st_size > MOST_BYTES) return vs_fail(e, EINVAL, "%s is too large for a result (over 64 MiB)", path);
    bytes = malloc((size_t)st.st_size + 1);
    if (!bytes) return vs_fail(e, ENOMEM, "out of memory");
    while (used < (size_t)st.st_size && (n = read(fd, bytes + used, (size_t)st.st_size - used)) > 0) used += (size_t)n;
    *text = n < 0 ? NULL : vs_text_clean(bytes, used, &length);
    free(bytes);
    if (n < 0) return vs_fail(e, errno, "cannot read %s: %s", path, strerror(errno));
    return *text ? 0 : vs_fail(e, ENOMEM, "out of memory");
}

int vs_experiment_text(const char *path, char **text, struct vs_error *e)
{
    int err, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return vs_fail(e, errno, "cannot read %s: %s", path, strerror(errno));
    err = read_all(fd, path, text, e);
    close(fd);
    return err;
}

/* A number of a query whose ?1 is the document, and of which those may be used: ?2 a path, ?3 types. -1: it failed. */
static int ask(sqlite3 *db, const char *sql, const char *document, const char *path, const char *types)
{
    sqlite3_stmt *q = NULL;
    int answer = -1;
    if (!sqlite3_prepare_v2(db, sql, -1, &q, NULL)) {
        sqlite3_bind_text(q, 1, document, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 2, path, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 3, types, -1, SQLITE_STATIC);
        if (sqlite3_step(q) == SQLITE_ROW) answer = sqlite3_column_int(q, 0);
    }
    sqlite3_finalize(q);
    return answer;
}

int vs_experiment_check(sqlite3 *db, const char *path, const char *document, struct vs_error *e)
{
    int failed;
    if (ask(db, "SELECT json_valid(?1)", document, "", "") != 1 ||
        ask(db, "SELECT json_type(?1) = 'object'", document, "", "") != 1)
        return vs_fail(e, EINVAL, "%s is not a result: it does not hold one whole JSON object", path);
    failed = ask(db, "SELECT json_extract(?1, '$.status') IS NOT 'ok'", document, "", "");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int there = ask(db, "SELECT COALESCE(json_type(?1, ?2), 'null') <> 'null'", document, fields[i].path, "");
        if (!there && (failed ? !fields[i].always : !strcmp(fields[i].path, "$.reason"))) continue;
        if (ask(db, "SELECT instr(' ' || ?3 || ' ', ' ' || json_type(?1, ?2) || ' ') > 0", document, fields[i].path,
                fields[i].types) != 1)
            return vs_fail(e, EINVAL, "%s is not a whole result: %s is %s", path, fields[i].path + 2,
                           there ? "of another type" : "missing");
    }
    if (ask(db,
            "SELECT COUNT(*) FROM json_each(?1, '$.snapshots') WHERE CASE WHEN type <> 'object' THEN 1 ELSE"
            " json_type(value, '$.name') IS NOT 'text' OR"
            " COALESCE(json_type(value, '$.arena_bytes'), '') NOT IN ('integer', 'null') END",
            document, "", "") != 0)
        return vs_fail(e, EINVAL, "%s is not a whole result: a snapshot has no name or no number of bytes", path);
    return 0;
}

/* The process itself, or of the ranks that it started the lowest. */
static int64_t find_process(sqlite3 *db, int64_t after, int64_t pid)
{
    sqlite3_stmt *q = NULL;
    int64_t id = VS_NONE;
    if (sqlite3_prepare_v2(db, "SELECT id FROM process WHERE id > ?1 AND ?2 IN (pid, parent_pid)"
                               " ORDER BY pid = ?2 DESC, rank IS NULL, rank, id DESC", -1, &q, NULL))
        return VS_NONE;
    sqlite3_bind_int64(q, 1, after);
    sqlite3_bind_int64(q, 2, pid);
    if (sqlite3_step(q) == SQLITE_ROW) id = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return id;
}

static int insert(struct vs_store *store, int64_t process, const char *json, int64_t *id, struct vs_error *e)
{
    sqlite3 *db = vs_store_handle(store);
    sqlite3_stmt *q = NULL;
    int rc;
    if (sqlite3_prepare_v2(db,
                           "INSERT INTO experiment (process_id, name, result)"
                           " VALUES (?1, json_extract(?2, '$.experiment'), ?2)",
                           -1, &q, NULL))
        return vs_fail(e, EINVAL,
                       "the database cannot take results (%s): it was made by an older vramscope; choose another -o",
                       sqlite3_errmsg(db));
    if (process != VS_NONE) sqlite3_bind_int64(q, 1, process);
    sqlite3_bind_text(q, 2, json, -1, SQLITE_STATIC);
    rc = sqlite3_step(q);
    sqlite3_finalize(q);
    if (rc == SQLITE_DONE) *id = sqlite3_last_insert_rowid(db);
    if (rc == SQLITE_DONE && !vs_store_commit(store) && !vs_store_settle(store)) return 0;
    return vs_fail(e, EIO, "cannot store the result: %s",
                   rc == SQLITE_DONE ? vs_store_message(store) : sqlite3_errmsg(db));
}

static int store_document(struct vs_store *store, const struct vs_experiment_run *run, const char *document,
                          int64_t *id, char **json, struct vs_error *e)
{
    sqlite3 *db = vs_store_handle(store);
    int64_t process = find_process(db, run->after, run->pid);
    int err = run->results ? vs_experiment_check(db, run->results, document, e) : 0;
    if (!err && vs_store_begin(store)) err = vs_fail(e, EIO, "cannot store the result: %s", vs_store_message(store));
    if (!err) err = vs_experiment_complete(db, run, document, process, json, e);
    if (!err) err = insert(store, process, *json, id, e);
    return err; /* closing the store rolls back what is not committed */
}

int vs_experiment_store(const struct vs_experiment_run *run, int64_t *id, char **json, struct vs_error *e)
{
    struct vs_store *store = NULL;
    char *document = NULL;
    int lock = -1, err = run->results ? vs_experiment_text(run->results, &document, e) : 0;
    *json = NULL;
    if (!err) err = vs_database_file_take(run->db_path, VS_INGEST_RESUME, &lock, e);
    if (!err) err = vs_store_open(run->db_path, &store, e);
    if (!err) err = store_document(store, run, document ? document : "{\"config\":{}}", id, json, e);
    vs_store_close(store);
    if (lock >= 0) close(lock);
    free(document);
    if (err) {
        free(*json);
        *json = NULL;
    }
    return err;
}
