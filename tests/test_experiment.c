/* SPDX-License-Identifier: MIT
 *
 * test_experiment.c: results of experiments: completed from databases made by hand, refused when they are damaged, written and
 * read back. The command around them is in test_bench_train.c.
 */
#include "experiment_case.h"

#include "../db/experiment.h"

#include <errno.h>

Suite *make_experiment_suite(void);

#define WHOLE                                                                                                          \
    "{\"experiment\":\"ghost\",\"status\":\"ok\",\"reason\":\"\",\"mode\":\"ghost\",\"device\":\"cuda\",\"dtype\":"    \
    "\"bf16\","                                                                                                        \
    "\"optimizer\":\"adam\",\"seed\":1,\"config\":{\"seq_len\":64},\"arena\":{\"peak_bytes\":1000},\"times_ms\":[1.5]" \
    ","                                                                                                                \
    "\"avg_time_ms\":0.10000000000000001,\"median_time_ms\":1,\"peak_memory_mb\":77,\"snapshots\":[%s]}"
#define MOMENTS                                                                                                        \
    "{\"name\":\"a\",\"arena_bytes\":10},{\"name\":\"b\",\"arena_bytes\":20},{\"name\":\"a\",\"arena_bytes\":30},"     \
    "{\"name\":\"lost\",\"arena_bytes\":40}"

/* GPU 1 has the higher peak; at 100 are live: 1000003 parameters, 77 with a hostile name, 5 norms, 13 of no known category. */
#define RECORDING                                                                                                      \
    "INSERT INTO process (id, pid, ended) VALUES (1, 7, 'exit'), (2, 7, 'exit'), (3, 8, 'exit');"                      \
    "INSERT INTO string VALUES (1, 'parameter/w'), (2, 'activation/\"''; DROP TABLE experiment; --' || char(27, 10) "  \
    "|| '{['),"                                                                                                        \
    " (3, 'workspace/norm_samples.x'), (4, 'workspace/norm'), (5, 'parameter/w2');"                                    \
    "INSERT INTO peak_data (process_id, device, series, peak_bytes, peak_ts_ns, live_bytes, allocations, frees) "      \
    "VALUES"                                                                                                           \
    " (2, 0, 'sub', 50, 10, 0, 1, 1), (2, 1, 'sub', 1000102, 100, 0, 1, 1), (2, -1, 'sub', 9000000, 100, 0, 1, 1),"    \
    " (2, 1, 'held', 9000000, 100, 0, 1, 1), (1, 1, 'sub', 5, 5, 5, 5, 5);"                                            \
    "INSERT INTO allocation (process_id, device, level, source, bytes, alloc_ts_ns, free_ts_ns, imported, flags, "     \
    "category,"                                                                                                        \
    " name_id) VALUES (2, 1, 'sub', 'region', 1000000, 1, NULL, 0, 0, 'parameter', 1),"                                \
    " (2, 1, 'sub', 'region', 3, 2, 200, 0, 0, 'parameter', 1), (2, 1, 'sub', 'region', 77, 3, 101, 0, 0, "            \
    "'activation', 2),"                                                                                                \
    " (2, 1, 'sub', 'region', 5, 4, NULL, 0, 0, 'workspace', 3), (2, 1, 'sub', 'region', 4, 5, NULL, 0, 0, "           \
    "'workspace', 4),"                                                                                                 \
    " (2, 1, 'sub', 'torch', 13, 100, NULL, 0, 0, NULL, NULL), (2, 1, 'sub', 'region', 999, 6, 100, 0, 0, "            \
    "'gradient', 5),"                                                                                                  \
    " (2, 1, 'sub', 'region', 999, 101, NULL, 0, 0, 'gradient', 5), (2, 1, 'sub', 'region', 999, 6, NULL, 0, 32, "     \
    "'gradient', 5),"                                                                                                  \
    " (2, 1, 'held', 'cuda', 999, 6, NULL, 0, 0, NULL, NULL), (2, 0, 'sub', 'region', 50, 6, NULL, 0, 0, 'input', 5)," \
    " (2, NULL, 'sub', 'region', 50, 6, NULL, 0, 0, 'input', 5), (1, 1, 'sub', 'region', 5, 5, NULL, 0, 0, 'input', "  \
    "5);"                                                                                                              \
    "INSERT INTO snapshot VALUES (2, 1, 50, 'a', 10, 100, 15), (2, 1, 60, 'a', 30, 100, 30), (2, 1, 55, 'b', 20, "     \
    "100, 20),"                                                                                                        \
    " (2, NULL, 50, 'a', 11, 100, 15), (1, 1, 40, 'a', 12, 100, 15), (2, 1, 90, 'end of process', 0, 0, 0);"           \
    "INSERT INTO loss VALUES (2, 'nvtx', 'pool_empty', 3), (1, 'cuda', 'torn', 9);"

