/* SPDX-License-Identifier: MIT
 *
 * outcome_json.c: results of experiments. SQLite's functions read the JSON; what is not one of ours is refused before
 * anything of it is kept. Must never take a missing number for 0.
 */
#include <errno.h>
#include <string.h>

#include "outcome_parts.h"

/* What a result lacks, in the order in which one would look; each is a condition over the document. The scripts that went
 * before knew no status: they wrote nothing when they failed. */
#define OK_SQL "COALESCE(json_extract(?1, '$.status'), 'ok') = 'ok'"
#define OUTSIDE(path, most)                                                                                         \
    "json_type(?1, '" path "') NOT IN ('integer', 'real', 'null') OR json_extract(?1, '" path                          \
    "') NOT BETWEEN 0 AND " most
static const struct {
    const char *wrong, *said;
} problems[] = {
    {"json_type(?1) <> 'object'", "it is no object"},
    {"json_type(?1, '$.experiment') IS NOT 'text'", "it has no text \"experiment\""},
    {"json_type(?1, '$.config') IS NOT 'object'", "it has no object \"config\""},
    {"json_type(?1, '$.status') <> 'text'", "\"status\" is no text"},
    {OUTSIDE("$.peak_memory_mb", "1e12"), "\"peak_memory_mb\" is no amount"},
    {OUTSIDE("$.peak_bytes", "1e18"), "\"peak_bytes\" is no amount"},
    {OK_SQL " AND COALESCE(json_type(?1, '$.peak_bytes'), json_type(?1, '$.peak_memory_mb')) IS NULL",
     "it has no \"peak_memory_mb\", which vramscope bench train and suite take from the recording of a run"},
    {OUTSIDE("$.avg_time_ms", "1e12"), "\"avg_time_ms\" is no time"},
    {OUTSIDE("$.median_time_ms", "1e12"), "\"median_time_ms\" is no time"},
    {"EXISTS (SELECT 1 FROM json_each(?1, '$.categories') WHERE typeof(key) <> 'text' OR type <> 'integer')",
     "\"categories\" must be an object of bytes"},
    {"EXISTS (SELECT 1 FROM json_each(?1, '$.components') WHERE CASE type WHEN 'object' THEN"
     " json_type(value, '$.name') IS NOT 'text' OR json_type(value, '$.bytes') IS NOT 'integer' ELSE 1 END)",
     "\"components\" must be a list of names and bytes"},
};

static const char outcome_sql[] =
    "INSERT INTO outcome(side, origin, name, mode, seq_len, status, reason, peak_bytes, peak_mb, avg_ms, median_ms, vanilla,"
    " process_id)"
    " SELECT ?2, ?3, json_extract(?1, '$.experiment'), json_extract(?1, '$.mode'),"
    " CASE json_type(?1, '$.config.seq_len') WHEN 'integer' THEN json_extract(?1, '$.config.seq_len') END,"
    " CASE WHEN " OK_SQL " THEN 'ok' ELSE 'failed' END, NULLIF(json_extract(?1, '$.reason'), ''),"
    " CAST(COALESCE(json_extract(?1, '$.peak_bytes'), round(json_extract(?1, '$.peak_memory_mb') * 1048576)) AS INTEGER),"
    " COALESCE(json_extract(?1, '$.peak_memory_mb'), json_extract(?1, '$.peak_bytes') / 1048576.0),"
    " json_extract(?1, '$.avg_time_ms'), json_extract(?1, '$.median_time_ms'),"
    " COALESCE(json_extract(?1, '$.semantics') = 'non_private',"
    "  COALESCE(json_extract(?1, '$.mode'), json_extract(?1, '$.experiment')) = 'vanilla'),"
    " COALESCE(?4, json_extract(?1, '$.process_id'))";

#define ADD "INSERT INTO amount SELECT ?2, "
#define UP  " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes"
#define PLAIN                                                                                                          \
    "CASE type WHEN 'text' THEN value WHEN 'integer' THEN value WHEN 'real' THEN printf('%.15g', value) "              \
    " WHEN 'object' THEN value WHEN 'array' THEN value ELSE type END"
static const char *const rest_sql[] = {
    ADD "'category', key, SUM(value) FROM json_each(?1, '$.categories') GROUP BY key" UP,
    ADD "'component', json_extract(value, '$.name'), json_extract(value, '$.bytes') FROM json_each(?1, '$.components')"
        " WHERE 1" UP,
    ADD
    "'part', substr(key, 1, length(key) - 3), value * 1048576 FROM json_each(?1, '$.breakdown')"
    " WHERE key IN ('model_parameters_mb', 'optimizer_states_mb', 'gradients_mb', 'activation_hooks_mb', 'norm_samples_mb',"
    "  'temp_matrices_mb') AND type IN ('integer', 'real')" UP,
    "INSERT OR REPLACE INTO setting SELECT ?2, key, " PLAIN ", 1 FROM json_each(?1, '$.config') WHERE type <> 'null'",
    "INSERT OR REPLACE INTO setting SELECT ?2, key, " PLAIN
    ", key NOT IN ('device_name', 'trace') FROM json_each(?1) WHERE type <> 'null'"
    " AND key IN ('device', 'dtype', 'optimizer', 'seed', 'mode', 'device_name', 'trace')",
};

/* -1: SQLite cannot say. */
static int holds(sqlite3 *db, const char *condition, const char *text, size_t bytes)
{
    char *sql = sqlite3_mprintf("SELECT %s", condition);
    sqlite3_stmt *q = NULL;
    int is = -1;
    if (sql && !sqlite3_prepare_v2(db, sql, -1, &q, NULL)) {
        sqlite3_bind_text64(q, 1, text, bytes, SQLITE_STATIC, SQLITE_UTF8);
        if (sqlite3_step(q) == SQLITE_ROW) is = sqlite3_column_int(q, 0);
    }
    sqlite3_finalize(q);
    sqlite3_free(sql);
    return is;
}

static int refuse(sqlite3 *db, const char *origin, const char *text, size_t bytes, struct vs_error *e)
{
    if (holds(db, "json_valid(?1)", text, bytes) != 1)
        return vs_fail(e, EINVAL, "%s is neither a recording nor JSON%s", origin, bytes ? "" : " (it is empty)");
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        if (holds(db, problems[i].wrong, text, bytes))
            return vs_fail(e, EINVAL, "%s is not the result of an experiment: %s", origin, problems[i].said);
    return 0;
}

int vs_outcome_add_json(sqlite3 *db, const struct vs_outcome_source *from, const char *text, size_t bytes,
                        struct vs_error *e)
{
    sqlite3_int64 id;
    sqlite3_stmt *q;
    int err = refuse(db, from->origin, text, bytes, e);
    if (!err) err = vs_outcome_prepare(db, outcome_sql, &q, e);
    if (err) return err;
    sqlite3_bind_text64(q, 1, text, bytes, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text(q, 2, from->side, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, from->origin, -1, SQLITE_STATIC);
    if (from->process_id) sqlite3_bind_int64(q, 4, from->process_id);
    err = vs_outcome_run(db, q, e);
    id = sqlite3_last_insert_rowid(db);
    for (size_t i = 0; i < sizeof rest_sql / sizeof *rest_sql && !err; i++) {
        if ((err = vs_outcome_prepare(db, rest_sql[i], &q, e))) break;
        sqlite3_bind_text64(q, 1, text, bytes, SQLITE_STATIC, SQLITE_UTF8);
        sqlite3_bind_int64(q, 2, id);
        err = vs_outcome_run(db, q, e);
    }
    return err;
}
