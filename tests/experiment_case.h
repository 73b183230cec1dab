/* SPDX-License-Identifier: MIT
 *
 * experiment_case.h: what the tests of experiments share: a folder, the stand-in for the workload
 * (tests/programs/train_workload.c), and questions to a file of JSON.
 */
#ifndef VS_TESTS_EXPERIMENT_CASE_H
#define VS_TESTS_EXPERIMENT_CASE_H

#include "bench_case.h"

static inline void experiment_folder(void) /* for a checked fixture; cli_clean ends it */
{
    cli_folder();
    setenv("VRAMSCOPE_WORKLOAD", VS_BUILD_DIR "/tests/programs/train_workload", 1);
}

/* 1: built where there are no NVTX headers, so there is nothing that could be recorded. */
static inline int experiment_no_nvtx(void)
{
    int status = system(VS_BUILD_DIR "/tests/programs/train_workload >/dev/null 2>&1");
    return WIFEXITED(status) && WEXITSTATUS(status) == 77;
}

/* A query whose ?1 is a text. The first column of the first row, as text; "NULL". */
static inline const char *json_ask(const char *json, const char *sql)
{
    static char answer[4][4096];
    static unsigned turn;
    char *out = answer[turn++ % 4];
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    const char *text = NULL;
    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_msg(!sqlite3_prepare_v2(db, sql, -1, &q, NULL), "%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_bind_text(q, 1, json, -1, SQLITE_STATIC);
    ck_assert_msg(sqlite3_step(q) == SQLITE_ROW, "%s: %s; of: %s", sql, sqlite3_errmsg(db), json);
    text = (const char *)sqlite3_column_text(q, 0);
    snprintf(out, sizeof *answer, "%s", text ? text : "NULL");
    sqlite3_finalize(q);
    sqlite3_close(db);
    return out;
}

static inline const char *file_ask(const char *path, const char *sql)
{
    static char json[262144];
    cli_read(path, json, sizeof json);
    return json_ask(json, sql);
}

/* The six parts are the peak, to the last bit, and so are categories and components. */
#define ADDS_UP                                                                                                        \
    "SELECT json_extract(?1, '$.breakdown.model_parameters_mb') + json_extract(?1, '$.breakdown.gradients_mb')"        \
    " + json_extract(?1, '$.breakdown.activation_hooks_mb') + json_extract(?1, '$.breakdown.norm_samples_mb')"         \
    " + json_extract(?1, '$.breakdown.temp_matrices_mb') + json_extract(?1, '$.breakdown.optimizer_states_mb')"        \
    " = json_extract(?1, '$.peak_memory_mb') AND json_extract(?1, '$.peak_memory_mb') * 1048576 = json_extract(?1, "   \
    "'$.peak_bytes')"                                                                                                  \
    " AND json_extract(?1, '$.breakdown.peak_allocated_mb') = json_extract(?1, '$.peak_memory_mb')"                    \
    " AND (SELECT SUM(value) FROM json_each(?1, '$.categories')) = json_extract(?1, '$.peak_bytes')"                   \
    " AND (SELECT SUM(json_extract(value, '$.bytes')) FROM json_each(?1, '$.components')) = json_extract(?1, "         \
    "'$.peak_bytes')"
#define GET(path) "SELECT json_extract(?1, '$." path "')"

#endif
