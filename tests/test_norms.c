/* SPDX-License-Identifier: MIT
 *
 * test_norms.c: every CPU algorithm of kernels/norms.h against the float64 oracle over a table of shapes, the oracle
 * against hand-made answers, and the contract's errors and guarantees.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/norms.h"

Suite *make_norms_suite(void);

static const char *const names[] = {
#define X(id, what) #id,
    VS_NORM_ALGORITHMS(X)
#undef X
};
enum { ALGORITHMS = sizeof names / sizeof *names };

/* B, T, d, p: ones, primes, one below and one above the tiles (256 rows on the CPU) and the register blocks. */
static const struct vs_norms_shape shapes[] = {
    {1, 1, 1, 1},     {3, 1, 5, 7},    {1, 2, 1, 9},      {2, 17, 3, 1},   {4, 31, 33, 65},
    {2, 255, 19, 40}, {1, 256, 8, 16}, {2, 257, 64, 31},  {1, 513, 5, 127}, {1, 777, 130, 257},
    {5, 64, 64, 64},  {1, 1024, 48, 3}, {37, 6, 11, 13},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct data {
    float *A, *G;
    double *n, *reference;
    void *workspace;
    struct vs_norms_args args;
};

static float noise(uint64_t *state) /* in [-1, 1) */
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (float)((double)(*state >> 40) / 8388608.0 - 1.0);
}

static void make(struct data *x, const struct vs_norms_shape *s, const struct vs_norms_algorithm *a)
{
    uint64_t state = 12345 + s->T;
    x->A = malloc(s->B * s->T * s->d * sizeof *x->A);
    x->G = malloc(s->B * s->T * s->p * sizeof *x->G);
    x->n = calloc(s->B, sizeof *x->n);
    x->reference = calloc(s->B, sizeof *x->reference);
    size_t bytes = a ? a->workspace_bytes(s) : 0;
    x->workspace = malloc(bytes + 1);
    ck_assert(x->A && x->G && x->n && x->reference && x->workspace);
    memset(x->workspace, 0xff, bytes); /* NaNs: an algorithm that reads what it did not write is seen */
    for (size_t i = 0; i < s->B * s->T * s->d; i++) x->A[i] = noise(&state);
    for (size_t i = 0; i < s->B * s->T * s->p; i++) x->G[i] = noise(&state);
    x->args = (struct vs_norms_args){
        .shape = *s, .A = x->A, .G = x->G, .n = x->n, .workspace = x->workspace, .workspace_bytes = bytes};
}

static void drop(struct data *x)
{
    free(x->A), free(x->G), free(x->n), free(x->reference), free(x->workspace);
}

START_TEST(test_algorithms_agree_with_the_oracle)
{
    const struct vs_norms_algorithm *a = vs_norms_cpu(names[_i % ALGORITHMS]);
    const struct vs_norms_shape *s = &shapes[_i / ALGORITHMS];
    struct data x;
    make(&x, s, a);
    ck_assert_int_eq(vs_norms_reference(s, x.A, x.G, x.reference), 0);
    ck_assert_int_eq(a->run(&x.args), 0);
    double e = vs_norms_error(s->B, x.n, x.reference);
    ck_assert_msg(e <= VS_NORMS_BOUND_F32, "%s B=%zu T=%zu d=%zu p=%zu: error %g", a->name, s->B, s->T, s->d, s->p, e);
    drop(&x);
}
END_TEST

START_TEST(test_every_call_gives_the_same_bits)
{
    const struct vs_norms_algorithm *a = vs_norms_cpu(names[_i]);
    struct data x;
    make(&x, &shapes[9], a);
    double first[1];
    ck_assert_int_eq(a->run(&x.args), 0);
    memcpy(first, x.n, sizeof first);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(a->run(&x.args), 0);
        ck_assert_int_eq(memcmp(first, x.n, sizeof first), 0);
    }
    drop(&x);
}
END_TEST

/* Rows of the worked example: squared norms of x g^T are |x|^2 |g|^2; two rows add as vectors, not as numbers. */
START_TEST(test_oracle_knows_worked_examples)
{
    const float x[6] = {1, 2, 3, 4, 5, 6}, half[6] = {.5f, 1, 1.5f, 2, 2.5f, 3}, one[1] = {1};
    const float A[4] = {1, 0, 1, 0}, G[2] = {2, 3};
    double n;
    ck_assert_int_eq(vs_norms_reference(&(struct vs_norms_shape){1, 1, 6, 1}, x, one, &n), 0);
    ck_assert_double_eq(n, 91);
    ck_assert_int_eq(vs_norms_reference(&(struct vs_norms_shape){1, 1, 6, 1}, half, one, &n), 0);
    ck_assert_double_eq(n, 22.75);
    ck_assert_int_eq(vs_norms_reference(&(struct vs_norms_shape){1, 2, 2, 1}, A, G, &n), 0);
    ck_assert_double_eq(n, 25); /* (2 + 3)^2, where a sum over rows of squares would give 13 */
}
END_TEST

