/* SPDX-License-Identifier: MIT
 *
 * bench_norms_rows.c: reads results back from the database, for the tables and for programs. Must never round what a
 * program reads.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../db/norm_results.h"
#include "../exporters/exporter.h"
#include "../exporters/visible.h"
#include "bench_norms.h"

static int prepare(sqlite3 *db, const char *sql, int64_t first_id, sqlite3_stmt **q, struct vs_error *e)
{
    if (sqlite3_prepare_v2(db, sql, -1, q, NULL))
        return vs_fail(e, EIO, "cannot read the results: %s", sqlite3_errmsg(db));
    sqlite3_bind_int64(*q, 1, first_id);
    return 0;
}

static void text(sqlite3_stmt *q, int *column, char *out, size_t bytes)
{
    const char *value = (const char *)sqlite3_column_text(q, *column);
    vs_visible(value ? value : "", (size_t)sqlite3_column_bytes(q, *column), (unsigned)(bytes / 4), out, bytes);
    ++*column;
}

static double number(sqlite3_stmt *q, int *column)
{
    int c = (*column)++;
    return sqlite3_column_type(q, c) == SQLITE_NULL ? NAN : sqlite3_column_double(q, c);
}

/* In the order of the columns of load_sql. */
static void read_row(sqlite3_stmt *q, struct vs_norm_row *r)
{
    char *const names[] = {r->algo, r->device, r->dtype, r->grouping, r->choice, r->preset};
    int64_t *const sizes[] = {&r->layers, &r->B, &r->T, &r->d, &r->p, &r->recomputed};
    double *const numbers[] = {&r->median_ms, &r->call_ms, &r->floor_ms, &r->tflops,    &r->floor_fraction,
                               &r->rel_err,   &r->bound,   &r->kappa,    &r->temp_bytes};
    const char *status;
    int c = 0;
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) text(q, &c, names[i], VS_NORM_NAME);
    text(q, &c, r->reason, sizeof r->reason);
    text(q, &c, r->gpu, sizeof r->gpu);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) *sizes[i] = sqlite3_column_int64(q, c++);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) *numbers[i] = number(q, &c);
    status = (const char *)sqlite3_column_text(q, c);
    if (!status) status = ""; /* out of memory: told by the next step */
    r->skipped = !strcmp(status, "skipped");
    r->unchecked = !strcmp(status, "unchecked");
    /* what a poison made infinite has the error of the other samples */
    r->beyond = r->rel_err > r->bound || (!strcmp(status, "nonfinite") && isnan(r->rel_err));
}

int vs_norm_rows_load(sqlite3 *db, int64_t first_id, struct vs_norm_rows *out, struct vs_error *e)
{
    static const char sql[] =
        "SELECT algo, device, dtype, grouping, choice, preset, reason,"
        " (SELECT name FROM device v WHERE v.process_id = r.process_id AND r.device = 'cuda' ORDER BY v.device LIMIT "
        "1),"
        " layers, B, T, d, p, recomputed, median_ms, call_ms, floor_ms, tflops, floor_fraction, rel_err, bound, kappa,"
        " temp_bytes, status"
        " FROM norm_result r WHERE id >= ?1 ORDER BY id";
    sqlite3_stmt *q = NULL;
    int step = SQLITE_DONE, err = prepare(db, sql, first_id, &q, e);
    *out = (struct vs_norm_rows){0};
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW) {
        if (!(out->count & (out->count - 1))) {
            struct vs_norm_row *more = realloc(out->item, (out->count ? 2 * (size_t)out->count : 1) * sizeof *more);
            if (!more) err = vs_fail(e, ENOMEM, "out of memory");
            else out->item = more;
        }
        if (!err) read_row(q, &out->item[out->count++]);
    }
    if (!err && step != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read the results: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    if (err) vs_norm_rows_free(out);
    return err;
}

void vs_norm_rows_free(struct vs_norm_rows *rows)
{
    if (!rows) return;
    free(rows->item);
    *rows = (struct vs_norm_rows){0};
}

int vs_norm_rows_export(sqlite3 *db, int64_t first_id, const char *format, FILE *out, struct vs_error *e)
{
    static const char csv[] =
        "SELECT algo, device, dtype, B, T, d, p, median_ms, temp_bytes, tflops, floor_fraction, rel_err"
        " FROM norm_result WHERE id >= ?1 ORDER BY id";
    static const char all[] = "SELECT "
#define X(name, type, column) "r." #column " AS " #column ", "
        VS_NORM_COLUMNS(X)
#undef X
            "(SELECT name FROM device v WHERE v.process_id = r.process_id AND r.device = 'cuda' ORDER BY v.device "
            "LIMIT 1)"
            " AS device_name, p.host AS host,"
            " (SELECT value FROM meta WHERE key = 'vramscope_version') AS version"
            " FROM norm_result r LEFT JOIN process p ON p.id = r.process_id WHERE r.id >= ?1 ORDER BY r.id";
    sqlite3_stmt *q = NULL;
    int err = prepare(db, strcmp(format, "csv") ? all : csv, first_id, &q, e);
    if (!err) err = vs_export_rows(vs_exporter_find(format), db, q, out, e);
    sqlite3_finalize(q);
    return err;
}
