/* SPDX-License-Identifier: MIT
 *
 * experiments_load.c: owns reading *_result.json. Never takes a number that is not one, and never a result of a run that
 * failed; whatever is left out is kept with its reason.
 */
#include "../db/experiment_folder.h"
#include "experiments_set.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 1000, BYTES_MAX = 64 << 20, ROWS_MAX = 60, SNAPSHOTS_MAX = 20000 };
enum {
    EXPERIMENT,
    MODE,
    SEMANTICS,
    STATUS,
    REASON,
    LENGTH,
    PEAK,
    TIME,
    FIRST_PART,
    FIRST_SETTING = FIRST_PART + VS_PARTS
};

/* Beside our own keys those that the scripts of the notes wrote. */
static const char facts_sql[] =
    "SELECT json_extract(?1, '$.experiment'), COALESCE(json_extract(?1, '$.mode'), json_extract(?1, '$.experiment')),"
    " json_extract(?1, '$.semantics'), COALESCE(json_extract(?1, '$.status'), 'ok'), json_extract(?1, '$.reason'),"
    " COALESCE(json_extract(?1, '$.config.seq_len'), json_extract(?1, '$.seq_length')),"
    " json_extract(?1, '$.peak_memory_mb'), json_extract(?1, '$.avg_time_ms')"
#define X(name, key, ...) ", json_extract(?1, '$.breakdown." key "')"
    VS_EXPERIMENT_PARTS(X)
#undef X
#define X(name, path, ...) ", json_extract(?1, '" path "')"
        VS_EXPERIMENT_SETTINGS(X);
#undef X

static const char snapshots_sql[] =
    "SELECT json_extract(value, '$.name'), json_extract(value, '$.allocated_mb'), json_extract(value, '$.reserved_mb'),"
    " json_extract(value, '$.max_allocated_mb') FROM json_each(?1, '$.snapshots') WHERE type = 'object'";

static const char rows_sql[] =
    "SELECT key, value FROM json_each(?1, '$.breakdown')"
    " WHERE type IN ('integer', 'real') AND key LIKE '%!_mb' ESCAPE '!' ORDER BY value DESC, key";

struct reader {
    sqlite3 *db;
    sqlite3_stmt *valid, *facts, *snapshots, *rows;
    struct vs_experiments *set;
};

static double number(sqlite3_stmt *q, int column)
{
    int type = sqlite3_column_type(q, column);
    double value = sqlite3_column_double(q, column);
    return (type == SQLITE_INTEGER || type == SQLITE_FLOAT) && isfinite(value) ? value : NAN;
}

static const char *text_of(sqlite3_stmt *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    return text ? text : "";
}

/* Like vs_label_clean, but nothing stays nothing. */
static void clean(char *out, size_t size, const char *text, int points)
{
    out[0] = 0;
    if (*text) vs_label_clean(out, size, text, points);
}

static int leave_out(struct vs_experiments *s, const char *file, const char *format, const char *more)
{
    struct vs_experiment_left_out *at = realloc(s->left_out, (size_t)(s->left + 1) * sizeof *at);
    if (!at) return -ENOMEM;
    s->left_out = at;
    at += s->left++;
    vs_label_clean(at->file, sizeof at->file, file, VS_LABEL_POINTS);
    snprintf(at->reason, sizeof at->reason, format, more);
    return 0;
}

static void bind(sqlite3_stmt *q, const char *json, size_t bytes)
{
    sqlite3_reset(q);
    sqlite3_bind_text(q, 1, json, (int)bytes, SQLITE_STATIC);
}

static int read_snapshots(sqlite3_stmt *q, struct vs_experiment *x)
{
    int step;
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        struct vs_experiment_snapshot *at;
        double allocated = number(q, 1);
        if (!(allocated >= 0) || x->snapshots == SNAPSHOTS_MAX) continue;
        at = realloc(x->snapshot, (size_t)(x->snapshots + 1) * sizeof *at);
        if (!at) return -ENOMEM;
        x->snapshot = at;
        at += x->snapshots++;
        vs_label_clean(at->name, sizeof at->name, text_of(q, 0), VS_LABEL_POINTS);
        at->allocated_mb = allocated;
        at->reserved_mb = number(q, 2);
        at->highest_mb = number(q, 3);
    }
    return step == SQLITE_DONE ? 0 : -EIO;
}

