/* SPDX-License-Identifier: MIT
 *
 * test_growth.c: what is called a leak and what is not.
 */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>

#include "../cli/growth.h"

Suite *make_growth_suite(void);

#define MIB (1024.0 * 1024)

static int64_t bytes[4000];
static uint64_t state;

/* -1 to 1, always the same for a seed. */
static double noise(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)state / 9223372036854775808.0;
}

static struct vs_growth find(int64_t count)
{
    struct vs_growth g;
    ck_assert_int_eq(vs_growth_find(bytes, count, &g), 0);
    return g;
}

/* What every run does: nothing of the optimizer in the first iteration, caches in the second. */
static void warm_up(void)
{
    bytes[0] = (int64_t)(1000 * MIB);
    bytes[1] = (int64_t)(2900 * MIB);
}

static void fill(int64_t count, double (*value)(int64_t i))
{
    warm_up();
    for (int64_t i = 2; i < count; i++) bytes[i] = (int64_t)(3000 * MIB + value(i) * MIB);
}

static double constant(int64_t i)
{
    (void)i;
    return 0;
}
static double leak(int64_t i)
{
    return 50.0 * (double)i;
}
static double noisy_leak(int64_t i)
{
    return 10.0 * (double)i + 30 * noise();
}
static double only_noise(int64_t i)
{
    (void)i;
    return 200 * noise();
}
static double stairs(int64_t i)
{
    return 20.0 * (double)(i / 5);
}
static double one_step(int64_t i)
{
    return i < 30 ? 0 : 500;
}
static double two_steps(int64_t i)
{
    return i < 20 ? 0 : i < 40 ? 300 : 600;
}
static double stops(int64_t i)
{
    return i < 30 ? 40.0 * (double)i : 1200;
}
static double begins(int64_t i)
{
    return i < 40 ? 0 : 25.0 * (double)(i - 40);
}
static double alternates(int64_t i)
{
    return i % 2 ? 700 : 0;
}
static double shrinks(int64_t i)
{
    return -10.0 * (double)i;
}
static double one_outlier(int64_t i)
{
    return i == 33 ? 20000 : 0;
}

START_TEST(test_leaks_are_found)
{
    struct vs_growth g;
    fill(22, leak);
    g = find(22);
    ck_assert_int_eq(g.verdict, VS_GROWTH_SUSTAINED);
    ck_assert_double_eq_tol(g.slope, 50 * MIB, 1);
    ck_assert_int_eq(g.from, 2);
    bytes[21] = 0; /* the interpreter's end frees everything */
    ck_assert_int_eq(find(22).verdict, VS_GROWTH_SUSTAINED);
    fill(60, stairs);
    g = find(60);
    ck_assert_int_eq(g.verdict, VS_GROWTH_SUSTAINED);
    ck_assert_double_eq_tol(g.slope, 4 * MIB, MIB);
    fill(80, begins);
    g = find(80);
    ck_assert_int_eq(g.verdict, VS_GROWTH_SUSTAINED);
    ck_assert_double_eq_tol(g.slope, 25 * MIB, MIB);
    ck_assert_int_ge(g.from, 30);
    fill(4000, leak);
    ck_assert_double_eq_tol(find(4000).slope, 50 * MIB, 1);
    for (int seed = 1; seed <= 200; seed++) {
        state = (uint64_t)seed * 977;
        fill(60, noisy_leak);
        g = find(60);
        ck_assert_msg(g.verdict == VS_GROWTH_SUSTAINED, "seed %d", seed);
        ck_assert_double_eq_tol(g.slope, 10 * MIB, 2 * MIB);
    }
}
END_TEST

START_TEST(test_what_is_no_leak)
{
    static double (*const kinds[])(int64_t) = {constant, one_step, two_steps, stops, alternates, shrinks, one_outlier};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        fill(60, kinds[k]);
        ck_assert_msg(find(60).verdict != VS_GROWTH_SUSTAINED, "kind %zu", k);
    }
    int wrong = 0;
    for (int seed = 1; seed <= 1000; seed++) {
        state = (uint64_t)seed * 977;
        int64_t n = 10 + seed % 190;
        fill(n, only_noise);
        wrong += find(n).verdict == VS_GROWTH_SUSTAINED;
    }
    ck_assert_int_le(wrong, 2); /* of a thousand, some of them with ten iterations only */
}
END_TEST

START_TEST(test_what_is_said_of_no_leak)
{
    struct vs_growth g;
    fill(60, constant);
    g = find(60);
    ck_assert_int_eq(g.verdict, VS_GROWTH_NONE);
    ck_assert_int_eq(g.from, 2);
    fill(60, stops);
    g = find(60);
    ck_assert_int_eq(g.verdict, VS_GROWTH_NONE);
    ck_assert_int_eq(g.from, 30);
    fill(60, two_steps);
    g = find(60);
    ck_assert_int_eq(g.verdict, VS_GROWTH_STEPS);
    ck_assert_int_eq(g.last, 40);
    ck_assert_double_eq_tol(g.rise, 600 * MIB, 1);
}
END_TEST

START_TEST(test_too_few)
{
    for (int64_t n = 0; n < VS_GROWTH_SKIPPED + VS_GROWTH_LEAST; n++) {
        fill(n > 2 ? n : 2, leak);
        ck_assert_int_eq(find(n).verdict, VS_GROWTH_TOO_FEW);
    }
    fill(10, leak);
    ck_assert_int_eq(find(10).verdict, VS_GROWTH_SUSTAINED);
}
END_TEST

Suite *make_growth_suite(void)
{
    Suite *s = suite_create("growth");
    TCase *t = tcase_create("verdict");
    tcase_add_test(t, test_leaks_are_found);
    tcase_add_test(t, test_what_is_no_leak);
    tcase_add_test(t, test_what_is_said_of_no_leak);
    tcase_add_test(t, test_too_few);
    suite_add_tcase(s, t);
    return s;
}
