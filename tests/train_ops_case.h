/* SPDX-License-Identifier: MIT
 *
 * train_ops_case.h: one operation of kernels/train.h on the same inputs on the CPU, in float64, and on a GPU, with fences around
 * every buffer. It judges by a bound; the operations are in tests/train_ops_list.c.
 */
#ifndef VS_TESTS_TRAIN_OPS_CASE_H
#define VS_TESTS_TRAIN_OPS_CASE_H

#include "norms_case.h"

enum train_type { TRAIN_E, TRAIN_W, TRAIN_FLOAT, TRAIN_DOUBLE, TRAIN_LONG, TRAIN_INT };

struct train_shape {
    size_t B, T, width;
};

struct train_array {
    enum train_type type;
    size_t count;
    double *values; /* what both sides begin with */
    void *cpu;
    char *block, *gpu; /* with its fences, and within them */
};

enum { TRAIN_ARRAYS = 12 };

/* The same call for both sides. */
struct train_side {
    bool gpu;
    const struct vs_train_ops *ops;
    struct vs_train_on on;
    void *at[TRAIN_ARRAYS];
    void *scratch; /* as many bytes as the case's scratch() says */
};

struct train_test {
    struct norms_gpu g;
    enum vs_train_dtype dtype;
    struct train_shape shape;
    int variant;
    size_t offset; /* elements that the GPU's buffers lie behind a multiple of 256 bytes */
    uint64_t random;
    size_t extra; /* for the case's own use */
    struct train_array arrays[TRAIN_ARRAYS];
    size_t count;
};

struct train_case {
    const char *name;
    int variants;
    void (*make)(struct train_test *t);
    int (*run)(const struct train_test *t, const struct train_side *s);
    size_t (*scratch)(const struct train_test *t, const struct train_side *s); /* NULL: none */
};

/* Adds an array of random values in [-1, 1) that its type can hold (integers: zeros); the values may be changed until it is run. */
double *train_array(struct train_test *t, enum train_type type, size_t count);
/* B coefficients, and where there is a second sample, 0 for it and NaN into `data`, which it must keep from everything. */
void train_coefficients(struct train_test *t, double *data, size_t of_sample);
void train_check(struct train_test *t, const struct train_case *c);

extern const struct train_case train_cases[];
extern const size_t train_case_count;

#endif
