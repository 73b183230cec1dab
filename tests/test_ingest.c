/* SPDX-License-Identifier: MIT
 *
 * test_ingest.c: what records of every kind become, against counts worked out by hand.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest_case.h"

static struct ingest_case c;

static void set_up(void)
{
    case_make(&c);
}
static void tear_down(void)
{
    case_remove(&c);
}

/* 23 allocations, 17 frees, 13 kernels, 7 ranges, by two threads; one thread's work nested in the other's order. */
static void known_workload(struct vs_log_writer *w)
{
    uint64_t ts = 2000, range[7], address = 0x7f0000000000;
    vs_put_meta(w, "command_line", "python train.py");
    vs_put_meta(w, "rank", "3");
    vs_put_meta(w, "VRAMSCOPE_FLUSH_MS", "250");
    vs_put_string(w, 2, 9, "_Z4gemmPfS_i");
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, address, 1 << 20, 0, ts += 10);   /* 1 */
    vs_put_alloc(w, 1, -1, VS_MEM_PINNED, 0x5000000, 4096, 0, ts += 10); /* 2 */
    for (int i = 0; i < 6; i++)
        range[i] = vs_put_range(w, 1, i < 3 ? "step" : "layer", i ? range[i - 1] : 0, 0, ts += 10);
    for (int i = 0; i < 21; i++) /* 3..23 */
        vs_put_torch(w, 1 + i % 2, 0, address + (uint64_t)i * 1024, 1024, 1024u * (unsigned)(i + 1), 1 << 20,
                     i % 2 ? 0 : range[5], ts += 10);
    for (uint32_t i = 0; i < 13; i++) {
        if (i < 10) vs_put_launch(w, 1, 100 + i, range[i % 6], ts += 10);
        vs_put_kernel(w, 2, 0, 100 + i, 9, ts + 100, ts + 150);
        if (i >= 10) vs_put_launch(w, 1, 100 + i, range[0], ts += 10);
    }
    for (int i = 0; i < 16; i++)
        vs_put_torch(w, 1, 0, address + (uint64_t)i * 1024, -1024, 1024u * (20u - (unsigned)i), 1 << 20, range[5],
                     ts += 10);
    vs_put_free(w, 2, VS_MEM_PINNED, 0x5000000, 0, ts += 10);
    for (int i = 5; i >= 0; i--) vs_put_range_end(w, 1, range[i], ts += 10);
    range[6] = vs_put_range(w, 2, "open", 0, 0, ts += 10);
    vs_put_mark(w, 1, "epoch 1", 0, ts += 10);
}

static void check_known(void)
{
    const char *db = c.db;
    ck_sql(db, "SELECT COUNT(*) FROM allocation", 23);
    ck_sql(db, "SELECT COUNT(free_ts_ns) FROM allocation", 17);
    ck_sql(db, "SELECT COUNT(*) FROM kernel", 13);
    ck_sql(db, "SELECT COUNT(launch_ns) FROM kernel", 13);
    ck_sql(db, "SELECT COUNT(*) FROM range", 7);
    ck_sql(db, "SELECT COUNT(*) FROM range WHERE end_ns IS NULL", 1);
    ck_sql(db, "SELECT MAX(depth) FROM range", 5);
    ck_sql(db, "SELECT COUNT(*) FROM allocation a JOIN allocation b ON a.parent_id = b.id WHERE b.source = 'cuda'", 21);
    ck_sql(db, "SELECT peak_bytes FROM peak_data WHERE series = 'torch'", 21 * 1024);
    ck_sql(db, "SELECT live_bytes FROM peak_data WHERE series = 'torch'", 5 * 1024);
    ck_sql(db, "SELECT peak_bytes FROM peak_data WHERE series = 'held' AND device = 0", 1 << 20);
    ck_sql(db, "SELECT peak_bytes FROM peak_data WHERE series = 'held' AND device = -1", 4096);
    ck_sql(db,
           "SELECT COUNT(*) FROM snapshot WHERE name = 'epoch 1' AND device = 0 AND allocated_bytes = 5120 AND "
           "reserved_bytes = 1048576 AND max_allocated_bytes = 21504",
           1);
    ck_sql(db, "SELECT rank FROM process", 3);
    ck_sql(db, "SELECT value FROM setting WHERE name = 'VRAMSCOPE_FLUSH_MS'", 250);
    ck_sql(db, "SELECT COUNT(*) FROM loss", 0);
    ck_sql(db, "SELECT COUNT(DISTINCT alloc_ts_ns) FROM allocation", 23);
    ck_sql(db, "SELECT COUNT(*) FROM allocation WHERE alloc_thread_id IS NULL", 0);
    ck_sql(db, "SELECT count FROM kernel_summary WHERE name = 'gemm(float*, float*, int)'", 13);
    ck_sql(db, "SELECT total_ns FROM kernel_summary", 13 * 50);
    ck_sql(db, "SELECT SUM(gpu_ns) FROM range_total", 13 * 50);
    ck_sql(db, "SELECT SUM(count) FROM range_total", 6);
    ck_sql(db,
           "SELECT allocations FROM range_memory WHERE level = 'sub' AND range_id = (SELECT id FROM range WHERE depth "
           "= 5)",
           11);
    ck_sql(
        db,
        "SELECT peak_bytes FROM range_memory WHERE level = 'sub' AND range_id = (SELECT id FROM range WHERE depth = 5)",
        21 * 1024);
    ck_sql(
        db,
        "SELECT net_bytes FROM range_memory WHERE level = 'sub' AND range_id = (SELECT id FROM range WHERE depth = 0)",
        5 * 1024);
    case_balanced(db);
}

