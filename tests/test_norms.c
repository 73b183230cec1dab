/* SPDX-License-Identifier: MIT
 *
 * test_norms.c: every CPU algorithm of kernels/norms.h in every element type against the float64 oracle, the oracle against
 * three plain loops, and the contract's guarantees and errors. What lies below the algorithms: test_norms_parts.c.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "tests/norms_case.h"

Suite *make_norms_suite(void);

static const char *const names[] = {
#define X(id, what) #id,
    VS_NORMS_ALGORITHMS(X)
#undef X
};
enum { ALGORITHMS = sizeof names / sizeof *names, ORACLE = ALGORITHMS - 1, LAYERS = 4, FENCE = 8 };
static const double UNTOUCHED = 12345.5;

/* Ones, primes, one below and one above the blocks of 64 and the tiles of 256. */
static const size_t rows[] = {1, 2, 63, 127, 130, 300, 257}, widths[] = {1, 3, 17, 64, 129, 200, 261};
enum { ROWS = sizeof rows / sizeof *rows, WIDTHS = sizeof widths / sizeof *widths, SHAPES = 3 * ROWS };

static struct vs_norms_layer shape(int i)
{
    return (struct vs_norms_layer){.B = 1 + (size_t)(i + i / ROWS) % 3,
                                   .T = rows[i % ROWS],
                                   .d = widths[(i * 3 + i / ROWS) % WIDTHS],
                                   .p = widths[(i * 5 + 2 * (i / ROWS)) % WIDTHS]};
}

/* Layers with data, and buffers with fences for what a call writes. */
struct data {
    struct vs_norms_layer layer[LAYERS];
    double *sums[LAYERS]; /* n, fence, absolute, fence */
    bool shares[LAYERS];  /* A is the layer's before it */
    struct vs_norms_call call;
    unsigned recomputed;
};

static void add_layer(struct data *x, enum vs_norms_dtype dtype, struct vs_norms_layer s, bool shares)
{
    size_t i = x->call.count++, bytes = vs_norms_dtype_bytes(dtype), counts[2] = {s.B * s.T * s.d, s.B * s.T * s.p};
    uint64_t state = 977 * (i + 1) + s.T;
    void *to[2];
    for (int k = 0; k < 2; k++) {
        to[k] = malloc(counts[k] * bytes);
        ck_assert_ptr_nonnull(to[k]);
        for (size_t e = 0; e < counts[k]; e++) norms_put(dtype, to[k], e, norms_round(dtype, norms_random(&state)));
    }
    x->shares[i] = shares;
    if (shares) free(to[0]);
    s.A = shares ? x->layer[i - 1].A : to[0];
    s.G = to[1];
    x->sums[i] = malloc(2 * (s.B + FENCE) * sizeof(double));
    ck_assert_ptr_nonnull(x->sums[i]);
    s.n = x->sums[i];
    s.absolute = s.n + s.B + FENCE;
    x->layer[i] = s;
    x->call.dtype = dtype;
}

static struct data one_layer(enum vs_norms_dtype dtype, struct vs_norms_layer s)
{
    struct data x = {0};
    add_layer(&x, dtype, s, false);
    return x;
}

static void drop(struct data *x)
{
    for (size_t i = 0; i < x->call.count; i++) {
        if (!x->shares[i]) free((void *)x->layer[i].A);
        free((void *)x->layer[i].G);
        free(x->sums[i]);
    }
}

