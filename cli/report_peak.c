/* SPDX-License-Identifier: MIT
 *
 * report_peak.c: what was live at the peak, and what nobody freed. Must never show as a piece what is only the block around
 * smaller pieces.
 */
#include <string.h>

#include "human.h"
#include "sheet.h"

#define ROWS 6 /* then "other" */
#define NAME 27
#define LARGEST 4

struct place {
    int64_t process, device;
    char name[VS_CELL];
};

struct entry {
    char text[64 + VS_CELL];
};

/* The device with the highest peak: a GPU if there is one. */
static int find_place(struct vs_sheet *s, struct place *p)
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT p.rank, p.pid, d.device, d.process_id, (SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN ")"
           " FROM peak_data d JOIN process p ON p.id = d.process_id WHERE d.process_id IN " VS_SHOWN
           " AND d.series IN ('held', 'sub') ORDER BY d.device < 0, d.peak_bytes DESC, p.rank, p.id LIMIT 1");
    int found = vs_sheet_next(s, &q);
    if (found) {
        p->process = sqlite3_column_int64(q, 3);
        p->device = sqlite3_column_int64(q, 2);
        vs_column_place(q, 0, sqlite3_column_int64(q, 4), 0, p->name);
    }
    sqlite3_finalize(q);
    return found;
}

static void make_entry(struct entry *e, const char *name, int64_t bytes, int64_t count)
{
    char cell[VS_CELL], shown[VS_HUMAN], number[VS_HUMAN];
    snprintf(e->text, sizeof e->text, "%s %10s %7s", vs_cell(name, NAME, cell), vs_human_bytes(bytes, shown),
             vs_human_count(count, number));
}

enum cut { BY_SOURCE, BY_CATEGORY, BY_RANGE };

/* Fills at most ROWS + 1 entries; returns how many. */
static int group(struct vs_sheet *s, const struct place *p, const char *level, enum cut cut, struct entry *entries)
{
    static const char *const sql[] = {
#define GROUPED(by) \
    "SELECT " by ", SUM(bytes), SUM(count) FROM at_peak WHERE process_id = ?2 AND device = ?3 AND level = ?4" \
    " GROUP BY 1 ORDER BY 2 DESC, 1"
        [BY_SOURCE] = GROUPED("source"),
        [BY_CATEGORY] = GROUPED("COALESCE(category, 'unknown')"),
        [BY_RANGE] = GROUPED("COALESCE(range_name, 'outside any range')"),
#undef GROUPED
    };
    sqlite3_stmt *q = vs_sheet_query(s, sql[cut]);
    int64_t other_bytes = 0, other_count = 0;
    int n = 0, others = 0;
    char name[48];
    if (q) {
        sqlite3_bind_int64(q, 2, p->process);
        sqlite3_bind_int64(q, 3, p->device);
        sqlite3_bind_text(q, 4, level, -1, SQLITE_STATIC);
    }
    while (vs_sheet_next(s, &q)) {
        if (n < ROWS) {
            const char *text = (const char *)sqlite3_column_text(q, 0);
            make_entry(&entries[n++], text ? text : "?", sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2));
            continue;
        }
        others++;
        other_bytes += sqlite3_column_int64(q, 1);
        other_count += sqlite3_column_int64(q, 2);
    }
    if (others) {
        snprintf(name, sizeof name, "%d other", others);
        make_entry(&entries[n++], name, other_bytes, other_count);
    }
    return n;
}

static int has_categories(struct vs_sheet *s, const struct place *p)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT COUNT(*) FROM at_peak WHERE process_id = ?2 AND device = ?3 AND level = 'sub'"
                                        " AND category <> 'unknown'");
    int found = 0;
    if (q) {
        sqlite3_bind_int64(q, 2, p->process);
        sqlite3_bind_int64(q, 3, p->device);
    }
    if (vs_sheet_next(s, &q)) found = sqlite3_column_int(q, 0) > 0;
    sqlite3_finalize(q);
    return found;
}

/* What the blocks were, where the table is of what lay inside them: "cuda 8.0 GiB, nccl 125.9 MiB". */
static void held_line(struct vs_sheet *s, const struct place *p)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT source, SUM(bytes) FROM at_peak WHERE process_id = ?2 AND device = ?3 AND"
                                        " level = 'held' GROUP BY source ORDER BY 2 DESC, 1 LIMIT 5");
    char text[256] = "", source[VS_CELL], bytes[VS_CELL];
    size_t n = 0;
    if (q) {
        sqlite3_bind_int64(q, 2, p->process);
        sqlite3_bind_int64(q, 3, p->device);
    }
    while (vs_sheet_next(s, &q)) {
        if (n >= sizeof text) continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.20s %.20s", n ? ", " : "", vs_column_text(q, 0, "", 0, source),
                              vs_column_bytes(q, 1, 0, bytes));
    }
    if (n) vs_sheet_line(s, "  held, at its own peak: %s", text);
}

