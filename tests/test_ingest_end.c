/* SPDX-License-Identifier: MIT
 *
 * test_ingest_end.c: how processes end, and what is known of them then: the last record, a kill before there was a log, the
 * GPU work that a kill cut off.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../db/folders.h"
#include "ingest_case.h"
#include "recording.h"

static struct ingest_case c;
static struct vs_log_writer_options o;

static void set_up(void)
{
    case_make(&c);
    setenv("VRAMSCOPE_SHM", c.memory, 1);
    o = (struct vs_log_writer_options){.run = c.run, .memory = c.memory};
}
static void tear_down(void)
{
    case_remove(&c);
    unsetenv("VRAMSCOPE_SHM");
}

static void ck_rows(const char *sql, const char *expected)
{
    char *rows = case_text(c.db, sql);
    ck_assert_str_eq(rows, expected);
    free(rows);
}

/* The recorder names its memory folders so; the writer of the tests does not. */
static void name_memory(const char *memory, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", c.memory, name);
    ck_assert(!rename(memory, path));
}

START_TEST(test_the_last_record_tells_the_cost)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    struct vs_control *control = vs_log_writer_control(w);
    control->host_bytes = 17 << 20;
    control->gpu_buffer_bytes = 48 << 20;
    control->delivered_ns = 2345;
    control->calibrated_ns[VS_SRC_TORCH] = 50;
    for (uint64_t i = 0; i < 10; i++) vs_put_torch(w, 1, 0, 512 * i, 512, 0, 0, 0, 2000 + i);
    struct vs_rec_overhead *cost = vs_log_writer_add(w, 1, VS_K_OVERHEAD, sizeof *cost, 0, -1);
    cost->begin_ns = 1000;
    cost->end_ns = 1007;
    vs_log_writer_close(w, _i ? VS_WRITER_EXIT : VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_rows("SELECT host_bytes, gpu_buffer_bytes, delivered_ns, overhead_ns FROM process",
            "17825792|50331648|2345|507");
}
END_TEST

/* The recorder dies between its last record and the removal of its memory: a frame no slab ever held covers nothing. */
START_TEST(test_the_last_record_is_in_no_slab)
{
    struct {
        struct vs_frame f;
        struct vs_rec_end r;
    } last = {
        .f = {.magic = VS_FRAME_MAGIC, .serial = 99, .offset = VS_SLAB_RECORDS, .bytes = sizeof last.r, .records = 1},
        .r = {.h = {.kind = VS_K_END, .size8 = sizeof last.r / 8, .flags = VS_END_EXIT, .device = -1}}};
    struct vs_log_writer *w = vs_log_writer_open(&o);
    char path[600];
    vs_put_torch(w, 1, 0, 512, 512, 0, 0, 0, 2000);
    vs_log_writer_flush(w);
    vs_put_torch(w, 1, 0, 1024, 512, 0, 0, 0, 2010); /* after the last look at the slab */
    last.r.ts_ns = 2020;
    last.r.h.check = vs_check(&last.r, sizeof last.r);
    last.f.check = vs_check(&last.f, sizeof last.f);
    snprintf(path, sizeof path, "%s/" VS_LOG_NAME, vs_log_writer_folder(w));
    vs_log_writer_close(w, VS_WRITER_KILL);
    FILE *log = fopen(path, "a");
    ck_assert(log && fwrite(&last, sizeof last, 1, log) == 1 && !fclose(log));
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 2);
    ck_rows("SELECT ended FROM process", "exit");
    ck_sql(c.db, "SELECT COUNT(*) FROM loss WHERE reason = 'damaged'", 0);
}
END_TEST

