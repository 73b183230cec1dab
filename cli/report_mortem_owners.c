/* SPDX-License-Identifier: MIT
 *
 * report_mortem_owners.c: who held the memory when a process died: categories, ranges, the largest pieces, the whole device,
 * the iterations before. What was live at a failure comes from table at_failure, at a kill from the rows never freed.
 */
#include <string.h>

#include "mortem.h"

#define LARGEST    4
#define ITERATIONS 4

#define OF_IT " FROM allocation a WHERE a.process_id = ?2 AND COALESCE(a.device, -1) = ?3 AND a.imported = 0"
#define LIVE  OF_IT " AND a.free_ts_ns IS NULL"
#define THEN  OF_IT " AND a.alloc_ts_ns <= ?4 AND (a.free_ts_ns IS NULL OR a.free_ts_ns > ?4)"
#define FAILED " FROM at_failure WHERE process_id = ?2 AND device = ?3"
#define HOLDER "CASE WHEN a.source IN ('cuda', 'array') THEN COALESCE(a.library, a.source) ELSE a.source END"
#define RANGE_OF "(SELECT t.text FROM range r JOIN string t ON t.id = r.name_id WHERE r.id = a.alloc_range_id)"
#define LARGEST_FIRST " GROUP BY 1 ORDER BY 2 DESC, 1"

/* What, bytes, and whether it has a name. */
struct grouping {
    const char *at_failure, *at_kill;
};
static const struct grouping by_category = {
    "SELECT COALESCE(category, 'unknown'), SUM(bytes), 1" FAILED " AND level = 'sub'" LARGEST_FIRST,
    "SELECT COALESCE(a.category, 'unknown'), SUM(a.bytes), 1" LIVE " AND a.level = 'sub' AND NOT a.flags & 32" LARGEST_FIRST};
static const struct grouping by_source = {
    "SELECT source, SUM(bytes), 1" FAILED " AND level = 'held'" LARGEST_FIRST,
    "SELECT a.source, SUM(a.bytes), 1" LIVE " AND a.level = 'held'" LARGEST_FIRST};
static const struct grouping by_library = {
    "SELECT " HOLDER ", SUM(a.bytes), 1" THEN " AND a.level = 'held'" LARGEST_FIRST,
    "SELECT " HOLDER ", SUM(a.bytes), 1" LIVE " AND a.level = 'held'" LARGEST_FIRST};
static const struct grouping by_range = {
    "SELECT COALESCE(range_name, 'outside any range'), SUM(bytes), range_name IS NOT NULL" FAILED
    " AND level = (SELECT MAX(level)" FAILED ")" LARGEST_FIRST,
    "SELECT COALESCE(name, 'outside any range'), SUM(bytes), name IS NOT NULL FROM (SELECT " RANGE_OF " AS name, a.bytes AS bytes" LIVE
    " AND NOT a.flags & 32 AND a.level = (SELECT MAX(a.level)" LIVE "))" LARGEST_FIRST};

/* The program's own line of Python. */
#define LINE_OF(columns, id) "(SELECT " columns " FROM allocation_line l WHERE l.allocation_id = " id ")"
static const struct grouping by_line = {
    "SELECT " LINE_OF("COALESCE(l.file || ':' || l.line, l.function)", "a.id") ", SUM(a.bytes), 1" THEN
    " AND a.stack_id IS NOT NULL AND NOT a.flags & 32" LARGEST_FIRST,
    "SELECT " LINE_OF("COALESCE(l.file || ':' || l.line, l.function)", "a.id") ", SUM(a.bytes), 1" LIVE
    " AND a.stack_id IS NOT NULL AND NOT a.flags & 32" LARGEST_FIRST};

static sqlite3_stmt *grouped(struct vs_sheet *s, const struct vs_death *d, const struct grouping *g)
{
    return vs_mortem_query(s, d, d->failed ? g->at_failure : g->at_kill);
}

