/* SPDX-License-Identifier: MIT
 *
 * spans.c: owns the choice and merging of the ranges that are shaded. Never holds more than a screen's worth of them.
 *
 * 1. Every range of depth 0 or 1 goes to the lane of its process, thread, depth. In a lane those at least a cell wide
 *    are kept as they are (on one thread and depth they cannot overlap, so there are at most as many as cells); thinner
 *    ones are counted in the cell of their middle. The order of the rows does not matter.
 * 2. For each process the best lane is chosen; neighbouring filled cells become one piece each.
 * 3. When more pieces than VS_SPANS_MAX are left, equal numbers of neighbours are joined.
 */
#include "spans.h"

#include <ctype.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 732 }; /* 2 pixels each */
enum { NUMBERED = 12 }; /* iterations: few enough for "12568 … 18850" to fit on each */
enum { RANGES, PHASES, ITERATIONS, KINDS }; /* what is in a lane: the first is what is rather shown */

struct piece {
    double begin, end;
    sqlite3_int64 first, last; /* name ids: string.id, or phase.id */
    long count;                /* ranges in it */
    int mixed;
};

struct lane {
    sqlite3_int64 process, thread;
    int depth, library, phases;
    double covered;
    long count;
    int wide_count;
    struct piece cell[CELLS], wide[2 * CELLS];
};

struct lanes {
    struct lane **item;
    int count;
};

static void join(struct piece *into, const struct piece *p)
{
    if (!p->count) return;
    if (!into->count) {
        *into = *p;
        return;
    }
    into->mixed |= p->mixed || p->first != into->first;
    if (p->begin < into->begin) into->begin = p->begin, into->first = p->first;
    if (p->end > into->end) into->end = p->end, into->last = p->last;
    into->count += p->count;
}

static struct lane *find_lane(struct lanes *all, const struct lane *like)
{
    for (int i = all->count - 1; i >= 0; i--) {
        struct lane *l = all->item[i];
        if (l->process == like->process && l->thread == like->thread && l->depth == like->depth &&
            l->library == like->library && l->phases == like->phases)
            return l;
    }
    struct lane **item = realloc(all->item, (size_t)(all->count + 1) * sizeof *item);
    if (!item) return NULL;
    all->item = item;
    struct lane *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->process = like->process;
    l->thread = like->thread;
    l->depth = like->depth;
    l->library = like->library;
    l->phases = like->phases;
    return all->item[all->count++] = l;
}

static void add(struct lane *l, double begin, double end, sqlite3_int64 name, double span_ns)
{
    struct piece p = {begin, end, name, name, 1, 0};
    int cell = (int)((begin + end) / 2 / span_ns * CELLS);
    l->count++;
    l->covered += end - begin;
    if (cell < 0) cell = 0;
    if (cell >= CELLS) cell = CELLS - 1;
    if (end - begin >= span_ns / CELLS && l->wide_count < 2 * CELLS) l->wide[l->wide_count++] = p;
    else join(&l->cell[cell], &p);
}

static const struct vs_device *device_of(const struct vs_devices *devices, sqlite3_int64 process)
{
    for (int i = 0; i < devices->count; i++)
        if (devices->item[i].process_id == process) return &devices->item[i];
    return NULL;
}

/* Columns: process, thread, depth, library domain, begin, end, name. Phases come without depth: it follows from their
 * order (begin rising, the longer first). */
static int fill(sqlite3 *db, const char *sql, int phases, const struct vs_devices *devices, struct lanes *all,
                struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    struct lane like = {.phases = phases}, *l = NULL;
    const struct vs_device *d = NULL;
    sqlite3_int64 process = -1;
    double outer_end = -1, inner_end = -1;
    int step = SQLITE_DONE, err = vs_devices_prepare(db, sql, &q, e);
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW) {
        like.process = sqlite3_column_int64(q, 0);
        like.thread = sqlite3_column_int64(q, 1);
        like.depth = sqlite3_column_int(q, 2);
        like.library = sqlite3_column_int(q, 3);
        if (like.process != process) d = device_of(devices, process = like.process), outer_end = inner_end = -1;
        if (!d) continue;
        double begin = (double)(sqlite3_column_int64(q, 4) + d->offset_ns);
        double end = (double)((sqlite3_column_type(q, 5) == SQLITE_NULL ? d->end_ns : sqlite3_column_int64(q, 5)) +
                              d->offset_ns);
        if (phases) like.depth = end <= outer_end;
        if (like.depth && phases && end <= inner_end) continue;
        if (phases) *(like.depth ? &inner_end : &outer_end) = end;
        if (begin < 0) begin = 0;
        if (end < begin) continue;
        if (!l || l->process != like.process || l->thread != like.thread || l->depth != like.depth ||
            l->library != like.library)
            l = find_lane(all, &like);
        if (!l) err = vs_fail(e, ENOMEM, "out of memory");
        else add(l, begin, end, sqlite3_column_int64(q, 6), (double)devices->span_ns);
    }
    if (!err && step != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    return err;
}