static struct vs_error error;
static int64_t id;
static char *json;

static struct vs_experiment_run run_of(void)
{
    static const char *const words[] = {"--batch-size=4", "--mode=ghost"};
    return (struct vs_experiment_run){.db_path = "x.db",
                                      .results = "w.json",
                                      .name = "fallback",
                                      .recording = "suite.db",
                                      .version = "v",
                                      .words = words,
                                      .word_count = 2,
                                      .after = 1,
                                      .pid = 7};
}

static int store(const struct vs_experiment_run *run)
{
    free(json);
    error.text[0] = 0;
    return vs_experiment_store(run, &id, &json, &error);
}

static void change(const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    ck_assert_int_eq(sqlite3_open("x.db", &db), SQLITE_OK);
    sqlite3_exec(db, sql, NULL, NULL, &message);
    ck_assert_msg(!message, "%s", message);
    sqlite3_close(db);
}

/* The workload's file, and the recording when there is none. */
static void make(const char *format, const char *moments, const char *sql)
{
    char text[8192];
    snprintf(text, sizeof text, format, moments);
    bench_write("w.json", text);
    if (cli_exists("x.db")) change(sql);
    else cli_database("x.db", sql);
}

START_TEST(test_memory_is_what_the_recording_says)
{
    struct vs_experiment_run run = run_of();
    make(WHOLE, MOMENTS, RECORDING);
    ck_assert_msg(!store(&run), "%s", error.text);
    ck_assert_str_eq(json_ask(json, ADDS_UP), "1");
    ck_assert_str_eq(json_ask(json, GET("peak_bytes")), "1000102");
    ck_assert_str_eq(json_ask(json, GET("categories")),
                     "{\"parameter\":1000003,\"activation\":77,\"unknown\":13,\"workspace\":9}");
    ck_assert_str_eq(json_ask(json, GET("components[0].name")), "parameter/w");
    ck_assert_str_eq(json_ask(json, GET("components[0].bytes")), "1000003");
    ck_assert_str_eq(json_ask(json, GET("components[1].name")), "activation/\"'; DROP TABLE experiment; --\033\n{[");
    ck_assert_str_eq(json_ask(json, GET("breakdown.norm_samples_mb") " * 1048576"), "5.0");
    ck_assert_str_eq(json_ask(json, GET("breakdown.temp_matrices_mb") " * 1048576"), "17.0");
    ck_assert_str_eq(json_ask(json, GET("breakdown.optimizer_states_mb")), "0.0");
    ck_assert_str_eq(json_ask(json, GET("breakdown.total_allocated_mb") " * 1048576"), "30.0");
    HAS(json, "\"avg_time_ms\":0.10000000000000001,"); /* as the workload wrote it */
    ck_assert_str_eq(json_ask(json, GET("losses_of_recording")), "nvtx pool_empty 3");
    ck_assert_str_eq(
        json_ask(json, GET("process_id") " || json_extract(?1, '$.recording') || json_extract(?1, '$.vramscope')"),
        "2suite.dbv");
    ck_assert_str_eq(json_ask(json, GET("arguments")), "[\"--batch-size=4\",\"--mode=ghost\"]");
    ck_assert_int_eq(bench_number("x.db",
                                  "SELECT COUNT(*) FROM experiment WHERE id = 1 AND process_id = 2 AND name = 'ghost'"
                                  " AND json_valid(result)"),
                     1);
}
END_TEST

