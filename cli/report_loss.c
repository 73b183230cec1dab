/* SPDX-License-Identifier: MIT
 *
 * report_loss.c: what failed, what is not in the database as it should be, and what recording cost. Must never print
 * "none" when a counter says otherwise.
 */
#include <string.h>

#include "../db/record.h"
#include "human.h"
#include "sheet.h"

#define ROWS 4

static const char *explain(const char *reason)
{
#define X(id, name, help) \
    if (reason && !strcmp(reason, name)) return help;
    VS_LOSSES(X)
#undef X
    return "";
}

/* The last word of each attempt: PyTorch asks the driver several times before it gives up. */
#define GROUPS " FROM allocation_failure WHERE process_id IN " VS_SHOWN " GROUP BY process_id, device, thread_id," \
               " COALESCE(sub_allocations, -rowid), held_allocations"

void vs_report_failures(struct vs_sheet *s)
{
    int64_t n = vs_sheet_number(s, "SELECT SUM(n) FROM (SELECT MAX(1, SUM(source = 'torch')) AS n" GROUPS ")");
    int64_t fatal = vs_sheet_number(s, "SELECT COUNT(*) FROM post_mortem WHERE kind <> 'killed' AND process_id IN " VS_SHOWN);
    char after[64] = "";
    sqlite3_stmt *q;
    if (!n) return;
    if (fatal && n > fatal)
        snprintf(after, sizeof after, ", after %lld of them the program went on", (long long)(n - fatal));
    else if (!fatal)
        snprintf(after, sizeof after, ", the program went on");
    vs_sheet_line(s, "FAILED ALLOCATIONS  %lld%s; the last:", (long long)n, after);
    q = vs_sheet_query(s, "SELECT p.rank, p.pid, f.device, f.source, f.bytes, f.ts_ns - p.start_ns, f.free_bytes,"
                          " COALESCE(f.total_bytes, (SELECT total_bytes FROM device d WHERE d.process_id = f.process_id AND"
                          " d.device = f.device)), f.allocated_bytes, f.reserved_bytes,"
                          " (SELECT t.text FROM range r JOIN string t ON t.id = r.name_id WHERE r.id = f.range_id)"
                          " FROM allocation_failure f JOIN process p ON p.id = f.process_id WHERE f.rowid IN (SELECT MAX(rowid)" GROUPS ")"
                          " ORDER BY f.ts_ns DESC LIMIT 2");
    while (vs_sheet_next(s, &q)) {
        char place[VS_CELL], source[VS_CELL], asked[VS_CELL], at[VS_CELL], free_bytes[VS_CELL], total[VS_CELL], have[VS_CELL],
            reserved[VS_CELL], range[VS_CELL], then[200] = "";
        if (sqlite3_column_type(q, 6) != SQLITE_NULL)
            snprintf(then, sizeof then, ", %.30s of %.30s free", vs_column_bytes(q, 6, 0, free_bytes),
                     vs_column_bytes(q, 7, 0, total));
        else if (sqlite3_column_type(q, 8) != SQLITE_NULL)
            snprintf(then, sizeof then, ", %.30s live, %.30s reserved", vs_column_bytes(q, 8, 0, have),
                     vs_column_bytes(q, 9, 0, reserved));
        vs_sheet_line(s, "  %s %s asked for %s%s, at %s in %s", vs_column_place(q, 0, 2, 0, place),
                      vs_column_text(q, 3, "", 0, source), vs_column_bytes(q, 4, 0, asked), then,
                      vs_column_moment(q, 5, 0, at), vs_column_text(q, 10, "no range", 0, range));
    }
}

static void balance(struct vs_sheet *s)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT p.rank, p.pid, NULL, b.source, b.appended, b.stored, b.lost_in_log FROM balance b"
                                        " JOIN process p ON p.id = b.process_id WHERE b.process_id IN " VS_SHOWN
                                        " AND p.ended IS NOT 'running' AND b.appended IS NOT NULL"
                                        " AND b.appended <> b.stored + b.lost_in_log LIMIT 3");
    while (vs_sheet_next(s, &q)) {
        char who[48];
        if (sqlite3_column_type(q, 0) == SQLITE_NULL)
            snprintf(who, sizeof who, "pid %lld", (long long)sqlite3_column_int64(q, 1));
        else
            snprintf(who, sizeof who, "rank %lld", (long long)sqlite3_column_int64(q, 0));
        vs_sheet_line(s, "!! RECORDS DO NOT ADD UP: %s, %s: %lld appended, %lld stored, %lld lost. Please report this bug.",
                      who, (const char *)sqlite3_column_text(q, 3), (long long)sqlite3_column_int64(q, 4),
                      (long long)sqlite3_column_int64(q, 5), (long long)sqlite3_column_int64(q, 6));
    }
}

