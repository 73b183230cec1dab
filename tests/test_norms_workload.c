/* SPDX-License-Identifier: MIT
 *
 * test_norms_workload.c: the norms workload as a user runs it: its recording holds exactly the memory and the ranges it is known
 * to make, its file of results says what happened, and what finds no memory ends in a reason. tests/test_norms_usage.c has the
 * command line, tests/test_norm_run.c what needs a device that misbehaves.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kernels/device.h"
#include "tests/recording.h"
#include "workloads/norm_table.h"

Suite *make_norms_workload_suite(void);

#define WORKLOAD VS_BUILD_DIR "/bin/vramscope-workload"
#define RESULTS  VS_BUILD_DIR "/tests/out/norms_workload.csv"
#define NORMS    WORKLOAD " norms --results " RESULTS " --device "
#define CPU      NORMS "cpu --seconds 0.001 "

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* takes memory of its own for every byte, and reserves more than a limit allows */
#else
enum { SANITIZED = 0 };
#endif
static struct recording r;

/* A command line for the shell; no recorder. The exit status. */
static int run_bare(const char *command)
{
    static const char *const env[] = {"LD_PRELOAD=", "LD_LIBRARY_PATH=", NULL};
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    recording_begin(&r, "norms_workload");
    recording_run(&r, argv, env);
    ck_assert(WIFEXITED(r.status));
    return WEXITSTATUS(r.status);
}

/* ---- the file of results ---- */

enum { ROWS = 64, COLUMNS = 27 };
static char csv_text[65536], *csv_cell[ROWS][COLUMNS];
static int csv_rows;

/* Cuts the text in place; a field in quotes loses them. */
static char *next_field(char **at, bool *last)
{
    bool quoted = **at == '"';
    char *field = *at += quoted, *to = field;
    for (; **at && (quoted || !strchr(",\r", **at)); ++*at) {
        if (quoted && **at == '"' && *++*at != '"') quoted = false;
        if (!quoted && strchr(",\r", **at)) break;
        *to++ = **at;
    }
    *last = **at != ',';
    *at += *last ? 2 : 1; /* CR LF */
    *to = 0;
    return field;
}

static void read_results(void)
{
    FILE *f = fopen(RESULTS, "r");
    ck_assert_msg(f != NULL, "no results: %s", r.err);
    csv_text[fread(csv_text, 1, sizeof csv_text - 1, f)] = 0;
    fclose(f);
    ck_assert_int_eq(strncmp(csv_text, VS_NORM_COLUMNS "\r\n", strlen(VS_NORM_COLUMNS) + 2), 0);
    char *at = csv_text;
    for (csv_rows = -1; *at; csv_rows++) {
        bool last = false;
        ck_assert_int_lt(csv_rows + 1, ROWS);
        for (int c = 0; c < COLUMNS; c++) {
            ck_assert_msg(!last, "row %d has %d columns", csv_rows, c);
            csv_cell[csv_rows + 1][c] = next_field(&at, &last);
        }
        ck_assert_msg(last, "row %d has too many columns", csv_rows);
    }
}

static const char *text(int row, const char *column)
{
    for (int c = 0; c < COLUMNS; c++)
        if (!strcmp(csv_cell[0][c], column)) return csv_cell[row + 1][c];
    ck_abort_msg("there is no column %s", column);
}

static double number(int row, const char *column)
{
    char *end;
    const char *t = text(row, column);
    double v = strtod(t, &end);
    ck_assert_msg(*t && !*end, "row %d, %s: '%s'", row, column, t);
    return v;
}

static void run_on(const char *device, const char *arguments, int status)
{
    char command[1024];
    snprintf(command, sizeof command, "rm -f " RESULTS "; exec " NORMS "%s %s", device, arguments);
    int got = run_bare(command);
    ck_assert_msg(got == status, "status %d: %s%s", got, r.out, r.err);
    read_results();
}

static size_t workspace_of(const char *algorithm, size_t B, size_t T, size_t d, size_t p)
{
    struct vs_norms_layer layer = {.B = B, .T = T, .d = d, .p = p};
    struct vs_norms_call call = {.dtype = VS_NORMS_fp32, .layers = &layer, .count = 1};
    return vs_norms_cpu(algorithm)->workspace_bytes(&call);
}

enum { NAMES = 6 };
static const char *const names[NAMES] = {"gram_full", "gram", "direct", "materialize", "auto", "reference"};

