/* SPDX-License-Identifier: MIT
 *
 * devices.c: owns the choice of what is shown. Never reads the large tables: peak_data says who has memory at all.
 */
#include "devices.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vs_level_names[VS_LEVEL_COUNT] = {"sub", "held", "driver_used"};

/* Ordered so that all rows of one process, and in it all of one device, follow each other. */
static const char *const list_sql =
    "SELECT d.process_id, d.device, d.series, d.peak_bytes, d.peak_ts_ns, s.text,"
    "       p.rank, p.pid, p.host, p.start_ns, p.start_real_ns, p.end_ns, v.name, v.total_bytes,"
    "       (SELECT COUNT(DISTINCT host) FROM process),"
    "       (SELECT MAX(g.device) FROM peak_data g WHERE g.process_id = d.process_id AND g.series IN ('sub','held')),"
    "       (SELECT t.ts_ns + t.width_ns FROM timeline t WHERE t.process_id = d.process_id AND t.device = d.device"
    "         AND t.series = d.series ORDER BY t.ts_ns DESC LIMIT 1),"
    "       (SELECT MIN(t.ts_ns) FROM timeline t"
    "         WHERE t.process_id = d.process_id AND t.device = d.device AND t.series = d.series)"
    "  FROM peak_data d LEFT JOIN process p ON p.id = d.process_id"
    "  LEFT JOIN device v ON v.process_id = d.process_id AND v.device = d.device"
    "  LEFT JOIN range r ON r.id = d.range_id LEFT JOIN string s ON s.id = r.name_id"
    " WHERE d.series IN ('sub','held','driver_used')"
    " ORDER BY p.rank, d.process_id, d.device, d.series";

enum {
    PROCESS,
    DEVICE,
    SERIES,
    PEAK,
    PEAK_TS,
    RANGE,
    RANK,
    PID,
    HOST,
    START,
    REAL,
    END,
    MODEL,
    TOTAL,
    HOSTS,
    LAST_DEVICE,
    LAST_TS,
    FIRST_TS
};

int vs_devices_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct vs_error *e)
{
    if (sqlite3_prepare_v2(db, sql, -1, out, NULL) == SQLITE_OK) return 0;
    return vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
}

static const char *text_of(sqlite3_stmt *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    return text ? text : "";
}

static void name_device(struct vs_device *d, sqlite3_stmt *q)
{
    char who[48], where[64], host[VS_LABEL_SIZE], all[512];
    if (sqlite3_column_type(q, RANK) != SQLITE_NULL) snprintf(who, sizeof who, "rank %d", sqlite3_column_int(q, RANK));
    else if (sqlite3_column_type(q, PID) != SQLITE_NULL)
        snprintf(who, sizeof who, "process %lld", (long long)sqlite3_column_int64(q, PID));
    else snprintf(who, sizeof who, "process no. %lld", (long long)d->process_id);
    if (d->device >= 0) snprintf(where, sizeof where, "GPU %d", d->device);
    else snprintf(where, sizeof where, "host memory");
    vs_label_clean(host, sizeof host, text_of(q, HOST), 24);
    if (sqlite3_column_int(q, HOSTS) > 1) snprintf(all, sizeof all, "%s · %s · %s", who, where, host);
    else snprintf(all, sizeof all, "%s · %s", who, where);
    vs_label_clean(d->label, sizeof d->label, all, VS_LABEL_POINTS);
}

static void start_device(struct vs_device *d, sqlite3_stmt *q)
{
    memset(d, 0, sizeof *d);
    d->process_id = sqlite3_column_int64(q, PROCESS);
    d->device = sqlite3_column_int(q, DEVICE);
    name_device(d, q);
    if (*text_of(q, MODEL)) vs_label_clean(d->model, sizeof d->model, text_of(q, MODEL), 40);
    d->total_bytes = sqlite3_column_double(q, TOTAL);
    d->start_ns = sqlite3_column_type(q, START) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(q, START);
    d->end_ns = sqlite3_column_type(q, END) == SQLITE_NULL ? INT64_MIN : sqlite3_column_int64(q, END);
    d->offset_ns = sqlite3_column_int64(q, REAL); /* for align() */
}

static void add_level(struct vs_device *d, sqlite3_stmt *q)
{
    int level = 0;
    while (level < VS_LEVEL_COUNT - 1 && strcmp(text_of(q, SERIES), vs_level_names[level])) level++;
    struct vs_device_level *l = &d->level[level];
    l->present = 1;
    l->peak_bytes = sqlite3_column_double(q, PEAK);
    l->peak_ts_ns = sqlite3_column_int64(q, PEAK_TS);
    if (*text_of(q, RANGE)) vs_label_clean(l->range, sizeof l->range, text_of(q, RANGE), VS_LABEL_POINTS);
    if (level != VS_LEVEL_USED && l->peak_bytes > d->peak_bytes) d->peak_bytes = l->peak_bytes;
    /* A process that is still running has no end: then the last bucket is. Times before the start are not expected,
     * but must not fall off the chart. */
    if (sqlite3_column_type(q, LAST_TS) != SQLITE_NULL && sqlite3_column_type(q, END) == SQLITE_NULL &&
        sqlite3_column_int64(q, LAST_TS) > d->end_ns)
        d->end_ns = sqlite3_column_int64(q, LAST_TS);
    if (sqlite3_column_type(q, FIRST_TS) != SQLITE_NULL && sqlite3_column_int64(q, FIRST_TS) < d->start_ns)
        d->start_ns = sqlite3_column_int64(q, FIRST_TS);
    if (l->peak_ts_ns > d->end_ns) d->end_ns = l->peak_ts_ns;
}

