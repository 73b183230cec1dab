/* SPDX-License-Identifier: MIT
 *
 * report_line.c: which lines of Python the memory at the peak of each device comes from. Must never give to a line what
 * no stack is known for.
 */
#include <stdio.h>
#include <string.h>

#include "human.h"
#include "sheet.h"

#define DETAILED 4  /* devices shown of many */
#define ROWS     20 /* lines of each, then "other" */
#define FAILURES 4
#define PLACE    66 /* columns for file, line and function */

struct sums {
    int64_t total, bytes, count, rows; /* bytes, count: of rows that are not shown */
};

/* The last parts of a path say where it is: "/home/me/project/models/llama.py" -> "models/llama.py". */
static const char *short_path(const char *file)
{
    const char *at = strrchr(file, '/');
    while (at && at > file && *--at != '/') {}
    return at && *at == '/' ? at + 1 : file;
}

static char *place_of(sqlite3_stmt *q, char out[VS_CELL])
{
    const char *file = (const char *)sqlite3_column_text(q, 0), *function = (const char *)sqlite3_column_text(q, 1);
    char line[24] = "", text[VS_CELL];
    if (sqlite3_column_type(q, 2) != SQLITE_NULL) snprintf(line, sizeof line, ":%lld", (long long)sqlite3_column_int64(q, 2));
    if (file) snprintf(text, sizeof text, "%.300s%s %.180s", short_path(file), line, function ? function : "");
    else if (function) snprintf(text, sizeof text, "(%.40s: by autograd, outside Python)", function);
    else snprintf(text, sizeof text, "(no Python stack known)");
    return vs_cell(text, PLACE, out);
}

static void show(struct vs_sheet *s, const char *place, int64_t bytes, int64_t count, int64_t total)
{
    char shown[VS_HUMAN], number[VS_HUMAN];
    vs_sheet_line(s, "  %10s %6.1f %% %9s  %s", vs_human_bytes(bytes, shown), total > 0 ? 100.0 * (double)bytes / (double)total : 0,
                  vs_human_count(count, number), place);
}

static struct sums rows(struct vs_sheet *s, int64_t process, int64_t device, int64_t total)
{
    struct sums sums = {.total = total};
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT file, function, line, bytes, count FROM line_at_peak WHERE process_id = ?2"
                                        " AND COALESCE(device, -1) = ?3 ORDER BY bytes DESC, file, line, function");
    if (q) {
        sqlite3_bind_int64(q, 2, process);
        sqlite3_bind_int64(q, 3, device);
    }
    while (vs_sheet_next(s, &q)) {
        char place[VS_CELL];
        if (sums.rows++ < ROWS || s->all) {
            show(s, place_of(q, place), sqlite3_column_int64(q, 3), sqlite3_column_int64(q, 4), total);
            continue;
        }
        sums.bytes += sqlite3_column_int64(q, 3);
        sums.count += sqlite3_column_int64(q, 4);
    }
    return sums;
}

static void device(struct vs_sheet *s, sqlite3_stmt *q, int64_t processes)
{
    int64_t total = sqlite3_column_int64(q, 4), count = sqlite3_column_int64(q, 5);
    char place[VS_CELL], at[VS_CELL], other[64];
    vs_column_place(q, 0, processes, 0, place);
    vs_sheet_line(s, "  live (sub)    share    pieces  AT THE PEAK, %.40s, at %s", place, vs_column_moment(q, 6, 0, at));
    struct sums sums = rows(s, sqlite3_column_int64(q, 3), sqlite3_column_int64(q, 2), total);
    if (sums.rows > ROWS && !s->all) {
        snprintf(other, sizeof other, "%lld other lines (--all shows them)", (long long)sums.rows - ROWS);
        show(s, other, sums.bytes, sums.count, total);
    }
    show(s, "total", total, count, total);
}

static void failures(struct vs_sheet *s, int64_t processes)
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT l.file, l.function, l.line, f.bytes, f.ts_ns - p.start_ns, p.rank, p.pid, f.device FROM failure_line l"
           " JOIN allocation_failure f ON f.process_id = l.process_id AND f.ts_ns = l.ts_ns AND f.source = 'torch'"
           " JOIN process p ON p.id = l.process_id WHERE l.process_id IN " VS_SHOWN " ORDER BY f.ts_ns LIMIT ?2");
    if (q) sqlite3_bind_int(q, 2, s->all ? -1 : FAILURES);
    while (vs_sheet_next(s, &q)) {
        char place[VS_CELL], bytes[VS_CELL], at[VS_CELL], device[VS_CELL];
        place_of(q, place);
        vs_sheet_line(s, "OUT OF MEMORY, %.40s, at %s: %s asked for by %s", vs_column_place(q, 5, processes, 0, device),
                      vs_column_moment(q, 4, 0, at), vs_column_bytes(q, 3, 0, bytes), place);
    }
}

/* Why there is nothing to show. */
static void say_why(struct vs_sheet *s)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT value FROM setting WHERE name = 'python_lines_off' AND process_id IN "
                                        VS_SHOWN " LIMIT 1");
    char why[VS_CELL];
    if (vs_sheet_next(s, &q)) {
        vs_sheet_line(s, "BY LINE  no Python line was recorded: %s", vs_column_text(q, 0, "", 0, why));
        sqlite3_finalize(q);
    } else if (vs_sheet_number(s, "SELECT COUNT(*) FROM setting WHERE name = 'VRAMSCOPE_PYTHON_LINES' AND value = '1'"
                                  " AND process_id IN " VS_SHOWN))
        vs_sheet_line(s, "BY LINE  no allocation of PyTorch was recorded");
    else
        vs_sheet_line(s, "BY LINE  Python lines were not recorded; record with: vramscope run --python-lines");
}

void vs_report_by_line(struct vs_sheet *s)
{
    static const char sql[] =
        "SELECT p.rank, p.pid, l.device, l.process_id, SUM(l.bytes), SUM(l.count),"
        " (SELECT d.peak_ts_ns - p.start_ns FROM peak_data d WHERE d.process_id = l.process_id AND d.device = l.device"
        "  AND d.series = 'sub')"
        " FROM at_peak_line l JOIN process p ON p.id = l.process_id WHERE l.process_id IN " VS_SHOWN
        " GROUP BY l.process_id, l.device ORDER BY CASE WHEN ?2 THEN -SUM(l.bytes) END, p.rank IS NULL, p.rank, p.id, l.device";
    int64_t processes = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN), n = 0;
    int64_t devices = vs_sheet_number(s, "SELECT COUNT(*) FROM (SELECT DISTINCT process_id, device FROM at_peak_line"
                                         " WHERE process_id IN " VS_SHOWN ")");
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    if (q) sqlite3_bind_int(q, 2, devices > DETAILED && !s->all); /* the highest ones; else where one looks for them */
    while (vs_sheet_next(s, &q))
        if (++n <= DETAILED || s->all) device(s, q, processes);
    if (!n) say_why(s);
    failures(s, processes);
    if (n > DETAILED && !s->all)
        vs_sheet_line(s, "... %lld more with lower peaks (--all shows them, --rank N one)", (long long)n - DETAILED);
}
