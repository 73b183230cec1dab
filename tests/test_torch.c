/* SPDX-License-Identifier: MIT
 *
 * test_torch.c: PyTorch's allocator events, from programs/torch_oracle.c through the stand-ins of libc10 and libc10_cuda:
 * every event of every ABI form is recorded once and passed on; memory of the CPU is not, and wakes nobody.
 * The programs check for themselves that libc10 received every call.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_reader.h"
#include "recording.h"

Suite *make_torch_suite(void);

static struct recording r;
static struct log *l;

static void oracle(const char *name, const char *const argv[])
{
    recording_begin(&r, name);
    recording_run(&r, argv, NULL);
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    ck_assert_str_eq(r.err, "");
    l = log_open(r.run);
    ck_assert_ptr_nonnull(l);
    ck_assert_uint_eq(l->damaged, 0);
}

static void done(void)
{
    log_close(l);
    recording_end(&r);
}

START_TEST(test_log_has_each_event_once)
{
    const char *argv[] = {"torch_oracle", "events", NULL};
    uint64_t last_seq = 0, live = 0;
    size_t i, n, other = 0;
    oracle("torch_events", argv);
    n = log_count(l, VS_K_TORCH);
    ck_assert_uint_eq(n, 23 + 17 + 5 + 5 + 2);
    for (i = 0; i < n; i++) {
        const struct vs_rec_torch *t = log_nth(l, VS_K_TORCH, i);
        ck_assert_uint_gt(t->seq, last_seq);
        last_seq = t->seq;
        ck_assert_uint_ne(t->ts_ns, 0);
        ck_assert_uint_eq(t->range, 0);
        if (t->h.device == 0) {
            live += (uint64_t)t->bytes;
            ck_assert_uint_eq(t->allocated, live);
            ck_assert_uint_eq(t->reserved, 2u << 20);
            ck_assert_uint_eq(t->h.flags, 1);
        } else if (t->h.device == 2) { /* the older forms: signed totals, then none */
            ck_assert_int_eq(t->bytes, other ? 2048 : 1024);
            ck_assert_uint_eq(t->h.flags, other ? 0 : 1);
            ck_assert_uint_eq(t->allocated, other ? 0 : 1024);
            other++;
        }
    }
    ck_assert_uint_eq(other, 2);
    ck_assert_uint_eq(live, 512 * (18 + 19 + 20 + 21 + 22 + 23));
    ck_assert_uint_eq(log_count(l, VS_K_TORCH_OOM), 3);
    for (i = 0; i < 3; i++) {
        const struct vs_rec_oom *o = log_nth(l, VS_K_TORCH_OOM, i);
        ck_assert_int_eq(o->bytes, (int64_t)1 << (30 + i));
        ck_assert_uint_eq(o->allocated, live);
    }
    done();
}
END_TEST

START_TEST(test_cpu_memory_wakes_nobody)
{
    const char *argv[] = {"torch_oracle", "cpu", NULL};
    recording_begin(&r, "torch_cpu");
    recording_run(&r, argv, NULL);
    ck_assert_int_eq(r.status, 0);
    ck_assert_int_ne(access(r.run, F_OK), 0);
    recording_end(&r);
}
END_TEST

START_TEST(test_a_forked_child_has_its_own_log)
{
    const char *argv[] = {"torch_oracle", "fork", NULL};
    size_t i, parent = 0, child = 0;
    oracle("torch_fork", argv);
    ck_assert_uint_eq(l->processes, 2);
    for (i = 0; i < l->count; i++)
        if (l->at[i].rec->kind == VS_K_TORCH) {
            const struct vs_rec_torch *t = (const void *)l->at[i].rec;
            parent += t->bytes == 512;
            child += t->bytes == 1024;
            ck_assert_uint_le(t->seq, 3);
        }
    ck_assert_uint_eq(parent, 2);
    ck_assert_uint_eq(child, 3);
    done();
}
END_TEST

START_TEST(test_threads_lose_nothing)
{
    const char *argv[] = {"torch_oracle", "threads", "8", "2000", NULL};
    size_t i;
    uint64_t sum = 0, n = 0;
    oracle("torch_threads", argv);
    for (i = 0; i < l->count; i++)
        if (l->at[i].rec->kind == VS_K_TORCH) {
            sum += ((const struct vs_rec_torch *)(const void *)l->at[i].rec)->seq;
            n++;
        }
    ck_assert_uint_eq(n + log_lost(l, VS_SRC_TORCH, VS_LOST_POOL_EMPTY), 32000);
    if (n == 32000) /* numbers 1..n, each once */
        ck_assert_uint_eq(sum, n * (n + 1) / 2);
    done();
}
END_TEST

START_TEST(test_database_has_exact_peaks)
{
    const char *argv[] = {"torch_oracle", "events", NULL};
    oracle("torch_database", argv);
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = 'torch'"), 30);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = 'torch' AND free_ts_ns IS NULL"), 8);
    ck_assert_int_eq(recording_int(&r, "SELECT peak_bytes FROM peak WHERE source = 'torch' AND device = 0"),
                     512 * 23 * 24 / 2);
    ck_assert_int_eq(recording_int(&r, "SELECT peak_bytes FROM peak WHERE source = 'torch' AND device = 1"), 5 * 4096);
    ck_assert_int_eq(recording_int(&r, "SELECT reserved_peak_bytes FROM peak WHERE source = 'torch' AND device = 0"), 2 << 20);
    done();
}
END_TEST

/* One label for each workspace and thread, and another after 1024 calls: the block may be another one by then. */
START_TEST(test_workspaces_are_labelled)
{
    const char *argv[] = {"cublas_oracle", NULL};
    oracle("torch_cublas", argv);
    ck_assert_uint_eq(log_count(l, VS_K_LABEL), 4);
    for (size_t i = 0; i < 4; i++) {
        const struct vs_rec_label *label = log_nth(l, VS_K_LABEL, i);
        const struct vs_rec_torch *t = log_nth(l, VS_K_TORCH, i / 2);
        ck_assert_uint_eq(label->what, VS_LABEL_WORKSPACE);
        ck_assert_uint_eq(label->bytes, 33554432);
        ck_assert_uint_eq(label->address, t->address);
        ck_assert_uint_gt(label->seq, t->seq);
    }
    done();
}
END_TEST

/* The program checks which version each call reached. */
START_TEST(test_each_caller_reaches_its_own_cublas)
{
    const char *argv[] = {"cublas_versions", NULL};
    oracle("torch_cublas_versions", argv);
    ck_assert_uint_eq(log_count(l, VS_K_LABEL), 1);
    done();
}
END_TEST

Suite *make_torch_suite(void)
{
    Suite *s = suite_create("torch");
    TCase *log = tcase_create("torch_log"), *database = tcase_create("torch_database");
    tcase_set_timeout(log, 60);
    tcase_set_timeout(database, 60);
    tcase_add_test(log, test_log_has_each_event_once);
    tcase_add_test(log, test_cpu_memory_wakes_nobody);
    if (recording_forks_make_sense()) tcase_add_test(log, test_a_forked_child_has_its_own_log);
    tcase_add_test(log, test_threads_lose_nothing);
    tcase_add_test(log, test_workspaces_are_labelled);
    tcase_add_test(log, test_each_caller_reaches_its_own_cublas);
    tcase_add_test(database, test_database_has_exact_peaks);
    suite_add_tcase(s, log);
    suite_add_tcase(s, database);
    return s;
}
