/* SPDX-License-Identifier: MIT
 *
 * test_train.c: the trainer on the CPU: its gradients against finite differences in float64, every mode against explicit, its memory
 * against its own plan, noise, and samples whose norm is not finite. It must never use random seeds.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/train_check.h"

Suite *make_train_suite(void);

static const struct vs_train_model lm = {.V = 61, .h = 24, .L = 2, .heads = 3, .kv_heads = 3, .ffn = 96, .T = 11, .B = 3};
static const struct vs_train_model llama = {
    .llama = true, .V = 61, .h = 24, .L = 2, .heads = 6, .kv_heads = 2, .ffn = 40, .T = 11, .B = 3};

static struct vs_train_settings settings(const struct vs_train_model *model, enum vs_train_mode mode, enum vs_train_dtype dtype)
{
    return (struct vs_train_settings){.model = *model,
                                      .mode = mode,
                                      .dtype = dtype,
                                      .optimizer = VS_TRAIN_OPT_adam,
                                      .rate = 1e-3,
                                      .bound = 1,
                                      .seed = 7};
}

/* A trainer that keeps what each step applied. */
struct run {
    struct vs_trainer t;
    void *context;
    void **gradient; /* by unit, as the unit lies */
};

static int keep_gradient(void *state, struct vs_trainer *t, size_t unit)
{
    struct run *r = state;
    memcpy(r->gradient[unit], t->unit[unit].gradient, vs_train_unit_of(&t->layout, unit)->count * vs_train_W(t));
    return 0;
}

static void run_open(struct run *r, const struct vs_train_settings *s)
{
    const struct vs_device *cpu = vs_device_cpu();
    memset(r, 0, sizeof *r);
    ck_assert_int_eq(cpu->open(&r->context), 0);
    ck_assert_int_eq(vs_trainer_plan(&r->t, s, cpu, r->context), 0);
    ck_assert_int_eq(vs_trainer_open(&r->t), 0);
    r->gradient = calloc(r->t.layout.units, sizeof *r->gradient);
    ck_assert_ptr_nonnull(r->gradient);
    for (size_t u = 0; u < r->t.layout.units; u++) {
        r->gradient[u] = calloc(vs_train_unit_of(&r->t.layout, u)->count, vs_train_W(&r->t));
        ck_assert_ptr_nonnull(r->gradient[u]);
    }
    r->t.observe = keep_gradient;
    r->t.observer = r;
}

static void run_close(struct run *r)
{
    for (size_t u = 0; u < r->t.layout.units; u++) free(r->gradient[u]);
    free(r->gradient);
    vs_trainer_close(&r->t);
    vs_device_cpu()->close(r->context);
}

static double step(struct run *r, uint64_t batch)
{
    double loss;
    ck_assert_int_eq(vs_trainer_load(&r->t, batch), 0);
    ck_assert_int_eq(vs_trainer_step(&r->t), 0);
    ck_assert_int_eq(vs_trainer_read(&r->t, &loss, NULL, NULL), 0);
    return loss;
}

/* ---- finite differences ---- */

/* Weights far from where they begin: gammas that are not 1, biases that are not 0. */
static void disturb(struct run *r)
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

static double loss_at(struct run *r, double *weight, double value)
{
    double before = *weight, loss;
    *weight = value;
    loss = step(r, 1);
    *weight = before;
    return loss;
}

/* Of the mean loss with respect to one weight: Richardson's extrapolation of central differences. */
static double slope(struct run *r, double *weight)
{
    double w = *weight, e = 1e-5;
    double wide = (loss_at(r, weight, w + 2 * e) - loss_at(r, weight, w - 2 * e)) / (4 * e);
    double narrow = (loss_at(r, weight, w + e) - loss_at(r, weight, w - e)) / (2 * e);
    return (4 * narrow - wide) / 3;
}

static void check_slopes(struct run *r, size_t u, enum vs_train_tensor id, double *const *gradient)
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
    struct vs_train_settings s = settings(_i ? &llama : &lm, VS_MODE_vanilla, VS_TRAIN_fp64);
    struct run r;
    s.optimizer = VS_TRAIN_OPT_none;
    run_open(&r, &s);
    disturb(&r);
    step(&r, 1);
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
    run_close(&r);
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
        struct vs_train_settings s = settings(_i < VS_MODE_COUNT ? &lm : &llama, mode, VS_TRAIN_fp32);
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

