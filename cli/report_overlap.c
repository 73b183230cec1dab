/* SPDX-License-Identifier: MIT
 *
 * report_overlap.c: how much of communication ran while something was computed. Must never present a share without the
 * time it is a share of.
 */
#include "across.h"
#include "human.h"

enum { RANKS = 16, STEPS = 16 };

/* Medians over iterations; of a rank without any, all of its recording. */
static const char by_rank_sql[] =
    "WITH o AS (SELECT *, COUNT(*) OVER p AS n, ROW_NUMBER() OVER (p ORDER BY end_ns - begin_ns) AS step_at,"
    "  ROW_NUMBER() OVER (p ORDER BY compute_ns) AS compute_at, ROW_NUMBER() OVER (p ORDER BY communication_ns) AS communication_at,"
    "  ROW_NUMBER() OVER (p ORDER BY exposed_ns) AS exposed_at, ROW_NUMBER() OVER (p ORDER BY idle_ns) AS idle_at,"
    "  COUNT(hidden_percent) OVER p AS shares, ROW_NUMBER() OVER (p ORDER BY hidden_percent IS NULL, hidden_percent) AS share_at"
    "  FROM step_overlap d WHERE process_id IN " VS_SHOWN " AND (iteration IS NOT NULL OR NOT EXISTS (SELECT 1 FROM"
    "   step_overlap_data x WHERE x.process_id = d.process_id AND x.device = d.device AND x.iteration IS NOT NULL))"
    "  WINDOW p AS (PARTITION BY process_id, device))"
    " SELECT o.rank, p.pid, device, SUM(iteration IS NOT NULL),"
    "  MAX(CASE WHEN step_at = (n + 1) / 2 THEN o.end_ns - o.begin_ns END), MAX(CASE WHEN compute_at = (n + 1) / 2 THEN compute_ns END),"
    "  MAX(CASE WHEN communication_at = (n + 1) / 2 THEN communication_ns END),"
    "  MAX(CASE WHEN share_at = (shares + 1) / 2 THEN hidden_percent END), MAX(CASE WHEN exposed_at = (n + 1) / 2 THEN exposed_ns END),"
    "  MAX(CASE WHEN idle_at = (n + 1) / 2 THEN idle_ns END)"
    " FROM o JOIN process p ON p.id = o.process_id GROUP BY o.process_id, device ORDER BY o.rank IS NULL, o.rank, p.id, device LIMIT ?2";

static void row(struct vs_sheet *s, sqlite3_stmt *q, const char *first, int from)
{
    char step[VS_CELL], compute[VS_CELL], communication[VS_CELL], exposed[VS_CELL], idle[VS_CELL], hidden[32] = "-";
    if (sqlite3_column_type(q, from + 3) != SQLITE_NULL) snprintf(hidden, sizeof hidden, "%.1f %%", sqlite3_column_double(q, from + 3));
    vs_sheet_line(s, "  %s %s %s %s %9s %s %s", first, vs_column_time(q, from, -10, step), vs_column_time(q, from + 1, -10, compute),
                  vs_column_time(q, from + 2, -13, communication), hidden, vs_column_time(q, from + 4, -10, exposed),
                  vs_column_time(q, from + 5, -10, idle));
}

static void heading(struct vs_sheet *s, const char *first, const char *second, const char *step)
{
    vs_sheet_line(s, "%-17s %8s %10s %10s %13s %9s %10s %10s", first, second, step, "compute", "communication", "hidden", "exposed",
                  "idle");
}

static void by_rank(struct vs_sheet *s)
{
    sqlite3_stmt *q = vs_sheet_query(s, by_rank_sql);
    int64_t shown = 0, all = vs_sheet_number(s, "SELECT COUNT(*) FROM step_overlap WHERE iteration IS NULL AND process_id IN " VS_SHOWN);
    if (q) sqlite3_bind_int64(q, 2, s->all ? -1 : RANKS);
    heading(s, "OVERLAP", "steps", "step");
    while (vs_sheet_next(s, &q)) {
        char place[VS_CELL], steps[VS_CELL], first[2 * VS_CELL];
        snprintf(first, sizeof first, "%s %s", vs_column_place(q, 0, all, 15, place), vs_column_count(q, 3, -8, steps));
        row(s, q, first, 4);
        shown++;
    }
    if (all > shown) vs_sheet_line(s, "  ... %lld more (--all shows them)", (long long)(all - shown));
}

static void by_step(struct vs_sheet *s)
{
    int64_t all = vs_sheet_number(s, "SELECT COUNT(DISTINCT iteration) FROM step_overlap WHERE process_id IN " VS_SHOWN);
    int64_t shown = 0;
    sqlite3_stmt *q;
    if (all < 2) return;
    heading(s, "BY ITERATION", "", "longest");
    q = vs_sheet_query(s, "SELECT iteration, MAX(end_ns - begin_ns), MAX(compute_ns), MAX(communication_ns),"
                          " 100.0 * SUM(hidden_ns) / SUM(communication_ns), MAX(exposed_ns), MAX(idle_ns)"
                          " FROM step_overlap WHERE iteration IS NOT NULL AND process_id IN " VS_SHOWN " GROUP BY 1 ORDER BY 1 DESC LIMIT ?2");
    if (q) sqlite3_bind_int64(q, 2, s->all ? -1 : STEPS);
    while (vs_sheet_next(s, &q)) {
        char first[64];
        snprintf(first, sizeof first, "%-24lld", (long long)sqlite3_column_int64(q, 0));
        row(s, q, first, 1);
        shown++;
    }
    vs_sheet_line(s, "  %sof all ranks the largest; hidden: over all ranks", all > shown ? "the last ones (--all shows all); " : "");
}

void vs_report_by_overlap(struct vs_sheet *s)
{
    if (!vs_across_known(s, "OVERLAP")) return;
    if (!vs_sheet_number(s, "SELECT EXISTS (SELECT 1 FROM step_overlap WHERE process_id IN " VS_SHOWN ")")) {
        vs_sheet_line(s, "OVERLAP  not available: %s",
                      vs_sheet_number(s, "SELECT COUNT(*) FROM collective_match WHERE times <> 'call'")
                          ? "no kernels were recorded; record them with: vramscope run --trace kernels"
                          : "these ranks communicate on the CPU, with calls that hide nothing");
        return;
    }
    by_rank(s);
    vs_sheet_line(s, "medians over steps; hidden: share of communication that ran beside compute; exposed: the rest");
    by_step(s);
}