static int64_t total_of(struct vs_sheet *s, const struct vs_death *d, const struct grouping *g)
{
    sqlite3_stmt *q = grouped(s, d, g);
    int64_t total = 0;
    while (vs_sheet_next(s, &q)) total += sqlite3_column_int64(q, 1);
    return total;
}

/* A line of Python without the folders of its file. */
static char *short_line(sqlite3_stmt *q, int column, int width, char out[VS_CELL])
{
    const char *text = (const char *)sqlite3_column_text(q, column), *slash = text ? strrchr(text, '/') : NULL;
    return slash ? vs_cell(slash + 1, width, out) : vs_column_text(q, column, "?", width, out);
}

static void list(struct vs_sheet *s, const struct vs_death *d, const struct grouping *g, struct vs_flow *f,
                 int64_t total)
{
    sqlite3_stmt *q = grouped(s, d, g);
    while (vs_sheet_next(s, &q)) {
        char name[VS_CELL], bytes[VS_CELL];
        int64_t part = sqlite3_column_int64(q, 1);
        if (g == &by_line) short_line(q, 0, 0, name);
        else vs_column_text(q, 0, "?", 0, name);
        vs_column_bytes(q, 1, 0, bytes);
        if (total > 0) vs_flow_add(f, "%.36s %s (%.0f %%)", name, bytes, 100.0 * (double)part / (double)total);
        else vs_flow_add(f, "%.36s %s", name, bytes);
    }
    vs_flow_end(f);
}

static int has_ranges(struct vs_sheet *s, const struct vs_death *d)
{
    sqlite3_stmt *q = grouped(s, d, &by_range);
    int named = 0;
    while (vs_sheet_next(s, &q)) named |= sqlite3_column_int(q, 2);
    return named;
}

void vs_mortem_owners(struct vs_sheet *s, const struct vs_death *d)
{
    struct vs_flow owners = {.sheet = s, .label = "owners", .most = 3}, ranges = {.sheet = s, .label = "ranges", .most = 2},
                   blocks = {.sheet = s, .label = "blocks", .most = 2}, lines = {.sheet = s, .label = "lines", .most = 2};
    int64_t live = total_of(s, d, &by_category), held = total_of(s, d, &by_source);
    char inner[VS_HUMAN], outer[VS_HUMAN];
    if (live <= 0 && held <= 0) return;
    if (live > 0 && held > 0)
        vs_flow_add(&owners, "of %s live (sub) in %s held: ", vs_human_bytes(live, inner), vs_human_bytes(held, outer));
    else
        vs_flow_add(&owners, "of %s %s: ", vs_human_bytes(live > 0 ? live : held, inner),
                    live > 0 ? "live (sub)" : "held");
    list(s, d, live > 0 ? &by_category : &by_library, &owners, live > 0 ? live : held);
    if (live > 0 && live < held / 2) list(s, d, &by_library, &blocks, held); /* what is live is not the whole story */
    if (!s->brief && has_ranges(s, d)) list(s, d, &by_range, &ranges, 0);
    if (!s->brief && vs_mortem_number(s, d, "SELECT 1 FROM stack LIMIT 1") == 1) list(s, d, &by_line, &lines, 0);
}

/* ---- the largest pieces ---- */

#define PIECE "SELECT a.bytes, COALESCE(a.category, a.source), a.alloc_ts_ns - (SELECT start_ns FROM process WHERE id = ?2)," \
              " " RANGE_OF ", a.library, (SELECT text FROM string WHERE id = a.name_id)," \
              " " LINE_OF("l.file || ':' || l.line || ' ' || l.function", "a.id")
/* A block around live pieces is theirs. */
#define INNERMOST(live) live " AND NOT a.flags & 32 AND a.id NOT IN (SELECT a.parent_id" live " AND a.parent_id IS NOT NULL)" \
                        " ORDER BY a.bytes DESC, a.id LIMIT ?5"