/* Runs in a workspace of NaNs of exactly the size asked for, and looks at every fence. The CPU needs no zeros to start from. */
static int run(struct data *x, const char *name)
{
    const struct vs_norms_algorithm *a = vs_norms_cpu(name);
    x->call.layers = x->layer;
    x->call.recomputed = &x->recomputed;
    for (size_t i = 0; i < x->call.count; i++)
        for (size_t k = 0; k < 2 * (x->layer[i].B + FENCE); k++) x->sums[i][k] = UNTOUCHED;
    size_t bytes = a->workspace_bytes(&x->call);
    char *workspace = aligned_alloc(256, (bytes + 511) / 256 * 256);
    ck_assert_ptr_nonnull(workspace);
    memset(workspace, 0xff, bytes);
    memset(workspace + bytes, 0x5a, 64);
    x->call.workspace = workspace;
    x->call.workspace_bytes = bytes;
    x->recomputed = 77;
    int err = a->run(&x->call);
    for (int k = 0; k < 64; k++) ck_assert_msg(workspace[bytes + (size_t)k] == 0x5a, "%s wrote behind its workspace", name);
    for (size_t i = 0; i < x->call.count; i++)
        for (size_t k = 0, B = x->layer[i].B; k < FENCE; k++)
            ck_assert(x->sums[i][B + k] == UNTOUCHED && x->sums[i][2 * B + FENCE + k] == UNTOUCHED);
    free(workspace);
    return err;
}

static double *oracle(struct data *x, size_t i)
{
    double *n = malloc(x->layer[i].B * sizeof *n);
    ck_assert_ptr_nonnull(n);
    ck_assert_int_eq(run(x, names[ORACLE]), 0);
    memcpy(n, x->layer[i].n, x->layer[i].B * sizeof *n);
    return n;
}

START_TEST(test_algorithms_agree_with_the_oracle)
{
    const char *name = names[_i % ORACLE];
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)(_i / ORACLE);
    for (int k = 0; k < SHAPES; k++) {
        struct data x = one_layer(dtype, shape(k));
        const struct vs_norms_layer *l = x.layer;
        double *want = oracle(&x, 0);
        ck_assert_int_eq(run(&x, name), 0);
        double e = vs_norms_error(l->B, l->n, want);
        ck_assert_msg(e <= vs_norms_dtype_bound(dtype), "%s %s B=%zu T=%zu d=%zu p=%zu: error %g", name,
                      vs_norms_dtype_name(dtype), l->B, l->T, l->d, l->p, e);
        for (size_t b = 0; b < l->B; b++) ck_assert_double_ge(l->absolute[b], l->n[b] * (1 - 1e-12));
        ck_assert_uint_lt(x.recomputed, l->B + 1);
        free(want);
        drop(&x);
    }
}
END_TEST

static double plain_gradient(const struct vs_norms_layer *l, enum vs_norms_dtype dtype, size_t b, size_t i, size_t j)
{
    double S = 0;
    for (size_t t = b * l->T; t < (b + 1) * l->T; t++)
        S += norms_get(dtype, l->G, t * l->p + i) * norms_get(dtype, l->A, t * l->d + j);
    return S;
}

START_TEST(test_oracle_is_three_plain_loops)
{
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)_i;
    for (int k = 0; k < SHAPES; k++) {
        struct data x = one_layer(dtype, shape(k));
        const struct vs_norms_layer *l = x.layer;
        ck_assert_int_eq(run(&x, names[ORACLE]), 0);
        for (size_t b = 0; b < l->B && l->T * l->d * l->p < 3000000; b++) {
            double n = 0;
            for (size_t i = 0; i < l->p; i++)
                for (size_t j = 0; j < l->d; j++) n += pow(plain_gradient(l, dtype, b, i, j), 2);
            ck_assert_double_le(fabs(l->n[b] - n), 1e-12 * n);
        }
        drop(&x);
    }
}
END_TEST

/* Squared norms of x g^T are |x|^2 |g|^2; two rows add as vectors, not as numbers. */
START_TEST(test_worked_examples)
{
    static const float x[6] = {1, 2, 3, 4, 5, 6}, half[6] = {.5f, 1, 1.5f, 2, 2.5f, 3}, one[1] = {1};
    static const float A[4] = {1, 0, 1, 0}, G[2] = {2, 3};
    double n[3], want[3] = {91, 22.75, 25}; /* (2 + 3)^2, where a sum over rows of squares would give 13 */
    struct vs_norms_layer layers[3] = {{.B = 1, .T = 1, .d = 6, .p = 1, .A = x, .G = one, .n = &n[0]},
                                       {.B = 1, .T = 1, .d = 6, .p = 1, .A = half, .G = one, .n = &n[1]},
                                       {.B = 1, .T = 2, .d = 2, .p = 1, .A = A, .G = G, .n = &n[2]}};
    static _Alignas(256) char workspace[1 << 20];
    struct vs_norms_call call = {
        .layers = layers, .count = 3, .workspace = workspace, .workspace_bytes = sizeof workspace};
    struct vs_cpu_context context = {.threads = 1};
    call.context = &context;
    ck_assert_int_eq(vs_norms_cpu(names[_i])->run(&call), 0); /* no absolute, no count: both may be NULL */
    for (int i = 0; i < 3; i++) ck_assert_double_eq(n[i], want[i]);
}
END_TEST

