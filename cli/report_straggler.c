/* SPDX-License-Identifier: MIT
 *
 * report_straggler.c: which rank the others wait for. Must never add up waiting of one collective for two ranks: only the
 * last one is waited for.
 */
#include "across.h"
#include "human.h"

enum { SHOWN = 24 };

void vs_report_by_straggler(struct vs_sheet *s)
{
    int64_t all, shown = 0;
    int enqueue;
    sqlite3_stmt *q;
    if (!vs_across_known(s, "STRAGGLERS")) return;
    enqueue = vs_across_enqueue_only(s);
    all = vs_sheet_number(s, "SELECT COUNT(*) FROM straggler WHERE process_id IN " VS_SHOWN);
    vs_sheet_line(s, "%-20s %11s %9s %7s %16s %12s %12s", "STRAGGLERS", "collectives", "last in", "",
                  enqueue ? "behind" : "waited for it", "longest", "median step");
    q = vs_sheet_query(s, "SELECT g.rank, p.pid, collectives, last, late_ns, max_late_ns, median_step_ns FROM straggler g JOIN process p"
                          " ON p.id = g.process_id WHERE p.id IN " VS_SHOWN " ORDER BY late_ns DESC, g.rank, p.id LIMIT ?2");
    if (q) sqlite3_bind_int64(q, 2, s->all ? -1 : SHOWN);
    while (vs_sheet_next(s, &q)) {
        char who[40], calls[VS_CELL], last[VS_CELL], late[VS_CELL], most[VS_CELL], step[VS_CELL];
        double share = 100.0 * (double)sqlite3_column_int64(q, 3) / (double)sqlite3_column_int64(q, 2);
        if (sqlite3_column_type(q, 0) == SQLITE_NULL) snprintf(who, sizeof who, "pid %lld", (long long)sqlite3_column_int64(q, 1));
        else snprintf(who, sizeof who, "rank %lld", (long long)sqlite3_column_int64(q, 0));
        vs_sheet_line(s, "  %-18s %s %s %5.1f %% %s %s %s", who, vs_column_count(q, 2, -11, calls), vs_column_count(q, 3, -9, last), share,
                      vs_column_time(q, 4, -16, late), vs_column_time(q, 5, -12, most), vs_column_time(q, 6, -12, step));
        shown++;
    }
    if (all > shown) vs_sheet_line(s, "  ... %lld more (--all shows them)", (long long)(all - shown));
    vs_sheet_line(s, "%s: how much later than the median of the others it came, where it was the last",
                  enqueue ? "behind" : "waited for it");
    vs_across_slowest(s);
    vs_across_times(s);
}
