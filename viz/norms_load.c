/* SPDX-License-Identifier: MIT
 *
 * norms_load.c: owns which results become lines of a chart. Never shows a number that was not measured.
 */
#include "norms.h"

#include "devices.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FROM    "FROM norm_result WHERE COALESCE(grouping, 'one') = 'one' AND status = 'ok' AND T > 0 AND "
#define BY_LINE " GROUP BY device, dtype, B, d, p, algo, T"
#define ORDERED " ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"

/* A bare column beside MAX(id) is of the row with that id. */
static const char *const queries[] = {
    [VS_NORM_TIME] = "SELECT device, dtype, B, d, p, 0, algo, T, median_ms * 1e6, MAX(id) " FROM "median_ms > 0" BY_LINE
                     " UNION ALL SELECT device, dtype, B, d, p, 1, '', T, floor_ms * 1e6, MAX(id) " FROM
                     "floor_ms > 0 AND median_ms > 0 GROUP BY device, dtype, B, d, p, T" ORDERED,
    [VS_NORM_MEMORY] =
        "SELECT device, dtype, B, d, p, 0, algo, T, temp_bytes, MAX(id) " FROM "temp_bytes >= 0" BY_LINE ORDERED,
};

enum { DEVICE, DTYPE, SAMPLES, INPUTS, OUTPUTS, IS_FLOOR, ALGORITHM, LENGTH, VALUE };

static const char *text_of(sqlite3_stmt *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    return text ? text : "";
}

/* Doubles an array when its count is a power of two. */
static int grow(void *array, int count, size_t size)
{
    void **at = array, *more;
    if (count & (count - 1)) return 0;
    more = realloc(*at, (count ? 2 * (size_t)count : 1) * size);
    if (!more) return -ENOMEM;
    *at = more;
    return 0;
}

/* Rows of one panel follow each other. -1: one panel too many. */
static int panel_of(struct vs_norm_lines *l, sqlite3_stmt *q, char before[4 * VS_LABEL_SIZE])
{
    char key[4 * VS_LABEL_SIZE], text[2 * VS_LABEL_SIZE], dtype[VS_LABEL_SIZE], device[VS_LABEL_SIZE];
    vs_label_clean(dtype, sizeof dtype, text_of(q, DTYPE), 16);
    vs_label_clean(device, sizeof device, text_of(q, DEVICE), 16);
    snprintf(text, sizeof text, "%s · B=%lld d=%lld p=%lld · %s", dtype, (long long)sqlite3_column_int64(q, SAMPLES),
             (long long)sqlite3_column_int64(q, INPUTS), (long long)sqlite3_column_int64(q, OUTPUTS), device);
    snprintf(key, sizeof key, "%s", text);
    if (!l->all_panels || strcmp(key, before)) {
        strcpy(before, key);
        if (l->all_panels++ < VS_NORM_PANELS) strcpy(l->panel[l->panels++], text);
    }
    return l->all_panels <= VS_NORM_PANELS ? l->panels - 1 : -1;
}

/* -1: one algorithm too many. */
static int algorithm_of(struct vs_norm_lines *l, const char *name)
{
    char clean[VS_LABEL_SIZE];
    int i;
    vs_label_clean(clean, sizeof clean, name, 24);
    for (i = 0; i < l->algorithms && strcmp(l->algorithm[i], clean); i++) continue;
    if (i == VS_NORM_ALGORITHMS) return -1;
    if (i == l->algorithms) strcpy(l->algorithm[l->algorithms++], clean);
    return i;
}

static int add(struct vs_norm_lines *l, int panel, int algorithm, double T, double value)
{
    struct vs_norm_line *last = l->lines ? &l->line[l->lines - 1] : NULL;
    if (!last || last->panel != panel || last->algorithm != algorithm) {
        if (grow(&l->line, l->lines, sizeof *l->line)) return -ENOMEM;
        last = &l->line[l->lines++];
        *last = (struct vs_norm_line){panel, algorithm, l->points, 0};
    }
    if (grow(&l->point, l->points, sizeof *l->point)) return -ENOMEM;
    l->point[l->points++] = (struct vs_norm_point){T, value};
    last->count++;
    return 0;
}

static int read_rows(struct vs_norm_lines *l, sqlite3 *db, sqlite3_stmt *q, struct vs_error *e)
{
    char before[4 * VS_LABEL_SIZE] = "";
    int step;
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        int is_floor = sqlite3_column_int(q, IS_FLOOR), panel = panel_of(l, q, before);
        int algorithm = is_floor || panel < 0 ? -1 : algorithm_of(l, text_of(q, ALGORITHM));
        if (panel < 0) continue;
        if (!is_floor && algorithm < 0) {
            l->other_lines++;
            continue;
        }
        l->has_floor |= is_floor;
        if (add(l, panel, algorithm, sqlite3_column_double(q, LENGTH), sqlite3_column_double(q, VALUE)))
            return vs_fail(e, ENOMEM, "out of memory");
    }
    return step == SQLITE_DONE ? 0 : vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
}

static int has_results(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    int found = !sqlite3_prepare_v2(db, "SELECT 1 FROM norm_result LIMIT 1", -1, &q, NULL) && /* older: no such table */
                sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return found;
}

static int read_device(struct vs_norm_lines *l, sqlite3 *db, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int err = vs_devices_prepare(db,
                                 "SELECT v.name FROM norm_result r JOIN device v ON v.process_id = r.process_id"
                                 " WHERE r.device = 'cuda' ORDER BY r.id DESC, v.device LIMIT 1",
                                 &q, e);
    if (!err && sqlite3_step(q) == SQLITE_ROW && *text_of(q, 0))
        vs_label_clean(l->device, sizeof l->device, text_of(q, 0), 40);
    sqlite3_finalize(q);
    return err;
}

int vs_norm_lines_load(sqlite3 *db, enum vs_norm_what what, struct vs_norm_lines *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int err;
    memset(out, 0, sizeof *out);
    if (!has_results(db)) return vs_fail(e, ENOMSG, "nothing to draw: the database holds no results of bench norms");
    err = vs_devices_prepare(db, queries[what], &q, e);
    if (!err) err = read_rows(out, db, q, e);
    sqlite3_finalize(q);
    if (!err) err = read_device(out, db, e);
    if (!err && !out->points)
        err = vs_fail(e, ENODATA,
                      "nothing to draw: of the results of bench norms none is of a single layer, ok, and of known %s",
                      what == VS_NORM_TIME ? "time" : "temporary memory");
    if (err) vs_norm_lines_free(out);
    return err;
}

void vs_norm_lines_free(struct vs_norm_lines *l)
{
    if (!l) return;
    free(l->point);
    free(l->line);
    l->point = NULL;
    l->line = NULL;
}