START_TEST(test_gradients_are_stored_as_defined)
{
    static const char *const makers[] = {"direct", "materialize"};
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)(_i / 2);
    struct data x = one_layer(dtype, (struct vs_norms_layer){.B = 2, .T = 61, .d = 259, .p = 263});
    struct vs_norms_layer *l = x.layer;
    size_t count = l->B * l->p * l->d;
    float *gradient = malloc((count + 1) * sizeof *gradient);
    ck_assert_ptr_nonnull(gradient);
    gradient[count] = 42;
    l->gradient = gradient;
    ck_assert_int_eq(run(&x, makers[_i % 2]), 0);
    for (size_t e = 0; e < count; e += 7) {
        double want = plain_gradient(l, dtype, e / (l->p * l->d), e / l->d % l->p, e % l->d);
        ck_assert_double_le(fabs((double)gradient[e] - want), 1e-5);
    }
    ck_assert(gradient[count] == 42);
    free(gradient);
    drop(&x);
}
END_TEST

/* q, k and v, then a layer of another input: as in calls by themselves, to the bit. */
START_TEST(test_lists_give_what_single_calls_give)
{
    const char *name = names[_i % ALGORITHMS];
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)(_i / ALGORITHMS);
    struct data x = {0};
    add_layer(&x, dtype, (struct vs_norms_layer){.B = 2, .T = 300, .d = 65, .p = 130}, false);
    add_layer(&x, dtype, (struct vs_norms_layer){.B = 2, .T = 300, .d = 65, .p = 33}, true);
    add_layer(&x, dtype, (struct vs_norms_layer){.B = 2, .T = 300, .d = 65, .p = 130}, true);
    add_layer(&x, dtype, (struct vs_norms_layer){.B = 3, .T = 20, .d = 129, .p = 64}, false);
    ck_assert_uint_eq(vs_norms_shared(x.layer, 4), 3);
    ck_assert_uint_eq(vs_norms_shared(x.layer + 1, 1), 1);
    ck_assert_uint_eq(vs_norms_shared(x.layer + 3, 1), 1);
    ck_assert_int_eq(run(&x, name), 0);
    double list[LAYERS][6];
    struct vs_norms_layer all[LAYERS];
    memcpy(all, x.layer, sizeof all);
    for (int i = 0; i < LAYERS; i++) {
        memcpy(list[i], all[i].n, all[i].B * sizeof(double));
        memcpy(list[i] + 3, all[i].absolute, all[i].B * sizeof(double));
    }
    for (int i = 0; i < LAYERS; i++) {
        struct data single = {.layer = {all[i]}, .sums = {x.sums[i]}, .call = x.call};
        single.call.count = 1;
        if (!strcmp(name, "auto") && i < 3) continue; /* alone, each may be cheaper another way */
        ck_assert_int_eq(run(&single, name), 0);
        ck_assert_int_eq(memcmp(list[i], all[i].n, all[i].B * sizeof(double)), 0);
        ck_assert_int_eq(memcmp(list[i] + 3, all[i].absolute, all[i].B * sizeof(double)), 0);
    }
    drop(&x);
}
END_TEST

/* Rows in pairs (a, g), (a, e r - g): the gradient is what e r leaves of them, and kappa about 4 / e^2. */
static const double leftovers[] = {0.7, 0.25, 0.211, 0.185, 0.06, 0.002, 1};
enum { CANCELLING = sizeof leftovers / sizeof *leftovers };

