/* SPDX-License-Identifier: MIT
 *
 * outcome_recording.c: a recording without experiments as outcomes: the peak of every rank and what it was made of. Must
 * never add devices or levels up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../db/query.h"
#include "outcome_parts.h"

/* Level sub where a device has it, else held. Host memory counts where nothing is on a GPU. */
static const char devices_sql[] =
    "WITH best AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY process_id, device ORDER BY series = 'held') AS n"
    "  FROM peak_data WHERE series IN ('sub', 'held') AND peak_bytes > 0),"
    " shown AS (SELECT * FROM best WHERE n = 1 AND (device >= 0 OR NOT EXISTS (SELECT 1 FROM best WHERE device >= 0)))"
    " SELECT b.process_id, b.device, b.series, b.peak_bytes, p.rank, p.command_line, p.world_size, v.name,"
    "  (SELECT COUNT(*) FROM shown x WHERE x.process_id = b.process_id),"
    "  DENSE_RANK() OVER (ORDER BY p.start_ns, p.id), (SELECT COUNT(DISTINCT process_id) FROM shown),"
    "  COALESCE((SELECT 'died: ' || m.kind FROM post_mortem m WHERE m.process_id = p.id LIMIT 1),"
    "   CASE WHEN p.exit_status > 0 THEN 'ended with status ' || p.exit_status END)"
    " FROM shown b JOIN process p ON p.id = b.process_id"
    " LEFT JOIN device v ON v.process_id = b.process_id AND v.device = b.device ORDER BY p.rank, p.start_ns, p.id, b.device";
enum { PROCESS, DEVICE, LEVEL, PEAK, RANK, COMMAND, WORLD, MODEL, DEVICES, NTH, PROCESSES, DEATH };

static const char outcome_sql[] =
    "INSERT INTO outcome(side, origin, name, status, reason, peak_bytes, peak_mb, avg_ms, median_ms, vanilla, process_id)"
    " VALUES (?1, ?2, ?3, CASE WHEN ?4 IS NULL THEN 'ok' ELSE 'failed' END, ?4, ?5, ?5 / 1048576.0, ?6, ?7, 0, ?8)";

static const char time_sql[] =
    "WITH it AS (SELECT MAX(COALESCE(f.end_ns, p.end_ns)) - MIN(f.begin_ns) AS ns FROM phase f"
    "  JOIN process p ON p.id = f.process_id WHERE f.process_id = ?1 AND f.iteration IS NOT NULL GROUP BY f.iteration)"
    " SELECT (SELECT AVG(ns) FROM it) / 1e6,"
    "  (SELECT AVG(ns) FROM (SELECT ns FROM it ORDER BY ns LIMIT 2 - (SELECT COUNT(*) % 2 FROM it)"
    "  OFFSET (SELECT (COUNT(*) - 1) / 2 FROM it))) / 1e6";

/* Only what is in PyTorch's blocks and named regions has a category; what was taken from the driver has a source. */
static const char category_sql[] =
    "SELECT 'category', CASE level WHEN 'sub' THEN COALESCE(category, 'unknown') ELSE source END, SUM(bytes) FROM at_peak"
    " WHERE process_id = ?1 AND device = ?2 AND level = ?3 GROUP BY 2";
static const char component_sql[] =
    "SELECT 'component', COALESCE(category, source) || COALESCE(' in ' || range_name, ' outside any range'), SUM(bytes)"
    " FROM at_peak WHERE process_id = ?1 AND device = ?2 AND level = ?3 GROUP BY 2";

struct copy {
    sqlite3 *to, *from;
    const struct vs_outcome_source *source;
    sqlite3_stmt *row;
    sqlite3_int64 outcome;
};

/* "runs/a.db" is "a": the name of the only process there is. */
static void name_it(const struct copy *c, char *out, size_t size)
{
    const char *slash = strrchr(c->source->origin, '/'), *base = slash ? slash + 1 : c->source->origin;
    size_t n = strlen(base);
    int used;
    if (n > 3 && !strcmp(base + n - 3, ".db")) n -= 3;
    if (sqlite3_column_type(c->row, RANK) != SQLITE_NULL)
        used = snprintf(out, size, "rank %lld", sqlite3_column_int64(c->row, RANK));
    else if (sqlite3_column_int(c->row, PROCESSES) > 1)
        used = snprintf(out, size, "process %d", sqlite3_column_int(c->row, NTH));
    else used = snprintf(out, size, "%.*s", (int)n, base);
    if (sqlite3_column_int(c->row, DEVICES) > 1 && used > 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, " GPU %d", sqlite3_column_int(c->row, DEVICE));
}

