/* SPDX-License-Identifier: MIT
 *
 * experiment_show.c: one experiment on one screen. Must never print a number that is not in the result.
 */
#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "experiment.h"
#include "sheet.h"

struct shown {
    struct vs_sheet sheet;
    const char *json;
};

/* X(key of the breakdown, what to call it): the six add up to the peak. */
#define PARTS(X)                                                                                                       \
    X(model_parameters_mb, "model parameters")                                                                         \
    X(gradients_mb, "gradients")                                                                                       \
    X(optimizer_states_mb, "optimizer states")                                                                         \
    X(activation_hooks_mb, "activations")                                                                              \
    X(norm_samples_mb, "per-sample norms")                                                                             \
    X(temp_matrices_mb, "workspace and temporary")                                                                     \
    X(peak_allocated_mb, "peak")

/* ?1 is the result. */
static sqlite3_stmt *ask(struct shown *s, const char *sql)
{
    sqlite3_stmt *q = vs_sheet_query(&s->sheet, sql);
    if (q) sqlite3_bind_text(q, 1, s->json, -1, SQLITE_STATIC);
    return q;
}

static char *cell(sqlite3_stmt *q, int column, char out[VS_CELL])
{
    return vs_column_text(q, column, "?", 0, out);
}

static void head(struct shown *s)
{
    sqlite3_stmt *q = ask(s, "SELECT json_extract(?1, '$.experiment'), json_extract(?1, '$.semantics'),"
                             " json_extract(?1, '$.config.preset'), json_extract(?1, '$.config.seq_len'),"
                             " json_extract(?1, '$.config.batch_size'), json_extract(?1, '$.dtype'),"
                             " json_extract(?1, '$.optimizer'), COALESCE(json_extract(?1, '$.device_name'),"
                             " json_extract(?1, '$.device')), json_extract(?1, '$.status') = 'ok',"
                             " json_extract(?1, '$.reason')");
    char name[VS_CELL], how[VS_CELL], preset[VS_CELL], T[VS_CELL], B[VS_CELL], dtype[VS_CELL], optimizer[VS_CELL],
        device[VS_CELL];
    while (vs_sheet_next(&s->sheet, &q)) {
        if (sqlite3_column_type(q, 7) == SQLITE_NULL) vs_sheet_line(&s->sheet, "TRAIN  %s", cell(q, 0, name));
        else
            vs_sheet_line(&s->sheet, "TRAIN  %s (%s): %s T=%s B=%s, %s, optimizer %s, on %s", cell(q, 0, name),
                          cell(q, 1, how), vs_column_text(q, 2, "own size", 0, preset), cell(q, 3, T), cell(q, 4, B),
                          cell(q, 5, dtype), cell(q, 6, optimizer), cell(q, 7, device));
        if (!sqlite3_column_int(q, 8)) /* whole: it ends with what to do */
            vs_sheet_say(&s->sheet, "  FAILED   %s", cell(q, 9, name)), fputc('\n', s->sheet.out);
    }
}

static void times(struct shown *s)
{
    sqlite3_stmt *q =
        ask(s, "SELECT printf('%.2f', json_extract(?1, '$.median_time_ms')),"
               " printf('%.2f', json_extract(?1, '$.avg_time_ms')), printf('%.2f', json_extract(?1, '$.min_time_ms')),"
               " json_array_length(?1, '$.times_ms'), printf('; the first %.2f',"
               " json_extract(?1, '$.first_time_ms')), json_extract(?1, '$.first_time_ms') IS NOT NULL"
               " WHERE json_extract(?1, '$.median_time_ms') IS NOT NULL");
    char median[VS_CELL], mean[VS_CELL], least[VS_CELL], count[VS_CELL], first[VS_CELL];
    while (vs_sheet_next(&s->sheet, &q))
        vs_sheet_line(&s->sheet, "  time     ms: median %s, average %s, least %s of %s iteration%s%s",
                      cell(q, 0, median), cell(q, 1, mean), cell(q, 2, least), cell(q, 3, count),
                      strcmp(count, "1") ? "s" : "", sqlite3_column_int(q, 5) ? cell(q, 4, first) : "");
}

