/* SPDX-License-Identifier: MIT
 *
 * comparison_load.c: owns which bytes go into which segment. Never lets the segments of a bar add up to anything but its
 * total, nor two runs have different words for the same.
 */
#include "comparison.h"

#include "category.h"
#include "stack.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int segment(struct vs_comparison *c, const char *name, int category)
{
    int at = 0;
    while (at < c->segments && strcmp(c->name[at], name)) at++;
    if (at < c->segments) return at;
    if (c->segments >= VS_COMPARED_SEGMENTS - 1) {
        at = VS_COMPARED_SEGMENTS - 1;
        name = "others";
        category = -1;
        c->segments = VS_COMPARED_SEGMENTS;
    } else c->segments++;
    snprintf(c->name[at], sizeof c->name[at], "%s", name);
    c->category[at] = category;
    return at;
}

static void add(struct vs_comparison *c, struct vs_compared *bar, const char *name, int category, double bytes)
{
    int at = segment(c, name, category);
    bar->segment_bytes[at] += bytes;
    bar->total_bytes += bytes;
    c->total[at] += bytes;
}

static int prepare(sqlite3 *db, const struct vs_device *d, const char *sql, const char *level, sqlite3_stmt **q,
                   struct vs_error *e)
{
    int err = vs_devices_prepare(db, sql, q, e);
    if (err) return err;
    sqlite3_bind_int64(*q, 1, d->process_id);
    sqlite3_bind_int(*q, 2, d->device);
    sqlite3_bind_text(*q, 3, level, -1, SQLITE_STATIC);
    return 0;
}

/* Something of level sub, and whether its category is known. */
static int look(sqlite3 *db, const struct vs_device *d, int *sub, int *categories, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int err = prepare(db, d,
                      "SELECT COUNT(*), COALESCE(SUM(category <> 'unknown'), 0) FROM at_peak WHERE process_id = ?"
                      " AND device = ? AND level = ?",
                      "sub", &q, e);
    if (!err && sqlite3_step(q) == SQLITE_ROW) {
        *sub = sqlite3_column_int(q, 0) > 0;
        *categories |= sqlite3_column_int(q, 1) > 0;
    }
    sqlite3_finalize(q);
    return err;
}

static int fill(sqlite3 *db, const struct vs_device *d, int sub, struct vs_comparison *c, struct vs_compared *bar,
                struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    char text[VS_LABEL_SIZE];
    int step = SQLITE_DONE;
    int err = prepare(db, d,
                      "SELECT source, category, SUM(bytes) FROM at_peak WHERE process_id = ? AND device = ? AND level = ?"
                      " GROUP BY source, category ORDER BY 3 DESC",
                      sub ? "sub" : "held", &q, e);
    bar->level = sub ? VS_LEVEL_SUB : VS_LEVEL_HELD;
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW) {
        const char *source = (const char *)sqlite3_column_text(q, 0), *category = (const char *)sqlite3_column_text(q, 1);
        const char *name = c->by_source ? vs_source_name(source ? source : "") : category ? category : "not categorised";
        if (sqlite3_column_double(q, 2) <= 0) continue;
        vs_label_clean(text, sizeof text, name, 40);
        add(c, bar, text, c->by_source ? -1 : vs_category_place(category), sqlite3_column_double(q, 2));
    }
    if (!err && step != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    double missing = d->level[bar->level].peak_bytes - bar->total_bytes;
    if (!err && bar->total_bytes > 0 && missing > 0) add(c, bar, "not itemised", -1, missing);
    return err;
}

/* Categories in the order of every chart, then what else there is, the largest first. */
static int before(const struct vs_comparison *c, int a, int b)
{
    int x = c->category[a], y = c->category[b];
    if (x >= 0 || y >= 0) return x >= 0 && (y < 0 || x < y);
    return c->total[a] > c->total[b];
}

static void exchange(struct vs_comparison *c, int a, int b)
{
    char name[VS_LABEL_SIZE];
    double total = c->total[a];
    int category = c->category[a];
    memcpy(name, c->name[a], sizeof name);
    memcpy(c->name[a], c->name[b], sizeof name);
    memcpy(c->name[b], name, sizeof name);
    c->total[a] = c->total[b], c->total[b] = total;
    c->category[a] = c->category[b], c->category[b] = category;
    for (int i = 0; i < c->bars; i++) {
        double *bytes = c->bar[i].segment_bytes, kept = bytes[a];
        bytes[a] = bytes[b], bytes[b] = kept;
    }
}

