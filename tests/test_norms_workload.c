/* SPDX-License-Identifier: MIT
 *
 * test_norms_workload.c: the norms workload as a user runs it: its recording holds exactly the memory and the ranges it
 * is known to make, wrong arguments are refused with a hint, and a wrong device ends in a reason.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/recording.h"

Suite *make_norms_workload_suite(void);

#define WORKLOAD VS_BUILD_DIR "/bin/vramscope-workload"

static struct recording r;

static int run_bare(const char *const argv[])
{
    static const char *const env[] = {"LD_PRELOAD=", "LD_LIBRARY_PATH=", NULL};
    recording_begin(&r, "norms_workload");
    recording_run(&r, argv, env);
    ck_assert(WIFEXITED(r.status));
    return WEXITSTATUS(r.status);
}

/* B=2 d=32 p=16, T=64 and 128, two iterations of both algorithms: every byte is known. */
START_TEST(test_recording_holds_every_buffer)
{
    static const char *const argv[] = {WORKLOAD, "norms", "--device", "cpu", "--T", "64,128", "--d", "32", "--p", "16",
                                       "--B", "2", "--iterations", "2", "--check", NULL};
    recording_begin(&r, "norms_workload_recorded");
    recording_run(&r, argv, NULL);
    ck_assert_msg(r.status == 0, "status %d: %s%s", r.status, r.out, r.err);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM allocation"), 18);
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM live_at_end"), 0);
    for (int T = 64; T <= 128; T *= 2) {
        static const struct {
            const char *name, *range;
            int count, factor, squared; /* bytes = factor * T or factor * T^2 */
        } want[] = {{"activation/A", "inputs", 1, 2 * 32 * 4, 0},
                    {"gradient/G", "inputs", 1, 2 * 16 * 4, 0},
                    {"temporary/gram_full", "gram_full", 2, 2 * 2 * 4, 1},
                    {"temporary/gram", "gram", 2, 2 * 4, 1}};
        for (size_t i = 0; i < sizeof want / sizeof *want; i++)
            ck_assert_int_eq(recording_int(&r,
                                           "SELECT count(*) FROM allocation a JOIN string n ON n.id = a.name_id"
                                           " JOIN range g ON g.id = a.alloc_range_id JOIN string s ON s.id = g.name_id"
                                           " WHERE n.text = '%s' AND s.text = 'norms/%s/T=%d' AND a.bytes = %d"
                                           " AND a.level = 'held' AND a.device IS NULL",
                                           want[i].name, want[i].range, T, want[i].factor * T * (want[i].squared ? T : 1)),
                             want[i].count);
    }
    /* The peak: the inputs and the two full matrices of the longer sequence, and the three small arrays. */
    ck_assert_int_eq(recording_int(&r, "SELECT max(peak_bytes) FROM peak"),
                     2 * 128 * (32 + 16) * 4 + 2 * 2 * 128 * 128 * 4 + 3 * 16);
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM range WHERE end_ns IS NULL"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT count(*) FROM range"), 2 * (1 + 1 + 2 * 2));
    recording_end(&r);
}
END_TEST

START_TEST(test_results_are_printed_and_checked)
{
    static const char *const argv[] = {WORKLOAD, "norms", "--device=cpu", "--T=65", "--d=7", "--p=9", "--algo=gram",
                                       "--check", NULL};
    ck_assert_int_eq(run_bare(argv), 0);
    ck_assert_ptr_nonnull(strstr(r.out, "gram "));
    ck_assert_ptr_null(strstr(r.out, "gram_full"));
    ck_assert_str_eq(r.err, "");
    recording_end(&r);
}
END_TEST

static const struct {
    const char *argv[5];
    int status;
    const char *says;
} wrong[] = {
    {{WORKLOAD}, 2, "usage"},
    {{WORKLOAD, "norm"}, 2, "no workload 'norm'"},
    {{WORKLOAD, "norms", "--alog", "gram"}, 2, "did you mean --algo?"},
    {{WORKLOAD, "norms", "--T"}, 2, "needs a value"},
    {{WORKLOAD, "norms", "--T", "12,"}, 2, "'12,' is no value"},
    {{WORKLOAD, "norms", "--T", "-5"}, 2, "is no value"},
    {{WORKLOAD, "norms", "--d", "99999999999999999999"}, 2, "is no value"},
    {{WORKLOAD, "norms", "--algo", "gramm"}, 2, "no algorithm 'gramm'"},
    {{WORKLOAD, "norms", "--device", "tpu"}, 2, "no device 'tpu'"},
    {{WORKLOAD, "norms", "--iterations", "0"}, 2, "1 to 1000000"},
    {{WORKLOAD, "norms", "--check=1"}, 2, "takes no value"},
    {{WORKLOAD, "norms", "--device=cpu", "--T=0"}, 1, "at least 1"},
    {{WORKLOAD, "norms", "--device=cpu", "--T=4000000000"}, 1, "too large"},
};

START_TEST(test_wrong_arguments_say_what_is_wrong)
{
    const char *argv[6] = {0};
    memcpy(argv, wrong[_i].argv, sizeof wrong[_i].argv);
    ck_assert_int_eq(run_bare(argv), wrong[_i].status);
    ck_assert_msg(strstr(r.err, wrong[_i].says), "'%s' is not in: %s", wrong[_i].says, r.err);
    recording_end(&r);
}
END_TEST

/* An address space of 4 GB: whatever the machine has, the matrices do not fit and the rest does. */
START_TEST(test_memory_that_cannot_be_had_names_the_way_out)
{
    static const char *const argv[] = {"/bin/sh", "-c",
                                       "ulimit -v 4000000; exec " WORKLOAD
                                       " norms --device cpu --T 50000 --d 4 --p 4 --B 2 --iterations 1",
                                       NULL};
    ck_assert_int_eq(run_bare(argv), 1);
    ck_assert_ptr_nonnull(strstr(r.err, "temporary/gram_full: 37.3 GiB asked for"));
    ck_assert_ptr_nonnull(strstr(r.err, "--algo gram needs no T x T memory"));
    recording_end(&r);
}
END_TEST

START_TEST(test_no_gpu_is_said_in_one_line)
{
    static const char *const automatic[] = {WORKLOAD, "norms", "--T", "8", NULL};
    static const char *const cuda[] = {WORKLOAD, "norms", "--T", "8", "--device", "cuda", NULL};
    if (dlopen("libcuda.so.1", RTLD_LAZY)) return; /* this machine has a driver */
    ck_assert_int_eq(run_bare(automatic), 0);
    ck_assert_str_eq(r.err, "norms: running on the CPU: no NVIDIA driver (libcuda.so.1) on this machine\n");
    ck_assert_int_eq(run_bare(cuda), 1);
    ck_assert_str_eq(r.err, "norms: --device cuda: no NVIDIA driver (libcuda.so.1) on this machine\n");
    recording_end(&r);
}
END_TEST

Suite *make_norms_workload_suite(void)
{
    Suite *s = suite_create("norms_workload");
    TCase *c = tcase_create("norms_workload");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_recording_holds_every_buffer);
    tcase_add_test(c, test_results_are_printed_and_checked);
    tcase_add_loop_test(c, test_wrong_arguments_say_what_is_wrong, 0, sizeof wrong / sizeof *wrong);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they reserve more address space than this allows */
    tcase_add_test(c, test_memory_that_cannot_be_had_names_the_way_out);
#else
    (void)test_memory_that_cannot_be_had_names_the_way_out;
#endif
    tcase_add_test(c, test_no_gpu_is_said_in_one_line);
    suite_add_tcase(s, c);
    return s;
}
