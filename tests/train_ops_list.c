/* SPDX-License-Identifier: MIT
 *
 * train_ops_list.c: the operations of kernels/train.h, attention apart, as cases of tests/train_ops_case.h: their buffers and
 * their variants. It runs and judges nothing. It must never use random seeds.
 */
#include <math.h>

#include "train_ops_case.h"

enum { TABLE = 41 }; /* rows of the table that tokens are looked up in */

static size_t rows_of(const struct train_test *t)
{
    return t->shape.B * t->shape.T;
}

static size_t cells_of(const struct train_test *t)
{
    return rows_of(t) * t->shape.width;
}

static size_t whole_number(struct train_test *t, size_t below)
{
    return (size_t)((norms_random(&t->random) + 1) / 2 * (double)below);
}

/* ---- products: variant: transpose_x, transpose_y, out_wide, batch ---- */

static struct vs_train_product product_of(const struct train_test *t)
{
    struct vs_train_product p = {.transpose_x = t->variant & 1, .transpose_y = t->variant & 2, .out_wide = t->variant & 4};
    p.m = t->shape.T, p.n = t->shape.width, p.k = t->shape.T / 2 + 8 * t->shape.B;
    p.ldx = (p.transpose_x ? p.m : p.k) + 3, p.ldy = (p.transpose_y ? p.k : p.n) + 5, p.ldo = p.n + 2;
    p.step_x = (p.transpose_x ? p.k : p.m) * p.ldx, p.step_y = (p.transpose_y ? p.n : p.k) * p.ldy, p.step_out = p.m * p.ldo + 1;
    p.alpha = 1.5, p.beta = t->variant & 1 ? 0.5 : 0, p.batch = t->variant & 8 ? t->shape.B + 1 : 0;
    return p;
}

static void make_product(struct train_test *t)
{
    struct vs_train_product p = product_of(t);
    size_t batch = p.batch ? p.batch : 1;
    train_array(t, TRAIN_E, batch * p.step_x);
    train_array(t, TRAIN_E, batch * p.step_y);
    train_array(t, p.out_wide ? TRAIN_W : TRAIN_E, batch * p.step_out);
}

static int run_product(const struct train_test *t, const struct train_side *s)
{
    struct vs_train_product p = product_of(t);
    p.x = s->at[0], p.y = s->at[1], p.out = s->at[2];
    return s->ops->product(&s->on, &p);
}

/* ---- tokens: variant: with positions; with coefficients ---- */

static void make_embed(struct train_test *t)
{
    double *ids = train_array(t, TRAIN_LONG, rows_of(t));
    for (size_t i = 0; i < rows_of(t); i++) ids[i] = (double)whole_number(t, TABLE);
    train_array(t, TRAIN_E, TABLE * t->shape.width);
    train_array(t, TRAIN_E, t->shape.T * t->shape.width);
    train_array(t, TRAIN_E, cells_of(t));
}

static int run_embed(const struct train_test *t, const struct train_side *s)
{
    return s->ops->embed(&s->on, s->at[0], s->at[1], t->variant ? s->at[2] : NULL, rows_of(t), t->shape.T, t->shape.width, s->at[3]);
}

/* Half of the rows have one id. */
static void make_embed_gradient(struct train_test *t)
{
    size_t rows = rows_of(t), at = 0, runs = 0;
    double *ids = train_array(t, TRAIN_LONG, rows), *order = train_array(t, TRAIN_INT, rows), *first = train_array(t, TRAIN_INT, rows + 1);
    for (size_t i = 0; i < rows; i++) ids[i] = i % 2 ? 7 : (double)whole_number(t, TABLE);
    for (size_t id = 0; id < TABLE; id++) {
        first[runs] = (double)at;
        for (size_t i = 0; i < rows; i++)
            if (ids[i] == (double)id) order[at++] = (double)i;
        runs += (double)at > first[runs];
    }
    first[runs] = (double)at;
    t->extra = runs;
    double *G = train_array(t, TRAIN_E, cells_of(t));
    train_array(t, TRAIN_W, TABLE * t->shape.width);
    if (t->variant) train_coefficients(t, G, t->shape.T * t->shape.width);
}

