/* SPDX-License-Identifier: MIT
 *
 * test_category.c: categories and phases, inferred from recorded runs of real programs (fixtures/) and compared with what
 * the programs themselves knew; and from small made-up runs, each with something that misleads.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest_case.h"
#include "replay.h"

Suite *make_category_suite(void);

static struct ingest_case c;

static void set_up(void)
{
    case_make(&c);
}

static void tear_down(void)
{
    case_remove(&c);
}

/* What a program says of one iteration: bytes of its tensors. PyTorch's blocks are up to 1 MiB larger each. */
static const struct told {
    const char *name;
    int iteration;      /* as ingest counts them */
    int backwards;      /* in the run */
    int64_t parameters, gradients, state;
    int64_t unsharded; /* at the end of forward */
    double slack;      /* of gradients: what the blocks have to spare */
} told[] = {
    {"llama", 2, 6, 1017221120, 1017221120, 2034442240, 0, 0.002},
    {"llama_fsdp2", 2, 8, 508610816, 508610560, 1017221120, 131074048, 0.003},
    {"ddp_view", 2, 8, 539985920, 539977728, 1079955456, 0, 0.001},
    {"zero_grad_false", 2, 6, 426579968, 426571776, 853143552, 0, 0.015},
    {"keep_outputs", 2, 8, 369876992, 369868800, 739737600, 0, 0.003},
    {"gan", 5, 16, 97674584, 97643280, 195286560, 0, 0.001},
};

static int64_t at_end(const char *phase, int iteration, const char *category)
{
    char sql[400];
    snprintf(sql, sizeof sql,
             "SELECT COALESCE(SUM(m.end_bytes), 0) FROM phase f JOIN phase_memory m ON m.phase_id = f.id"
             " WHERE f.name = '%s' AND f.iteration = %d AND m.category = '%s'",
             phase, iteration, category);
    return case_int(c.db, sql);
}

static void near(const char *what, int64_t ours, int64_t truth, double slack)
{
    ck_assert_msg(ours >= truth && (double)ours <= (double)truth * (1 + slack), "%s: %lld, the program says %lld", what,
                  (long long)ours, (long long)truth);
}

/* Sums of categories are the live bytes, whenever they are looked at. */
static void sums_are_exact(void)
{
    ck_sql(c.db, "SELECT SUM(bytes) FROM breakdown_at_peak", case_int(c.db, "SELECT peak_bytes FROM peak_data WHERE series = 'sub'"));
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation WHERE level = 'sub' AND category IS NULL", 0);
    ck_sql(c.db,
           "SELECT COUNT(*) FROM (SELECT at_ns, SUM(bytes) AS told FROM timeline_category GROUP BY ts_ns) t WHERE t.told IS NOT"
           " (SELECT SUM(bytes) FROM allocation WHERE alloc_ts_ns <= t.at_ns AND COALESCE(free_ts_ns, 1 << 62) > t.at_ns)", 0);
    ck_sql(c.db,
           "SELECT COUNT(*) FROM (SELECT f.end_ns, SUM(m.end_bytes) AS told FROM phase f JOIN phase_memory m ON m.phase_id = f.id"
           " GROUP BY f.id) t WHERE t.told IS NOT"
           " (SELECT SUM(bytes) FROM allocation WHERE alloc_ts_ns <= t.end_ns AND COALESCE(free_ts_ns, 1 << 62) > t.end_ns)", 0);
}

