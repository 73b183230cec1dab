/* SPDX-License-Identifier: MIT
 *
 * test_ingest_memory.c: whose memory it is: pools and what they hand out, contexts, graphs, NCCL's own threads, heaps.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

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

static struct vs_rec_alloc *put(struct vs_log_writer *w, unsigned flags, enum vs_memory memory, uint64_t address,
                                uint64_t bytes, uint64_t ts)
{
    struct vs_rec_alloc *a = vs_log_writer_add(w, 1, VS_K_ALLOC, sizeof *a, flags, 0);
    a->seq = vs_log_writer_seq(w);
    a->ts_ns = ts;
    a->address = address;
    a->bytes = bytes;
    a->memory = memory;
    return a;
}

static void end_context(struct vs_log_writer *w, uint64_t context, uint64_t ts)
{
    struct vs_rec_context *x = vs_log_writer_add(w, 1, VS_K_CONTEXT, sizeof *x, 0, 0);
    x->seq = vs_log_writer_seq(w);
    x->ts_ns = ts;
    x->context = context;
}

static void finish(struct vs_log_writer *w)
{
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    case_balanced(c.db);
}

static void ck_rows(const char *sql, const char *expected)
{
    char *rows = case_text(c.db, sql);
    ck_assert_str_eq(rows, expected);
    free(rows);
}

START_TEST(test_a_series_is_of_one_level)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_pool(w, 1, 0, 0x77, 64 << 20, 2000);
    put(w, 0, VS_MEM_CUDA_ASYNC, 0x1000, 1 << 20, 2010)->stream_or_pool = 0x77;
    put(w, 0, VS_MEM_CUDA_ASYNC, 0x2000, 2 << 20, 2020)->stream_or_pool = 0x77;
    vs_put_free(w, 1, VS_MEM_CUDA_ASYNC, 0x1000, 0, 2030);
    vs_put_pool(w, 1, 0, 0x77, 32 << 20, 2040);
    finish(w);
    ck_rows("SELECT series, peak_bytes, live_bytes, allocations FROM peak_data ORDER BY series",
            "cuda_async|3145728|2097152|2,cuda_async_reserved|67108864|33554432|2,held|67108864|33554432|2,"
            "sub|3145728|2097152|2");
    ck_rows("SELECT source, peak_bytes, reserved_peak_bytes FROM peak WHERE source NOT IN ('held', 'sub')",
            "cuda_async|3145728|67108864");
    ck_rows("SELECT level, source, bytes FROM at_peak ORDER BY level",
            "held|cuda_async|67108864,sub|cuda_async|3145728");
    ck_sql(c.db, "SELECT COUNT(DISTINCT series) FROM timeline", 4);
    ck_sql(c.db, "SELECT MAX(max_bytes) FROM timeline WHERE series = 'cuda_async'", 3 << 20);
}
END_TEST

START_TEST(test_pools_and_what_they_hand_out_outlive_contexts)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_pool(w, 1, 0, 0x77, 64 << 20, 2000);
    put(w, 0, VS_MEM_CUDA_ASYNC, 0x1000, 1 << 20, 2010)->stream_or_pool = 0x77;
    put(w, 0, VS_MEM_CUDA, 0x9000000, 100, 2020)->context = 0xc;
    put(w, 0, VS_MEM_PINNED, 0x8000000, 200, 2020)->context = 0xc;
    vs_put_vmm(w, 1, 0, VS_VMM_CREATE, 11, 0, 2 << 20, 2025);
    end_context(w, 0xc, 2030);
    end_context(w, 0, 2040); /* every one of the device */
    vs_put_free(w, 1, VS_MEM_CUDA_ASYNC, 0x1000, 0, 2050);
    finish(w);
    ck_rows("SELECT source, level, bytes, free_ts_ns FROM allocation ORDER BY id",
            "cuda_async|held|67108864|-,cuda_async|sub|1048576|2050,cuda|held|100|2030,pinned|held|200|2030,"
            "cuda|held|2097152|-");
    ck_sql(c.db, "SELECT COUNT(*) FROM loss", 0);
}
END_TEST

