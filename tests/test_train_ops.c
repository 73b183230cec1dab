/* SPDX-License-Identifier: MIT
 *
 * test_train_ops.c: the gradients of the CPU's training operations, in float64 against finite differences of their forward
 * passes. What has no gradient is in test_train_ops_parts.c.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/train_case.h"

Suite *make_train_ops_suite(void);

static const struct vs_train_ops *const ops = &vs_train_cpu;
static const struct vs_train_on on = {.dtype = VS_TRAIN_fp64};

/* ---- norms ---- */

enum { B = 3, T = 5, WIDTH = 70 /* more than one block of columns */, ROWS = B * T };

/* The value is weights . out + residual . sum over the rows from `first` on. */
struct norm_case {
    struct vs_train_norm_forward p;
    double *x, *y, *bias, *gamma, *beta, *sum, *out, *statistics, *weights, *residual;
    size_t first, rows;
};

static double norm_value(void *state)
{
    struct norm_case *n = state;
    ck_assert_int_eq(ops->norm_forward(&on, &n->p), 0);
    size_t at = n->first * WIDTH, count = n->rows * WIDTH;
    return train_dot(n->weights + at, n->out + at, count) + train_dot(n->residual + at, n->sum + at, count);
}

static void norm_make(struct norm_case *n, enum vs_train_norm kind)
{
    *n = (struct norm_case){.rows = ROWS};
    n->x = train_random(ROWS * WIDTH, 1), n->y = train_random(ROWS * WIDTH, 2), n->bias = train_random(WIDTH, 3);
    n->gamma = train_random(WIDTH, 4), n->beta = train_random(WIDTH, 5);
    n->weights = train_random(ROWS * WIDTH, 6), n->residual = train_random(ROWS * WIDTH, 7);
    n->sum = train_zeros(ROWS * WIDTH), n->out = train_zeros(ROWS * WIDTH), n->statistics = train_zeros(ROWS * 2);
    n->p = (struct vs_train_norm_forward){kind, ROWS, WIDTH, 0.1, n->x, n->y, n->bias, n->sum, n->out, n->gamma,
                                          kind == VS_TRAIN_LAYER_NORM ? n->beta : NULL, n->statistics};
}

static void norm_drop(struct norm_case *n)
{
    free(n->x), free(n->y), free(n->bias), free(n->gamma), free(n->beta), free(n->sum), free(n->out), free(n->statistics);
    free(n->weights), free(n->residual);
}

START_TEST(test_norms_have_the_gradient_of_their_input)
{
    enum vs_train_norm kind = _i ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM;
    struct norm_case n;
    norm_make(&n, kind);
    double *dx = train_zeros(ROWS * WIDTH), *alone = train_zeros(ROWS * WIDTH), *dbias = train_zeros(WIDTH);
    norm_value(&n);
    struct vs_train_norm_backward back = {kind, ROWS, WIDTH, n.sum, n.weights, n.residual, n.gamma, n.statistics, dx};
    ck_assert_int_eq(ops->norm_backward(&on, &back), 0);
    ck_assert_int_eq(ops->bias_gradient(&on, dx, 1, ROWS, WIDTH, WIDTH, dbias, NULL), 0);
    memcpy(alone, n.residual, ROWS * WIDTH * sizeof *alone); /* in place on the residual: the same bits */
    back.residual = back.dx = alone;
    ck_assert_int_eq(ops->norm_backward(&on, &back), 0);
    ck_assert_mem_eq(alone, dx, ROWS * WIDTH * sizeof *dx);
    back.residual = NULL;
    ck_assert_int_eq(ops->norm_backward(&on, &back), 0);
    for (size_t i = 0; i < ROWS * WIDTH; i++) ck_assert_double_eq_tol(alone[i] + n.residual[i], dx[i], 1e-14);
    train_check_gradient("x", norm_value, &n, n.x, ROWS * WIDTH, 3, dx);
    train_check_gradient("y", norm_value, &n, n.y, ROWS * WIDTH, 7, dx);
    train_check_gradient("bias", norm_value, &n, n.bias, WIDTH, 1, dbias);
    norm_drop(&n), free(dx), free(alone), free(dbias);
}
END_TEST

