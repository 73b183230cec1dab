/* SPDX-License-Identifier: MIT
 *
 * test_ingest_damage.c: logs that are cut, flipped or half written: nothing but the damaged place is lost, it is counted,
 * and no input makes ingest crash, hang or refuse.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ingest_case.h"

static struct ingest_case c;
static uint64_t seed = 99;

static void set_up(void)
{
    case_make(&c);
}
static void tear_down(void)
{
    case_remove(&c);
}

static unsigned dice(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 11) % n);
}

struct file {
    char path[700];
    unsigned char *bytes;
    size_t n;
};

static struct file load(const char *folder, const char *name)
{
    struct file f;
    struct stat st;
    snprintf(f.path, sizeof f.path, "%s/%s", folder, name);
    ck_assert_msg(!stat(f.path, &st), "%s", f.path);
    f.n = (size_t)st.st_size;
    f.bytes = malloc(f.n + 1);
    FILE *in = fopen(f.path, "r");
    ck_assert(in && fread(f.bytes, 1, f.n, in) == f.n);
    fclose(in);
    return f;
}

static void store(const struct file *f, const unsigned char *bytes, size_t n)
{
    FILE *to = fopen(f->path, "w");
    ck_assert(to && fwrite(bytes, 1, n, to) == n);
    fclose(to);
}

/* Records of every kind, four threads; part of it flushed, the rest in the slabs. */
static void some_of_everything(struct vs_log_writer *w, unsigned rounds, bool flush)
{
    uint64_t ts = 2000, range = 0;
    vs_put_meta(w, "command_line", "x");
    for (unsigned i = 0; i < rounds; i++) {
        unsigned t = 1 + i % 4;
        uint64_t a = 0x7f0000000000 + (uint64_t)i * 0x10000;
        range = vs_put_range(w, t, "step", 0, i % 3 == 0, ts += 10);
        vs_put_alloc(w, t, 0, i % 5 ? VS_MEM_CUDA : VS_MEM_CUDA_ASYNC, a, 0x8000, range, ts += 10);
        vs_put_torch(w, t, 0, a, 512, i * 512 + 512, 1 << 30, range, ts += 10);
        vs_put_region(w, t, i % 2, a + 1024, 64, 0, ts += 10);
        vs_put_region_name(w, t, 0, a + 1024, "gradient/x");
        vs_put_vmm(w, t, 0, 1 + i % 6, i % 7, a, 4096, ts += 10);
        vs_put_pool(w, t, 0, i % 2, i * 4096, ts += 10);
        vs_put_launch(w, t, i, range, ts += 10);
        vs_put_kernel(w, 4, 0, i, 1 + i % 9, ts + 5, ts + 9);
        vs_put_string(w, 4, 1 + i % 9, "_Z3fooi");
        vs_put_mark(w, t, "mark", range, ts += 10);
        vs_put_coll(w, t, i + 1, i % 3, i % VS_NCOLLECTIVES, i % 4, ts += 10);
        vs_put_coll_end(w, t, i + 1, 0, 0, ts += 10);
        if (i % 2) vs_put_free(w, t, VS_MEM_CUDA, a, range, ts += 10);
        vs_put_range_end(w, t, range, ts += 10);
        if (flush && i == rounds * 3 / 4) vs_log_writer_flush(w);
    }
}

static void ingest_anyhow(const char *folder)
{
    struct vs_error e = {""};
    struct vs_ingest *in = NULL;
    ck_assert_msg(!vs_ingest_open(c.db, VS_INGEST_REPLACE, &in, &e), "%s", e.text);
    ck_assert_msg(!vs_ingest_finish(in, folder, 0, &e), "%s", e.text);
    vs_ingest_close(in);
}

