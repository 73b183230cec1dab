/* SPDX-License-Identifier: MIT
 *
 * test_cupti_users.c: other users of CUPTI in a recorded program: theirs is complete, ours shows the gap and comes back.
 * Must never need a GPU or a driver.
 */
#include <check.h>
#include <string.h>

#include "cupti_case.h"

Suite *make_cupti_users_suite(void);

static void check_gaps(size_t gaps, const char *holder)
{
    uint64_t last = 0;
    size_t i;
    ck_assert_uint_eq(log_count(l, VS_K_GAP), 2 * gaps);
    ck_assert_uint_eq(gpu_lost(VS_LOST_GAP), gaps);
    for (i = 0; i < 2 * gaps; i++) {
        const struct vs_rec_gap *g = NULL, *candidate;
        size_t j;
        for (j = 0; j < 2 * gaps; j++) { /* in order of time: threads have slabs of their own */
            candidate = log_nth(l, VS_K_GAP, j);
            if (candidate->ts_ns > last && (!g || candidate->ts_ns < g->ts_ns))
                g = candidate;
        }
        ck_assert_ptr_nonnull(g);
        ck_assert_uint_eq(g->h.flags, i % 2 == 0);
        ck_assert_msg(g->holder_bytes == strlen(holder) && !memcmp(g->holder, holder, strlen(holder)), "%.*s",
                      (int)g->holder_bytes, g->holder);
        last = g->ts_ns;
    }
}

/* The program's own checks (its status) say that its sessions got all their kernels, in buffers of its own, with its
 * clock, in a CUPTI without a trace of ours. */
START_TEST(test_foreign_user_twice)
{
    record(_i ? "foreign-leaves" : "foreign", "0", NULL, NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 100 + 200 + 300);
    ck_assert_uint_eq(log_count(l, VS_K_LAUNCH), 100 + 200 + 300);
    ck_assert_uint_eq(gpu_lost(VS_LOST_UNTIMED), 0);
    check_gaps(2, "cupti_events");
    finish();
}
END_TEST

START_TEST(test_foreign_finalize)
{
    record(_i ? "finalize-unseen" : "finalize", "0", NULL, NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 50 + 60);
    check_gaps(1, _i ? "another tool" : "cupti_events");
    finish();
}
END_TEST

START_TEST(test_foreign_by_dlsym)
{
    record("dlsym", "0", NULL, NULL, NULL);
    ended_well();
    ck_assert_uint_eq(log_count(l, VS_K_KERNEL), 10 + 20);
    check_gaps(1, "cupti_events");
    finish();
}
END_TEST

START_TEST(test_callbacks_replaced_unseen)
{
    record("replaced", "0", NULL, NULL, NULL);
    ended_well();
    ck_assert_uint_ge(log_count(l, VS_K_KERNEL), 50);
    ck_assert_uint_eq(log_count(l, VS_K_GAP), 1); /* open to the end: taking CUPTI back would break the other tool */
    ck_assert_uint_eq(gpu_lost(VS_LOST_GAP), 1);
    ck_assert_ptr_nonnull(strstr(r.err, "past the recorder"));
    finish();
}
END_TEST

Suite *make_cupti_users_suite(void)
{
    Suite *s = suite_create("cupti_users");
    TCase *t = tcase_create("other users");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_foreign_user_twice, 0, 2);
    tcase_add_loop_test(t, test_foreign_finalize, 0, 2);
    tcase_add_test(t, test_foreign_by_dlsym);
    tcase_add_test(t, test_callbacks_replaced_unseen);
    suite_add_tcase(s, t);
    return s;
}