static void check_row(int row, const char *algorithm, size_t T)
{
    struct vs_norms_layer l = {.B = 2, .T = T, .d = 64, .p = 48};
    char range[96];
    bool gram = !strncmp(algorithm, "gram", 4), automatic = !strcmp(algorithm, "auto");
    double ms = number(row, "median_ms"), floor_ms = number(row, "floor_ms");
    ck_assert_str_eq(text(row, "algo"), algorithm);
    ck_assert_msg(!strcmp(text(row, "status"), "ok") && !*text(row, "reason"), "%s: %s", algorithm,
                  text(row, "reason"));
    ck_assert(number(row, "T") == (double)T && number(row, "B") == 2 && number(row, "d") == 64 &&
              number(row, "p") == 48);
    ck_assert(number(row, "layers") == 1 && number(row, "recomputed") == 0 && number(row, "samples") >= 3);
    ck_assert(ms > 0 && number(row, "min_ms") <= ms && number(row, "call_ms") == ms);
    ck_assert(number(row, "rel_err") <= number(row, "bound") &&
              number(row, "bound") == vs_norms_dtype_bound(VS_NORMS_fp32));
    ck_assert(number(row, "workspace_bytes") == (double)workspace_of(algorithm, 2, T, 64, 48));
    ck_assert_double_eq_tol(number(row, "tflops") * 1e9 * ms / vs_norms_floor_operations(&l), 1, 1e-6);
    ck_assert_double_eq_tol(number(row, "floor_fraction") * ms / floor_ms, 1, 1e-6);
    ck_assert(!strcmp(text(row, "grouping"), "one") && !*text(row, "preset"));
    ck_assert(!strcmp(text(row, "device"), "cpu") && !strcmp(text(row, "dtype"), "fp32"));
    ck_assert_int_eq(*text(row, "choice") != 0, automatic);
    ck_assert_int_eq(*text(row, "kappa") != 0, gram);
    if (gram) ck_assert_double_ge(number(row, "kappa"), 1 - 1e-6);
    snprintf(range, sizeof range, "norms %s fp32 2x%zux64x48", algorithm, T);
    ck_assert_str_eq(text(row, "range"), range);
}

START_TEST(test_results_say_what_happened)
{
    struct stat st;
    run_on("cpu", "--T 300,2048 --d 64 --p 48 --algo gram_full,gram,direct,materialize,auto,reference --check --kappa",
           0);
    ck_assert(stat(RESULTS, &st) == 0 && (st.st_mode & 0777) == 0600);
    ck_assert_int_eq(csv_rows, 2 * NAMES);
    for (int i = 0; i < csv_rows; i++) check_row(i, names[i % NAMES], i < NAMES ? 300 : 2048);
    ck_assert_str_eq(text(5, "rel_err"), "0");
    /* What was measured, of gram_full and of gram: all of the matrices, and nothing that grows with T. */
    ck_assert_double_ge(number(NAMES, "temp_bytes"), 2.0 * 2048 * 2048 * 4);
    ck_assert_double_lt(number(NAMES + 1, "temp_bytes"), number(NAMES, "temp_bytes") / 4);
    if (!SANITIZED) ck_assert_double_lt(number(NAMES + 1, "temp_bytes"), number(1, "temp_bytes") + (1 << 21));
    recording_end(&r);
}
END_TEST

START_TEST(test_the_benchmarks_own_memory_is_not_counted)
{
    run_on("cpu", "--T 8 --d 8 --p 8 --algo direct --iterations 200000", 0);
    if (!SANITIZED) ck_assert_double_lt(number(0, "temp_bytes"), 200000 * sizeof(double) / 2);
    recording_end(&r);
}
END_TEST

START_TEST(test_a_whole_model_runs_both_ways)
{
    static const char *const algorithms[] = {"gram", "direct", "auto"}, *const groupings[] = {"grouped", "each"};
    char range[96];
    run_on("cpu", "--seconds 0.001 --layers tiny --B 3 --T 65 --check --algo gram,direct,auto --dtype bf16", 0);
    ck_assert_int_eq(csv_rows, 6);
    for (int i = 0; i < csv_rows; i++) {
        ck_assert_str_eq(text(i, "algo"), algorithms[i / 2]);
        ck_assert_str_eq(text(i, "grouping"), groupings[i % 2]);
        ck_assert(!strcmp(text(i, "preset"), "tiny") && !strcmp(text(i, "status"), "ok"));
        ck_assert(!*text(i, "d") && !*text(i, "p") && number(i, "layers") == 10 && number(i, "T") == 65);
        ck_assert(number(i, "rel_err") <= number(i, "bound"));
        snprintf(range, sizeof range, "norms %s bf16 3x65 tiny %s", algorithms[i / 2], groupings[i % 2]);
        ck_assert_str_eq(text(i, "range"), range);
    }
    ck_assert_ptr_nonnull(strchr(text(5, "choice"), ':')); /* how many layers of each */
    recording_end(&r);
}
END_TEST

