/* SPDX-License-Identifier: MIT
 *
 * curve.c: owns the thinning of a series to the pixels of a chart. Never loses an extreme: merged buckets keep the
 * lowest minimum and the highest maximum.
 */
#include "curve.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

struct point {
    double ns, min, max, last;
};

struct bucket {
    double begin, end, min, max, last; /* axis ns, bytes */
};

struct line {
    struct point *point;
    int count, failed;
};

static void put(struct line *l, double ns, double min, double max, double last)
{
    if (!(l->count & (l->count - 1))) {
        struct point *bigger = realloc(l->point, (l->count ? 2 * (size_t)l->count : 1) * sizeof *bigger);
        if (!bigger) l->failed = 1;
        else l->point = bigger;
    }
    if (!l->failed) l->point[l->count++] = (struct point){ns, min, max, last};
}

static void put_level(struct line *l, double ns, const struct bucket *b)
{
    put(l, ns, b->last, b->last, b->last);
}

/* Both corners of each bucket, because gnuplot joins points by slanted lines; between buckets the value stays. */
static void put_bucket(struct line *l, const struct bucket *b, struct bucket *before)
{
    if (before->min == before->max && before->max == b->min && b->min == b->max && b->last == before->last) {
        before->end = b->end; /* a long level stretch needs no points of its own */
        return;
    }
    put_level(l, before->end, before);
    if (before->end < b->begin) put_level(l, b->begin, before);
    put(l, b->begin, b->min, b->max, b->last);
    if (b->min < b->max) put(l, b->end, b->min, b->max, b->last); /* a flat one goes on to the next put anyway */
    *before = *b;
}

/* A level point between two buckets that touch: it moves the line, and the outline only there and back. */
static int inside(const struct line *l, int i)
{
    const struct point *p = &l->point[i];
    return i > 0 && i < l->count - 1 && p->min == p->max && p[-1].ns == p->ns && p[1].ns == p->ns;
}

/* The area between lowest and highest is written as one outline: drawn as a polygon for each pair of points it shows
 * seams, and an svg of many megabytes. */
static void write_line(FILE *f, const struct line *l, const struct vs_curve_scale *s)
{
    for (int i = 0; i < l->count; i++)
        fprintf(f, "%.9g\t%.8g\t%.8g\n", l->point[i].ns / s->ns_per_x, l->point[i].last / s->bytes_per_y,
                l->point[i].max / s->bytes_per_y);
    fputs("\n\n", f);
    for (int i = 0; i < l->count; i++)
        if (!inside(l, i)) fprintf(f, "%.9g\t%.8g\n", l->point[i].ns / s->ns_per_x, l->point[i].max / s->bytes_per_y);
    for (int i = l->count - 1; i >= 0; i--)
        if (!inside(l, i)) fprintf(f, "%.9g\t%.8g\n", l->point[i].ns / s->ns_per_x, l->point[i].min / s->bytes_per_y);
}

static int read_line(sqlite3_stmt *q, const struct vs_device *device, enum vs_level level, double merge_ns,
                     struct line *l)
{
    double end = (double)(device->end_ns + device->offset_ns);
    /* What the process holds is 0 when its recording begins; what others use of the device is not known then. */
    struct bucket now = {0}, before = {.min = -1}; /* unlike any bucket: the first point is written */
    int rows = 0, step;
    before.end = (double)(device->start_ns + device->offset_ns);
    for (; (step = sqlite3_step(q)) == SQLITE_ROW; rows++) {
        struct bucket b = {.begin = (double)(sqlite3_column_int64(q, 0) + device->offset_ns),
                           .min = sqlite3_column_double(q, 2),
                           .max = sqlite3_column_double(q, 3),
                           .last = sqlite3_column_double(q, 4)};
        b.end = b.begin + sqlite3_column_double(q, 1);
        if (b.end > end) b.end = end > b.begin ? end : b.begin;
        if (!rows && level == VS_LEVEL_USED) before.end = b.begin, before.last = b.last;
        if (rows && b.begin < now.begin + merge_ns) {
            now.min = b.min < now.min ? b.min : now.min;
            now.max = b.max > now.max ? b.max : now.max;
            now.last = b.last;
            now.end = b.end;
        } else {
            if (rows) put_bucket(l, &now, &before);
            now = b;
        }
    }
    if (rows) put_bucket(l, &now, &before);
    if (rows) put_level(l, before.end, &before);
    if (rows && before.end < end) put_level(l, end, &before);
    if (!rows) put(l, 0, 0, 0, 0); /* invisible; a file without points stops gnuplot's plot command */
    return step;
}

int vs_curve_write(sqlite3 *db, struct vs_page *page, const char *file, const struct vs_device *device,
                   enum vs_level level, const struct vs_curve_scale *scale, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    struct line line = {0};
    int err = vs_devices_prepare(db,
                                 "SELECT ts_ns, width_ns, min_bytes, max_bytes, last_bytes FROM timeline"
                                 " WHERE process_id = ? AND device = ? AND series = ? ORDER BY ts_ns",
                                 &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, device->process_id);
    sqlite3_bind_int(q, 2, device->device);
    sqlite3_bind_text(q, 3, vs_level_names[level], -1, SQLITE_STATIC);
    if (read_line(q, device, level, scale->merge_ns, &line) != SQLITE_DONE)
        err = vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
    else if (line.failed) err = vs_fail(e, ENOMEM, "out of memory");
    FILE *f = err ? NULL : vs_page_begin(page, file);
    if (f) write_line(f, &line, scale);
    vs_page_end(page, f);
    sqlite3_finalize(q);
    free(line.point);
    return err;
}
