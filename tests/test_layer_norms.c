/* SPDX-License-Identifier: MIT
 *
 * test_layer_norms.c: the CPU's norms of kernels/layer_norms.h: every kind, element type and pattern of ids over a table of
 * shapes against the gradient itself, hand-made answers, and the contract's guarantees and errors. It must never use random
 * seeds.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "layer_norms_case.h"

Suite *make_layer_norms_suite(void);

static const struct vs_layer_norms *const cpu = &vs_layer_norms_cpu;
static const struct norms_shape ordinary = {3, 70, 20, 300};

/* The workspace holds NaNs: a call that reads what it did not write is seen. */
static int run(struct vs_layer_norms_call *c)
{
    c->workspace_bytes = cpu->workspace_bytes(c);
    ck_assert_uint_ne(c->workspace_bytes, SIZE_MAX);
    free(c->workspace);
    c->workspace = malloc(c->workspace_bytes + 1);
    ck_assert_ptr_nonnull(c->workspace);
    memset(c->workspace, 0xff, c->workspace_bytes);
    return cpu->run(c);
}

static bool near(double value, double wanted, double scale)
{
    return fabs(value - wanted) <= 1e-12 * scale;
}

static void check_case(enum vs_layer_norms_kind kind, enum vs_norms_dtype dtype, const struct norms_shape *s, enum layer_ids ids)
{
    struct vs_layer_norms_call c;
    double *n = calloc(3 * s->B, sizeof *n), *beta = n + s->B, *scale = beta + s->B;
    ck_assert_ptr_nonnull(n);
    layer_case_make(kind, dtype, s, ids, (uint64_t)ids, &c);
    layer_case_expect(&c, n, beta, scale);
    ck_assert_int_eq(run(&c), 0);
    for (size_t b = 0; b < s->B; b++) {
        ck_assert_msg(near(c.n[b], n[b], scale[b]), "%s %s ids %d B=%zu T=%zu d=%zu p=%zu: n[%zu] %.17g, not %.17g",
                      layer_kind_name(kind), vs_norms_dtype_name(dtype), ids, s->B, c.T, s->d, s->p, b, c.n[b], n[b]);
        if (kind == VS_LAYER_NORMS_layer_norm) ck_assert(near(c.n_beta[b], beta[b], beta[b]));
        if (kind != VS_LAYER_NORMS_layer_norm) ck_assert(isnan(c.n_beta[b])); /* left alone */
    }
    layer_case_drop(&c);
    free(n);
}

START_TEST(test_kinds_are_their_definitions)
{
    enum vs_layer_norms_kind kind = (enum vs_layer_norms_kind)(_i / VS_NORMS_DTYPE_COUNT);
    bool looked_up = kind == VS_LAYER_NORMS_embedding || kind == VS_LAYER_NORMS_tied;
    for (int s = 0; s < LAYER_SHAPES; s++)
        for (int ids = 0; ids < (looked_up ? LAYER_IDS_COUNT : 1); ids++)
            check_case(kind, (enum vs_norms_dtype)(_i % VS_NORMS_DTYPE_COUNT), &layer_shapes[s], (enum layer_ids)ids);
}
END_TEST

