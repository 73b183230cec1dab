/* SPDX-License-Identifier: MIT
 *
 * test_fsdp_norms.c: the fsdp_norms workload as a user runs it, with ranks as processes of this machine: right results pass, each fault
 * fails and hangs nobody, stages and times are there for every rank, and a recording holds all ranks. It judges no time.
 */
#include <math.h>
#include <stdarg.h>

#include <math.h>
#include <stdbool.h>

#include "experiment_case.h"
#include "workloads/fsdp_norms.h"

Suite *make_fsdp_norms_suite(void);

#define LM "--hidden-dim 24 --num-heads 3 --vocab-size 61 --seq-len 11 --num-layers 2 "
#define LLAMA                                                                                                          \
    "--llama --hidden-dim 24 --num-heads 6 --num-kv-heads 2 --ffn-dim 40 --vocab-size 61 --seq-len 11 --num-layers 2 "

/* The workload itself, on the CPU; no recorder. */
static void __attribute__((format(printf, 1, 2))) work(const char *format, ...)
{
    char arguments[1024], command[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command,
             "exec " VS_BUILD_DIR "/bin/vramscope-workload fsdp_norms --device cpu %s >.out 2>.err", arguments);
    int status = system(command);
    got.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    cli_read(".out", got.out, sizeof got.out);
    cli_read(".err", got.err, sizeof got.err);
}

static void last_line_is(const char *line)
{
    size_t all = strlen(got.out), n = strlen(line);
    ck_assert_msg(all > n && got.out[all - 1] == '\n' && !strncmp(got.out + all - 1 - n, line, n) &&
                      (all == n + 1 || got.out[all - 2 - n] == '\n'),
                  "the last line is not '%s': %s%s", line, got.out, got.err);
}

struct row {
    double reference, norm, error;
};

/* What the first table of norms says of a sample, by the first mode. */
static struct row row_of(size_t rank, size_t sample)
{
    const char *at = strstr(got.out, "norms of step 1\n");
    struct row row;
    size_t r, s;
    ck_assert_ptr_nonnull(at);
    at = strchr(strchr(at, '\n') + 1, '\n') + 1; /* behind the heading */
    for (; *at && *at != '\n'; at = strchr(at, '\n') + 1) {
        ck_assert_msg(sscanf(at, "%zu %zu %lf %lf %lf", &r, &s, &row.reference, &row.norm, &row.error) == 5,
                      "no row: %.80s", at);
        if (r == rank && s == sample) return row;
    }
    ck_abort_msg("rank %zu, sample %zu has no row: %s", rank, sample, got.out);
}

/* ---- correctness ---- */

static void check_rows(size_t world, size_t B)
{
    for (size_t r = 0; r < world; r++)
        for (size_t b = 0; b < B; b++) {
            struct row row = row_of(r, b);
            ck_assert_double_gt(row.reference, 0);
            ck_assert_double_le(fabs(row.norm - row.reference), 1e-4 * row.reference);
            ck_assert_double_le(row.error, 1e-4);
        }
}

/* One to four ranks, the two models by turns, an uneven batch. */
START_TEST(test_ranks_compute_what_one_computes)
{
    size_t world = (size_t)_i / 2 + 1, B = 3;
    work("%s--nproc %zu --batch-size %zu --results r.json", _i % 2 ? LLAMA : LM, world, B);
    STATUS(0);
    last_line_is("CORRECTNESS TEST PASSED");
    HAS_NOT(got.out, "WRONG");
    HAS(got.out, "norms 11.225 5.612, expected 11.225 5.612: ok\n");
    check_rows(world, B);
    ck_assert_str_eq(file_ask("r.json", GET("verdict")), "PASSED");
    ck_assert_int_eq(atoi(file_ask("r.json", "SELECT COUNT(*) FROM json_each(?1, '$.samples')")), (int)(world * B));
    /* ghost and flash_bk at three times, explicit and micro at one, each without noise and with it */
    ck_assert_str_eq(file_ask("r.json", "SELECT COUNT(*) || ' ' || SUM(json_extract(value, '$.steps') = 3) || ' '"
                                        " || COUNT(json_extract(value, '$.weights')) FROM json_each(?1, '$.runs')"),
                     "16 8 8");
    ck_assert_str_eq(
        file_ask("r.json",
                 "SELECT MIN(json_extract(value, '$.clipped')) > 0 AND MAX(json_extract(value, '$.clipped')) <"
                 " json_extract(?1, '$.config.total_batch_size') FROM json_each(?1, '$.runs')"),
        "1");
    ck_assert_str_eq(
        file_ask("r.json",
                 "SELECT json_extract(?1, '$.norms_error') < 1e-5 AND json_extract(?1, '$.gradients_error') < 1e-4"
                 " AND json_extract(?1, '$.weights_error') < 1e-3 AND json_extract(?1, '$.timing_error') = 0"),
        "1");
}
END_TEST

