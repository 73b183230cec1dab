/* SPDX-License-Identifier: MIT
 *
 * experiment_complete.c: the one query that makes an experiment's result out of the workload's file and the recording. It must
 * never take a number of memory from the file, nor write 0 for what is not known.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"
#include "store.h"

/* ?1 the file, ?2 process (NULL: not known), ?3 problem, ?4 exit status, ?5 name, ?6 recording, ?7 version, ?8 words.
 * MB are 2^20 bytes. 17 digits, or a sum of parts would not be the sum any more. */
#define MB(bytes)    "json(iif((" bytes ") IS NULL, NULL, printf('%!.17g', (" bytes ") / 1048576.0)))"
#define PART(column) "(SELECT " column " FROM parts)"

/* A device is judged by level sub: named regions and what allocators hand out. */
#define TOP                                                                                                            \
    "top(device, bytes, ts) AS (SELECT device, peak_bytes, peak_ts_ns FROM peak_data WHERE process_id = ?2 AND "       \
    "series = 'sub'"                                                                                                   \
    " AND CASE json_extract(?1, '$.device') WHEN 'cuda' THEN device >= 0 WHEN 'cpu' THEN device < 0 ELSE 1 END"        \
    " ORDER BY peak_bytes DESC, device DESC LIMIT 1),"

#define AT_PEAK                                                                                                        \
    "piece AS MATERIALIZED (SELECT COALESCE(a.category, 'unknown') AS category, a.name_id, SUM(a.bytes) AS bytes"      \
    " FROM allocation a, top WHERE a.process_id = ?2 AND COALESCE(a.device, -1) = top.device AND a.level = 'sub'"      \
    " AND NOT a.flags & 32 AND a.alloc_ts_ns <= top.ts AND (a.free_ts_ns IS NULL OR a.free_ts_ns > top.ts) GROUP BY "  \
    "1, 2),"                                                                                                           \
    "component AS MATERIALIZED (SELECT category, COALESCE(s.text, category) AS name, SUM(bytes) AS bytes"              \
    " FROM piece LEFT JOIN string s ON s.id = name_id GROUP BY 1, 2),"                                                 \
    "parts AS (SELECT TOTAL(bytes) FILTER (WHERE category = 'parameter') AS parameters,"                               \
    " TOTAL(bytes) FILTER (WHERE category = 'gradient') AS gradients,"                                                 \
    " TOTAL(bytes) FILTER (WHERE category = 'activation') AS activations,"                                             \
    " TOTAL(bytes) FILTER (WHERE name GLOB 'workspace/norm_samples*') AS norms,"                                       \
    " TOTAL(bytes) FILTER (WHERE category NOT IN ('parameter', 'gradient', 'activation', 'optimizer_state')"           \
    " AND name NOT GLOB 'workspace/norm_samples*') AS others,"                                                         \
    " TOTAL(bytes) FILTER (WHERE category = 'optimizer_state') AS states FROM component GROUP BY NULL),"

/* The n-th of a name in the file is the n-th of it in the recording. Without a file: all marks there are. */
#define MOMENTS                                                                                                        \
    "said AS (SELECT e.key AS place, e.value AS value, json_extract(e.value, '$.name') AS name,"                       \
    " ROW_NUMBER() OVER (PARTITION BY json_extract(e.value, '$.name') ORDER BY e.key) AS nth"                          \
    " FROM json_each(?1, '$.snapshots') e),"                                                                           \
    "seen AS (SELECT s.*, ROW_NUMBER() OVER (PARTITION BY s.name ORDER BY s.ts_ns) AS nth FROM snapshot s, top"        \
    " WHERE s.process_id = ?2 AND COALESCE(s.device, -1) = top.device),"                                               \
    "moment AS MATERIALIZED (SELECT said.place, said.value, said.name, seen.ts_ns, seen.allocated_bytes AS allocated," \
    " seen.reserved_bytes AS reserved, seen.max_allocated_bytes AS highest,"                                           \
    " json_extract(said.value, '$.arena_bytes') AS arena FROM said LEFT JOIN seen USING (name, nth)"                   \
    " UNION ALL SELECT ts_ns, json_object('name', name), name, ts_ns, allocated_bytes, reserved_bytes,"                \
    " max_allocated_bytes, NULL FROM seen WHERE NOT EXISTS (SELECT 1 FROM said)"                                       \
    " AND name NOT IN ('end of process', 'out of memory')),"                                                           \
    "last AS (SELECT * FROM moment WHERE ts_ns IS NOT NULL ORDER BY ts_ns DESC LIMIT 1),"