static int read_rows(sqlite3_stmt *q, struct vs_experiment *x)
{
    int step;
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        struct vs_experiment_row *at;
        if (x->rows == ROWS_MAX || isnan(number(q, 1))) continue;
        at = realloc(x->row, (size_t)(x->rows + 1) * sizeof *at);
        if (!at) return -ENOMEM;
        x->row = at;
        at += x->rows++;
        vs_label_clean(at->key, sizeof at->key, text_of(q, 0), VS_LABEL_POINTS);
        at->mb = number(q, 1);
    }
    return step == SQLITE_DONE ? 0 : -EIO;
}

/* Why this result cannot be shown; NULL: it can. */
static const char *take_facts(sqlite3_stmt *q, const char *file, struct vs_experiment *x)
{
    char stem[256];
    const char *name = text_of(q, EXPERIMENT), *mode = text_of(q, MODE);
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(file) - strlen(VS_RESULT_SUFFIX)), file);
    if (!*name) name = *mode ? mode : stem;
    vs_label_clean(x->file, sizeof x->file, file, VS_LABEL_POINTS);
    vs_label_clean(x->experiment, sizeof x->experiment, name, VS_LABEL_POINTS);
    clean(x->semantics, sizeof x->semantics, text_of(q, SEMANTICS), 20);
    x->rank = vs_experiment_rank(name, mode);
    x->baseline = !strcmp(x->semantics, "non_private") || (!*x->semantics && x->rank == 0);
    if (x->baseline) x->rank = 0;
    x->T = number(q, LENGTH);
    x->peak_mb = number(q, PEAK);
    x->time_ms = number(q, TIME);
    if (!(x->T > 0)) x->T = NAN;
    if (!(x->time_ms > 0)) x->time_ms = NAN;
    for (int i = 0; i < VS_PARTS; i++) {
        x->part_mb[i] = number(q, FIRST_PART + i);
        x->has_parts |= x->part_mb[i] > 0;
        if (x->part_mb[i] < 0) return "a part of its memory is below 0";
    }
    for (int i = 0; i < VS_SETTINGS; i++) clean(x->setting[i], VS_SETTING_SIZE, text_of(q, FIRST_SETTING + i), 40);
    return x->peak_mb > 0
               ? NULL
               : "it has no peak_memory_mb: that comes from a recording (vramscope suite, vramscope bench train)";
}

static int take_result(struct reader *r, const char *file, const char *json, size_t bytes, struct vs_experiment *x)
{
    const char *why = NULL;
    int err = 0;
    char reason[VS_LABEL_SIZE] = "it does not say why";
    bind(r->valid, json, bytes);
    if (sqlite3_step(r->valid) != SQLITE_ROW || !sqlite3_column_int(r->valid, 0))
        return leave_out(r->set, file, "%s", "it is not JSON: was it cut off?");
    bind(r->facts, json, bytes);
    bind(r->snapshots, json, bytes);
    bind(r->rows, json, bytes);
    if (sqlite3_step(r->facts) != SQLITE_ROW) return leave_out(r->set, file, "%s", sqlite3_errmsg(r->db));
    if (strcmp(text_of(r->facts, STATUS), "ok")) {
        if (*text_of(r->facts, REASON))
            vs_label_clean(reason, sizeof reason, text_of(r->facts, REASON), VS_LABEL_POINTS);
        return leave_out(r->set, file, "the experiment failed: %s", reason);
    }
    why = take_facts(r->facts, file, x);
    if (why) return leave_out(r->set, file, "%s", why);
    err = read_snapshots(r->snapshots, x);
    if (!err) err = read_rows(r->rows, x);
    if (err == -EIO) return leave_out(r->set, file, "%s", sqlite3_errmsg(r->db));
    if (!err) r->set->count++;
    return err;
}

/* NULL: `why` says so. */
static char *slurp(int dir, const char *file, size_t *bytes, const char **why)
{
    struct stat st;
    char *text = NULL;
    ssize_t n = 0;
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *bytes = 0;
    *why = fd < 0 ? strerror(errno) : NULL;
    if (fd < 0) return NULL;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) *why = "it is not a file";
    else if (st.st_size > BYTES_MAX) *why = "it is larger than 64 MiB: no result is";
    else if (!(text = malloc((size_t)st.st_size + 1))) *why = "out of memory";
    while (text && *bytes < (size_t)st.st_size && (n = read(fd, text + *bytes, (size_t)st.st_size - *bytes)) > 0)
        *bytes += (size_t)n;
    if (n < 0) {
        *why = strerror(errno);
        free(text);
        text = NULL;
    }
    close(fd);
    return text;
}