void vs_mortem_largest(struct vs_sheet *s, const struct vs_death *d)
{
    sqlite3_stmt *q = vs_mortem_query(s, d, d->failed ? PIECE INNERMOST(THEN) : PIECE INNERMOST(LIVE));
    const char *label = "largest";
    if (q) sqlite3_bind_int(q, 5, LARGEST);
    while (vs_sheet_next(s, &q)) {
        char bytes[VS_CELL], what[VS_CELL], at[VS_CELL], range[VS_CELL], name[VS_CELL], more[VS_CELL] = "";
        if (sqlite3_column_text(q, 5))
            snprintf(more, sizeof more, "  named %.200s", vs_column_text(q, 5, "", 24, name));
        else if (sqlite3_column_text(q, 4))
            snprintf(more, sizeof more, "  by %.200s", vs_column_text(q, 4, "", 24, name));
        if (sqlite3_column_text(q, 6)) short_line(q, 6, 26, range);
        else vs_column_text(q, 3, "outside any range", 26, range);
        vs_sheet_line(s, "  %-8s %s %s %s  %s%s", label, vs_column_bytes(q, 0, -9, bytes),
                      vs_column_text(q, 1, "", 15, what), vs_column_moment(q, 2, -10, at),
                      range, more);
        label = "";
    }
}

/* ---- the whole device ---- */

void vs_mortem_account(struct vs_sheet *s, const struct vs_death *d)
{
    /* the last look before it, else the first one just after it */
    int64_t ts =
        vs_mortem_number(s, d,
                         "SELECT COALESCE((SELECT MAX(ts_ns) FROM account_data WHERE process_id = ?2 AND device = ?3"
                         " AND ts_ns BETWEEN ?4 - 5000000000 AND ?4), (SELECT MIN(ts_ns) FROM account_data WHERE"
                         " process_id = ?2 AND device = ?3 AND ts_ns BETWEEN ?4 AND ?4 + 200000000))");
    struct vs_flow f = {.sheet = s, .label = "account", .most = 3};
    sqlite3_stmt *q;
    char used[VS_HUMAN] = "", apart[VS_HUMAN];
    if (ts == VS_UNKNOWN) return;
    q = vs_mortem_query(
        s, d,
        "SELECT owner, bytes FROM account_data WHERE process_id = ?2 AND device = ?3 AND ts_ns = ?5 AND"
        " (bytes <> 0 OR bytes IS NULL) ORDER BY owner = 'driver_used' DESC, owner = 'remainder', bytes DESC");
    if (q) sqlite3_bind_int64(q, 5, ts);
    while (vs_sheet_next(s, &q)) {
        char name[VS_CELL], bytes[VS_CELL];
        vs_column_text(q, 0, "?", 0, name);
        if (!strcmp(name, "driver_used")) {
            vs_human_bytes(sqlite3_column_int64(q, 1), used);
            vs_flow_add(&f, "%s used on the device, %s %s", used,
                        vs_human_time(ts > d->ts_ns ? ts - d->ts_ns : d->ts_ns - ts, apart),
                        ts > d->ts_ns ? "after it" : "before");
        } else if (sqlite3_column_type(q, 1) == SQLITE_NULL) vs_flow_add(&f, "%s not visible", name);
        else vs_flow_add(&f, "%s %s", name, vs_column_bytes(q, 1, 0, bytes));
    }
    vs_flow_end(&f);
}

/* ---- the iterations before ---- */

/* Not by view iteration_memory: a long training has 10^5 of them, and we want a few. */
#define RECENT " FROM phase f WHERE f.process_id = ?2 AND f.iteration > (SELECT MAX(iteration) FROM phase WHERE process_id = ?2) - 8"
#define LAST_OF(number) "(SELECT id FROM phase WHERE process_id = ?2 AND iteration = " number " ORDER BY end_ns DESC, id DESC LIMIT 1)"
#define SUM_OF(what) "(SELECT SUM(m." what ") FROM phase_memory m WHERE m.phase_id = f.id AND m.device = ?3)"

