/* SPDX-License-Identifier: MIT
 *
 * test_train_ops_parts.c: the CPU's training operations that have no gradient: products, sums over samples, clipping, noise
 * and optimizers. What holds for all operations is in test_train_ops_all.c.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/train_rng.h"
#include "tests/train_case.h"

Suite *make_train_ops_parts_suite(void);

static const struct vs_train_ops *const ops = &vs_train_cpu;
static const struct vs_train_on wide_on = {.dtype = VS_TRAIN_fp64}, float_on = {.dtype = VS_TRAIN_tf32};

static const struct vs_train_on *on_of(bool wide)
{
    return wide ? &wide_on : &float_on;
}

/* Element i of a buffer of float64 or float32. */
static double get(bool wide, const void *x, size_t i)
{
    return wide ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static void *as(bool wide, const double *x, size_t count)
{
    void *out = malloc(count * (wide ? sizeof(double) : sizeof(float)));
    ck_assert_ptr_nonnull(out);
    for (size_t i = 0; i < count; i++)
        if (wide)
            ((double *)out)[i] = x[i];
        else
            ((float *)out)[i] = (float)x[i];
    return out;
}

static void *random_of(bool wide, size_t count, uint64_t seed)
{
    double *x = train_random(count, seed);
    void *out = as(wide, x, count);
    free(x);
    return out;
}

/* ---- products ---- */

static const size_t sizes[][3] = {{1, 1, 1}, {5, 17, 257}, {130, 9, 40}, {3, 514, 7}}; /* with more than one tile each way */
static const double scales[][2] = {{1, 0}, {1, 1}, {-0.5, 0.25}};
enum { PRODUCTS = 2 * 4 * sizeof sizes / sizeof *sizes };

static void product_by(bool own, bool wide, const struct vs_train_product *p)
{
    if (!own) {
        ck_assert_int_eq(ops->product(on_of(wide), p), 0);
        return;
    }
    for (size_t b = 0; b < p->batch; b++) {
        size_t element = wide ? 8 : 4;
        vs_gemm_own(&(struct vs_gemm){wide, p->transpose_x, p->transpose_y, p->m, p->n, p->k, p->alpha, p->beta,
                                      (const char *)p->x + b * p->step_x * element, (const char *)p->y + b * p->step_y * element,
                                      (char *)p->out + b * p->step_out * element, p->ldx, p->ldy, p->ldo});
    }
}

/* One form and size: every scale, a batch of two, strides beyond the rows, what lies there stays. */
static void check_product(bool own, bool wide, bool tx, bool ty, const size_t *size, const double *scale)
{
    size_t m = size[0], n = size[1], k = size[2], ldx = (tx ? m : k) + 3, ldy = (ty ? k : n) + 5, ldo = n + 2;
    size_t step_x = (tx ? k : m) * ldx + 1, step_y = (ty ? n : k) * ldy + 2, step_out = m * ldo + 4;
    void *x = random_of(wide, 2 * step_x, 21), *y = random_of(wide, 2 * step_y, 22), *out = random_of(wide, 2 * step_out, 23);
    void *was = random_of(wide, 2 * step_out, 23);
    if (scale[1] == 0) memset(out, 0xff, 2 * step_out * (wide ? 8 : 4)), memset(was, 0xff, 2 * step_out * (wide ? 8 : 4));
    const struct vs_train_product p = {tx, ty, m, n, k, x, y, ldx, ldy, ldo, out, true, scale[0], scale[1], 2, step_x, step_y,
                                       step_out};
    product_by(own, wide, &p);
    for (size_t at = 0; at < 2 * step_out; at++) {
        size_t b = at / step_out, i = at % step_out / ldo, j = at % step_out % ldo;
        if (i >= m || j >= n) {
            ck_assert_mem_eq((char *)out + at * (wide ? 8 : 4), (char *)was + at * (wide ? 8 : 4), wide ? 8 : 4);
            continue;
        }
        double sum = 0, size_of = scale[1] == 0 ? 0 : fabs(scale[1] * get(wide, was, at));
        for (size_t l = 0; l < k; l++) {
            double term = get(wide, x, b * step_x + (tx ? l * ldx + i : i * ldx + l)) *
                          get(wide, y, b * step_y + (ty ? j * ldy + l : l * ldy + j));
            sum += scale[0] * term, size_of += fabs(term);
        }
        if (scale[1] != 0) sum += scale[1] * get(wide, was, at);
        ck_assert_double_le(fabs(get(wide, out, at) - sum), (wide ? 1e-15 : 1e-6) * size_of);
    }
    free(x), free(y), free(out), free(was);
}

START_TEST(test_products_of_every_form)
{
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        for (int own = 0; own < 2; own++) check_product(own, _i & 1, _i & 2, _i & 4, sizes[_i / 8], scales[i]);
}
END_TEST

/* ---- samples ---- */

enum { SAMPLES = 3, COUNT = 20001 /* more than one item */, STRIDE = COUNT + 6 };

START_TEST(test_samples_are_squared_scaled_and_summed)
{
    const bool wide = _i;
    static const float c[SAMPLES] = {0.5f, 0, -2};
    double *from = train_random(SAMPLES * STRIDE, 24), n[SAMPLES] = {1, 2, 3}, bits[SAMPLES];
    void *x = as(wide, from, SAMPLES * STRIDE), *out = random_of(wide, COUNT, 25), *was = random_of(wide, COUNT, 25);
    void *workspace = malloc(ops->square_sum_workspace_bytes(on_of(wide), SAMPLES, COUNT));
    ck_assert_int_eq(ops->square_sum(on_of(wide), x, SAMPLES, COUNT, STRIDE, true, n, workspace), 0);
    ck_assert_int_eq(ops->square_sum(on_of(wide), x, SAMPLES, COUNT, STRIDE, false, bits, workspace), 0);
    for (size_t b = 0; b < SAMPLES; b++) {
        double want = 0;
        for (size_t i = 0; i < COUNT; i++) want += pow(get(wide, x, b * STRIDE + i), 2);
        ck_assert_double_eq_tol(bits[b], want, 1e-12 * want);
        ck_assert_double_eq(n[b], (double)(b + 1) + bits[b]);
    }
    const double nan = NAN;
    memcpy((char *)x + (STRIDE + 5) * (wide ? 8 : 4), wide ? (const void *)&nan : (const void *)&(float){NAN}, wide ? 8 : 4);
    double tolerance = wide ? 1e-14 : 1e-6;
    ck_assert_int_eq(ops->weighted_sum(on_of(wide), x, c, SAMPLES, COUNT, STRIDE, true, out), 0);
    for (size_t i = 0; i < COUNT; i++)
        ck_assert_double_eq_tol(get(wide, out, i), get(wide, was, i) + 0.5 * from[i] - 2 * from[2 * STRIDE + i], tolerance);
    ck_assert_int_eq(ops->weighted_sum(on_of(wide), x, NULL, 1, COUNT, 0, false, out), 0);
    ck_assert_mem_eq(out, x, COUNT * (wide ? 8 : 4));
    ck_assert_int_eq(ops->weighted_sum(on_of(wide), x, c, SAMPLES, COUNT, STRIDE, false, x), 0); /* in place */
    for (size_t i = 0; i < STRIDE; i++)
        ck_assert_double_eq_tol(get(wide, x, i), i < COUNT ? 0.5 * from[i] - 2 * from[2 * STRIDE + i] : from[i], tolerance);
    ck_assert_int_eq(ops->scale_samples(on_of(wide), x, c, SAMPLES, STRIDE), 0);
    for (size_t i = STRIDE; i < SAMPLES * STRIDE; i++)
        ck_assert_double_eq_tol(get(wide, x, i), i < 2 * STRIDE ? 0 : -2 * from[i], tolerance);
    free(from), free(x), free(out), free(was), free(workspace);
}
END_TEST

START_TEST(test_clip_keeps_the_bound)
{
    enum { B = 7, SITES = 2 };
    const double n[SITES * B] = {9, 0.04, NAN, INFINITY, -1e-9, 0, 1e-30, 16, 0.05, 1, 1, 1e-12, 0, 3};
    const double want[B] = {5, 0.3, NAN, INFINITY, 1e-6, 0, 1.7320508075688772};
    double norm[B];
    float c[B];
    struct vs_train_clip p = {SITES, B, n, 1.5, 0.01, norm, c};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ops->clip(on_of(i), &p), 0);
        for (int b = 0; b < B; b++) {
            if (!isfinite(want[b])) {
                ck_assert(!isfinite(norm[b]) && c[b] == 0);
                continue;
            }
            ck_assert_double_eq_tol(norm[b], want[b], 1e-15);
            ck_assert_double_le((double)c[b] * norm[b] * 1.01, 1.5 * (1 + 1e-7));
            double most = 1.5 / (want[b] * 1.01 + 1e-6);
            ck_assert_double_eq_tol((double)c[b], most < 1 ? most : 1, 1e-7);
        }
    }
    ck_assert(c[1] == 1 && c[4] == 1 && c[5] == 1 && c[0] < 1 && c[6] < 1);
    p.bound = 0;
    ck_assert_int_eq(ops->clip(&float_on, &p), -EINVAL);
    p.bound = NAN; /* would leave everything as it is */
    ck_assert_int_eq(ops->clip(&float_on, &p), -EINVAL);
}
END_TEST

