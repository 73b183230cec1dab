/* SPDX-License-Identifier: MIT
 *
 * report_account.c: whose the bytes of a device were when the driver said most were used. Must never give the remainder to
 * an owner, nor leave it out.
 */
#include <string.h>

#include "human.h"
#include "sheet.h"

#define CELLS 8 /* owners shown; the smallest of more are added up */
#define NAME 22
#define LINES 3 /* devices with a line of their own, after the first */

/* The moment of a device at which driver_used was highest. */
#define MOMENT                                                                                                    \
    "(SELECT u.process_id, u.device, u.ts_ns, MAX(u.bytes) AS used FROM account_data u WHERE u.owner = 'driver_used'" \
    " AND u.process_id IN " VS_SHOWN " GROUP BY u.process_id, u.device)"

struct place {
    int64_t process, device, ts, used;
    char name[VS_CELL];
};

static const char *label(const char *owner, char out[80])
{
    static const struct {
        const char *owner, *label;
    } labels[] = {{"framework_live", "framework, live"}, {"framework_cached", "framework, cached"}, {"nccl", "NCCL"},
                  {"stream_ordered_pools", "stream-ordered pools"}, {"graph_pools", "graph pools"},
                  {"other_cuda", "other allocations"}, {"managed", "managed"}, {"context", "context, modules"},
                  {"profiler", "the profiler (CUPTI)"}, {"other_processes", "other processes"}};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        if (!strcmp(owner, labels[i].owner)) return labels[i].label;
    snprintf(out, 80, "%.79s", strncmp(owner, "library:", 8) ? owner : owner + 8);
    return out;
}

static void share(int64_t bytes, int64_t of, char out[16])
{
    snprintf(out, 16, "%5.1f %%", of > 0 ? 100.0 * (double)bytes / (double)of : 0.0);
}

static void cell(char *out, size_t size, const char *name, sqlite3_stmt *q, int column, int64_t used)
{
    char padded[VS_CELL], bytes[VS_CELL], part[16] = "       ";
    if (sqlite3_column_type(q, column) != SQLITE_NULL) share(sqlite3_column_int64(q, column), used, part);
    snprintf(out, size, "%s %s %s", vs_cell(name, NAME, padded),
             sqlite3_column_type(q, column) == SQLITE_NULL ? "not visible" : vs_column_bytes(q, column, -11, bytes), part);
}

/* The rest of the owners in one cell. */
static int owners(struct vs_sheet *s, const struct place *p, char cells[CELLS][128])
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "WITH o AS (SELECT owner, bytes, ROW_NUMBER() OVER (ORDER BY bytes IS NULL, bytes DESC, owner) AS n FROM account_data"
           " WHERE process_id = ?2 AND device = ?3 AND ts_ns = ?4 AND owner NOT IN ('driver_used', 'remainder')"
           " AND bytes IS NOT 0)"
           " SELECT owner, bytes FROM o WHERE n < ?5 UNION ALL SELECT COUNT(*) || ' others', SUM(bytes) FROM o WHERE n >= ?5"
           " HAVING COUNT(*) > 0");
    int n = 0;
    if (q) {
        sqlite3_bind_int64(q, 2, p->process);
        sqlite3_bind_int64(q, 3, p->device);
        sqlite3_bind_int64(q, 4, p->ts);
        sqlite3_bind_int(q, 5, CELLS);
    }
    while (vs_sheet_next(s, &q)) {
        char name[80];
        const char *owner = (const char *)sqlite3_column_text(q, 0);
        if (n < CELLS) cell(cells[n++], sizeof cells[0], label(owner ? owner : "?", name), q, 1, p->used);
    }
    return n;
}

static void remainder_line(struct vs_sheet *s, const struct place *p)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT bytes FROM account_data WHERE process_id = ?2 AND device = ?3 AND ts_ns = ?4"
                                        " AND owner = 'remainder'");
    char text[128];
    if (q) {
        sqlite3_bind_int64(q, 2, p->process);
        sqlite3_bind_int64(q, 3, p->device);
        sqlite3_bind_int64(q, 4, p->ts);
    }
    while (vs_sheet_next(s, &q)) {
        cell(text, sizeof text, "remainder", q, 0, p->used);
        vs_sheet_line(s, "  %s   used, but by none of these", text);
    }
}

static void fragmentation_line(struct vs_sheet *s, const struct place *p)
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT SUM(free_bytes), COUNT(*), MAX(largest_free_bytes), SUM(bytes) FROM segment_fragmentation"
           " WHERE process_id = ?2 AND device = ?3 AND moment = 'peak' HAVING COUNT(*) > 0");
    if (q) {
        sqlite3_bind_int64(q, 2, p->process);
        sqlite3_bind_int64(q, 3, p->device);
    }
    while (vs_sheet_next(s, &q)) {
        char unused[VS_CELL], largest[VS_CELL], all[VS_CELL];
        vs_sheet_line(s, "  fragmentation: %s of the framework's %s free, %lld segments; largest piece %s",
                      vs_column_bytes(q, 0, 0, unused), vs_column_bytes(q, 3, 0, all), (long long)sqlite3_column_int64(q, 1),
                      vs_column_bytes(q, 2, 0, largest));
    }
}

