/* SPDX-License-Identifier: MIT
 *
 * match.c: which processes and communicators are to be looked at again, and the one clock. It must never touch a row of a
 * process that has not changed.
 */
#include "match.h"

#include <errno.h>
#include <sqlite3.h>

#include "process.h"

static void failed(struct vs_store *s)
{
    sqlite3 *db = vs_store_handle(s);
    int rc = sqlite3_errcode(db) & 0xff;
    vs_store_fail(s, rc == SQLITE_FULL ? ENOSPC : rc == SQLITE_NOMEM ? ENOMEM : EIO, sqlite3_errmsg(db));
}

void vs_match_run(struct vs_store *s, const char *sql)
{
    if (!vs_store_error(s) && sqlite3_exec(vs_store_handle(s), sql, NULL, NULL, NULL) != SQLITE_OK) failed(s);
}

sqlite3_stmt *vs_match_query(struct vs_store *s, const char *sql)
{
    sqlite3_stmt *q = NULL;
    if (!vs_store_error(s) && sqlite3_prepare_v2(vs_store_handle(s), sql, -1, &q, NULL) != SQLITE_OK) failed(s);
    return q;
}

int vs_match_next(struct vs_store *s, sqlite3_stmt **q)
{
    int rc = *q && !vs_store_error(s) ? sqlite3_step(*q) : SQLITE_DONE;
    if (rc == SQLITE_ROW) return 1;
    if (rc != SQLITE_DONE) failed(s);
    sqlite3_finalize(*q);
    *q = NULL;
    return 0;
}

int64_t vs_match_number(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? VS_NONE : sqlite3_column_int64(q, column);
}

int64_t vs_match_add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (a > 0 ? INT64_MAX : INT64_MIN + 1) : sum;
}

int64_t vs_match_minus(int64_t a, int64_t b)
{
    int64_t difference;
    return __builtin_sub_overflow(a, b, &difference) ? (a > 0 ? INT64_MAX : INT64_MIN + 1) : difference;
}

static int64_t number(struct vs_store *s, const char *sql)
{
    sqlite3_stmt *q = vs_match_query(s, sql);
    int64_t n = vs_match_next(s, &q) ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return n;
}

/* One offset per host: two processes of one host read CLOCK_REALTIME at different moments, and it may have been set between. */
static const char clock_sql[] =
    "DELETE FROM process_clock;"
    "INSERT INTO process_clock"
    " WITH p AS (SELECT id, COALESCE((SELECT value FROM ingest_state WHERE process_id = process.id AND key = 'boot_id'), host, '')"
    "             AS host, start_real_ns - start_ns AS ahead_ns FROM process),"
    "      h AS (SELECT id, host, FIRST_VALUE(ahead_ns) OVER (PARTITION BY host ORDER BY ahead_ns IS NULL, id) AS ahead_ns,"
    "             FIRST_VALUE(host) OVER (ORDER BY id) AS first FROM p)"
    " SELECT id, CASE WHEN host = first THEN 0 ELSE COALESCE(CAST(ahead_ns - (SELECT ahead_ns FROM h WHERE host = first LIMIT 1)"
    "  AS INTEGER), 0) END, CASE WHEN host = first THEN 'host' ELSE 'calendar' END FROM h";

/* How far a process was read, as ingest notes it. */
#define READ_SO_FAR                                                                                                    \
    "(SELECT group_concat(value, ' ') FROM (SELECT value FROM ingest_state i WHERE i.process_id = p.id AND i.key IN "  \
    "('log_at', 'slabs_at', 'final') ORDER BY i.key))"

static const char begin_sql[] =
    "CREATE TEMP TABLE match_fresh AS SELECT p.id AS process_id FROM process p WHERE " READ_SO_FAR
    "  IS NOT (SELECT value FROM ingest_state i WHERE i.process_id = p.id AND i.key = 'matched');"
    "CREATE TEMP TABLE match_hash AS SELECT DISTINCT hash FROM communicator WHERE hash IS NOT NULL"
    "  AND process_id IN (SELECT process_id FROM match_fresh);"
    "CREATE TEMP TABLE match_process AS SELECT process_id FROM match_fresh"
    "  UNION SELECT process_id FROM communicator WHERE hash IN (SELECT hash FROM match_hash);"
    "CREATE TEMP TABLE match_kernel (process_id INTEGER, thread_id INTEGER, launch_ns INTEGER, id INTEGER, device INTEGER,"
    "  begin_ns INTEGER, end_ns INTEGER, PRIMARY KEY (process_id, thread_id, launch_ns, id)) WITHOUT ROWID;"
    "CREATE TEMP TABLE match_name AS SELECT id FROM string WHERE text GLOB 'nccl*Kernel*' OR text GLOB 'void nccl*Kernel*';"
    "CREATE TEMP TABLE match_member (communicator_id INTEGER PRIMARY KEY, team INTEGER, process_id INTEGER, rank INTEGER,"
    "  nranks INTEGER, device INTEGER, offset_ns INTEGER, dead INTEGER, kernels INTEGER);"
    "DELETE FROM step_overlap_data WHERE process_id IN (SELECT process_id FROM match_process);"
    "DELETE FROM rank_activity WHERE process_id IN (SELECT process_id FROM match_process);"
    "DELETE FROM collective_match WHERE hash IN (SELECT hash FROM match_hash)";

static const char end_sql[] =
    "INSERT OR REPLACE INTO ingest_state SELECT p.id, 'matched', " READ_SO_FAR " FROM process p"
    "  WHERE p.id IN (SELECT process_id FROM match_fresh);";

static const char drop_sql[] =
    "DROP TABLE IF EXISTS temp.match_fresh; DROP TABLE IF EXISTS temp.match_hash; DROP TABLE IF EXISTS temp.match_process;"
    "DROP TABLE IF EXISTS temp.match_kernel; DROP TABLE IF EXISTS temp.match_name; DROP TABLE IF EXISTS temp.match_member;"
    "DROP TABLE IF EXISTS temp.match_group";

static void each_process(struct vs_store *s)
{
    sqlite3_stmt *q = vs_match_query(s, "SELECT process_id FROM temp.match_process ORDER BY process_id"),
                 *some = vs_match_query(s, "SELECT EXISTS (SELECT 1 FROM collective WHERE id > ?1 AND id <= ?2)");
    while (vs_match_next(s, &q)) {
        int64_t process = sqlite3_column_int64(q, 0), base = (process - 1) * VS_ROWS_PER_PROCESS;
        int has = 0;
        sqlite3_bind_int64(some, 1, base);
        sqlite3_bind_int64(some, 2, base + VS_ROWS_PER_PROCESS);
        if (sqlite3_step(some) == SQLITE_ROW) has = sqlite3_column_int(some, 0);
        sqlite3_reset(some);
        if (has) vs_overlap_write(s, process);
    }
    sqlite3_finalize(some);
}

int vs_match_ranks(struct vs_store *s)
{
    if (vs_store_error(s) || !number(s, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'collective_match'"))
        return vs_store_error(s);
    vs_match_run(s, clock_sql);
    vs_match_run(s, drop_sql); /* of an ingest that failed */
    vs_match_run(s, begin_sql);
    if (number(s, "SELECT EXISTS (SELECT 1 FROM temp.match_fresh)")) {
        each_process(s);
        vs_match_teams(s);
        vs_match_calls(s);
        vs_match_run(s, end_sql);
    }
    vs_match_run(s, drop_sql);
    return vs_store_error(s);
}
