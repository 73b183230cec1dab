/* SPDX-License-Identifier: MIT
 *
 * test_train_ops_all.c: what holds for all of the CPU's training operations: the same bits for any number of threads, float32
 * near float64, wrong calls refused.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "tests/train_case.h"

Suite *make_train_ops_all_suite(void);

static const struct vs_train_ops *const ops = &vs_train_cpu;

/* Large enough for several items of each operation, and a last one that is not full. */
enum { B = 2, T = 150, ROWS = B * T, WIDTH = 98, ALL = ROWS * WIDTH, HEADS = 4, KV = 2, HEAD = 12, VOCABULARY = 7 };
enum { ROW = (HEADS + 2 * KV) * HEAD, BUFFERS = 64 };

/* Operations run one after the other; what each wrote is kept, as float64, which holds every bit. */
struct everything {
    struct vs_train_on on;
    struct vs_cpu_context context;
    void *buffers[BUFFERS];
    size_t made;
    double *kept;
    size_t count, room;
};

static size_t element(const struct everything *e)
{
    return vs_train_element_bytes(e->on.dtype);
}

/* Random, in the element type. */
static void *make(struct everything *e, size_t count)
{
    double *x = train_random(count, 100 + e->made);
    float *narrow = (float *)x; /* in place: element i of the narrow one never lies behind that of the wide one */
    for (size_t i = 0; element(e) == sizeof *narrow && i < count; i++) narrow[i] = (float)x[i];
    ck_assert_uint_lt(e->made, BUFFERS);
    return e->buffers[e->made++] = x;
}

static void *bytes(struct everything *e, size_t size)
{
    ck_assert_uint_lt(e->made, BUFFERS);
    return e->buffers[e->made++] = train_zeros(size / sizeof(double) + 1);
}

