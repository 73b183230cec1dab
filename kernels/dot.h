/* SPDX-License-Identifier: MIT
 *
 * dot.h: the sum of products of two arrays in float64, and of their sizes: the last step of the CPU's algorithms. Inline
 * because it is their inner loop; it holds nothing else.
 */
#ifndef VS_KERNELS_DOT_H
#define VS_KERNELS_DOT_H

#include <math.h>
#include <stddef.h>

#include "kernels/parallel.h"

/* Four chains: one chain of float64 additions would wait for itself. The order is fixed, so the sum is too. */
#define VS_DOT(name, type)                                                                     \
    static inline struct vs_sums name(const type *x, const type *y, size_t count)              \
    {                                                                                          \
        double n[4] = {0}, absolute[4] = {0};                                                  \
        size_t i = 0;                                                                          \
        for (; i + 4 <= count; i += 4)                                                         \
            for (size_t c = 0; c < 4; c++) {                                                   \
                double product = (double)x[i + c] * (double)y[i + c];                          \
                n[c] += product;                                                               \
                absolute[c] += fabs(product);                                                  \
            }                                                                                  \
        for (; i < count; i++) {                                                               \
            double product = (double)x[i] * (double)y[i];                                      \
            n[0] += product;                                                                   \
            absolute[0] += fabs(product);                                                      \
        }                                                                                      \
        struct vs_sums sums = {(n[0] + n[1]) + (n[2] + n[3]),                                  \
                               (absolute[0] + absolute[1]) + (absolute[2] + absolute[3])};     \
        return sums;                                                                           \
    }
VS_DOT(vs_dot, float)
VS_DOT(vs_dot_f64, double)
#undef VS_DOT

#endif
