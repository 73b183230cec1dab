/* SPDX-License-Identifier: MIT
 *
 * cpu.h: what the CPU's algorithms share: the context, blocks of workspace, one per thread, and the gradient path that the
 * Gram algorithms fall back to.
 */
#ifndef VS_KERNELS_CPU_H
#define VS_KERNELS_CPU_H

#include <time.h>

#include "kernels/convert.h"
#include "kernels/norm_model.h"
#include "kernels/norms.h"
#include "kernels/parallel.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_cpu_context {
    size_t threads; /* used by calls with this context; set before workspace is asked for */
    struct timespec begin;
    /* What `auto` decides by, operations per second; 0: not measured. */
    double rate[VS_NORMS_DTYPE_COUNT][VS_NORMS_METHODS];
};

/* A call without a context is one before any measurement. */
static inline size_t vs_cpu_threads(const void *context)
{
    return context ? ((const struct vs_cpu_context *)context)->threads : vs_parallel_threads();
}

/* Blocks start at whole cache lines, so that no two threads write to one. */
static inline size_t vs_cpu_align(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static inline size_t vs_cpu_larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* direct: the block of one thread for this layer, and the norm of samples first .. first + count, in blocks of the layer's own
 * or larger size. */
size_t vs_direct_block_bytes(enum vs_norms_dtype dtype, const struct vs_norms_layer *layer);
void vs_direct_samples(enum vs_norms_dtype dtype, const struct vs_norms_layer *layer, size_t first, size_t count, size_t threads,
                       void *blocks, double *n);

/* What both Gram algorithms do with a sample's sums: store them, with n = VS_AGAIN where n is lost in cancellation. */
#define VS_AGAIN (-1.0)
void vs_gram_judge(const struct vs_norms_layer *layer, size_t b, const struct vs_sums *sums);
/* Then these samples from their gradient, counted; blocks as of vs_direct_samples. */
void vs_gram_again(const struct vs_norms_call *call, const struct vs_norms_layer *layer, void *blocks);

/* All of A, or all of G, as a framework's cast makes it: X itself when it is float32, else `to`, filled. */
const float *vs_cpu_floats(const struct vs_norms_call *call, const void *X, size_t rows, size_t cols, float *to);

/* device_measure.c, norm_auto.c: what device.h says of them. */
int vs_cpu_ceiling(void *context, enum vs_norms_dtype dtype, double *operations_per_s);
int vs_cpu_calibrate(void *context, enum vs_norms_dtype dtype);
const char *vs_cpu_choice(const struct vs_norms_call *call, size_t layer, double expected_ms[3]);

#ifdef __cplusplus
}
#endif
#endif