/* Samples are dealt out, not made anew: the same four in every case. */
START_TEST(test_the_number_of_ranks_changes_no_sample)
{
    struct row first[4];
    for (size_t world = 1; world <= 4; world *= 2) {
        size_t B = 4 / world;
        work(LM "--nproc %zu --batch-size %zu --train-modes flash_bk --norm-timings deferred", world, B);
        STATUS(0);
        for (size_t b = 0; b < 4; b++) {
            struct row row = row_of(b / B, b % B);
            if (world == 1) first[b] = row;
            ck_assert_double_eq(row.reference, first[b].reference);
            if (b) ck_assert_double_ne(first[b].reference, first[b - 1].reference);
        }
    }
}
END_TEST

/* Sums of the last units of a pass are applied late, those of the others one by one. */
START_TEST(test_deep_models)
{
    work(LM "--nproc 2 --num-layers 13 --batch-size %d --train-modes %s", _i ? 1 : 2, _i ? "fuse,ghost" : "flash_bk,ghost");
    STATUS(0);
    last_line_is("CORRECTNESS TEST PASSED");
}
END_TEST

START_TEST(test_one_sample_takes_one_pass)
{
    work(LM "--batch-size 1 --nproc 2"); /* the mode is among those that are checked by themselves */
    STATUS(0);
    last_line_is("CORRECTNESS TEST PASSED");
    HAS(got.out, "\nfuse ");
    work(
        LM
        "--batch-size 1 --train-modes fuse_bk --all-steps --noise-multiplier 0.5"); /* nobody launches, nobody else speaks */
    STATUS(0);
    last_line_is("CORRECTNESS TEST PASSED");
    HAS(got.out, "fuse_bk   -            0.5     3 ");
}
END_TEST

/* ---- faults ---- */

START_TEST(test_nothing_outweighs_a_nan)
{
    const double nan = (double)NAN;
    ck_assert_double_eq(vs_fsdp_worse(-1, 0), 0);
    ck_assert_double_eq(vs_fsdp_worse(2, 1), 2);
    ck_assert(isnan(vs_fsdp_worse(vs_fsdp_worse(0, nan), 1)));
    ck_assert(isnan(vs_fsdp_worse(1, nan)));
}
END_TEST

static const char *const faults[] = {"skip-collective", "scale", "swap-samples"};

START_TEST(test_a_fault_is_found)
{
    const char *fault = faults[_i / 3];
    size_t world = (size_t)_i % 3 + 1, last = world - 1;
    bool waits = world > 1 && !strcmp(fault, "skip-collective"); /* for what does not come */
    work(LM "--nproc %zu --batch-size 2 --patience-s %d --fault %s --train-modes ghost,micro --results f.json", world, waits ? 5 : 60,
         fault);
    STATUS(1);
    last_line_is("CORRECTNESS TEST FAILED");
    ck_assert_str_eq(file_ask("f.json", GET("verdict")), "FAILED");
    if (waits) {
        HAS(got.err, "the job ends");
        HAS(got.err, "rank 0: ");
        return;
    }
    HAS(got.out, "fault of rank ");
    HAS(got.out, ": WRONG\n");
    for (size_t r = 0; r < last; r++) ck_assert_double_le(row_of(r, 1).error, 1e-4);
    ck_assert(!(row_of(last, 1).error <= 1e-4)); /* or NaN */
    if (!strcmp(fault, "scale")) ck_assert_double_eq_tol(row_of(last, 1).norm / row_of(last, 1).reference, 0.5, 1e-4);
    if (!strcmp(fault, "swap-samples"))
        ck_assert_double_eq_tol(row_of(last, 1).norm / row_of(last, 0).reference, 1, 1e-4);
}
END_TEST

