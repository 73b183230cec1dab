/* SPDX-License-Identifier: MIT
 *
 * test_norms_usage.c: the command line of the norms workload: wrong arguments are refused with a hint before anything runs, a
 * device that is not there is said, and a stdout that cannot be written is an error.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/recording.h"

Suite *make_norms_usage_suite(void);

#define WORKLOAD VS_BUILD_DIR "/bin/vramscope-workload"
#define RESULTS  VS_BUILD_DIR "/tests/out/norms_usage.csv"

static struct recording r;

/* A command line for the shell; no recorder. The exit status. */
static int run_bare(const char *command)
{
    static const char *const env[] = {"LD_PRELOAD=", "LD_LIBRARY_PATH=", NULL};
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    recording_begin(&r, "norms_usage");
    recording_run(&r, argv, env);
    ck_assert(WIFEXITED(r.status));
    return WEXITSTATUS(r.status);
}

static const struct {
    const char *arguments;
    int status;
    const char *says;
} wrong[] = {
    {"", 2, "usage"},
    {"norm", 2, "no workload 'norm'"},
    {"norms --alog gram", 2, "did you mean --algo?"},
    {"norms --T", 2, "needs a value"},
    {"norms --T 12,", 2, "'12,' is no value"},
    {"norms --T -5", 2, "is no value"},
    {"norms --d 99999999999999999999", 2, "is no value"},
    {"norms --algo gramm", 2, "no algorithm 'gramm': gram_full gram direct"},
    {"norms --dtype fp32,int8", 2, "no element type 'int8': fp32 tf32 bf16 fp16"},
    {"norms --device tpu", 2, "no device 'tpu'"},
    {"norms --layers gpt3", 2, "no list of layers 'gpt3': gpt2-large gpt2-large-split llama-1b tiny"},
    {"norms --layers tiny --d 5", 2, "leave out --d and --p"},
    {"norms --poison zero", 2, "no poison 'zero': nan inf nan-g inf-g"},
    {"norms --poison $(printf 'a\\033\\200')", 2, "no poison 'a\\x1b\\x80'"},
    {"norms $(printf -- '--T\\033')", 2, "no option --T\\x1b; did you mean --T?"},
    {"norms --iterations 1000001", 2, "up to 1000000"},
    {"norms --seconds 0", 2, "is no value"},
    {"norms --bound nan", 2, "is no value"},
    {"norms --check=1", 2, "takes no value"},
    {"norms --T 5,6,5", 2, "--T names the same thing twice"},
    {"norms --algo gram,gram", 2, "--algo names the same thing twice"},
    {"norms --device=cpu --T=0", 2, "at least 1"},
    {"norms --device=cpu --layers tiny --B 0", 2, "at least 1"},
    {"norms --device=cpu --layers tiny --T 2000000000 --B 2000000000", 2, "too large"},
    {"norms --device=cpu --T=4000000000", 2, "too large"},
    {"norms --device=cpu --T 8 --results /nonexistent/x", 1, "/nonexistent/x: No such file"},
    {"norms --device=cpu --T 8 --results /dev/null", 1, "/dev/null: File exists"},
};

START_TEST(test_wrong_arguments_say_what_is_wrong)
{
    char command[512];
    snprintf(command, sizeof command, "exec " WORKLOAD " %s", wrong[_i].arguments);
    ck_assert_int_eq(run_bare(command), wrong[_i].status);
    ck_assert_msg(strstr(r.err, wrong[_i].says), "'%s' is not in: %s", wrong[_i].says, r.err);
    ck_assert_str_eq(r.out, ""); /* nothing ran */
    recording_end(&r);
}
END_TEST

/* Closed: no file of the workload's takes its number, and it cannot be written either. */
START_TEST(test_stdout_that_cannot_be_written_is_an_error)
{
    static const char *const to[] = {">/dev/full", ">&-", ">&- 2>&-"};
    char command[512];
    for (int i = 0; i < 3; i++) {
        snprintf(command, sizeof command,
                 "rm -f " RESULTS "; " WORKLOAD " norms --results " RESULTS
                 " --device cpu --seconds 0.001 --T 8 --d 8 --p 8 --algo gram %s; test $? = 1 && wc -l <" RESULTS,
                 to[i]);
        ck_assert_int_eq(run_bare(command), 0);
        if (i < 2) ck_assert_ptr_nonnull(strstr(r.err, "vramscope-workload: stdout cannot be written\n"));
        ck_assert_str_eq(r.out, "2\n");
    }
    ck_assert_int_eq(run_bare("exec " WORKLOAD " --help >/dev/full"), 1);
    recording_end(&r);
}
END_TEST

START_TEST(test_no_gpu_is_said_in_one_line)
{
    static const char says[] = "norms: running on the CPU: no NVIDIA driver (libcuda.so.1) on this machine\n";
    if (dlopen("libcuda.so.1", RTLD_LAZY)) return; /* this machine has a driver */
    ck_assert_int_eq(run_bare("exec " WORKLOAD " norms --T 8 --d 8 --p 8 --algo gram --seconds 0.001"), 0);
    ck_assert_int_eq(strncmp(r.err, says, strlen(says)), 0);
    ck_assert_int_eq(run_bare("exec " WORKLOAD " norms --T 8 --device cuda"), 1);
    ck_assert_str_eq(r.err, "norms: --device cuda: no NVIDIA driver (libcuda.so.1) on this machine\n");
    recording_end(&r);
}
END_TEST

Suite *make_norms_usage_suite(void)
{
    Suite *s = suite_create("norms_usage");
    TCase *c = tcase_create("norms_usage");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_wrong_arguments_say_what_is_wrong, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(c, test_stdout_that_cannot_be_written_is_an_error);
    tcase_add_test(c, test_no_gpu_is_said_in_one_line);
    suite_add_tcase(s, c);
    return s;
}
