/* SPDX-License-Identifier: MIT
 *
 * report_memory.c: peaks per rank and device. Must never add the levels held and sub.
 */
#include <string.h>

#include "human.h"
#include "sheet.h"

#define DETAILED 2 /* devices that get a table of their own */
#define COMPACT 8  /* devices that get a line each; of more the highest and the lowest are shown */

/* rank, pid, device come first in every row: vs_column_place. */
#define RANGE_NAME "(SELECT t.text FROM range r JOIN string t ON t.id = r.name_id WHERE r.id = d.range_id)"

static int64_t count_processes(struct vs_sheet *s)
{
    return vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN);
}

static const char *label(const char *series)
{
    if (!strcmp(series, "sub")) return "live (sub)";
    if (!strcmp(series, "driver_used")) return "driver used";
    if (!strcmp(series, "torch_reserved")) return "torch reserved";
    if (!strcmp(series, "torch_allocated")) return "torch allocated";
    return series;
}

static void detailed_row(struct vs_sheet *s, sqlite3_stmt *q)
{
    char peak[VS_CELL], exact[VS_CELL], at[VS_CELL], live[VS_CELL], allocs[VS_CELL] = "", frees[VS_CELL] = "", range[VS_CELL];
    const char *series = (const char *)sqlite3_column_text(q, 4);
    int counted = strcmp(series, "driver_used") && strncmp(series, "torch_", 6);
    vs_column_count(q, 8, -9, allocs);
    vs_column_count(q, 9, -9, frees);
    vs_sheet_line(s, "  %-15s %s %s %s %s %s %s  %s", label(series), vs_column_bytes(q, 5, -10, peak),
                  vs_column_text(q, 5, "-", -14, exact), vs_column_moment(q, 6, -10, at), vs_column_bytes(q, 7, -10, live),
                  counted ? allocs : "         ", counted ? frees : "         ", vs_column_text(q, 10, "", 0, range));
}

static void detailed(struct vs_sheet *s, int64_t processes)
{
    static const char sql[] =
        "SELECT p.rank, p.pid, d.device, d.process_id, d.series, d.peak_bytes, d.peak_ts_ns - p.start_ns, d.live_bytes,"
        " d.allocations, d.frees, " RANGE_NAME " FROM peak_data d JOIN process p ON p.id = d.process_id"
        " WHERE d.process_id IN " VS_SHOWN " AND (d.series IN ('sub', 'held', 'driver_used', 'torch_reserved')"
        " OR (d.series = 'torch_allocated' AND d.peak_bytes IS NOT (SELECT x.peak_bytes FROM peak_data x"
        "     WHERE x.process_id = d.process_id AND x.device = d.device AND x.series = 'sub')))"
        " ORDER BY p.rank IS NULL, p.rank, p.id, d.device < 0, d.device, CASE d.series WHEN 'sub' THEN 0"
        " WHEN 'torch_allocated' THEN 1 WHEN 'held' THEN 2 WHEN 'torch_reserved' THEN 3 ELSE 4 END";
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    int64_t process = -1, device = -2;
    while (vs_sheet_next(s, &q)) {
        char place[VS_CELL], head[64];
        if (sqlite3_column_int64(q, 3) != process || sqlite3_column_int64(q, 2) != device) {
            process = sqlite3_column_int64(q, 3);
            device = sqlite3_column_int64(q, 2);
            snprintf(head, sizeof head, "MEMORY %.50s", vs_column_place(q, 0, processes, 0, place));
            vs_sheet_line(s, "%-28s %14s %10s %10s %9s %9s  in range", head, "peak, bytes", "at", "at the end", "allocated",
                          "freed");
        }
        detailed_row(s, q);
    }
}

#define OF(series, column) "MAX(CASE WHEN d.series = '" series "' THEN d." column " END)"

static void compact_row(struct vs_sheet *s, sqlite3_stmt *q, int64_t processes)
{
    char place[VS_CELL], sub[VS_CELL], sub_exact[VS_CELL], held[VS_CELL], held_exact[VS_CELL], used[VS_CELL], at[VS_CELL],
        range[VS_CELL];
    vs_sheet_line(s, "  %s %s %s %s %s %s %s  %s", vs_column_place(q, 0, processes, 14, place),
                  vs_column_bytes(q, 3, -9, sub), vs_column_text(q, 3, "", -13, sub_exact), vs_column_bytes(q, 4, -9, held),
                  vs_column_text(q, 4, "", -13, held_exact), vs_column_bytes(q, 5, -10, used),
                  vs_column_moment(q, 6, -9, at), vs_column_text(q, 7, "", 0, range));
}

static void compact(struct vs_sheet *s, int64_t processes, int64_t devices, int only_gpus)
{
    static const char sql[] =
        "SELECT p.rank, p.pid, x.device, x.sub, x.held, x.used, x.ts - p.start_ns, (SELECT t.text FROM range r JOIN string t"
        " ON t.id = r.name_id WHERE r.id = x.range) FROM (SELECT d.process_id, d.device, " OF("sub", "peak_bytes") " AS sub, "
        OF("held", "peak_bytes") " AS held, " OF("driver_used", "peak_bytes") " AS used, COALESCE(" OF("sub", "peak_ts_ns") ", "
        OF("held", "peak_ts_ns") ") AS ts, COALESCE(" OF("sub", "range_id") ", " OF("held", "range_id") ") AS range"
        " FROM peak_data d WHERE d.process_id IN " VS_SHOWN " AND (d.device >= 0 OR NOT ?3) GROUP BY 1, 2) x"
        " JOIN process p ON p.id = x.process_id ORDER BY x.device < 0,"
        " CASE WHEN ?2 THEN -MAX(COALESCE(x.sub, 0), COALESCE(x.held, 0)) END, p.rank IS NULL, p.rank, p.id, x.device";
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    int64_t row = 0, skipped = devices - COMPACT;
    if (q) sqlite3_bind_int(q, 2, skipped > 0);
    if (q) sqlite3_bind_int(q, 3, only_gpus);
    vs_sheet_line(s, "%-16s %23s %23s %10s %9s  in range", "MEMORY", "peak live (sub), bytes", "peak held, bytes",
                  "driver", "at");
    while (vs_sheet_next(s, &q)) {
        row++;
        if (skipped <= 0 || row <= COMPACT - 2 || row == devices) compact_row(s, q, processes);
        if (skipped > 0 && row == COMPACT - 2)
            vs_sheet_line(s, "  ... %lld more in order of their peak (report --rank N shows one)", (long long)skipped + 1);
    }
}

void vs_report_memory(struct vs_sheet *s)
{
    int64_t processes = count_processes(s);
    int64_t devices = vs_sheet_number(s, "SELECT COUNT(*) FROM (SELECT DISTINCT process_id, device FROM peak_data"
                                         " WHERE process_id IN " VS_SHOWN ")");
    int64_t gpus = vs_sheet_number(s, "SELECT COUNT(*) FROM (SELECT DISTINCT process_id, device FROM peak_data"
                                      " WHERE device >= 0 AND process_id IN " VS_SHOWN ")");
    if (!devices)
        vs_sheet_line(s, "MEMORY  no allocation was recorded");
    else if (devices <= DETAILED)
        detailed(s, processes);
    else
        compact(s, processes, devices > COMPACT && gpus ? gpus : devices, devices > COMPACT && gpus);
}
