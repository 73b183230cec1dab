/* SPDX-License-Identifier: MIT
 *
 * dot.h: the sum of products of two float32 arrays in float64, the last step of both CPU Gram algorithms. Inline
 * because it is their inner loop; it holds nothing else.
 */
#ifndef VS_KERNELS_DOT_H
#define VS_KERNELS_DOT_H

#include <stddef.h>

/* Four chains: one chain of float64 additions would wait for itself. The order is fixed, so the sum is too. */
static inline double vs_dot(const float *x, const float *y, size_t n)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += (double)x[i] * (double)y[i];
        s1 += (double)x[i + 1] * (double)y[i + 1];
        s2 += (double)x[i + 2] * (double)y[i + 2];
        s3 += (double)x[i + 3] * (double)y[i + 3];
    }
    for (; i < n; i++) s0 += (double)x[i] * (double)y[i];
    return (s0 + s1) + (s2 + s3);
}

#endif
