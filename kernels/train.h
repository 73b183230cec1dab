/* SPDX-License-Identifier: MIT
 *
 * train.h: the contract of the operations a training step is made of, per-sample norms of linear layers apart (norms.h). It
 * says what is computed on which buffers; it allocates nothing.
 *
 * Numbers. An activation, and a weight as the products read it, is of the call's element type E (VS_TRAIN_DTYPES). Gradients of
 * weights, optimizer states, per-sample gradients and the weights the optimizer updates are of the wide type W: float32, or
 * float64 with fp64. Sums are made in W or wider. Small vectors that norms read (gamma, beta, biases) are of type W too.
 * Layout: row-major, dense where no stride is given. rows = B * T, the tokens of sample b are rows b*T .. b*T + T - 1.
 *         Buffers do not overlap unless the comment says "in place". Strides and counts are in elements.
 * Coefficients: `c` is B float32 values on the device, one per sample, or NULL: 1. A 0 leaves its sample out: what it scales is
 *         0 even where it was NaN or infinite, so that a sample that is clipped for its non-finite norm cannot reach the rest.
 * Ownership: the caller owns every buffer; all but `on` and the argument structs lie where the operation runs.
 * Stream: work is queued on `on->stream` in the order of the calls; the CPU is done when a call returns.
 * Determinism: the same bits on every run, no float atomics; but cuDNN's attention_backward in bfloat16, whose last bits vary.
 * NaN, Inf: go through; nothing traps.
 * Errors: 0; -EINVAL a NULL buffer or an empty shape; -EOVERFLOW beyond the device's grid; -ENOTSUP the device lacks the element
 *         type; -ENOBUFS workspace too small; -ENOMEM, -EIO the device failed (vs_device.last_error says how).
 */
#ifndef VS_KERNELS_TRAIN_H
#define VS_KERNELS_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, bytes of E, bytes of W, what it is) */
#define VS_TRAIN_DTYPES(X)                                                    \
    X(fp64, 8, 8, "float64 (CPU only)")                                       \
    X(fp32, 4, 4, "float32")                                                  \
    X(tf32, 4, 4, "float32 in memory, products of TF32 (CPU: as fp32)")       \
    X(bf16, 2, 4, "bfloat16 activations and products, float32 weights (GPU only)")

enum vs_train_dtype {
#define X(name, element, wide, what) VS_TRAIN_##name,
    VS_TRAIN_DTYPES(X)
#undef X
        VS_TRAIN_DTYPE_COUNT
};

struct vs_train_on {
    enum vs_train_dtype dtype;
    void *context; /* of the device (device.h) */
    void *stream;
};

/* out [m,n] = beta * out + alpha * op(X) op(Y); op(X) is m x k: X [m,k], or X [k,m] transposed; op(Y) is k x n: Y [k,n], or
 * Y [n,k] transposed. `batch` such products, their operands `step_*` elements apart. With
 * beta 0 out is not read. */
struct vs_train_product {
    bool transpose_x, transpose_y;
    size_t m, n, k;
    const void *x, *y; /* E */
    size_t ldx, ldy, ldo;
    void *out;
    bool out_wide; /* out is of type W, else E */
    double alpha, beta;
    size_t batch, step_x, step_y, step_out; /* batch 0 is 1 */
};

/* Which tokens have which id, sorted by id, then by position: made by the host, so that sums of rows have an order. */
struct vs_train_ids {
    const int64_t *ids;     /* B x T, each within the table */
    const int32_t *order;   /* the B*T rows sorted by (id, row) */
    const int32_t *first;   /* distinct + 1: where each run of one id begins in `order` */
    size_t distinct;
};

enum vs_train_norm { VS_TRAIN_LAYER_NORM, VS_TRAIN_RMS_NORM };

/* sum = x + y + bias (y, bias may be NULL; sum may be x, in place, or NULL where there is nothing to add), then
 * out = gamma * xhat(sum) + beta with layer_norms.h's xhat. gamma NULL: only the sum. beta NULL for RMSNorm.
 * mean_rstd [rows][2] float32 out (mean 0 for RMSNorm; W where W is float64). */
struct vs_train_norm_forward {
    enum vs_train_norm kind;
    size_t rows, width;
    double eps;
    const void *x, *y;            /* E */
    const void *bias;             /* W, width */
    void *sum, *out;              /* E */
    const void *gamma, *beta;     /* W */
    void *mean_rstd;              /* W [rows][2] */
};

/* dx = residual + (d out / d sum)^T dout. residual may be NULL (0), or dx itself, in place. dx may not be dout. */
struct vs_train_norm_backward {
    enum vs_train_norm kind;
    size_t rows, width;
    const void *sum, *dout, *residual; /* E */
    const void *gamma;                 /* W */
    const void *mean_rstd;             /* W */
    void *dx;                          /* E */
};

/* dgamma[b] = sum_t dout_t * xhat_t, dbeta[b] = sum_t dout_t (NULL: none), each `stride` elements of W after that of b - 1.
 * For one gradient of all samples: B = 1, T = rows. */