static void gaps(struct vs_sheet *s)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT g.source, COUNT(*), SUM(COALESCE(g.end_ns, p.end_ns) - g.begin_ns),"
                                        " SUM(g.end_ns IS NULL), g.holder FROM gap g JOIN process p ON p.id = g.process_id"
                                        " WHERE g.process_id IN " VS_SHOWN " GROUP BY g.source, g.holder ORDER BY 3 DESC LIMIT 3");
    while (vs_sheet_next(s, &q)) {
        char source[VS_CELL], total[VS_CELL], holder[VS_CELL];
        int n = sqlite3_column_int(q, 1);
        vs_sheet_line(s, "  gap: %s silent for %s in %d interval%s%s; held by %s", vs_column_text(q, 0, "", 0, source),
                      vs_column_time(q, 2, 0, total), n, n == 1 ? "" : "s",
                      sqlite3_column_int(q, 3) ? " (to the end)" : "", vs_column_text(q, 4, "another tool", 0, holder));
    }
}

void vs_report_losses(struct vs_sheet *s)
{
    int64_t kinds = vs_sheet_number(s, "SELECT COUNT(*) FROM (SELECT 1 FROM loss WHERE count > 0 AND process_id IN " VS_SHOWN
                                       " GROUP BY source, reason)");
    int64_t intervals = vs_sheet_number(s, "SELECT COUNT(*) FROM gap WHERE process_id IN " VS_SHOWN);
    sqlite3_stmt *q;
    balance(s);
    vs_sheet_line(s, kinds || intervals ? "LOSSES" : "LOSSES  none");
    q = vs_sheet_query(s, "SELECT source, reason, SUM(count) FROM loss WHERE count > 0 AND process_id IN " VS_SHOWN
                          " GROUP BY source, reason ORDER BY 3 DESC, 1, 2 LIMIT ?2");
    if (q) sqlite3_bind_int(q, 2, ROWS);
    while (vs_sheet_next(s, &q)) {
        char source[VS_CELL], reason[VS_CELL];
        vs_sheet_line(s, "  %s %s %lld: %s", vs_column_text(q, 0, "", 0, source), vs_column_text(q, 1, "", 0, reason),
                      (long long)sqlite3_column_int64(q, 2), explain((const char *)sqlite3_column_text(q, 1)));
    }
    if (kinds > ROWS) vs_sheet_line(s, "  and %lld more kinds: SELECT * FROM loss", (long long)kinds - ROWS);
    gaps(s);
}

void vs_report_cost(struct vs_sheet *s)
{
    static const char sql[] =
        "SELECT SUM(overhead_ns), (SELECT SUM(total_ns) FROM overhead WHERE process_id IN " VS_SHOWN "), SUM(log_bytes),"
        " SUM(host_bytes), SUM(gpu_buffer_bytes), SUM(end_ns - start_ns) FROM process WHERE id IN " VS_SHOWN;
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    if (vs_sheet_next(s, &q)) {
        char own[VS_CELL], cupti[VS_CELL], log[VS_CELL], host[VS_CELL], gpu[VS_CELL], share[64] = "", part[96] = "";
        if (sqlite3_column_type(q, 0) != SQLITE_NULL && sqlite3_column_int64(q, 5) > 0)
            snprintf(share, sizeof share, " (%.2f %% of the run)",
                     100.0 * (double)sqlite3_column_int64(q, 0) / (double)sqlite3_column_int64(q, 5));
        if (sqlite3_column_type(q, 1) != SQLITE_NULL)
            snprintf(part, sizeof part, ", CUPTI %.30s of it", vs_column_time(q, 1, 0, cupti));
        vs_sheet_line(s, "OWN COST  %s%s%s; log %s, RAM %s, GPU %s",
                      sqlite3_column_type(q, 0) == SQLITE_NULL ? "time not known" : vs_column_time(q, 0, 0, own), share, part,
                      vs_column_bytes(q, 2, 0, log), vs_column_bytes(q, 3, 0, host),
                      sqlite3_column_type(q, 4) == SQLITE_NULL ? "none" : vs_column_bytes(q, 4, 0, gpu));
    }
    sqlite3_finalize(q);
}