START_TEST(test_a_bad_sample_spoils_only_itself)
{
    const struct vs_norms_algorithm *a = vs_norms_cpu(names[_i]);
    const struct vs_norms_shape s = {3, 300, 9, 10};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct data x;
        make(&x, &s, a);
        ck_assert_int_eq(vs_norms_reference(&s, x.A, x.G, x.reference), 0);
        x.G[(s.T + 280) * s.p + 3] = bad[k];
        ck_assert_int_eq(a->run(&x.args), 0);
        ck_assert(!isfinite(x.n[1]));
        ck_assert(isfinite(x.n[0]) && fabs(x.n[0] / x.reference[0] - 1) < VS_NORMS_BOUND_F32);
        ck_assert(isfinite(x.n[2]) && fabs(x.n[2] / x.reference[2] - 1) < VS_NORMS_BOUND_F32);
        ck_assert(isnan(vs_norms_error(s.B, x.n, x.reference)));
        drop(&x);
    }
}
END_TEST

START_TEST(test_wrong_arguments_are_refused)
{
    const struct vs_norms_algorithm *a = vs_norms_cpu(names[_i]);
    const struct vs_norms_shape s = {2, 300, 4, 4}, none = {2, 0, 4, 4}, huge = {2, (size_t)1 << 31, 4, 4};
    const struct vs_norms_shape wide = {1 << 20, 1 << 20, 1 << 20, 1 << 20};
    struct data x;
    make(&x, &s, a);
    x.args.workspace_bytes--;
    ck_assert_int_eq(a->run(&x.args), -ENOBUFS);
    x.args.workspace_bytes++;
    x.args.G = NULL;
    ck_assert_int_eq(a->run(&x.args), -EINVAL);
    x.args.G = x.G;
    x.args.shape = none;
    ck_assert_int_eq(a->run(&x.args), -EINVAL);
    x.args.shape = huge;
    ck_assert_int_eq(a->run(&x.args), -EOVERFLOW);
    x.args.shape = wide;
    ck_assert_int_eq(a->run(&x.args), -EOVERFLOW);
    ck_assert_int_eq(vs_norms_reference(&none, x.A, x.G, x.n), -EINVAL);
    ck_assert_int_eq(vs_norms_reference(&s, x.A, NULL, x.n), -EINVAL);
    drop(&x);
}
END_TEST

START_TEST(test_tiles_do_not_grow_with_the_sequence)
{
    const struct vs_norms_algorithm *full = vs_norms_cpu("gram_full"), *tiled = vs_norms_cpu("gram");
    struct vs_norms_shape s = {2, 1024, 512, 512}, l = {2, 65536, 512, 512};
    ck_assert_uint_eq(full->workspace_bytes(&s), 2u * 2 * 1024 * 1024 * 4);
    ck_assert_uint_eq(tiled->workspace_bytes(&s), tiled->workspace_bytes(&l));
    ck_assert_uint_le(tiled->workspace_bytes(&l), 1u << 20);
    ck_assert_ptr_null(vs_norms_cpu("gram_fulll"));
}
END_TEST

/* Strides larger than the rows, and what lies beyond each row stays as it was. */
START_TEST(test_own_product_is_right_without_a_blas)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {4, 16, 256}, {5, 17, 257}, {3, 40, 7}, {64, 33, 600}};
    size_t m = sizes[_i][0], n = sizes[_i][1], k = sizes[_i][2], ldx = k + 3, ldy = k + 5, ldc = n + 2;
    float *X = malloc(m * ldx * sizeof *X), *Y = malloc(n * ldy * sizeof *Y), *C = malloc(m * ldc * sizeof *C);
    uint64_t state = 99;
    ck_assert(X && Y && C);
    for (size_t i = 0; i < m * ldx; i++) X[i] = noise(&state);
    for (size_t i = 0; i < n * ldy; i++) Y[i] = noise(&state);
    for (size_t i = 0; i < m * ldc; i++) C[i] = 42;
    vs_gemm_nt_own(m, n, k, X, ldx, Y, ldy, C, ldc);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double want = 0, scale = 0;
            for (size_t l = 0; l < k; l++) {
                double term = (double)X[i * ldx + l] * (double)Y[j * ldy + l];
                want += term, scale += fabs(term);
            }
            ck_assert_double_le(fabs((double)C[i * ldc + j] - want), 1e-6 * scale);
        }
        ck_assert(C[i * ldc + n] == 42 && C[i * ldc + n + 1] == 42);
    }
    free(X), free(Y), free(C);
}
END_TEST

Suite *make_norms_suite(void)
{
    Suite *s = suite_create("norms");
    TCase *c = tcase_create("norms");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_algorithms_agree_with_the_oracle, 0, ALGORITHMS * SHAPES);
    tcase_add_loop_test(c, test_every_call_gives_the_same_bits, 0, ALGORITHMS);
    tcase_add_test(c, test_oracle_knows_worked_examples);
    tcase_add_loop_test(c, test_a_bad_sample_spoils_only_itself, 0, ALGORITHMS);
    tcase_add_loop_test(c, test_wrong_arguments_are_refused, 0, ALGORITHMS);
    tcase_add_test(c, test_tiles_do_not_grow_with_the_sequence);
    tcase_add_loop_test(c, test_own_product_is_right_without_a_blas, 0, 5);
    suite_add_tcase(s, c);
    return s;
}
