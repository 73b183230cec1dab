/* SPDX-License-Identifier: MIT
 *
 * export_tables.c: see export_tables.h. Vanilla comes first, then what ran, in the order it ran.
 */
#include "export_tables.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "../exporters/exporter.h"
#include "outcome_parts.h"

/* `work` is what two experiments must share for one to be the other's overhead: all but how privacy and time are had. */
static const char views_sql[] =
    "CREATE TEMP TABLE listed AS SELECT *, (SELECT group_concat(key || '=' || value, char(10)) FROM (SELECT key, value FROM"
    "  setting WHERE outcome = o.id AND (must OR key IN ('device_name', 'trace')) AND key NOT IN ('mode', 'seed', 'learning_rate', 'weight_decay',"
    "  'max_grad_norm', 'noise_multiplier', 'memory_budget_mb', 'num_iter', 'warmup_iter') ORDER BY key)) AS work,"
    " ROW_NUMBER() OVER (ORDER BY seq_len, NOT vanilla, process_id IS NULL, process_id, id) AS place,"
    " (SELECT COUNT(DISTINCT COALESCE(seq_len, -1)) > 1 FROM outcome) AS lengths FROM outcome o;"
    "CREATE TEMP TABLE based AS SELECT *,"
    "  CASE WHEN lengths AND seq_len IS NOT NULL THEN name || ', T=' || seq_len ELSE name END AS label,"
    "  (SELECT v.id FROM listed v WHERE v.vanilla AND v.status = 'ok' AND v.work IS l.work ORDER BY v.place LIMIT 1) AS base"
    "  FROM listed l;"
    "CREATE TEMP VIEW entry AS SELECT x.*, x.peak_bytes * 1.0 / NULLIF(v.peak_bytes, 0)"
    "  AS peak_ratio, x.avg_ms / NULLIF(v.avg_ms, 0) AS time_ratio FROM based x LEFT JOIN outcome v ON v.id = x.base;"
    "CREATE TEMP TABLE part AS WITH known(place, kind, name, title) AS (VALUES"
    "  (1, 'part', 'model_parameters', 'Model Parameters'), (2, 'part', 'optimizer_states', 'Optimizer States'),"
    "  (3, 'part', 'gradients', 'Gradients'), (4, 'part', 'activation_hooks', 'Activation Hooks'), (5, 'part', 'norm_samples', 'Norm Samples'),"
    "  (6, 'part', 'temp_matrices', 'Temp Matrices'))"
    " SELECT * FROM known WHERE EXISTS (SELECT 1 FROM amount WHERE kind = 'part')"
    " UNION ALL SELECT 6 + ROW_NUMBER() OVER (ORDER BY MAX(bytes) DESC, name), 'category', name, name FROM amount"
    "  WHERE kind = 'category' AND NOT EXISTS (SELECT 1 FROM amount WHERE kind = 'part') GROUP BY name;"
    /* What one experiment knows nothing of is NULL; what it had none of is 0. */
    "CREATE TEMP TABLE cell AS SELECT p.place, p.name, p.title, x.id AS outcome, CASE WHEN EXISTS"
    "  (SELECT 1 FROM amount WHERE outcome = x.id AND kind = p.kind) THEN COALESCE((SELECT bytes FROM amount WHERE"
    "  outcome = x.id AND kind = p.kind AND name = p.name), 0) / 1048576.0 END AS mb FROM part p, entry x"
    " UNION ALL SELECT 1e9, 'peak', 'Peak', id, peak_mb FROM entry WHERE EXISTS (SELECT 1 FROM part);"
    "CREATE TEMP VIEW shown AS SELECT *, CASE WHEN mb IS NOT NULL THEN printf('%.2f', mb) END AS text FROM cell;";

static const char experiments_sql[] =
    "SELECT name AS experiment, mode, seq_len, status, reason, peak_bytes, peak_mb AS peak_memory_mb, avg_ms AS avg_time_ms,"
    " median_ms AS median_time_ms, peak_ratio AS peak_over_vanilla, time_ratio AS time_over_vanilla"
    " FROM entry ORDER BY place";

