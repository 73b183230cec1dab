/* SPDX-License-Identifier: MIT
 *
 * test_bench.c: `vramscope bench norms` as a user sees it, around a stand-in for the workload whose CUDA memory is known
 * to the byte (tests/programs/norms_workload.c), and once around the real one. It judges no time. Its tables are in
 * test_bench_tables.c.
 */
#include "bench_case.h"

#include "../db/norm_results.h"

Suite *make_bench_suite(void);

START_TEST(test_csv_is_the_data_alone_and_memory_is_measured)
{
    if (bench_no_nvtx()) return;
    CLI("bench", "norms", "--csv", "--T", "512", "-o", "x.db");
    STATUS(0);
    ck_assert_str_eq(
        got.out, "algo,device,dtype,B,T,d,p,median_ms,temp_bytes,tflops,floor_fraction,rel_err\n"
                 "gram_full,cuda,bf16,2,512,32,16,0.25,5242881,1.5,0.2,1.5e-06\n" /* the file's 999 is not believed */
                 "gram,cuda,bf16,2,512,32,16,0.0625,3000,6.0,0.8,1.0e-06\n"
                 "direct,cuda,bf16,2,512,32,16,0.125,0,,,0.002\n"
                 "materialize,cuda,bf16,2,512,32,16,,,,,\n"
                 "auto,cuda,bf16,2,512,32,16,0.0625,,6.0,0.8,\n");
    HAS(got.err, "norms --results x.db.results."); /* what the workload prints */
    HAS(got.err, ".csv --T 512\n");
    HAS(got.err, "progress of the workload\n");
    HAS(got.err, "temporary memory of 1 result is not known: its range is not in the recording\n");
    HAS(got.err, "\nMEMORY ");
    HAS_NOT(got.err, "warn"); /* the recorder knows our settings */
    ck_assert_int_eq(bench_kept("x.db"), 0);
    ck_assert(!cli_exists("x.db.log"));
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM norm_result WHERE process_id = 1"), 5);
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM kernel"), 0);
    ck_assert_int_eq(bench_number("x.db", "SELECT trace_level = 'memory' FROM process"), 1);
}
END_TEST

START_TEST(test_json_has_every_column)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    static const char *const keys[] = {
#define X(name, type, column) #column,
        VS_NORM_COLUMNS(X)
#undef X
            "device_name",
        "host", "version"};
    if (bench_no_nvtx()) return;
    CLI("bench", "norms", "--json", "-ox.db");
    STATUS(0);
    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_prepare_v2(db,
                           "SELECT json_array_length(?1), (SELECT COUNT(*) FROM json_each(?1, '$[0]')),"
                           " json_extract(?1, '$[0].temp_bytes'), json_extract(?1, '$[3].reason'),"
                           " json_extract(?1, '$[0].device_name') IS NOT NULL, json_type(?1, '$[3].median_ms')",
                           -1, &q, NULL),
        SQLITE_OK);
    sqlite3_bind_text(q, 1, got.out, -1, SQLITE_STATIC);
    ck_assert_msg(sqlite3_step(q) == SQLITE_ROW, "%s", got.out);
    ck_assert_int_eq(sqlite3_column_int(q, 0), 5);
    ck_assert_int_eq(sqlite3_column_int(q, 1), sizeof keys / sizeof *keys);
    ck_assert_int_eq(sqlite3_column_int(q, 2), 5242881);
    ck_assert_str_eq((const char *)sqlite3_column_text(q, 3), "3 GiB asked, \"2\" free: use gram");
    ck_assert_int_eq(sqlite3_column_int(q, 4), 1);
    ck_assert_str_eq((const char *)sqlite3_column_text(q, 5), "null");
    sqlite3_finalize(q);
    sqlite3_close(db);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\":", keys[i]);
        HAS(got.out, quoted);
    }
}
END_TEST

static const struct {
    const char *rows, *says;
} damaged[] = {
    {"hello\n", ".csv, line 1: not a file of results: its first line lacks a column (algo)"},
    {HEADER "\n" FULL "norms/x\n", "line 2: 26 fields where the first line has 27"},
    {HEADER "\n" FULL "norms/x,,\n", "line 2: 28 fields"},
    {HEADER "\n" FULL "a,\na,cpu,bf16,one,1,2,x,3,4,ok,,,,,,,,,,,,,,,,,\n", "line 3: not a whole number from 0 on (T)"},
    {HEADER "\na,cpu,bf16,one,1,-2,5,3,4,ok,,,,,,,,,,,,,,,,,\n", "not a whole number from 0 on (B)"},
    {HEADER "\na,cpu,bf16,one,1,2,5,3,4,ok,,0.1s,,,,,,,,,,,,,,,\n", "not a number (median_ms)"},
    {HEADER "\na,cpu,bf16,one,1,2,5,3,4,fine,,,,,,,,,,,,,,,,,\n",
     "none of ok, beyond_bound, nonfinite, skipped, unchecked (status)"},
    {HEADER "\n,cpu,bf16,one,1,2,5,3,4,ok,,,,,,,,,,,,,,,,,\n", "an empty field (algo)"},
    {HEADER "\n\"a\"b,cpu\n", "line 2: text after a closing quote"},
    {HEADER "\na\"b,cpu\n", "line 2: a quote inside a field"},
    {HEADER "\na\rb,cpu\n", "line 2: a carriage return"},
};