static void make_pairs(struct data *x, enum vs_norms_dtype dtype)
{
    uint64_t state = 5;
    const struct vs_norms_layer *l = x->layer;
    for (size_t t = 1; t < l->B * l->T; t += 2) {
        double left = leftovers[t / l->T];
        for (size_t j = 0; j < l->d; j++)
            norms_put(dtype, (void *)l->A, t * l->d + j, (float)norms_get(dtype, l->A, (t - 1) * l->d + j));
        for (size_t i = 0; i < l->p; i++) {
            double g = norms_get(dtype, l->G, (t - 1) * l->p + i);
            norms_put(dtype, (void *)l->G, t * l->p + i, norms_round(dtype, left * norms_random(&state) - g));
        }
    }
}

static double gram_entry(enum vs_norms_dtype dtype, const void *X, size_t width, size_t s, size_t t)
{
    double sum = 0;
    for (size_t c = 0; c < width; c++) sum += norms_get(dtype, X, s * width + c) * norms_get(dtype, X, t * width + c);
    return sum;
}

START_TEST(test_cancelling_samples_are_computed_again_and_counted)
{
    const char *name = _i % 2 ? "gram" : "gram_full";
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)(_i / 2);
    struct data x = one_layer(dtype, (struct vs_norms_layer){.B = CANCELLING, .T = 34, .d = 70, .p = 90});
    const struct vs_norms_layer *l = x.layer;
    make_pairs(&x, dtype);
    double *want = oracle(&x, 0), least = HUGE_VAL, most = 0;
    ck_assert_int_eq(run(&x, name), 0);
    unsigned beyond = 0;
    for (size_t b = 0; b < l->B; b++) {
        double absolute = 0;
        for (size_t s = b * l->T; s < (b + 1) * l->T; s++)
            for (size_t t = b * l->T; t < (b + 1) * l->T; t++)
                absolute += fabs(gram_entry(dtype, l->A, l->d, s, t) * gram_entry(dtype, l->G, l->p, s, t));
        double kappa = absolute / want[b];
        beyond += kappa > VS_NORMS_KAPPA;
        least = fmin(least, kappa), most = fmax(most, kappa);
        ck_assert_msg(fabs(kappa / VS_NORMS_KAPPA - 1) > 0.01, "sample %zu decides nothing: kappa %g", b, kappa);
        ck_assert_msg(fabs(l->absolute[b] / absolute - 1) < 1e-5, "sample %zu: %g for %g", b, l->absolute[b], absolute);
    }
    ck_assert_double_lt(least, 20);
    ck_assert_double_gt(most, dtype == VS_NORMS_bf16 ? 1e4 : 3e5);
    double e = vs_norms_error(l->B, l->n, want);
    ck_assert_msg(e <= vs_norms_dtype_bound(dtype), "%s %s: error %g", name, vs_norms_dtype_name(dtype), e);
    ck_assert_uint_eq(x.recomputed, beyond);
    ck_assert(beyond >= 3 && beyond < CANCELLING);
    free(want);
    drop(&x);
}
END_TEST

/* Nothing is left at all: no sign is lost, and nothing that could pass for a norm. */
START_TEST(test_nothing_left_is_not_negative)
{
    const char *name = names[_i % ORACLE];
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)(_i / ORACLE);
    struct data x = one_layer(dtype, (struct vs_norms_layer){.B = 1, .T = 2, .d = 33, .p = 35});
    const struct vs_norms_layer *l = x.layer;
    for (size_t i = 0; i < l->d; i++) norms_put(dtype, (void *)l->A, l->d + i, (float)norms_get(dtype, l->A, i));
    for (size_t i = 0; i < l->p; i++) norms_put(dtype, (void *)l->G, l->p + i, (float)-norms_get(dtype, l->G, i));
    ck_assert_int_eq(run(&x, name), 0);
    ck_assert(l->n[0] >= 0 && l->n[0] < 1e-10);
    memset((void *)l->A, 0, 2 * l->d * vs_norms_dtype_bytes(dtype));
    ck_assert_int_eq(run(&x, name), 0);
    ck_assert(l->n[0] == 0 && l->absolute[0] == 0 && x.recomputed == 0);
    drop(&x);
}
END_TEST