START_TEST(test_norms_have_the_gradients_of_each_sample)
{
    enum vs_train_norm kind = _i ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM;
    enum { STRIDE = 2 * WIDTH + 9 };
    struct norm_case n;
    norm_make(&n, kind);
    double *d = train_zeros(B * STRIDE);
    norm_value(&n);
    for (size_t i = 0; i < B * STRIDE; i++) d[i] = 42;
    struct vs_train_norm_gradient g = {kind, B, T, WIDTH, STRIDE, n.sum, n.weights, n.statistics, d, d + WIDTH, NULL};
    ck_assert_uint_eq(ops->column_workspace_bytes(&on, B, T, WIDTH), 0);
    if (_i) g.dbeta = NULL;
    ck_assert_int_eq(ops->norm_gradient(&on, &g), 0);
    for (size_t b = 0; b < B; b++) {
        n.first = b * T, n.rows = T;
        train_check_gradient("gamma", norm_value, &n, n.gamma, WIDTH, 1, d + b * STRIDE);
        if (!_i) train_check_gradient("beta", norm_value, &n, n.beta, WIDTH, 1, d + b * STRIDE + WIDTH);
        for (size_t i = _i ? WIDTH : 2 * WIDTH; i < STRIDE; i++) ck_assert_double_eq(d[b * STRIDE + i], 42);
    }
    norm_drop(&n), free(d);
}
END_TEST

/* What may be left out: y, bias, the sum; and the norm itself. */
START_TEST(test_sums_before_norms_are_optional)
{
    struct norm_case n;
    norm_make(&n, VS_TRAIN_LAYER_NORM);
    struct vs_train_norm_forward p = n.p;
    double *want = train_zeros(ROWS * WIDTH);
    for (size_t i = 0; i < ROWS * WIDTH; i++) want[i] = n.x[i] + n.bias[i % WIDTH];
    p.y = NULL, p.gamma = NULL, p.out = NULL, p.mean_rstd = NULL;
    ck_assert_int_eq(ops->norm_forward(&on, &p), 0);
    ck_assert_mem_eq(n.sum, want, ROWS * WIDTH * sizeof *want);
    p.sum = n.x; /* in place */
    ck_assert_int_eq(ops->norm_forward(&on, &p), 0);
    ck_assert_mem_eq(n.x, want, ROWS * WIDTH * sizeof *want);
    p = n.p;
    p.y = p.bias = NULL, p.sum = NULL;
    ck_assert_int_eq(ops->norm_forward(&on, &p), 0);
    for (size_t r = 0; r < ROWS; r++) { /* out without gamma and beta has mean 0 and a variance of almost 1 */
        double sum = 0, squares = 0, variance = 0;
        for (size_t i = 0; i < WIDTH; i++) {
            double xhat = (n.out[r * WIDTH + i] - n.beta[i]) / n.gamma[i], x = want[r * WIDTH + i] - n.statistics[2 * r];
            sum += xhat, squares += xhat * xhat, variance += x * x / WIDTH;
        }
        ck_assert_double_eq_tol(sum, 0, 1e-9);
        ck_assert_double_eq_tol(squares / WIDTH, variance / (variance + 0.1), 1e-9);
        ck_assert_double_eq_tol(n.statistics[2 * r + 1], 1 / sqrt(variance + 0.1), 1e-12);
    }
    p.y = n.y;
    ck_assert_int_eq(ops->norm_forward(&on, &p), -EINVAL); /* a sum without a place */
    norm_drop(&n), free(want);
}
END_TEST

/* ---- attention ---- */

static const struct {
    bool causal;
    size_t heads, kv_heads, width;
} attentions[] = {{true, 2, 2, 11}, {false, 2, 2, 8}, {true, 4, 2, 5}, {false, 6, 1, 16}, {true, 1, 1, 1}};