START_TEST(test_a_damaged_file_is_named_and_kept)
{
    if (bench_no_nvtx()) return;
    bench_write("rows", damaged[_i].rows);
    CLI("bench", "norms", "-o", "x.db", "--csv");
    STATUS(1);
    ck_assert_str_eq(got.out, "");
    HAS(got.err, "vramscope: error: x.db.results.");
    HAS(got.err, damaged[_i].says);
    HAS(got.err, "vramscope: the results stay in x.db.results.");
    HAS(got.err, ".csv, for reading: no command stores them later\n");
    ck_assert_int_eq(bench_kept("x.db"), 1);
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM norm_result"), 0);
    CLI("bench", "norms", "-o", "x.db", "--force"); /* the file of another run is neither read nor deleted */
    STATUS(1);
    ck_assert_int_eq(bench_kept("x.db"), 2);
}
END_TEST

START_TEST(test_status_is_the_workloads)
{
    static const char *const statuses[] = {"0", "1", "2", "7"};
    if (bench_no_nvtx()) return;
    for (int i = 0; i < 4; i++) {
        setenv("FAKE_STATUS", statuses[i], 1);
        CLI("bench", "norms", "--csv");
        STATUS(atoi(statuses[i]));
        HAS(got.out, "gram_full,cuda"); /* what was measured is shown all the same */
    }
    unsetenv("FAKE_RESULTS");
    CLI("bench", "norms", "--csv", "-o", "x.db");
    STATUS(7);
    ck_assert_str_eq(got.out, "");
    HAS_NOT(got.err, "vramscope: error");
    setenv("FAKE_STATUS", "0", 1);
    CLI("bench", "norms", "-o", "y.db");
    STATUS(1);
    HAS(got.err, "vramscope: error: the workload ended in order but wrote no results");
    ck_assert_int_eq(bench_kept("x.db") + bench_kept("y.db"), 0);
}
END_TEST

START_TEST(test_killed_while_writing)
{
    if (bench_no_nvtx()) return;
    bench_write("rows", HEADER "\n" FULL "norms/gram_full/T=64,\n" TILED "nor");
    setenv("FAKE_SIGNAL", "9", 1);
    CLI("bench", "norms", "--csv");
    STATUS(137);
    HAS(got.out, "gram_full,cuda,bf16,2,512,32,16,0.25,5242881,");
    HAS_NOT(got.out, "gram,");
    HAS(got.err, "the last line of the results is not whole");
    HAS(got.err, "error: the workload was ended by signal 9; these are the results until then\n");
    bench_write("rows", HEADER "\n");
    CLI("bench", "norms");
    STATUS(137);
    HAS(got.err, "error: the workload was ended by signal 9 before it had a result\n");
    bench_write("rows", HEADER "\n" FULL "norms/gram_full/T=64,\n" TILED "nor");
    unsetenv("FAKE_SIGNAL");
    CLI("bench", "norms", "--csv");
    STATUS(1);
}
END_TEST

START_TEST(test_a_run_that_was_not_recorded_is_an_error)
{
    setenv("FAKE_UNRECORDED", "1", 1);
    if (bench_no_nvtx()) return;
    CLI("bench", "norms", "-o", "x.db");
    STATUS(1);
    HAS(got.err, "the workload was not recorded");
    HAS(got.err, "the results stay in x.db.results.");
    ck_assert_int_eq(bench_kept("x.db"), 1);
    ck_assert(!cli_exists("x.db"));
}
END_TEST

START_TEST(test_append_measures_the_new_run)
{
    if (bench_no_nvtx()) return;
    CLI("bench", "norms", "-o", "x.db");
    STATUS(0);
    CLI("bench", "norms", "-o", "x.db");
    STATUS(1);
    HAS(got.err, "--force replaces it, --append adds this run");
    ck_assert_int_eq(bench_kept("x.db"), 0);
    CLI("bench", "norms", "-o", "x.db", "--append", "--csv", "--results", "kept.csv");
    STATUS(0);
    HAS(got.out, "gram_full,cuda,bf16,2,512,32,16,0.25,5242881,");
    ck_assert(cli_exists("kept.csv"));
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM norm_result WHERE process_id = 1"), 5);
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM norm_result WHERE process_id = 2 AND id > 5"), 5);
    CLI("bench", "norms", "-o", "y.db", "--results", "kept.csv");
    STATUS(1);
    HAS(got.err, "kept.csv exists; --results needs the name of a new file");
    CLI("bench", "norms", "--force", "-o", "x.db");
    STATUS(0);
    ck_assert_int_eq(bench_number("x.db", "SELECT COUNT(*) FROM norm_result"), 5);
    ck_assert_int_eq(bench_kept("x.db") + bench_kept("y.db"), 0);
    cli_database("old.db", "DROP TABLE norm_result;");
    CLI("bench", "norms", "--append", "-o", "old.db");
    STATUS(1);
    HAS(got.err, "old.db cannot take results: it was made by an older vramscope");
    HAS_NOT(got.err, "progress"); /* nothing ran */
    ck_assert(!cli_exists("old.db.log"));
}
END_TEST