START_TEST(test_graphs_free_again_and_again)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_rec_free *f;
    put(w, VS_AF_CAPTURED, VS_MEM_CUDA_ASYNC, 0x1000, 1 << 20, 2000);
    for (int i = 0; i < 3; i++) vs_put_free(w, 1, VS_MEM_CUDA_ASYNC, 0x1000, 0, 2010 + (uint64_t)i);
    put(w, VS_AF_CAPTURED, VS_MEM_CUDA_ASYNC, 0x1000, 1 << 20, 2020); /* of another graph; the first went unseen */
    put(w, VS_AF_CAPTURED, VS_MEM_CUDA_ASYNC, 0x1000, 1 << 20, 2030);
    put(w, 0, VS_MEM_CUDA, 0x1000, 500, 2040);                         /* an address like any other now */
    f = vs_log_writer_add(w, 1, VS_K_FREE, sizeof *f, VS_AF_UNDO, -1); /* a refused release, context end, free */
    f->seq = vs_log_writer_seq(w);
    f->ts_ns = 2045;
    f->address = 0x1000;
    vs_put_free(w, 1, VS_MEM_CUDA, 0x1000, 0, 2050);
    vs_put_free(w, 1, VS_MEM_CUDA, 0x1000, 0, 2060);
    finish(w);
    ck_rows("SELECT source, free_ts_ns FROM allocation ORDER BY id",
            "cuda_async|2010,cuda_async|2030,cuda_async|2040,cuda|2050");
    ck_rows("SELECT source, reason, count FROM loss", "cuda|unmatched|1");
    ck_sql(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'held'", 500);
}
END_TEST

START_TEST(test_nccl_allocates_on_its_own_threads)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_rec_vmm *v;
    vs_put_module(w, 0x7000000, 0x7100000, "/usr/lib/libnccl.so.2");
    vs_put_module(w, 0x7200000, 0x7300000, "/usr/lib/libnccl-net.so");
    put(w, 0, VS_MEM_CUDA, 0x1000, 1, 2000)->caller = 0x7000010;
    put(w, 0, VS_MEM_CUDA, 0x2000, 2, 2010)->caller = 0x7200010;
    put(w, 0, VS_MEM_PINNED, 0x3000, 4, 2020)->caller = 0x70fffff;
    put(w, 0, VS_MEM_CUDA_ASYNC, 0x4000, 8, 2030)->caller = 0x7000010; /* a pool's, whoever asks */
    for (int i = 0; i < 2; i++) { /* its library is not known yet; one is freed before it is */
        v = vs_log_writer_add(w, 1, VS_K_VMM, sizeof *v, 0, 0);
        v->seq = vs_log_writer_seq(w);
        v->ts_ns = 2040;
        v->op = VS_VMM_CREATE;
        v->handle = 11 + (uint64_t)i;
        v->bytes = 16u << i;
        v->caller = 0x7400000;
    }
    put(w, 0, VS_MEM_CUDA, 0x5000, 64, 2050)->caller = 0x7500000;
    vs_put_vmm(w, 1, 0, VS_VMM_RELEASE, 12, 0, 0, 2060);
    vs_put_module(w, 0x7400000, 0x7500000, "/opt/nccl/libnccl.so");
    vs_put_module(w, 0x7500000, 0x7600000, "/opt/libother.so");
    vs_put_vmm(w, 1, 0, VS_VMM_RELEASE, 11, 0, 0, 2070);
    finish(w);
    ck_rows(
        "SELECT bytes, source, library FROM allocation ORDER BY id",
        "1|nccl|libnccl.so.2,2|cuda|libnccl-net.so,4|nccl|libnccl.so.2,8|cuda_async|libnccl.so.2,16|nccl|libnccl.so,"
        "32|cuda|-,64|cuda|libother.so");
    ck_rows(
        "SELECT device, series, peak_bytes, live_bytes FROM peak_data WHERE series IN ('nccl', 'held') ORDER BY 1, 2",
        "-1|held|4|4,-1|nccl|4|4,0|held|123|75,0|nccl|17|1");
    ck_rows("SELECT live_bytes FROM peak_data WHERE series = 'cuda'", "66");
}
END_TEST

/* What an ingest makes of it in steps is what one makes at once: rows written before the library was known change. */
START_TEST(test_libraries_known_late_are_filled_in)
{
    struct vs_error e = {""};
    struct vs_ingest *in = NULL;
    struct vs_log_writer_options o = {.run = c.run, .other_host = true};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    put(w, 0, VS_MEM_CUDA, 0x1000, 5, 2000)->caller = 0x7000010;
    vs_log_writer_flush(w);
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e));
    ck_assert_msg(!vs_ingest_step(in, c.run, &e), "%s", e.text);
    ck_rows("SELECT source, library FROM allocation", "cuda|-");
    vs_put_module(w, 0x7000000, 0x7100000, "/usr/lib/libnccl.so.2");
    vs_log_writer_close(w, VS_WRITER_EXIT);
    ck_assert_msg(!vs_ingest_finish(in, c.run, 0, &e), "%s", e.text);
    vs_ingest_close(in);
    ck_rows("SELECT source, library FROM allocation", "nccl|libnccl.so.2");
    ck_rows("SELECT series, live_bytes FROM peak_data ORDER BY 1", "cuda|0,held|5,nccl|5");
}
END_TEST