static void keep(struct everything *e, int err, const void *x, size_t count)
{
    ck_assert_int_eq(err, 0);
    ck_assert_uint_le(e->count + count, e->room);
    for (size_t i = 0; i < count; i++)
        e->kept[e->count++] = element(e) == 8 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static void keep_doubles(struct everything *e, int err, const double *x, size_t count)
{
    ck_assert_int_eq(err, 0);
    ck_assert_uint_le(e->count + count, e->room);
    for (size_t i = 0; i < count; i++) e->kept[e->count++] = x[i];
}

static const float c[B] = {0.5f, -1.25f};

static void run_products(struct everything *e)
{
    for (int form = 0; form < 4; form++) {
        void *out = make(e, 2 * 140 * 530);
        const struct vs_train_product p = {form & 1, form & 2, 140, 530, 37, make(e, 2 * 140 * 37), make(e, 2 * 530 * 37),
                                           form & 1 ? 140 : 37, form & 2 ? 37 : 530, 530, out, true, 0.5, 0.5, 2, 140 * 37,
                                           530 * 37, 140 * 530};
        keep(e, ops->product(&e->on, &p), out, 2 * 140 * 530);
    }
}

static void run_norms(struct everything *e)
{
    const struct vs_train_on *on = &e->on;
    for (int k = 0; k < 2; k++) {
        enum vs_train_norm kind = k ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM;
        void *sum = make(e, ALL), *out = make(e, ALL), *dx = make(e, ALL), *gamma = make(e, WIDTH);
        void *dgamma = make(e, B * WIDTH), *statistics = make(e, 2 * ROWS), *dout = make(e, ALL), *dbeta = make(e, B * WIDTH);
        const struct vs_train_norm_forward f = {kind, ROWS, WIDTH, 1e-5, make(e, ALL), make(e, ALL), make(e, WIDTH), sum, out,
                                                gamma, k ? NULL : make(e, WIDTH), statistics};
        const struct vs_train_norm_backward b = {kind, ROWS, WIDTH, sum, dout, sum, gamma, statistics, dx};
        const struct vs_train_norm_gradient g = {kind, B, T, WIDTH, WIDTH, sum, dout, statistics, dgamma, dbeta, NULL};
        keep(e, ops->norm_forward(on, &f), out, ALL);
        keep(e, ops->norm_backward(on, &b), dx, ALL);
        keep(e, ops->norm_gradient(on, &g), dgamma, B * WIDTH);
        keep(e, 0, dbeta, B * WIDTH);
        keep(e, ops->bias_gradient(on, dout, B, T, WIDTH, WIDTH, dgamma, NULL), dgamma, B * WIDTH);
    }
}

static void run_elements(struct everything *e)
{
    const struct vs_train_on *on = &e->on;
    void *x = make(e, 2 * ALL), *out = make(e, ALL), *dx = make(e, 2 * ALL);
    keep(e, ops->swiglu(on, x, ROWS, WIDTH, out), out, ALL);
    keep(e, ops->swiglu_backward(on, x, out, ROWS, WIDTH, dx), dx, 2 * ALL);
    keep(e, ops->bias_relu(on, x, out, ROWS, WIDTH), x, ALL);
    keep(e, ops->relu_backward(on, x, dx, ROWS, WIDTH), dx, ALL);
    keep(e, ops->rotate(on, dx, ROWS, T, WIDTH, 4, 24, 1e4, false), dx, ALL);
}

static void run_attention(struct everything *e)
{
    enum { OUT = ROWS * HEADS * HEAD };
    for (int causal = 0; causal < 2; causal++) {
        char *in = make(e, ROWS * ROW), *d = make(e, ROWS * ROW);
        size_t k = HEADS * HEAD * element(e), v = k + KV * HEAD * element(e);
        struct vs_train_attention p = {B, T, HEADS, KV, HEAD, ROW, causal, in, in + k, in + v, make(e, OUT),
                                       make(e, B * HEADS * T), make(e, OUT), d, d + k, d + v, NULL, 0};
        for (int backward = 0; backward < 2; backward++) {
            p.workspace_bytes = ops->attention_workspace_bytes(&e->on, &p, backward);
            p.workspace = bytes(e, p.workspace_bytes);
            if (backward)
                keep(e, ops->attention_backward(&e->on, &p), d, ROWS * ROW);
            else
                keep(e, ops->attention(&e->on, &p), p.o, OUT);
        }
    }
}

static void run_tokens(struct everything *e)
{
    int64_t ids[ROWS];
    int32_t order[ROWS], first[VOCABULARY + 1] = {0}, at = 0;
    double loss[ROWS]; /* or float */
    double mean[B];
    for (int r = 0; r < ROWS; r++) ids[r] = r * 31 / 5 % VOCABULARY;
    for (int id = 0; id < VOCABULARY; id++) {
        for (int r = 0; r < ROWS; r++)
            if (ids[r] == id) order[at++] = r;
        first[id + 1] = at;
    }
    const struct vs_train_ids sorted = {ids, order, first, VOCABULARY};
    void *out = make(e, ALL), *table = make(e, VOCABULARY * WIDTH), *positions = make(e, T * WIDTH);
    keep(e, ops->embed(&e->on, ids, table, positions, ROWS, T, WIDTH, out), out, ALL);
    keep(e, ops->embed_gradient(&e->on, &sorted, out, c, T, WIDTH, table), table, VOCABULARY * WIDTH);
    keep(e, ops->position_gradient(&e->on, out, c, B, T, WIDTH, positions), positions, T * WIDTH);
    const struct vs_train_loss p = {ROWS, WIDTH, 0, T, out, ids, 0.5, c, loss, 0};
    keep(e, ops->loss(&e->on, &p), out, ALL);
    keep_doubles(e, ops->sample_loss(&e->on, loss, B, T, mean), mean, B);
}

static void run_updates(struct everything *e)
{
    const struct vs_train_on *on = &e->on;
    double n[B], norm[B];
    float clipped[B];
    void *x = make(e, B * ALL), *out = make(e, ALL), *w = make(e, ALL), *m = bytes(e, ALL * 8), *v = bytes(e, ALL * 8);
    void *workspace = bytes(e, ops->square_sum_workspace_bytes(on, B, ALL));
    keep_doubles(e, ops->square_sum(on, x, B, ALL, ALL, false, n, workspace), n, B);
    const struct vs_train_clip clip = {1, B, n, 1, 0, norm, clipped};
    keep_doubles(e, ops->clip(on, &clip), norm, B);
    keep(e, ops->weighted_sum(on, x, clipped, B, ALL, ALL, false, out), out, ALL);
    keep(e, ops->scale_samples(on, x, c, B, ALL), x, B * ALL);
    const struct vs_train_update p = {VS_TRAIN_OPT_adamw, ALL, 3, w, out, m, v, NULL, c, 0.5, 0.5, 0.01, 0.9, 0.99, 1e-8, 0.1,
                                      8, 2, true, 1};
    keep(e, ops->update(on, &p), w, ALL);
    keep(e, ops->fill(on, w, NULL, ALL, 9, 8, 0.02, 0), w, ALL);
    keep(e, ops->zero(on, w, (ALL - 1) * element(e)), w, ALL);
}

static void run_everything(struct everything *e, enum vs_train_dtype dtype, size_t threads)
{
    *e = (struct everything){.context = {.threads = threads}, .room = 1 << 21};
    e->kept = train_zeros(e->room);
    e->on = (struct vs_train_on){dtype, &e->context, NULL};
    run_products(e), run_norms(e), run_elements(e), run_attention(e), run_tokens(e), run_updates(e);
    for (size_t i = 0; i < e->made; i++) free(e->buffers[i]);
}

START_TEST(test_threads_change_no_bit)
{
    static const size_t counts[] = {2, 7};
    struct everything one, many;
    run_everything(&one, _i ? VS_TRAIN_fp64 : VS_TRAIN_fp32, 1);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        run_everything(&many, one.on.dtype, counts[i]);
        ck_assert_uint_eq(many.count, one.count);
        ck_assert_mem_eq(many.kept, one.kept, one.count * sizeof(double));
        free(many.kept);
    }
    free(one.kept);
}
END_TEST

