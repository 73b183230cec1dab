/* SPDX-License-Identifier: MIT
 *
 * outcome_case.h: results of experiments as files, for the commands that read them. Must never write what the suite would
 * not.
 */
#ifndef VS_TESTS_OUTCOME_CASE_H
#define VS_TESTS_OUTCOME_CASE_H

#include "test_cli.h"

#define NOTES VS_SOURCE_DIR "/tests/fixtures/notes"
#define MIB   1048576LL

struct result {
    const char *name, *mode, *semantics, *status, *reason; /* NULL: name, mode's, "ok" */
    long long seed, parameter, activation;                 /* bytes: the categories and parts */
    int seq_len, layers, process;
    double ms;
    const char *more; /* further keys, as "\"key\": value, "; of two alike the first counts */
};

/* Everything the suite writes that matters here; what is 0 or NULL gets a usual value. */
static inline void result_text(char *text, size_t size, struct result r)
{
    const char *mode = r.mode ? r.mode : r.name;
    long long parameter = r.parameter ? r.parameter : 100 * MIB, activation = r.activation ? r.activation : 60 * MIB;
    snprintf(
        text, size,
        "{%s\"experiment\": \"%s\", \"status\": \"%s\", \"reason\": \"%s\", \"mode\": \"%s\", \"semantics\": \"%s\","
        " \"device\": \"cpu\", \"device_name\": \"a CPU\", \"dtype\": \"fp32\", \"optimizer\": \"adam\", \"seed\": %lld,"
        " \"config\": {\"preset\": \"tiny\", \"num_layers\": %d, \"seq_len\": %d, \"learning_rate\": 1e-4, \"memory_budget_mb\": null},"
        " \"avg_time_ms\": %g, \"median_time_ms\": %g, \"peak_memory_mb\": %.17g, \"peak_bytes\": %lld,"
        " \"breakdown\": {\"model_parameters_mb\": %.17g, \"activation_hooks_mb\": %.17g, \"norm_samples_mb\": 0,"
        " \"peak_allocated_mb\": %.17g}, \"categories\": {\"parameter\": %lld, \"activation\": %lld},"
        " \"components\": [{\"name\": \"parameter/head\", \"bytes\": %lld}, {\"name\": \"activation/block00\", \"bytes\": %lld}],"
        " \"process_id\": %d}\n",
        r.more ? r.more : "", r.name, r.status ? r.status : "ok", r.reason ? r.reason : "", mode,
        r.semantics               ? r.semantics
        : strcmp(mode, "vanilla") ? "two_pass"
                                  : "non_private",
        r.seed ? r.seed : 1337, r.layers ? r.layers : 2, r.seq_len ? r.seq_len : 128, (r.ms ? r.ms : 10) + 1,
        r.ms ? r.ms : 10, (double)(parameter + activation) / (double)MIB, parameter + activation,
        (double)parameter / (double)MIB, (double)activation / (double)MIB,
        (double)(parameter + activation) / (double)MIB, parameter, activation, parameter, activation,
        r.process ? r.process : 1);
}

static inline void file_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

static inline void result_write(const char *path, struct result r)
{
    char text[4096];
    result_text(text, sizeof text, r);
    file_write(path, text);
}
#define RESULT(path, ...) result_write(path, (struct result){__VA_ARGS__})

/* The same in table experiment of a database. */
static inline void result_store(const char *path, const struct result *r, int count)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    char text[4096];
    cli_database(path, "SELECT 1");
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    for (int i = 0; i < count; i++) {
        result_text(text, sizeof text, r[i]);
        ck_assert_int_eq(sqlite3_prepare_v2(db, "INSERT INTO experiment(process_id, name, result) VALUES (?1, ?2, ?3)",
                                            -1, &q, NULL),
                         SQLITE_OK);
        sqlite3_bind_int(q, 1, i + 1);
        sqlite3_bind_text(q, 2, r[i].name, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 3, text, -1, SQLITE_STATIC);
        ck_assert_int_eq(sqlite3_step(q), SQLITE_DONE);
        sqlite3_finalize(q);
    }
    sqlite3_close(db);
}

/* A recording without experiments: `ranks` ranks with parameters and activations at their peaks, three iterations. */
static inline void recording_write(const char *path, int ranks, long long activation, long long iteration_ns,
                                   const char *more)
{
    char sql[4096];
    snprintf(
        sql, sizeof sql,
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1) INSERT INTO process(id, pid, rank,"
        " world_size, command_line, start_ns, end_ns, ended, exit_status) SELECT i + 1, i + 100, i, %d, 'python train.py', i, 99,"
        " 'exit', 0 FROM n;"
        " INSERT INTO peak_data SELECT id, 0, 'sub', 1073741824 + %lld, 1, 0, 1, 1, NULL FROM process;"
        " INSERT INTO peak_data SELECT id, 0, 'held', 9663676416, 1, 0, 1, 1, NULL FROM process;"
        " INSERT INTO peak_data SELECT id, -1, 'held', 99663676416, 1, 0, 1, 1, NULL FROM process;"
        " INSERT INTO at_peak SELECT id, 0, 'sub', 'torch', 'parameter', NULL, NULL, 1073741824, 3 FROM process;"
        " INSERT INTO at_peak SELECT id, 0, 'sub', 'torch', 'activation', NULL, 'block 3', %lld, 9 FROM process;"
        " WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2)"
        " INSERT INTO phase(process_id, name, iteration, begin_ns, end_ns, origin) SELECT id, 'forward', i, 1000000000 * i,"
        " 1000000000 * i + %lld, 'nvtx' FROM n, process; %s",
        ranks, ranks, activation, activation, iteration_ns, more);
    cli_database(path, sql);
}

#endif
