/* SPDX-License-Identifier: MIT
 *
 * range_peak.c: replays the allocations inside a range. Must never give a number when one of them may be missing.
 */
#include "range_peak.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>

#include "store.h"

/* CUDA memory of process ?1, each byte once: of pools what they hand out, and nothing that only a graph will take. */
#define COUNTED                                                                                                        \
    "process_id = ?1 AND device IS NOT NULL AND NOT imported AND CASE source WHEN 'cuda_async' THEN level = 'sub' "    \
    "AND "                                                                                                             \
    "NOT flags & 8 ELSE level = 'held' END"

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **q, struct vs_error *e)
{
    if (!sqlite3_prepare_v2(db, sql, -1, q, NULL)) return 0;
    return vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
}

/* Highest sum of the events after begin, up to end, over what was live at begin: which therefore need not be known. Of one time,
 * allocations come before frees: so it is for memory that lived shorter than the clock can tell, and where the order of two is
 * not known, too much is safer to claim than too little. */
static int replay(sqlite3 *db, int64_t process, int64_t begin_ns, int64_t end_ns, int64_t *bytes, struct vs_error *e)
{
    static const char sql[] = "SELECT alloc_ts_ns AS ts, bytes AS change FROM allocation WHERE " COUNTED
                              " AND alloc_ts_ns > ?2 AND alloc_ts_ns <= ?3 UNION ALL "
                              "SELECT free_ts_ns, -bytes FROM allocation WHERE " COUNTED
                              " AND free_ts_ns > ?2 AND free_ts_ns <= ?3 ORDER BY 1, 2 DESC";
    sqlite3_stmt *q = NULL;
    int64_t live = 0, most = 0;
    int step, err = prepare(db, sql, &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, process);
    sqlite3_bind_int64(q, 2, begin_ns);
    sqlite3_bind_int64(q, 3, end_ns);
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        live += sqlite3_column_int64(q, 1);
        if (live > most) most = live;
    }
    if (step != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    if (!err && most > *bytes) *bytes = most;
    return err;
}

/* A number of process ?1. */
static int ask(sqlite3 *db, const char *sql, int64_t process, int64_t *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int err = prepare(db, sql, &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, process);
    *out = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return 0;
}

/* Can the recording of this process be believed to hold every CUDA allocation and every range? */
static int judge(sqlite3 *db, struct vs_range_peak *out, struct vs_error *e)
{
    int64_t lost = 0, counted = 0;
    int err =
        ask(db,
            "SELECT EXISTS (SELECT 1 FROM loss WHERE process_id = ?1 AND count > 0 AND source IN ('process', 'cuda',"
            " 'nvtx') AND reason NOT IN ('cut', 'untimed'))"
            " OR EXISTS (SELECT 1 FROM gap WHERE process_id = ?1 AND source = 'cuda')",
            out->process_id, &lost, e);
    if (!err) err = ask(db, "SELECT EXISTS (SELECT 1 FROM allocation WHERE " COUNTED ")", out->process_id, &counted, e);
    if (!err && lost) out->unknown = "the recording has losses";
    else if (!err && !counted) out->unknown = "the recording holds no CUDA memory of the program";
    return err;
}

int vs_range_peak_find(sqlite3 *db, int64_t after, const char *name, struct vs_range_peak *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int64_t bytes = 0;
    int step, err;
    *out = (struct vs_range_peak){VS_NONE, VS_NONE, NULL};
    err = prepare(db,
                  "SELECT process_id, begin_ns, end_ns FROM range WHERE process_id > ?1 AND name_id IN"
                  " (SELECT id FROM string WHERE text = ?2) ORDER BY process_id, begin_ns",
                  &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, after);
    sqlite3_bind_text(q, 2, name, -1, SQLITE_STATIC);
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW) {
        if (out->process_id == VS_NONE) {
            out->process_id = sqlite3_column_int64(q, 0);
            err = judge(db, out, e);
        }
        if (sqlite3_column_int64(q, 0) != out->process_id) out->unknown = "several processes have ranges of its name";
        if (sqlite3_column_type(q, 2) == SQLITE_NULL) out->unknown = "its range never ended";
        if (!err && !out->unknown)
            err = replay(db, out->process_id, sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2), &bytes, e);
    }
    if (!err && step != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    if (out->process_id == VS_NONE) out->unknown = "its range is not in the recording";
    if (!out->unknown) out->bytes = bytes;
    return err;
}
