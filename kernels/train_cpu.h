/* SPDX-License-Identifier: MIT
 *
 * train_cpu.h: what the files of the CPU's training operations share. Each of them holds a few operations of train.h; what
 * depends on the element type is in a .inc file, which its .c file includes once for float and once for double.
 *
 * No result depends on the number of threads: the sizes of the items below are fixed, and every element of a result is
 * computed within one item, in one order.
 */
#ifndef VS_KERNELS_TRAIN_CPU_H
#define VS_KERNELS_TRAIN_CPU_H

#include <errno.h>

#include "kernels/cpu.h"
#include "kernels/train.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VS_TRAIN_CPU_OPS(X)                                                                                                \
    X(product) X(embed) X(embed_gradient) X(position_gradient) X(norm_forward) X(norm_backward) X(column_workspace_bytes)  \
    X(norm_gradient) X(bias_gradient) X(bias_relu) X(relu_backward) X(swiglu) X(swiglu_backward) X(rotate)                 \
    X(attention_workspace_bytes) X(attention) X(attention_backward) X(attention_by) X(loss) X(sample_loss) X(clip)         \
    X(scale_samples) X(square_sum_workspace_bytes) X(square_sum) X(weighted_sum) X(fill) X(update) X(zero) X(drop)
#define X(op) extern __typeof__(*((struct vs_train_ops *)NULL)->op) vs_train_cpu_##op;
VS_TRAIN_CPU_OPS(X)
#undef X

/* Elements of one item, so that it is worth a thread; columns that are summed at a time, in float64, on the stack. */
enum { VS_TRAIN_GRAIN = 8192, VS_TRAIN_COLUMNS = 64 };

/* Rows of one item. */
static inline size_t vs_train_grain_rows(size_t width)
{
    return width < VS_TRAIN_GRAIN ? VS_TRAIN_GRAIN / width : 1;
}

static inline size_t vs_train_items(size_t all, size_t per_item)
{
    return all / per_item + (all % per_item != 0);
}

/* Where an item that begins at `first` ends. */
static inline size_t vs_train_end(size_t first, size_t per_item, size_t all)
{
    return all - first < per_item ? all : first + per_item;
}

/* A missing coefficient is 1. */
static inline double vs_train_coefficient(const float *c, size_t b)
{
    return c ? (double)c[b] : 1;
}

/* 0, or why the CPU cannot compute with this. `good`: are the buffers and the shape of the call what they must be? */
static inline int vs_train_cpu_check(const struct vs_train_on *on, bool good)
{
    if (!on || (unsigned)on->dtype >= VS_TRAIN_DTYPE_COUNT) return -EINVAL;
    if (on->dtype == VS_TRAIN_bf16) return -ENOTSUP;
    return good ? 0 : -EINVAL;
}

/* Which of the two copies of a .inc file this call takes. */
static inline bool vs_train_cpu_is_double(const struct vs_train_on *on)
{
    return on->dtype == VS_TRAIN_fp64;
}
#define VS_TRAIN_RUN(on, items, work, state) \
    vs_parallel(vs_cpu_threads((on)->context), items, vs_train_cpu_is_double(on) ? work##_f64 : work##_f32, state)

#ifdef __cplusplus
}
#endif
#endif
