/* SPDX-License-Identifier: MIT
 *
 * norm_results.c: from a row of text to a row of the table. Must never store half a file, nor 0 for what is not known.
 */
#include "norm_results.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csv.h"
#include "database_file.h"
#include "range_peak.h"
#include "store.h"
#include "text.h"

enum type { TEXT, INTEGER, REAL };

enum column {
#define X(name, type, column) AT_##name,
    VS_NORM_COLUMNS(X)
#undef X
        COLUMNS
};

static const struct {
    const char *name;
    enum type type;
} columns[COLUMNS] = {
#define X(name, type, column) {#name, type},
    VS_NORM_COLUMNS(X)
#undef X
};

static const char insert_sql[] = "INSERT INTO norm_result (process_id"
#define X(name, type, column) ", " #column
    VS_NORM_COLUMNS(X)
#undef X
        ") VALUES (?1"
#define X(name, type, column) ", ?"
    VS_NORM_COLUMNS(X)
#undef X
        ")";

struct reader {
    sqlite3 *db;
    sqlite3_stmt *insert;
    struct vs_csv csv;
    int place[COLUMNS]; /* in the file */
    int fields;
    int64_t after, process; /* id of the workload's; VS_NONE: not known */
    struct vs_norm_results *out;
};

static int wrong(const struct reader *r, struct vs_error *e, const char *what, enum column at)
{
    return vs_fail(e, EINVAL, "%s, line %lu: %s (%s)", r->csv.path, r->csv.line, what, columns[at].name);
}

static int read_header(struct reader *r, struct vs_error *e)
{
    int got = vs_csv_next(&r->csv, e);
    if (got < 0 || (!got && !r->csv.torn)) return got;
    r->fields = r->csv.fields;
    for (int c = 0; c < COLUMNS; c++) {
        r->place[c] = -1;
        for (int f = 0; got && f < r->fields; f++)
            if (!strcmp(r->csv.field[f], columns[c].name)) r->place[c] = f;
        if (r->place[c] < 0) return wrong(r, e, "not a file of results: its first line lacks a column", (enum column)c);
    }
    return 1;
}

static const char *field(const struct reader *r, enum column c)
{
    return r->csv.field[r->place[c]];
}

static int bind_text(struct reader *r, enum column c, struct vs_error *e)
{
    size_t n = r->csv.length[r->place[c]];
    char *clean = vs_text_clean(field(r, c), n, &n);
    if (!clean) return vs_fail(e, ENOMEM, "out of memory");
    sqlite3_bind_text64(r->insert, 2 + (int)c, clean, n, free, SQLITE_UTF8);
    return 0;
}

static int bind_field(struct reader *r, enum column c, struct vs_error *e)
{
    const char *text = field(r, c);
    char *end = NULL;
    int at = 2 + (int)c;
    size_t n = r->csv.length[r->place[c]];
    if (!n) return 0; /* bindings are cleared: NULL */
    if (columns[c].type == TEXT) return bind_text(r, c, e);
    errno = 0;
    if (columns[c].type == INTEGER) {
        long long value = strtoll(text, &end, 10);
        if (end != text + n || errno || value < 0) return wrong(r, e, "not a whole number from 0 on", c);
        sqlite3_bind_int64(r->insert, at, value);
    } else {
        double value = strtod(text, &end);
        if (end != text + n) return wrong(r, e, "not a number", c);
        sqlite3_bind_double(r->insert, at, value); /* SQLite keeps infinity, and NaN as NULL */
    }
    return 0;
}

static int check_row(const struct reader *r, struct vs_error *e)
{
    static const char *const statuses[] = {"ok", "beyond_bound", "nonfinite", "skipped", "unchecked"};
    static const enum column needed[] = {AT_algo, AT_device, AT_dtype};
    if (r->csv.fields != r->fields)
        return vs_fail(e, EINVAL, "%s, line %lu: %d fields where the first line has %d", r->csv.path, r->csv.line,
                       r->csv.fields, r->fields);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!r->csv.length[r->place[needed[i]]]) return wrong(r, e, "an empty field", needed[i]);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (!strcmp(field(r, AT_status), statuses[i])) return 0;
    return wrong(r, e, "none of ok, beyond_bound, nonfinite, skipped, unchecked", AT_status);
}