START_TEST(test_poison_shows_in_one_sample)
{
    static const char *const poisons[] = {"nan", "inf", "nan-g", "inf-g"};
    char arguments[256];
    snprintf(arguments, sizeof arguments, "--T 70 --d 7 --p 9 --B 3 --dtype fp32,tf32,bf16,fp16 --check --poison %s",
             poisons[_i]);
    run_on("cpu --seconds 0.001", arguments, 0);
    ck_assert_int_eq(csv_rows, 4 * 5);
    for (int i = 0; i < csv_rows; i++) /* the error is of the other samples */
        ck_assert(!strcmp(text(i, "status"), "nonfinite") && number(i, "rel_err") <= number(i, "bound"));
    ck_assert_ptr_nonnull(strstr(r.err, "the norm of sample 0 is not finite, as --poison asks"));
    recording_end(&r);
}
END_TEST

START_TEST(test_a_bound_is_held)
{
    run_on("cpu", "--seconds 0.001 --T 65 --d 64 --p 64 --algo gram,reference --check --bound 1e-12", 1);
    ck_assert_str_eq(text(0, "status"), "beyond_bound");
    ck_assert(number(0, "bound") == 1e-12 && number(0, "rel_err") > 1e-12);
    ck_assert_str_eq(text(1, "status"), "ok");
    ck_assert_ptr_nonnull(strstr(text(0, "reason"), ", allowed 1e-12"));
    ck_assert_ptr_nonnull(strstr(r.err, "1 of 2 results are missing or wrong"));
    run_on("cpu", "--seconds 0.001 --T 65 --d 64 --p 64 --algo gram --bound 1e-12",
           0); /* said, but nobody asked to fail */
    ck_assert_str_eq(text(0, "status"), "beyond_bound");
    ck_assert_double_gt(number(0, "rel_err"), 1e-12);
    recording_end(&r);
}
END_TEST

START_TEST(test_inputs_follow_from_the_seed)
{
    char first[64] = "";
    for (int i = 0; i < 3; i++) {
        run_on("cpu", i < 2 ? "--T 65 --algo gram --check --seed 5" : "--T 65 --algo gram --check --seed 6", 0);
        if (i) ck_assert_int_eq(!strcmp(text(0, "rel_err"), first), i == 1);
        snprintf(first, sizeof first, "%s", text(0, "rel_err"));
    }
    recording_end(&r);
}
END_TEST

/* ---- the recording ---- */

static void check_recorded(const char *name, const char *range, size_t bytes)
{
    long long n = recording_int(&r,
                                "SELECT count(*) FROM allocation a JOIN string n ON n.id = a.name_id"
                                " JOIN range g ON g.id = a.alloc_range_id JOIN string s ON s.id = g.name_id"
                                " WHERE n.text = '%s' AND s.text = 'norms %s' AND a.bytes = %lld"
                                " AND a.level = 'held' AND a.device IS NULL",
                                name, range, (long long)bytes);
    ck_assert_msg(n == 1, "%lld times %s of %zu bytes in %s", n, name, bytes, range);
}

START_TEST(test_recording_holds_every_buffer)
{
    static const char *const argv[] = {
        WORKLOAD, "norms",        "--device", "cpu",    "--T=64,1024",    "--d",     "32", "--p", "16", "--B",
        "2",      "--iterations", "2",        "--algo", "gram_full,gram", "--check", NULL};
    size_t norms = 2 * 2 * sizeof(double) + sizeof(unsigned);
    char range[96];
    recording_begin(&r, "norms_workload_recorded");
    recording_run(&r, argv, NULL);
    ck_assert_msg(r.status == 0, "status %d: %s%s", r.status, r.out, r.err);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM process"
                                       " WHERE command_line LIKE '%%--T=64,1024%%gram_full,gram%%'"),
                     1);
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM live_at_end"), 0);
    for (size_t T = 64; T <= 1024; T *= 16) {
        snprintf(range, sizeof range, "inputs fp32 2x%zux32x16", T);
        check_recorded("activation/A", range, 2 * T * 32 * 4);
        check_recorded("gradient/G", range, 2 * T * 16 * 4);
        check_recorded("gradient/norms", range, norms);
        snprintf(range, sizeof range, "gram_full fp32 2x%zux32x16", T);
        check_recorded("workspace/gram_full", range, workspace_of("gram_full", 2, T, 32, 16));
        snprintf(range, sizeof range, "gram fp32 2x%zux32x16", T);
        check_recorded("workspace/gram", range, workspace_of("gram", 2, T, 32, 16));
    }
    /* Those, and of the small case that warms up. The peak: inputs and full matrices of the longer sequence. */
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM allocation"), 3 * 5);
    ck_assert_int_eq(recording_int(&r, "SELECT max(peak_bytes) FROM peak"),
                     (long long)(2 * 1024 * (32 + 16) * 4 + norms + workspace_of("gram_full", 2, 1024, 32, 16)));
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM range WHERE end_ns IS NULL"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM range"), 3 + 2 /* oracle */ + 2 * 2);
    recording_end(&r);
}
END_TEST