START_TEST(test_worked_examples)
{
    const float G[4] = {2, 1, 3, -1}, A[4] = {1, 3, 5, 3}, E[4] = {1, 2, 0, 1}, six[6] = {1, 2, 3, 4, 5, 6}, half = 0.5f;
    const int64_t same[2] = {7, 7}, two[2] = {0, 1};
    double n = 0, beta = 0, head = 45, room[64];
    struct vs_layer_norms_call c = {.dtype = VS_NORMS_fp32, .B = 1, .T = 2, .d = 2, .p = 2, .A = A, .G = G, .ids = same,
                                    .n = &n, .n_beta = &beta, .workspace = room, .workspace_bytes = sizeof room};
    c.kind = VS_LAYER_NORMS_bias;
    ck_assert_int_eq(cpu->run(&c), 0);
    ck_assert_double_eq(n, 25); /* (2 + 3)^2 + (1 - 1)^2, where a sum over rows of squares would give 15 */
    c.kind = VS_LAYER_NORMS_embedding;
    ck_assert_int_eq(cpu->run(&c), 0);
    ck_assert_double_eq(n, 25);
    c.ids = two;
    ck_assert_int_eq(cpu->run(&c), 0);
    ck_assert_double_eq(n, 15);
    c.kind = VS_LAYER_NORMS_layer_norm; /* rows of A: 2 -+ 1 and 4 +- 1, so xhat is -1 1 and 1 -1 */
    ck_assert_int_eq(cpu->run(&c), 0);
    ck_assert_double_eq(n, 5); /* (-2 + 3)^2 + (1 + 1)^2 */
    ck_assert_double_eq(beta, 25);
    c.kind = VS_LAYER_NORMS_rms_norm;
    c.T = 1; /* mean of 1 and 9: 5 */
    ck_assert_int_eq(cpu->run(&c), 0);
    ck_assert_double_eq_tol(n, (4.0 + 9.0) / 5, 1e-15);
    c.T = 2;
    c.kind = VS_LAYER_NORMS_tied; /* Y = G^T A = [17 15; -4 0], X = [1 2; 0 1] */
    head = 17 * 17 + 15 * 15 + 16;
    c.E = E, c.n_head = &head;
    ck_assert_int_eq(cpu->run(&c), 0);
    ck_assert_double_eq(n, 18 * 18 + 17 * 17 + 16 + 1);
    c = (struct vs_layer_norms_call){.kind = VS_LAYER_NORMS_outer, .B = 1, .T = 1, .d = 6, .p = 1, .A = six, .G = &half, .n = &n};
    ck_assert_int_eq(cpu->run(&c), 0);
    ck_assert_double_eq(n, 22.75);
}
END_TEST

START_TEST(test_padding_is_not_looked_at)
{
    for (int kind = VS_LAYER_NORMS_embedding; kind <= VS_LAYER_NORMS_tied; kind += VS_LAYER_NORMS_tied - VS_LAYER_NORMS_embedding) {
        struct vs_layer_norms_call c;
        double n[3];
        int padding = 0;
        layer_case_make((enum vs_layer_norms_kind)kind, VS_NORMS_fp32, &ordinary, LAYER_IDS_padded, 3, &c);
        layer_case_expect(&c, n, NULL, NULL);
        bool tied = kind == VS_LAYER_NORMS_tied;
        size_t width = tied ? c.d : c.p;
        float *gradient = (float *)(tied ? c.E : c.G);
        for (size_t row = 0; row < c.B * c.T; row++)
            if (c.ids[row] == c.padding_id) gradient[row * width] = NAN, padding++;
        ck_assert_int_gt(padding, 3);
        ck_assert_int_eq(run(&c), 0);
        for (int b = 0; b < 3; b++) ck_assert(near(c.n[b], n[b], 2 * n[b]));
        c.padded = false;
        ck_assert_int_eq(run(&c), 0);
        ck_assert(isnan(c.n[0]));
        layer_case_drop(&c);
    }
}
END_TEST

START_TEST(test_a_bad_sample_spoils_only_itself)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    enum vs_layer_norms_kind kind = (enum vs_layer_norms_kind)_i;
    for (size_t k = 0; k < 3 * 2; k++) {
        struct vs_layer_norms_call c;
        double n[3], scale[3];
        layer_case_make(kind, VS_NORMS_bf16, &ordinary, LAYER_IDS_repeated, 9, &c);
        layer_case_expect(&c, n, NULL, scale);
        bool in_G = k / 3 || kind == VS_LAYER_NORMS_bias || kind == VS_LAYER_NORMS_embedding;
        size_t width = in_G ? c.p : layer_width_A(&c);
        /* tied reads the columns of G that its ids name */
        size_t column = kind == VS_LAYER_NORMS_tied && in_G ? (size_t)c.ids[c.T] : width / 2;
        norms_put(c.dtype, (void *)(in_G ? c.G : c.A), (c.T + c.T / 2) * width + column, bad[k % 3]);
        ck_assert_int_eq(run(&c), 0);
        ck_assert_msg(!isfinite(c.n[1]), "%s: %g", layer_kind_name(kind), c.n[1]);
        ck_assert(near(c.n[0], n[0], scale[0]) && near(c.n[2], n[2], scale[2]));
        layer_case_drop(&c);
    }
}
END_TEST