static int read_file(struct reader *r, int dir, const char *file)
{
    struct vs_experiments *s = r->set;
    struct vs_experiment *more = realloc(s->item, (size_t)(s->count + 1) * sizeof *more);
    const char *why;
    size_t bytes;
    int before = s->count;
    if (!more) return -ENOMEM;
    s->item = more;
    memset(&s->item[before], 0, sizeof *more);
    char *json = slurp(dir, file, &bytes, &why);
    int err = json ? take_result(r, file, json, bytes, &s->item[before]) : leave_out(s, file, "%s", why);
    if (s->count == before) {
        free(s->item[before].snapshot);
        free(s->item[before].row);
    }
    sqlite3_stmt *const all[] = {r->valid, r->facts, r->snapshots, r->rows};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sqlite3_reset(all[i]), sqlite3_clear_bindings(all[i]);
    free(json);
    return err;
}

static int open_reader(struct reader *r, struct vs_error *e)
{
    if (sqlite3_open(":memory:", &r->db) || sqlite3_prepare_v2(r->db, "SELECT json_valid(?1)", -1, &r->valid, NULL) ||
        sqlite3_prepare_v2(r->db, facts_sql, -1, &r->facts, NULL) ||
        sqlite3_prepare_v2(r->db, snapshots_sql, -1, &r->snapshots, NULL) ||
        sqlite3_prepare_v2(r->db, rows_sql, -1, &r->rows, NULL))
        return vs_fail(e, EIO, "cannot read JSON: %s", sqlite3_errmsg(r->db));
    return 0;
}

static void close_reader(struct reader *r)
{
    sqlite3_finalize(r->valid);
    sqlite3_finalize(r->facts);
    sqlite3_finalize(r->snapshots);
    sqlite3_finalize(r->rows);
    sqlite3_close(r->db);
}

/* The folder above is easily given for the one of a run. */
static int say_empty(const char *dir, const struct vs_experiments *s, struct vs_error *e)
{
    char newest[256], latest[VS_LABEL_SIZE] = "";
    if (s->left)
        return vs_fail(e, ENODATA, "nothing to draw: of %d results in %s none can be shown; %s: %s", s->left, dir,
                       s->left_out[0].file, s->left_out[0].reason);
    if (!vs_experiment_newest_run(dir, newest) && *newest) vs_label_clean(latest, sizeof latest, newest, VS_LABEL_POINTS);
    if (*latest)
        return vs_fail(e, ENODATA, "nothing to draw: %s holds no *" VS_RESULT_SUFFIX ", but runs; did you mean %s/%s?", dir, dir,
                       latest);
    return vs_fail(e, ENODATA,
                   "nothing to draw: %s holds no *" VS_RESULT_SUFFIX
                   "; give the folder run_... that `vramscope suite` made, or one"
                   " with files of `vramscope bench train --output NAME" VS_RESULT_SUFFIX "`",
                   dir);
}

int vs_experiments_load(const char *dir, struct vs_experiments *out, struct vs_error *e)
{
    struct reader r = {.set = out};
    struct vs_experiment_files files;
    memset(out, 0, sizeof *out);
    int err = vs_experiment_files(dir, &files);
    if (err) return vs_fail(e, -err, "cannot read the folder of results %s: %s", dir, strerror(-err));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) err = vs_fail(e, errno, "cannot read the folder of results %s: %s", dir, strerror(errno));
    if (!err) err = open_reader(&r, e);
    for (int i = 0; i < files.count && !err; i++) {
        err = i < FILES_MAX ? read_file(&r, fd, files.name[i])
                            : leave_out(out, files.name[i], "%s", "there are more than 1000 results");
        if (err) err = vs_fail(e, -err, "out of memory");
    }
    close_reader(&r);
    if (fd >= 0) close(fd);
    vs_experiment_files_free(&files);
    if (!err && !out->count) err = say_empty(dir, out, e);
    if (!err) err = vs_experiments_arrange(out, e);
    return err;
}