struct attention_case {
    struct vs_train_attention p;
    double *in, *weights;
};

static double attention_value(void *state)
{
    struct attention_case *a = state;
    ck_assert_int_eq(ops->attention(&on, &a->p), 0);
    return train_dot(a->p.o, a->weights, a->p.B * a->p.T * a->p.heads * a->p.width);
}

START_TEST(test_attention_has_its_gradients)
{
    enum { LONG = 19 /* more than one item's rows */, GAP = 3 };
    size_t heads = attentions[_i].heads, kv = attentions[_i].kv_heads, width = attentions[_i].width;
    size_t k_at = heads * width, v_at = k_at + kv * width, row = v_at + kv * width + GAP, all = 2 * LONG * row;
    size_t outs = 2 * LONG * heads * width;
    struct attention_case a = {.in = train_random(all, 8), .weights = train_random(outs, 9)};
    double *out = train_zeros(outs), *stats = train_zeros(2 * heads * LONG), *d = train_zeros(all);
    for (size_t i = 0; i < all; i++) a.in[i] *= 3, d[i] = 42;
    a.p = (struct vs_train_attention){2, LONG, heads, kv, width, row, attentions[_i].causal, a.in, a.in + k_at, a.in + v_at, out,
                                      stats, a.weights, d, d + k_at, d + v_at, NULL, 0};
    size_t forward = ops->attention_workspace_bytes(&on, &a.p, false), back = ops->attention_workspace_bytes(&on, &a.p, true);
    a.p.workspace_bytes = forward > back ? forward : back;
    a.p.workspace = malloc(a.p.workspace_bytes);
    attention_value(&a);
    ck_assert_int_eq(ops->attention_backward(&on, &a.p), 0);
    ck_assert_str_eq(ops->attention_by(&on, &a.p), "loops");
    if (a.p.causal) /* the first token sees itself alone */
        for (size_t i = 0; i < heads * width; i++)
            ck_assert_double_eq_tol(out[i], a.in[v_at + i / width / (heads / kv) * width + i % width], 1e-15);
    for (size_t r = 0; r < 2 * LONG; r++) /* between the rows nothing is written, and nothing read */
        for (size_t i = row - GAP; i < row; i++) {
            ck_assert_double_eq(d[r * row + i], 42);
            d[r * row + i] = 0;
        }
    train_check_gradient("q, k, v", attention_value, &a, a.in, all, 3, d);
    a.p.workspace_bytes = forward - 1;
    ck_assert_int_eq(ops->attention(&on, &a.p), -ENOBUFS);
    a.p.workspace_bytes = back - 1;
    ck_assert_int_eq(ops->attention_backward(&on, &a.p), -ENOBUFS);
    free(a.in), free(a.weights), free(out), free(stats), free(d), free(a.p.workspace);
}
END_TEST

/* ---- activations and positions ---- */

struct element_case {
    double *x, *bias, *out, *weights;
};

static double relu_value(void *state)
{
    struct element_case *e = state;
    memcpy(e->out, e->x, ROWS * WIDTH * sizeof(double));
    ck_assert_int_eq(ops->bias_relu(&on, e->out, e->bias, ROWS, WIDTH), 0);
    return train_dot(e->out, e->weights, ROWS * WIDTH);
}

static double swiglu_value(void *state)
{
    struct element_case *e = state;
    ck_assert_int_eq(ops->swiglu(&on, e->x, ROWS, WIDTH, e->out), 0);
    return train_dot(e->out, e->weights, ROWS * WIDTH);
}