/* Killed in its first milliseconds: no log, perhaps no run folder; another run's memory beside it. */
START_TEST(test_killed_before_there_was_a_log)
{
    struct vs_error e = {""};
    struct vs_ingest *in;
    char memory[400], other[400], named[400], none[200];
    o.no_log = true;
    struct vs_log_writer *w = vs_log_writer_open(&o);
    snprintf(memory, sizeof memory, "%s", vs_log_writer_memory(w));
    vs_put_torch(w, 1, 0, 512, 512, 0, 0, 0, 2000);
    vs_log_writer_close(w, VS_WRITER_KILL);
    name_memory(memory, "vramscope.0.4242.1000", named, sizeof named);
    snprintf(none, sizeof none, "%s/run2", c.root); /* a name that begins alike */
    o = (struct vs_log_writer_options){.run = none, .memory = c.memory, .no_log = true, .pid = 7};
    w = vs_log_writer_open(&o);
    snprintf(memory, sizeof memory, "%s", vs_log_writer_memory(w));
    vs_put_torch(w, 1, 0, 512, 512, 0, 0, 0, 2000);
    vs_log_writer_close(w, VS_WRITER_KILL);
    name_memory(memory, "vramscope.0.7.1000", other, sizeof other);
    if (_i & 1) ck_assert(!rmdir(c.run));
    ck_assert(!chdir(c.root));
    ck_assert(!vs_ingest_open(c.db, VS_INGEST_NEW, &in, &e));
    ck_assert_msg(!vs_ingest_finish(in, _i & 2 ? "run/" : c.run, 1, &e), "%s", e.text);
    ck_rows("SELECT pid, ended FROM process", "4242|killed");
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 1);
    case_balanced(c.db);
    ck_assert(access(named, F_OK) && !access(other, F_OK)); /* deleted, and not another run's */
    if (_i & 1) ck_assert_int_eq(vs_ingest_finish(in, c.run, 1, &e), -ENOENT);
    else ck_assert_int_eq(vs_ingest_finish(in, c.run, 1, &e), 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM process", 1);
    vs_ingest_close(in);
}
END_TEST

/* The log was just being made: a file without its head. */
START_TEST(test_killed_while_its_log_was_made)
{
    struct vs_log_writer *w = vs_log_writer_open(&o);
    char memory[400], log[600], named[400];
    snprintf(memory, sizeof memory, "%s", vs_log_writer_memory(w));
    snprintf(log, sizeof log, "%s/" VS_LOG_NAME, vs_log_writer_folder(w));
    vs_put_torch(w, 1, 0, 512, 512, 0, 0, 0, 2000);
    vs_log_writer_close(w, VS_WRITER_KILL);
    ck_assert(!truncate(log, 10));
    name_memory(memory, "vramscope.0.4242.1000", named, sizeof named);
    case_ingest(&c, c.db);
    ck_rows("SELECT pid, ended FROM process", "4242|killed");
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation", 1);
    case_balanced(c.db);
}
END_TEST

START_TEST(test_a_log_and_its_memory_are_one_process)
{
    struct vs_log_writer *w = vs_log_writer_open(&o);
    char memory[400], named[400];
    snprintf(memory, sizeof memory, "%s", vs_log_writer_memory(w));
    vs_put_torch(w, 1, 0, 512, 512, 0, 0, 0, 2000);
    snprintf(vs_log_writer_control(w)->memory, sizeof vs_log_writer_control(w)->memory, "%s/vramscope.0.1.1", c.memory);
    vs_log_writer_close(w, VS_WRITER_KILL);
    name_memory(memory, "vramscope.0.1.1", named, sizeof named);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM process", 1);
}
END_TEST

/* What --force throws away: all of a run's memory, or it would be taken for the next run's of that name. */
START_TEST(test_memory_can_be_thrown_away)
{
    struct vs_folders found;
    char memory[2][400], named[2][400], name[40];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "vramscope.0.%u.1000", 10 + i);
        o.pid = 10 + i;
        o.no_log = i;
        struct vs_log_writer *w = vs_log_writer_open(&o);
        snprintf(memory[i], sizeof memory[i], "%s", vs_log_writer_memory(w));
        vs_log_writer_close(w, VS_WRITER_KILL);
        if (i) name_memory(memory[i], name, named[i], sizeof named[i]);
    }
    ck_assert_int_eq(vs_folders_scan(c.run, &found, NULL), 0);
    ck_assert_uint_eq(found.count, 2);
    ck_assert_uint_eq(vs_folders_unlogged(&found), 1);
    ck_assert_int_eq(vs_folders_discard(&found), 0);
    vs_folders_free(&found);
    ck_assert(access(memory[0], F_OK) && access(named[1], F_OK));
}
END_TEST