static void side_by_side(struct vs_sheet *s, const struct entry *left, int nleft, const struct entry *right, int nright)
{
    char blank[VS_CELL];
    for (int i = 0; i < nleft || i < nright; i++)
        vs_sheet_line(s, "  %s | %s", i < nleft ? left[i].text : vs_cell("", NAME + 19, blank), i < nright ? right[i].text : "");
}

void vs_report_peak(struct vs_sheet *s)
{
    struct entry left[ROWS + 1], right[ROWS + 1];
    struct place p;
    char head[64];
    if (!find_place(s, &p)) return;
    int categories = has_categories(s, &p);
    int nleft = group(s, &p, categories ? "sub" : "held", categories ? BY_CATEGORY : BY_SOURCE, left);
    int nright = group(s, &p, "sub", BY_RANGE, right);
    const char *inner = nright ? "live (sub), by range" : "held, by range", *by = categories ? "live (sub)" : "held";
    if (!nright) nright = group(s, &p, "held", BY_RANGE, right);
    if (!nleft) {
        by = "live";
        nleft = group(s, &p, "sub", BY_SOURCE, left);
    }
    if (!nleft && !nright) return;
    snprintf(head, sizeof head, "AT THE PEAK, %.30s", p.name);
    vs_sheet_line(s, "%-29s %10s %7s | %-27s %10s %7s", head, by, "pieces", inner, "bytes", "pieces");
    side_by_side(s, left, nleft, right, nright);
    if (categories) held_line(s, &p);
}

/* Live pieces and blocks with nothing live inside. A block around live pieces is theirs. */
#define LIVE " allocation a WHERE a.free_ts_ns IS NULL AND a.imported = 0 AND a.process_id IN " VS_SHOWN

static void largest(struct vs_sheet *s, int64_t processes)
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT p.rank, p.pid, l.device, l.bytes, l.alloc_ts_ns - p.start_ns, l.source, l.library,"
           " (SELECT t.text FROM range r JOIN string t ON t.id = r.name_id WHERE r.id = l.alloc_range_id),"
           " (SELECT text FROM string WHERE id = l.name_id)"
           /* the inner query needs no more than the index of live rows holds */
           " FROM (SELECT a.id AS id FROM" LIVE " AND a.id NOT IN (SELECT parent_id FROM" LIVE " AND a.parent_id IS NOT NULL)"
           " ORDER BY a.bytes DESC, a.id LIMIT ?2) top JOIN allocation l ON l.id = top.id"
           " JOIN process p ON p.id = l.process_id ORDER BY l.bytes DESC, l.id");
    if (q) sqlite3_bind_int(q, 2, LARGEST);
    while (vs_sheet_next(s, &q)) {
        char bytes[VS_CELL], source[VS_CELL], place[VS_CELL], at[VS_CELL], range[VS_CELL], name[VS_CELL], more[VS_CELL] = "";
        if (sqlite3_column_text(q, 8))
            snprintf(more, sizeof more, "  named %.200s", vs_column_text(q, 8, "", 24, name));
        else if (sqlite3_column_text(q, 6))
            snprintf(more, sizeof more, "  by %.200s", vs_column_text(q, 6, "", 24, name));
        vs_sheet_line(s, "  %s %s %s %s  %s%s", vs_column_bytes(q, 3, -10, bytes), vs_column_text(q, 5, "", 10, source),
                      vs_column_place(q, 0, processes, 14, place), vs_column_moment(q, 4, -10, at),
                      vs_column_text(q, 7, "outside any range", 28, range), more);
    }
}

void vs_report_live(struct vs_sheet *s)
{
    int64_t processes = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN);
    int64_t count[2] = {0, 0}, bytes[2] = {0, 0};
    char held[VS_HUMAN], sub[VS_HUMAN], nheld[VS_HUMAN], nsub[VS_HUMAN];
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT a.level = 'sub', COUNT(*), SUM(a.bytes) FROM" LIVE " GROUP BY 1");
    while (vs_sheet_next(s, &q)) {
        int level = sqlite3_column_int(q, 0) != 0;
        count[level] = sqlite3_column_int64(q, 1);
        bytes[level] = sqlite3_column_int64(q, 2);
    }
    if (!count[0] && !count[1]) {
        if (vs_sheet_number(s, "SELECT COUNT(*) FROM peak_data WHERE process_id IN " VS_SHOWN))
            vs_sheet_line(s, "NEVER FREED  nothing");
        return;
    }
    vs_sheet_line(s, "NEVER FREED  live (sub) %s in %s allocations, held %s in %s; the largest:", vs_human_bytes(bytes[1], sub),
                  vs_human_count(count[1], nsub), vs_human_bytes(bytes[0], held), vs_human_count(count[0], nheld));
    largest(s, processes);
}
