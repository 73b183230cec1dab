/* SPDX-License-Identifier: MIT
 *
 * iterations.c: owns the reading of phases and what is concluded from them. Must never take an iteration that broke off
 * for one that left memory behind.
 */
#include "iterations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"

enum { ITERATION, PHASE, BEGIN, END, PHASE_ID, CATEGORY, PEAK, AT_END };

static int find_process(struct vs_sheet *s, struct vs_iterations *out, int64_t *process, int64_t *device)
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT p.rank, p.pid, d.device, d.process_id, (SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN "),"
           " v.total_bytes - MAX(d.peak_bytes, COALESCE((SELECT MAX(x.peak_bytes) FROM peak_data x WHERE x.process_id ="
           "  d.process_id AND x.device = d.device AND x.series IN ('held', 'driver_used')), 0)),"
           " EXISTS (SELECT 1 FROM phase f WHERE f.process_id = d.process_id AND f.origin = 'nvtx')"
           " FROM peak_data d JOIN process p ON p.id = d.process_id"
           " LEFT JOIN device v ON v.process_id = d.process_id AND v.device = d.device"
           " WHERE d.process_id IN " VS_SHOWN " AND d.series = 'sub'"
           " AND EXISTS (SELECT 1 FROM phase f WHERE f.process_id = d.process_id AND f.iteration IS NOT NULL)"
           " ORDER BY d.device < 0, d.peak_bytes DESC, p.rank, p.id LIMIT 1");
    int found = vs_sheet_next(s, &q);
    if (found) {
        vs_column_place(q, 0, sqlite3_column_int64(q, 4), 0, out->place);
        *device = sqlite3_column_int64(q, 2);
        *process = sqlite3_column_int64(q, 3);
        out->room_bytes = sqlite3_column_type(q, 5) == SQLITE_NULL ? -1 : sqlite3_column_int64(q, 5);
        out->named = sqlite3_column_int(q, 6);
    }
    sqlite3_finalize(q);
    return found;
}

static struct vs_iteration *add(struct vs_sheet *s, struct vs_iterations *out, int64_t number)
{
    int64_t n = out->count;
    if (!(n & (n - 1))) {
        struct vs_iteration *bigger = realloc(out->item, (n ? 2 * (size_t)n : 1) * sizeof *bigger);
        if (!bigger) {
            if (!s->failed) vs_fail(&s->error, ENOMEM, "out of memory");
            s->failed = 1;
            return NULL;
        }
        out->item = bigger;
    }
    memset(&out->item[n], 0, sizeof *out->item);
    out->item[n].number = number;
    out->item[n].begin_ns = INT64_MAX;
    out->count++;
    return &out->item[n];
}

struct mix {
    int64_t phase, peak_sum, end_sum;
    int64_t peak[VS_CATEGORY_COUNT], end[VS_CATEGORY_COUNT];
    char name[16];
};

/* All categories of a phase are there: its peak may be the iteration's, and its end is, so far. */
static void end_phase(struct vs_iteration *it, const struct mix *m)
{
    if (!it || m->phase < 0) return;
    if (m->peak_sum > it->peak_bytes || !it->peak_phase[0]) {
        it->peak_bytes = m->peak_sum;
        memcpy(it->at_peak, m->peak, sizeof it->at_peak);
        memcpy(it->peak_phase, m->name, sizeof it->peak_phase);
    }
    it->end_bytes = m->end_sum;
    memcpy(it->at_end, m->end, sizeof it->at_end);
    memcpy(it->last_phase, m->name, sizeof it->last_phase);
}