START_TEST(test_float32_is_near_float64)
{
    struct everything narrow, wide;
    run_everything(&narrow, VS_TRAIN_tf32, vs_parallel_threads());
    run_everything(&wide, VS_TRAIN_fp64, vs_parallel_threads());
    ck_assert_uint_eq(narrow.count, wide.count);
    for (size_t i = 0; i < wide.count; i++)
        ck_assert_msg(fabs(narrow.kept[i] - wide.kept[i]) <= 2e-5 * (1 + fabs(wide.kept[i])), "%zu of %zu: %g for %g", i,
                      wide.count, narrow.kept[i], wide.kept[i]);
    free(narrow.kept), free(wide.kept);
}
END_TEST

/* ---- refusals ---- */

static double a[64], b2[64], d[64];
static float f[8];
static int64_t ids[8];
static int32_t order[8], first[8] = {0, 1};
static const struct vs_train_on good = {.dtype = VS_TRAIN_fp64};

/* A call that is right, then each change that makes it wrong. */
#define REFUSE(op, type, args, change)                     \
    do {                                                   \
        struct type p = args;                              \
        change;                                            \
        ck_assert_int_eq(ops->op(&good, &p), -EINVAL);     \
    } while (0)

START_TEST(test_wrong_calls_with_structs_are_refused)
{
    const struct vs_train_product product = {false, false, 2, 2, 2, a, b2, 2, 2, 2, d, true, 1, 0, 2, 4, 4, 4};
    ck_assert_int_eq(ops->product(&good, &product), 0);
    REFUSE(product, vs_train_product, product, p.x = NULL);
    REFUSE(product, vs_train_product, product, p.y = NULL);
    REFUSE(product, vs_train_product, product, p.out = NULL);
    REFUSE(product, vs_train_product, product, p.k = 0);
    REFUSE(product, vs_train_product, product, p.ldx = 1);
    REFUSE(product, vs_train_product, product, p.ldy = 1);
    REFUSE(product, vs_train_product, product, p.ldo = 1);
    REFUSE(product, vs_train_product, product, p.step_out = 0);
    struct vs_train_product huge = product;
    huge.ldx = (size_t)1 << 31;
    ck_assert_int_eq(ops->product(&good, &huge), -EOVERFLOW);
    const struct vs_train_norm_forward forward = {VS_TRAIN_LAYER_NORM, 2, 2, 0, a, NULL, NULL, NULL, d, b2, b2, d + 8};
    ck_assert_int_eq(ops->norm_forward(&good, &forward), 0);
    REFUSE(norm_forward, vs_train_norm_forward, forward, p.x = NULL);
    REFUSE(norm_forward, vs_train_norm_forward, forward, p.out = NULL);
    REFUSE(norm_forward, vs_train_norm_forward, forward, p.mean_rstd = NULL);
    REFUSE(norm_forward, vs_train_norm_forward, forward, p.gamma = NULL); /* neither norm nor sum */
    REFUSE(norm_forward, vs_train_norm_forward, forward, p.eps = -1);
    REFUSE(norm_forward, vs_train_norm_forward, forward, p.rows = 0);
    const struct vs_train_norm_backward back = {VS_TRAIN_RMS_NORM, 2, 2, a, b2, NULL, a, a, d};
    ck_assert_int_eq(ops->norm_backward(&good, &back), 0);
    REFUSE(norm_backward, vs_train_norm_backward, back, p.dx = b2);
    REFUSE(norm_backward, vs_train_norm_backward, back, p.gamma = NULL);
    REFUSE(norm_backward, vs_train_norm_backward, back, p.kind = (enum vs_train_norm)2);
    const struct vs_train_norm_gradient gradient = {VS_TRAIN_RMS_NORM, 2, 2, 2, 2, a, b2, a, d, NULL, NULL};
    ck_assert_int_eq(ops->norm_gradient(&good, &gradient), 0);
    REFUSE(norm_gradient, vs_train_norm_gradient, gradient, p.stride = 1);
    REFUSE(norm_gradient, vs_train_norm_gradient, gradient, p.dgamma = NULL);
    REFUSE(norm_gradient, vs_train_norm_gradient, gradient, p.B = 0);
    const struct vs_train_attention attention = {1, 1, 2, 1, 2, 4, true, a, a, a, d, d + 8, a, d + 10, d + 14, d + 16, b2, 512};
    ck_assert_int_eq(ops->attention_backward(&good, &attention), 0);
    REFUSE(attention_backward, vs_train_attention, attention, p.dq = NULL);
    REFUSE(attention_backward, vs_train_attention, attention, p.d_o = NULL);
    REFUSE(attention_backward, vs_train_attention, attention, p.kv_heads = 3);
    REFUSE(attention, vs_train_attention, attention, p.kv_heads = 0);
    REFUSE(attention, vs_train_attention, attention, p.row = 3);
    REFUSE(attention, vs_train_attention, attention, p.stats = NULL);
    REFUSE(attention, vs_train_attention, attention, p.workspace = NULL);
    const struct vs_train_loss loss = {2, 2, 0, 2, d, ids, 1, NULL, f, 0};
    ck_assert_int_eq(ops->loss(&good, &loss), 0);
    REFUSE(loss, vs_train_loss, loss, p.targets = NULL);
    REFUSE(loss, vs_train_loss, loss, p.T = 0);
    const struct vs_train_update update = {VS_TRAIN_OPT_adam, 2, 0, d, d + 2, d + 4, d + 6, .scale = 1, .step = 1};
    ck_assert_int_eq(ops->update(&good, &update), 0);
    REFUSE(update, vs_train_update, update, p.step = 0);
    REFUSE(update, vs_train_update, update, p.v = NULL);
    REFUSE(update, vs_train_update, update, p.weight = NULL);
    REFUSE(update, vs_train_update, update, p.optimizer = VS_TRAIN_OPTIMIZER_COUNT);
}
END_TEST