START_TEST(test_snapshots_are_the_marks_of_the_recording)
{
    struct vs_experiment_run run = run_of();
    make(WHOLE, MOMENTS, RECORDING);
    ck_assert_msg(!store(&run), "%s", error.text);
    ck_assert_str_eq(
        json_ask(
            json,
            "SELECT group_concat(json_extract(value, '$.allocated_mb') * 1048576) FROM json_each(?1, '$.snapshots')"
            " WHERE json_extract(value, '$.allocated_mb') * 1048576 = json_extract(value, '$.arena_bytes')"),
        "10.0,20.0,30.0");
    ck_assert_str_eq(json_ask(json, GET("snapshots[2].timestamp")), "1.0e-08");
    ck_assert_str_eq(
        json_ask(json,
                 "SELECT json_type(?1, '$.snapshots[3].allocated_mb') || json_type(?1, '$.snapshots[3].timestamp')"),
        "nullnull");
    ck_assert_str_eq(json_ask(json, GET("arena_mismatch")), "1"); /* the arena's peak is 1000, not 1000102 */
    make(WHOLE, "{\"name\":\"b\",\"arena_bytes\":20}", "UPDATE peak_data SET peak_bytes = 1000 WHERE device = 1");
    ck_assert_int_eq(store(&run), 0);
    ck_assert_str_eq(json_ask(json, GET("arena_mismatch")), "0");
    make(WHOLE, "{\"name\":\"b\",\"arena_bytes\":21}", "");
    ck_assert_int_eq(store(&run), 0);
    ck_assert_str_eq(json_ask(json, GET("arena_mismatch")), "1");
}
END_TEST

START_TEST(test_unknown_is_null)
{
    struct vs_experiment_run run = run_of();
    struct vs_experiment_facts facts;
    make(WHOLE, MOMENTS, RECORDING);
    run.pid = 99; /* nobody recorded it */
    ck_assert_msg(!store(&run), "%s", error.text);
    ck_assert_str_eq(
        json_ask(json,
                 "SELECT group_concat(json_type(?1, value)) FROM json_each('[\"$.peak_memory_mb\",\"$.peak_bytes\","
                 "\"$.breakdown.gradients_mb\",\"$.breakdown.total_reserved_mb\",\"$.breakdown.peak_allocated_mb\","
                 "\"$.process_id\",\"$.losses_of_recording\",\"$.snapshots[0].reserved_mb\"]')"),
        "null,null,null,null,null,null,null,null");
    ck_assert_str_eq(json_ask(json, GET("categories") " || json_extract(?1, '$.components')"), "{}[]");
    ck_assert_int_eq(vs_experiment_look(json, &facts, &error), 0);
    ck_assert(facts.ok && facts.peak_mb != facts.peak_mb && facts.avg_ms == 0.1); /* NaN */
}
END_TEST

START_TEST(test_a_run_without_a_file)
{
    struct vs_experiment_run run = run_of();
    make("", "", RECORDING "UPDATE process SET ended = 'killed', exit_status = 137 WHERE id = 2;");
    run.results = NULL;
    run.status = 137;
    ck_assert_msg(!store(&run), "%s", error.text);
    ck_assert_str_eq(
        json_ask(json,
                 GET("status") " || ': ' || json_extract(?1, '$.experiment') || ': ' || json_extract(?1, '$.reason')"),
        "failed: fallback: killed by signal 9");
    ck_assert_str_eq(json_ask(json, GET("peak_bytes")), "9000000"); /* the highest of all devices */
    run.status = 3;
    run.problem = "it wrote nothing";
    change("UPDATE process SET ended = 'exit', exit_status = 1 WHERE id = 2;"
           "INSERT INTO allocation_failure (process_id, device, source, bytes, free_bytes, ts_ns, sub_allocations,"
           " held_allocations) VALUES (2, 1, 'cuda', 8388608, 1048576, 100, 1, 1);"
           "UPDATE process SET end_ns = 101, alive_ns = 101 WHERE id = 2");
    ck_assert_msg(!store(&run), "%s", error.text);
    ck_assert_str_eq(json_ask(json, GET("reason")),
                     "it wrote nothing; an allocation of 8.0 MiB failed, 1.0 MiB were free on the device");
    ck_assert_str_eq(json_ask(json, "SELECT json_type(?1, '$.avg_time_ms')"), "NULL");
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM experiment"), 2);
}
END_TEST

START_TEST(test_a_failed_run_has_no_times)
{
    struct vs_experiment_run run = run_of();
    make(WHOLE, MOMENTS, RECORDING);
    run.status = 1;
    ck_assert_int_eq(store(&run), 0);
    ck_assert_str_eq(json_ask(json, GET("status") " || json_extract(?1, '$.reason')"), "failedended with status 1");
    HAS_NOT(json, "_time_ms");
    HAS_NOT(json, "times_ms");
    ck_assert_str_eq(json_ask(json, ADDS_UP), "1");
}
END_TEST