struct vs_train_norm_gradient {
    enum vs_train_norm kind;
    size_t B, T, width, stride;
    const void *sum, *dout; /* E */
    const void *mean_rstd;  /* W */
    void *dgamma, *dbeta;   /* W */
    void *workspace;        /* column_workspace_bytes(B, T, width) */
};

/* q [B,T,heads,width], k and v [B,T,kv_heads,width], each row (token) `row` elements after the one before, so that they may
 * be parts of one buffer; o dense [B,T,heads,width]. scores = q k^T / sqrt(width); causal: a token sees itself and those before.
 * Query head i uses key head i / (heads / kv_heads). stats: float32 [B,heads,T] (W where W is float64), what backward needs.
 * dq, dk, dv have the layout of q, k, v (row stride `row`) and overlap none of them. Memory is linear in T. */
struct vs_train_attention {
    size_t B, T, heads, kv_heads, width, row;
    bool causal;
    const void *q, *k, *v;      /* E */
    void *o;                    /* E; read by backward */
    void *stats;
    const void *d_o;            /* E, backward only, as the next three */
    void *dq, *dk, *dv;         /* E */
    void *workspace;
    size_t workspace_bytes;     /* attention_workspace_bytes() of this call */
};

/* In place on rows of logits [rows, width] (E), `row` apart: loss[r] = logsumexp - logit[target], and logits become d(loss_r * factor *
 * c[row's sample]) / d logits. first_row: the place of row 0 in the batch; row r belongs to sample (first_row + r) / T.
 * Sums in float32 or wider. A target outside 0 .. width - 1: loss NaN, gradient NaN, but 0 where c is 0. */
struct vs_train_loss {
    size_t rows, width, first_row, T;
    void *logits;
    const int64_t *targets; /* of these rows */
    double factor;
    const float *c;
    void *loss;  /* W, of these rows; NULL: not wanted */
    size_t row;  /* elements from one row to the next, 0: width. What lies between two rows becomes 0 */
};

/* How the coefficients come from squared norms. n is float64 [sites][B]: norm_b = sqrt(sum over sites of max(n, 0)) * (1 + margin),
 * c_b = min(1, bound / (norm_b + 1e-6)), 0 where norm_b is not finite. margin covers the error of the norms' arithmetic. */
struct vs_train_clip {
    size_t sites, B;
    const double *n;
    double bound, margin;
    double *norm; /* out, B (without the margin) */
    float *c;     /* out, B */
};

/* X(name, optimizer states per weight) */
#define VS_TRAIN_OPTIMIZERS(X) X(none, 0) X(sgd, 0) X(adam, 2) X(adamw, 2)
enum vs_train_optimizer {
#define X(name, states) VS_TRAIN_OPT_##name,
    VS_TRAIN_OPTIMIZERS(X)
#undef X
        VS_TRAIN_OPTIMIZER_COUNT
};

/* g = (sum_k gradient[k] * c[k] + noise * z) * scale, k < terms, z normal(0, 1) from Philox4x32-10 (Salmon et al., SC 2011) keyed by
 * seed, counter (first + i, step): the same number for the same weight, whoever computes it. Then
 *   sgd    w -= rate * g
 *   adam   Kingma & Ba, with bias correction (weight_decay adds to g); adamw: Loshchilov & Hutter (decay apart)
 *   none   nothing (weight may be NULL); g is still written to `gradient` when write_back
 * working (E): the rounded copy the products read; NULL: E is W and there is none. */
struct vs_train_update {
    enum vs_train_optimizer optimizer;
    size_t count;
    uint64_t first; /* place of the first weight among all weights of the model */
    void *weight, *gradient, *m, *v; /* W; m, v as the optimizer has states; gradient: terms, `count` apart */
    void *working;
    const float *c; /* of each term; NULL: 1. One whose c is 0 adds nothing, whatever it holds */
    double noise, scale, rate, beta1, beta2, eps, weight_decay;
    uint64_t seed, step; /* step counts from 1 */
    bool write_back;     /* g, without any weight decay, replaces gradient[0] (for tests and norms of what is applied) */
    size_t terms;        /* 0: 1 */
};

/* Data of samples first .. first + B - 1 of the batch, one after the other; aligned to 2 bytes, as `bytes` is. */
struct vs_train_samples {
    void *data;
    size_t bytes; /* of one sample */
    size_t first, B;
};

