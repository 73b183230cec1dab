/* SPDX-License-Identifier: MIT
 *
 * test_account.c: whose bytes they are, from written logs: each owner is what was recorded of it and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account_case.h"

Suite *make_account_suite(void);

START_TEST(test_every_byte_has_one_owner)
{
    uint64_t first, full, empty;
    account_measure(VS_MEASURED_CONTEXT, VS_MF_PROCESS, 0xc0, 500, 7);
    first = account_sample(0, 520, 10);
    account_alloc(BY_RUNTIME, VS_MEM_CUDA, 0x10000, 1000); /* PyTorch's segment, by what lies in it */
    account_block(0x10000, 300, 300, 1000);
    account_block(0x10200, 400, 700, 1000);
    account_alloc(BY_RUNTIME, VS_MEM_CUDA, 0x20000, 11);
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x21000, 12);
    account_alloc(BY_NOBODY, VS_MEM_CUDA, 0x22000, 13);
    account_alloc(BY_RUNTIME, VS_MEM_ARRAY, 0x23000, 14);
    account_alloc(BY_CUBLAS, VS_MEM_CUDA, 0x24000, 64);
    account_alloc(BY_CUDNN, VS_MEM_CUDA, 0x25000, 32);
    account_alloc(BY_NCCL, VS_MEM_CUDA, 0x26000, 128);
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x27000, 256)->h.flags = VS_AF_IN_NCCL;
    account_alloc(BY_RUNTIME, VS_MEM_CUDA, 0x28000, 1 << 20)->h.flags = VS_AF_IMPORTED; /* another's */
    account_alloc(BY_RUNTIME, VS_MEM_STATIC, 0x29000, 1 << 20);                         /* came with its module */
    account_alloc(BY_RUNTIME, VS_MEM_PINNED, 0x2a000, 1 << 20)->h.device = -1;
    account_pool(0x77, 2048);
    account_alloc(BY_RUNTIME, VS_MEM_CUDA_ASYNC, 0x30000, 1024)->stream_or_pool = 0x77;
    account_measure(VS_MEASURED_MODULE, VS_MF_PROCESS, 0xc0, 40, 0);
    full = account_sample(0, 6000, 20);
    account_alloc(BY_RUNTIME, VS_MEM_MANAGED, 0x31000, 5000);
    account_free(0x24000);
    account_block(0x10000, -300, 400, 1000);
    account_pool(0x77, 0);
    empty = account_sample(0, 4000, NOBODY);
    account_finish();
    ck_account(first,
               "context 493,driver_used 520,framework_cached 0,framework_live 0,library:cublas 0,library:cudnn_graph 0,"
               "managed 0,nccl 0,other_cuda 0,other_processes 10,profiler 7,remainder 10,stream_ordered_pools 0");
    ck_account(full,
               "context 533,driver_used 6000,framework_cached 300,framework_live 700,library:cublas 64,"
               "library:cudnn_graph 32,managed 0,nccl 384,other_cuda 50,other_processes 20,profiler 7,remainder 1862,"
               "stream_ordered_pools 2048");
    ck_account(empty, "context 533,driver_used 4000,framework_cached 600,framework_live 400,library:cublas 0,"
                      "library:cudnn_graph 32,managed NULL,nccl 384,other_cuda 50,other_processes NULL,profiler 7,"
                      "remainder 1994,stream_ordered_pools 0");
    ck_sql(account.in.db, "SELECT COUNT(*) FROM account_check", 0);
}
END_TEST

/* Who takes memory after a sample has no part in it, also when the records arrive late. */
START_TEST(test_samples_are_in_order_with_allocations)
{
    uint64_t before, after, seq;
    struct vs_rec_device_memory *late;
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x10000, 100);
    seq = vs_log_writer_seq(account.w);
    before = ++account.now;
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x20000, 1000);
    after = account_sample(0, 5000, NOBODY);
    late = vs_log_writer_add(account.w, 2, VS_K_DEVICE_MEMORY, sizeof *late, 0, 0);
    late->seq = seq;
    late->ts_ns = before;
    late->used_bytes = 3000;
    late->others_used_bytes = NOBODY;
    account_sample(VS_DM_EARLIER, 2000, NOBODY); /* as it was: not to be set against what is there account.now */
    account_finish();
    ck_account(before, "context NULL,driver_used 3000,other_cuda 100,other_processes NULL,profiler 0,remainder 2900");
    ck_account(after, "context NULL,driver_used 5000,other_cuda 1100,other_processes NULL,profiler 0,remainder 3900");
    ck_sql(account.in.db, "SELECT COUNT(DISTINCT ts_ns) FROM account", 2);
    ck_sql(account.in.db, "SELECT COUNT(*) FROM device_sample", 3);
}
END_TEST

