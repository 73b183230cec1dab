/* SPDX-License-Identifier: MIT
 *
 * test_driver.c: the driver's memory, from the oracle programs over the stand-in driver: every allocation of every kind is
 * recorded once, with the right bytes, in an order in which no address is ever owned twice; lookups of functions give what
 * they would give without us; no result, errno or stream capture changes. It must never accept "about right".
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_reader.h"
#include "recording.h"

Suite *make_driver_suite(void);

#define MIB (1ull << 20)
static struct recording r;
static struct log *l;
static const char *const oracles[] = {"cuda_oracle", "cuda_oracle_static", "cuda_oracle_driver"};

static void run(const char *name, const char *const argv[], const char *const env[])
{
    recording_begin(&r, name);
    recording_run(&r, argv, env);
}

static void run_oracle(int which, const char *suffix)
{
    char name[64];
    snprintf(name, sizeof name, "%s_%s", oracles[which], suffix);
    run(name, (const char *const[]){oracles[which], NULL}, NULL);
    ck_assert_msg(r.status == 0, "status %d: %s%s", r.status, r.out, r.err);
    ck_assert_str_eq(r.err, "");
}

static void read_log(void)
{
    l = log_open(r.run);
    ck_assert_ptr_nonnull(l);
    ck_assert_uint_eq(l->damaged, 0);
    ck_assert_uint_eq(l->processes, 1);
}

static void done(void)
{
    log_close(l);
    l = NULL;
    recording_end(&r);
}

/* ---- the oracle, in the log ---- */

struct sum {
    unsigned count;
    uint64_t bytes;
};

static void sum_up(struct sum memory[VS_NMEMORIES], struct sum vmm[VS_VMM_IMPORT + 1])
{
    size_t i;
    for (i = 0; i < l->count; i++) {
        const struct vs_rec_alloc *a = (const void *)l->at[i].rec;
        const struct vs_rec_vmm *v = (const void *)l->at[i].rec;
        if (a->h.kind == VS_K_ALLOC) {
            memory[a->memory].count++;
            memory[a->memory].bytes += a->bytes;
            ck_assert_uint_ne(a->caller, 0);
            ck_assert_int_eq(a->h.device, a->memory == VS_MEM_PINNED ? -1 : 0);
            ck_assert((a->context == 0) == (a->memory == VS_MEM_CUDA_ASYNC));
        }
        if (v->h.kind == VS_K_VMM) {
            vmm[v->op].count++;
            vmm[v->op].bytes += v->bytes;
        }
    }
}

static unsigned with_flag(enum vs_kind kind, uint8_t flag)
{
    unsigned n = 0;
    size_t i;
    for (i = 0; i < l->count; i++)
        n += l->at[i].rec->kind == kind && l->at[i].rec->flags & flag;
    return n;
}

START_TEST(test_oracle_log)
{
    static const struct sum expected[VS_NMEMORIES] = {
        [VS_MEM_CUDA] = {8, 4 * MIB + 1 + 1000 + 5120 + 1000 + 8 * MIB + 7777 + 7777 + 555},
        [VS_MEM_CUDA_ASYNC] = {6, 3 * MIB + 3000 + MIB + 5 * MIB + 2 * MIB + 6 * MIB},
        [VS_MEM_MANAGED] = {1, 2 * MIB},
        [VS_MEM_PINNED] = {3, 12345 + 65536 + 4096},
        [VS_MEM_ARRAY] = {3, 4000 + 12240 + 4 * (65536 + 16384 + 4096 + 1024 + 256)},
    };
    struct sum memory[VS_NMEMORIES] = {{0, 0}}, vmm[VS_VMM_IMPORT + 1] = {{0, 0}};
    const struct vs_rec_alloc_fail *fail;
    const struct vs_rec_device *device;
    int i;

    run_oracle(_i, "log");
    read_log();
    sum_up(memory, vmm);
    for (i = 0; i < VS_NMEMORIES; i++) {
        ck_assert_msg(memory[i].count == expected[i].count, "memory %d: %u allocations", i, memory[i].count);
        ck_assert_uint_eq(memory[i].bytes, expected[i].bytes);
    }
    ck_assert_uint_eq(log_count(l, VS_K_ALLOC) + vmm[VS_VMM_CREATE].count, 23);
    ck_assert_uint_eq(vmm[VS_VMM_CREATE].bytes, 6 * MIB);
    ck_assert_uint_eq(vmm[VS_VMM_MAP].count, 2);
    ck_assert_uint_eq(vmm[VS_VMM_RETAIN].count, 1);
    ck_assert_uint_eq(vmm[VS_VMM_RELEASE].count, 3);
    ck_assert_uint_eq(vmm[VS_VMM_UNMAP].count, 1);
    /* 17 frees: 15 of these, a release and an unmapping. Two were refused: a wild free, a second unmapping. */
    ck_assert_uint_eq(log_count(l, VS_K_FREE) - with_flag(VS_K_FREE, VS_AF_UNDO), 15);
    ck_assert_uint_eq(with_flag(VS_K_FREE, VS_AF_UNDO), 2);
    ck_assert_uint_eq(with_flag(VS_K_ALLOC, VS_AF_IMPORTED), 1);
    ck_assert_uint_eq(with_flag(VS_K_ALLOC, VS_AF_REGISTERED), 1);
    ck_assert_uint_eq(with_flag(VS_K_ALLOC, VS_AF_CAPTURED), 1);
    ck_assert_uint_eq(log_count(l, VS_K_CONTEXT), 1);
    ck_assert_uint_eq(log_count(l, VS_K_ALLOC_FAIL), 1);
    fail = log_nth(l, VS_K_ALLOC_FAIL, 0);
    ck_assert_uint_eq(fail->bytes, 2048 * MIB);
    ck_assert_uint_eq(fail->total_bytes, 1024 * MIB);
    ck_assert_uint_lt(fail->free_bytes, 1024 * MIB - 6 * MIB);
    ck_assert_int_eq(fail->error, 2);
    device = log_nth(l, VS_K_DEVICE, 0);
    ck_assert_ptr_nonnull(device);
    ck_assert_uint_eq(log_count(l, VS_K_DEVICE), 1);
    ck_assert_uint_eq(device->pci, 0x3b00);
    ck_assert_uint_eq(device->total_bytes, 1024 * MIB);
    ck_assert_uint_eq(device->uuid[15], 0xa0);
    ck_assert_str_eq(log_meta(l, "driver_version"), "13.0");
    done();
}
END_TEST

