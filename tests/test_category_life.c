/* SPDX-License-Identifier: MIT
 *
 * test_category_life.c: categories and phases of small made-up runs, each with something that misleads.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "category_case.h"
#include "ingest_case.h"

Suite *make_category_life_suite(void);

static struct ingest_case c;

static void set_up(void)
{
    case_make(&c);
}

static void tear_down(void)
{
    case_remove(&c);
}

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
    category_sums_are_exact(c.db);
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
    ck_assert_int_eq(category_at_end(c.db, "optimizer", 2, "optimizer_state"), 2 * MODEL);
    ck_assert_int_eq(category_at_end(c.db, "optimizer", 2, "gradient"), 0);
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
    ck_assert_int_eq(category_at_end(c.db, "backward", 4, "gradient"), MODEL);
    ck_assert_int_eq(category_at_end(c.db, "backward", 4, "parameter"), MODEL);
    ck_assert_int_eq(category_at_end(c.db, "backward", 4, "optimizer_state"), 0);
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
    ck_assert_int_eq(category_at_end(c.db, "backward", 1, "parameter"), 2 * MODEL);
    ck_assert_int_eq(category_at_end(c.db, "backward", 1, "optimizer_state"), 2 * MODEL);
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
    ck_assert_int_eq(category_at_end(c.db, "optimizer", 1, "optimizer_state"), 2 * MODEL);
}
END_TEST

START_TEST(test_a_named_backward_is_of_its_forward)
{
    struct toy t;
    uint64_t range;
    begin_toy(&t);
    for (int it = 0; it < 3; it++) {
        range = vs_put_range(t.w, MAIN, "forward", 0, 0, t.ts += 10);
        forward(&t);
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        range = vs_put_range(t.w, MAIN, "backward", 0, 0, t.ts += 10);
        backward(&t, 0);
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        step(&t, 1);
        zero_grad(&t);
    }
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase f JOIN phase b ON b.iteration = f.iteration WHERE f.name = 'forward' AND"
                 " b.name = 'backward' AND f.origin = 'nvtx' AND b.origin = 'nvtx' AND b.begin_ns > f.end_ns", 3);
    ck_sql(c.db, "SELECT MAX(iteration) FROM phase", 2);
}
END_TEST

/* The garbage collector of the main thread frees while autograd works; and autograd computes a part of forward again. */
START_TEST(test_threads_meet_in_backward)
{
    struct toy t;
    uint64_t cycle, range, again;
    begin_toy(&t);
    for (int it = 0; it < 70; it++) {
        cycle = take(&t, MAIN, 2 * MIB);
        forward(&t);
        again = take(&t, AUTOGRAD, 9 * MIB);
        give(&t, MAIN, cycle, 2 * MIB);
        give(&t, AUTOGRAD, again, 9 * MIB);
        range = vs_put_range(t.w, AUTOGRAD, "forward", 0, 0, t.ts += 10);
        again = take(&t, AUTOGRAD, 9 * MIB);
        vs_put_range_end(t.w, AUTOGRAD, range, t.ts += 10);
        give(&t, AUTOGRAD, again, 9 * MIB);
        backward(&t, 0);
        step(&t, 1);
        zero_grad(&t);
    }
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT COUNT(*) FROM phase WHERE name = 'backward'", 70);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation WHERE bytes = 9437184 AND category <> 'temporary'", 0);
    ck_assert_int_eq(category_at_end(c.db, "backward", 60, "gradient"), MODEL);
}
END_TEST