#define ENDS                                                                                                           \
    "death(text) AS (SELECT CASE WHEN kind = 'killed' AND exit_status > 128 THEN 'killed by signal ' || (exit_status " \
    "- 128)"                                                                                                           \
    " WHEN kind = 'killed' THEN 'killed' ELSE printf('an allocation of %.1f MiB failed', asked_bytes / 1048576.0) ||"  \
    " iif(free_bytes IS NULL, '', printf(', %.1f MiB were free on the device', free_bytes / 1048576.0)) END"           \
    " FROM post_mortem WHERE process_id = ?2 LIMIT 1),"                                                                \
    "failed(yes) AS (SELECT ?3 IS NOT NULL OR ?4 <> 0 OR json_extract(?1, '$.status') IS NOT 'ok'),"                   \
    "why(n, text) AS (SELECT 1, json_extract(?1, '$.reason') UNION ALL SELECT 2, ?3 UNION ALL SELECT 3, text FROM "    \
    "death),"                                                                                                          \
    "reason(text) AS (SELECT COALESCE((SELECT group_concat(text, '; ') FROM (SELECT text FROM why WHERE text <> ''"    \
    " ORDER BY n)), iif(?4 > 128, 'ended by signal ' || (?4 - 128), 'ended with status ' || ?4))),"                    \
    "lost(text) AS (SELECT source || ' ' || reason || ' ' || count FROM loss WHERE process_id = ?2 AND count > 0"      \
    " UNION ALL SELECT DISTINCT source || ' was silent for a while' FROM gap WHERE process_id = ?2)"

#define BREAKDOWN                                                                                                                                                                                                                                             \
    "json_object('model_parameters_mb', " MB(PART("parameters")) ", 'gradients_mb', " MB(PART("gradients")) ", "                                                                                                                                              \
                                                                                                            "'activat"                                                                                                                                        \
                                                                                                            "ion_"                                                                                                                                            \
                                                                                                            "hooks_"                                                                                                                                          \
                                                                                                            "mb',"                                                                                                                                            \
                                                                                                            " " MB(PART("activations")) ", 'norm_samples_mb', " MB(PART("norms")) ", 'temp_matrices_mb', " MB(PART("others")) ", 'optimizer_states_mb', " MB( \
                                                                                                                PART(                                                                                                                                         \
                                                                                                                    "states")) ", 'total_allocated_mb', " MB("SELECT allocated FROM last") ", 'total_reserved_mb', " MB("SELECT reserved FROM last") ", 'peak_allocated_mb', " MB("SELECT bytes FROM top") ")"

#define CATEGORIES                                                                                                     \
    "(SELECT json_group_object(category, bytes) FROM (SELECT category, SUM(bytes) AS bytes FROM component"             \
    " GROUP BY 1 ORDER BY 2 DESC, 1))"
#define COMPONENTS                                                                                                     \
    "(SELECT json_group_array(json_object('name', name, 'bytes', bytes)) FROM"                                         \
    " (SELECT name, SUM(bytes) AS bytes FROM component GROUP BY 1 ORDER BY 2 DESC, 1))"
#define SNAPSHOTS                                                                                                      \
    "(SELECT json_group_array(json_set(value, '$.allocated_mb', " MB("allocated") ", '$.reserved_mb', " MB(            \
        "reserved") ", '$.max_allocated_mb', " MB("highest") ", '$.timestamp', (ts_ns - first) / 1e9, "                \
                                                             "'$.arena_bytes', arena))"                                \
                                                             " FROM (SELECT *, (SELECT MIN(ts_ns) FROM moment) AS "    \
                                                             "first FROM moment ORDER BY place))"