START_TEST(test_known_workload_in_order)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    known_workload(w);
    vs_log_writer_close(w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    check_known();
    ck_sql(c.db, "SELECT ended = 'exit' FROM process", 1);
    ck_sql(c.db, "SELECT value FROM meta WHERE key = 'complete'", 1);
}
END_TEST

START_TEST(test_known_workload_killed_is_read_from_memory)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    known_workload(w);
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    check_known();
    ck_sql(c.db, "SELECT ended = 'killed' FROM process", 1);
}
END_TEST

START_TEST(test_memory_folder_alone_is_enough)
{
    struct vs_log_writer_options o = {.run = c.run, .memory = c.memory, .no_log = true};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    struct vs_error e = {""};
    struct vs_ingest *in;
    char memory[300];
    snprintf(memory, sizeof memory, "%s", vs_log_writer_memory(w));
    known_workload(w);
    vs_log_writer_close(w, VS_WRITER_KILL);
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e));
    ck_assert_msg(!vs_ingest_finish(in, memory, 1, &e), "%s", e.text);
    vs_ingest_close(in);
    check_known();
    ck_assert(access(memory, F_OK));
}
END_TEST

START_TEST(test_virtual_memory_is_held_until_its_last_reference)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_vmm(w, 1, 0, VS_VMM_CREATE, 11, 0, 2 << 20, 2000);
    vs_put_vmm(w, 1, 0, VS_VMM_MAP, 11, 0x10000000, 2 << 20, 2010);
    vs_put_vmm(w, 1, 0, VS_VMM_MAP, 11, 0x20000000, 2 << 20, 2020);
    vs_put_vmm(w, 1, 0, VS_VMM_RETAIN, 11, 0x10000000, 0, 2025);
    vs_put_vmm(w, 1, 0, VS_VMM_RELEASE, 11, 0, 0, 2030);
    vs_put_vmm(w, 1, 0, VS_VMM_RELEASE, 11, 0, 0, 2031);
    vs_put_torch(w, 1, 0, 0x20000100, 512, 0, 0, 0, 2035);
    vs_put_vmm(w, 1, 0, VS_VMM_UNMAP, 0, 0x10000000, 2 << 20, 2040);
    vs_put_vmm(w, 1, 0, VS_VMM_UNMAP, 0, 0x20000000, 2 << 20, 2050);
    vs_put_vmm(w, 1, 0, VS_VMM_CREATE, 12, 0, 4 << 20, 2060);
    vs_put_vmm(w, 1, 0, VS_VMM_RELEASE, 12, 0, 0, 2070);
    vs_put_vmm(w, 1, 0, VS_VMM_IMPORT, 13, 0, 64 << 20, 2080);
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    char *rows =
        case_text(c.db, "SELECT bytes, address, alloc_ts_ns, free_ts_ns, imported, flags FROM allocation WHERE "
                        "level = 'held' ORDER BY id");
    ck_assert_str_eq(rows, "2097152|268435456|2000|2050|0|16,4194304|-|2060|2070|0|16,67108864|-|2080|-|1|16");
    free(rows);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'held'", 4 << 20);
    ck_sql(c.db, "SELECT parent_id IS (SELECT MIN(id) FROM allocation) FROM allocation WHERE source = 'torch'", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM loss", 0);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_pools_hold_what_they_reserve)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_rec_alloc *a;
    vs_put_pool(w, 1, 0, 0x77, 32 << 20, 2000);
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA_ASYNC, 0x1000, 1 << 20, 0, 2010);
    a = vs_log_writer_add(w, 1, VS_K_ALLOC, sizeof *a, VS_AF_CAPTURED, 0);
    *a = (struct vs_rec_alloc){.h = a->h,
                               .seq = vs_log_writer_seq(w),
                               .ts_ns = 2015,
                               .address = 0x900000,
                               .bytes = 1 << 30,
                               .memory = VS_MEM_CUDA_ASYNC};
    vs_put_pool(w, 1, 0, 0x77, 64 << 20, 2020);
    vs_put_free(w, 1, VS_MEM_CUDA_ASYNC, 0x1000, 0, 2030);
    vs_put_pool(w, 1, 0, 0x77, 0, 2040);
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, 0x4000000, 1000, 0, 2050);
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    /* the first allocation's pool handle is 0, not 0x77: no pool of its own, so it stands for itself */
    char *rows = case_text(c.db, "SELECT level, source, bytes, alloc_ts_ns, free_ts_ns FROM allocation ORDER BY id");
    ck_assert_str_eq(rows, "held|cuda_async|33554432|2000|2020,held|cuda_async|1048576|2010|2030,"
                           "sub|cuda_async|1073741824|2015|-,held|cuda_async|67108864|2020|2040,held|cuda|1000|2050|-");
    free(rows);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'held'", (64 << 20) + (1 << 20));
    ck_sql(c.db, "SELECT live_bytes FROM peak_data WHERE series = 'held'", 1000);
    ck_sql(c.db, "SELECT COUNT(*) FROM pool_sample", 3);
    ck_sql(c.db, "SELECT COUNT(*) FROM peak_data WHERE series = 'sub'", 0);
}
END_TEST