/* More comes and goes between two steps than can wait for the second. */
START_TEST(test_an_evaluation_too_long_to_keep)
{
    struct toy t;
    begin_toy(&t);
    for (int it = 0; it < 3; it++) {
        forward(&t);
        backward(&t, 0);
        step(&t, 1);
        zero_grad(&t);
        for (int i = 0; i < 70000; i++) give(&t, MAIN, take(&t, MAIN, (uint64_t)(1 + (i == 40000) * 99) * MIB), (uint64_t)(1 + (i == 40000) * 99) * MIB);
    }
    vs_log_writer_close(t.w, VS_WRITER_EXIT);
    case_ingest(&c, c.db);
    ck_sql(c.db, "SELECT COUNT(*) FROM (SELECT f.id, m.peak_ts_ns AS ts, SUM(m.peak_bytes) AS told FROM phase f JOIN phase_memory m"
                 " ON m.phase_id = f.id GROUP BY f.id) t WHERE t.told IS NOT (SELECT SUM(bytes) FROM allocation WHERE"
                 " alloc_ts_ns <= t.ts AND COALESCE(free_ts_ns, 1 << 62) > t.ts)", 0);
    ck_sql(c.db, "SELECT MAX(iteration) FROM phase", 2);
    ck_sql(c.db, "SELECT COUNT(*) FROM (SELECT SUM(bytes) AS told, MAX(at_ns) AS ts FROM timeline_category GROUP BY ts_ns) t"
                 " WHERE t.told IS NOT (SELECT SUM(bytes) FROM allocation WHERE alloc_ts_ns <= t.ts AND"
                 " COALESCE(free_ts_ns, 1 << 62) > t.ts)", 0);
}
END_TEST

/* One buffer for every all-gather, and other pieces that add up to its size after it is gone. */
START_TEST(test_a_gather_buffer_used_again)
{
    struct toy t;
    begin_toy(&t);
    for (int it = 0; it < 3; it++) {
        uint64_t buffer = take(&t, MAIN, 20 * MIB), id = (uint64_t)it * 2 + 1;
        for (int i = 0; i < 2; i++) {
            struct vs_rec_comm *m = i + it ? NULL : vs_log_writer_add(t.w, MAIN, VS_K_COMM, sizeof *m, VS_COMM_CREATE, 0);
            if (m) *m = (struct vs_rec_comm){.h = m->h, .seq = vs_log_writer_seq(t.w), .ts_ns = t.ts, .comm = 0xc0, .nranks = 2};
            struct vs_rec_coll_begin *b = vs_log_writer_add(t.w, MAIN, VS_K_COLL_BEGIN, sizeof *b, 0, 0);
            *b = (struct vs_rec_coll_begin){.h = b->h, .seq = vs_log_writer_seq(t.w), .id = id + (uint64_t)i, .ts_ns = t.ts += 10};
            b->comm = 0xc0;
            b->send_address = t.parameter[0];
            b->recv_address = buffer;
            b->bytes = b->count = 10 * MIB;
            b->op = VS_COLL_ALL_GATHER;
        }
        give(&t, MAIN, buffer, 20 * MIB);
        forward(&t); /* saves pieces of 10 MiB */
        backward(&t, 0);
        step(&t, 1);
        zero_grad(&t);
    }
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT COUNT(*) FROM allocation WHERE bytes <> 20971520 AND category LIKE 'unsharded%'", 0);
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

Suite *make_category_life_suite(void)
{
    Suite *s = suite_create("category_life");
    TCase *t = tcase_create("made up");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_accumulation_is_one_iteration);
    tcase_add_test(t, test_no_sign_of_an_optimizer);
    tcase_add_test(t, test_garbage_collected_in_backward);
    tcase_add_test(t, test_interpreter_frees_the_model_at_exit);
    tcase_add_test(t, test_killed_in_forward);
    tcase_add_test(t, test_out_of_memory_in_the_first_forward);
    tcase_add_test(t, test_what_is_said_wins);
    tcase_add_test(t, test_a_named_backward_is_of_its_forward);
    tcase_add_test(t, test_threads_meet_in_backward);
    tcase_add_test(t, test_an_evaluation_too_long_to_keep);
    tcase_add_test(t, test_a_gather_buffer_used_again);
    tcase_add_test(t, test_in_portions);
    suite_add_tcase(s, t);
    return s;
}