START_TEST(test_activations_have_their_gradients)
{
    struct element_case e = {train_random(2 * ROWS * WIDTH, 11), train_random(WIDTH, 12), train_zeros(ROWS * WIDTH),
                             train_random(ROWS * WIDTH, 13)};
    double *dx = train_zeros(2 * ROWS * WIDTH), *dbias = train_zeros(B * (WIDTH + 1)), *sum = train_zeros(WIDTH);
    relu_value(&e);
    memcpy(dx, e.weights, ROWS * WIDTH * sizeof *dx);
    ck_assert_int_eq(ops->relu_backward(&on, e.out, dx, ROWS, WIDTH), 0);
    ck_assert_int_eq(ops->bias_gradient(&on, dx, B, T, WIDTH, WIDTH + 1, dbias, NULL), 0);
    for (size_t i = 0; i < B * WIDTH; i++) sum[i % WIDTH] += dbias[i / WIDTH * (WIDTH + 1) + i % WIDTH];
    train_check_gradient("x of relu", relu_value, &e, e.x, ROWS * WIDTH, 1, dx);
    train_check_gradient("bias of relu", relu_value, &e, e.bias, WIDTH, 1, sum);
    for (size_t i = 0; i < 2 * ROWS * WIDTH; i++) e.x[i] *= 6;
    swiglu_value(&e);
    ck_assert_int_eq(ops->swiglu_backward(&on, e.x, e.weights, ROWS, WIDTH, dx), 0);
    train_check_gradient("x of swiglu", swiglu_value, &e, e.x, 2 * ROWS * WIDTH, 1, dx);
    e.x[0] = NAN, e.x[1] = INFINITY, e.x[2] = -800; /* go through; nothing overflows on the way to 0 */
    ck_assert_int_eq(ops->swiglu(&on, e.x, ROWS, WIDTH, e.out), 0);
    ck_assert(isnan(e.out[0]) && isinf(e.out[1]) && fabs(e.out[2]) < 1e-300);
    ck_assert_int_eq(ops->bias_relu(&on, e.x, e.bias, ROWS, WIDTH), 0);
    ck_assert(isnan(e.x[0]) && isinf(e.x[1]) && e.x[2] == 0);
    free(e.x), free(e.bias), free(e.out), free(e.weights), free(dx), free(dbias), free(sum);
}
END_TEST

START_TEST(test_rotation_turns_by_the_position_and_back)
{
    enum { HEADS = 3, HEAD = 8, ROW = HEADS * HEAD + 5 };
    double *x = train_random(ROWS * ROW, 14), *was = train_zeros(ROWS * ROW);
    memcpy(was, x, ROWS * ROW * sizeof *x);
    ck_assert_int_eq(ops->rotate(&on, x, ROWS, T, ROW, HEADS, HEAD, 100, false), 0);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < HEADS * HEAD / 2; i++) { /* the pair as one complex number */
            size_t j = i % (HEAD / 2), low = r * ROW + i / (HEAD / 2) * HEAD + j, high = low + HEAD / 2;
            double angle = (double)(r % T) / sqrt(sqrt(pow(100, (double)j)));
            ck_assert_double_eq_tol(hypot(x[low], x[high]), hypot(was[low], was[high]), 1e-14);
            ck_assert_double_eq_tol(remainder(atan2(x[high], x[low]) - atan2(was[high], was[low]) - angle, 2 * M_PI), 0, 1e-12);
        }
        for (size_t i = HEADS * HEAD; i < ROW; i++) ck_assert_double_eq(x[r * ROW + i], was[r * ROW + i]);
    }
    ck_assert_int_eq(ops->rotate(&on, x, ROWS, T, ROW, HEADS, HEAD, 100, true), 0);
    for (size_t i = 0; i < ROWS * ROW; i++) ck_assert_double_eq_tol(x[i], was[i], 1e-15);
    ck_assert_int_eq(ops->rotate(&on, x, ROWS, T, ROW, HEADS, 7, 100, true), -EINVAL); /* no pairs */
    free(x), free(was);
}
END_TEST

/* ---- loss ---- */

struct loss_case {
    double *logits;
    const int64_t *targets;
    const float *c;
};

static double row_loss(const double *x, int64_t target)
{
    double sum = 0;
    for (size_t i = 0; i < WIDTH; i++) sum += exp(x[i]);
    return log(sum) - x[target];
}