static struct lane *best_lane(const struct lanes *all, sqlite3_int64 process)
{
    struct lane *best = NULL;
    for (int i = 0; i < all->count; i++) {
        struct lane *l = all->item[i];
        if (l->process != process || l->depth) continue;
        int better = !best || l->phases < best->phases || (l->phases == best->phases && l->library < best->library) ||
                     (l->phases == best->phases && l->library == best->library && l->covered > best->covered);
        if (better) best = l;
    }
    for (int i = 0; best && best->count == 1 && i < all->count; i++) {
        struct lane *l = all->item[i];
        if (l->process == process && l->thread == best->thread && l->library == best->library &&
            l->phases == best->phases && l->depth == 1)
            return l;
    }
    return best;
}

static int by_begin(const void *a, const void *b)
{
    double x = ((const struct piece *)a)->begin, y = ((const struct piece *)b)->begin;
    return x < y ? -1 : x > y;
}

/* forward, backward, optimizer, forward, ... has period 3: joined in multiples of it, a block is whole iterations. */
static int period_of(const struct piece *w, int n)
{
    for (int period = 1; period <= 16 && period * 3 <= n; period++) {
        int same = 0;
        for (int i = period; i < n; i++) same += w[i].first == w[i - period].first;
        if (same * 10 >= (n - period) * 9) return period;
    }
    return 1;
}

/* Returns the number of pieces left in l->wide, in order of time. */
static int merge_lane(struct lane *l)
{
    struct piece run = {.count = 0}, *w = l->wide;
    int n = l->wide_count, kept = 0, room = (int)(sizeof l->wide / sizeof *l->wide);
    for (int i = 0; i <= CELLS; i++) {
        int filled = i < CELLS && l->cell[i].count;
        if (run.count && (!filled || l->phases == ITERATIONS) && n < room) { /* numbers tell them apart even so thin */
            w[n++] = run;
            run.count = 0;
        }
        if (filled) join(&run, &l->cell[i]);
    }
    qsort(w, (size_t)n, sizeof *w, by_begin);
    int most = l->phases == ITERATIONS ? NUMBERED : VS_SPANS_MAX;
    int each = (n + most - 1) / most, period = each > 1 ? period_of(w, n) : 1;
    each = (each + period - 1) / period * period;
    for (int i = 0; i < n; i++) {
        if (i % each == 0) w[kept++] = w[i];
        else join(&w[kept - 1], &w[i]);
    }
    return kept;
}

static int name_of(sqlite3_stmt *names, sqlite3_int64 id, char *out, size_t size)
{
    sqlite3_reset(names);
    sqlite3_bind_int64(names, 1, id);
    int found = sqlite3_step(names) == SQLITE_ROW;
    vs_label_clean(out, size, found ? (const char *)sqlite3_column_text(names, 0) : NULL, VS_LABEL_POINTS);
    return found;
}

/* "step 12" and "step 13" are one kind: "step #". */
static void kind_of(char *out, const char *name)
{
    for (; *name; name++) {
        if (!isdigit((unsigned char)*name)) *out++ = *name;
        else if (!isdigit((unsigned char)name[1])) *out++ = '#';
    }
    *out = 0;
}

/* A phase's number is no part of what it is: "backward #" is "backward". */
static void drop_numbers(char *kind)
{
    for (char *at; (at = strstr(kind, " #"));) memmove(at, at + 2, strlen(at + 2) + 1);
}