struct vs_train_ops {
    int (*product)(const struct vs_train_on *on, const struct vs_train_product *p);
    /* out[r] = table[ids[r]] + positions[r % T] (positions may be NULL); tables of E. */
    int (*embed)(const struct vs_train_on *on, const int64_t *ids, const void *table, const void *positions, size_t rows, size_t T,
                 size_t width, void *out);
    /* gradient[id] (W) += sum over the rows of that id of c[row's sample] * G[row]; other rows are not touched. */
    int (*embed_gradient)(const struct vs_train_on *on, const struct vs_train_ids *ids, const void *G, const float *c, size_t T,
                          size_t width, void *gradient);
    /* gradient[t] (W) = sum_b c[b] * G[b*T + t] */
    int (*position_gradient)(const struct vs_train_on *on, const void *G, const float *c, size_t B, size_t T, size_t width,
                             void *gradient);
    int (*norm_forward)(const struct vs_train_on *on, const struct vs_train_norm_forward *p);
    int (*norm_backward)(const struct vs_train_on *on, const struct vs_train_norm_backward *p);
    size_t (*column_workspace_bytes)(const struct vs_train_on *on, size_t B, size_t T, size_t width);
    int (*norm_gradient)(const struct vs_train_on *on, const struct vs_train_norm_gradient *p);
    /* out[b] (W, `stride` apart) = sum_t G[b,t]; workspace as norm_gradient. */
    int (*bias_gradient)(const struct vs_train_on *on, const void *G, size_t B, size_t T, size_t width, size_t stride, void *out,
                         void *workspace);
    /* in place: x = max(x + bias, 0), bias of W */
    int (*bias_relu)(const struct vs_train_on *on, void *x, const void *bias, size_t rows, size_t width);
    /* in place: dout = out > 0 ? dout : 0 */
    int (*relu_backward)(const struct vs_train_on *on, const void *out, void *dout, size_t rows, size_t width);
    /* x [rows, 2 width]: gate, then up. out = silu(gate) * up */
    int (*swiglu)(const struct vs_train_on *on, const void *x, size_t rows, size_t width, void *out);
    int (*swiglu_backward)(const struct vs_train_on *on, const void *x, const void *dout, size_t rows, size_t width, void *dx);
    /* In place on `heads` heads of `width` at the start of each row of x (`row` elements apart): pair (i, i + width/2) of token t
     * turns by t * base^(-2i/width) (Su et al., arXiv:2104.09864, halves as in Llama); back: by the opposite angle. */
    int (*rotate)(const struct vs_train_on *on, void *x, size_t rows, size_t T, size_t row, size_t heads, size_t width, double base,
                  bool back);
    size_t (*attention_workspace_bytes)(const struct vs_train_on *on, const struct vs_train_attention *p, bool backward);
    int (*attention)(const struct vs_train_on *on, const struct vs_train_attention *p);
    int (*attention_backward)(const struct vs_train_on *on, const struct vs_train_attention *p);
    /* What runs this attention: "cudnn", "fused", "blocks", "loops"; a static string. */
    const char *(*attention_by)(const struct vs_train_on *on, const struct vs_train_attention *p);
    int (*loss)(const struct vs_train_on *on, const struct vs_train_loss *p);
    /* out[b] (float64) = mean over t of loss[b*T + t], loss of W */
    int (*sample_loss)(const struct vs_train_on *on, const void *loss, size_t B, size_t T, double *out);
    int (*clip)(const struct vs_train_on *on, const struct vs_train_clip *p);
    /* in place: x[b] *= c[b], x [B, count] of E */
    int (*scale_samples)(const struct vs_train_on *on, void *x, const float *c, size_t B, size_t count);
    /* n[b] (float64) = sum of squares of x[b], `count` elements of W, `stride` apart; add: n[b] += */
    size_t (*square_sum_workspace_bytes)(const struct vs_train_on *on, size_t B, size_t count);
    int (*square_sum)(const struct vs_train_on *on, const void *x, size_t B, size_t count, size_t stride, bool add, double *n,
                      void *workspace);
    /* out (W) = (add ? out : 0) + sum_b c[b] * x[b], x of W, `stride` apart; out may be x[0]. c of B values or NULL. */
    int (*weighted_sum)(const struct vs_train_on *on, const void *x, const float *c, size_t B, size_t count, size_t stride,
                        bool add, void *out);
    /* out (W) = std * z, z as in vs_train_update with step 0; working as there. std 0: fills with `value`. */
    int (*fill)(const struct vs_train_on *on, void *out, void *working, size_t count, uint64_t first, uint64_t seed, double std,
                double value);
    int (*update)(const struct vs_train_on *on, const struct vs_train_update *p);
    int (*zero)(const struct vs_train_on *on, void *memory, size_t bytes); /* queued */
    /* Zeroes what belongs to samples whose c is 0: what is NaN or Inf there would stay so however small its weight. `list` lies on
     * the host, and may go when the call returns. */
    int (*drop)(const struct vs_train_on *on, const struct vs_train_samples *list, size_t count, const float *c);
};

extern const struct vs_train_ops vs_train_cpu;
/* In libvramscope_kernels.so only: reached through vs_device_cuda()->train. */
extern const struct vs_train_ops vs_train_cuda;

size_t vs_train_element_bytes(enum vs_train_dtype dtype);
size_t vs_train_wide_bytes(enum vs_train_dtype dtype);
const char *vs_train_dtype_name(enum vs_train_dtype dtype);
/* -1: there is none of that name. */
int vs_train_dtype_find(const char *name);
const char *vs_train_optimizer_name(enum vs_train_optimizer optimizer);
int vs_train_optimizer_find(const char *name);
size_t vs_train_optimizer_states(enum vs_train_optimizer optimizer);

#ifdef __cplusplus
}
#endif
#endif