static double loss_value(void *state)
{
    const struct loss_case *l = state;
    double sum = 0;
    for (size_t r = 0; r < ROWS; r++) sum += 0.25 * (double)l->c[r / T] * row_loss(l->logits + r * WIDTH, l->targets[r]);
    return sum;
}

START_TEST(test_loss_has_its_gradient_in_any_pieces)
{
    static const float c[B] = {0.5f, 1, 0.125f};
    int64_t targets[ROWS];
    double loss[ROWS], again[ROWS];
    double mean[B];
    struct loss_case l = {train_random(ROWS * WIDTH, 15), targets, c};
    double *d = train_zeros(ROWS * WIDTH), *pieces = train_zeros(ROWS * WIDTH);
    for (size_t r = 0; r < ROWS; r++) targets[r] = (int64_t)(r * 17 % WIDTH);
    for (size_t i = 0; i < ROWS * WIDTH; i++) d[i] = pieces[i] = l.logits[i] *= 4;
    struct vs_train_loss p = {ROWS, WIDTH, 0, T, d, targets, 0.25, c, loss, 0};
    ck_assert_int_eq(ops->loss(&on, &p), 0);
    train_check_gradient("logits", loss_value, &l, l.logits, ROWS * WIDTH, 1, d);
    for (size_t r = 0; r < ROWS; r++)
        ck_assert_double_eq_tol(loss[r], row_loss(l.logits + r * WIDTH, targets[r]), 1e-12);
    for (size_t first = 0, rows = 4; first < ROWS; first += rows) {
        p = (struct vs_train_loss){ROWS - first < rows ? ROWS - first : rows, WIDTH, first, T, pieces + first * WIDTH,
                                   targets + first, 0.25, c, again + first, 0};
        ck_assert_int_eq(ops->loss(&on, &p), 0);
    }
    ck_assert_mem_eq(pieces, d, ROWS * WIDTH * sizeof *d);
    ck_assert_mem_eq(again, loss, sizeof loss);
    ck_assert_int_eq(ops->sample_loss(&on, loss, B, T, mean), 0);
    for (size_t b = 0; b < B; b++)
        ck_assert_double_eq_tol(mean[b] * T, (double)loss[b * T] + (double)loss[b * T + 1] + (double)loss[b * T + 2] +
                                                 (double)loss[b * T + 3] + (double)loss[b * T + 4], 1e-12);
    free(l.logits), free(d), free(pieces);
}
END_TEST

START_TEST(test_loss_of_odd_rows)
{
    static const float c[5] = {1, 1, 0, 0, 1};
    const int64_t targets[5] = {2, -1, 0, 3, 0};
    double x[5][4] = {{1, 2, 3, NAN}, {1, 2, 3, NAN}, {NAN, 1, 2, 9}, {1, 2, 3, 9}, {1000, -1000, -INFINITY, 9}}; /* padded rows */
    double loss[5];
    struct vs_train_loss p = {5, 3, 0, 1, x, targets, 2, c, loss, 4};
    ck_assert_int_eq(ops->loss(&on, &p), 0);
    ck_assert_double_eq_tol(loss[0], 0.4076059644443803, 1e-12);
    ck_assert_double_eq_tol(x[0][2], 2 * (0.66524096 - 1), 1e-7);
    ck_assert(isnan(loss[1]) && isnan(x[1][0]) && isnan(x[1][2]));
    ck_assert(isnan(loss[2]) && x[2][0] == 0 && x[2][1] == 0); /* left out, whatever it is */
    ck_assert(isnan(loss[3]) && x[3][1] == 0); /* left out, for all that its target is none */
    ck_assert(loss[4] == 0 && x[4][0] == 0 && x[4][1] == 0 && x[4][2] == 0); /* nothing overflows */
    for (int r = 0; r < 5; r++) ck_assert_double_eq(x[r][3], 0);
    p.loss = NULL;
    ck_assert_int_eq(ops->loss(&on, &p), 0);
    p.row = 2;
    ck_assert_int_eq(ops->loss(&on, &p), -EINVAL);
}
END_TEST

