/* SPDX-License-Identifier: MIT
 *
 * layer_norms.c: the per-sample norms of layer_norms.h on the CPU, in float64 throughout. It must never let the number of
 * threads change a result: threads share out blocks of columns, each sums its own in order, and the blocks are added in order.
 */
#include "kernels/layer_norms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/layer_norm_check.h"

/* Columns that are summed at a time, over all rows: their sums stay in the first-level cache. */
enum { COLUMNS = 256, ROWS = 64 /* whose statistics a thread finds at a time */ };

/* A place of the sequence and what is looked up there; sorted, equal ids lie together. */
struct row {
    int64_t id;
    int64_t t;
};

/* What a block of columns adds to n and n_beta. */
struct part {
    double n, beta;
};

/* How a row is normalized: xhat = (x - mean) * scale. */
struct row_statistics {
    double mean, scale;
};

/* The call and its workspace: the parts, and behind them one value per row of every sample. */
struct job {
    const struct vs_layer_norms_call *call;
    struct part *parts;
    struct row *rows; /* each sample's sorted by id */
    struct row_statistics *statistics;
};

static size_t summed_columns(const struct vs_layer_norms_call *c)
{
    return c->kind == VS_LAYER_NORMS_tied ? c->d : c->p;
}

static size_t blocks(const struct vs_layer_norms_call *c)
{
    return (summed_columns(c) + COLUMNS - 1) / COLUMNS;
}

static size_t workspace_bytes(const struct vs_layer_norms_call *c)
{
    if (vs_layer_norms_check_shape(c)) return SIZE_MAX;
    size_t per_row = 0;
    if (c->kind == VS_LAYER_NORMS_outer) return 0;
    if (vs_layer_norms_reads(c->kind) & VS_READS_IDS) per_row = sizeof(struct row);
    if (vs_layer_norms_reads(c->kind) & VS_READS_EPS) per_row = sizeof(struct row_statistics);
    return c->B * blocks(c) * sizeof(struct part) + c->B * c->T * per_row;
}

/* Elements first .. first + count of X. */
static void widen(enum vs_norms_dtype dtype, const void *X, size_t first, size_t count, float *out)
{
    vs_convert(dtype, vs_element(dtype, X, first), count, 1, count, out);
}

static void add(double *sum, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) sum[i] += (double)x[i];
}

static double product(const double *x, const double *y, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += x[i] * y[i];
    return sum;
}

/* ---- sums over all rows: bias, layer_norm, rms_norm ---- */