/* 3 launches delivered, 4 without work before the last report, 5 after it. */
START_TEST(test_undelivered_is_what_came_after_the_last_report)
{
    enum { MANY = 1100000 }; /* more than are kept whole */
    uint64_t ts = 2000;
    o.slabs = 512;
    struct vs_log_writer *w = vs_log_writer_open(&o);
    vs_put_meta(w, "trace_level", "kernels");
    for (uint32_t i = 0; i < 7; i++) vs_put_launch(w, 1, i, 0, ts += 10);
    for (uint32_t i = 0; i < 3; i++) vs_put_kernel(w, 1, 0, i, 0, 2500, 2600);
    vs_log_writer_control(w)->delivered_ns = 3000;
    ts = 3000;
    for (uint32_t i = 0; i < (_i == 2 ? MANY : 5); i++) vs_put_launch(w, 1, 100 + i, 0, ts += 10);
    vs_log_writer_close(w, _i == 1 ? VS_WRITER_EXIT : VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT IFNULL(SUM(count), 0) FROM loss WHERE reason = 'undelivered'",
           _i == 1   ? 0
           : _i == 2 ? MANY
                     : 5);
    ck_rows("SELECT delivered_ns FROM process", "3000");
}
END_TEST

/* The recorder itself, with a GPU that is 250 ms behind: ten launches after the last report. */
START_TEST(test_a_kill_says_what_the_gpu_had_not_delivered)
{
    static struct recording r;
    static const char *const env[] = {"VRAMSCOPE_TRACE=kernels", NULL};
    const char *argv[] = {"cupti_events", "kill", "100", NULL},
               *report[] = {VS_BUILD_DIR "/bin/vramscope", "report", r.db, NULL};
    recording_begin(&r, "ingest-undelivered");
    recording_run(&r, argv, env);
    recording_ingest(&r);
    ck_assert_str_eq(recording_text(&r, "SELECT ended FROM process"), "killed");
    ck_assert_int_gt(recording_int(&r, "SELECT delivered_ns FROM process"), 0);
    ck_assert_int_gt(recording_int(&r, "SELECT end_ns - delivered_ns FROM process"), 0);
    ck_assert_int_gt(recording_int(&r, "SELECT overhead_ns FROM process"), 0);
    ck_assert_int_eq(recording_int(&r, "SELECT COUNT(*) FROM kernel"), 100);
    ck_assert_int_eq(recording_int(&r, "SELECT count FROM loss WHERE source = 'gpu' AND reason = 'undelivered'"), 10);
    recording_end(&r);
    recording_run(&r, report, (const char *[]){"LD_PRELOAD=", NULL});
    ck_assert_msg(strstr(r.out, "was killed; the GPU had not delivered the last ") != NULL, "%s%s", r.out, r.err);
}
END_TEST

START_TEST(test_one_kernel_is_one_row)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_put_string(w, 2, 1, "gemm");
    for (uint32_t i = 1; i <= 4; i++)
        vs_put_launch(w, 2, i, 0, 1990); /* with its launch, a kernel gets its row at once */
    vs_put_kernel(w, 2, 0, 1, 1, 2000, 2010);
    vs_put_kernel(w, 2, 0, 2, 2, 2020, 2025); /* its name comes later, and is the same */
    vs_put_kernel(w, 2, 0, 3, 8, 2030, 2040); /* these have names that never come: not one kernel */
    vs_put_kernel(w, 2, 0, 4, 9, 2050, 2060);
    vs_put_string(w, 2, 2, "gemm");
    vs_log_writer_close(w, VS_WRITER_KILL);
    case_ingest(&c, c.db);
    ck_rows("SELECT name, count, total_ns, mean_ns, min_ns, max_ns FROM kernel_summary ORDER BY name, count",
            "-|1|10|10|10|10,-|1|10|10|10|10,gemm|2|15|7|5|10");
}
END_TEST

Suite *make_ingest_end_suite(void);
Suite *make_ingest_end_suite(void)
{
    Suite *s = suite_create("ingest_end");
    TCase *t = tcase_create("end");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_the_last_record_tells_the_cost, 0, 2);
    tcase_add_test(t, test_the_last_record_is_in_no_slab);
    tcase_add_loop_test(t, test_killed_before_there_was_a_log, 0, 4);
    tcase_add_test(t, test_killed_while_its_log_was_made);
    tcase_add_test(t, test_a_log_and_its_memory_are_one_process);
    tcase_add_test(t, test_memory_can_be_thrown_away);
    tcase_add_loop_test(t, test_undelivered_is_what_came_after_the_last_report, 0, 3);
    tcase_add_test(t, test_a_kill_says_what_the_gpu_had_not_delivered);
    tcase_add_test(t, test_one_kernel_is_one_row);
    suite_add_tcase(s, t);
    return s;
}
