/* SPDX-License-Identifier: MIT
 *
 * test_norm_model.c: what kernels/norm_model.h expects and picks, on shapes whose answer is known by hand. No GPU.
 */
#include <check.h>
#include <math.h>

#include "kernels/norm_model.h"

Suite *make_norm_model_suite(void);

static struct vs_norms_layer layer(size_t B, size_t T, size_t d, size_t p)
{
    return (struct vs_norms_layer){.B = B, .T = T, .d = d, .p = p};
}

/* All methods at 1 operation per second, memory of no cost: the operations decide. */
static struct vs_norms_machine even(void)
{
    return (struct vs_norms_machine){
        .rate = {1, 1, 1}, .fill = {1, 1, 1}, .bytes_per_s = 1e30, .element_bytes = 4, .stored_fits = false};
}

static enum vs_norms_method picked(const struct vs_norms_machine *m, const struct vs_norms_layer *l)
{
    unsigned char method;
    vs_norms_pick(m, l, 1, &method);
    return method;
}

START_TEST(test_seconds_are_the_operations_over_the_rate)
{
    struct vs_norms_machine m = even();
    struct vs_norms_layer l = layer(3, 256, 64, 32);
    ck_assert_double_eq(vs_norms_seconds(&m, &l, VS_NORMS_BY_GRAM), 3.0 * 256 * 384 * 96);
    ck_assert_double_eq(vs_norms_seconds(&m, &l, VS_NORMS_BY_DIRECT), 2.0 * 3 * 256 * 64 * 32);
    ck_assert(isinf(vs_norms_seconds(&m, &l, VS_NORMS_BY_MATERIALIZE)));
    m.stored_fits = true;
    m.rate[VS_NORMS_BY_MATERIALIZE] = 2;
    m.bytes_per_s = 0.5;
    ck_assert_double_eq(vs_norms_seconds(&m, &l, VS_NORMS_BY_MATERIALIZE), 3.0 * 256 * 64 * 32 + 3.0 * 3 * 64 * 32 * 4 / 0.5);
    m.rate[VS_NORMS_BY_GRAM] = 4;
    m.fill[VS_NORMS_BY_GRAM] = 8;
    ck_assert_double_eq(vs_norms_seconds(&m, &l, VS_NORMS_BY_GRAM), 3.0 * 256 * 384 * 96 * 2);
}
END_TEST

/* T + 128 < 2dp / (d + p): gram is cheaper. */
START_TEST(test_the_crossover_is_the_harmonic_mean)
{
    struct vs_norms_machine m = even();
    static const size_t widths[][2] = {{2048, 2048}, {2048, 8192}, {4096, 4096}, {768, 3072}, {64, 64}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        size_t d = widths[i][0], p = widths[i][1], mean = 2 * d * p / (d + p);
        struct vs_norms_layer below = layer(2, mean > 129 ? mean - 129 : 0, d, p), above = layer(2, mean, d, p);
        if (below.T) ck_assert_msg(picked(&m, &below) == VS_NORMS_BY_GRAM, "d=%zu p=%zu T=%zu", d, p, below.T);
        ck_assert_msg(picked(&m, &above) == VS_NORMS_BY_DIRECT, "d=%zu p=%zu T=%zu", d, p, above.T);
    }
}
END_TEST

START_TEST(test_stored_gradients_win_only_where_they_fit_and_pay)
{
    struct vs_norms_machine m = even();
    struct vs_norms_layer l = layer(4, 16384, 4096, 4096);
    m.rate[VS_NORMS_BY_MATERIALIZE] = 1.1;
    ck_assert_int_eq(picked(&m, &l), VS_NORMS_BY_DIRECT);
    m.stored_fits = true;
    ck_assert_int_eq(picked(&m, &l), VS_NORMS_BY_MATERIALIZE);
    m.bytes_per_s = 1e-6; /* a memory slower than any product */
    ck_assert_int_eq(picked(&m, &l), VS_NORMS_BY_DIRECT);
}
END_TEST