START_TEST(test_heaps_are_told_from_regions)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_region(w, 1, VS_RG_HEAP, 0x1000, 0x1000, 0, 2000);
    vs_put_region(w, 1, 0, 0x1000, 0x100, 0x1000, 2010); /* at the heap's address */
    vs_put_region(w, 1, 0, 0x1010, 0x10, 0x1000, 2020);  /* within a region: the heap's too */
    vs_put_region(w, 1, 0, 0x9000, 0x80, 0, 2030);       /* in no heap */
    vs_put_region_name(w, 1, VS_RG_HEAP, 0x1000, "workspace/heap");
    vs_put_region_name(w, 1, 0, 0x1000, "parameter/first");
    vs_put_region_free(w, 1, VS_RG_HEAP | VS_RG_RESIZE, 0x1000, 2040); /* reset: the heap stays */
    vs_put_region(w, 1, 0, 0x1000, 0x200, 0x1000, 2050);
    vs_put_region_free(w, 1, VS_RG_HEAP | VS_RG_RESIZE, 0, 2060); /* of the process-wide heap */
    vs_put_region_free(w, 1, 0, 0x1000, 2070);                    /* the region; the heap keeps out of it */
    vs_put_region_free(w, 1, 0, 0x1000, 2080);
    vs_put_region_name(w, 1, 0, 0x1000, "nothing");
    vs_put_region(w, 1, 0, 0x1800, 0x300, 0x1000, 2090);
    vs_put_region_free(w, 1, VS_RG_HEAP, 0x1000, 2100);
    finish(w);
    ck_rows("SELECT a.bytes, a.source, a.category, s.text, a.free_ts_ns FROM allocation a LEFT JOIN string s ON s.id = "
            "a.name_id ORDER BY a.id",
            "4096|host|workspace|workspace/heap|2100,256|region|parameter|parameter/first|2040,16|region|-|-|2040,"
            "128|host|-|-|2060,512|region|-|-|2070,768|region|-|-|2100");
    ck_rows("SELECT source, reason, count FROM loss", "nvtx|unmatched|2");
}
END_TEST

START_TEST(test_calls_known_from_nvtx_alone)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_rec_comm *m = vs_log_writer_add(w, 1, VS_K_COMM, sizeof *m, VS_COMM_CREATE, -1);
    *m = (struct vs_rec_comm){.h = m->h, .seq = vs_log_writer_seq(w), .ts_ns = 2000, .comm = 0xc0, .id_hash = 5, .nranks = -1, .rank = -1};
    struct vs_rec_coll_begin *b = vs_log_writer_add(w, 1, VS_K_COLL_BEGIN, sizeof *b, VS_CF_FROM_NVTX, -1);
    *b = (struct vs_rec_coll_begin){.h = b->h,
                                    .seq = vs_log_writer_seq(w),
                                    .id = 1,
                                    .ts_ns = 2010,
                                    .comm = 0xc0,
                                    .bytes = 4096,
                                    .count = UINT64_MAX,
                                    .op = VS_COLL_ALL_REDUCE,
                                    .dtype = -1,
                                    .redop = 0,
                                    .peer = -1};
    vs_put_coll_end(w, 1, 1, 0, -1, 2020);
    vs_put_coll(w, 1, 2, 0xc1, VS_COLL_BROADCAST, 0, 2030); /* of a communicator made before */
    finish(w);
    ck_rows("SELECT count, bytes, dtype, stream, result, end_ns, origin FROM collective ORDER BY id",
            "-|4096|-|-|-|2020|nvtx,1024|4096|float32|0|-|-|call");
    ck_rows("SELECT nranks, rank FROM communicator ORDER BY id", "-|-,-|-");
    ck_rows("SELECT failed, unfinished FROM collective_summary WHERE op = 'all_reduce'", "0|0");
}
END_TEST

Suite *make_ingest_memory_suite(void);
Suite *make_ingest_memory_suite(void)
{
    Suite *s = suite_create("ingest_memory");
    TCase *t = tcase_create("memory");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, test_a_series_is_of_one_level);
    tcase_add_test(t, test_pools_and_what_they_hand_out_outlive_contexts);
    tcase_add_test(t, test_graphs_free_again_and_again);
    tcase_add_test(t, test_nccl_allocates_on_its_own_threads);
    tcase_add_test(t, test_libraries_known_late_are_filled_in);
    tcase_add_test(t, test_heaps_are_told_from_regions);
    tcase_add_test(t, test_calls_known_from_nvtx_alone);
    suite_add_tcase(s, t);
    return s;
}