/* A pool's record comes before the first allocation from it, and every size it had is there. */
START_TEST(test_oracle_pools)
{
    static const uint64_t reserved[] = {32 * MIB, 0, 32 * MIB, 0, 32 * MIB, 0};
    uint64_t known[8] = {0};
    size_t i, j, n = 0, nknown = 0, sizes = 0;
    run_oracle(_i, "pools");
    read_log();
    for (i = 0; i < l->count; i++) {
        const struct vs_rec_pool *p = (const void *)l->at[i].rec;
        const struct vs_rec_alloc *a = (const void *)l->at[i].rec;
        if (p->h.kind == VS_K_POOL) {
            n++;
            sizes += p->reserved_bytes == 32 * MIB;
            if (nknown < 8)
                known[nknown++] = p->pool;
        }
        if (a->h.kind != VS_K_ALLOC || a->memory != VS_MEM_CUDA_ASYNC || a->h.flags & VS_AF_CAPTURED)
            continue;
        for (j = 0; j < nknown && known[j] != a->stream_or_pool; j++)
            ;
        ck_assert_uint_lt(j, nknown);
    }
    ck_assert_uint_eq(n, sizeof reserved / sizeof *reserved); /* default up, down; own new, up; graphs up, down */
    ck_assert_uint_eq(sizes, 3);
    done();
}
END_TEST

/* ---- the oracle, in the database ---- */

START_TEST(test_oracle_database)
{
    static const struct {
        const char *source;
        int count;
        unsigned long long bytes;
    } expected[] = {
        {"cuda", 10, 4 * MIB + 1 + 1000 + 5120 + 1000 + 8 * MIB + 7777 + 7777 + 555 + 6 * MIB},
        {"cuda_async", 6, 3 * MIB + 3000 + MIB + 5 * MIB + 2 * MIB + 6 * MIB},
        {"managed", 1, 2 * MIB},
        {"pinned", 3, 12345 + 65536 + 4096},
        {"array", 3, 4000 + 12240 + 349184},
    };
    const char *handed_out = "NOT (source = 'cuda_async' AND level = 'held')"; /* pools are rows of their own */
    long long peak;
    size_t i;

    run_oracle(_i, "database");
    recording_ingest(&r);
    recording_check(&r, 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE %s", handed_out), 23);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(free_ts_ns) FROM allocation WHERE %s", handed_out), 17 + 2);
    for (i = 0; i < sizeof expected / sizeof *expected; i++) {
        ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation WHERE source = '%s' AND %s", expected[i].source,
                                       handed_out), expected[i].count);
        ck_assert_int_eq(recording_int(&r, "SELECT SUM(bytes) FROM allocation WHERE source = '%s' AND %s",
                                       expected[i].source, handed_out), (long long)expected[i].bytes);
    }
    ck_assert_str_eq(recording_text(&r, "SELECT group_concat(bytes) FROM (SELECT bytes FROM live_at_end WHERE %s ORDER BY bytes)",
                                    handed_out), "555,1000,7777,2097152");
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM allocation_failure WHERE bytes = %lld AND error = 2 AND "
                                   "total_bytes = %lld AND free_bytes < total_bytes", 2048ll << 20, 1024ll << 20), 1);
    /* Each byte once: what we say was held at the peak is what the driver had given away then. */
    ck_assert_int_eq(sscanf(r.out, "peak_used %lld", &peak), 1);
    ck_assert_int_eq(recording_int(&r, "SELECT peak_bytes FROM peak_data WHERE device = 0 AND series = 'held'"), peak);
    ck_assert_str_eq(recording_text(&r, "SELECT driver_version FROM process"), "13.0");
    ck_assert_str_eq(recording_text(&r, "SELECT name || ' ' || total_bytes FROM device"), "Fake GPU 0 1073741824");
    done();
}
END_TEST

