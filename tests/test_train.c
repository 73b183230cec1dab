/* SPDX-License-Identifier: MIT
 *
 * test_train.c: the trainer on the CPU: its gradients against finite differences in float64, every mode against explicit, its memory
 * against its own plan. It must never use random seeds.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer_case.h"
#include "workloads/train_check.h"

Suite *make_train_suite(void);

/* ---- finite differences ---- */

/* Weights far from where they begin: gammas that are not 1, biases that are not 0. */
static void disturb(struct trainer_run *r)
{
    unsigned state = 12345;
    for (size_t u = 0; u < r->t.layout.units; u++) {
        double *w = r->t.unit[u].weight;
        for (size_t i = 0; i < vs_train_unit_of(&r->t.layout, u)->count; i++) {
            state = state * 1664525 + 1013904223;
            w[i] += ((double)(state >> 8) / (1 << 24) - 0.5) * 0.6;
        }
    }
}

static double loss_at(struct trainer_run *r, double *weight, double value)
{
    double before = *weight, loss;
    *weight = value;
    loss = trainer_step(r, 1);
    *weight = before;
    return loss;
}

/* Of the mean loss with respect to one weight: Richardson's extrapolation of central differences. */
static double slope(struct trainer_run *r, double *weight)
{
    double w = *weight, e = 1e-5;
    double wide = (loss_at(r, weight, w + 2 * e) - loss_at(r, weight, w - 2 * e)) / (4 * e);
    double narrow = (loss_at(r, weight, w + e) - loss_at(r, weight, w - e)) / (2 * e);
    return (4 * narrow - wide) / 3;
}

static void check_slopes(struct trainer_run *r, size_t u, enum vs_train_tensor id, double *const *gradient)
{
    const struct vs_train_place *p = &vs_train_unit_of(&r->t.layout, u)->tensor[id];
    size_t count = p->rows * p->columns;
    for (size_t k = 0; count && k < 6; k++) {
        size_t i = p->offset + (k * 7919 + 13) % count;
        double found = gradient[u][i], expected = slope(r, (double *)r->t.unit[u].weight + i);
        ck_assert_msg(fabs(found - expected) <= 1e-9 + 1e-6 * fabs(expected), "%s of unit %zu, element %zu: %.12g, not %.12g",
                      vs_train_tensor_name(id), u, i, found, expected);
    }
}

START_TEST(test_gradients_are_the_slopes_of_the_loss)
{
    struct vs_train_settings s = trainer_settings(_i ? &trainer_llama : &trainer_lm, VS_MODE_vanilla, VS_TRAIN_fp64);
    struct trainer_run r;
    s.optimizer = VS_TRAIN_OPT_none;
    trainer_open(&r, &s);
    disturb(&r);
    trainer_step(&r, 1);
    double **gradient = calloc(r.t.layout.units, sizeof *gradient);
    ck_assert_ptr_nonnull(gradient);
    for (size_t u = 0; u < r.t.layout.units; u++) {
        size_t bytes = vs_train_unit_of(&r.t.layout, u)->count * sizeof(double);
        gradient[u] = malloc(bytes);
        ck_assert_ptr_nonnull(gradient[u]);
        memcpy(gradient[u], r.gradient[u], bytes);
    }
    for (size_t u = 0; u < r.t.layout.units; u++)
        for (int id = 0; id < VS_TRAIN_TENSORS_COUNT; id++) check_slopes(&r, u, (enum vs_train_tensor)id, gradient);
    for (size_t u = 0; u < r.t.layout.units; u++) free(gradient[u]);
    free(gradient);
    trainer_close(&r);
}
END_TEST

/* However many rows of logits are in memory at a time, and wherever a sample ends among them. */
START_TEST(test_chunks_of_logits_add_up)
{
    static const size_t rows[] = {1, 4, 11, 17, 32};
    struct vs_train_settings s = trainer_settings(_i ? &trainer_llama : &trainer_lm, VS_MODE_vanilla, VS_TRAIN_fp64);
    struct trainer_run whole, cut;
    trainer_open(&whole, &s);
    double loss = trainer_step(&whole, 3);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        s.logits_rows = rows[k];
        trainer_open(&cut, &s);
        ck_assert_double_eq_tol(trainer_step(&cut, 3), loss, 1e-14);
        for (size_t u = 0; u < whole.t.layout.units; u++)
            for (size_t i = 0; i < vs_train_unit_of(&whole.t.layout, u)->count; i++)
                ck_assert_double_eq_tol(((double *)cut.gradient[u])[i], ((double *)whole.gradient[u])[i], 1e-14);
        trainer_close(&cut);
    }
    trainer_close(&whole);
}
END_TEST

/* ---- modes ---- */

