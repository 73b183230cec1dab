/* SPDX-License-Identifier: MIT
 *
 * convert.h: elements of every type of norms.h as float32, exactly: NaN stays NaN, subnormals stay what they are.
 * Threading: any thread. Errors: none.
 */
#ifndef VS_KERNELS_CONVERT_H
#define VS_KERNELS_CONVERT_H

#include "kernels/norms.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Are elements float32 in memory, so that there is nothing to convert? */
static inline bool vs_is_float(enum vs_norms_dtype dtype)
{
    return dtype == VS_NORMS_fp32 || dtype == VS_NORMS_tf32;
}

/* The element `at` of an array. */
static inline const void *vs_element(enum vs_norms_dtype dtype, const void *X, size_t at)
{
    return (const char *)X + at * vs_norms_dtype_bytes(dtype);
}

/* rows x cols elements of a matrix with row stride `stride` (elements), to dense rows. */
void vs_convert(enum vs_norms_dtype dtype, const void *from, size_t stride, size_t rows, size_t cols, float *to);

#ifdef __cplusplus
}
#endif
#endif