/* ---- noise ---- */

/* Known answers that the authors of Philox publish with it (Random123, kat_vectors). */
START_TEST(test_philox_is_philox)
{
    static const struct {
        struct vs_philox counter;
        uint32_t key[2];
        struct vs_philox want;
    } known[] = {{{{0}}, {0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
                 {{{~0u, ~0u, ~0u, ~0u}}, {~0u, ~0u}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
                 {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
                  {0xa4093822, 0x299f31d0},
                  {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct vs_philox have = vs_philox(known[i].counter, known[i].key[0], known[i].key[1]);
        ck_assert_mem_eq(&have, &known[i].want, sizeof have);
    }
    ck_assert(vs_train_uniform(0) > 0 && vs_train_uniform(~0u) == 1);
    ck_assert_float_eq(vs_train_normal(1, 2, 7), vs_train_normals(1, 2, 4).z[3]);
}
END_TEST

static void draw(bool wide, uint64_t seed, uint64_t step, uint64_t first, size_t count, void *out)
{
    const struct vs_train_update p = {.count = count, .first = first, .gradient = out, .noise = 1, .scale = 1, .seed = seed,
                                      .step = step, .write_back = true};
    memset(out, 0, count * (wide ? 8 : 4));
    ck_assert_int_eq(ops->update(on_of(wide), &p), 0);
}

START_TEST(test_noise_is_normal)
{
    enum { DRAWS = 1000000 };
    double *z = train_zeros(DRAWS), m[5] = {0}, next = 0, skip = 0;
    size_t beyond = 0;
    draw(true, 1337, 1, 12345, DRAWS, z);
    for (size_t i = 0; i < DRAWS; i++) {
        for (int k = 1; k < 5; k++) m[k] += pow(z[i], k) / DRAWS;
        if (i + 1 < DRAWS) next += z[i] * z[i + 1] / DRAWS; /* the two of one pair, */
        if (i + 4 < DRAWS) skip += z[i] * z[i + 4] / DRAWS; /* and of neighbouring counters */
        beyond += fabs(z[i]) > 3;
    }
    /* five standard deviations of each, for a million independent draws: 1, sqrt 2, sqrt 15, sqrt 96, 1, 1 thousandths */
    ck_assert_double_eq_tol(m[1], 0, 0.005);
    ck_assert_double_eq_tol(m[2], 1, 0.0071);
    ck_assert_double_eq_tol(m[3], 0, 0.0194);
    ck_assert_double_eq_tol(m[4], 3, 0.049);
    ck_assert_double_eq_tol(next, 0, 0.005);
    ck_assert_double_eq_tol(skip, 0, 0.005);
    ck_assert_double_eq_tol((double)beyond, 2700, 260);
    free(z);
}
END_TEST

START_TEST(test_noise_belongs_to_the_weight)
{
    enum { ALL = 20000 };
    const bool wide = _i;
    const size_t element = wide ? 8 : 4;
    char *whole = malloc(ALL * element), *parts = malloc(ALL * element);
    size_t same_step = 0, same_seed = 0;
    draw(wide, 5, 3, 1000, ALL, whole);
    for (size_t first = 0, count; first < ALL; first += count) { /* pieces that begin within the four of a counter */
        count = first % 977 + 1 < ALL - first ? first % 977 + 1 : ALL - first;
        draw(wide, 5, 3, 1000 + first, count, parts + first * element);
    }
    ck_assert_mem_eq(whole, parts, ALL * element);
    for (size_t i = 0; i < ALL; i += 999) ck_assert_float_eq((float)get(wide, whole, i), vs_train_normal(5, 3, 1000 + i));
    draw(wide, 5, 4, 1000, ALL, parts);
    for (size_t i = 0; i < ALL; i++) same_step += get(wide, whole, i) == get(wide, parts, i);
    draw(wide, 6, 3, 1000, ALL, parts);
    for (size_t i = 0; i < ALL; i++) same_seed += get(wide, whole, i) == get(wide, parts, i);
    ck_assert_uint_le(same_step + same_seed, 2);
    ck_assert_int_eq(ops->fill(on_of(wide), whole, parts, ALL, 1000, 5, 0.5, 9), 0);
    ck_assert_mem_eq(whole, parts, ALL * element);
    for (size_t i = 0; i < ALL; i++)
        ck_assert_float_eq((float)get(wide, whole, i), 0.5f * vs_train_normal(5, 0, 1000 + i));
    ck_assert_int_eq(ops->fill(on_of(wide), whole, NULL, ALL, 0, 5, 0, 9), 0);
    for (size_t i = 0; i < ALL; i++) ck_assert_double_eq(get(wide, whole, i), 9);
    free(whole), free(parts);
}
END_TEST

/* ---- optimizers ---- */

struct weight {
    double w, m, v;
};

/* The formulas as their papers have them, one weight at a time. */
static void formula(enum vs_train_optimizer o, const struct vs_train_update *p, double g, struct weight *w)
{
    if (o == VS_TRAIN_OPT_none) return;
    if (o == VS_TRAIN_OPT_sgd) {
        w->w -= p->rate * g;
        return;
    }
    if (o == VS_TRAIN_OPT_adam) g += p->weight_decay * w->w;
    w->m = p->beta1 * w->m + (1 - p->beta1) * g;
    w->v = p->beta2 * w->v + (1 - p->beta2) * g * g;
    double m = w->m / (1 - pow(p->beta1, (double)p->step)), v = w->v / (1 - pow(p->beta2, (double)p->step));
    double decay = o == VS_TRAIN_OPT_adamw ? p->rate * p->weight_decay * w->w : 0;
    w->w -= p->rate * m / (sqrt(v) + p->eps) + decay;
}

START_TEST(test_optimizers_follow_their_formulas)
{
    enum { WEIGHTS = 9001 };
    const bool wide = _i % 2;
    const enum vs_train_optimizer optimizer = (enum vs_train_optimizer)(_i / 2);
    const float c = 0.75f;
    void *w = random_of(wide, WEIGHTS, 31), *m = random_of(wide, WEIGHTS, 32), *v = random_of(wide, WEIGHTS, 32);
    void *working = random_of(wide, WEIGHTS, 31);
    struct weight *want = calloc(WEIGHTS, sizeof *want);
    memset(m, 0, WEIGHTS * (wide ? 8 : 4)), memset(v, 0, WEIGHTS * (wide ? 8 : 4));
    for (size_t i = 0; i < WEIGHTS; i++) want[i].w = get(wide, w, i);
    for (uint64_t step = 1; step <= 3; step++) {
        void *gradient = random_of(wide, WEIGHTS, 32 + step), *was = random_of(wide, WEIGHTS, 32 + step);
        const struct vs_train_update p = {optimizer, WEIGHTS, 77, w, gradient, m, v, working, &c, 0.125, 0.5, 0.01, 0.9, 0.99,
                                          1e-3, 0.1, 4, step, step == 2, 1};
        ck_assert_int_eq(ops->update(on_of(wide), &p), 0);
        for (size_t i = 0; i < WEIGHTS; i++) {
            double g = (get(wide, was, i) * 0.75 + 0.125 * (double)vs_train_normal(4, step, 77 + i)) * 0.5;
            formula(optimizer, &p, g, &want[i]);
            ck_assert_double_eq_tol(get(wide, gradient, i), step == 2 ? g : get(wide, was, i), wide ? 1e-15 : 1e-6);
            ck_assert_double_eq_tol(get(wide, w, i), want[i].w, wide ? 1e-14 : 3e-6);
            ck_assert_double_eq_tol(get(wide, m, i), want[i].m, wide ? 1e-15 : 1e-6);
            ck_assert_double_eq_tol(get(wide, v, i), want[i].v, wide ? 1e-15 : 1e-6);
        }
        ck_assert_mem_eq(working, w, WEIGHTS * (wide ? 8 : 4));
        free(gradient), free(was);
    }
    free(w), free(m), free(v), free(working), free(want);
}
END_TEST

/* Gradients of several ranks, summed by their weights on the way; one is left out, NaN and all. */
START_TEST(test_update_of_several_terms)
{
    enum { WEIGHTS = 4099, TERMS = 3 };
    const bool wide = _i;
    const float c[TERMS] = {0.5f, 0, 0.25f};
    void *gradient = random_of(wide, TERMS * WEIGHTS, 7), *was = random_of(wide, TERMS * WEIGHTS, 7), *w = random_of(wide, WEIGHTS, 8);
    void *first = random_of(wide, WEIGHTS, 8);
    if (wide) ((double *)gradient)[WEIGHTS + 5] = NAN;
    else ((float *)gradient)[WEIGHTS + 5] = NAN;
    const struct vs_train_update p = {.optimizer = VS_TRAIN_OPT_sgd, .count = WEIGHTS, .weight = w, .gradient = gradient, .c = c,
                                      .scale = 0.5, .rate = 1, .step = 1, .write_back = true, .terms = TERMS};
    ck_assert_int_eq(ops->update(on_of(wide), &p), 0);
    for (size_t i = 0; i < WEIGHTS; i++) {
        double g = (0.5 * get(wide, was, i) + 0.25 * get(wide, was, 2 * WEIGHTS + i)) * 0.5;
        ck_assert_double_eq_tol(get(wide, gradient, i), g, wide ? 1e-15 : 1e-6);
        ck_assert_double_eq_tol(get(wide, w, i), get(wide, first, i) - g, wide ? 1e-15 : 1e-6);
        ck_assert_double_eq(get(wide, gradient, 2 * WEIGHTS + i), get(wide, was, 2 * WEIGHTS + i));
    }
    free(gradient), free(was), free(w), free(first);
}
END_TEST

/* A sample that is left out cannot reach the weight, not even with NaN. */
START_TEST(test_update_without_its_sample_is_noise)
{
    const float c = 0;
    float gradient[5] = {NAN, INFINITY, 1, 2, 3}, w[5] = {0};
    const struct vs_train_update p = {.optimizer = VS_TRAIN_OPT_sgd, .count = 5, .weight = w, .gradient = gradient, .c = &c,
                                      .noise = 2, .scale = 1, .rate = 1, .seed = 1, .step = 1};
    ck_assert_int_eq(ops->update(&float_on, &p), 0);
    for (size_t i = 0; i < 5; i++) ck_assert_float_eq(w[i], -2 * vs_train_normal(1, 1, i));
}
END_TEST

Suite *make_train_ops_parts_suite(void)
{
    Suite *s = suite_create("train_ops_parts");
    TCase *c = tcase_create("train_ops_parts");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_products_of_every_form, 0, PRODUCTS);
    tcase_add_loop_test(c, test_samples_are_squared_scaled_and_summed, 0, 2);
    tcase_add_test(c, test_clip_keeps_the_bound);
    tcase_add_test(c, test_philox_is_philox);
    tcase_add_test(c, test_noise_is_normal);
    tcase_add_loop_test(c, test_noise_belongs_to_the_weight, 0, 2);
    tcase_add_loop_test(c, test_optimizers_follow_their_formulas, 0, 2 * VS_TRAIN_OPTIMIZER_COUNT);
    tcase_add_loop_test(c, test_update_of_several_terms, 0, 2);
    tcase_add_test(c, test_update_without_its_sample_is_noise);
    suite_add_tcase(s, c);
    return s;
}
