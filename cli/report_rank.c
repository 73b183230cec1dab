/* SPDX-License-Identifier: MIT
 *
 * report_rank.c: ranks and their devices side by side, and how even they are. Must never compare the level held of one
 * with the level sub of another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../viz/category.h"
#include "human.h"
#include "sheet.h"

enum { COLUMNS = 4, SHOWN = 24, LOWEST = 6 }; /* categories with a column; rows of many ranks, and how many of the lowest */
enum { UNEVEN_PERCENT = 5 };                  /* of the median: less than that no one need care about */

struct member {
    int64_t process, device, held, sub; /* peaks; -1: not known */
    int64_t category[VS_CATEGORY_COUNT];
    char place[32];
};

struct members {
    struct member *item;
    int64_t count;
    int by_sub; /* what is compared is live (sub); else held */
    int64_t median, median_of[VS_CATEGORY_COUNT];
};

static int64_t size_of(const struct members *m, int64_t i)
{
    return m->by_sub ? m->item[i].sub : m->item[i].held;
}

static int64_t or_unknown(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? -1 : sqlite3_column_int64(q, column);
}

static void out_of_memory(struct vs_sheet *s)
{
    if (!s->failed) vs_fail(&s->error, ENOMEM, "out of memory");
    s->failed = 1;
}

static struct member *add(struct vs_sheet *s, struct members *m)
{
    int64_t n = m->count;
    if (!(n & (n - 1))) {
        struct member *bigger = realloc(m->item, (n ? 2 * (size_t)n : 1) * sizeof *bigger);
        if (!bigger) out_of_memory(s);
        if (!bigger) return NULL;
        m->item = bigger;
    }
    memset(&m->item[n], 0, sizeof *m->item);
    m->count++;
    return &m->item[n];
}

/* GPUs when there are any: host memory of the same processes is another matter. */
static void load(struct vs_sheet *s, struct members *m)
{
    int64_t processes = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN);
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT p.rank, p.pid, d.device, d.process_id, MAX(CASE d.series WHEN 'held' THEN d.peak_bytes END),"
           " MAX(CASE d.series WHEN 'sub' THEN d.peak_bytes END) FROM peak_data d JOIN process p ON p.id = d.process_id"
           " WHERE d.process_id IN " VS_SHOWN " AND d.series IN ('held', 'sub') AND (d.device >= 0 OR NOT EXISTS"
           "  (SELECT 1 FROM peak_data x WHERE x.device >= 0 AND x.series IN ('held', 'sub') AND x.process_id IN " VS_SHOWN "))"
           " GROUP BY d.process_id, d.device ORDER BY p.rank IS NULL, p.rank, p.id, d.device");
    m->by_sub = 1;
    while (vs_sheet_next(s, &q)) {
        struct member *x = add(s, m);
        char place[VS_CELL];
        if (!x) break;
        x->process = sqlite3_column_int64(q, 3);
        x->device = sqlite3_column_int64(q, 2);
        x->held = or_unknown(q, 4);
        x->sub = or_unknown(q, 5);
        snprintf(x->place, sizeof x->place, "%s", vs_column_place(q, 0, processes, 16, place));
        if (x->sub < 0) m->by_sub = 0;
    }
    sqlite3_finalize(q);
}

static void load_categories(struct vs_sheet *s, struct members *m)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT category, SUM(bytes) FROM at_peak WHERE process_id = ?2 AND device = ?3"
                                        " AND level = 'sub' GROUP BY category");
    for (int64_t i = 0; q && i < m->count; i++) {
        sqlite3_reset(q);
        sqlite3_bind_int64(q, 2, m->item[i].process);
        sqlite3_bind_int64(q, 3, m->item[i].device);
        while (sqlite3_step(q) == SQLITE_ROW) {
            int at = vs_category_place((const char *)sqlite3_column_text(q, 0));
            m->item[i].category[at < 0 ? VS_CATEGORY_COUNT - 1 : at] += sqlite3_column_int64(q, 1);
        }
    }
    sqlite3_finalize(q);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void find_medians(struct vs_sheet *s, struct members *m)
{
    int64_t n = m->count, *v = malloc((size_t)n * sizeof *v);
    if (!v) out_of_memory(s);
    for (int c = -1; v && c < VS_CATEGORY_COUNT; c++) {
        for (int64_t i = 0; i < n; i++) v[i] = c < 0 ? size_of(m, i) : m->item[i].category[c];
        qsort(v, (size_t)n, sizeof *v, by_value);
        *(c < 0 ? &m->median : &m->median_of[c]) = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    }
    free(v);
}

static int choose_columns(const struct members *m, int column[COLUMNS])
{
    int64_t most[VS_CATEGORY_COUNT] = {0};
    int n = 0;
    for (int64_t i = 0; m->by_sub && i < m->count; i++)
        for (int c = 0; c < VS_CATEGORY_COUNT; c++)
            if (m->item[i].category[c] > most[c]) most[c] = m->item[i].category[c];
    while (n < COLUMNS) {
        int best = -1;
        for (int c = 0; c < VS_CATEGORY_COUNT; c++)
            if (most[c] > 0 && (best < 0 || most[c] > most[best])) best = c;
        if (best < 0) break;
        column[n++] = best;
        most[best] = 0;
    }
    return n;
}

static const char *known(int64_t bytes, char out[VS_HUMAN])
{
    return bytes < 0 ? "-" : vs_human_bytes(bytes, out);
}