static int run_embed_gradient(const struct train_test *t, const struct train_side *s)
{
    struct vs_train_ids ids = {s->at[0], s->at[1], s->at[2], t->extra};
    return s->ops->embed_gradient(&s->on, &ids, s->at[3], t->variant ? s->at[5] : NULL, t->shape.T, t->shape.width, s->at[4]);
}

static void make_position_gradient(struct train_test *t)
{
    double *G = train_array(t, TRAIN_E, cells_of(t));
    train_array(t, TRAIN_W, t->shape.T * t->shape.width);
    if (t->variant) train_coefficients(t, G, t->shape.T * t->shape.width);
}

static int run_position_gradient(const struct train_test *t, const struct train_side *s)
{
    return s->ops->position_gradient(&s->on, s->at[0], t->variant ? s->at[2] : NULL, t->shape.B, t->shape.T, t->shape.width, s->at[1]);
}

/* ---- norms: variant: the kind, then what is added, or where the residual is ---- */

/* x, y, sum, out, bias, gamma, beta, mean and rstd; what is added in steps of 1/64, so that no type rounds the sum. */
static void make_norm_forward(struct train_test *t)
{
    for (int i = 0; i < 7; i++) {
        size_t count = i < 4 ? cells_of(t) : t->shape.width;
        double *values = train_array(t, i < 4 ? TRAIN_E : TRAIN_W, count);
        for (size_t k = 0; i < 5 && k < count; k++) values[k] = rint(values[k] * 64) / 64;
    }
    train_array(t, TRAIN_W, 2 * rows_of(t));
}

static int run_norm_forward(const struct train_test *t, const struct train_side *s)
{
    bool layer = t->variant % 2 == 0;
    struct vs_train_norm_forward p = {.kind = layer ? VS_TRAIN_LAYER_NORM : VS_TRAIN_RMS_NORM, .rows = rows_of(t), .width = t->shape.width,
                                      .eps = 1e-5, .x = s->at[0], .out = s->at[3], .gamma = s->at[5],
                                      .beta = layer ? s->at[6] : NULL, .mean_rstd = s->at[7]};
    switch (t->variant / 2) {
    case 0: break;                                                             /* the norm alone */
    case 1: p.y = s->at[1], p.bias = s->at[4], p.sum = s->at[0]; break;        /* in place */
    case 2: p.bias = s->at[4], p.sum = s->at[2]; break;
    default: p.y = s->at[1], p.sum = s->at[2], p.gamma = NULL, p.out = NULL; /* the sum alone */
    }
    return s->ops->norm_forward(&s->on, &p);
}

static void make_norm_backward(struct train_test *t)
{
    for (int i = 0; i < 4; i++) train_array(t, TRAIN_E, cells_of(t)); /* sum, dout, residual, dx */
    train_array(t, TRAIN_W, t->shape.width);
    double *of_rows = train_array(t, TRAIN_W, 2 * rows_of(t));
    for (size_t i = 0; i < rows_of(t); i++) of_rows[2 * i] = t->variant % 2 ? 0 : of_rows[2 * i] / 4, of_rows[2 * i + 1] += 2;
}

static int run_norm_backward(const struct train_test *t, const struct train_side *s)
{
    void *residual[] = {NULL, s->at[2], s->at[3]};
    struct vs_train_norm_backward p = {.kind = t->variant % 2 ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM, .rows = rows_of(t),
                                       .width = t->shape.width, .sum = s->at[0], .dout = s->at[1], .residual = residual[t->variant / 2],
                                       .gamma = s->at[4], .mean_rstd = s->at[5], .dx = s->at[3]};
    return s->ops->norm_backward(&s->on, &p);
}

static size_t column_scratch(const struct train_test *t, const struct train_side *s)
{
    return s->ops->column_workspace_bytes(&s->on, t->shape.B, t->shape.T, t->shape.width);
}