static void describe(const struct piece *p, int phases, sqlite3_stmt *names, struct vs_span *out)
{
    char first[VS_LABEL_SIZE], last[VS_LABEL_SIZE], one[VS_LABEL_SIZE], other[VS_LABEL_SIZE];
    char all[2 * VS_LABEL_SIZE + 48];
    name_of(names, p->first, first, sizeof first);
    name_of(names, p->last, last, sizeof last);
    kind_of(one, first);
    kind_of(other, last);
    int same = !p->mixed || !strcmp(one, other);
    snprintf(out->kind, sizeof out->kind, "%s%s%s", one, same ? "" : " … ", same ? "" : other);
    if (phases == PHASES) drop_numbers(out->kind);
    snprintf(out->name, sizeof out->name, "%s%s%s", first, same ? "" : " … ", same ? "" : last);
    out->begin_ns = p->begin;
    out->end_ns = p->end;
    if (p->count == 1) snprintf(all, sizeof all, "%s", first);
    else if (!p->mixed) snprintf(all, sizeof all, "%s ×%ld", first, p->count);
    else snprintf(all, sizeof all, "%s … %s", first, last);
    vs_label_clean(out->label, sizeof out->label, all, VS_LABEL_POINTS);
}

/* Phases too many to be seen give way to iterations. */
static struct lane *shown_lane(const struct lanes *all, sqlite3_int64 process)
{
    struct lane *best = best_lane(all, process);
    for (int i = 0; best && best->phases == PHASES && best->count > VS_SPANS_MAX && i < all->count; i++)
        if (all->item[i]->process == process && all->item[i]->phases == ITERATIONS && !all->item[i]->depth)
            best = all->item[i];
    return best;
}

static int choose(sqlite3 *db, const struct lanes *all, const struct vs_devices *devices, struct vs_spans *out,
                  struct vs_error *e)
{
    static const char *const name_sql[KINDS] = {
        "SELECT text FROM string WHERE id = ?",
        "SELECT name || COALESCE(' ' || iteration, '') FROM phase WHERE id = ?",
        "SELECT CASE WHEN iteration IS NULL THEN name ELSE iteration END FROM phase WHERE id = ?",
    };
    sqlite3_stmt *names[KINDS] = {NULL};
    int err = 0;
    for (int k = 0; !err && k < KINDS; k++) err = vs_devices_prepare(db, name_sql[k], &names[k], e);
    for (int i = 0; !err && i < devices->count; i++) {
        if (i && devices->item[i].process_id == devices->item[i - 1].process_id) {
            out[i] = out[i - 1];
            continue;
        }
        struct lane *l = shown_lane(all, devices->item[i].process_id);
        if (!l) continue;
        out[i].phases = l->phases != RANGES;
        out[i].iterations = l->phases == ITERATIONS;
        out[i].count = merge_lane(l);
        for (int k = 0; k < out[i].count; k++) {
            out[i].merged |= l->wide[k].count > 1;
            describe(&l->wide[k], l->phases, names[l->phases], &out[i].item[k]);
        }
    }
    for (int k = 0; k < KINDS; k++) sqlite3_finalize(names[k]);
    return err;
}

int vs_spans_load(sqlite3 *db, const struct vs_devices *devices, struct vs_spans *out, struct vs_error *e)
{
    struct lanes all = {NULL, 0};
    memset(out, 0, (size_t)devices->count * sizeof *out);
    int err = fill(db,
                   "SELECT process_id, thread_id, depth, domain IS NOT NULL, begin_ns, end_ns, name_id FROM range"
                   " WHERE depth <= 1 AND kind = 'push'",
                   RANGES, devices, &all, e);
    if (!err)
        err = fill(db,
                   "SELECT process_id, 0, 0, 0, begin_ns, end_ns, id FROM phase"
                   " ORDER BY process_id, begin_ns, COALESCE(end_ns, 9223372036854775807) DESC",
                   PHASES, devices, &all, e);
    if (!err)
        err = fill(db,
                   "SELECT process_id, 0, 0, 0, MIN(begin_ns), CASE COUNT(end_ns) WHEN COUNT(*) THEN MAX(end_ns) END, MIN(id)"
                   " FROM phase GROUP BY process_id, COALESCE(iteration, -1) ORDER BY process_id, 5",
                   ITERATIONS, devices, &all, e);
    if (!err) err = choose(db, &all, devices, out, e);
    for (int i = 0; i < all.count; i++) free(all.item[i]);
    free(all.item);
    return err;
}
