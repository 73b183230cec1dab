/* SPDX-License-Identifier: MIT
 *
 * test_train_private.c: what privacy rests on in the trainer, on the CPU: norms, noise, and samples whose norm is not finite. It must never
 * use random seeds.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer_case.h"

Suite *make_train_private_suite(void);

/* Norms beside a pass that is vanilla's otherwise. */
START_TEST(test_norms_only_are_norms_and_nothing_else)
{
    enum vs_train_mode mode = (enum vs_train_mode)(_i % VS_MODE_COUNT);
    const struct vs_train_model *model = _i < VS_MODE_COUNT ? &trainer_lm : &trainer_llama;
    struct vs_train_settings s = trainer_settings(model, mode, VS_TRAIN_fp32), plain = trainer_settings(model, VS_MODE_vanilla, VS_TRAIN_fp32);
    struct vs_train_settings reference = trainer_settings(model, VS_MODE_explicit, VS_TRAIN_fp32);
    struct trainer_run r, vanilla, explicit;
    double loss, norm[3], expected[3];
    if (mode == VS_MODE_vanilla) return;
    s.norms_only = true;
    trainer_open(&r, &s);
    trainer_open(&vanilla, &plain);
    trainer_open(&explicit, &reference);
    for (uint64_t i = 0; i < 2; i++) {
        trainer_step(&r, i);
        trainer_step(&vanilla, i);
    }
    for (size_t u = 0; u < r.t.layout.units; u++)
        for (size_t i = 0; i < vs_train_unit_of(&r.t.layout, u)->count; i++)
            ck_assert_double_eq_tol((double)((float *)r.gradient[u])[i], (double)((float *)vanilla.gradient[u])[i], 1e-6);
    trainer_close(&r);
    trainer_open(&r, &s);
    trainer_step(&r, 0);
    trainer_step(&explicit, 0);
    ck_assert_int_eq(vs_trainer_read(&r.t, &loss, norm, (float[3]){0}), 0);
    ck_assert_int_eq(vs_trainer_read(&explicit.t, &loss, expected, (float[3]){0}), 0);
    for (size_t b = 0; b < s.model.B; b++) ck_assert_double_eq_tol(norm[b], expected[b], 1e-5 * expected[b]);
    trainer_close(&r);
    trainer_close(&vanilla);
    trainer_close(&explicit);
}
END_TEST

/* ---- noise ---- */

/* Of noise: noisy's applied gradient minus quiet's. The sums are over all weights and padding. */
struct moments {
    double sum, squares, count;
};

static struct moments noise_of(const struct trainer_run *noisy, const struct trainer_run *quiet, float **keep, double *with_kept)
{
    struct moments m = {0, 0, 0};
    for (size_t u = 0; u < quiet->t.layout.units; u++)
        for (size_t i = 0; i < vs_train_unit_of(&quiet->t.layout, u)->count; i++) {
            float z = ((float *)noisy->gradient[u])[i] - ((float *)quiet->gradient[u])[i];
            m.sum += (double)z;
            m.squares += (double)z * (double)z;
            *with_kept += (double)z * (double)keep[u][i];
            keep[u][i] = z;
            m.count++;
        }
    return m;
}

