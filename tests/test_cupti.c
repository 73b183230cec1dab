/* SPDX-License-Identifier: MIT
 *
 * test_cupti.c: the CUPTI source against the stand-in libcupti: exact counts, every loss counted, every refusal
 * survived. Must never need a GPU or a driver.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cupti_case.h"

Suite *make_cupti_suite(void);

static const char *string_of(uint64_t id, char text[256])
{
    size_t i;
    for (i = 0; i < log_count(l, VS_K_STRING); i++) {
        const struct vs_rec_string *s = log_nth(l, VS_K_STRING, i);
        if (s->id == id) {
            snprintf(text, 256, "%.*s", (int)s->bytes, s->text);
            return text;
        }
    }
    return "";
}

static size_t transfers(enum vs_transfer op, uint64_t *bytes)
{
    size_t i, n = 0;
    *bytes = 0;
    for (i = 0; i < log_count(l, VS_K_TRANSFER); i++) {
        const struct vs_rec_transfer *t = log_nth(l, VS_K_TRANSFER, i);
        if (t->op == op) {
            n++;
            *bytes += t->bytes;
        }
    }
    return n;
}

START_TEST(test_counts)
{
    const struct vs_rec_alloc *a;
    const struct vs_rec_free *f;
    uint64_t bytes;

    record("work", "1000", NULL, NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 3 * 1001 + 1);
    ck_assert_uint_eq(transfers(VS_XFER_COPY, &bytes), 2);
    ck_assert_uint_eq(bytes, 4096 + 8192);
    ck_assert_uint_eq(transfers(VS_XFER_PEER, &bytes), 1);
    ck_assert_uint_eq(bytes, 1 << 20);
    ck_assert_uint_eq(transfers(VS_XFER_SET, &bytes), 1);
    ck_assert_uint_eq(bytes, 512);
    ck_assert_uint_eq(log_count(l, VS_K_OVERHEAD), 1);
    ck_assert_uint_eq(log_count(l, VS_K_LAUNCH), 3 * 1001 + 1 + 4);
    ck_assert_uint_eq(log_count(l, VS_K_API), 0);
    ck_assert_uint_eq(log_count(l, VS_K_GAP), 0);
    ck_assert_uint_eq(log_count(l, VS_K_STATIC), 1); /* the ordinary allocation is not recorded here */
    a = log_nth(l, VS_K_STATIC, 0);
    ck_assert_uint_eq(a->bytes, 1000);
    ck_assert(a->name_bytes == 7 && !memcmp(a->name, "weights", 7));
    ck_assert_uint_eq(log_count(l, VS_K_FREE), 1);
    f = log_nth(l, VS_K_FREE, 0);
    ck_assert_uint_eq(f->address, a->address);
    ck_assert_uint_ne(f->seq, 0);
    ck_assert_str_eq(log_meta(l, "cupti_version"), "130001");
    ck_assert_uint_eq(gpu_lost(VS_LOST_DROPPED) + gpu_lost(VS_LOST_UNTIMED) + gpu_lost(VS_LOST_UNKNOWN) +
                          gpu_lost(VS_LOST_GAP) + gpu_lost(VS_LOST_UNDELIVERED), 0);
    finish();
}
END_TEST

START_TEST(test_names_once)
{
    size_t i, per[4] = {0};
    char text[256];
    uint64_t ids[4] = {0};
    int n = 0, k;

    record("work", "300", NULL, NULL, NULL);
    ended_well();
    for (i = 0; i < log_count(l, VS_K_KERNEL); i++) {
        const struct vs_rec_kernel *kernel = log_nth(l, VS_K_KERNEL, i);
        for (k = 0; k < n && ids[k] != kernel->name; k++)
            ;
        ck_assert_int_lt(k, 4);
        if (k == n)
            ids[n++] = kernel->name;
        per[k]++;
        ck_assert_uint_ge(kernel->end_ns, kernel->begin_ns);
        ck_assert_uint_eq(kernel->grid[0], 2);
        ck_assert_uint_eq(kernel->block[0], 128);
        ck_assert_uint_eq(kernel->dynamic_shared, 1024);
    }
    ck_assert_int_eq(n, 4);
    for (k = 0; k < n; k++) {
        string_of(ids[k], text);
        if (!strcmp(text, "graph_node"))
            ck_assert_uint_eq(per[k], 1);
        else if (!strcmp(text, "_Z4axpyfPKfPf"))
            ck_assert_uint_eq(per[k], 3 * 101);
        else
            ck_assert_uint_eq(per[k], 300);
    }
    finish();
}
END_TEST