static void memory(struct shown *s)
{
    sqlite3_stmt *q = ask(s, "SELECT printf('%.2f', json_extract(?1, '$.peak_memory_mb')),"
                             " printf(', %.2f MB reserved', json_extract(?1, '$.breakdown.total_reserved_mb')),"
                             " json_extract(?1, '$.breakdown.total_reserved_mb') IS NOT NULL,"
                             " json_extract(?1, '$.peak_memory_mb') IS NOT NULL");
    char peak[VS_CELL], reserved[VS_CELL];
    while (vs_sheet_next(&s->sheet, &q)) {
        if (!sqlite3_column_int(q, 3))
            vs_sheet_line(&s->sheet, "  memory   not known: the recording holds no named memory of it");
        else
            vs_sheet_line(&s->sheet, "  memory   peak %s MB%s (1 MB is 2^20 bytes, all from the recording)",
                          cell(q, 0, peak), sqlite3_column_int(q, 2) ? cell(q, 1, reserved) : "");
    }
}

static void plan(struct shown *s)
{
    sqlite3_stmt *q = ask(s, "SELECT group_concat(done || ': ' || layers, '; '), json_extract(?1, '$.attention_by') FROM"
                             " (SELECT done, group_concat(layer, ' ') AS layers FROM (SELECT key, json_extract(value,"
                             " '$.action') || COALESCE(' by ' || NULLIF(json_extract(value, '$.norm'), ''), '') AS done,"
                             " json_extract(value, '$.layers') || COALESCE(' x' || NULLIF(json_extract(value,"
                             " '$.count'), 1), '') AS layer FROM json_each(?1, '$.plan') WHERE type = 'object'"
                             " ORDER BY key) GROUP BY done ORDER BY MIN(key))");
    char text[VS_CELL], by[VS_CELL], attention[64] = "";
    while (vs_sheet_next(&s->sheet, &q)) {
        if (sqlite3_column_type(q, 1) != SQLITE_NULL)
            snprintf(attention, sizeof attention, "; attention by %.40s", cell(q, 1, by));
        if (sqlite3_column_type(q, 0) != SQLITE_NULL)
            vs_sheet_line(&s->sheet, "  plan     %s%s", cell(q, 0, text), attention);
    }
}

static void components(struct shown *s)
{
    static const char *const names[] = {
#define X(key, name) name,
        PARTS(X)
#undef X
    };
    sqlite3_stmt *q = ask(s, "SELECT printf('%.2f', v), printf('%.1f', 100 * v / NULLIF(peak, 0)) FROM (SELECT v,"
                             " json_extract(?1, '$.peak_memory_mb') AS peak FROM (SELECT NULL AS v WHERE 0"
#define X(key, name) " UNION ALL SELECT json_extract(?1, '$.breakdown." #key "')"
                          PARTS(X)
#undef X
                              ")) WHERE peak IS NOT NULL");
    char mb[VS_CELL], share[VS_CELL], name[VS_CELL];
    for (size_t i = 0; vs_sheet_next(&s->sheet, &q); i++) {
        if (!i) vs_sheet_line(&s->sheet, "AT THE PEAK                         MB   share");
        if (i < sizeof names / sizeof *names)
            vs_sheet_line(&s->sheet, "  %s %s %s %%", vs_cell(names[i], 24, name), vs_column_text(q, 0, "-", -12, mb),
                          vs_column_text(q, 1, "-", -5, share));
    }
    q = ask(s, "SELECT group_concat(text, ', ') FROM (SELECT printf('%s %.2f', json_extract(value, '$.name'),"
               " json_extract(value, '$.bytes') / 1048576.0) AS text FROM json_each(?1, '$.components') ORDER BY key "
               "LIMIT 3)");
    while (vs_sheet_next(&s->sheet, &q))
        if (sqlite3_column_type(q, 0) != SQLITE_NULL) vs_sheet_line(&s->sheet, "  largest: %s MB", cell(q, 0, mb));
}

/* Of the iterations the last one, and what the others had otherwise. "4_iter2_before_forward": iteration 2, "before_forward". */
#define MOMENTS                                                                                                        \
    "WITH m AS (SELECT key, json_extract(value, '$.name') AS name, json_extract(value, '$.allocated_mb') AS "          \
    "allocated,"                                                                                                       \
    " json_extract(value, '$.reserved_mb') AS reserved, json_extract(value, '$.max_allocated_mb') AS highest"          \
    " FROM json_each(?1, '$.snapshots') WHERE type = 'object'),"                                                       \
    " i AS (SELECT *, CASE WHEN name GLOB '*_iter[0-9]*' THEN CAST(substr(name, instr(name, '_iter') + 5) AS "         \
    "INTEGER) END AS n FROM m),"                                                                                       \
    " k AS (SELECT *, (SELECT MAX(n) FROM i) AS last, substr(name, instr(name, '_iter') + 5 + length(n)) AS part "     \
    "FROM i) "