/* ---- stages ---- */

static void check_efficiency(size_t world)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT COUNT(*) || ' ' || SUM(json_extract(value, '$.total_ms') > 0 AND abs(json_extract(value, "
             "'$.parallel_efficiency') *"
             " %zu * json_extract(value, '$.total_ms') / json_extract(?1, '$.one_rank_ms') - 1) < 1e-9) FROM "
             "json_each(?1, '$.ranks')",
             world);
    char want[32];
    snprintf(want, sizeof want, "%zu %zu", world, world);
    ck_assert_str_eq(file_ask("s.json", sql), want);
}

START_TEST(test_stages_of_every_rank)
{
    static const char *const ways[] = {"sync", "async", "fp16"};
    const char *way = ways[_i % 3];
    size_t world = (size_t)_i / 3 + 1;
    char line[64];
    work(LM "--mode stages --nproc %zu --norm-allreduce %s --batch-size 3 --num-iter 20 --results s.json", world, way);
    STATUS(0);
    last_line_is("STAGES TEST PASSED");
    HAS(got.out, "norms 11.225 5.612, expected 11.225 5.612: ok\n");
    for (size_t r = 0; r < world; r++) {
        double stack, local, all_reduce, final, total, efficiency;
        snprintf(line, sizeof line, "\nrank %zu: stack ", r);
        HAS(got.out, line);
        ck_assert_int_eq(
            sscanf(strstr(got.out, line) + strlen(line),
                   "%lf ms, local compute %lf ms, all-reduce %lf ms, final compute %lf ms, total %lf ms, parallel "
                   "efficiency %lf %%",
                   &stack, &local, &all_reduce, &final, &total, &efficiency),
            6);
        ck_assert(stack >= 0 && local >= 0 && all_reduce >= 0 && final >= 0 && total > 0 && efficiency > 0);
    }
    check_efficiency(world);
    /* Halves are visible, and small. */
    ck_assert_int_eq(atof(file_ask("s.json", GET("error"))) > 1e-6, !strcmp(way, "fp16"));
}
END_TEST

START_TEST(test_what_no_half_can_hold_is_said)
{
    work(LM "--mode stages --nproc 2 --norm-allreduce fp16 --norm-size 300 --num-iter 5 --results o.json");
    STATUS(1);
    last_line_is("STAGES TEST FAILED");
    HAS(got.out, "            inf ");
    HAS(got.out, "4 of 4 squared norms are beyond 65504");
    ck_assert_str_eq(file_ask("o.json", GET("overflows")), "4");
    work(LM "--mode stages --nproc 2 --norm-size 300 --num-iter 5");
    STATUS(0);
    HAS_NOT(got.out, "OVERFLOW");
}
END_TEST

START_TEST(test_columns_are_dealt_out)
{
    static const char *const parts[] = {
        "  rank 0:   126.00    31.50\n", "  rank 0:    91.00    22.75\n  rank 1:    35.00     8.75\n",
        "  rank 0:    30.00     7.50\n  rank 1:    66.00    16.50\n  rank 2:    30.00     7.50\n",
        "  rank 0:    14.00     3.50\n  rank 1:    77.00    19.25\n  rank 2:    21.00     5.25\n"};
    work(LM "--mode stages --num-iter 2 --nproc %d", _i + 1);
    STATUS(0);
    HAS(got.out, parts[_i]);
    HAS(got.out, "  sum:      126.00    31.50, norms 11.225 5.612, expected 11.225 5.612: ok\n");
}
END_TEST

/* ---- performance ---- */

START_TEST(test_a_speedup_is_asked_for)
{
    work(LM "--mode performance --nproc 2 --rounds 2 --min-speedup 1000 --results p.json");
    STATUS(1);
    last_line_is("PERFORMANCE TEST FAILED");
    ck_assert_str_eq(file_ask("p.json", GET("verdict")), "FAILED");
    /* Two rounds of two steps, of each timing. */
    ck_assert_str_eq(file_ask("p.json",
                              "SELECT json_extract(?1, '$.modes[0].immediate.steps') || json_extract(?1, "
                              "'$.modes[0].deferred.steps') || json_extract(?1, '$.modes[0].overlapped.steps')"),
                     "444");
    ck_assert_str_eq(file_ask("p.json",
                              "SELECT json_extract(?1, '$.modes[0].deferred.speedup') * json_extract(?1, "
                              "'$.modes[0].deferred.median_ms') / json_extract(?1, '$.modes[0].immediate.median_ms')"),
                     "1.0");
    ck_assert_str_eq(file_ask("p.json", "SELECT json_extract(?1, '$.modes[0].overlapped.peak_bytes') > 100000"), "1");
    work(LM "--mode performance --nproc 2 --rounds 1 --num-iter 1 --min-speedup 0.001");
    STATUS(0);
    last_line_is("PERFORMANCE TEST PASSED");
    HAS(got.out, "expected 1.2 to 2.2");
    work(LM "--mode performance --rounds 1 --num-iter 1 --norm-timings deferred,immediate");
    STATUS(0);
    HAS_NOT(got.out, "PERFORMANCE TEST");
    HAS(got.out, "\nratio immediate/best ");
}
END_TEST

/* ---- usage ---- */

static const struct {
    const char *arguments, *said;
} refused[] = {
    {"--norm-every 2", "breaks per-sample clipping: every step's samples must be clipped by their own norms"},
    {"--mode performance --norm-every 3", "breaks per-sample clipping"},
    {"--mode stages --norm-every 2 --nproc 2", "breaks per-sample clipping"},
    {"--mode speed", "there is no mode 'speed': correctness performance stages"},
    {"--fault crash", "there is no fault 'crash'"},
    {"--mode stages --fault scale", "--fault is for --mode correctness"},
    {"--fault swap-samples --batch-size 1", "needs two samples on a rank"},
    {"--train-modes vanilla", "vanilla has no norms"},
    {"--train-modes ghost,ghost", "names one mode twice"},
    {"--norm-timings usual", "there is no time for norms 'usual'"},
    {"--mode performance --norm-timings deferred,overlapped", "holds immediate against others"},
    {"--mode performance --train-modes micro", "have no norms to defer"},
    {"--min-speedup 2", "--min-speedup is for --mode performance"},
    {"--norm-allreduce fp8", "there is no --norm-allreduce 'fp8': sync async fp16"},
    {"--dtype bf16 --nproc 2", "bf16 needs a GPU"},
    {"--dtype fp64", "fp64 has no algorithms for norms"},
    {"--num-heads 5", "--num-heads"},
    {"--rounds 0", "--rounds is 1 to 1000"},
    {"--preset huge", "there is no preset 'huge'"},
};

START_TEST(test_what_cannot_be_is_refused)
{
    work("%s", refused[_i].arguments);
    STATUS(2);
    HAS(got.err, refused[_i].said);
    ck_assert_str_eq(got.out, "");
}
END_TEST

START_TEST(test_norm_every_step_is_fine)
{
    work(LM "--mode stages --norm-every 1 --num-iter 1");
    STATUS(0);
    work(LM "--dtype fp64 --train-modes explicit,micro --nproc 2"); /* nothing but the order of sums is different */
    STATUS(0);
    HAS(got.out, "allowed 1e-09: ok\n");
    cli_database("there.json", "SELECT 1;");
    work(LM "--results there.json --nproc 2");
    STATUS(1);
    HAS(got.err, "there.json: File exists");
    last_line_is("CORRECTNESS TEST FAILED");
}
END_TEST

/* ---- recorded ---- */

START_TEST(test_all_ranks_are_in_the_recording)
{
    if (experiment_no_nvtx()) return;
    CLI("bench", "fsdp-norms", "--nproc", "3", "--device", "cpu", "--hidden-dim", "24", "--num-heads", "3",
        "--vocab-size", "61", "--seq-len", "11", "--num-layers", "2", "--batch-size", "2", "--train-modes", "flash_bk",
        "--output", "a.json");
    STATUS(0);
    HAS(got.out, "\nCORRECTNESS TEST PASSED\nnext: vramscope report fsdp-norms.db --by rank\n");
    ck_assert_str_eq(file_ask("a.json", GET("world_size")), "3");
    ck_assert_int_eq(bench_number("fsdp-norms.db",
                                  "SELECT COUNT(DISTINCT rank) = 3 AND MIN(rank) = 0 AND MAX(rank) = 2 AND COUNT(*) = 3"
                                  " AND MIN(world_size) = 3 AND MAX(world_size) = 3 FROM process"),
                     1);
    CLI("bench", "fsdp_norms", "--device", "cpu", "--hidden-dim", "24", "--num-heads", "3", "--vocab-size", "61",
        "--seq-len", "11", "--num-layers", "2", "--batch-size", "2", "--train-modes", "micro", "--fault", "scale", "-o",
        "f.db", "--output", "a.json");
    STATUS(1);
    HAS(got.err, "a.json exists; --force replaces it");
    CLI("bench", "fsdp_norms", "--device", "cpu", "--hidden-dim", "24", "--num-heads", "3", "--vocab-size", "61",
        "--seq-len", "11", "--num-layers", "2", "--batch-size", "2", "--train-modes", "micro", "--fault", "scale", "-o",
        "f.db", "--output=a.json", "--force", "--trace", "api");
    STATUS(1);
    HAS(got.out, "\nCORRECTNESS TEST FAILED\nnext: vramscope report f.db --by rank\n");
    ck_assert_str_eq(file_ask("a.json", GET("fault")), "scale");
    ck_assert_int_eq(bench_number("f.db", "SELECT trace_level = 'api' FROM process"), 1);
    CLI("bench", "fsdp-norms", "--norm-every", "4", "--device", "cpu");
    STATUS(2);
    HAS(got.err, "breaks per-sample clipping");
    ck_assert(!cli_exists("fsdp-norms-2.db"));
    CLI("bench", "fsdp-norms", "--help");
    STATUS(0);
    HAS(got.out, "vramscope bench fsdp-norms --nproc 4 --device cpu");
    HAS(got.out, "--norm-allreduce HOW");
}
END_TEST

Suite *make_fsdp_norms_suite(void)
{
    Suite *s = suite_create("fsdp_norms");
    TCase *c = tcase_create("fsdp_norms");
    tcase_add_checked_fixture(c, cli_folder, cli_clean);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test_ranks_compute_what_one_computes, 0, 8);
    tcase_add_test(c, test_the_number_of_ranks_changes_no_sample);
    tcase_add_test(c, test_one_sample_takes_one_pass);
    tcase_add_loop_test(c, test_deep_models, 0, 2);
    tcase_add_test(c, test_nothing_outweighs_a_nan);
    tcase_add_loop_test(c, test_a_fault_is_found, 0, 9);
    tcase_add_loop_test(c, test_stages_of_every_rank, 0, 9);
    tcase_add_test(c, test_what_no_half_can_hold_is_said);
    tcase_add_loop_test(c, test_columns_are_dealt_out, 0, 4);
    tcase_add_test(c, test_a_speedup_is_asked_for);
    tcase_add_loop_test(c, test_what_cannot_be_is_refused, 0, sizeof refused / sizeof *refused);
    tcase_add_test(c, test_norm_every_step_is_fine);
    tcase_add_test(c, test_all_ranks_are_in_the_recording);
    suite_add_tcase(s, c);
    return s;
}