/* ---- nothing changes ---- */

START_TEST(test_lookups_are_unchanged)
{
    run("driver_lookup_bare", (const char *const[]){"driver_lookup", "0", NULL}, (const char *const[]){"LD_PRELOAD=", NULL});
    ck_assert_msg(r.status == 0, "without us: %s%s", r.out, r.err);
    run("driver_lookup", (const char *const[]){"driver_lookup", "1", NULL}, NULL);
    ck_assert_msg(r.status == 0, "with us: %s%s", r.out, r.err);
    ck_assert_str_eq(r.out, "same\n");
    ck_assert_str_eq(r.err, "");
    ck_assert_int_ne(access(r.run, F_OK), 0); /* looking up is not using */
    done();
}
END_TEST

/* The n-th request for memory is refused: the program sees the same with us and without us. */
START_TEST(test_refusals_are_passed_on)
{
    static char bare[65536];
    char fail[32];
    int status;
    snprintf(fail, sizeof fail, "FAKE_CUDA_FAIL_AT=%d", _i + 1);
    run("driver_refused", (const char *const[]){"cuda_oracle", NULL}, (const char *const[]){"LD_PRELOAD=", fail, NULL});
    strcpy(bare, r.out);
    status = r.status;
    run("driver_refused", (const char *const[]){"cuda_oracle", NULL}, (const char *const[]){fail, NULL});
    ck_assert_msg(r.status == status, "%x instead of %x: %s", r.status, status, r.err);
    ck_assert_str_eq(r.out, bare);
    ck_assert_str_eq(r.err, "");
    read_log();
    ck_assert_uint_ge(log_count(l, VS_K_ALLOC_FAIL), 1);
    done();
}
END_TEST

/* ---- order ---- */