/* The CPU's temporary memory is the workload's to measure; of CUDA only the recording knows. */
static int bind_measured(struct reader *r, struct vs_error *e)
{
    struct vs_range_peak peak = {VS_NONE, VS_NONE, "the workload names no range"};
    int err = 0, skipped = !strcmp(field(r, AT_status), "skipped");
    size_t n = r->csv.length[r->place[AT_range]];
    char *name = n ? vs_text_clean(field(r, AT_range), n, &n) : NULL;
    if (name) err = vs_range_peak_find(r->db, r->after, name, &peak, e);
    free(name);
    if (err) return err;
    if (peak.process_id == VS_NONE) peak.process_id = r->process;
    if (peak.process_id != VS_NONE) sqlite3_bind_int64(r->insert, 1, peak.process_id);
    if (!strcmp(field(r, AT_device), "cpu")) return 0;
    sqlite3_bind_null(r->insert, 2 + AT_temp_bytes);
    if (skipped) return 0;
    if (!peak.unknown) sqlite3_bind_int64(r->insert, 2 + AT_temp_bytes, peak.bytes);
    else if (!r->out->unmeasured++) r->out->unknown = peak.unknown;
    return 0;
}

static int store_row(struct reader *r, struct vs_error *e)
{
    int err = check_row(r, e);
    sqlite3_clear_bindings(r->insert);
    for (int c = 0; c < COLUMNS && !err; c++) err = bind_field(r, (enum column)c, e);
    if (!err) err = bind_measured(r, e);
    if (err) return err;
    int rc = sqlite3_step(r->insert);
    sqlite3_reset(r->insert);
    if (rc != SQLITE_DONE) return vs_fail(e, EIO, "cannot store the results: %s", sqlite3_errmsg(r->db));
    if (!r->out->rows++) r->out->first_id = sqlite3_last_insert_rowid(r->db);
    return 0;
}

static void find_process(struct reader *r, int64_t pid)
{
    sqlite3_stmt *q = NULL;
    r->process = VS_NONE;
    if (sqlite3_prepare_v2(r->db, "SELECT id FROM process WHERE id > ?1 AND pid = ?2 ORDER BY id DESC", -1, &q, NULL))
        return;
    sqlite3_bind_int64(q, 1, r->after);
    sqlite3_bind_int64(q, 2, pid);
    if (sqlite3_step(q) == SQLITE_ROW) r->process = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
}

static int store_all(struct reader *r, struct vs_store *store, int64_t pid, struct vs_error *e)
{
    int got, err = 0;
    r->db = vs_store_handle(store);
    find_process(r, pid);
    if (sqlite3_prepare_v2(r->db, insert_sql, -1, &r->insert, NULL))
        return vs_fail(e, EINVAL,
                       "the database cannot take results (%s): it was made by an older vramscope; choose another -o",
                       sqlite3_errmsg(r->db));
    if (vs_store_begin(store)) return vs_fail(e, EIO, "cannot store the results: %s", vs_store_message(store));
    got = read_header(r, e);
    while (got > 0 && !err && (got = vs_csv_next(&r->csv, e)) > 0) err = store_row(r, e);
    if (got < 0) err = got;
    if (!err && (vs_store_commit(store) || vs_store_settle(store)))
        err = vs_fail(e, EIO, "cannot store the results: %s", vs_store_message(store));
    r->out->torn = r->csv.torn;
    return err; /* closing the store rolls back what is not committed */
}

int vs_norm_results_store(const char *db_path, const char *csv_path, int64_t after, int64_t pid,
                          struct vs_norm_results *out, struct vs_error *e)
{
    struct reader r = {.after = after, .out = out};
    struct vs_store *store = NULL;
    int lock = -1, err = vs_csv_open(&r.csv, csv_path, e);
    *out = (struct vs_norm_results){0};
    if (!err) err = vs_database_file_take(db_path, VS_INGEST_RESUME, &lock, e);
    if (!err) err = vs_store_open(db_path, &store, e);
    if (!err) err = store_all(&r, store, pid, e);
    sqlite3_finalize(r.insert);
    vs_store_close(store);
    if (lock >= 0) close(lock);
    vs_csv_close(&r.csv);
    return err;
}
