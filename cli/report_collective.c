/* SPDX-License-Identifier: MIT
 *
 * report_collective.c: collectives of all ranks by operation and size. Must never let a median hide one that did not
 * complete: those come first.
 */
#include "across.h"
#include "human.h"

enum { SHOWN = 16 };

static void row(struct vs_sheet *s, sqlite3_stmt *q)
{
    char op[VS_CELL], bytes[VS_CELL], calls[VS_CELL], skew[VS_CELL], duration[VS_CELL], slowest[VS_CELL], all[VS_CELL], bus[32] = "-";
    if (sqlite3_column_type(q, 5) != SQLITE_NULL) snprintf(bus, sizeof bus, "%.1f", sqlite3_column_double(q, 5));
    vs_sheet_line(s, "  %s %s %s %s %s %s %9s %s", vs_column_text(q, 0, "", 15, op), vs_column_bytes(q, 1, -10, bytes),
                  vs_column_count(q, 2, -8, calls), vs_column_time(q, 3, -11, skew), vs_column_time(q, 4, -11, duration),
                  vs_column_time(q, 6, -10, slowest), bus, vs_column_time(q, 7, -10, all));
}

void vs_report_by_collective(struct vs_sheet *s)
{
    int64_t kinds, all, teams, ranks;
    sqlite3_stmt *q;
    if (!vs_across_known(s, "COLLECTIVES")) return;
    all = vs_sheet_number(s, "SELECT COUNT(*) FROM collective_match");
    ranks = vs_sheet_number(s, "SELECT MAX(ranks_recorded) FROM collective_match");
    teams = vs_sheet_number(s, "SELECT COUNT(DISTINCT team) FROM collective_match");
    kinds = vs_sheet_number(s, "SELECT COUNT(*) FROM (SELECT 1 FROM collective_match GROUP BY op, bytes)");
    vs_sheet_line(s, "COLLECTIVES  %lld on %lld communicator%s, of up to %lld ranks", (long long)all, (long long)teams,
                  teams == 1 ? "" : "s", (long long)ranks);
    vs_across_incomplete(s, s->all ? 1000 : 4);
    vs_sheet_line(s, "  %-15s %10s %8s %11s %11s %10s %9s %10s", "op", "bytes", "calls", "median skew", "median time", "slowest",
                  "bus GB/s", "time, all");
    q = vs_sheet_query(s, "SELECT op, bytes, calls, median_skew_ns, median_duration_ns, median_bus_gbps, max_duration_ns, duration_ns"
                          " FROM collective_by_size ORDER BY duration_ns IS NULL, duration_ns DESC, op, bytes LIMIT ?2");
    if (q) sqlite3_bind_int64(q, 2, s->all ? -1 : SHOWN);
    while (vs_sheet_next(s, &q)) row(s, q);
    if (kinds > SHOWN && !s->all) vs_sheet_line(s, "  ... %lld more sizes with less time (--all shows them)", (long long)(kinds - SHOWN));
    if (vs_sheet_number(s, "SELECT EXISTS (SELECT 1 FROM collective_match WHERE grouped > 1)"))
        vs_sheet_line(s, "calls of one group: each has the time and bandwidth of all of it; time, all: its share");
    if (ranks < 2) vs_sheet_line(s, "only one rank was recorded: nothing to compare");
    vs_across_times(s);
    if (ranks > 1) vs_across_slowest(s);
}