START_TEST(test_a_late_name_moves_the_bytes)
{
    uint64_t before, after;
    account_alloc(BY_LIBRARY_0, VS_MEM_CUDA, 0x10000, 100);
    account_alloc(BY_LIBRARY_0 + 1, VS_MEM_CUDA, 0x20000, 1000);
    before = account_sample(0, 2000, 0);
    vs_put_module(account.w, (uint64_t)BY_LIBRARY_0 << 20, ((uint64_t)BY_LIBRARY_0 << 20) + 4096,
                  "/b/libcusolver.so.12");
    vs_put_module(account.w, (uint64_t)(BY_LIBRARY_0 + 1) << 20, ((uint64_t)(BY_LIBRARY_0 + 1) << 20) + 4096,
                  "/b/libnccl.so.2");
    vs_put_meta(account.w, "executable", "/a/train");
    after = account_sample(0, 2000, 0);
    account_finish();
    ck_account(before,
               "context NULL,driver_used 2000,library:cusolver 0,nccl 0,other_cuda 1100,other_processes 0,profiler 0,"
               "remainder 900");
    ck_account(after,
               "context NULL,driver_used 2000,library:cusolver 100,nccl 1000,other_cuda 0,other_processes 0,profiler 0,"
               "remainder 900");
}
END_TEST

START_TEST(test_more_libraries_than_owners)
{
    for (unsigned i = 0; i < 40; i++) {
        char path[64];
        uint64_t at = (uint64_t)(BY_LIBRARY_0 + i) << 20;
        snprintf(path, sizeof path, "/b/libnumber%u.so", i);
        vs_put_module(account.w, at, at + 4096, path);
        account_alloc(BY_LIBRARY_0 + (int)i, VS_MEM_CUDA, 0x10000 + i * 4096u, 1);
    }
    account_sample(0, 100, 0);
    account_finish();
    ck_sql(account.in.db, "SELECT COUNT(*) FROM account WHERE owner LIKE 'library:%'", 22);
    ck_sql(account.in.db, "SELECT SUM(bytes) FROM account WHERE owner LIKE 'library:%'", 40);
    ck_sql(account.in.db, "SELECT bytes FROM account WHERE owner = 'library:others'", 19);
    ck_sql(account.in.db, "SELECT bytes FROM account WHERE owner = 'remainder'", 60);
}
END_TEST

/* What a context and its modules took goes with it; what was not measured is unknown, and nobody's. */
START_TEST(test_contexts_come_and_go)
{
    uint64_t at[8];
    at[0] = account_sample(0, 1000, 0);
    account_measure(VS_MEASURED_CONTEXT, 0, 0xc0, 300, 0);
    account_measure(VS_MEASURED_CONTEXT, 0, 0xc1, 200, 50);
    account_measure(VS_MEASURED_MODULE, 0, 0xc1, 20, 0);
    account_measure(VS_MEASURED_MODULE, 0, 0, 5, 0); /* of whichever */
    account_sample(0, 1001, 0);
    account_end_context(0xc1);
    at[2] = account_sample(0, 1002, 0);
    account_measure(VS_MEASURED_CONTEXT, VS_MF_UNKNOWN, 0xc2, 0, 0);
    at[3] = account_sample(0, 1003, 0);
    account_end_context(0xc2);
    account_measure(VS_MEASURED_MODULE, VS_MF_UNKNOWN, 0xc0, 77, 0);
    account_measure(VS_MEASURED_MODULE, 0, 0xc0, -30, 0);
    at[4] = account_sample(0, 1004, 0);
    account_end_context(0); /* all of the device */
    at[5] = account_sample(0, 1005, 0);
    account_finish();
    ck_account(at[0], "context NULL,driver_used 1000,other_processes 0,profiler 0,remainder 1000");
    ck_sql(
        account.in.db,
        "SELECT SUM(bytes) FROM account WHERE ts_ns = (SELECT MIN(ts_ns) FROM account WHERE owner = 'driver_used' AND "
        "bytes = 1001) AND owner IN ('context', 'profiler')",
        525);
    ck_account(at[2], "context 300,driver_used 1002,other_processes 0,profiler 0,remainder 702");
    ck_account(at[3], "context NULL,driver_used 1003,other_processes 0,profiler 0,remainder 1003");
    ck_account(at[4], "context 270,driver_used 1004,other_processes 0,profiler 0,remainder 734");
    ck_account(at[5], "context 0,driver_used 1005,other_processes 0,profiler 0,remainder 1005");
}
END_TEST

static int64_t context_at(uint64_t ts)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT bytes FROM account WHERE owner = 'context' AND ts_ns = %llu",
             (unsigned long long)ts);
    return case_int(account.in.db, sql);
}

