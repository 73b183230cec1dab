/* SPDX-License-Identifier: MIT
 *
 * report_category.c: what live memory was at the peak of each device. Must never add the levels held and sub.
 */
#include "human.h"
#include "sheet.h"

#define DETAILED 4 /* devices shown of many */

struct share {
    int64_t process, device, total;
    int rows;
};

/* Where nothing is known below held blocks, they are the finest there is, by source. */
static void rows(struct vs_sheet *s, struct share *d, const char *level)
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT CASE WHEN ?4 = 'held' THEN source ELSE COALESCE(category, 'not looked for') END, SUM(bytes), SUM(count)"
           " FROM at_peak WHERE process_id = ?2 AND device = ?3 AND level = ?4 GROUP BY 1 ORDER BY 2 DESC, 1");
    if (q) {
        sqlite3_bind_int64(q, 2, d->process);
        sqlite3_bind_int64(q, 3, d->device);
        sqlite3_bind_text(q, 4, level, -1, SQLITE_STATIC);
    }
    while (vs_sheet_next(s, &q)) {
        char name[VS_CELL], bytes[VS_CELL], exact[VS_CELL], count[VS_CELL];
        double share = d->total > 0 ? 100.0 * (double)sqlite3_column_int64(q, 1) / (double)d->total : 0;
        d->rows++;
        vs_sheet_line(s, "  %s %s %s %6.1f %% %s", vs_column_text(q, 0, "", 26, name), vs_column_bytes(q, 1, -10, bytes),
                      vs_column_text(q, 1, "", -14, exact), share, vs_column_count(q, 2, -9, count));
    }
}

static void device(struct vs_sheet *s, sqlite3_stmt *q, int64_t processes)
{
    struct share d = {.process = sqlite3_column_int64(q, 3), .device = sqlite3_column_int64(q, 2),
                      .total = sqlite3_column_int64(q, 5)};
    const char *level = (const char *)sqlite3_column_text(q, 4);
    int sub = level[0] == 's';
    char place[VS_CELL], at[VS_CELL], range[VS_CELL], head[64], total[VS_HUMAN];
    snprintf(head, sizeof head, "AT THE PEAK, %.40s", vs_column_place(q, 0, processes, 0, place));
    vs_sheet_line(s, "%-28s %10s %14s %8s %9s  at %s%s%s", head, sub ? "live (sub)" : "held", "bytes", "share", "pieces",
                  vs_column_moment(q, 6, 0, at), sqlite3_column_text(q, 7) ? " in " : "", vs_column_text(q, 7, "", 0, range));
    rows(s, &d, level);
    if (d.rows)
        vs_sheet_line(s, "  %-26s %10s %14lld %6.1f %%", "total", vs_human_bytes(d.total, total), (long long)d.total, 100.0);
    else
        vs_sheet_line(s, "  what it was made of is not known");
}

void vs_report_by_category(struct vs_sheet *s)
{
    static const char sql[] =
        "SELECT p.rank, p.pid, d.device, d.process_id, d.series, d.peak_bytes, d.peak_ts_ns - p.start_ns,"
        " (SELECT t.text FROM range r JOIN string t ON t.id = r.name_id WHERE r.id = d.range_id)"
        " FROM peak_data d JOIN process p ON p.id = d.process_id WHERE d.process_id IN " VS_SHOWN
        " AND (d.series = 'sub' OR (d.series = 'held' AND NOT EXISTS (SELECT 1 FROM peak_data x"
        "      WHERE x.process_id = d.process_id AND x.device = d.device AND x.series = 'sub')))"
        " ORDER BY d.device < 0, CASE WHEN ?2 THEN -d.peak_bytes END, p.rank IS NULL, p.rank, p.id, d.device";
    int64_t processes = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN), n = 0;
    int64_t devices = vs_sheet_number(s, "SELECT COUNT(*) FROM (SELECT DISTINCT process_id, device FROM peak_data"
                                         " WHERE series IN ('sub', 'held') AND process_id IN " VS_SHOWN ")");
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    if (q) sqlite3_bind_int(q, 2, devices > DETAILED && !s->all); /* the highest ones; else where one looks for them */
    while (vs_sheet_next(s, &q))
        if (++n <= DETAILED || s->all) device(s, q, processes);
    if (!n) vs_sheet_line(s, "AT THE PEAK  no allocation was recorded");
    if (n > DETAILED && !s->all)
        vs_sheet_line(s, "... %lld more with lower peaks (--all shows them, --rank N one)", (long long)n - DETAILED);
}