#define MISMATCH                                                                                                       \
    "EXISTS (SELECT 1 FROM moment WHERE allocated <> arena)"                                                           \
    " OR COALESCE(json_extract(?1, '$.arena.peak_bytes') <> (SELECT bytes FROM top), 0)"

static const char sql[] =
    "WITH " TOP AT_PEAK MOMENTS ENDS
    " SELECT json_set(iif((SELECT yes FROM failed), json_remove(?1, '$.times_ms', '$.avg_time_ms', '$.median_time_ms',"
    " '$.min_time_ms', '$.first_time_ms'), json(?1)),"
    " '$.experiment', COALESCE(json_extract(?1, '$.experiment'), ?5),"
    " '$.status', iif((SELECT yes FROM failed), 'failed', 'ok'),"
    " '$.reason', iif((SELECT yes FROM failed), (SELECT text FROM reason), ''),"
    " '$.peak_memory_mb', " MB(
        "SELECT bytes FROM top") ","
                                 " '$.peak_bytes', (SELECT bytes FROM top),"
                                 " '$.breakdown', json(" BREAKDOWN "),"
                                 " '$.categories', json(" CATEGORIES "),"
                                 " '$.components', json(" COMPONENTS "),"
                                 " '$.snapshots', json(" SNAPSHOTS "),"
                                 " '$.arena_mismatch', json(iif(" MISMATCH ", 'true', 'false')),"
                                 " '$.losses_of_recording', (SELECT group_concat(text, ', ') FROM (SELECT text FROM "
                                 "lost ORDER BY text)),"
                                 " '$.arguments', json(?8), '$.trace', (SELECT trace_level FROM process WHERE id = ?2), '$.recording', ?6, '$.process_id', ?2, '$.vramscope', ?7)";

static void bind_text(sqlite3_stmt *q, int at, const char *text)
{
    sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC); /* NULL: SQL's */
}

static int copy_row(sqlite3 *db, sqlite3_stmt *q, char **json, struct vs_error *e)
{
    const char *text = sqlite3_step(q) == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (!text) return vs_fail(e, EIO, "cannot complete the result: %s", sqlite3_errmsg(db));
    *json = strdup(text);
    return *json ? 0 : vs_fail(e, ENOMEM, "out of memory");
}

int vs_experiment_words(sqlite3 *db, const char *const *words, int count, char **json, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    char *list = strdup("[]");
    int err = list ? 0 : vs_fail(e, ENOMEM, "out of memory");
    if (!err && sqlite3_prepare_v2(db, "SELECT json_insert(?1, '$[#]', ?2)", -1, &q, NULL))
        err = vs_fail(e, EIO, "cannot make a list: %s", sqlite3_errmsg(db));
    for (int i = 0; i < count && !err; i++) {
        char *longer = NULL;
        bind_text(q, 1, list);
        bind_text(q, 2, words[i]);
        err = copy_row(db, q, &longer, e);
        sqlite3_reset(q);
        if (err) break;
        free(list);
        list = longer;
    }
    sqlite3_finalize(q);
    if (err) free(list);
    else *json = list;
    return err;
}

int vs_experiment_complete(sqlite3 *db, const struct vs_experiment_run *run, const char *document, int64_t process,
                           char **json, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    char *words = NULL;
    int err = vs_experiment_words(db, run->words, run->word_count, &words, e);
    if (!err && sqlite3_prepare_v2(db, sql, -1, &q, NULL))
        err = vs_fail(e, EIO, "cannot complete the result: %s", sqlite3_errmsg(db));
    if (!err) {
        bind_text(q, 1, document);
        if (process != VS_NONE) sqlite3_bind_int64(q, 2, process);
        bind_text(q, 3, run->problem);
        sqlite3_bind_int(q, 4, run->status);
        bind_text(q, 5, run->name);
        bind_text(q, 6, run->recording);
        bind_text(q, 7, run->version);
        bind_text(q, 8, words);
        err = copy_row(db, q, json, e);
    }
    sqlite3_finalize(q);
    free(words);
    return err;
}