static const char *signed_bytes(int64_t bytes, char out[VS_HUMAN + 1])
{
    char text[VS_HUMAN];
    snprintf(out, VS_HUMAN + 1, "%s%s", bytes > 0 ? "+" : "", vs_human_bytes(bytes, text));
    return out;
}

static void row(struct vs_sheet *s, const struct members *m, int64_t i, const int *column, int columns)
{
    const struct member *x = &m->item[i];
    char held[VS_HUMAN], sub[VS_HUMAN], delta[VS_HUMAN + 1], cells[96] = "", bytes[VS_HUMAN];
    size_t n = 0;
    for (int c = 0; c < columns; c++)
        n += (size_t)snprintf(cells + n, sizeof cells - n, " %10s", vs_human_bytes(x->category[column[c]], bytes));
    vs_sheet_line(s, "  %s %10s %10s %11s%s", x->place, known(x->held, held), known(x->sub, sub),
                  signed_bytes(size_of(m, i) - m->median, delta), cells);
}

static int by_size(const void *a, const void *b, void *members)
{
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b, x = size_of(members, i), y = size_of(members, j);
    return x > y ? -1 : x < y ? 1 : i < j ? -1 : i > j;
}

/* Highest first; NULL: out of memory. */
static int64_t *sort(struct vs_sheet *s, const struct members *m)
{
    int64_t *order = malloc((size_t)m->count * sizeof *order);
    if (!order) out_of_memory(s);
    for (int64_t i = 0; order && i < m->count; i++) order[i] = i;
    if (order) qsort_r(order, (size_t)m->count, sizeof *order, by_size, (void *)m);
    return order;
}

/* ", most of it in activation (+1.1 GiB)": what moves with it. */
static void say_where(const struct members *m, int64_t i, int sign, char *out, size_t size)
{
    int best = -1;
    int64_t most = 0;
    char bytes[VS_HUMAN + 1];
    for (int c = 0; m->by_sub && c < VS_CATEGORY_COUNT; c++) {
        int64_t d = (m->item[i].category[c] - m->median_of[c]) * sign;
        if (d > most) most = d, best = c;
    }
    out[0] = 0;
    if (best >= 0)
        snprintf(out, size, ", most of it %s (%s)", vs_category_looks[best].name, signed_bytes(sign * most, bytes));
}

static void verdict(struct vs_sheet *s, const struct members *m, const int64_t *order)
{
    int64_t end[2] = {order[0], order[m->count - 1]}, spread = size_of(m, end[0]) - size_of(m, end[1]);
    const char *what = m->by_sub ? "live (sub)" : "held";
    char bytes[VS_HUMAN], where[128];
    double percent = m->median > 0 ? 100.0 * (double)spread / (double)m->median : 0;
    if (percent <= UNEVEN_PERCENT) {
        vs_sheet_line(s, "EVEN  from lowest to highest %s differs by %s (%.1f %% of the median)", what,
                      vs_human_bytes(spread, bytes), percent);
        return;
    }
    vs_sheet_line(s, "UNEVEN  from lowest to highest %s differs by %s (%.1f %% of the median)", what,
                  vs_human_bytes(spread, bytes), percent);
    for (int k = 0; k < 2; k++) {
        int64_t d = size_of(m, end[k]) - m->median;
        say_where(m, end[k], k ? -1 : 1, where, sizeof where);
        vs_sheet_line(s, "  %-7s %s %s %s the median%s", k ? "lowest" : "highest", m->item[end[k]].place,
                      vs_human_bytes(d < 0 ? -d : d, bytes), d < 0 ? "below" : "above", where);
    }
}

/* Sorted by size only when not all fit: else ranks stand where one looks for them. */
static void table(struct vs_sheet *s, const struct members *m, const int64_t *order)
{
    int column[COLUMNS], columns = choose_columns(m, column), most = m->count > SHOWN && !s->all;
    int64_t hidden = m->count - SHOWN;
    char cells[96] = "";
    size_t n = 0;
    for (int c = 0; c < columns; c++)
        n += (size_t)snprintf(cells + n, sizeof cells - n, " %10s", vs_category_looks[column[c]].brief);
    vs_sheet_line(s, "%-18s %10s %10s %11s%s", "BY RANK", "peak held", "peak live", "from median",
                  cells);
    for (int64_t i = 0; i < m->count; i++) {
        if (most && i == SHOWN - LOWEST)
            vs_sheet_line(s, "  ... %lld more between, in order of size (--all shows them by rank)", (long long)hidden);
        if (most && i >= SHOWN - LOWEST && i < m->count - LOWEST) continue;
        row(s, m, most ? order[i] : i, column, columns);
    }
}

void vs_report_by_rank(struct vs_sheet *s)
{
    struct members m = {0};
    int64_t *order = NULL, seen = vs_sheet_number(s, "SELECT COUNT(DISTINCT rank) FROM process");
    int64_t world = vs_sheet_number(s, "SELECT MAX(world_size) FROM process");
    load(s, &m);
    if (m.count) load_categories(s, &m);
    if (m.count) find_medians(s, &m);
    if (m.count) order = sort(s, &m);
    if (!m.count && !s->failed) vs_sheet_line(s, "BY RANK  no allocation was recorded");
    if (order && !s->failed) {
        table(s, &m, order);
        if (m.count > 1) verdict(s, &m, order);
        else vs_sheet_line(s, "only one %s was recorded: nothing to compare", m.item[0].device < 0 ? "process" : "device");
        if (seen && world > seen)
            vs_sheet_line(s, "only %lld of %lld ranks were recorded", (long long)seen, (long long)world);
    }
    free(order);
    free(m.item);
}
