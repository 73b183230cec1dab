/* SPDX-License-Identifier: MIT
 *
 * layer_norms_case.c: inputs and definitions for the tests of kernels/layer_norms.h. It judges nothing.
 */
#include "layer_norms_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *layer_kind_name(enum vs_layer_norms_kind kind)
{
    static const char *const names[] = {
#define X(name, what) #name,
        VS_LAYER_NORMS_KINDS(X)
#undef X
    };
    return names[kind];
}

size_t layer_width_A(const struct vs_layer_norms_call *c)
{
    return c->kind == VS_LAYER_NORMS_tied || c->kind == VS_LAYER_NORMS_outer ? c->d : c->p;
}

static void *room(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static void *randomized(enum vs_norms_dtype dtype, size_t count, double middle, uint64_t *state)
{
    void *X = room(count, vs_norms_dtype_bytes(dtype));
    for (size_t i = 0; i < count; i++) norms_put(dtype, X, i, norms_round(dtype, middle + norms_random(state)));
    return X;
}

static int64_t id_of(enum layer_ids ids, size_t T, size_t t, uint64_t *state)
{
    static const int64_t wild[] = {INT64_MIN, INT64_MAX, -1, 0, 3, INT64_MIN + 1, (int64_t)1 << 40, -((int64_t)1 << 32)};
    size_t random = (size_t)((norms_random(state) + 1) / 2 * 1e6);
    switch (ids) {
    case LAYER_IDS_single: return 5;
    case LAYER_IDS_distinct: return (int64_t)((t * 7919) % 1000003); /* 7919 and 1000003 are prime */
    case LAYER_IDS_skewed: return random % 10 ? 1 : (int64_t)(random % 4);
    case LAYER_IDS_wild: return wild[random % (sizeof wild / sizeof *wild)];
    default: return (int64_t)(random % (T / 3 + 2));
    }
}

void layer_case_make(enum vs_layer_norms_kind kind, enum vs_norms_dtype dtype, const struct norms_shape *s, enum layer_ids ids,
                     uint64_t seed, struct vs_layer_norms_call *c)
{
    uint64_t state = seed * 7919 + s->T;
    size_t T = kind == VS_LAYER_NORMS_outer ? 1 : s->T;
    *c = (struct vs_layer_norms_call){.kind = kind, .dtype = dtype, .B = s->B, .T = T, .d = s->d, .p = s->p, .eps = 1e-5,
                                      .padded = ids == LAYER_IDS_padded, .padding_id = 2};
    int64_t *places = room(c->B * T, sizeof *places);
    for (size_t i = 0; i < c->B * T; i++) places[i] = id_of(ids, T, i % T, &state);
    c->ids = places;
    c->A = randomized(dtype, c->B * T * layer_width_A(c), 0.25, &state);
    c->G = randomized(dtype, c->B * T * c->p, 0, &state);
    c->E = randomized(dtype, c->B * T * c->d, 0, &state);
    c->n_head = room(c->B, sizeof(double));
    c->n = room(c->B, sizeof(double));
    c->n_beta = room(c->B, sizeof(double));
    for (size_t b = 0; b < c->B; b++) c->n[b] = c->n_beta[b] = (double)NAN;
}

void layer_case_drop(struct vs_layer_norms_call *c)
{
    free((void *)c->ids), free((void *)c->A), free((void *)c->G), free((void *)c->E), free((void *)c->n_head);
    free(c->n), free(c->n_beta), free(c->workspace);
}

/* ---- definitions ---- */

static double value(const struct vs_layer_norms_call *c, const void *X, size_t row, size_t width, size_t column)
{
    return norms_get(c->dtype, X, row * width + column);
}

static double squares(const double *X, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += X[i] * X[i];
    return sum;
}

/* Over all rows: sum of G (scale NULL) or of G * scale. */
static double vector_norm(const struct vs_layer_norms_call *c, size_t b, const double *scale)
{
    double *gradient = room(c->p, sizeof *gradient);
    for (size_t t = 0; t < c->T; t++)
        for (size_t i = 0; i < c->p; i++)
            gradient[i] += value(c, c->G, b * c->T + t, c->p, i) * (scale ? scale[t * c->p + i] : 1);
    double n = squares(gradient, c->p);
    free(gradient);
    return n;
}

/* xhat of all rows of a sample. */
static double *normalized(const struct vs_layer_norms_call *c, size_t b)
{
    double *all = room(c->T * c->p, sizeof *all), p = (double)c->p;
    for (size_t t = 0; t < c->T; t++) {
        double *row = all + t * c->p, mean = 0, variance = 0;
        for (size_t i = 0; i < c->p; i++) row[i] = value(c, c->A, b * c->T + t, c->p, i);
        for (size_t i = 0; c->kind == VS_LAYER_NORMS_layer_norm && i < c->p; i++) mean += row[i] / p;
        for (size_t i = 0; i < c->p; i++) variance += pow(row[i] - mean, 2) / p;
        for (size_t i = 0; i < c->p; i++) row[i] = (row[i] - mean) / sqrt(variance + c->eps);
    }
    return all;
}

/* The table's rows in the order in which ids turn up; for tied, ids 0 .. p - 1 come first, with the head's rows in them. */
static double table_norm(const struct vs_layer_norms_call *c, size_t b, bool embedding, bool head)
{
    bool tied = c->kind == VS_LAYER_NORMS_tied;
    const void *gradient = tied ? c->E : c->G;
    size_t width = tied ? c->d : c->p, known = tied ? c->p : 0;
    int64_t *ids = room(known + c->T, sizeof *ids);
    double *table = room((known + c->T) * width, sizeof *table);
    for (size_t v = 0; v < known; v++) ids[v] = (int64_t)v;
    for (size_t t = 0; embedding && t < c->T; t++) {
        int64_t id = c->ids[b * c->T + t];
        size_t v = 0;
        if (c->padded && id == c->padding_id) continue;
        while (v < known && ids[v] != id) v++;
        if (v == known) ids[known++] = id;
        for (size_t i = 0; i < width; i++) table[v * width + i] += value(c, gradient, b * c->T + t, width, i);
    }
    for (size_t s = 0; head && s < c->T; s++)
        for (size_t v = 0; v < c->p; v++) {
            double g = value(c, c->G, b * c->T + s, c->p, v);
            for (size_t i = 0; i < width; i++) table[v * width + i] += g * value(c, c->A, b * c->T + s, width, i);
        }
    double n = squares(table, known * width);
    free(ids), free(table);
    return n;
}

static double product_norm(const struct vs_layer_norms_call *c, size_t b)
{
    double n = 0, *row = room(c->d, sizeof *row); /* of the gradient; squared row by row, or a million roundings add up */
    for (size_t i = 0; i < c->p; i++) {
        for (size_t j = 0; j < c->d; j++) row[j] = value(c, c->G, b, c->p, i) * value(c, c->A, b, c->d, j);
        n += squares(row, c->d);
    }
    free(row);
    return n;
}

void layer_case_expect(struct vs_layer_norms_call *c, double *n, double *n_beta, double *scale)
{
    for (size_t b = 0; b < c->B; b++) {
        double all = 0, size, *factors = NULL;
        bool beta = c->kind == VS_LAYER_NORMS_layer_norm;
        switch (c->kind) {
        case VS_LAYER_NORMS_layer_norm:
        case VS_LAYER_NORMS_rms_norm: factors = normalized(c, b); /* fall through */
        case VS_LAYER_NORMS_bias: all = vector_norm(c, b, factors); break;
        case VS_LAYER_NORMS_outer: all = product_norm(c, b); break;
        default: all = table_norm(c, b, true, c->kind == VS_LAYER_NORMS_tied);
        }
        size = all;
        if (c->kind == VS_LAYER_NORMS_tied) {
            ((double *)c->n_head)[b] = table_norm(c, b, false, true);
            size = c->n_head[b] + table_norm(c, b, true, false);
        }
        if (n) n[b] = all;
        if (n_beta) n_beta[b] = beta ? vector_norm(c, b, NULL) : (double)NAN;
        if (scale) scale[b] = size;
        free(factors);
    }
}