#define FIXED(digits, value) "CASE WHEN " value " IS NOT NULL THEN printf('%." digits "f', " value ") END"
#define PAPER                                                                                                          \
    "CASE WHEN status = 'ok' THEN " FIXED(                                                                             \
        "2",                                                                                                           \
        "peak_mb") " ELSE 'failed' END AS \"Peak Memory (MB)\","                                                       \
                   " CASE WHEN status = 'ok' THEN " FIXED(                                                             \
                       "2",                                                                                            \
                       "avg_ms") " END AS \"Avg Time (ms)\","                                                          \
                                 " CASE WHEN status = 'ok' THEN " FIXED(                                               \
                                     "3",                                                                              \
                                     "peak_ratio") " END AS \"Peak / Vanilla\","                                       \
                                                   " CASE WHEN status = 'ok' THEN " FIXED(                             \
                                                       "3",                                                            \
                                                       "time_ratio") " END AS \"Time / Vanilla\" FROM entry ORDER BY place"
static const char paper_sql[] = "SELECT name AS \"Method\", " PAPER;
static const char paper_lengths_sql[] = "SELECT name AS \"Method\", seq_len AS \"T\", " PAPER;

static int is_paper(const char *format)
{
    return !strcmp(format, "markdown") || !strcmp(format, "latex");
}

static int number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q = NULL;
    int n = 0;
    if (!sqlite3_prepare_v2(db, sql, -1, &q, NULL) && sqlite3_step(q) == SQLITE_ROW) n = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return n;
}

/* A column for each experiment that succeeded. */
static char *components_sql(sqlite3 *db, int paper)
{
    sqlite3_str *sql = sqlite3_str_new(db);
    sqlite3_stmt *q = NULL;
    sqlite3_str_appendall(sql, paper ? "SELECT title AS \"Component (MB)\"" : "SELECT name AS component_mb");
    if (!sqlite3_prepare_v2(db, "SELECT id, label FROM entry WHERE status = 'ok' ORDER BY place", -1, &q, NULL))
        while (sqlite3_step(q) == SQLITE_ROW)
            sqlite3_str_appendf(sql, ", MAX(CASE outcome WHEN %lld THEN %s END) AS \"%w\"", sqlite3_column_int64(q, 0),
                                paper ? "text" : "mb", sqlite3_column_text(q, 1));
    sqlite3_finalize(q);
    sqlite3_str_appendall(sql, " FROM shown GROUP BY place, name, title ORDER BY place");
    return sqlite3_str_finish(sql);
}

static int write_rows(sqlite3 *db, const char *format, const char *sql, FILE *out, struct vs_error *e)
{
    sqlite3_stmt *q;
    int err = sql ? vs_outcome_prepare(db, sql, &q, e) : vs_fail(e, ENOMEM, "out of memory");
    if (err) return err;
    err = vs_export_rows(vs_exporter_find(format), db, q, out, e);
    sqlite3_finalize(q);
    return err;
}

static int write_experiments(sqlite3 *db, const char *format, FILE *out, struct vs_error *e)
{
    const char *sql = !is_paper(format)                              ? experiments_sql
                      : number(db, "SELECT MAX(lengths) FROM entry") ? paper_lengths_sql
                                                                     : paper_sql;
    return write_rows(db, format, sql, out, e);
}

static int write_components(sqlite3 *db, const char *format, FILE *out, struct vs_error *e)
{
    char *sql = components_sql(db, is_paper(format));
    int err = write_rows(db, format, sql, out, e);
    sqlite3_free(sql);
    return err;
}

int vs_export_tables(sqlite3 *db, const char *format, const char *table, const char *path, FILE *out,
                     struct vs_error *e)
{
    int components, both = !table && is_paper(format), err;
    if (sqlite3_exec(db, views_sql, NULL, NULL, NULL))
        return vs_fail(e, EIO, "cannot make the tables: %s", sqlite3_errmsg(db));
    components = number(db, "SELECT COUNT(*) FROM part");
    if (table && !strcmp(table, "components"))
        return components
                   ? write_components(db, format, out, e)
                   : vs_fail(e, ENODATA, "%s does not say what its memory was: no breakdown, no categories", path);
    err = write_experiments(db, format, out, e);
    if (err || !both || !components) return err;
    putc('\n', out);
    return write_components(db, format, out, e);
}