static void by_iteration(struct vs_sheet *s, const struct vs_death *d)
{
    struct vs_flow f = {.sheet = s, .label = "growth", .most = 2};
    sqlite3_stmt *q = vs_mortem_query(s, d, "SELECT * FROM (SELECT iteration, MAX(peak) FROM (SELECT f.iteration AS iteration, "
                                            SUM_OF("peak_bytes") " AS peak" RECENT ") WHERE peak IS NOT NULL GROUP BY 1"
                                            " ORDER BY 1 DESC LIMIT ?5) ORDER BY 1");
    int n = 0;
    if (q) sqlite3_bind_int(q, 5, ITERATIONS);
    while (vs_sheet_next(s, &q)) {
        char bytes[VS_CELL];
        vs_flow_add(&f, "%s%lld: %s", n++ ? "" : "peak of iteration ", (long long)sqlite3_column_int64(q, 0),
                    vs_column_bytes(q, 1, 0, bytes));
    }
    if (n > 1) vs_flow_end(&f);
}

void vs_mortem_growth(struct vs_sheet *s, const struct vs_death *d)
{
    struct vs_leftover l;
    char bytes[VS_HUMAN], part[VS_HUMAN], text[120] = "";
    by_iteration(s, d);
    vs_mortem_leftover(s, d, &l);
    if (l.iterations < 1 || l.bytes < 1 << 20) return;
    if (l.category[0])
        snprintf(text, sizeof text, ", %s of it %.40s", vs_human_bytes(l.category_bytes, part), l.category);
    vs_sheet_line(s, "           live after iteration %lld: %s more than after iteration %lld%s", (long long)l.last,
                  vs_human_bytes(l.bytes, bytes), (long long)l.last - l.iterations, text);
}

/* Of whole iterations: the one it died in is none, and in the first the optimizer makes its state. */
void vs_mortem_leftover(struct vs_sheet *s, const struct vs_death *d, struct vs_leftover *l)
{
    sqlite3_stmt *q = vs_mortem_query(s, d, "SELECT f.iteration, " SUM_OF("end_bytes") RECENT " AND f.iteration > 0 AND"
                                            " f.iteration < (SELECT MAX(iteration) FROM phase WHERE process_id = ?2) AND f.id = "
                                            LAST_OF("f.iteration") " ORDER BY 1 DESC LIMIT ?5");
    int64_t after = 0;
    *l = (struct vs_leftover){.last = -1, .steady = 1};
    if (q) sqlite3_bind_int(q, 5, ITERATIONS);
    while (vs_sheet_next(s, &q)) {
        int64_t end = sqlite3_column_int64(q, 1);
        if (l->last < 0) {
            l->last = sqlite3_column_int64(q, 0);
        } else {
            l->iterations = l->last - sqlite3_column_int64(q, 0);
            l->bytes += after - end;
            if (after <= end) l->steady = 0;
        }
        after = end;
    }
    if (l->iterations < 1) return;
    q = vs_mortem_query(s, d, "SELECT m.category, SUM(CASE WHEN m.phase_id = " LAST_OF("?5") " THEN m.end_bytes ELSE -m.end_bytes END) AS grown"
                              " FROM phase_memory m WHERE m.device = ?3 AND m.phase_id IN (" LAST_OF("?5") ", " LAST_OF("?6") ")"
                              " GROUP BY 1 ORDER BY grown DESC LIMIT 1");
    if (q) sqlite3_bind_int64(q, 5, l->last);
    if (q) sqlite3_bind_int64(q, 6, l->last - l->iterations);
    if (vs_sheet_next(s, &q) && sqlite3_column_int64(q, 1) > 0) {
        vs_column_text(q, 0, "unknown", 0, l->category);
        l->category_bytes = sqlite3_column_int64(q, 1);
    }
    sqlite3_finalize(q);
}