/* Each kernel has one launch with its correlation; the launch names the range open on its thread then. */
START_TEST(test_launch_ranges)
{
    size_t kernels, launches, i, j, in_range = 0, begins;

    record("work", "50", NULL, NULL, NULL);
    ended_well();
    kernels = log_count(l, VS_K_KERNEL);
    launches = log_count(l, VS_K_LAUNCH);
    begins = log_count(l, VS_K_RANGE_BEGIN);
    for (i = 0; i < kernels; i++) {
        const struct vs_rec_kernel *k = log_nth(l, VS_K_KERNEL, i);
        size_t found = 0;
        for (j = 0; j < launches; j++)
            found += ((const struct vs_rec_launch *)log_nth(l, VS_K_LAUNCH, j))->correlation == k->correlation;
        ck_assert_uint_eq(found, 1);
    }
    for (j = 0; begins && j < l->count; j++) {
        const struct vs_rec_launch *launch = (const void *)l->at[j].rec;
        const struct vs_rec_range_begin *begin;
        if (launch->h.kind != VS_K_LAUNCH || !launch->range)
            continue;
        in_range++;
        for (i = 0; i < l->count; i++) {
            begin = (const void *)l->at[i].rec;
            if (begin->h.kind == VS_K_RANGE_BEGIN && begin->seq == launch->range)
                break;
        }
        ck_assert_uint_lt(i, l->count);
        ck_assert_uint_eq(l->at[i].thread, l->at[j].thread);
    }
    if (begins)
        ck_assert_uint_eq(in_range, 3 * 50);
    finish();
}
END_TEST

START_TEST(test_losses_are_counted)
{
    size_t i, untimed = 0;
    record("losses", "0", NULL, NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 13);
    for (i = 0; i < 13; i++) {
        const struct vs_rec_kernel *k = log_nth(l, VS_K_KERNEL, i);
        untimed += k->h.flags == VS_TF_UNTIMED && !k->begin_ns && !k->end_ns;
    }
    ck_assert_uint_eq(untimed, 5);
    ck_assert_uint_eq(gpu_lost(VS_LOST_UNTIMED), 5);
    ck_assert_uint_eq(gpu_lost(VS_LOST_UNKNOWN), 4 + 1);
    ck_assert_uint_eq(gpu_lost(VS_LOST_DROPPED), 7);
    finish();
}
END_TEST

START_TEST(test_clock_of_another)
{
    record("clock", "0", NULL, NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 30);
    ck_assert_uint_eq(gpu_lost(VS_LOST_UNTIMED), 10);
    ck_assert_ptr_nonnull(strstr(r.err, "clock"));
    finish();
}
END_TEST

START_TEST(test_buffers_run_out)
{
    record("exhaust", "0", "VRAMSCOPE_HOST_BUFFER_MB=4", "VRAMSCOPE_FLUSH_MS=10000", NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 40);
    ck_assert_uint_eq(gpu_lost(VS_LOST_DROPPED), 20);
    finish();
}
END_TEST

START_TEST(test_memory_level_leaves_cupti_alone)
{
    record("plain", "10", "VRAMSCOPE_TRACE=memory", NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL) + log_count(l, VS_K_LAUNCH), 0);
    ck_assert_str_eq(log_meta(l, "cupti_version"), "");
    finish();
    record("plain", "10", "VRAMSCOPE_CUPTI=off", NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 0);
    finish();
    record("work", "10", "VRAMSCOPE_TRACE=memory", "VRAMSCOPE_CUPTI=on", NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL) + log_count(l, VS_K_LAUNCH), 0);
    ck_assert_uint_eq(log_count(l, VS_K_STATIC), 1);
    finish();
}
END_TEST