START_TEST(test_cut_log_loses_what_was_cut_and_says_how_much)
{
    struct vs_log_writer_options o = {.run = c.run}; /* no memory left */
    struct vs_log_writer *w = vs_log_writer_open(&o);
    char folder[600];
    for (unsigned i = 0; i < 300; i++) {
        vs_put_torch(w, 1 + i % 3, 0, 4096 * (i + 1), 512, 0, 0, 0, 2000 + i);
        if (i % 50 == 49) vs_log_writer_flush(w);
    }
    snprintf(folder, sizeof folder, "%s", vs_log_writer_folder(w));
    vs_log_writer_close(w, VS_WRITER_KILL);
    struct file f = load(folder, VS_LOG_NAME);
    int64_t before = -1;
    for (size_t n = sizeof(struct vs_log_head); n <= f.n; n += 97) {
        store(&f, f.bytes, n);
        ingest_anyhow(c.run);
        int64_t rows = case_int(c.db, "SELECT COUNT(*) FROM allocation");
        ck_assert_int_ge(rows, before);
        ck_sql(c.db, "SELECT stored FROM balance WHERE source = 'torch'", rows);
        ck_sql(c.db, "SELECT COUNT(*) FROM balance WHERE appended IS NOT NULL", 0);
        before = rows;
    }
    ck_assert_int_ge(before, 300 - 60);
    free(f.bytes);
}
END_TEST

START_TEST(test_damage_on_disk_is_mended_from_memory)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    char folder[600], whole[100];
    snprintf(folder, sizeof folder, "%s", vs_log_writer_folder(w));
    snprintf(whole, sizeof whole, "%s/whole.db", c.root);
    some_of_everything(w, 200, true);
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, whole);
    case_balanced(whole);
    char *expected = case_dump(whole);
    struct file f = load(folder, VS_LOG_NAME);
    for (int round = 0; round < 40; round++) {
        unsigned char *copy = malloc(f.n);
        memcpy(copy, f.bytes, f.n);
        size_t n = f.n;
        if (_i == 0) /* bits in records and frame heads */
            for (unsigned k = 0; k <= dice(4); k++)
                copy[sizeof(struct vs_log_head) + dice((unsigned)(f.n - sizeof(struct vs_log_head)))] ^=
                    (unsigned char)(1 << dice(8));
        else /* the end */ n = sizeof(struct vs_log_head) + dice((unsigned)(f.n - sizeof(struct vs_log_head)));
        store(&f, copy, n);
        ingest_anyhow(c.run);
        case_balanced(c.db);
        ck_sql(c.db, "SELECT SUM(lost_in_log) FROM balance", 0);
        ck_sql(c.db, "SELECT COUNT(*) FROM loss WHERE reason IN ('torn', 'damaged')", 0);
        ck_assert_int_eq(case_int(c.db, "SELECT COUNT(*) FROM allocation"),
                         case_int(whole, "SELECT COUNT(*) FROM allocation"));
        ck_assert_int_eq(case_int(c.db, "SELECT SUM(alloc_ts_ns * 31 + COALESCE(alloc_range_id, 0) + bytes) FROM "
                                        "allocation WHERE source <> 'cuda_async'"),
                         case_int(whole, "SELECT SUM(alloc_ts_ns * 31 + COALESCE(alloc_range_id, 0) + bytes) FROM "
                                         "allocation WHERE source <> 'cuda_async'"));
        ck_assert_int_eq(case_int(c.db, "SELECT COUNT(*) FROM range WHERE end_ns IS NOT NULL"), 200);
        free(copy);
    }
    free(expected);
    free(f.bytes);
}
END_TEST