START_TEST(test_noise_is_as_large_as_said_and_new_each_step)
{
    struct vs_train_settings s = trainer_settings(&trainer_lm, (enum vs_train_mode)_i, VS_TRAIN_fp32);
    struct trainer_run quiet, noisy;
    double expected = 3 * 0.25 / (double)s.model.B, with_kept = 0;
    if (_i == VS_MODE_vanilla) return;
    s.bound = 0.25;
    s.optimizer = VS_TRAIN_OPT_none; /* the next step has the same weights */
    trainer_open(&quiet, &s);
    s.noise = 3;
    trainer_open(&noisy, &s);
    float **before = calloc(quiet.t.layout.units, sizeof *before);
    ck_assert_ptr_nonnull(before);
    for (size_t u = 0; u < quiet.t.layout.units; u++) {
        before[u] = calloc(vs_train_unit_of(&quiet.t.layout, u)->count, sizeof *before[u]);
        ck_assert_ptr_nonnull(before[u]);
    }
    for (int i = 0; i < 2; i++) {
        trainer_step(&quiet, 0);
        trainer_step(&noisy, 0);
        struct moments m = noise_of(&noisy, &quiet, before, &with_kept);
        ck_assert_double_gt(m.count, 10000);
        ck_assert_double_le(fabs(m.sum / m.count), 5 * expected / sqrt(m.count));
        ck_assert_double_le(fabs(m.squares / m.count / (expected * expected) - 1), 5 * sqrt(2 / m.count));
        ck_assert_double_le(fabs(with_kept / m.count / (expected * expected)), 5 / sqrt(m.count));
    }
    for (size_t u = 0; u < quiet.t.layout.units; u++) free(before[u]);
    free(before);
    trainer_close(&quiet);
    trainer_close(&noisy);
}
END_TEST

/* ---- a sample that cannot be had ---- */

/* Sample 0 has no finite norm: it alone has id 0, whose row is not finite; or one of its targets is none. */
static void poison(struct trainer_run *r, const struct vs_train_settings *s, bool target)
{
    size_t tokens = s->model.B * s->model.T;
    int64_t *ids = calloc(2 * tokens, sizeof *ids);
    ck_assert_ptr_nonnull(ids);
    for (size_t i = 0; i < 2 * tokens; i++) ids[i] = (int64_t)(1 + i * 31 % (s->model.V - 1));
    if (target) ids[tokens + 4] = -100;
    else ids[3] = 0;
    if (!target) ((float *)r->t.unit[0].weight)[5] = INFINITY;
    ck_assert_int_eq(vs_trainer_load_ids(&r->t, ids, ids + tokens), 0);
    free(ids);
}

START_TEST(test_a_sample_without_a_finite_norm_counts_for_nothing)
{
    int mode = _i % VS_MODE_COUNT, how = _i / VS_MODE_COUNT; /* llama's table is its head too: every sample reads all of it */
    struct vs_train_settings s = trainer_settings(how == 2 ? &trainer_llama : &trainer_lm, (enum vs_train_mode)mode, VS_TRAIN_fp32);
    struct trainer_run r;
    double loss, norm[3];
    float c[3];
    if (mode == VS_MODE_vanilla) return;
    trainer_open(&r, &s);
    poison(&r, &s, how > 0);
    ck_assert_int_eq(vs_trainer_step(&r.t), 0);
    ck_assert_int_eq(vs_trainer_read(&r.t, &loss, norm, c), 0);
    ck_assert(!isfinite(norm[0]) && c[0] == 0);
    ck_assert(isfinite(norm[1]) && isfinite(norm[2]) && c[1] > 0 && c[2] > 0);
    double longest = 0;
    for (size_t u = 0; u < r.t.layout.units; u++)
        for (size_t i = 0; i < vs_train_unit_of(&r.t.layout, u)->count; i++) {
            double g = (double)((float *)r.gradient[u])[i];
            ck_assert_msg(isfinite(g), "unit %zu, element %zu", u, i);
            longest += g * g;
        }
    longest = sqrt(longest) * (double)s.model.B;
    ck_assert_double_gt(longest, 0);
    ck_assert_double_le(longest, 2 * s.bound * (1 + 1e-3));
    trainer_close(&r);
}
END_TEST

Suite *make_train_private_suite(void)
{
    Suite *s = suite_create("train_private");
    TCase *t = tcase_create("trainer");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_norms_only_are_norms_and_nothing_else, 0, 2 * VS_MODE_COUNT);
    tcase_add_loop_test(t, test_noise_is_as_large_as_said_and_new_each_step, 0, VS_MODE_COUNT);
    tcase_add_loop_test(t, test_a_sample_without_a_finite_norm_counts_for_nothing, 0, 3 * VS_MODE_COUNT);
    suite_add_tcase(s, t);
    return s;
}
