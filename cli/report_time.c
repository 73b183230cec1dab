/* SPDX-License-Identifier: MIT
 *
 * report_time.c: where GPU and host time went. Must never present a sum over ranks as elapsed time without saying so.
 */
#include "across.h"
#include "human.h"
#include "sheet.h"

#define ROWS 5

/* ", sum over 4 processes", or nothing for one. */
static const char *over(struct vs_sheet *s, char out[64])
{
    int64_t n = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN);
    out[0] = 0;
    if (n > 1) snprintf(out, 64, "; sums over %lld processes", (long long)n);
    return out;
}

void vs_report_kernels(struct vs_sheet *s)
{
    char total[VS_HUMAN], count[VS_HUMAN], sums[64];
    int64_t launches = 0, ns = 0, untimed = 0;
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT SUM(count), SUM(total_ns), SUM(untimed) FROM kernel_total WHERE process_id IN "
                                     VS_SHOWN);
    if (vs_sheet_next(s, &q)) {
        launches = sqlite3_column_int64(q, 0);
        ns = sqlite3_column_int64(q, 1);
        untimed = sqlite3_column_int64(q, 2);
    }
    sqlite3_finalize(q);
    if (!launches) return;
    vs_sheet_line(s, "KERNELS  %s run, %s on the GPU%s%s", vs_human_count(launches, count), vs_human_time(ns, total),
                  untimed ? "; some without a time (see LOSSES)" : "", over(s, sums));
    q = vs_sheet_query(s, "SELECT SUM(k.total_ns), SUM(k.count), SUM(k.total_ns) / MAX(SUM(k.count - k.untimed), 1), t.text"
                          " FROM kernel_total k LEFT JOIN string t ON t.id = k.name_id WHERE k.process_id IN " VS_SHOWN
                          " GROUP BY COALESCE(t.text, k.name_id) ORDER BY 1 DESC, 4 LIMIT ?2");
    if (q) sqlite3_bind_int(q, 2, ROWS);
    while (vs_sheet_next(s, &q)) {
        char time[VS_CELL], calls[VS_CELL], mean[VS_CELL], name[VS_CELL];
        double share = ns ? 100.0 * (double)sqlite3_column_int64(q, 0) / (double)ns : 0;
        vs_sheet_line(s, "  %s %5.1f %% %s x %s  %s", vs_column_time(q, 0, -10, time), share, vs_column_count(q, 1, -9, calls),
                      vs_column_time(q, 2, -9, mean), vs_column_text(q, 3, "name not known", 0, name));
    }
}

void vs_report_ranges(struct vs_sheet *s)
{
    char sums[64];
    sqlite3_stmt *q;
    if (!vs_sheet_number(s, "SELECT COUNT(*) FROM range_total WHERE process_id IN " VS_SHOWN)) return;
    vs_sheet_line(s, "%-28s %9s %10s %14s %10s%s", "TIME IN RANGES", "times", "on host", "GPU, projected", "GPU work",
                  over(s, sums));
    q = vs_sheet_query(s, "SELECT t.text, SUM(r.count), SUM(r.host_ns), SUM(r.gpu_span_ns),"
                          " CASE WHEN SUM(r.gpu_ns) > 0 OR SUM(r.gpu_span_ns) >= 0 THEN SUM(r.gpu_ns) END, r.domain"
                          " FROM range_total r LEFT JOIN string t ON t.id = r.name_id WHERE r.process_id IN " VS_SHOWN
                          " GROUP BY r.domain, COALESCE(t.text, r.name_id) ORDER BY COALESCE(SUM(r.gpu_span_ns), 0) DESC, 3 DESC, 1 LIMIT ?2");
    if (q) sqlite3_bind_int(q, 2, ROWS);
    while (vs_sheet_next(s, &q)) {
        char name[VS_CELL], times[VS_CELL], host[VS_CELL], span[VS_CELL], work[VS_CELL], domain[VS_CELL], in[VS_CELL] = "";
        if (sqlite3_column_text(q, 5)) snprintf(in, sizeof in, "  domain %.90s", vs_column_text(q, 5, "", 16, domain));
        vs_sheet_line(s, "  %s %s %s %s %s%s", vs_column_text(q, 0, "name not known", 26, name),
                      vs_column_count(q, 1, -9, times), vs_column_time(q, 2, -10, host), vs_column_time(q, 3, -14, span),
                      vs_column_time(q, 4, -10, work), in);
    }
}

void vs_report_collectives(struct vs_sheet *s)
{
    char sums[64];
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT op, COUNT(*), SUM(bytes), SUM(end_ns - begin_ns), SUM(result IS NOT NULL AND result NOT IN (0, 7)),"
           " SUM(end_ns IS NULL) FROM collective WHERE process_id IN " VS_SHOWN " GROUP BY op ORDER BY 3 DESC, 1 LIMIT ?2");
    int n = 0;
    if (q) sqlite3_bind_int(q, 2, ROWS + 3);
    while (vs_sheet_next(s, &q)) {
        char op[VS_CELL], calls[VS_CELL], bytes[VS_CELL], time[VS_CELL], more[96] = "";
        int64_t failed = sqlite3_column_int64(q, 4), open = sqlite3_column_int64(q, 5);
        size_t used = 0;
        if (!n++)
            vs_sheet_line(s, "%-28s %9s %10s %14s%s", "COLLECTIVES", "calls", "bytes", "host time", over(s, sums));
        if (failed) used = (size_t)snprintf(more, sizeof more, "  %lld FAILED", (long long)failed);
        if (open) snprintf(more + used, sizeof more - used, "  %lld NEVER RETURNED", (long long)open);
        vs_sheet_line(s, "  %s %s %s %s%s", vs_column_text(q, 0, "", 26, op), vs_column_count(q, 1, -9, calls),
                      vs_column_bytes(q, 2, -10, bytes), vs_column_time(q, 3, -14, time), more);
    }
    if (n) vs_across_brief(s);
}