START_TEST(test_damage_without_memory_is_counted_per_source)
{
    struct vs_log_writer_options o = {.run = c.run};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    char folder[600];
    snprintf(folder, sizeof folder, "%s", vs_log_writer_folder(w));
    some_of_everything(w, 200, true);
    vs_log_writer_close(w, VS_WRITER_EXIT); /* END says what was appended */
    struct file f = load(folder, VS_LOG_NAME);
    ingest_anyhow(c.run);
    case_balanced(c.db);
    ck_sql(c.db, "SELECT SUM(lost_in_log) FROM balance", 0);
    int damaged = 0;
    for (int round = 0; round < 60; round++) {
        unsigned char *copy = malloc(f.n);
        memcpy(copy, f.bytes, f.n);
        size_t at = sizeof(struct vs_log_head) + dice((unsigned)(f.n - sizeof(struct vs_log_head) - 2000));
        copy[at] ^= (unsigned char)(1 << dice(8));
        store(&f, copy, f.n);
        ingest_anyhow(c.run);
        if (case_int(c.db, "SELECT COUNT(*) FROM balance WHERE appended IS NULL") ==
            0) { /* unless END itself was hit */
            case_balanced(c.db);
            ck_assert_int_ge(case_int(c.db, "SELECT SUM(lost_in_log) FROM balance"), 1);
            ck_assert_int_eq(case_int(c.db, "SELECT SUM(count) FROM loss WHERE reason = 'damaged'"),
                             case_int(c.db, "SELECT SUM(lost_in_log) FROM balance"));
            damaged++;
        }
        free(copy);
    }
    ck_assert_int_gt(damaged, 40);
    free(f.bytes);
}
END_TEST

START_TEST(test_torn_records_are_counted)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, 0x1000, 100, 0, 2000);
    vs_log_writer_seq(w); /* taken by a record that never became visible, nor was counted */
    vs_put_alloc(w, 1, 0, VS_MEM_CUDA, 0x2000, 200, 0, 2010);
    vs_put_torch(w, 2, 0, 0x1000, 64, 0, 0, 0, 2020);
    struct vs_rec *torn = vs_log_writer_add(w, 2, VS_K_TORCH, sizeof(struct vs_rec_torch), 0, 0);
    vs_log_writer_seq(w);
    *torn = (struct vs_rec){0}; /* counted, and not visible yet */
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 3);
    ck_sql(c.db, "SELECT count FROM loss WHERE source = 'torch' AND reason = 'torn'", 1);
    ck_sql(c.db, "SELECT count FROM loss WHERE source = 'process' AND reason = 'torn'", 1);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_lost_numbers_do_not_hold_up_the_rest)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    for (unsigned i = 0; i < 1000; i++) {
        if (i % 10 == 3) vs_log_writer_seq(w);
        vs_put_torch(w, 1 + i % 4, 0, 0x1000 * (i + 1ull), 512, 0, 0, 0, 2000 + i);
    }
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 1000);
    ck_sql(c.db, "SELECT count FROM loss WHERE reason = 'torn'", 100);
}
END_TEST

START_TEST(test_garbage_is_skipped)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    char path[800], folder[600];
    struct vs_error e = {""};
    struct vs_ingest *in;
    snprintf(folder, sizeof folder, "%s", vs_log_writer_folder(w));
    some_of_everything(w, 50, true);
    vs_log_writer_flush(w);
    vs_log_writer_close(w, VS_WRITER_KILL);
    struct file f = load(folder, VS_LOG_NAME);
    unsigned char *with = malloc(f.n + 1001);
    size_t head = sizeof(struct vs_log_head); /* 1001 bytes of rubbish before the first frame: odd places from there */
    memcpy(with, f.bytes, head);
    for (int i = 0; i < 1001; i++) with[head + (size_t)i] = (unsigned char)dice(256);
    memcpy(with + head + 1001, f.bytes + head, f.n - head);
    store(&f, with, f.n + 1001);
    snprintf(path, sizeof path, "%s/empty", c.run); /* folders that are no processes */
    ck_assert(!mkdir(path, 0700));
    snprintf(path, sizeof path, "%s/empty/log", c.run);
    fclose(fopen(path, "w"));
    ingest_anyhow(c.run);
    case_balanced(c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM process", 1);
    ck_sql(c.db, "SELECT COUNT(*) FROM range", 50);
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_REPLACE, &in, &e));
    ck_assert_int_eq(vs_ingest_step(in, "/nonexistent/run", &e), -ENOENT);
    ck_assert_ptr_nonnull(strstr(e.text, "/nonexistent/run"));
    vs_ingest_close(in);
    free(with);
    free(f.bytes);
}
END_TEST