START_TEST(test_a_bad_sample_spoils_only_itself)
{
    const char *name = names[_i % ALGORITHMS];
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)(_i / ALGORITHMS);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 6; k++) {
        struct data x = one_layer(dtype, (struct vs_norms_layer){.B = 3, .T = 300, .d = 9, .p = 10});
        const struct vs_norms_layer *l = x.layer;
        double *want = oracle(&x, 0), bound = vs_norms_dtype_bound(dtype);
        norms_put(dtype, (void *)(k % 2 ? l->A : l->G), (l->T + 280) * (k % 2 ? l->d : l->p) + 3, bad[k / 2]);
        ck_assert_int_eq(run(&x, name), 0);
        ck_assert_msg(!isfinite(l->n[1]), "%s %s: %g", name, vs_norms_dtype_name(dtype), l->n[1]);
        ck_assert(fabs(l->n[0] / want[0] - 1) < bound && fabs(l->n[2] / want[2] - 1) < bound);
        ck_assert(isnan(vs_norms_error(l->B, l->n, want)));
        free(want);
        drop(&x);
    }
}
END_TEST

/* Terms that are all alike are rounded alike: the errors of a long sum add up instead of averaging out. */
START_TEST(test_long_constant_sums_keep_their_digits)
{
    struct data x = one_layer(VS_NORMS_fp32, (struct vs_norms_layer){.B = 1, .T = 32768, .d = 5, .p = 3});
    const struct vs_norms_layer *l = x.layer;
    for (size_t i = 0; i < l->T * l->d; i++) ((float *)(void *)l->A)[i] = 0.1f;
    for (size_t i = 0; i < l->T * l->p; i++) ((float *)(void *)l->G)[i] = 0.3f;
    double *want = oracle(&x, 0);
    ck_assert_int_eq(run(&x, "direct"), 0);
    ck_assert_double_le(vs_norms_error(1, l->n, want), 1e-5);
    free(want);
    drop(&x);
}
END_TEST

START_TEST(test_threads_change_no_bit)
{
    const char *name = names[_i % ALGORITHMS];
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)(_i / ALGORITHMS);
    struct vs_cpu_context context = {.threads = 1};
    double first[6];
    struct data x = one_layer(dtype, (struct vs_norms_layer){.B = 3, .T = 270, .d = 261, .p = 300});
    x.call.context = &context;
    for (int i = 0; i < 6; i++) {
        context.threads = 1 + (size_t)i / 2;
        ck_assert_int_eq(run(&x, name), 0);
        if (i == 0) memcpy(first, x.layer->n, 3 * sizeof *first), memcpy(first + 3, x.layer->absolute, 3 * sizeof *first);
        ck_assert_int_eq(memcmp(first, x.layer->n, 3 * sizeof *first), 0);
        ck_assert_int_eq(memcmp(first + 3, x.layer->absolute, 3 * sizeof *first), 0);
    }
    drop(&x);
}
END_TEST

Suite *make_norms_suite(void)
{
    Suite *s = suite_create("norms");
    TCase *c = tcase_create("norms");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_algorithms_agree_with_the_oracle, 0, ORACLE * VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_oracle_is_three_plain_loops, 0, VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_worked_examples, 0, ALGORITHMS);
    tcase_add_loop_test(c, test_gradients_are_stored_as_defined, 0, 2 * VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_lists_give_what_single_calls_give, 0, ALGORITHMS * VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_cancelling_samples_are_computed_again_and_counted, 0, 2 * VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_nothing_left_is_not_negative, 0, ORACLE * VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_a_bad_sample_spoils_only_itself, 0, ALGORITHMS * VS_NORMS_DTYPE_COUNT);
    tcase_add_test(c, test_long_constant_sums_keep_their_digits);
    tcase_add_loop_test(c, test_threads_change_no_bit, 0, ALGORITHMS * VS_NORMS_DTYPE_COUNT);
    suite_add_tcase(s, c);
    return s;
}