/* Gradients lie four elements behind each other. */
static void make_norm_gradient(struct train_test *t)
{
    size_t all = t->shape.B * (t->shape.width + 4);
    for (int i = 0; i < 2; i++) train_array(t, TRAIN_E, cells_of(t));
    train_array(t, TRAIN_W, 2 * rows_of(t));
    for (int i = 0; i < 2; i++) train_array(t, TRAIN_W, all);
}

static int run_norm_gradient(const struct train_test *t, const struct train_side *s)
{
    struct vs_train_norm_gradient p = {.kind = t->variant ? VS_TRAIN_RMS_NORM : VS_TRAIN_LAYER_NORM, .B = t->shape.B, .T = t->shape.T,
                                       .width = t->shape.width, .stride = t->shape.width + 4, .sum = s->at[0], .dout = s->at[1],
                                       .mean_rstd = s->at[2], .dgamma = s->at[3], .dbeta = t->variant ? NULL : s->at[4],
                                       .workspace = s->scratch};
    return s->ops->norm_gradient(&s->on, &p);
}

static void make_bias_gradient(struct train_test *t)
{
    train_array(t, TRAIN_E, cells_of(t));
    train_array(t, TRAIN_W, t->shape.B * (t->shape.width + 4));
}

static int run_bias_gradient(const struct train_test *t, const struct train_side *s)
{
    return s->ops->bias_gradient(&s->on, s->at[0], t->shape.B, t->shape.T, t->shape.width, t->shape.width + 4, s->at[1], s->scratch);
}

/* ---- elements ---- */

static void make_bias_relu(struct train_test *t)
{
    train_array(t, TRAIN_E, cells_of(t))[0] = (double)NAN;
    train_array(t, TRAIN_W, t->shape.width);
}

static int run_bias_relu(const struct train_test *t, const struct train_side *s)
{
    return s->ops->bias_relu(&s->on, s->at[0], s->at[1], rows_of(t), t->shape.width);
}

static void make_pair(struct train_test *t)
{
    for (int i = 0; i < 2; i++) train_array(t, TRAIN_E, cells_of(t));
}

static int run_relu_backward(const struct train_test *t, const struct train_side *s)
{
    return s->ops->relu_backward(&s->on, s->at[0], s->at[1], rows_of(t), t->shape.width);
}

static void make_swiglu(struct train_test *t) /* variant: backward */
{
    double *x = train_array(t, TRAIN_E, 2 * cells_of(t));
    for (size_t i = 0; i < 2 * cells_of(t); i++) x[i] *= i % 5 ? 4 : 64;
    train_array(t, TRAIN_E, cells_of(t));
    if (t->variant) train_array(t, TRAIN_E, 2 * cells_of(t));
}

static int run_swiglu(const struct train_test *t, const struct train_side *s)
{
    if (t->variant) return s->ops->swiglu_backward(&s->on, s->at[0], s->at[1], rows_of(t), t->shape.width, s->at[2]);
    return s->ops->swiglu(&s->on, s->at[0], rows_of(t), t->shape.width, s->at[1]);
}

static size_t head_of(const struct train_test *t)
{
    return t->shape.width > 1000 ? t->shape.width / 2 / 4 * 2 : t->shape.width * 2;
}

static void make_rotate(struct train_test *t)
{
    train_array(t, TRAIN_E, rows_of(t) * (3 * head_of(t) + 8));
}

static int run_rotate(const struct train_test *t, const struct train_side *s)
{
    size_t head = head_of(t);
    return s->ops->rotate(&s->on, s->at[0], rows_of(t), t->shape.T, 3 * head + 8, 3, head, 10000, t->variant);
}

static void make_scale_samples(struct train_test *t)
{
    double *x = train_array(t, TRAIN_E, cells_of(t));
    train_coefficients(t, x, t->shape.T * t->shape.width);
}

static int run_scale_samples(const struct train_test *t, const struct train_side *s)
{
    return s->ops->scale_samples(&s->on, s->at[0], s->at[1], t->shape.B, t->shape.T * t->shape.width);
}