static void put_in_order(struct vs_comparison *c)
{
    int n = c->segments < VS_COMPARED_SEGMENTS ? c->segments : VS_COMPARED_SEGMENTS - 1; /* "others" stays last */
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && before(c, j, j - 1); j--) exchange(c, j, j - 1);
}

struct source {
    sqlite3 *db;
    const struct vs_device *device;
    int sub;
};

static int fill_all(struct source *from, int count, struct vs_comparison *c, struct vs_error *e)
{
    int categories = 0, err = 0;
    for (int i = 0; i < count && !err; i++) err = look(from[i].db, from[i].device, &from[i].sub, &categories, e);
    c->by_source = !categories;
    for (int i = 0; i < count && !err; i++) {
        struct vs_compared *bar = &c->bar[c->bars];
        err = fill(from[i].db, from[i].device, from[i].sub, c, bar, e);
        if (bar->total_bytes <= 0) {
            c->left_out++;
            continue;
        }
        memmove(bar->label, c->bar[i].label, sizeof bar->label);
        memmove(bar->note, c->bar[i].note, sizeof bar->note);
        memmove(bar->command, c->bar[i].command, sizeof bar->command);
        c->bars++;
    }
    put_in_order(c);
    return err;
}

static struct vs_comparison *begin(struct vs_comparison **out)
{
    return *out = calloc(1, sizeof **out);
}

int vs_comparison_of_ranks(sqlite3 *db, struct vs_comparison **out, struct vs_error *e)
{
    struct source from[VS_COMPARED_MAX] = {{0}};
    struct vs_devices devices;
    struct vs_comparison *c = begin(out);
    if (!c) return vs_fail(e, ENOMEM, "out of memory");
    int err = vs_devices_load(db, VS_COMPARED_MAX, &devices, e);
    for (int i = 0; !err && i < devices.count; i++) {
        from[i] = (struct source){.db = db, .device = &devices.item[i]};
        memcpy(c->bar[i].label, devices.item[i].label, sizeof c->bar[i].label);
    }
    if (!err) c->left_out = devices.total - devices.count;
    if (!err) snprintf(c->bar[0].command, sizeof c->bar[0].command, "%s", devices.command);
    if (!err) err = fill_all(from, devices.count, c, e);
    vs_devices_free(&devices);
    return err;
}

/* A GPU if there is one. */
static const struct vs_device *highest(const struct vs_devices *d)
{
    const struct vs_device *best = NULL;
    for (int i = 0; i < d->count; i++) {
        const struct vs_device *x = &d->item[i];
        int gpu = best ? (x->device >= 0) - (best->device >= 0) : 1;
        const struct vs_device_level *l = &x->level[x->level[VS_LEVEL_SUB].present ? VS_LEVEL_SUB : VS_LEVEL_HELD];
        const struct vs_device_level *b =
            best ? &best->level[best->level[VS_LEVEL_SUB].present ? VS_LEVEL_SUB : VS_LEVEL_HELD] : NULL;
        if (gpu > 0 || (!gpu && l->peak_bytes > b->peak_bytes)) best = x;
    }
    return best;
}

int vs_comparison_of_runs(sqlite3 *const *dbs, const char *const *names, int count, struct vs_comparison **out,
                          struct vs_error *e)
{
    struct source from[VS_COMPARED_MAX] = {{0}};
    struct vs_devices devices[VS_COMPARED_MAX] = {{0}};
    struct vs_comparison *c = begin(out);
    int n = 0, err = c ? 0 : vs_fail(e, ENOMEM, "out of memory");
    for (int i = 0; !err && i < count && i < VS_COMPARED_MAX; i++) {
        if ((err = vs_devices_load(dbs[i], VS_COMPARED_MAX, &devices[i], e))) break;
        from[n] = (struct source){.db = dbs[i], .device = highest(&devices[i])};
        if (!from[n].device) {
            c->left_out++;
            continue;
        }
        vs_label_clean(c->bar[n].label, sizeof c->bar[n].label, names[i], VS_LABEL_POINTS);
        snprintf(c->bar[n].command, sizeof c->bar[n].command, "%s", devices[i].command);
        if (devices[i].total > 1)
            snprintf(c->bar[n].note, sizeof c->bar[n].note, "%s", from[n].device->label);
        n++;
    }
    if (!err) err = fill_all(from, n, c, e);
    for (int i = 0; i < VS_COMPARED_MAX; i++) vs_devices_free(&devices[i]);
    return err;
}

void vs_comparison_free(struct vs_comparison *c)
{
    free(c);
}