START_TEST(test_threads_and_calls_give_the_same_bits)
{
    struct vs_layer_norms_call c;
    double first[6];
    layer_case_make((enum vs_layer_norms_kind)_i, VS_NORMS_fp16, &ordinary, LAYER_IDS_skewed, 4, &c);
    layer_case_expect(&c, NULL, NULL, NULL);
    for (size_t threads = 1; threads <= 7; threads += 2) {
        struct vs_cpu_context context = {.threads = threads};
        c.context = &context;
        ck_assert_int_eq(run(&c), 0);
        double now[6] = {c.n[0], c.n[1], c.n[2], c.n_beta[0], c.n_beta[1], c.n_beta[2]};
        if (threads == 1) memcpy(first, now, sizeof first);
        ck_assert_int_eq(memcmp(first, now, sizeof first), 0);
    }
    layer_case_drop(&c);
}
END_TEST

/* X = -Y exactly: n is 0. With a head's norm that is one rounding too small, the sum is less than 0, and n must not be. */
START_TEST(test_parts_that_cancel)
{
    struct norms_shape s = {2, 12, 9, 12};
    struct vs_layer_norms_call c;
    double scale[2];
    layer_case_make(VS_LAYER_NORMS_tied, VS_NORMS_fp32, &s, LAYER_IDS_repeated, 5, &c);
    float *A = (float *)c.A, *G = (float *)c.G, *E = (float *)c.E;
    for (size_t i = 0; i < s.B * s.T * s.d; i++) A[i] = roundf(A[i] * 8), E[i] = 0;
    for (size_t i = 0; i < s.B * s.T * s.p; i++) G[i] = roundf(G[i] * 8);
    for (size_t row = 0; row < s.B * s.T; row++) {
        size_t v = row % s.T * 5 % s.p;
        ((int64_t *)c.ids)[row] = (int64_t)v;
        for (size_t t = row / s.T * s.T; t < (row / s.T + 1) * s.T; t++)
            for (size_t i = 0; i < s.d; i++) E[row * s.d + i] -= G[t * s.p + v] * A[t * s.d + i];
    }
    layer_case_expect(&c, NULL, NULL, scale);
    ck_assert_int_eq(run(&c), 0);
    ck_assert(c.n[0] == 0 && c.n[1] == 0 && scale[0] > 1000);
    ((double *)c.n_head)[1] *= 1 - 1e-12;
    ck_assert_int_eq(run(&c), 0);
    ck_assert(c.n[1] == 0 && !signbit(c.n[1]));
    ((double *)c.n_head)[1] = (double)NAN;
    ck_assert_int_eq(run(&c), 0);
    ck_assert(c.n[0] == 0 && isnan(c.n[1]));
    layer_case_drop(&c);
}
END_TEST

/* A sum of 131072 like terms in float32 is wrong in the fourth digit; in bfloat16 it stops at 256. */
START_TEST(test_long_sums)
{
    struct norms_shape s = {1, 131072, 1, 3};
    for (int kind = 0; kind <= VS_LAYER_NORMS_rms_norm; kind++) {
        struct vs_layer_norms_call c;
        double n, beta;
        layer_case_make((enum vs_layer_norms_kind)kind, VS_NORMS_bf16, &s, LAYER_IDS_single, 6, &c);
        for (size_t i = 0; i < s.T * s.p; i++)
            norms_put(c.dtype, (void *)c.G, i, norms_round(c.dtype, 1 + norms_get(c.dtype, c.G, i) / 8));
        layer_case_expect(&c, &n, &beta, NULL);
        ck_assert_int_eq(run(&c), 0);
        ck_assert_double_le(fabs(c.n[0] / n - 1), 1e-11);
        if (kind == VS_LAYER_NORMS_layer_norm) ck_assert_double_le(fabs(c.n_beta[0] / beta - 1), 1e-11);
        layer_case_drop(&c);
    }
}
END_TEST

/* A mean that is large beside the spread must not swallow it; a row without spread has xhat 0. */
START_TEST(test_rows_with_a_large_mean)
{
    struct norms_shape s = {2, 8, 1, 96};
    struct vs_layer_norms_call c;
    double n[2];
    layer_case_make(VS_LAYER_NORMS_layer_norm, VS_NORMS_fp32, &s, LAYER_IDS_repeated, 8, &c);
    float *A = (float *)c.A;
    for (size_t i = 0; i < s.T * s.p; i++) A[i] += 30000;
    for (size_t i = s.T * s.p; i < 2 * s.T * s.p; i++) A[i] = 3;
    layer_case_expect(&c, n, NULL, NULL);
    ck_assert_int_eq(run(&c), 0);
    ck_assert_double_le(fabs(c.n[0] / n[0] - 1), 1e-9);
    ck_assert(c.n[1] == 0 && c.n_beta[1] > 0);
    layer_case_drop(&c);
}
END_TEST