static struct row_statistics statistics_of(const struct vs_layer_norms_call *c, size_t row)
{
    float x[COLUMNS];
    double sum = 0, squares = 0, mean = 0;
    for (size_t j = 0; c->kind == VS_LAYER_NORMS_layer_norm && j < c->p; j += COLUMNS) {
        size_t count = c->p - j < COLUMNS ? c->p - j : COLUMNS;
        widen(c->dtype, c->A, row * c->p + j, count, x);
        for (size_t i = 0; i < count; i++) sum += (double)x[i];
    }
    mean = sum / (double)c->p;
    for (size_t j = 0; j < c->p; j += COLUMNS) {
        size_t count = c->p - j < COLUMNS ? c->p - j : COLUMNS;
        widen(c->dtype, c->A, row * c->p + j, count, x);
        for (size_t i = 0; i < count; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    }
    return (struct row_statistics){.mean = mean, .scale = 1 / sqrt(squares / (double)c->p + c->eps)};
}

static struct part columns_part(const struct vs_layer_norms_call *c, const struct row_statistics *statistics, size_t b, size_t j)
{
    size_t count = c->p - j < COLUMNS ? c->p - j : COLUMNS;
    float g[COLUMNS], x[COLUMNS];
    double plain[COLUMNS] = {0}, scaled[COLUMNS] = {0};
    for (size_t row = b * c->T; row < (b + 1) * c->T; row++) {
        widen(c->dtype, c->G, row * c->p + j, count, g);
        add(plain, g, count);
        if (c->kind == VS_LAYER_NORMS_bias) continue;
        widen(c->dtype, c->A, row * c->p + j, count, x);
        const struct row_statistics s = statistics[row];
        for (size_t i = 0; i < count; i++) scaled[i] += (double)g[i] * (((double)x[i] - s.mean) * s.scale);
    }
    double squares = product(plain, plain, count);
    if (c->kind == VS_LAYER_NORMS_bias) return (struct part){.n = squares};
    return (struct part){.n = product(scaled, scaled, count), .beta = squares};
}

static void statistics_item(void *state, size_t item, size_t thread)
{
    const struct job *job = state;
    size_t all = job->call->B * job->call->T, end = (item + 1) * ROWS < all ? (item + 1) * ROWS : all;
    (void)thread;
    for (size_t row = item * ROWS; row < end; row++) job->statistics[row] = statistics_of(job->call, row);
}

static void columns_item(void *state, size_t item, size_t thread)
{
    const struct job *job = state;
    size_t count = blocks(job->call);
    (void)thread;
    job->parts[item] = columns_part(job->call, job->statistics, item / count, item % count * COLUMNS);
}

static void columns(struct job *job)
{
    const struct vs_layer_norms_call *c = job->call;
    size_t threads = vs_cpu_threads(c->context);
    if (c->kind != VS_LAYER_NORMS_bias) vs_parallel(threads, (c->B * c->T + ROWS - 1) / ROWS, statistics_item, job);
    vs_parallel(threads, c->B * blocks(c), columns_item, job);
}

/* ---- sums over the rows of one id: embedding, tied ---- */

static int by_id(const void *left, const void *right)
{
    const struct row *x = left, *y = right;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return x->t < y->t ? -1 : x->t > y->t;
}

static void sort_item(void *state, size_t b, size_t thread)
{
    const struct job *job = state;
    const struct vs_layer_norms_call *c = job->call;
    struct row *rows = job->rows + b * c->T;
    (void)thread;
    for (size_t t = 0; t < c->T; t++) rows[t] = (struct row){.id = c->ids[b * c->T + t], .t = (int64_t)t};
    qsort(rows, c->T, sizeof *rows, by_id);
}

/* Columns j and on of one id's row of the head's gradient: Y_id = sum_s G[s, id] A_s. */
static void head_row(const struct vs_layer_norms_call *c, size_t b, size_t id, size_t j, size_t count, double *Y)
{
    float g, a[COLUMNS];
    memset(Y, 0, count * sizeof *Y);
    for (size_t row = b * c->T; row < (b + 1) * c->T; row++) {
        widen(c->dtype, c->G, row * c->p + id, 1, &g);
        widen(c->dtype, c->A, row * c->d + j, count, a);
        for (size_t i = 0; i < count; i++) Y[i] += (double)g * (double)a[i];
    }
}

/* Columns j and on of one sample: sum over ids of ||X_id||^2, for tied of ||X_id||^2 + 2 X_id . Y_id. */
static struct part rows_part(const struct vs_layer_norms_call *c, const struct row *rows, size_t b, size_t j)
{
    bool tied = c->kind == VS_LAYER_NORMS_tied;
    const void *gradient = tied ? c->E : c->G;
    size_t width = summed_columns(c), count = width - j < COLUMNS ? width - j : COLUMNS;
    float x[COLUMNS];
    double X[COLUMNS], Y[COLUMNS], n = 0;
    for (size_t first = 0, end; first < c->T; first = end) {
        int64_t id = rows[first].id;
        bool counts = !(c->padded && id == c->padding_id);
        memset(X, 0, sizeof X);
        for (end = first; end < c->T && rows[end].id == id; end++) {
            if (!counts) continue;
            widen(c->dtype, gradient, (b * c->T + (size_t)rows[end].t) * width + j, count, x);
            add(X, x, count);
        }
        n += product(X, X, count);
        if (!tied || !counts || id < 0 || (uint64_t)id >= c->p) continue;
        head_row(c, b, (size_t)id, j, count, Y);
        n += 2 * product(X, Y, count);
    }
    return (struct part){.n = n};
}

static void rows_item(void *state, size_t item, size_t thread)
{
    const struct job *job = state;
    size_t count = blocks(job->call), b = item / count;
    (void)thread;
    job->parts[item] = rows_part(job->call, job->rows + b * job->call->T, b, item % count * COLUMNS);
}

static void rows(struct job *job)
{
    const struct vs_layer_norms_call *c = job->call;
    size_t threads = vs_cpu_threads(c->context);
    vs_parallel(threads, c->B, sort_item, job);
    vs_parallel(threads, c->B * blocks(c), rows_item, job);
}

/* ---- one row per sample ---- */

static double squares_of(enum vs_norms_dtype dtype, const void *X, size_t first, size_t width)
{
    float x[COLUMNS];
    double sum = 0;
    for (size_t j = 0; j < width; j += COLUMNS) {
        size_t count = width - j < COLUMNS ? width - j : COLUMNS;
        widen(dtype, X, first + j, count, x);
        for (size_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

static void outer_item(void *state, size_t b, size_t thread)
{
    const struct vs_layer_norms_call *c = ((const struct job *)state)->call;
    (void)thread;
    c->n[b] = squares_of(c->dtype, c->A, b * c->d, c->d) * squares_of(c->dtype, c->G, b * c->p, c->p);
}

/* The parts of every sample in order. */
static void add_parts(const struct job *job)
{
    const struct vs_layer_norms_call *c = job->call;
    size_t count = blocks(c);
    for (size_t b = 0; b < c->B; b++) {
        struct part sum = {.n = c->kind == VS_LAYER_NORMS_tied ? c->n_head[b] : 0};
        for (size_t i = b * count; i < (b + 1) * count; i++) sum.n += job->parts[i].n, sum.beta += job->parts[i].beta;
        /* Rounding may leave less than nothing where the two parts of `tied` cancel; NaN must stay NaN. */
        c->n[b] = sum.n < 0 ? 0 : sum.n;
        if (c->kind == VS_LAYER_NORMS_layer_norm && c->n_beta) c->n_beta[b] = sum.beta;
    }
}

static int run(const struct vs_layer_norms_call *c)
{
    int err = vs_layer_norms_check(&vs_layer_norms_cpu, c);
    if (err) return err;
    struct job job = {.call = c, .parts = c->workspace};
    if (c->kind == VS_LAYER_NORMS_outer) {
        vs_parallel(vs_cpu_threads(c->context), c->B, outer_item, &job);
        return 0;
    }
    void *behind = job.parts + c->B * blocks(c);
    job.rows = behind;
    job.statistics = behind;
    if (vs_layer_norms_reads(c->kind) & VS_READS_IDS)
        rows(&job);
    else
        columns(&job);
    add_parts(&job);
    return 0;
}

const struct vs_layer_norms vs_layer_norms_cpu = {.workspace_bytes = workspace_bytes, .run = run};