START_TEST(test_regions_lie_where_their_address_says)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_alloc(w, 1, 2, VS_MEM_CUDA, 0x100000, 0x10000, 0, 2000);
    vs_put_torch(w, 1, 2, 0x108000, 0x1000, 0, 0, 0, 2010);
    vs_put_region(w, 1, 0, 0x101000, 0x800, 0, 2020);
    vs_put_region_name(w, 1, 0, 0x101000, "parameter/layer0.weight");
    vs_put_region(w, 1, 0, 0x108100, 0x100, 0, 2030); /* inside PyTorch's block */
    vs_put_region(w, 1, VS_RG_HEAP, 0x900000, 0x10000, 0, 2040);
    vs_put_region(w, 1, 0, 0x900000, 0x400, 0x900000, 2050);
    vs_put_region_name(w, 1, 0, 0x900000, "not a category");
    vs_put_region(w, 1, 0, 0xa00000, 0x700, 0, 2060); /* neither: host memory */
    vs_put_region_free(w, 1, 0, 0x900000, 2070);      /* the region, which has the heap's address */
    vs_put_region(w, 1, 0, 0x900400, 0x400, 0x900000, 2075);
    vs_put_region_free(w, 1, VS_RG_HEAP, 0x900000, 2080); /* the heap, and what is in it */
    vs_put_region_free(w, 1, 0, 0xdead, 2090);            /* unknown */
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    char *rows =
        case_text(c.db, "SELECT a.level, a.source, a.device, a.bytes, b.source, a.category, s.text, a.free_ts_ns "
                        "FROM allocation a LEFT JOIN allocation b ON b.id = a.parent_id LEFT JOIN string s ON "
                        "s.id = a.name_id WHERE a.source IN ('region', 'host') ORDER BY a.id");
    ck_assert_str_eq(rows, "sub|region|2|2048|cuda|parameter|parameter/layer0.weight|-,sub|region|2|256|torch|-|-|-,"
                           "held|host|-|65536|-|-|-|2080,sub|region|-|1024|host|-|not a category|2070,"
                           "held|host|-|1792|-|-|-|-,sub|region|-|1024|host|-|-|2080");
    free(rows);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'sub' AND device = 2", 0x1000 + 0x800);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'held' AND device = -1", 0x10000 + 0x700);
    ck_sql(c.db, "SELECT count FROM loss WHERE source = 'nvtx' AND reason = 'unmatched'", 1);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_unknown_frees_and_reused_addresses_are_counted)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_rec_free *f;
    vs_put_free(w, 1, VS_MEM_CUDA, 0x1, 0, 2000);
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, 0x1000, 100, 0, 2010);
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, 0x1000, 200, 0, 2020);
    vs_put_torch(w, 1, 0, 0x5, -512, 0, 0, 0, 2030);
    f = vs_log_writer_add(w, 1, VS_K_FREE, sizeof *f, VS_AF_UNDO, -1);
    *f = (struct vs_rec_free){.h = f->h, .seq = vs_log_writer_seq(w), .ts_ns = 2040, .address = 0x1000};
    vs_put_range_end(w, 1, 12345, 2050);
    vs_log_writer_lose(w, VS_SRC_CUDA, VS_LOST_UNMATCHED, 5);
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT count FROM loss WHERE source = 'cuda' AND reason = 'unmatched'", 7);
    ck_sql(c.db, "SELECT count FROM loss WHERE source = 'torch' AND reason = 'unmatched'", 1);
    ck_sql(c.db, "SELECT count FROM loss WHERE source = 'nvtx' AND reason = 'unmatched'", 1);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE free_ts_ns IS NULL", 200);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_labels_contexts_and_static_memory)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_rec_nccl_label *l;
    struct vs_rec_context *x;
    struct vs_rec_alloc *s;
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, 0x1000, 0x100, 0, 2000);
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, 0x2000, 0x200, 0, 2010);
    vs_put_alloc(w, 1, 1, VS_MEM_ARRAY, 0x1000, 0x400, 0, 2015); /* a handle, not an address */
    l = vs_log_writer_add(w, 1, VS_K_NCCL_LABEL, sizeof *l, VS_NL_ALLOC, 0);
    *l = (struct vs_rec_nccl_label){
        .h = l->h, .seq = vs_log_writer_seq(w), .ts_ns = 2020, .address = 0x2000, .bytes = 0x200};
    for (int twice = 0; twice < 2; twice++) {
        s = vs_log_writer_add(w, 1, VS_K_STATIC, sizeof *s + 8, 0, 0);
        *s = (struct vs_rec_alloc){
            .h = s->h, .ts_ns = 2030, .address = 0x8000, .bytes = 64, .memory = VS_MEM_STATIC, .name_bytes = 7};
        memcpy(s->name, "weights", 7);
    }
    x = vs_log_writer_add(w, 1, VS_K_CONTEXT, sizeof *x, 0, 0);
    *x = (struct vs_rec_context){.h = x->h, .seq = vs_log_writer_seq(w), .ts_ns = 2040};
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'nccl'", 0x200);
    ck_sql(c.db, "SELECT live_bytes FROM peak_data WHERE series = 'held' AND device = 0", 0);
    ck_sql(c.db, "SELECT live_bytes FROM peak_data WHERE series = 'array' AND device = 1", 0x400);
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'held' AND device = 0", 0x300 + 64);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation JOIN string s ON s.id = name_id WHERE s.text = 'weights'", 1);
    char *sources = case_text(c.db, "SELECT source FROM allocation ORDER BY id");
    ck_assert_str_eq(sources, "cuda,nccl,array,static");
    free(sources);
}
END_TEST