static int run_drop(const struct train_test *t, const struct train_side *s)
{
    size_t bytes = t->shape.T * t->shape.width * (s->gpu ? vs_train_element_bytes(t->dtype) : sizeof(double));
    return s->ops->drop(&s->on, &(struct vs_train_samples){.data = s->at[0], .bytes = bytes, .B = t->shape.B}, 1, s->at[1]);
}

/* ---- the loss: variant: coefficients, rows that begin within a sample, no losses wanted ---- */

static void make_loss(struct train_test *t)
{
    double *logits = train_array(t, TRAIN_E, cells_of(t)), *targets = train_array(t, TRAIN_LONG, rows_of(t));
    for (size_t i = 0; i < cells_of(t); i++) logits[i] *= 8;
    for (size_t r = 0; r < rows_of(t); r++) targets[r] = (double)whole_number(t, t->shape.width);
    if (rows_of(t) > 4) targets[rows_of(t) - 1] = -100;
    train_array(t, TRAIN_W, rows_of(t));
    t->extra = t->variant & 2 ? t->shape.T / 2 : 0;
    train_coefficients(t, logits, (t->shape.T - t->extra) * t->shape.width);
}

static int run_loss(const struct train_test *t, const struct train_side *s)
{
    size_t rows = rows_of(t) - t->extra; /* of the last sample only as many as there are */
    struct vs_train_loss p = {.rows = rows, .width = t->shape.width, .first_row = t->extra, .T = t->shape.T, .logits = s->at[0],
                              .targets = s->at[1], .factor = 3, .c = t->variant & 1 ? s->at[3] : NULL,
                              .loss = t->variant & 2 ? NULL : s->at[2]};
    return s->ops->loss(&s->on, &p);
}

static void make_sample_loss(struct train_test *t)
{
    train_array(t, TRAIN_W, rows_of(t));
    train_array(t, TRAIN_DOUBLE, t->shape.B);
}

static int run_sample_loss(const struct train_test *t, const struct train_side *s)
{
    return s->ops->sample_loss(&s->on, s->at[0], t->shape.B, t->shape.T, s->at[1]);
}

static void make_clip(struct train_test *t) /* a few norms below 0, and one sample that has none */
{
    double *n = train_array(t, TRAIN_DOUBLE, rows_of(t));
    for (size_t i = 0; i < rows_of(t); i++) n[i] += 0.9;
    if (t->shape.B > 2) n[2] = t->variant ? (double)NAN : (double)INFINITY;
    train_array(t, TRAIN_DOUBLE, t->shape.B);
    train_array(t, TRAIN_FLOAT, t->shape.B);
}

static int run_clip(const struct train_test *t, const struct train_side *s)
{
    struct vs_train_clip p = {t->shape.T, t->shape.B, s->at[0], t->variant ? 0.7 : 5, t->variant ? 1e-3 : 0, s->at[1], s->at[2]};
    return s->ops->clip(&s->on, &p);
}

/* ---- gradients of samples: variant: add, coefficients, odd strides ---- */

static size_t stride_of(const struct train_test *t)
{
    return t->shape.T * t->shape.width + (t->variant & 4 ? 3 : 8);
}

static void make_sums(struct train_test *t)
{
    double *x = train_array(t, TRAIN_W, t->shape.B * stride_of(t));
    train_array(t, TRAIN_W, t->shape.T * t->shape.width);
    train_array(t, TRAIN_DOUBLE, t->shape.B);
    if (t->variant & 2) train_coefficients(t, x, stride_of(t));
}

static size_t square_scratch(const struct train_test *t, const struct train_side *s)
{
    return s->ops->square_sum_workspace_bytes(&s->on, t->shape.B, t->shape.T * t->shape.width);
}

static int run_sums(const struct train_test *t, const struct train_side *s)
{
    size_t count = t->shape.T * t->shape.width, B = t->shape.B;
    bool add = t->variant & 1;
    int err = s->ops->square_sum(&s->on, s->at[0], B, count, stride_of(t), add, s->at[2], s->scratch);
    if (!err && t->variant & 2) return s->ops->weighted_sum(&s->on, s->at[0], s->at[3], B, count, stride_of(t), add, s->at[1]);
    return err ? err : s->ops->weighted_sum(&s->on, s->at[0], NULL, B, count, stride_of(t), false, s->at[0]);
}