static void fuzz(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double end = (double)t.tv_sec + seconds;
    struct vs_log_writer *w = case_writer(&c, 0);
    char folder[600], memory[300];
    snprintf(folder, sizeof folder, "%s", vs_log_writer_folder(w));
    snprintf(memory, sizeof memory, "%s", vs_log_writer_memory(w));
    some_of_everything(w, 120, true);
    vs_log_writer_close(w, VS_WRITER_KILL);
    struct file files[3] = {load(folder, VS_LOG_NAME), load(memory, VS_CONTROL_NAME), load(memory, VS_SLABS_NAME "0")};
    for (unsigned round = 0; clock_gettime(CLOCK_MONOTONIC, &t), (double)t.tv_sec < end || round < 10; round++) {
        for (unsigned k = 0; k < 3; k++) {
            struct file *f = &files[k];
            unsigned char *copy = malloc(f->n);
            memcpy(copy, f->bytes, f->n);
            size_t n = dice(8) ? f->n : dice((unsigned)f->n);
            if (k != 1 || !dice(4))
                for (unsigned i = dice(k == 2 ? 300 : 30); i; i--) { /* slabs are not checked: any value may be there */
                    size_t at =
                        k == 2 ? (size_t)dice(6) * VS_SLAB_BYTES + dice(VS_SLAB_BYTES / 2) : dice((unsigned)f->n);
                    copy[at] = dice(3) ? (unsigned char)(copy[at] ^ 1 << dice(8)) : (unsigned char)dice(256);
                }
            if (k == 1) { /* else it would mostly not be read at all */
                memcpy(copy, f->bytes, 160);
                n = f->n;
            }
            store(f, copy, n);
            free(copy);
        }
        ingest_anyhow(dice(4) ? c.run : memory);
        if (dice(3) == 0) { /* damaged logs that grow and shrink under an unfinished database */
            struct vs_error e;
            struct vs_ingest *in;
            ck_assert(!vs_ingest_open(c.db, VS_INGEST_REPLACE, &in, &e));
            ck_assert(!vs_ingest_step(in, c.run, &e));
            store(&files[0], files[0].bytes, dice((unsigned)files[0].n));
            vs_ingest_step(in, c.run, &e);
            vs_ingest_close(in);
        }
        ck_sql(c.db, "SELECT COUNT(*) FROM pragma_quick_check WHERE quick_check <> 'ok'", 0);
    }
    for (int k = 0; k < 3; k++) free(files[k].bytes);
}

START_TEST(test_no_input_breaks_it)
{
    seed = 4242;
    fuzz(3);
}
END_TEST

START_TEST(test_no_input_breaks_it_for_long)
{
    const char *seconds = getenv("VS_FUZZ_SECONDS");
    seed = (uint64_t)time(NULL) | 1;
    fuzz(seconds ? atof(seconds) : 60);
}
END_TEST

Suite *make_ingest_damage_suite(void);
Suite *make_ingest_damage_suite(void)
{
    Suite *s = suite_create("ingest_damage");
    TCase *t = tcase_create("damage"), *f = tcase_create("fuzz");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_checked_fixture(f, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_set_timeout(f, 7200);
    tcase_set_tags(f, "fuzz");
    tcase_add_test(t, test_cut_log_loses_what_was_cut_and_says_how_much);
    tcase_add_loop_test(t, test_damage_on_disk_is_mended_from_memory, 0, 2);
    tcase_add_test(t, test_damage_without_memory_is_counted_per_source);
    tcase_add_test(t, test_torn_records_are_counted);
    tcase_add_test(t, test_lost_numbers_do_not_hold_up_the_rest);
    tcase_add_test(t, test_garbage_is_skipped);
    tcase_add_test(t, test_no_input_breaks_it);
    tcase_add_test(f, test_no_input_breaks_it_for_long);
    suite_add_tcase(s, t);
    suite_add_tcase(s, f);
    return s;
}