START_TEST(test_collectives_and_communicators)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_rec_comm *m;
    m = vs_log_writer_add(w, 1, VS_K_COMM, sizeof *m + 8, VS_COMM_CREATE, 1);
    *m = (struct vs_rec_comm){
        .h = m->h, .seq = vs_log_writer_seq(w), .ts_ns = 2000, .comm = 0xc0, .id_hash = 5, .nranks = 8, .rank = 3, .name_bytes = 4};
    memcpy(m->name, "main", 4);
    m = vs_log_writer_add(w, 1, VS_K_COMM, sizeof *m, VS_COMM_SPLIT, 1);
    *m = (struct vs_rec_comm){.h = m->h, .seq = vs_log_writer_seq(w), .ts_ns = 2001, .comm = 0xc1, .parent = 0xc0, .nranks = 2};
    vs_put_coll(w, 1, 1, 0xc0, VS_COLL_ALL_REDUCE, 0, 2010);
    vs_put_coll_end(w, 1, 1, 0, 0, 2015);
    vs_put_coll(w, 1, 3, 0xc0, VS_COLL_ALL_GATHER, 0, 2030); /* ids out of order: two threads */
    vs_put_coll(w, 1, 2, 0xc0, VS_COLL_SEND, 9, 2020);
    vs_put_coll(w, 1, 4, 0xc1, VS_COLL_RECV, 9, 2040);
    vs_put_coll_end(w, 1, 9, 1, 0, 2050);              /* the group */
    vs_put_coll(w, 1, 7, 0xc1, VS_COLL_SEND, 9, 2041); /* of the group too: its slab was read after the end's */
    vs_put_coll(w, 1, 6, 0xc0, VS_COLL_BROADCAST, 0, 2060);
    vs_put_coll_end(w, 1, 6, 0, 0, 2065);
    vs_put_coll(w, 1, 5, 0xc0, VS_COLL_REDUCE, 0, 2055);
    vs_put_coll_end(w, 1, 5, 0, 3, 2070);
    m = vs_log_writer_add(w, 1, VS_K_COMM, sizeof *m, VS_COMM_ABORT, 1);
    *m = (struct vs_rec_comm){.h = m->h, .seq = vs_log_writer_seq(w), .ts_ns = 2100, .comm = 0xc1};
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    char *rows = case_text(c.db, "SELECT id, sequence, op, end_ns, result, group_id FROM collective ORDER BY id");
    ck_assert_str_eq(rows, "1|0|all_reduce|2015|0|-,2|-|send|2050|0|9,3|1|all_gather|-|-|-,4|-|recv|2050|0|9,"
                           "5|2|reduce|2070|3|-,6|3|broadcast|2065|0|-,7|-|send|2050|0|9");
    free(rows);
    rows = case_text(c.db, "SELECT parent_id, nranks, rank, name, ended, ended_ns, hash FROM communicator ORDER BY id");
    ck_assert_str_eq(rows, "-|8|3|main|-|-|5,1|2|0|-|abort|2100|-");
    free(rows);
    ck_sql(c.db, "SELECT failed FROM collective_summary WHERE op = 'reduce'", 1);
    ck_sql(c.db, "SELECT unfinished FROM collective_summary WHERE op = 'all_gather'", 1);
}
END_TEST

