/* SPDX-License-Identifier: MIT
 *
 * test_gpu.c: a real GPU, a real driver: `make check-gpu`. Every count and byte of tests/gpu/every_kind.cu, with the CUDA
 * runtime linked statically and as a shared library, at both trace levels.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording.h"

Suite *make_gpu_suite(void);

static struct recording r;

static const struct {
    const char *program, *trace;
} cases[] = {{"every_kind", "memory"}, {"every_kind", "kernels"}, {"every_kind_shared", "memory"}, {"every_kind_shared", "kernels"}};

static long long printed(const char *name)
{
    char key[64];
    const char *at;
    snprintf(key, sizeof key, "%s ", name);
    at = strstr(r.out, key);
    ck_assert_msg(at != NULL, "the program did not print %s: %s", name, r.out);
    return atoll(at + strlen(key));
}

static void run(int i)
{
    char trace[64], name[64], program[512];
    const char *argv[] = {program, NULL}, *env[] = {trace, "LD_LIBRARY_PATH=/usr/local/cuda/lib64:/usr/local/cuda/lib", NULL};
    snprintf(trace, sizeof trace, "VRAMSCOPE_TRACE=%s", cases[i].trace);
    snprintf(name, sizeof name, "gpu-%s-%s", cases[i].program, cases[i].trace);
    snprintf(program, sizeof program, VS_BUILD_DIR "/tests/gpu/%s", cases[i].program);
    recording_begin(&r, name);
    recording_run(&r, argv, env);
    ck_assert_msg(r.status == 0, "status %x: %s%s", r.status, r.out, r.err);
    ck_assert_str_eq(r.err, "");
    recording_ingest(&r);
    recording_check(&r, 0);
}

static void is(const char *where, long long count, long long bytes)
{
    ck_assert_msg(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE %s", where) == count, "%s: %lld rows instead of %lld",
                  where, recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE %s", where), count);
    ck_assert_msg(recording_int(&r, "SELECT ifnull(SUM(bytes), 0) FROM allocation WHERE %s", where) == bytes,
                  "%s: %lld bytes instead of %lld", where,
                  recording_int(&r, "SELECT SUM(bytes) FROM allocation WHERE %s", where), bytes);
}

#define MIB (1ll << 20)

static void check_memory(void)
{
    long long mip = 4 * (256 * 256 + 128 * 128 + 64 * 64 + 32 * 32 + 16 * 16);
    long long arrays = 1000 * 4 + 100 * 10 * 4 + 17 * 9 * 5 * 4 + 20 * 10 * 7 * 4 + 64 * 64 * 6 * 4 + mip;

    is("source = 'cuda' AND flags & 16", 1, 4 * MIB);
    is("source = 'cuda' AND NOT flags & 16", 4, 4 * MIB + 1 + 4096 + printed("pitch") * 10 + printed("box_pitch") * 30);
    is("source = 'array'", 6, arrays);
    is("source = 'managed'", 1, 2 * MIB);
    is("source = 'pinned' AND flags & 2", 1, 65536);
    is("source = 'pinned' AND NOT flags & 2 AND alloc_range_id IS NOT NULL", 1, 12345);
    is("source = 'cuda_async' AND level = 'sub'", 3, 3 * MIB + 3000 + 5 * MIB);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM live_at_end WHERE source = 'cuda' AND bytes = 4096"), 0 + 1);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation_failure"), 1);
    ck_assert_int_eq(recording_int(&r, "SELECT bytes FROM allocation_failure"), 1ll << 42);
    ck_assert_int_eq(recording_int(&r, "SELECT total_bytes FROM allocation_failure"), printed("total"));
    ck_assert_int_gt(recording_int(&r, "SELECT free_bytes FROM allocation_failure"), 0);
    /* Each byte once: all that was ever live together is less than what the driver says is gone. */
    ck_assert_int_le(recording_int(&r, "SELECT SUM(bytes) FROM live_at_end WHERE level = 'held' AND device = 0"),
                     printed("total") - printed("free_after"));
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM range"), 7);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation a JOIN range g ON g.id = a.alloc_range_id JOIN string s ON "
                                       "s.id = g.name_id WHERE s.text = 'arrays' AND a.source = 'array'"), 6);
    ck_assert_int_gt(recording_int(&r, "SELECT MAX(used_bytes) FROM device_sample"), 0);
    ck_assert_str_ne(recording_text(&r, "SELECT uuid FROM device"), "NULL");
    printf("%s: driver blocks at their peak %lld bytes; the driver's own drop in free memory %lld\n", r.folder,
           recording_int(&r, "SELECT peak_bytes FROM peak_data WHERE series = 'held' AND device = 0"),
           printed("free_before") - printed("free_after"));
}

static void check_work(void)
{
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel k JOIN string s ON s.id = k.name_id WHERE s.text LIKE '%%thirteen%%'"), 13);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel k JOIN string s ON s.id = k.name_id WHERE s.text LIKE '%%in_graph%%'"), 15);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel"), 13 + 15 + 1);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel WHERE thread_id IS NULL OR range_id IS NULL OR end_ns <= begin_ns"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel k JOIN range g ON g.id = k.range_id JOIN string s ON s.id = "
                                       "g.name_id WHERE s.text = 'work' AND k.begin_ns >= k.launch_ns"), 29);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE direction = 'HtoD'"), 7);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE direction = 'DtoH'"), 5);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE direction = 'DtoD'"), 3);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM transfer WHERE op = 'set'"), 4);
    is("source = 'static' AND bytes >= 1048576", 1, MIB);
}

START_TEST(test_every_kind)
{
    run(_i);
    check_memory();
    if (!strcmp(cases[_i].trace, "kernels")) {
        check_work();
        ck_assert_int_eq(printed("cupti"), 1);
    } else {
        ck_assert_int_eq(printed("cupti"), 0); /* a mere client of CUPTI costs a launch-bound program several percent */
        ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel"), 0);
    }
    recording_end(&r);
}
END_TEST

/* The built-in workload: the GPU's norms agree with float64, and its buffers have names. */
START_TEST(test_norms_workload)
{
    const char *argv[] = {VS_BUILD_DIR "/bin/vramscope-workload", "norms", "--device", "cuda", "--T", "256,1000", "--d", "512",
                          "--p", "384", "--check", NULL};
    const char *env[] = {"LD_LIBRARY_PATH=/usr/local/cuda/lib64:/usr/local/cuda/lib", NULL};
    recording_begin(&r, "gpu-norms");
    recording_run(&r, argv, env);
    ck_assert_msg(r.status == 0, "status %x: %s%s", r.status, r.out, r.err);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_gt(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = 'region' AND device = 0 AND parent_id IS NOT NULL "
                                       "AND category = 'activation'"), 0);
    recording_end(&r);
}
END_TEST

Suite *make_gpu_suite(void)
{
    Suite *s = suite_create("gpu");
    TCase *c = tcase_create("gpu");
    tcase_set_timeout(c, 120);
    tcase_set_tags(c, "gpu");
    tcase_add_loop_test(c, test_every_kind, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(c, test_norms_workload);
    suite_add_tcase(s, c);
    return s;
}