START_TEST(test_wrong_arguments_are_refused)
{
    enum vs_layer_norms_kind kind = (enum vs_layer_norms_kind)_i;
    struct vs_layer_norms_call c, x;
    layer_case_make(kind, VS_NORMS_fp32, &ordinary, LAYER_IDS_repeated, 1, &c);
    layer_case_expect(&c, NULL, NULL, NULL);
    ck_assert_int_eq(run(&c), 0);
    bool normalizes = kind == VS_LAYER_NORMS_layer_norm || kind == VS_LAYER_NORMS_rms_norm, tied = kind == VS_LAYER_NORMS_tied;
    bool looks_up = tied || kind == VS_LAYER_NORMS_embedding, outer = kind == VS_LAYER_NORMS_outer;
#define REFUSED(err, ...)                    \
    do {                                     \
        x = c;                               \
        __VA_ARGS__;                         \
        ck_assert_int_eq(cpu->run(&x), err); \
    } while (0)
    REFUSED(-EINVAL, x.G = NULL);
    REFUSED(-EINVAL, x.n = NULL);
    REFUSED(-EINVAL, x.B = 0);
    REFUSED(-EINVAL, x.T = 0);
    REFUSED(-EINVAL, x.p = 0);
    REFUSED(-EINVAL, x.kind = VS_LAYER_NORMS_KIND_COUNT);
    REFUSED(-EINVAL, x.dtype = VS_NORMS_DTYPE_COUNT);
    REFUSED(normalizes || tied || outer ? -EINVAL : 0, x.A = NULL);
    REFUSED(looks_up ? -EINVAL : 0, x.ids = NULL);
    REFUSED(tied ? -EINVAL : 0, x.E = NULL);
    REFUSED(tied ? -EINVAL : 0, x.n_head = NULL);
    REFUSED(tied || outer ? -EINVAL : 0, x.d = 0);
    REFUSED(normalizes ? -EINVAL : 0, x.eps = (double)NAN);
    REFUSED(normalizes ? -EINVAL : 0, x.eps = -1e-9);
    REFUSED(0, x.n_beta = NULL);
    REFUSED(outer ? 0 : -ENOBUFS, x.workspace_bytes -= !outer);
    REFUSED(outer ? 0 : -EINVAL, x.workspace = NULL);
    REFUSED(-EOVERFLOW, x.p = (size_t)1 << 31);
    REFUSED(-EOVERFLOW, x.B = x.p = (size_t)1 << 30);
    if (outer) REFUSED(-EINVAL, x.T = 2);
#undef REFUSED
    ck_assert_int_eq(cpu->run(NULL), -EINVAL);
    x = c, x.B = 0;
    ck_assert_uint_eq(cpu->workspace_bytes(&x), SIZE_MAX);
    layer_case_drop(&c);
}
END_TEST

Suite *make_layer_norms_suite(void)
{
    Suite *s = suite_create("layer_norms");
    TCase *c = tcase_create("layer_norms");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test_kinds_are_their_definitions, 0, VS_LAYER_NORMS_KIND_COUNT * VS_NORMS_DTYPE_COUNT);
    tcase_add_test(c, test_worked_examples);
    tcase_add_test(c, test_padding_is_not_looked_at);
    tcase_add_loop_test(c, test_a_bad_sample_spoils_only_itself, 0, VS_LAYER_NORMS_KIND_COUNT);
    tcase_add_loop_test(c, test_threads_and_calls_give_the_same_bits, 0, VS_LAYER_NORMS_KIND_COUNT);
    tcase_add_test(c, test_parts_that_cancel);
    tcase_add_test(c, test_long_sums);
    tcase_add_test(c, test_rows_with_a_large_mean);
    tcase_add_loop_test(c, test_wrong_arguments_are_refused, 0, VS_LAYER_NORMS_KIND_COUNT);
    suite_add_tcase(s, c);
    return s;
}