START_TEST(test_launches_without_work_are_undelivered)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_launch(w, 1, 1, 0, 2000);
    vs_put_launch(w, 1, 2, 0, 2010); /* normal: a captured launch has no work */
    vs_put_launch(w, 1, 3, 0, 2300);
    vs_put_kernel(w, 2, 0, 1, 0, 2100, 2200);
    vs_put_kernel(w, 2, 0, 77, 0, 2100, 2200);
    struct vs_rec_kernel *k = vs_log_writer_add(w, 2, VS_K_KERNEL, sizeof *k, VS_TF_UNTIMED, 0);
    k->correlation = 1;
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT count FROM loss WHERE reason = 'undelivered'", 1);
    ck_sql(c.db, "SELECT count FROM loss WHERE reason = 'untimed'", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM kernel WHERE launch_ns IS NULL", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM kernel WHERE begin_ns IS NULL", 1);
    ck_sql(c.db, "SELECT untimed FROM kernel_total", 1);
}
END_TEST

START_TEST(test_texts_of_any_length_and_encoding)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    char *longest = malloc(9001);
    memset(longest, 'k', 9000);
    longest[9000] = 0;
    vs_put_kernel(w, 2, 0, 1, 21, 2000, 2010); /* before its name */
    vs_put_string(w, 2, 21, longest);
    vs_put_kernel(w, 2, 0, 2, 22, 2000, 2010); /* its name never comes */
    vs_put_range(w, 1, "bad \xff\xc0\x80 utf-8 \xf0\x9f\x98\x80", 0, 0, 2000);
    vs_put_range(w, 1, "bad \xff\xc0\x80 utf-8 \xf0\x9f\x98\x80", 0, 0, 2001);
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT LENGTH(s.text) FROM kernel k JOIN string s ON s.id = k.name_id WHERE k.correlation = 1", 9000);
    ck_sql(c.db, "SELECT s.text IS NULL FROM kernel k JOIN string s ON s.id = k.name_id WHERE k.correlation = 2", 1);
    ck_sql(c.db, "SELECT COUNT(DISTINCT name_id) FROM range", 1);
    char *text = case_text(c.db, "SELECT text FROM range JOIN string s ON s.id = name_id LIMIT 1");
    ck_assert_str_eq(text, "bad \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd utf-8 \xf0\x9f\x98\x80");
    free(text);
    free(longest);
}
END_TEST

Suite *make_ingest_suite(void);
Suite *make_ingest_suite(void)
{
    Suite *s = suite_create("ingest");
    TCase *t = tcase_create("records");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, test_known_workload_in_order);
    tcase_add_test(t, test_known_workload_killed_is_read_from_memory);
    tcase_add_test(t, test_memory_folder_alone_is_enough);
    tcase_add_test(t, test_virtual_memory_is_held_until_its_last_reference);
    tcase_add_test(t, test_pools_hold_what_they_reserve);
    tcase_add_test(t, test_regions_lie_where_their_address_says);
    tcase_add_test(t, test_unknown_frees_and_reused_addresses_are_counted);
    tcase_add_test(t, test_labels_contexts_and_static_memory);
    tcase_add_test(t, test_collectives_and_communicators);
    tcase_add_test(t, test_launches_without_work_are_undelivered);
    tcase_add_test(t, test_texts_of_any_length_and_encoding);
    suite_add_tcase(s, t);
    return s;
}