START_TEST(test_recorded_programs)
{
    const struct told *t = &told[_i];
    char path[400];
    struct vs_log_writer *w = case_writer(&c, 0);
    snprintf(path, sizeof path, VS_SOURCE_DIR "/tests/fixtures/%s.csv.gz", t->name);
    vs_replay(w, path);
    vs_log_writer_close(w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'backward'", t->backwards);
    near("parameters", at_end("backward", t->iteration, "parameter"), t->parameters, 0.0025);
    near("gradients", at_end("backward", t->iteration, "gradient"), t->gradients, t->slack);
    near("optimizer state", at_end("backward", t->iteration, "optimizer_state"), t->state, 0.009);
    near("unsharded parameters", at_end("forward", t->iteration, "unsharded_parameter"), t->unsharded, 0);
    ck_sql(c.db, "SELECT 100 * (SELECT COALESCE(SUM(bytes), 0) FROM breakdown_at_peak WHERE category = 'unknown') >"
                 " 3 * (SELECT SUM(bytes) FROM breakdown_at_peak)", 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM loss", 0);
    sums_are_exact();
}
END_TEST

/* The run whose truth is a table: live bytes after each phase, and the workspaces. */
START_TEST(test_llama_to_the_byte)
{
    struct vs_log_writer *w = case_writer(&c, 0);
    vs_replay(w, VS_SOURCE_DIR "/tests/fixtures/llama.csv.gz");
    vs_log_writer_close(w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'backward' AND iteration BETWEEN 1 AND 5 AND (SELECT SUM(end_bytes)"
                 " FROM phase_memory WHERE phase_id = phase.id) BETWEEN 4138124800 AND 4138124800 + 512", 5);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'forward' AND iteration BETWEEN 1 AND 5 AND (SELECT SUM(end_bytes)"
                 " FROM phase_memory WHERE phase_id = phase.id) BETWEEN 7355508736 AND 7355508736 + 512", 5);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'optimizer' AND iteration BETWEEN 1 AND 5 AND (SELECT SUM(end_bytes)"
                 " FROM phase_memory WHERE phase_id = phase.id) = 3120903680", 5);
    ck_sql(c.db, "SELECT MAX(peak_bytes) FROM iteration_memory", 8404051968);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'workspace'", 2 * 33554432);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE origin <> 'inferred'", 0);
}
END_TEST

/* ---- made-up runs: one model of four layers, in steps of 10 ns ---- */

struct toy {
    struct vs_log_writer *w;
    uint64_t ts, live, next;
    uint64_t parameter[16], gradient[16], state[32], saved[16];
};
enum { MAIN = 1, AUTOGRAD = 2, LAYERS = 12, MIB = 1 << 20 };

static uint64_t size_of(int layer)
{
    return (uint64_t)(3 + layer % 3) * MIB;
}

static uint64_t take(struct toy *t, unsigned thread, uint64_t bytes)
{
    uint64_t address = 0x7f0000000000 + t->next;
    t->next += 64 * MIB;
    t->live += bytes;
    vs_put_torch(t->w, thread, 0, address, (int64_t)bytes, t->live, t->live, 0, t->ts += 10);
    return address;
}

static void give(struct toy *t, unsigned thread, uint64_t address, uint64_t bytes)
{
    t->live -= bytes;
    vs_put_torch(t->w, thread, 0, address, -(int64_t)bytes, t->live, t->live, 0, t->ts += 10);
}

static void begin_toy_with(struct toy *t, struct vs_log_writer *w)
{
    struct vs_rec_thread *r;
    *t = (struct toy){.w = w, .ts = 2000};
    r = vs_log_writer_add(t->w, AUTOGRAD, VS_K_THREAD, sizeof *r, 0, -1);
    r->thread = AUTOGRAD;
    memcpy(r->name, "pt_autograd_0", 14);
    for (int i = 0; i < LAYERS; i++) t->parameter[i] = take(t, MAIN, size_of(i));
}

static void begin_toy(struct toy *t)
{
    begin_toy_with(t, case_writer(&c, 0));
}

static void forward(struct toy *t)
{
    for (int i = 0; i < LAYERS; i++) {
        uint64_t scratch = take(t, MAIN, 7 * MIB);
        t->saved[i] = take(t, MAIN, 10 * MIB);
        give(t, MAIN, scratch, 7 * MIB);
    }
}

static void backward(struct toy *t, int keep)
{
    for (int i = LAYERS; i-- > 0;) {
        uint64_t scratch = take(t, AUTOGRAD, 9 * MIB), g = take(t, AUTOGRAD, size_of(i));
        if (keep || t->gradient[i]) give(t, AUTOGRAD, g, size_of(i)); /* added to the one that is there */
        else t->gradient[i] = g;
        give(t, AUTOGRAD, t->saved[i], 10 * MIB);
        give(t, AUTOGRAD, scratch, 9 * MIB);
    }
}

static void step(struct toy *t, int adam)
{
    for (int i = 0; i < LAYERS && adam; i++) {
        uint64_t scratch;
        if (!t->state[2 * i])
            for (int k = 0; k < 2; k++) t->state[2 * i + k] = take(t, MAIN, size_of(i));
        scratch = take(t, MAIN, size_of(i));
        give(t, MAIN, scratch, size_of(i));
    }
}

static void zero_grad(struct toy *t)
{
    for (int i = 0; i < LAYERS; i++) {
        if (t->gradient[i]) give(t, MAIN, t->gradient[i], size_of(i));
        t->gradient[i] = 0;
    }
}

static void finish_toy(struct toy *t, enum vs_writer_end how)
{
    vs_log_writer_close(t->w, how);
    case_ingest(&c, c.db);
    sums_are_exact();
}

#define MODEL (48 * (int64_t)MIB) /* 12 layers of 3, 4, 5 MiB */

START_TEST(test_accumulation_is_one_iteration)
{
    struct toy t;
    begin_toy(&t);
    for (int it = 0; it < 4; it++) {
        for (int micro = 0; micro < 3; micro++) {
            forward(&t);
            backward(&t, 0);
        }
        step(&t, 1);
        zero_grad(&t);
    }
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'backward'", 12);
    ck_sql(c.db, "SELECT MAX(iteration) FROM phase", 3);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'optimizer'", 4);
    ck_assert_int_eq(at_end("optimizer", 2, "optimizer_state"), 2 * MODEL);
    ck_assert_int_eq(at_end("optimizer", 2, "gradient"), 0);
    ck_sql(c.db, "SELECT end_bytes FROM iteration_memory WHERE iteration = 3", 3 * MODEL);
}
END_TEST

START_TEST(test_no_sign_of_an_optimizer)
{
    struct toy t;
    begin_toy(&t);
    for (int it = 0; it < 5; it++) { /* SGD without momentum, in place; gradients stay */
        forward(&t);
        backward(&t, 0);
        step(&t, 0);
    }
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT MAX(iteration) FROM phase", 4);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'optimizer'", 0);
    ck_assert_int_eq(at_end("backward", 4, "gradient"), MODEL);
    ck_assert_int_eq(at_end("backward", 4, "parameter"), MODEL);
    ck_assert_int_eq(at_end("backward", 4, "optimizer_state"), 0);
}
END_TEST

/* Autograd's thread runs Python too: a cycle that held a piece made before half of the model is collected there. */
START_TEST(test_garbage_collected_in_backward)
{
    struct toy t;
    uint64_t cycle;
    begin_toy(&t);
    cycle = take(&t, MAIN, 2 * MIB);
    for (int i = 0; i < LAYERS; i++) t.parameter[i] = take(&t, MAIN, size_of(i)); /* a second model */
    forward(&t);
    give(&t, AUTOGRAD, cycle, 2 * MIB); /* autograd begins with it */
    for (int it = 0; it < 3; it++) {
        backward(&t, 0);
        step(&t, 1);
        zero_grad(&t);
        forward(&t);
    }
    backward(&t, 0);
    finish_toy(&t, VS_WRITER_EXIT);
    ck_assert_int_eq(at_end("backward", 1, "parameter"), 2 * MODEL);
    ck_assert_int_eq(at_end("backward", 1, "optimizer_state"), 2 * MODEL);
}
END_TEST

START_TEST(test_interpreter_frees_the_model_at_exit)
{
    struct toy t;
    begin_toy(&t);
    for (int it = 0; it < 2; it++) {
        forward(&t);
        backward(&t, 0);
        step(&t, 1);
        zero_grad(&t);
    }
    for (int i = 0; i < LAYERS; i++) give(&t, MAIN, t.parameter[i], size_of(i));
    for (int i = 0; i < 2 * LAYERS; i++) give(&t, MAIN, t.state[i], size_of(i / 2));
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'parameter'", MODEL);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'optimizer_state'", 2 * MODEL);
}
END_TEST