/* Calls of which it is not known what they took: what the process grew by and no allocation asked for. Nothing else is. */
START_TEST(test_what_calls_took_together)
{
    uint64_t at[7];
    account_measure(VS_MEASURED_CONTEXT, VS_MF_UNKNOWN, 0xc0, 0, 5);
    at[0] = account_sample_process(VS_DM_UNSETTLED, 1000, 300);
    at[1] = account_sample_process(0, 1000, 305);
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x10000, 100);
    at[2] = account_sample_process(0, 1000, 415); /* what the driver rounds up by is nobody's */
    account_measure(VS_MEASURED_CALLS, VS_MF_UNKNOWN, 0, 0, 0);
    account_measure(VS_MEASURED_MODULE, 0, 0xc0, 20, 0);
    account_alloc(BY_PROGRAM, VS_MEM_CUDA, 0x20000, 100);
    at[3] = account_sample(0, 1000, 0);
    at[4] = account_sample_process(0, 1000, 605);
    account_alloc(BY_RUNTIME, VS_MEM_MANAGED, 0x30000, 100);
    account_measure(VS_MEASURED_CALLS, VS_MF_UNKNOWN, 0, 0, 0);
    at[5] = account_sample_process(0, 1000, 900); /* or it is the managed memory's */
    account_free(0x30000);
    at[6] = account_sample_process(0, 1000, 605);
    account_finish();
    ck_assert_int_eq(context_at(at[0]), INT64_MIN);
    ck_assert_int_eq(context_at(at[1]), 300);
    ck_assert_int_eq(context_at(at[2]), 300);
    ck_assert_int_eq(context_at(at[3]), 320);
    ck_assert_int_eq(context_at(at[4]), 390);
    ck_assert_int_eq(context_at(at[5]), 390);
    ck_assert_int_eq(context_at(at[6]), 390);
    char *rows =
        case_text(account.in.db, "SELECT what || ' ' || COALESCE(bytes, 'NULL') || ' ' || calls FROM context_growth"
                                 " ORDER BY ts_ns, what");
    ck_assert_str_eq(rows,
                     "context NULL 1,together 300 1,calls NULL 1,module 20 1,together 70 1,calls NULL 1,together 0 1");
    free(rows);
}
END_TEST

/* ---- what does not fit is shown ---- */

START_TEST(test_totals_that_differ_are_shown)
{
    uint64_t at;
    account_alloc(BY_RUNTIME, VS_MEM_CUDA, 0x10000, 1000);
    account_block(0x10000, 100, 100, 1000);
    account_block(0x90000, 50, 150, 1500); /* in a segment nobody told us of */
    at = account_sample(0, 2000, 0);
    account_block(0x10100, 10, 160, 1200);
    account_finish();
    ck_account(at, "context NULL,driver_used 2000,framework_cached 900,framework_live 150,other_processes 0,profiler 0,"
                   "remainder 950");
    ck_sql(account.in.db, "SELECT COUNT(*) FROM account_check", 1);
    ck_sql(account.in.db, "SELECT ours_bytes FROM account_check WHERE what = 'framework_held'", 1000);
    ck_sql(account.in.db, "SELECT theirs_bytes FROM account_check WHERE what = 'framework_held'", 1500);
}
END_TEST

/* PyTorch over a stream-ordered pool: the bytes are the pool's, once. */
START_TEST(test_blocks_in_a_pool_are_the_pools)
{
    uint64_t at;
    account_pool(0x77, 4096);
    account_alloc(BY_RUNTIME, VS_MEM_CUDA_ASYNC, 0x30000, 1024)->stream_or_pool = 0x77;
    account_block(0x30000, 512, 512, 4096);
    at = account_sample(0, 5000, 0);
    account_finish();
    ck_account(at,
               "context NULL,driver_used 5000,other_processes 0,profiler 0,remainder 904,stream_ordered_pools 4096");
}
END_TEST

Suite *make_account_suite(void)
{
    Suite *s = suite_create("account");
    TCase *t = tcase_create("owners");
    tcase_add_checked_fixture(t, account_begin, account_end);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_every_byte_has_one_owner);
    tcase_add_test(t, test_samples_are_in_order_with_allocations);
    tcase_add_test(t, test_a_late_name_moves_the_bytes);
    tcase_add_test(t, test_more_libraries_than_owners);
    tcase_add_test(t, test_contexts_come_and_go);
    tcase_add_test(t, test_what_calls_took_together);
    tcase_add_test(t, test_totals_that_differ_are_shown);
    tcase_add_test(t, test_blocks_in_a_pool_are_the_pools);
    suite_add_tcase(s, t);
    return s;
}
