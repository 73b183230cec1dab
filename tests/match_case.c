/* SPDX-License-Identifier: MIT
 *
 * match_case.c: rows of ranks. It must use ids as ingest gives them: the process is in the high bits.
 */
#include "match_case.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../db/match.h"
#include "../db/schema.h"
#include "../db/store.h"

struct match_case mc;

void match_case_sql(const char *format, ...)
{
    char *message = NULL, *text;
    va_list args;
    va_start(args, format);
    text = sqlite3_vmprintf(format, args);
    va_end(args);
    sqlite3_exec(mc.sql, text, NULL, NULL, &message);
    ck_assert_msg(!message, "%s: %s", message, text);
    sqlite3_free(text);
}

void match_case_begin(void)
{
    memset(&mc, 0, sizeof mc);
    strcpy(mc.folder, "/tmp/vramscope-match-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(mc.folder));
    snprintf(mc.db, sizeof mc.db, "%s/run.db", mc.folder);
    ck_assert_int_eq(sqlite3_open(mc.db, &mc.sql), SQLITE_OK);
    match_case_sql("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY");
    sqlite3_exec(mc.sql, vs_schema_sql, NULL, NULL, NULL);
    match_case_sql("INSERT OR REPLACE INTO meta VALUES ('format_version', '%d')", VS_SCHEMA_VERSION);
    match_case_sql("INSERT INTO string VALUES (1, 'gemm'), (2, 'ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)')");
    mc.next = 0;
}

void match_case_end(void)
{
    char command[128];
    sqlite3_close(mc.sql);
    snprintf(command, sizeof command, "rm -rf '%s'", mc.folder);
    ck_assert_int_eq(system(command), 0);
}

static int64_t row(int rank)
{
    return ((int64_t)rank << 40) + ++mc.next;
}

void match_case_rank(int rank, int world, const char *host, int64_t ahead_ns)
{
    match_case_sql("INSERT INTO process (id, host, pid, rank, world_size, command_line, trace_level, start_ns, start_real_ns, end_ns,"
                   " ended) VALUES (%d, %Q, %d, %d, %d, 'train', 'kernels', 1000, %lld, 1000000000, 'exit')",
                   rank + 1, host, 100 + rank, rank, world, (long long)(1000 + ahead_ns));
    match_case_sql("INSERT INTO ingest_state VALUES (%d, 'log_at', 4096), (%d, 'final', 1)", rank + 1, rank + 1);
}

int64_t match_case_communicator(int rank, int64_t hash, int nranks)
{
    int64_t id = row(rank);
    match_case_sql("INSERT INTO communicator (id, process_id, hash, nranks, rank, device, name, created_ns) VALUES (%lld, %d, NULLIF(%lld,"
                   " 0), %d, %d, 0, 'data', 1000)", (long long)id, rank + 1, (long long)hash, nranks, rank);
    return id;
}

void match_case_call(int rank, int64_t communicator, int sequence, const char *op, int64_t bytes, int64_t begin, int64_t end, int group)
{
    match_case_sql("INSERT INTO collective (id, process_id, communicator_id, sequence, op, dtype, bytes, group_id, begin_ns, end_ns,"
                   " thread_id, origin) VALUES (%lld, %d, %lld, %d, %Q, 'float32', %lld, NULLIF(%d, 0), %lld, NULLIF(%lld, 0), %d, 'call')",
                   (long long)row(rank), rank + 1, (long long)communicator, sequence, op, (long long)bytes, group, (long long)begin,
                   (long long)end, 10 + rank);
}

void match_case_kernel(int rank, const char *name, int64_t launch, int64_t begin, int64_t end)
{
    match_case_sql("INSERT INTO kernel (id, process_id, device, name_id, begin_ns, end_ns, launch_ns, thread_id) VALUES (%lld, %d, 0,"
                   " (SELECT id FROM string WHERE text LIKE %Q || '%%'), %lld, %lld, NULLIF(%lld, 0), %d)",
                   (long long)row(rank), rank + 1, name, (long long)begin, (long long)end, (long long)launch, 10 + rank);
}

void match_case_iteration(int rank, int iteration, int64_t begin, int64_t end)
{
    int64_t middle = (begin + end) / 2;
    match_case_sql("INSERT INTO phase (process_id, name, iteration, begin_ns, end_ns, origin) VALUES (%d, 'forward', %d, %lld, %lld,"
                   " 'nvtx'), (%d, 'backward', %d, %lld, %lld, 'nvtx')", rank + 1, iteration, (long long)begin, (long long)middle,
                   rank + 1, iteration, (long long)middle, (long long)end);
}

void match_case_run(void)
{
    struct vs_error e = {""};
    struct vs_store *s = NULL;
    if (!sqlite3_get_autocommit(mc.sql)) match_case_sql("COMMIT");
    sqlite3_close(mc.sql);
    ck_assert_msg(!vs_store_open(mc.db, &s, &e), "%s", e.text);
    ck_assert(!vs_store_begin(s));
    ck_assert_msg(!vs_match_ranks(s), "%s", vs_store_message(s));
    ck_assert(!vs_store_commit(s));
    vs_store_close(s);
    ck_assert_int_eq(sqlite3_open(mc.db, &mc.sql), SQLITE_OK);
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *q;
    ck_assert_msg(sqlite3_prepare_v2(mc.sql, sql, -1, &q, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(mc.sql));
    return q;
}

int64_t match_case_int(const char *sql)
{
    sqlite3_stmt *q = prepare(sql);
    int64_t n = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL ? sqlite3_column_int64(q, 0) : INT64_MIN;
    sqlite3_finalize(q);
    return n;
}

double match_case_real(const char *sql)
{
    sqlite3_stmt *q = prepare(sql);
    double x = -1;
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL) x = sqlite3_column_double(q, 0);
    sqlite3_finalize(q);
    return x;
}

const char *match_case_text(const char *sql)
{
    static char text[65536];
    size_t n = 0;
    sqlite3_stmt *q = prepare(sql);
    text[0] = 0;
    for (int first = 1; sqlite3_step(q) == SQLITE_ROW; first = 0)
        for (int i = 0; i < sqlite3_column_count(q) && n < sizeof text - 1; i++) {
            const char *cell = (const char *)sqlite3_column_text(q, i);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? "|" : first ? "" : ",", cell ? cell : "-");
        }
    sqlite3_finalize(q);
    return text;
}