static int read_all(sqlite3 *db, struct vs_devices *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int err = vs_devices_prepare(db, list_sql, &q, e), step = SQLITE_DONE;
    while (!err && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct vs_device *last = out->count ? &out->item[out->count - 1] : NULL;
        if (sqlite3_column_int(q, DEVICE) < 0 && sqlite3_column_int(q, LAST_DEVICE) >= 0) continue;
        if (!last || last->process_id != sqlite3_column_int64(q, PROCESS) ||
            last->device != sqlite3_column_int(q, DEVICE)) {
            if (!(out->count & (out->count - 1))) {
                size_t room = out->count ? 2 * (size_t)out->count : 1;
                last = realloc(out->item, room * sizeof *last);
                if (!last) err = vs_fail(e, ENOMEM, "out of memory");
                else out->item = last;
            }
            if (!err) start_device(&out->item[out->count++], q);
        }
        if (!err) add_level(&out->item[out->count - 1], q);
    }
    if (!err && step != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    return err;
}

/* A device somebody else uses is sampled by every process; only when nothing else is known is that worth a panel. */
static void drop_watched_only(struct vs_devices *out)
{
    int own = 0, kept = 0;
    for (int i = 0; i < out->count; i++)
        own += out->item[i].level[VS_LEVEL_SUB].present || out->item[i].level[VS_LEVEL_HELD].present;
    for (int i = 0; own && i < out->count; i++)
        if (out->item[i].level[VS_LEVEL_SUB].present || out->item[i].level[VS_LEVEL_HELD].present)
            out->item[kept++] = out->item[i];
    if (own) out->count = kept;
}

static double weight(const struct vs_device *d)
{
    return d->peak_bytes > 0 ? d->peak_bytes : d->level[VS_LEVEL_USED].peak_bytes;
}

static void keep_largest(struct vs_devices *out, int limit)
{
    out->total = out->count;
    while (out->count > limit) {
        int least = 0;
        for (int i = 1; i < out->count; i++)
            if (weight(&out->item[i]) <= weight(&out->item[least])) least = i;
        out->count--;
        memmove(&out->item[least], &out->item[least + 1], (size_t)(out->count - least) * sizeof *out->item);
    }
}

/* Puts all processes on one axis that begins with the first recording. Runs appended to one database hours apart would
 * be invisible slivers on it: then each begins at 0. */
static void align(struct vs_devices *out)
{
    int64_t first = INT64_MAX, longest = 1, last = 0;
    out->aligned = 1;
    for (int i = 0; i < out->count; i++) {
        struct vs_device *d = &out->item[i];
        if (d->start_ns == INT64_MAX) d->start_ns = d->end_ns;
        if (d->end_ns <= d->start_ns) d->end_ns = d->start_ns + 1;
        if (d->end_ns - d->start_ns > longest) longest = d->end_ns - d->start_ns;
        if (d->offset_ns < first) first = d->offset_ns;
        if (d->offset_ns <= 0) out->aligned = 0;
    }
    for (int i = 0; i < out->count; i++) {
        int64_t end = out->item[i].offset_ns - first + out->item[i].end_ns - out->item[i].start_ns;
        if (end > last) last = end;
    }
    if (last > 2 * longest) out->aligned = 0;
    for (int i = 0; i < out->count; i++) {
        struct vs_device *d = &out->item[i];
        d->offset_ns = (out->aligned ? d->offset_ns - first : 0) - d->start_ns;
    }
}

static void measure(struct vs_devices *out)
{
    for (int i = 0; i < out->count; i++) {
        int64_t end = out->item[i].end_ns + out->item[i].offset_ns;
        if (end > out->span_ns) out->span_ns = end;
        out->gpus += out->item[i].device >= 0;
    }
}

int vs_devices_load(sqlite3 *db, int limit, struct vs_devices *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    memset(out, 0, sizeof *out);
    int err = read_all(db, out, e);
    if (err) return err;
    drop_watched_only(out);
    align(out); /* also against those not shown: both charts tell the same times */
    keep_largest(out, limit);
    measure(out);
    err = vs_devices_prepare(db,
                             "SELECT command_line, (SELECT COUNT(*) FROM process) FROM process"
                             " ORDER BY rank, id LIMIT 1",
                             &q, e);
    if (!err && sqlite3_step(q) == SQLITE_ROW) {
        if (*text_of(q, 0)) vs_label_clean(out->command, sizeof out->command, text_of(q, 0), 100);
        out->processes = sqlite3_column_int(q, 1);
    }
    sqlite3_finalize(q);
    return err;
}

void vs_devices_free(struct vs_devices *d)
{
    if (d) free(d->item);
}