START_TEST(test_killed_in_forward)
{
    struct toy t;
    begin_toy(&t);
    for (int it = 0; it < 4; it++) {
        forward(&t);
        backward(&t, 0);
        step(&t, 1);
        zero_grad(&t);
    }
    forward(&t);
    finish_toy(&t, VS_WRITER_KILL);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'activation' AND free_ts_ns IS NULL", LAYERS * 10 * MIB);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'optimizer_state' AND free_ts_ns IS NULL", 2 * MODEL);
}
END_TEST

START_TEST(test_out_of_memory_in_the_first_forward)
{
    struct toy t;
    struct vs_rec_oom *o;
    begin_toy(&t);
    forward(&t);
    o = vs_log_writer_add(t.w, MAIN, VS_K_TORCH_OOM, sizeof *o, 0, 0);
    o->ts_ns = t.ts += 10;
    o->bytes = 1 << 30;
    for (int i = 0; i < LAYERS; i++) give(&t, MAIN, t.saved[i], 10 * MIB); /* the exception lets go of them */
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT SUM(bytes) FROM at_failure WHERE category = 'parameter'", MODEL);
    ck_sql(c.db, "SELECT SUM(bytes) FROM at_failure WHERE category = 'activation'", LAYERS * 10 * MIB);
}
END_TEST