static int add_outcome(struct copy *c, struct vs_error *e)
{
    sqlite3_stmt *q, *time;
    char name[300];
    int err = vs_outcome_prepare(c->from, time_sql, &time, e);
    if (!err) err = vs_outcome_prepare(c->to, outcome_sql, &q, e);
    if (err) goto out;
    name_it(c, name, sizeof name);
    sqlite3_bind_int64(time, 1, sqlite3_column_int64(c->row, PROCESS));
    sqlite3_bind_text(q, 1, c->source->side, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, c->source->origin, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, name, -1, SQLITE_STATIC);
    sqlite3_bind_value(q, 4, sqlite3_column_value(c->row, DEATH));
    sqlite3_bind_int64(q, 5, sqlite3_column_int64(c->row, PEAK));
    if (sqlite3_step(time) == SQLITE_ROW) {
        sqlite3_bind_value(q, 6, sqlite3_column_value(time, 0));
        sqlite3_bind_value(q, 7, sqlite3_column_value(time, 1));
    }
    sqlite3_bind_int64(q, 8, sqlite3_column_int64(c->row, PROCESS));
    err = vs_outcome_run(c->to, q, e);
    c->outcome = sqlite3_last_insert_rowid(c->to);
out:
    sqlite3_finalize(time);
    return err;
}

static int add_setting(struct copy *c, const char *key, int column, int must, struct vs_error *e)
{
    sqlite3_stmt *q;
    int err;
    if (sqlite3_column_type(c->row, column) == SQLITE_NULL) return 0;
    if ((err = vs_outcome_prepare(c->to, "INSERT INTO setting VALUES (?1, ?2, ?3, ?4)", &q, e))) return err;
    sqlite3_bind_int64(q, 1, c->outcome);
    sqlite3_bind_text(q, 2, key, -1, SQLITE_STATIC);
    sqlite3_bind_value(q, 3, sqlite3_column_value(c->row, column));
    sqlite3_bind_int(q, 4, must);
    return vs_outcome_run(c->to, q, e);
}

static int add_amounts(struct copy *c, const char *sql, struct vs_error *e)
{
    sqlite3_stmt *from, *to = NULL;
    int rc = SQLITE_DONE, err = vs_outcome_prepare(c->from, sql, &from, e);
    if (err) return err;
    for (int i = 0; i < 3; i++) sqlite3_bind_value(from, i + 1, sqlite3_column_value(c->row, PROCESS + i));
    while (!err && (rc = sqlite3_step(from)) == SQLITE_ROW) {
        if ((err = vs_outcome_prepare(c->to, "INSERT INTO amount VALUES (?1, ?2, COALESCE(?3, '?'), ?4)", &to, e)))
            break;
        sqlite3_bind_int64(to, 1, c->outcome);
        for (int i = 0; i < 3; i++) sqlite3_bind_value(to, i + 2, sqlite3_column_value(from, i));
        err = vs_outcome_run(c->to, to, e);
    }
    if (!err && rc != SQLITE_DONE)
        err = vs_fail(e, EIO, "cannot read %s: %s", c->source->origin, sqlite3_errmsg(c->from));
    sqlite3_finalize(from);
    return err;
}

int vs_outcome_add_recording(sqlite3 *db, const struct vs_outcome_source *from, struct vs_db *recording,
                             struct vs_error *e)
{
    struct copy c = {.to = db, .from = vs_db_handle(recording), .source = from};
    int found = 0, rc = SQLITE_DONE, err = vs_outcome_prepare(c.from, devices_sql, &c.row, e);
    while (!err && (rc = sqlite3_step(c.row)) == SQLITE_ROW) {
        found = 1;
        err = add_outcome(&c, e);
        if (!err) err = add_setting(&c, "level", LEVEL, 1, e);
        if (!err) err = add_setting(&c, "world_size", WORLD, 1, e);
        if (!err) err = add_setting(&c, "command_line", COMMAND, 0, e);
        if (!err) err = add_setting(&c, "device_name", MODEL, 0, e);
        if (!err) err = add_amounts(&c, category_sql, e);
        if (!err) err = add_amounts(&c, component_sql, e);
    }
    if (!err && rc != SQLITE_DONE) err = vs_fail(e, EIO, "cannot read %s: %s", from->origin, sqlite3_errmsg(c.from));
    sqlite3_finalize(c.row);
    return err || found
               ? err
               : vs_fail(e, ENOENT, "%s holds neither an experiment nor a process that allocated memory", from->origin);
}
