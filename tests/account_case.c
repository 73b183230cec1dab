/* SPDX-License-Identifier: MIT
 *
 * account_case.c: writes the events of one process. It must never write what the recorder could not.
 */
#include "account_case.h"

#include <stdio.h>
#include <stdlib.h>

struct account_case account;

uint64_t account_caller(int by)
{
    return (uint64_t)by << 20;
}

void account_begin_folder(void)
{
    case_make(&account.in);
    account.now = 2000;
}

void account_begin(void)
{
    static const char *const paths[] = {
        [BY_RUNTIME] = "/a/libcudart.so.13",   [BY_TORCH] = "/a/libc10_cuda.so", [BY_CUBLAS] = "/a/libcublas.so.13",
        [BY_CUDNN] = "/a/libcudnn_graph.so.9", [BY_NCCL] = "/a/libnccl.so.2",    [BY_PROGRAM] = "/a/train"};
    account_begin_folder();
    account.w = case_writer(&account.in, 0);
    vs_put_meta(account.w, "executable", "/a/train");
    for (int by = BY_RUNTIME; by <= BY_PROGRAM; by++)
        vs_put_module(account.w, account_caller(by), account_caller(by) + 4096, paths[by]);
}

void account_end(void)
{
    case_remove(&account.in);
}

void account_check(void)
{
    case_balanced(account.in.db);
    ck_sql(account.in.db,
           "SELECT COUNT(*) FROM (SELECT SUM(CASE WHEN owner = 'driver_used' THEN -bytes ELSE bytes END) AS s, "
           "SUM(owner IN "
           "('driver_used', 'remainder')) AS two FROM account GROUP BY process_id, device, ts_ns) WHERE s <> 0 OR two "
           "<> 2",
           0);
}

void account_finish(void)
{
    vs_log_writer_close(account.w, VS_WRITER_KILL);
    case_ingest(&account.in, account.in.db);
    account_check();
}

/* Zeroed, but for the header. */
static void *add(enum vs_kind kind, size_t bytes, unsigned flags, uint64_t *seq, uint64_t *ts)
{
    void *record = vs_log_writer_add(account.w, 1, kind, bytes, flags, 0);
    *seq = vs_log_writer_seq(account.w);
    *ts = ++account.now;
    return record;
}

struct vs_rec_alloc *account_alloc(int by, enum vs_memory memory, uint64_t address, uint64_t bytes)
{
    uint64_t seq, ts;
    struct vs_rec_alloc *a = add(VS_K_ALLOC, sizeof *a, 0, &seq, &ts);
    *a = (struct vs_rec_alloc){.h = a->h,
                               .seq = seq,
                               .ts_ns = ts,
                               .address = address,
                               .bytes = bytes,
                               .memory = memory,
                               .caller = by ? account_caller(by) + 8 : 0,
                               .context = 0xc0};
    return a;
}

void account_free(uint64_t address)
{
    vs_put_free(account.w, 1, VS_MEM_CUDA, address, 0, ++account.now);
}

void account_block(uint64_t address, int64_t bytes, uint64_t allocated, uint64_t reserved)
{
    vs_put_torch(account.w, 1, 0, address, bytes, allocated, reserved, 0, ++account.now);
}

void account_pool(uint64_t pool, uint64_t reserved)
{
    vs_put_pool(account.w, 1, 0, pool, reserved, ++account.now);
}

uint64_t account_sample(unsigned flags, uint64_t used, uint64_t others)
{
    uint64_t seq, ts;
    struct vs_rec_device_memory *m = add(VS_K_DEVICE_MEMORY, sizeof *m, flags, &seq, &ts);
    *m = (struct vs_rec_device_memory){.h = m->h,
                                       .seq = seq,
                                       .ts_ns = ts,
                                       .used_bytes = used,
                                       .process_used_bytes = NOBODY,
                                       .others_used_bytes = others};
    return ts;
}

uint64_t account_sample_process(unsigned flags, uint64_t used, uint64_t process)
{
    uint64_t seq, ts;
    struct vs_rec_device_memory *m = add(VS_K_DEVICE_MEMORY, sizeof *m, flags, &seq, &ts);
    *m = (struct vs_rec_device_memory){
        .h = m->h, .seq = seq, .ts_ns = ts, .used_bytes = used, .process_used_bytes = process, .others_used_bytes = 0};
    return ts;
}

uint64_t account_measure(enum vs_measured what, unsigned flags, uint64_t context, int64_t bytes, uint64_t recorder)
{
    uint64_t seq, ts;
    struct vs_rec_measure *m = add(VS_K_MEASURE, sizeof *m, flags, &seq, &ts);
    *m = (struct vs_rec_measure){.h = m->h,
                                 .seq = seq,
                                 .ts_ns = ts,
                                 .context = context,
                                 .bytes = bytes,
                                 .recorder_bytes = recorder,
                                 .used_bytes = NOBODY,
                                 .free_bytes = NOBODY,
                                 .process_used_bytes = NOBODY,
                                 .others_used_bytes = NOBODY,
                                 .what = what,
                                 .calls = 1};
    return ts;
}

void account_end_context(uint64_t context)
{
    uint64_t seq, ts;
    struct vs_rec_context *x = add(VS_K_CONTEXT, sizeof *x, 0, &seq, &ts);
    *x = (struct vs_rec_context){.h = x->h, .seq = seq, .ts_ns = ts, .context = context};
}

void ck_account(uint64_t ts, const char *expected)
{
    char sql[256], *rows;
    snprintf(sql, sizeof sql,
             "SELECT owner || ' ' || COALESCE(bytes, 'NULL') FROM account WHERE ts_ns = %llu ORDER BY owner",
             (unsigned long long)ts);
    rows = case_text(account.in.db, sql);
    ck_assert_str_eq(rows, expected);
    free(rows);
}