/* Norms beside a pass that is vanilla's otherwise. */
START_TEST(test_norms_only_are_norms_and_nothing_else)
{
    enum vs_train_mode mode = (enum vs_train_mode)(_i % VS_MODE_COUNT);
    const struct vs_train_model *model = _i < VS_MODE_COUNT ? &lm : &llama;
    struct vs_train_settings s = settings(model, mode, VS_TRAIN_fp32), plain = settings(model, VS_MODE_vanilla, VS_TRAIN_fp32);
    struct vs_train_settings reference = settings(model, VS_MODE_explicit, VS_TRAIN_fp32);
    struct run r, vanilla, explicit;
    double loss, norm[3], expected[3];
    if (mode == VS_MODE_vanilla) return;
    s.norms_only = true;
    run_open(&r, &s);
    run_open(&vanilla, &plain);
    run_open(&explicit, &reference);
    for (uint64_t i = 0; i < 2; i++) {
        step(&r, i);
        step(&vanilla, i);
    }
    for (size_t u = 0; u < r.t.layout.units; u++)
        for (size_t i = 0; i < vs_train_unit_of(&r.t.layout, u)->count; i++)
            ck_assert_double_eq_tol((double)((float *)r.gradient[u])[i], (double)((float *)vanilla.gradient[u])[i], 1e-6);
    run_close(&r);
    run_open(&r, &s);
    step(&r, 0);
    step(&explicit, 0);
    ck_assert_int_eq(vs_trainer_read(&r.t, &loss, norm, (float[3]){0}), 0);
    ck_assert_int_eq(vs_trainer_read(&explicit.t, &loss, expected, (float[3]){0}), 0);
    for (size_t b = 0; b < s.model.B; b++) ck_assert_double_eq_tol(norm[b], expected[b], 1e-5 * expected[b]);
    run_close(&r);
    run_close(&vanilla);
    run_close(&explicit);
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
    struct vs_train_settings s = settings(_i < VS_MODE_COUNT ? &lm : &llama, (enum vs_train_mode)(_i % VS_MODE_COUNT), VS_TRAIN_fp32);
    struct run r;
    s.extra_bytes = 5000;
    run_open(&r, &s);
    size_t live = r.t.arena.live;
    for (uint64_t i = 0; i < 3; i++) {
        step(&r, i);
        ck_assert_uint_eq(r.t.arena.live, live); /* nothing stays */
        ck_assert_uint_eq(r.t.arena.high, r.t.arena.capacity);
    }
    ck_assert_uint_le(r.t.arena.peak, r.t.arena.capacity);
    run_close(&r);
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
    struct vs_train_settings s = settings(&lm, VS_MODE_auto, VS_TRAIN_fp32);
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

/* ---- noise ---- */

START_TEST(test_noise_is_as_large_as_said)
{
    struct vs_train_settings s = settings(&lm, (enum vs_train_mode)_i, VS_TRAIN_fp32);
    struct run quiet, noisy;
    double sum = 0, squares = 0, count = 0, expected = 3 * 0.25 / (double)s.model.B;
    if (_i == VS_MODE_vanilla) return;
    s.bound = 0.25;
    run_open(&quiet, &s);
    s.noise = 3;
    run_open(&noisy, &s);
    step(&quiet, 0);
    step(&noisy, 0);
    for (size_t u = 0; u < quiet.t.layout.units; u++)
        for (size_t i = 0; i < vs_train_unit_of(&quiet.t.layout, u)->count; i++) {
            double z = (double)((float *)noisy.gradient[u])[i] - (double)((float *)quiet.gradient[u])[i];
            sum += z;
            squares += z * z;
            count++;
        }
    ck_assert_double_gt(count, 10000);
    ck_assert_double_le(fabs(sum / count), 5 * expected / sqrt(count));
    ck_assert_double_le(fabs(squares / count / (expected * expected) - 1), 5 * sqrt(2 / count));
    run_close(&quiet);
    run_close(&noisy);
}
END_TEST

/* ---- a sample that cannot be had ---- */

/* Sample 0 has no finite norm: it alone has id 0, whose row is not finite; or one of its targets is none. */
static void poison(struct run *r, const struct vs_train_settings *s, bool target)
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
    struct vs_train_settings s = settings(how == 2 ? &llama : &lm, (enum vs_train_mode)mode, VS_TRAIN_fp32);
    struct run r;
    double loss, norm[3];
    float c[3];
    if (mode == VS_MODE_vanilla) return;
    run_open(&r, &s);
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
    run_close(&r);
}
END_TEST

START_TEST(test_sizes_that_cannot_be)
{
    char why[256];
    struct vs_train_model m = lm;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), 0);
    m.heads = 5;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "does not divide by --num-heads 5"));
    m = llama;
    m.kv_heads = 4;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
    m = lm;
    m.longest = 10;
    ck_assert_int_eq(vs_train_model_check(&m, why, sizeof why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "--seq-len 11 is longer"));
    m = lm;
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
    tcase_add_loop_test(t, test_modes_do_what_explicit_does, 0, 2 * VS_MODE_COUNT);
    tcase_add_loop_test(t, test_norms_only_are_norms_and_nothing_else, 0, 2 * VS_MODE_COUNT);
    tcase_add_test(t, test_a_check_that_must_fail_does);
    tcase_add_loop_test(t, test_a_step_takes_what_was_planned, 0, 2 * VS_MODE_COUNT);
    tcase_add_test(t, test_weights_of_the_presets);
    tcase_add_test(t, test_auto_keeps_to_its_budget);
    tcase_add_loop_test(t, test_noise_is_as_large_as_said, 0, VS_MODE_COUNT);
    tcase_add_loop_test(t, test_a_sample_without_a_finite_norm_counts_for_nothing, 0, 3 * VS_MODE_COUNT);
    tcase_add_test(t, test_sizes_that_cannot_be);
    suite_add_tcase(s, t);
    return s;
}