static int by_seq(const void *a, const void *b)
{
    const struct vs_rec_free *x = *(const struct vs_rec_free *const *)a, *y = *(const struct vs_rec_free *const *)b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static size_t lifetimes(const struct vs_rec_free ***at)
{
    size_t i, n = 0;
    *at = calloc(l->count, sizeof **at);
    for (i = 0; i < l->count; i++)
        if (l->at[i].rec->kind == VS_K_ALLOC || l->at[i].rec->kind == VS_K_FREE)
            (*at)[n++] = (const void *)l->at[i].rec;
    qsort(*at, n, sizeof **at, by_seq);
    return n;
}

/* Applied in the order of their numbers, no address is handed out while it is live nor freed while it is not. */
START_TEST(test_threads_never_own_an_address_twice)
{
    enum { LIVE = 64 };
    const struct vs_rec_free **at;
    uint64_t live[LIVE] = {0};
    size_t i, j, n;

    run("driver_threads", (const char *const[]){"driver_threads", "200", NULL}, (const char *const[]){"VRAMSCOPE_SAMPLE_MS=0", NULL});
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    read_log();
    n = lifetimes(&at);
    ck_assert_uint_eq(n, 8 * 200 * 4);
    for (i = 0; i < n; i++) {
        uint64_t address = at[i]->address; /* at the same place in both records */
        ck_assert_uint_eq(at[i]->seq, i + 1);
        for (j = 0; j < LIVE && live[j] != address; j++)
            ;
        ck_assert_msg((j < LIVE) == (at[i]->h.kind == VS_K_FREE), "record %zu: %lx", i, (unsigned long)address);
        if (j == LIVE) {
            for (j = 0; live[j]; j++)
                ck_assert_uint_lt(j + 1, LIVE);
            live[j] = address;
        } else {
            live[j] = 0;
        }
    }
    free(at);
    done();
}
END_TEST

/* With as little room as may be set, records may be dropped. Each is counted, and none leaves a number behind that ingest
 * would wait for. */
START_TEST(test_drops_leave_no_gap)
{
    const struct vs_rec_free **at;
    size_t i, n;
    run("driver_drops", (const char *const[]){"driver_threads", "3000", NULL}, (const char *const[]){"VRAMSCOPE_POOL_MB=2", "VRAMSCOPE_SAMPLE_MS=0", NULL});
    ck_assert_msg(r.status == 0, "status %d: %s", r.status, r.err);
    read_log();
    n = lifetimes(&at);
    for (i = 0; i < n; i++)
        ck_assert_uint_eq(at[i]->seq, i + 1);
    ck_assert_uint_eq(n + log_lost(l, VS_SRC_CUDA, VS_LOST_POOL_EMPTY), 8 * 3000 * 4 + with_flag(VS_K_FREE, VS_AF_UNDO));
    free(at);
    done();
}
END_TEST

/* ---- the device as a whole ---- */

/* A context of 100 MiB, a pool that keeps its 32, 16 of another process. */
START_TEST(test_device_is_sampled)
{
    const struct vs_rec_device_memory *m;
    size_t n;
    run("driver_device", (const char *const[]){"driver_threads", "1", "150", NULL},
        (const char *const[]){"VRAMSCOPE_FLUSH_MS=10", "VRAMSCOPE_SAMPLE_MS=10", NULL});
    ck_assert_int_eq(r.status, 0);
    read_log();
    n = log_count(l, VS_K_DEVICE_MEMORY);
    ck_assert_uint_ge(n, 2);
    ck_assert_uint_le(n, 7); /* of 15: only while the threads were at work was there something to say */
    m = log_nth(l, VS_K_DEVICE_MEMORY, n - 1);
    ck_assert_uint_eq(m->used_bytes, 148 * MIB);
    ck_assert_uint_eq(m->free_bytes, (1024 - 8 - 148) * MIB);
    ck_assert_uint_eq(m->process_used_bytes, 132 * MIB);
    ck_assert_uint_eq(m->others_used_bytes, 16 * MIB);
    ck_assert_int_eq(m->h.device, 0);
    ck_assert_uint_eq(m->h.flags, 0);
    ck_assert_uint_ge(m->ts_ns, ((const struct vs_rec_free *)log_nth(l, VS_K_FREE, 7))->ts_ns); /* of the end */
    done();
}
END_TEST

START_TEST(test_no_sampling_when_off)
{
    run("driver_no_samples", (const char *const[]){"driver_threads", "1", "60", NULL},
        (const char *const[]){"VRAMSCOPE_FLUSH_MS=10", "VRAMSCOPE_SAMPLE_MS=0", NULL});
    ck_assert_int_eq(r.status, 0);
    read_log();
    ck_assert_uint_eq(log_count(l, VS_K_DEVICE_MEMORY), 0);
    done();
}
END_TEST

/* ---- lists ---- */

START_TEST(test_every_hook_is_exported)
{
    static const char *const names[] = {
#define HOOK(name, params) #name,
#include "profiler/driver_hooks.def"
#undef HOOK
    };
    static char map[65536];
    FILE *f = fopen(VS_SOURCE_DIR "/profiler/exports.map", "r");
    char line[128];
    size_t i;
    ck_assert_ptr_nonnull(f);
    map[fread(map, 1, sizeof map - 1, f)] = 0;
    fclose(f);
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(line, sizeof line, "\n    %s;\n", names[i]);
        ck_assert_msg(strstr(map, line) != NULL, "%s is not in exports.map", names[i]);
    }
}
END_TEST

Suite *make_driver_suite(void)
{
    Suite *s = suite_create("driver");
    TCase *oracle = tcase_create("oracle"), *same = tcase_create("same"), *order = tcase_create("order");
    tcase_set_timeout(oracle, 60);
    tcase_set_timeout(same, 60);
    tcase_set_timeout(order, 60);
    tcase_add_loop_test(oracle, test_oracle_log, 0, 3);
    tcase_add_loop_test(oracle, test_oracle_pools, 0, 3);
    tcase_add_loop_test(oracle, test_oracle_database, 0, 3);
    tcase_add_test(same, test_lookups_are_unchanged);
    tcase_add_loop_test(same, test_refusals_are_passed_on, 0, 18);
    tcase_add_test(order, test_threads_never_own_an_address_twice);
    tcase_add_test(order, test_drops_leave_no_gap);
    tcase_add_test(order, test_device_is_sampled);
    tcase_add_test(order, test_no_sampling_when_off);
    tcase_add_test(order, test_every_hook_is_exported);
    suite_add_tcase(s, oracle);
    suite_add_tcase(s, same);
    suite_add_tcase(s, order);
    return s;
}