/* ---- the optimizer: variant: which, noise, the gradient written back, an odd place ---- */

static void make_update(struct train_test *t)
{
    size_t count = cells_of(t);
    for (int i = 0; i < 4; i++) train_array(t, TRAIN_W, count); /* weight, gradient, m, v */
    for (size_t i = 0; i < count; i++) t->arrays[3].values[i] *= t->arrays[3].values[i];
    train_array(t, TRAIN_E, count);
    train_array(t, TRAIN_FLOAT, 1);
}

static int run_update(const struct train_test *t, const struct train_side *s)
{
    struct vs_train_update p = {.optimizer = (enum vs_train_optimizer)(t->variant % VS_TRAIN_OPTIMIZER_COUNT), .count = cells_of(t),
                                .weight = s->at[0], .gradient = s->at[1], .m = s->at[2], .v = s->at[3], .working = s->at[4],
                                .scale = 0.25, .rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1,
                                .seed = 0x123456789abcdefull, .step = 3};
    int way = t->variant / VS_TRAIN_OPTIMIZER_COUNT;
    if (way & 1) p.noise = 0.8, p.c = s->at[5];
    p.write_back = way & 2;
    p.first = ((uint64_t)1 << 34) + (way & 4 ? 3 : 0);
    return s->ops->update(&s->on, &p);
}

static void make_fill(struct train_test *t)
{
    train_array(t, TRAIN_W, cells_of(t));
    train_array(t, TRAIN_E, cells_of(t));
}

static int run_fill(const struct train_test *t, const struct train_side *s)
{
    return s->ops->fill(&s->on, s->at[0], t->variant == 1 ? NULL : s->at[1], cells_of(t), t->variant == 2 ? 5 : 0, 42,
                        t->variant == 3 ? 0 : 0.02, 0.75);
}

static int run_zero(const struct train_test *t, const struct train_side *s)
{
    size_t element = s->gpu ? vs_train_element_bytes(t->dtype) : sizeof(double);
    return s->ops->zero(&s->on, s->at[1], (cells_of(t) + 1) / 2 * element);
}

const struct train_case train_cases[] = {
    {"product", 16, make_product, run_product, NULL},
    {"embed", 2, make_embed, run_embed, NULL},
    {"embed_gradient", 2, make_embed_gradient, run_embed_gradient, NULL},
    {"position_gradient", 2, make_position_gradient, run_position_gradient, NULL},
    {"norm_forward", 8, make_norm_forward, run_norm_forward, NULL},
    {"norm_backward", 6, make_norm_backward, run_norm_backward, NULL},
    {"norm_gradient", 2, make_norm_gradient, run_norm_gradient, column_scratch},
    {"bias_gradient", 1, make_bias_gradient, run_bias_gradient, column_scratch},
    {"bias_relu", 1, make_bias_relu, run_bias_relu, NULL},
    {"relu_backward", 1, make_pair, run_relu_backward, NULL},
    {"swiglu", 2, make_swiglu, run_swiglu, NULL},
    {"rotate", 2, make_rotate, run_rotate, NULL},
    {"scale_samples", 1, make_scale_samples, run_scale_samples, NULL},
    {"drop", 1, make_scale_samples, run_drop, NULL},
    {"loss", 4, make_loss, run_loss, NULL},
    {"sample_loss", 1, make_sample_loss, run_sample_loss, NULL},
    {"clip", 2, make_clip, run_clip, NULL},
    {"sums", 8, make_sums, run_sums, square_scratch},
    {"update", 8 * VS_TRAIN_OPTIMIZER_COUNT, make_update, run_update, NULL},
    {"fill", 4, make_fill, run_fill, NULL},
    {"zero", 1, make_fill, run_zero, NULL},
};
const size_t train_case_count = sizeof train_cases / sizeof *train_cases;
