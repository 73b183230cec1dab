/* SPDX-License-Identifier: MIT
 *
 * layer_norms_case.h: inputs for every kind of kernels/layer_norms.h, and what its norms must be: the gradient itself, formed
 * in float64 by its definition, squared and summed. It shares no step with what it judges.
 */
#ifndef VS_TESTS_LAYER_NORMS_CASE_H
#define VS_TESTS_LAYER_NORMS_CASE_H

#include "kernels/layer_norms.h"
#include "norms_case.h"

/* What the ids of a sample look like: X(name, what it is). */
#define LAYER_IDS(X)                                             \
    X(repeated, "random, most several times")                    \
    X(single, "one id in all rows")                              \
    X(distinct, "no two alike")                                  \
    X(skewed, "one id in most rows, few others")                 \
    X(wild, "the ends of int64, negative ones, and some twice")  \
    X(padded, "repeated, and 2 is the padding")

enum layer_ids {
#define X(name, what) LAYER_IDS_##name,
    LAYER_IDS(X)
#undef X
        LAYER_IDS_COUNT
};

static const struct norms_shape layer_shapes[] = {
    /* ones, primes, below and above the blocks of columns (256 elements) and the chunks of rows (32, 128, and more from T 4096) */
    {1, 1, 1, 1},     {3, 1, 5, 7},     {2, 17, 3, 1},    {4, 31, 33, 65},  {2, 129, 40, 72},   {1, 300, 130, 257},
    {5, 64, 64, 64},  {2, 1030, 24, 16}, {1, 5000, 3, 8},  {1500, 2, 3, 4},  {1, 40, 72, 2056}, {3, 33, 1281, 7},
};
enum { LAYER_SHAPES = sizeof layer_shapes / sizeof *layer_shapes };

const char *layer_kind_name(enum vs_layer_norms_kind kind);

/* A call with inputs on the host; outer gets T = 1. n and n_beta are NaN. `workspace` is NULL. */
void layer_case_make(enum vs_layer_norms_kind kind, enum vs_norms_dtype dtype, const struct norms_shape *shape, enum layer_ids ids,
                     uint64_t seed, struct vs_layer_norms_call *call);
void layer_case_drop(struct vs_layer_norms_call *call);

/* Columns of A and E, and of the embedding's gradient. */
size_t layer_width_A(const struct vs_layer_norms_call *call);

/* The norms of the host's inputs, and the size of what was added up (n, but for tied ||X||^2 + ||Y||^2). Each B values or NULL.
 * Sets n_head to ||Y||^2. */
void layer_case_expect(struct vs_layer_norms_call *call, double *n, double *n_beta, double *scale);

#endif
