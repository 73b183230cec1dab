/* SPDX-License-Identifier: MIT
 *
 * layers.c: owns the stacking of categories over time. Never draws a height that is not a sum of bytes in the database.
 */
#include "layers.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct bucket {
    double begin, end; /* axis ns */
    double bytes[VS_CATEGORY_COUNT];
};

struct buckets {
    struct bucket *item;
    int count;
};

static int place_of(sqlite3_stmt *q, int column)
{
    int at = vs_category_place((const char *)sqlite3_column_text(q, column));
    return at < 0 ? vs_category_place("unknown") : at;
}

static int each(sqlite3 *db, const char *sql, const struct vs_device *d, sqlite3_stmt **q, struct vs_error *e)
{
    int err = vs_devices_prepare(db, sql, q, e);
    if (err) return err;
    sqlite3_bind_int64(*q, 1, d->process_id);
    sqlite3_bind_int(*q, 2, d->device);
    return 0;
}

static int end(sqlite3 *db, sqlite3_stmt *q, int step, int err, struct vs_error *e)
{
    if (!err && step != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    return err;
}

int vs_layers_load(sqlite3 *db, const struct vs_device *d, struct vs_layers *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int step = SQLITE_DONE, unknown = vs_category_place("unknown");
    memset(out, 0, sizeof *out);
    int err = each(db,
                   "SELECT category, MAX(bytes) FROM timeline_category WHERE process_id = ? AND device = ?"
                   " GROUP BY category",
                   d, &q, e);
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW)
        if (sqlite3_column_int64(q, 1) > 0) out->present[place_of(q, 0)] = 1;
    err = end(db, q, step, err, e);
    for (int i = 0; i < VS_CATEGORY_COUNT; i++) out->known |= i != unknown && out->present[i];
    if (err || !out->known) return err;
    q = NULL;
    err = each(db,
               "SELECT MAX(ts_ns + width_ns) - MIN(ts_ns) - COUNT(DISTINCT ts_ns) * MAX(width_ns) FROM timeline_category"
               " WHERE process_id = ? AND device = ?",
               d, &q, e);
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW) out->gaps = sqlite3_column_int64(q, 0) > 0;
    if ((err = end(db, q, step, err, e))) return err;
    q = NULL;
    err = each(db,
               "SELECT category, SUM(bytes) FROM at_peak WHERE process_id = ? AND device = ? AND level = 'sub'"
               " GROUP BY category",
               d, &q, e);
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW)
        out->peak_bytes[place_of(q, 0)] += sqlite3_column_double(q, 1);
    return end(db, q, step, err, e);
}

static int add_bucket(struct buckets *all, double begin, double finish, struct vs_error *e)
{
    int n = all->count;
    if (!(n & (n - 1))) {
        struct bucket *bigger = realloc(all->item, (n ? 2 * (size_t)n : 1) * sizeof *bigger);
        if (!bigger) return vs_fail(e, ENOMEM, "out of memory");
        all->item = bigger;
    }
    all->item[n] = (struct bucket){.begin = begin, .end = finish};
    all->count++;
    return 0;
}

static int read_buckets(sqlite3 *db, const struct vs_device *d, struct buckets *all, struct vs_error *e)
{
    double last = (double)(d->end_ns + d->offset_ns);
    sqlite3_stmt *q = NULL;
    int step = SQLITE_DONE;
    int err = each(db,
                   "SELECT ts_ns, width_ns, category, bytes FROM timeline_category WHERE process_id = ? AND device = ?"
                   " ORDER BY ts_ns",
                   d, &q, e);
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW) {
        double begin = (double)(sqlite3_column_int64(q, 0) + d->offset_ns);
        double finish = begin + sqlite3_column_double(q, 1);
        if (!all->count || begin > all->item[all->count - 1].begin)
            err = add_bucket(all, begin, finish > last && last > begin ? last : finish, e);
        if (!err) all->item[all->count - 1].bytes[place_of(q, 2)] += sqlite3_column_double(q, 3);
    }
    return end(db, q, step, err, e);
}

static double height(const struct bucket *b, int category)
{
    double sum = 0;
    for (int i = 0; i <= category; i++) sum += b->bytes[i];
    return sum;
}

/* Both corners of each stretch of one height. A layer goes down to the axis: what lies below is drawn over it, so that
 * no background shines through between layers. */
static void write_layer(FILE *f, const struct buckets *all, int category, const struct vs_curve_scale *s)
{
    int n = all->count;
    for (int i = 0, next; i < n; i = next) {
        const struct bucket *b = &all->item[i];
        double top = height(b, category), until = b->end;
        for (next = i + 1; next < n; next++) {
            const struct bucket *c = &all->item[next];
            if (c->begin > until || height(c, category) != top || (c->bytes[category] > 0) != (b->bytes[category] > 0))
                break;
            until = c->end;
        }
        if (b->bytes[category] <= 0) continue;
        fprintf(f, "%.9g\t%.8g\n%.9g\t%.8g\n", b->begin / s->ns_per_x, top / s->bytes_per_y, until / s->ns_per_x,
                top / s->bytes_per_y);
        if (next == n || all->item[next].begin > until || all->item[next].bytes[category] <= 0) fputc('\n', f);
    }
    fputc('\n', f);
}

int vs_layers_write(sqlite3 *db, struct vs_page *page, const char *file, const char *color_file,
                    const struct vs_layers *layers, const struct vs_device *device, const struct vs_curve_scale *scale,
                    struct vs_error *e)
{
    struct buckets all = {0};
    int err = layers->known ? read_buckets(db, device, &all, e) : 0;
    FILE *f = err ? NULL : vs_page_begin(page, file);
    for (int i = VS_CATEGORY_COUNT - 1; f && layers->known && i >= 0; i--)
        if (layers->present[i]) write_layer(f, &all, i, scale);
    vs_page_end(page, f);
    f = err ? NULL : vs_page_begin(page, color_file);
    for (int i = VS_CATEGORY_COUNT - 1; f && layers->known && i >= 0; i--)
        if (layers->present[i]) fprintf(f, "%u\n", vs_category_looks[i].rgb);
    vs_page_end(page, f);
    free(all.item);
    return err;
}