START_TEST(test_wrong_calls_with_arguments_are_refused)
{
    const struct vs_train_ids sorted = {ids, order, first, 1}, none = {ids, order, NULL, 1};
    const int wrong[] = {
        ops->embed(&good, NULL, a, NULL, 1, 1, 1, d),
        ops->embed(&good, ids, a, NULL, 1, 0, 1, d),
        ops->embed_gradient(&good, &none, a, NULL, 1, 1, d),
        ops->embed_gradient(&good, &sorted, NULL, NULL, 1, 1, d),
        ops->position_gradient(&good, a, NULL, 0, 1, 1, d),
        ops->bias_gradient(&good, a, 2, 1, 2, 1, d, NULL),
        ops->bias_relu(&good, d, NULL, 1, 1),
        ops->relu_backward(&good, a, d, 0, 1),
        ops->swiglu(&good, a, 1, 1, NULL),
        ops->swiglu_backward(&good, a, NULL, 1, 1, d),
        ops->rotate(&good, d, 1, 1, 3, 2, 2, 1e4, false),
        ops->sample_loss(&good, NULL, 1, 1, d),
        ops->scale_samples(&good, d, f, 1, 0),
        ops->square_sum(&good, a, 1, 1, 1, false, d, NULL),
        ops->square_sum(&good, a, 2, 2, 1, false, d, b2),
        ops->weighted_sum(&good, a, f, 2, 2, 1, false, d),
        ops->fill(&good, NULL, NULL, 1, 0, 0, 1, 0),
        ops->zero(&good, NULL, 1),
        ops->zero(NULL, d, 1),
        ops->zero(&(struct vs_train_on){.dtype = VS_TRAIN_DTYPE_COUNT}, d, 1),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) ck_assert_msg(wrong[i] == -EINVAL, "%zu: %d", i, wrong[i]);
    const struct vs_train_on bf16 = {.dtype = VS_TRAIN_bf16};
    ck_assert_int_eq(ops->zero(&bf16, d, 1), -ENOTSUP);
    ck_assert_int_eq(ops->swiglu(&bf16, a, 1, 1, d), -ENOTSUP);
    ck_assert_int_eq(ops->scale_samples(&good, d, NULL, 1, 1), 0); /* no coefficients: 1 */
}
END_TEST

Suite *make_train_ops_all_suite(void)
{
    Suite *s = suite_create("train_ops_all");
    TCase *tests = tcase_create("train_ops_all");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_threads_change_no_bit, 0, 2);
    tcase_add_test(tests, test_float32_is_near_float64);
    tcase_add_test(tests, test_wrong_calls_with_structs_are_refused);
    tcase_add_test(tests, test_wrong_calls_with_arguments_are_refused);
    suite_add_tcase(s, tests);
    return s;
}