static const struct {
    const char *args[6];
    int status;
    const char *out, *err; /* must be in it; NULL: it must be empty */
} usage[] = {
    {{"bench"}, 2, NULL, "bench needs the name of a benchmark"},
    {{"bench", "nroms"}, 2, NULL, "there is no benchmark nroms; did you mean norms?"},
    {{"bench", "--csv"}, 2, NULL, "unknown option --csv"},
    {{"bench", "--help"}, 0, "\n  norms: per-sample gradient norms", NULL},
    {{"bench", "norms", "--help"}, 0, "--append", "progress"},
    {{"bench", "norms", "-h"}, 0, "Options of the workload:\n\nnorms --help\n", "progress"},
    {{"bench", "norms", "--csv", "--json"}, 2, NULL, "--csv and --json exclude each other"},
    {{"bench", "norms", "--force", "--append"}, 2, NULL, "exclude each other"},
    {{"bench", "norms", "-o"}, 2, NULL, "option --output needs a value"},
    {{"bench", "norms", "--output="}, 2, NULL, "-o needs the name of a database"},
    {{"bench", "norms", "--csv=yes"}, 2, NULL, "option --csv takes no value"},
    {{"bench", "norms", "-o", "/absent/x.db"}, 1, NULL, "folder /absent"},
};

START_TEST(test_usage)
{
    if (bench_no_nvtx()) return;
    cli_wait(cli_start(usage[_i].args));
    STATUS(usage[_i].status);
    if (usage[_i].out) HAS(got.out, usage[_i].out);
    else ck_assert_str_eq(got.out, "");
    if (usage[_i].err) HAS(got.err, usage[_i].err);
    else ck_assert_str_eq(got.err, "");
}
END_TEST

START_TEST(test_no_workload)
{
    setenv("VRAMSCOPE_WORKLOAD", "/absent/workload", 1);
    CLI("bench", "norms", "-o", "x.db");
    STATUS(1);
    HAS(got.err, "cannot run /absent/workload, which VRAMSCOPE_WORKLOAD names");
    ck_assert(!cli_exists("x.db.log"));
}
END_TEST

START_TEST(test_the_real_workload_on_the_cpu)
{
    unsetenv("VRAMSCOPE_WORKLOAD");
    unsetenv("LD_LIBRARY_PATH");
    CLI("bench", "norms", "--device", "cpu", "--T", "64,128", "--d", "64", "--p", "64", "--iterations", "3", "--check");
    STATUS(0);
    HAS(got.out, "NORMS  fp32, B=2 d=64 p=64 on cpu");
    HAS(got.out, "next: vramscope plot norms.db -o charts\n");
    ck_assert_int_eq(bench_number("norms.db",
                            "SELECT COUNT(*) FROM norm_result WHERE T = 128 AND status = 'ok' AND median_ms > 0"
                            " AND rel_err < bound AND process_id = 1"),
                     5);
    CLI("bench", "norms", "--device", "cpu", "--T", "64", "--d", "8", "--p", "8", "--iterations", "1", "--check",
        "--bound", "1e-30");
    STATUS(1);
    CLI("bench", "norms", "--T");
    STATUS(2);
    HAS(got.err, "norms: --T needs a value");
    CLI("bench", "norms", "--algo", "gramm");
    STATUS(2);
    HAS(got.err, "gramm");
    ck_assert(!cli_exists("norms-3.db"));
}
END_TEST

Suite *make_bench_suite(void)
{
    Suite *s = suite_create("bench");
    TCase *c = tcase_create("norms");
    tcase_add_checked_fixture(c, bench_folder, cli_clean);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_csv_is_the_data_alone_and_memory_is_measured);
    tcase_add_test(c, test_json_has_every_column);
    tcase_add_loop_test(c, test_a_damaged_file_is_named_and_kept, 0, sizeof damaged / sizeof *damaged);
    tcase_add_test(c, test_status_is_the_workloads);
    tcase_add_test(c, test_killed_while_writing);
    tcase_add_test(c, test_a_run_that_was_not_recorded_is_an_error);
    tcase_add_test(c, test_append_measures_the_new_run);
    tcase_add_loop_test(c, test_usage, 0, sizeof usage / sizeof *usage);
    tcase_add_test(c, test_no_workload);
    tcase_add_test(c, test_the_real_workload_on_the_cpu);
    suite_add_tcase(s, c);
    return s;
}