static void checks(struct vs_sheet *s, const struct place *p)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT what, ours_bytes, theirs_bytes FROM account_check WHERE process_id = ?2"
                                        " AND device = ?3 ORDER BY what");
    if (q) {
        sqlite3_bind_int64(q, 2, p->process);
        sqlite3_bind_int64(q, 3, p->device);
    }
    while (vs_sheet_next(s, &q)) {
        char ours[VS_CELL], theirs[VS_CELL];
        const char *what = (const char *)sqlite3_column_text(q, 0);
        vs_sheet_line(s, "  !! the framework's allocator says %s, its %s come to %s", vs_column_bytes(q, 2, 0, theirs),
                      what && !strcmp(what, "framework_live") ? "blocks" : "segments", vs_column_bytes(q, 1, 0, ours));
    }
}

static void detailed(struct vs_sheet *s, const struct place *p, sqlite3_stmt *moment)
{
    char cells[CELLS][128], used[VS_CELL], at[VS_CELL];
    int n = owners(s, p, cells), rows = (n + 1) / 2, i;
    vs_sheet_line(s, "ACCOUNT %.30s: %s used by the driver's count, at %s", p->name, vs_column_bytes(moment, 5, 0, used),
                  vs_column_moment(moment, 6, 0, at));
    for (i = 0; i < rows; i++) vs_sheet_line(s, "  %s | %s", cells[i], i + rows < n ? cells[i + rows] : "");
    remainder_line(s, p);
    fragmentation_line(s, p);
    checks(s, p);
}

#define SUM_OF(owners) "SUM(CASE WHEN a.owner " owners " THEN a.bytes END)"

static void others(struct vs_sheet *s, const struct place *first, int64_t processes, int64_t devices)
{
    static const char sql[] =
        "SELECT p.rank, p.pid, m.device, m.used, " SUM_OF("LIKE 'framework%'") ", " SUM_OF("= 'nccl'") ", "
        SUM_OF("= 'context'") ", " SUM_OF("= 'other_processes'") ", " SUM_OF("= 'remainder'")
        " FROM " MOMENT " m JOIN process p ON p.id = m.process_id JOIN account_data a ON a.process_id = m.process_id"
        " AND a.device = m.device AND a.ts_ns = m.ts_ns WHERE NOT (m.process_id = ?2 AND m.device = ?3)"
        " GROUP BY m.process_id, m.device ORDER BY m.used DESC, p.rank IS NULL, p.rank, p.id, m.device LIMIT ?4";
    sqlite3_stmt *q = vs_sheet_query(s, sql);
    if (q) {
        sqlite3_bind_int64(q, 2, first->process);
        sqlite3_bind_int64(q, 3, first->device);
        sqlite3_bind_int(q, 4, LINES);
    }
    vs_sheet_line(s, "  %-16s %11s %11s %11s %11s %11s %11s", "", "used", "framework", "NCCL", "context", "others",
                  "remainder");
    while (vs_sheet_next(s, &q)) {
        char place[VS_CELL], c[6][VS_CELL];
        vs_sheet_line(s, "  %s %s %s %s %s %s %s", vs_column_place(q, 0, processes, 16, place), vs_column_bytes(q, 3, -11, c[0]),
                      vs_column_bytes(q, 4, -11, c[1]), vs_column_bytes(q, 5, -11, c[2]), vs_column_bytes(q, 6, -11, c[3]),
                      vs_column_bytes(q, 7, -11, c[4]), vs_column_bytes(q, 8, -11, c[5]));
    }
    if (devices - 1 > LINES) vs_sheet_line(s, "  ... %lld more (report --rank N shows one)", (long long)(devices - 1 - LINES));
}

void vs_report_account(struct vs_sheet *s)
{
    int64_t processes = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN);
    int64_t devices = vs_sheet_number(s, "SELECT COUNT(*) FROM " MOMENT);
    struct place p;
    sqlite3_stmt *q;
    if (!devices) return; /* the driver was not asked */
    q = vs_sheet_query(s, "SELECT p.rank, p.pid, m.device, m.process_id, m.ts_ns, m.used, m.ts_ns - p.start_ns FROM " MOMENT
                          " m JOIN process p ON p.id = m.process_id ORDER BY m.used DESC, p.rank IS NULL, p.rank, p.id,"
                          " m.device LIMIT 1");
    if (vs_sheet_next(s, &q)) {
        p.device = sqlite3_column_int64(q, 2);
        p.process = sqlite3_column_int64(q, 3);
        p.ts = sqlite3_column_int64(q, 4);
        p.used = sqlite3_column_int64(q, 5);
        vs_column_place(q, 0, processes, 0, p.name);
        detailed(s, &p, q);
    }
    sqlite3_finalize(q);
    if (devices > 1) others(s, &p, processes, devices);
}