START_TEST(test_api_level)
{
    const struct vs_rec_api *a;
    char text[256];
    record("plain", "10", "VRAMSCOPE_TRACE=api", NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_API), 10);
    a = log_nth(l, VS_K_API, 0);
    ck_assert_str_eq(string_of(a->name, text), "cuLaunchKernel");
    ck_assert_uint_ne(a->tid, 0);
    finish();
}
END_TEST

/* What keeps CUPTI from being used: said once, counted, and the program goes on. */
static const struct {
    const char *env1, *env2, *says;
} refusals[] = {
    {"FAKE_CUPTI_VERSION=130200", NULL, "version 130200"},
    {"FAKE_CUPTI_VERSION=28", NULL, "version 28"},
    {"FAKE_CUPTI_HOLDER=Other Profiler", NULL, "held by Other Profiler"},
    {"FAKE_CUPTI_NO_DRIVER=1", NULL, "error 999"},
    {"VRAMSCOPE_CUPTI_LIB=/nonexistent/libcupti.so", NULL, "no libcupti found at /nonexistent/libcupti.so"},
    {"NSYS_PROFILING_SESSION_ID=1", NULL, "Nsight Systems is at work"},
};

START_TEST(test_cupti_refused)
{
    const char *says = refusals[_i].says, *first;
    record("plain", "10", refusals[_i].env1, refusals[_i].env2, NULL);
    ended_well();
    first = strstr(r.err, says);
    ck_assert_msg(first != NULL, "stderr: %s", r.err);
    ck_assert_ptr_null(strstr(first + 1, says));
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 0);
    ck_assert_uint_eq(gpu_lost(VS_LOST_GAP), 1);
    finish();
}
END_TEST

/* The toolkit's own library, where it is installed: without a driver it must do no harm. */
START_TEST(test_real_library_without_driver)
{
    static const char path[] = "/usr/local/cuda/lib64/libcupti.so.13";
    if (access(path, R_OK))
        return;
    record("plain", "10", "VRAMSCOPE_CUPTI_LIB=/usr/local/cuda/lib64/libcupti.so.13", NULL, NULL);
    ended_well();
    ck_assert_str_eq(log_meta(l, "cupti_version"), "130001");
    finish();
}
END_TEST

START_TEST(test_kill)
{
    record("kill", "20000", NULL, NULL, NULL);
    ck_assert(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL);
    ck_assert_ptr_nonnull(l);
    ck_assert_uint_ge(log_count(l, VS_K_KERNEL), 20000);
    ck_assert_uint_le(log_count(l, VS_K_KERNEL), 20010); /* the last ones, if the program was held up before its end */
    ck_assert_uint_eq(log_count(l, VS_K_END), 0);
    finish();
}
END_TEST

START_TEST(test_exit_is_never_held_up)
{
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    record("hang", "10", "VRAMSCOPE_FLUSH_MS=10000", NULL, NULL);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    ended_well();
    ck_assert_int_lt(t1.tv_sec - t0.tv_sec, 6);
    ck_assert_uint_eq(gpu_lost(VS_LOST_UNDELIVERED), 1);
    ck_assert_uint_eq(log_count(l, VS_K_END), 1);
    finish();
}
END_TEST

Suite *make_cupti_suite(void)
{
    Suite *s = suite_create("cupti");
    TCase *t = tcase_create("records");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_counts);
    tcase_add_test(t, test_names_once);
    tcase_add_test(t, test_launch_ranges);
    tcase_add_test(t, test_api_level);
    tcase_add_test(t, test_memory_level_leaves_cupti_alone);
    suite_add_tcase(s, t);
    t = tcase_create("losses");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_losses_are_counted);
    tcase_add_test(t, test_clock_of_another);
    tcase_add_test(t, test_buffers_run_out);
    tcase_add_loop_test(t, test_cupti_refused, 0, sizeof refusals / sizeof *refusals);
    tcase_add_test(t, test_real_library_without_driver);
    tcase_add_test(t, test_kill);
    tcase_add_test(t, test_exit_is_never_held_up);
    suite_add_tcase(s, t);
    return s;
}