/* A library's word, and a range's. */
START_TEST(test_what_is_said_wins)
{
    struct toy t;
    struct vs_rec_label *label;
    uint64_t range, at;
    begin_toy(&t);
    for (int it = 0; it < 3; it++) {
        range = vs_put_range(t.w, MAIN, "forward", 0, 0, t.ts += 10);
        forward(&t);
        if (!it) {
            at = take(&t, MAIN, size_of(0)); /* as large as a parameter */
            label = vs_log_writer_add(t.w, MAIN, VS_K_LABEL, sizeof *label, 0, 0);
            label->seq = vs_log_writer_seq(t.w);
            label->ts_ns = t.ts += 10;
            label->address = at + 512;
            label->what = VS_LABEL_WORKSPACE;
        }
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        backward(&t, 0);
        range = vs_put_range(t.w, MAIN, "Optimizer.step#AdamW.step", 0, 0, t.ts += 10);
        step(&t, 1);
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        zero_grad(&t);
    }
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'workspace'", (int64_t)size_of(0));
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name IN ('forward', 'optimizer') AND origin = 'nvtx'", 6);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name IN ('forward', 'optimizer') AND origin = 'inferred'", 0);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'backward' AND origin = 'inferred'", 3);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase f JOIN range r ON f.begin_ns = r.begin_ns AND f.end_ns = r.end_ns", 6);
    ck_assert_int_eq(at_end("optimizer", 1, "optimizer_state"), 2 * MODEL);
}
END_TEST

/* Ingest while the program runs, and once at its end, come to the same. */
START_TEST(test_in_portions)
{
    char *whole, *parts, other[100];
    struct vs_ingest *in;
    struct vs_error e;
    struct toy t;
    begin_toy_with(&t, vs_log_writer_open(
                           &(struct vs_log_writer_options){.run = c.run, .memory = c.memory, .alive = true}));
    snprintf(other, sizeof other, "%s-parts", c.db);
    ck_assert_int_eq(vs_ingest_open(other, VS_INGEST_NEW, &in, &e), 0);
    for (int it = 0; it < 3; it++) {
        forward(&t);
        vs_log_writer_flush(t.w);
        ck_assert_msg(!vs_ingest_step(in, c.run, &e), "%s", e.text);
        backward(&t, 0);
        step(&t, 1);
        vs_log_writer_flush(t.w);
        ck_assert_msg(!vs_ingest_step(in, c.run, &e), "%s", e.text);
        zero_grad(&t);
    }
    vs_log_writer_close(t.w, VS_WRITER_EXIT);
    ck_assert_msg(!vs_ingest_finish(in, c.run, 0, &e), "%s", e.text);
    vs_ingest_close(in);
    case_ingest(&c, c.db);
    whole = case_dump(c.db);
    parts = case_dump(other);
    ck_assert_msg(!strcmp(whole, parts), "the databases differ");
    free(whole);
    free(parts);
    remove(other);
}
END_TEST

Suite *make_category_suite(void)
{
    Suite *s = suite_create("category");
    TCase *t = tcase_create("category");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_recorded_programs, 0, (int)(sizeof told / sizeof *told));
    tcase_add_test(t, test_llama_to_the_byte);
    tcase_add_test(t, test_accumulation_is_one_iteration);
    tcase_add_test(t, test_no_sign_of_an_optimizer);
    tcase_add_test(t, test_garbage_collected_in_backward);
    tcase_add_test(t, test_interpreter_frees_the_model_at_exit);
    tcase_add_test(t, test_killed_in_forward);
    tcase_add_test(t, test_out_of_memory_in_the_first_forward);
    tcase_add_test(t, test_what_is_said_wins);
    tcase_add_test(t, test_in_portions);
    suite_add_tcase(s, t);
    return s;
}