static void snapshots(struct shown *s)
{
    sqlite3_stmt *q =
        ask(s, MOMENTS "SELECT name, printf('%.2f', allocated), printf('%.2f', reserved), printf('%.2f', highest),"
                       " allocated IS NULL FROM k WHERE n IS NULL OR n = last ORDER BY key LIMIT 16");
    char name[VS_CELL], allocated[VS_CELL], reserved[VS_CELL], highest[VS_CELL];
    for (int i = 0; vs_sheet_next(&s->sheet, &q); i++) {
        if (!i) vs_sheet_line(&s->sheet, "SNAPSHOTS                   allocated MB  reserved MB  highest MB");
        if (sqlite3_column_int(q, 4))
            vs_sheet_line(&s->sheet, "  %s not in the recording", vs_column_text(q, 0, "", 26, name));
        else
            vs_sheet_line(&s->sheet, "  %s %s %s %s", vs_column_text(q, 0, "", 26, name),
                          vs_column_text(q, 1, "-", -11, allocated), vs_column_text(q, 2, "-", -12, reserved),
                          vs_column_text(q, 3, "-", -11, highest));
    }
    q = ask(s,
            MOMENTS "SELECT iterations, printf('%.2f', most), most > 0 FROM (SELECT MAX(a.n) + 1 AS iterations,"
                    " MAX(ABS(a.allocated - b.allocated)) AS most FROM k a JOIN k b ON b.n = b.last AND b.part = a.part"
                    " WHERE a.n < a.last) WHERE most IS NOT NULL");
    while (vs_sheet_next(&s->sheet, &q)) {
        int one = sqlite3_column_int(q, 0) == 1, differ = sqlite3_column_int(q, 2);
        if (!differ)
            vs_sheet_line(&s->sheet, "  the iteration%s before %s the same", one ? "" : "s", one ? "is" : "are");
        else
            vs_sheet_line(&s->sheet, "  the iteration%s before differ%s by up to %s MB", one ? "" : "s", one ? "s" : "",
                          cell(q, 1, name));
    }
}

static void warnings(struct shown *s)
{
    sqlite3_stmt *q = ask(
        s,
        "SELECT COALESCE(json_extract(?1, '$.arena_mismatch'), 0), (SELECT COUNT(*) FROM json_each(?1, '$.snapshots')"
        " WHERE type = 'object' AND json_extract(value, '$.allocated_mb') IS NULL),"
        " json_extract(?1, '$.losses_of_recording'), COALESCE((SELECT SUM(value) FROM json_each(?1, '$.categories'))"
        " - json_extract(?1, '$.peak_bytes'), 0)");
    char text[VS_CELL];
    while (vs_sheet_next(&s->sheet, &q)) {
        if (sqlite3_column_int(q, 0))
            vs_sheet_line(
                &s->sheet,
                "!! the recording and the arena's own count of live bytes differ: see snapshots in the result");
        if (sqlite3_column_int(q, 1))
            vs_sheet_line(&s->sheet, "!! %d snapshot%s not in the recording", sqlite3_column_int(q, 1),
                          sqlite3_column_int(q, 1) == 1 ? " is" : "s are");
        if (sqlite3_column_int64(q, 3))
            vs_sheet_line(&s->sheet, "!! the components differ from the peak by %lld bytes",
                          (long long)sqlite3_column_int64(q, 3));
        if (sqlite3_column_type(q, 2) != SQLITE_NULL)
            vs_sheet_line(&s->sheet, "!! lost while recording: %s", cell(q, 2, text));
    }
}

int vs_experiment_show(const char *json, FILE *out, struct vs_error *e)
{
    struct shown s = {.sheet = {.out = out}, .json = json};
    int err = 0;
    if (sqlite3_open(":memory:", &s.sheet.db)) err = vs_fail(e, ENOMEM, "out of memory");
    if (!err) {
        head(&s);
        times(&s);
        memory(&s);
        plan(&s);
        components(&s);
        snapshots(&s);
        warnings(&s);
    }
    if (!err && s.sheet.failed) err = vs_fail(e, EIO, "%s", s.sheet.error.text);
    sqlite3_close(s.sheet.db);
    return err;
}