static void read_rows(struct vs_sheet *s, sqlite3_stmt *q, struct vs_iterations *out)
{
    struct vs_iteration *it = NULL;
    struct mix m = {.phase = -1};
    while (vs_sheet_next(s, &q)) {
        int at = vs_category_place((const char *)sqlite3_column_text(q, CATEGORY));
        if (at < 0) at = VS_CATEGORY_COUNT - 1; /* unknown */
        if (sqlite3_column_int64(q, PHASE_ID) != m.phase) {
            end_phase(it, &m);
            m = (struct mix){.phase = sqlite3_column_int64(q, PHASE_ID)};
            snprintf(m.name, sizeof m.name, "%s", (const char *)sqlite3_column_text(q, PHASE));
        }
        if (!it || it->number != sqlite3_column_int64(q, ITERATION)) it = add(s, out, sqlite3_column_int64(q, ITERATION));
        if (!it) break;
        if (sqlite3_column_int64(q, BEGIN) < it->begin_ns) it->begin_ns = sqlite3_column_int64(q, BEGIN);
        if (sqlite3_column_int64(q, END) > it->end_ns) it->end_ns = sqlite3_column_int64(q, END);
        m.peak[at] += sqlite3_column_int64(q, PEAK);
        m.end[at] += sqlite3_column_int64(q, AT_END);
        m.peak_sum += sqlite3_column_int64(q, PEAK);
        m.end_sum += sqlite3_column_int64(q, AT_END);
    }
    end_phase(it, &m);
    sqlite3_finalize(q);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* No verdict of their own: what a leak is made of is decided late for its last pieces, so it may move between categories. */
static void share_growth(struct vs_iterations *out)
{
    const struct vs_iteration *a = &out->item[out->growth.from], *b = &out->item[out->complete - 1];
    double steps = (double)(b - a);
    for (int c = 0; c < VS_CATEGORY_COUNT; c++) out->growth_of[c] = (double)(b->at_end[c] - a->at_end[c]) / steps;
}

static void conclude(struct vs_sheet *s, struct vs_iterations *out)
{
    int64_t n = out->count, *v = malloc((size_t)n * sizeof *v);
    int err = v ? 0 : -ENOMEM;
    for (int64_t i = 0; v && i < n; i++) {
        v[i] = out->item[i].end_ns - out->item[i].begin_ns;
        if (out->item[i].peak_bytes > out->item[out->highest].peak_bytes) out->highest = i;
    }
    if (v) qsort(v, (size_t)n, sizeof *v, by_value);
    if (v) out->median_ns = v[n / 2];
    out->complete = n - (n > 1 && strcmp(out->item[n - 1].last_phase, out->item[n - 2].last_phase));
    for (int64_t i = 0; v && i < n; i++) v[i] = out->item[i].end_bytes;
    if (!err) err = vs_growth_find(v, out->complete, &out->growth);
    if (!err && out->growth.verdict == VS_GROWTH_SUSTAINED) share_growth(out);
    if (err && !s->failed) s->failed = 1, vs_fail(&s->error, -err, "out of memory");
    free(v);
}

void vs_iterations_load(struct vs_sheet *s, struct vs_iterations *out)
{
    int64_t process, device;
    memset(out, 0, sizeof *out);
    if (!find_process(s, out, &process, &device)) return;
    sqlite3_stmt *q = vs_sheet_query(
        s, "SELECT f.iteration, f.name, f.begin_ns, COALESCE(f.end_ns, p.end_ns, f.begin_ns), f.id, m.category,"
           " m.peak_bytes, m.end_bytes FROM phase f JOIN process p ON p.id = f.process_id"
           " JOIN phase_memory m ON m.phase_id = f.id AND m.device = ?3"
           " WHERE f.process_id = ?2 AND f.iteration IS NOT NULL ORDER BY f.iteration, f.begin_ns, f.id");
    if (q) {
        sqlite3_bind_int64(q, 2, process);
        sqlite3_bind_int64(q, 3, device);
    }
    read_rows(s, q, out);
    if (out->count && !s->failed) conclude(s, out);
}

void vs_iterations_free(struct vs_iterations *it)
{
    free(it->item);
    it->item = NULL;
}

/* ", in activation (+48.0 MiB), unknown (+8.0 MiB)": the two that grow most, if that is worth a word. */
static void growers(const struct vs_iterations *it, char *out, size_t size)
{
    char bytes[VS_HUMAN];
    size_t n = 0;
    int taken = -1;
    out[0] = 0;
    for (int k = 0; k < 2; k++) {
        int best = -1;
        for (int c = 0; c < VS_CATEGORY_COUNT; c++)
            if (c != taken && it->growth_of[c] > it->growth.slope / 10 && (best < 0 || it->growth_of[c] > it->growth_of[best])) best = c;
        if (best < 0 || n >= size) return;
        n += (size_t)snprintf(out + n, size - n, "%s %s (+%s)", k ? "," : ", in", vs_category_looks[best].name,
                              vs_human_bytes((int64_t)it->growth_of[best], bytes));
        taken = best;
    }
}

int vs_iterations_leak(const struct vs_iterations *it)
{
    return it->growth.slope * 1e6 > (double)it->item[it->highest].peak_bytes;
}

void vs_iterations_verdict(const struct vs_iterations *it, char *out, size_t size)
{
    const struct vs_growth *g = &it->growth;
    char bytes[VS_HUMAN], in[128];
    long long from = it->item[g->from].number, last = it->item[g->last].number;
    if (g->verdict == VS_GROWTH_TOO_FEW)
        snprintf(out, size, "too few iterations to tell growth: %lld, %d are needed", (long long)it->complete,
                 VS_GROWTH_SKIPPED + VS_GROWTH_LEAST);
    else if (g->verdict == VS_GROWTH_NONE)
        snprintf(out, size, "no growth since iteration %lld", from);
    else if (g->verdict == VS_GROWTH_STEPS)
        snprintf(out, size, "no sustained growth, but +%s since iteration %lld, last in iteration %lld",
                 vs_human_bytes((int64_t)g->rise, bytes), from, last);
    else {
        growers(it, in, sizeof in);
        snprintf(out, size, "%s  +%s per iteration over the last %lld%s", vs_iterations_leak(it) ? "LEAK" : "slow growth", vs_human_bytes((int64_t)g->slope, bytes),
                 (long long)(it->complete - g->from), in);
    }
}