/* ---- tables ---- */

enum { VOCABULARY = 6 };
static const int64_t ids[ROWS] = {4, 1, 1, 0, 4, 4, 4, 4, 4, 4, 2, 0, 1, 2, 4}; /* never 3 and 5 */
static const int32_t order[ROWS] = {3, 11, 1, 2, 12, 10, 13, 0, 4, 5, 6, 7, 8, 9, 14};
static const int32_t first_of[5] = {0, 2, 5, 7, 15};

struct table_case {
    double *table, *positions, *out, *weights;
    const float *c;
};

static double table_value(void *state)
{
    struct table_case *e = state;
    double sum = 0;
    ck_assert_int_eq(ops->embed(&on, ids, e->table, e->positions, ROWS, T, WIDTH, e->out), 0);
    for (size_t r = 0; r < ROWS; r++)
        if (e->c[r / T] != 0) sum += (double)e->c[r / T] * train_dot(e->out + r * WIDTH, e->weights + r * WIDTH, WIDTH);
    return sum;
}

START_TEST(test_tables_have_their_gradients)
{
    static const float c[B] = {0.5f, 0, 0.25f};
    struct table_case e = {train_random(VOCABULARY * WIDTH, 16), train_random(T * WIDTH, 17), train_zeros(ROWS * WIDTH),
                           train_random(ROWS * WIDTH, 18), c};
    const struct vs_train_ids sorted = {ids, order, first_of, 4};
    double *d = train_zeros(VOCABULARY * WIDTH), *dp = train_zeros(T * WIDTH);
    for (size_t i = 0; i < VOCABULARY * WIDTH; i++) d[i] = 8;
    for (size_t i = 0; i < T * WIDTH; i++) dp[i] = 8;
    e.weights[T * WIDTH] = NAN; /* of a sample that is left out */
    ck_assert_int_eq(ops->embed_gradient(&on, &sorted, e.weights, c, T, WIDTH, d), 0);
    ck_assert_int_eq(ops->position_gradient(&on, e.weights, c, B, T, WIDTH, dp), 0);
    for (size_t i = 0; i < VOCABULARY * WIDTH; i++) {
        d[i] -= 8; /* what was there stays */
        if (i / WIDTH == 3 || i / WIDTH == 5) ck_assert_double_eq(d[i], 0);
    }
    train_check_gradient("table", table_value, &e, e.table, VOCABULARY * WIDTH, 1, d);
    train_check_gradient("positions", table_value, &e, e.positions, T * WIDTH, 1, dp);
    ck_assert_int_eq(ops->embed(&on, ids, e.table, NULL, ROWS, T, WIDTH, e.out), 0);
    for (size_t r = 0; r < ROWS; r++) ck_assert_mem_eq(e.out + r * WIDTH, e.table + ids[r] * WIDTH, WIDTH * sizeof(double));
    free(e.table), free(e.positions), free(e.out), free(e.weights), free(d), free(dp);
}
END_TEST

Suite *make_train_ops_suite(void)
{
    Suite *s = suite_create("train_ops");
    TCase *c = tcase_create("train_ops");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_norms_have_the_gradient_of_their_input, 0, 2);
    tcase_add_loop_test(c, test_norms_have_the_gradients_of_each_sample, 0, 2);
    tcase_add_test(c, test_sums_before_norms_are_optional);
    tcase_add_loop_test(c, test_attention_has_its_gradients, 0, sizeof attentions / sizeof *attentions);
    tcase_add_test(c, test_activations_have_their_gradients);
    tcase_add_test(c, test_rotation_turns_by_the_position_and_back);
    tcase_add_test(c, test_loss_has_its_gradient_in_any_pieces);
    tcase_add_test(c, test_loss_of_odd_rows);
    tcase_add_test(c, test_tables_have_their_gradients);
    suite_add_tcase(s, c);
    return s;
}
