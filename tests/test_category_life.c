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
#include "toy_training.h"

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

static void finish_toy(struct toy *t, enum vs_writer_end how)
{
    vs_log_writer_close(t->w, how);
    case_ingest(&c, c.db);
    category_sums_are_exact(c.db);
}

START_TEST(test_accumulation_is_one_iteration)
{
    struct toy t;
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 4; it++) {
        for (int micro = 0; micro < 3; micro++) {
            toy_forward(&t);
            toy_backward(&t);
        }
        toy_step(&t, 1);
        toy_zero_grad(&t);
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
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 5; it++) { /* SGD without momentum, in place; gradients stay */
        toy_forward(&t);
        toy_backward(&t);
        toy_step(&t, 0);
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
    toy_begin(&t, case_writer(&c, 0));
    cycle = toy_take(&t, MAIN, 2 * MIB);
    for (int i = 0; i < LAYERS; i++) t.parameter[i] = toy_take(&t, MAIN, toy_size(i)); /* a second model */
    toy_forward(&t);
    toy_give(&t, AUTOGRAD, cycle, 2 * MIB); /* autograd begins with it */
    for (int it = 0; it < 3; it++) {
        toy_backward(&t);
        toy_step(&t, 1);
        toy_zero_grad(&t);
        toy_forward(&t);
    }
    toy_backward(&t);
    finish_toy(&t, VS_WRITER_EXIT);
    ck_assert_int_eq(category_at_end(c.db, "backward", 1, "parameter"), 2 * MODEL);
    ck_assert_int_eq(category_at_end(c.db, "backward", 1, "optimizer_state"), 2 * MODEL);
}
END_TEST

START_TEST(test_interpreter_frees_the_model_at_exit)
{
    struct toy t;
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 2; it++) {
        toy_forward(&t);
        toy_backward(&t);
        toy_step(&t, 1);
        toy_zero_grad(&t);
    }
    for (int i = 0; i < LAYERS; i++) toy_give(&t, MAIN, t.parameter[i], toy_size(i));
    for (int i = 0; i < 2 * LAYERS; i++) toy_give(&t, MAIN, t.state[i], toy_size(i / 2));
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'parameter'", MODEL);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'optimizer_state'", 2 * MODEL);
}
END_TEST

START_TEST(test_killed_in_forward)
{
    struct toy t;
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 4; it++) {
        toy_forward(&t);
        toy_backward(&t);
        toy_step(&t, 1);
        toy_zero_grad(&t);
    }
    toy_forward(&t);
    finish_toy(&t, VS_WRITER_KILL);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'activation' AND free_ts_ns IS NULL", LAYERS * 10 * MIB);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'optimizer_state' AND free_ts_ns IS NULL", 2 * MODEL);
}
END_TEST

START_TEST(test_out_of_memory_in_the_first_forward)
{
    struct toy t;
    struct vs_rec_oom *o;
    toy_begin(&t, case_writer(&c, 0));
    toy_forward(&t);
    o = vs_log_writer_add(t.w, MAIN, VS_K_TORCH_OOM, sizeof *o, 0, 0);
    o->ts_ns = t.ts += 10;
    o->bytes = 1 << 30;
    for (int i = 0; i < LAYERS; i++) toy_give(&t, MAIN, t.saved[i], 10 * MIB); /* the exception lets go of them */
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
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 3; it++) {
        range = vs_put_range(t.w, MAIN, "forward", 0, 0, t.ts += 10);
        toy_forward(&t);
        if (!it) {
            at = toy_take(&t, MAIN, toy_size(0)); /* as large as a parameter */
            label = vs_log_writer_add(t.w, MAIN, VS_K_LABEL, sizeof *label, 0, 0);
            label->seq = vs_log_writer_seq(t.w);
            label->ts_ns = t.ts += 10;
            label->address = at + 512;
            label->what = VS_LABEL_WORKSPACE;
        }
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        toy_backward(&t);
        range = vs_put_range(t.w, MAIN, "Optimizer.step#AdamW.step", 0, 0, t.ts += 10);
        toy_step(&t, 1);
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        toy_zero_grad(&t);
    }
    finish_toy(&t, VS_WRITER_EXIT);
    ck_sql(c.db, "SELECT SUM(bytes) FROM allocation WHERE category = 'workspace'", (int64_t)toy_size(0));
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
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 3; it++) {
        range = vs_put_range(t.w, MAIN, "forward", 0, 0, t.ts += 10);
        toy_forward(&t);
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        range = vs_put_range(t.w, MAIN, "backward", 0, 0, t.ts += 10);
        toy_backward(&t);
        vs_put_range_end(t.w, MAIN, range, t.ts += 10);
        toy_step(&t, 1);
        toy_zero_grad(&t);
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
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 70; it++) {
        cycle = toy_take(&t, MAIN, 2 * MIB);
        toy_forward(&t);
        again = toy_take(&t, AUTOGRAD, 9 * MIB);
        toy_give(&t, MAIN, cycle, 2 * MIB);
        toy_give(&t, AUTOGRAD, again, 9 * MIB);
        range = vs_put_range(t.w, AUTOGRAD, "forward", 0, 0, t.ts += 10);
        again = toy_take(&t, AUTOGRAD, 9 * MIB);
        vs_put_range_end(t.w, AUTOGRAD, range, t.ts += 10);
        toy_give(&t, AUTOGRAD, again, 9 * MIB);
        toy_backward(&t);
        toy_step(&t, 1);
        toy_zero_grad(&t);
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
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 3; it++) {
        toy_forward(&t);
        toy_backward(&t);
        toy_step(&t, 1);
        toy_zero_grad(&t);
        for (int i = 0; i < 70000; i++) toy_give(&t, MAIN, toy_take(&t, MAIN, (uint64_t)(1 + (i == 40000) * 99) * MIB), (uint64_t)(1 + (i == 40000) * 99) * MIB);
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
    toy_begin(&t, case_writer(&c, 0));
    for (int it = 0; it < 3; it++) {
        uint64_t buffer = toy_take(&t, MAIN, 20 * MIB), id = (uint64_t)it * 2 + 1;
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
        toy_give(&t, MAIN, buffer, 20 * MIB);
        toy_forward(&t); /* saves pieces of 10 MiB */
        toy_backward(&t);
        toy_step(&t, 1);
        toy_zero_grad(&t);
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
    toy_begin(&t, vs_log_writer_open(
                           &(struct vs_log_writer_options){.run = c.run, .memory = c.memory, .alive = true}));
    snprintf(other, sizeof other, "%s-parts", c.db);
    ck_assert_int_eq(vs_ingest_open(other, VS_INGEST_NEW, &in, &e), 0);
    for (int it = 0; it < 3; it++) {
        toy_forward(&t);
        vs_log_writer_flush(t.w);
        ck_assert_msg(!vs_ingest_step(in, c.run, &e), "%s", e.text);
        toy_backward(&t);
        toy_step(&t, 1);
        vs_log_writer_flush(t.w);
        ck_assert_msg(!vs_ingest_step(in, c.run, &e), "%s", e.text);
        toy_zero_grad(&t);
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