static const struct {
    const char *text, *says;
} damaged[] = {
    {"", "does not hold one whole JSON object"},
    {"{\"experiment\":\"gho", "does not hold one whole JSON object"},
    {WHOLE "x", "does not hold one whole JSON object"},
    {"[1]", "does not hold one whole JSON object"},
    {"{}", "experiment is missing"},
    {"{\"experiment\":7}", "experiment is of another type"},
    {"{\"experiment\":\"g\",\"status\":\"failed\"}", "config is missing"},
    {"{\"experiment\":\"g\",\"status\":\"failed\",\"config\":[]}", "config is of another type"},
    {"{\"experiment\":\"g\",\"status\":\"failed\",\"config\":{},\"reason\":{}}", "reason is of another type"},
    {"{\"experiment\":\"g\",\"status\":\"ok\",\"config\":{}}", "mode is missing"},
    {"{\"experiment\":\"g\",\"status\":\"failed\",\"config\":{},\"snapshots\":[7]}", "a snapshot has no name"},
    {"{\"experiment\":\"g\",\"status\":\"failed\",\"config\":{},\"snapshots\":[{\"name\":\"a\",\"arena_bytes\":\"1\"}]"
     "}",
     "a snapshot has no name"},
    {"{\"experiment\":\"g\",\"status\":\"failed\",\"config\":{},\"snapshots\":{}}", "snapshots is of another type"},
};

START_TEST(test_a_damaged_file_is_refused)
{
    struct vs_experiment_run run = run_of();
    make("%s", damaged[_i].text, RECORDING);
    ck_assert_int_eq(store(&run), -EINVAL);
    HAS(error.text, "w.json is not a ");
    HAS(error.text, damaged[_i].says);
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM experiment"), 0);
    ck_assert_int_eq(vs_experiment_read("w.json", &json, &error), -EINVAL);
}
END_TEST

START_TEST(test_files_are_written_whole_and_read_back)
{
    static const char *const words[] = {"--batch-size=4", "--mode=flash", "--x"};
    static const char text[] = "{\"experiment\":\"a\\\\\",\"status\":\"failed\",\"config\":{},\"reason\":\"{\\\"[,: "
                               "\\u0000\\n\",\"x\":[[],{},[1,"
                               "{\"y\":[null]}]],\"arguments\":[\"--batch-size=4\",\"--mode=ghost\"]}";
    char how[VS_EXPERIMENT_TEXT], back[1024];
    ck_assert_int_eq(vs_experiment_write(text, "r.json", &error), 0);
    ck_assert_int_eq(vs_experiment_read("r.json", &json, &error), 0);
    HAS(json, "{\n  \"experiment\": \"a\\\\\",\n");
    HAS(json, "  \"config\": {},\n");
    snprintf(back, sizeof back, "%s", json_ask(json, "SELECT json(?1)"));
    ck_assert_str_eq(back, text);
    ck_assert_int_eq(vs_experiment_differs(json, words, 3, how, &error), 0);
    ck_assert_str_eq(how, "then --mode=ghost, now --mode=flash, now --x");
    ck_assert_int_eq(vs_experiment_write(text, "absent/r.json", &error), -ENOENT);
    HAS(error.text, "cannot write absent/r.json");
    free(json);
    ck_assert_int_eq(vs_experiment_read("absent", &json, &error), -ENOENT);
    json = NULL;
}
END_TEST

Suite *make_experiment_suite(void)
{
    Suite *s = suite_create("experiment");
    TCase *c = tcase_create("result");
    tcase_add_checked_fixture(c, experiment_folder, cli_clean);
    tcase_add_test(c, test_memory_is_what_the_recording_says);
    tcase_add_test(c, test_snapshots_are_the_marks_of_the_recording);
    tcase_add_test(c, test_unknown_is_null);
    tcase_add_test(c, test_a_run_without_a_file);
    tcase_add_test(c, test_a_failed_run_has_no_times);
    tcase_add_loop_test(c, test_a_damaged_file_is_refused, 0, sizeof damaged / sizeof *damaged);
    tcase_add_test(c, test_files_are_written_whole_and_read_back);
    suite_add_tcase(s, c);
    return s;
}