/* q, k and v each by themselves are cheaper from the gradient; together they pay for K_A once, and gram wins. */
START_TEST(test_a_shared_input_is_paid_once)
{
    struct vs_norms_layer qkv[3] = {layer(1, 2048, 2048, 2048), layer(1, 2048, 2048, 2048), layer(1, 2048, 2048, 2048)};
    struct vs_norms_machine m[3] = {even(), even(), even()};
    unsigned char method[3];
    for (int i = 0; i < 3; i++) ck_assert_int_eq(picked(&m[i], &qkv[i]), VS_NORMS_BY_DIRECT);
    vs_norms_pick(m, qkv, 3, method);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(method[i], VS_NORMS_BY_GRAM);
}
END_TEST

/* A narrow sibling goes by the gradient although the wide ones pay for K_A: its own K_G costs more than its gradient. */
START_TEST(test_siblings_may_differ)
{
    struct vs_norms_layer l[2] = {layer(1, 1024, 2048, 8192), layer(1, 1024, 2048, 1)};
    struct vs_norms_machine m[2] = {even(), even()};
    unsigned char method[2];
    m[1].rate[VS_NORMS_BY_DIRECT] = 4;
    vs_norms_pick(m, l, 2, method);
    ck_assert_int_eq(method[0], VS_NORMS_BY_GRAM);
    ck_assert_int_eq(method[1], VS_NORMS_BY_DIRECT);
    l[0].T = l[1].T = 65536;
    vs_norms_pick(m, l, 2, method);
    ck_assert_int_eq(method[0], VS_NORMS_BY_DIRECT);
    ck_assert_int_eq(method[1], VS_NORMS_BY_DIRECT);
}
END_TEST

START_TEST(test_few_tiles_lose_at_most_half)
{
    struct vs_norms_layer l = layer(1, 129, 1000, 500);
    ck_assert_double_eq(vs_norms_tiles(&l, VS_NORMS_BY_GRAM), 3);
    ck_assert_double_eq(vs_norms_tiles(&l, VS_NORMS_BY_DIRECT), 8 * 4);
    ck_assert_double_eq(vs_norms_fill(3, 132), 2);
    ck_assert_double_eq(vs_norms_fill(110, 132), 1.2);
    ck_assert_double_eq(vs_norms_fill(132, 132), 1);
    ck_assert_double_eq(vs_norms_fill(136, 132), 1.5);
    ck_assert_double_eq(vs_norms_fill(220, 132), 1.2);
    ck_assert_double_eq_tol(vs_norms_fill(1e6, 132), 1, 1e-3);
}
END_TEST

START_TEST(test_every_element_type_has_rates)
{
    for (int t = 0; t < VS_NORMS_DTYPE_COUNT; t++)
        for (int m = 0; m < VS_NORMS_METHODS; m++) {
            double rate = vs_norms_built_in_rate((enum vs_norms_dtype)t, (enum vs_norms_method)m);
            ck_assert(rate > 1e12 && rate < 1e16);
        }
    ck_assert(vs_norms_built_in_rate(VS_NORMS_bf16, VS_NORMS_BY_DIRECT) > vs_norms_built_in_rate(VS_NORMS_fp32, VS_NORMS_BY_DIRECT));
}
END_TEST

Suite *make_norm_model_suite(void)
{
    Suite *s = suite_create("norm_model");
    TCase *c = tcase_create("norm_model");
    tcase_add_test(c, test_seconds_are_the_operations_over_the_rate);
    tcase_add_test(c, test_the_crossover_is_the_harmonic_mean);
    tcase_add_test(c, test_stored_gradients_win_only_where_they_fit_and_pay);
    tcase_add_test(c, test_a_shared_input_is_paid_once);
    tcase_add_test(c, test_siblings_may_differ);
    tcase_add_test(c, test_few_tiles_lose_at_most_half);
    tcase_add_test(c, test_every_element_type_has_rates);
    suite_add_tcase(s, c);
    return s;
}