/* ---- what cannot run ---- */

/* An address space of 4 GB: whatever the machine has, the matrices do not fit and the rest does. */
START_TEST(test_memory_that_cannot_be_had_names_the_way_out)
{
    ck_assert_int_eq(
        run_bare("rm -f " RESULTS "; ulimit -v 4000000; exec " CPU "--T 50000 --d 40 --p 40 --algo gram_full,direct"),
        1);
    ck_assert_ptr_nonnull(strstr(r.err, "no memory for workspace/gram_full: 37.3 GiB asked for"));
    ck_assert_ptr_nonnull(strstr(r.err, "1 of 2 results are missing or wrong"));
    read_results();
    ck_assert_int_eq(csv_rows, 2);
    ck_assert_str_eq(text(0, "status"), "skipped");
    ck_assert_ptr_nonnull(strstr(text(0, "reason"), " free; --algo ")); /* which needs less */
    ck_assert_str_eq(text(0, "median_ms"), "");
    ck_assert_str_eq(text(1, "status"), "ok");
    ck_assert_int_eq(
        run_bare("rm -f " RESULTS "; ulimit -v 4000000; exec " CPU "--T 600000 --d 4000 --p 1 --algo direct"), 1);
    read_results();
    ck_assert_str_eq(text(0, "status"), "skipped");
    ck_assert_ptr_nonnull(strstr(text(0, "reason"), "no memory for activation/A: 17.9 GiB asked for"));
    recording_end(&r);
}
END_TEST

/* ---- on a GPU ---- */

START_TEST(test_gpu_results)
{
    run_on("cuda", "--check --kappa --B 2 --T 8,300 --d 136 --p 72 --dtype fp32,tf32,bf16,fp16 --seconds 0.02", 0);
    ck_assert_int_eq(csv_rows, 4 * 2 * 5);
    for (int i = 0; i < csv_rows; i++) {
        ck_assert_msg(!strcmp(text(i, "status"), "ok"), "%s: %s", text(i, "range"), text(i, "reason"));
        ck_assert_str_eq(text(i, "device"), "cuda");
        ck_assert_str_eq(text(i, "temp_bytes"), "");
        ck_assert(number(i, "samples") >= 5 && number(i, "median_ms") > 0 && number(i, "floor_ms") > 0);
        ck_assert(number(i, "rel_err") <= number(i, "bound"));
    }
    recording_end(&r);
}
END_TEST

/* Layer by layer, launches are most of the time of small layers: a graph has none. */
START_TEST(test_gpu_runs_a_model_without_launches)
{
    run_on("cuda", "--check --layers tiny --B 1 --T 64 --algo gram,direct,materialize,auto", 0);
    ck_assert_int_eq(csv_rows, 8);
    for (int i = 1; i < csv_rows; i += 2) ck_assert_double_lt(number(i, "median_ms"), number(i, "call_ms"));
    recording_end(&r);
}
END_TEST

Suite *make_norms_workload_suite(void)
{
    Suite *s = suite_create("norms_workload");
    TCase *c = tcase_create("norms_workload"), *gpu = tcase_create("norms_workload_gpu");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_recording_holds_every_buffer);
    tcase_add_test(c, test_results_say_what_happened);
    tcase_add_test(c, test_the_benchmarks_own_memory_is_not_counted);
    tcase_add_test(c, test_a_whole_model_runs_both_ways);
    tcase_add_loop_test(c, test_poison_shows_in_one_sample, 0, 4);
    tcase_add_test(c, test_a_bound_is_held);
    tcase_add_test(c, test_inputs_follow_from_the_seed);
    if (!SANITIZED) tcase_add_test(c, test_memory_that_cannot_be_had_names_the_way_out);
    suite_add_tcase(s, c);
    tcase_set_tags(gpu, "gpu");
    tcase_set_timeout(gpu, 120);
    tcase_add_test(gpu, test_gpu_results);
    tcase_add_test(gpu, test_gpu_runs_a_model_without_launches);
    suite_add_tcase(s, gpu);
    return s;
}