START_TEST(test_modes_do_what_explicit_does)
{
    enum vs_train_mode mode = (enum vs_train_mode)(_i % VS_MODE_COUNT);
    static const size_t samples[] = {1, 2, 4};
    void *context;
    if (mode == VS_MODE_vanilla) return;
    ck_assert_int_eq(vs_device_cpu()->open(&context), 0);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct vs_train_settings s = trainer_settings(_i < VS_MODE_COUNT ? &trainer_lm : &trainer_llama, mode, VS_TRAIN_fp32);
        struct vs_train_errors e;
        double norm[4];
        float c[4];
        s.model.B = samples[i];
        ck_assert_int_eq(vs_train_check(&s, vs_device_cpu(), context, norm, c, &e), 0);
        ck_assert_msg(vs_train_check_passes(&e), "%d with %zu samples: norms %g, gradients %g, weights %g", (int)mode, samples[i], e.norms,
                      e.gradients, e.weights);
        bool clipped = false, left = false;
        for (size_t b = 0; b < s.model.B; b++) {
            clipped |= c[b] < 1;
            left |= c[b] >= 1;
            ck_assert_double_le(norm[b] * (double)c[b], e.bound * (1 + 1e-3));
        }
        ck_assert(clipped && (left || s.model.B == 1)); /* or there was nothing to get wrong */
    }
    vs_device_cpu()->close(context);
}
END_TEST

START_TEST(test_a_check_that_must_fail_does)
{
    struct vs_train_errors e = {.norms = 0, .gradients = 2e-4, .weights = 0, .clipped = NAN, .tolerance = 1e-4};
    ck_assert(!vs_train_check_passes(&e));
    e.gradients = (double)NAN;
    ck_assert(!vs_train_check_passes(&e));
    e.gradients = 0;
    ck_assert(vs_train_check_passes(&e));
    e.clipped = 1.01;
    ck_assert(!vs_train_check_passes(&e));
}
END_TEST

/* ---- memory ---- */

START_TEST(test_a_step_takes_what_was_planned)
{
    struct vs_train_settings s = trainer_settings(_i < VS_MODE_COUNT ? &trainer_lm : &trainer_llama, (enum vs_train_mode)(_i % VS_MODE_COUNT), VS_TRAIN_fp32);
    struct trainer_run r;
    s.extra_bytes = 5000;
    trainer_open(&r, &s);
    size_t live = r.t.arena.live;
    for (uint64_t i = 0; i < 3; i++) {
        trainer_step(&r, i);
        ck_assert_uint_eq(r.t.arena.live, live); /* nothing stays */
        ck_assert_uint_eq(r.t.arena.high, r.t.arena.capacity);
    }
    ck_assert_uint_le(r.t.arena.peak, r.t.arena.capacity);
    trainer_close(&r);
}
END_TEST

START_TEST(test_weights_of_the_presets)
{
    static const struct {
        const char *name;
        size_t T, weights;
    } known[] = {{"lm-20x2048", 16384, 1171628032},
                 {"lm-20x2048", 8192, 1154850816},
                 {"gpt2-large", 1024, 838172160},
                 {"llama-3.2-1b", 4096, 1235814400}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct vs_train_model m;
        struct vs_train_layout layout;
        ck_assert(vs_train_preset(&m, known[i].name));
        m.T = known[i].T;
        vs_train_layout(&m, &layout);
        ck_assert_uint_eq(layout.parameters, known[i].weights);
    }
}
END_TEST

START_TEST(test_auto_keeps_to_its_budget)
{
    struct vs_train_settings s = trainer_settings(&trainer_lm, VS_MODE_auto, VS_TRAIN_fp32);
    const struct vs_device *cpu = vs_device_cpu();
    struct vs_trainer t;
    size_t high[2];
    void *context;
    s.model.B = 8;
    s.model.T = 64;
    ck_assert_int_eq(cpu->open(&context), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(vs_trainer_plan(&t, &s, cpu, context), 0);
        high[i] = t.arena.high;
        if (i) ck_assert_uint_le(high[1], s.budget_bytes);
        vs_trainer_close(&t);
        s.mode = VS_MODE_micro; /* the least there is */
        ck_assert_int_eq(vs_trainer_plan(&t, &s, cpu, context), 0);
        s.budget_bytes = t.arena.high;
        vs_trainer_close(&t);
        s.mode = VS_MODE_auto;
    }
    ck_assert_uint_gt(high[0], s.budget_bytes);
    cpu->close(context);
}
END_TEST

START_TEST(test_sizes_that_cannot_be)
{
    char why[256];
    struct vs_train_model m = trainer_lm;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), 0);
    m.heads = 5;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "does not divide by --num-heads 5"));
    m = trainer_llama;
    m.kv_heads = 4;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
    m = trainer_lm;
    m.longest = 10;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "--seq-len 11 is longer"));
    m = trainer_lm;
    m.T = 0;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
    m.T = (size_t)1 << 40;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
}
END_TEST

Suite *make_train_suite(void)
{
    Suite *s = suite_create("train");
    TCase *t = tcase_create("trainer");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_gradients_are_the_slopes_of_the_loss, 0, 2);
    tcase_add_loop_test(t, test_chunks_of_logits_add_up, 0, 2);
    tcase_add_loop_test(t, test_modes_do_what_explicit_does, 0, 2 * VS_MODE_COUNT);
    tcase_add_test(t, test_a_check_that_must_fail_does);
    tcase_add_loop_test(t, test_a_step_takes_what_was_planned, 0, 2 * VS_MODE_COUNT);
    tcase_add_test(t, test_weights_of_the_presets);
    tcase_add_test(t, test_auto_keeps_to_its_budget);
    tcase_add_test(t, test_sizes_that_cannot_be);
    suite_add_tcase(s, t);
    return s;
}
