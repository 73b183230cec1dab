/* SPDX-License-Identifier: MIT
 *
 * comm_sum.h: the arithmetic of collectives on the CPU, per type of element. Sums are made in the order of the terms: float and double
 * in their own type, halves in float with one rounding, to the nearest and to even.
 * Threading: any thread. Errors: none.
 */
#ifndef VS_KERNELS_COMM_SUM_H
#define VS_KERNELS_COMM_SUM_H

#include "kernels/comm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* to [n] = terms[0] + ... + terms[count - 1], count >= 1; `to` is none of them. */
void vs_comm_sum(enum vs_comm_dtype dtype, void *to, const void *const *terms, size_t count, size_t n);
/* to [n] of the type = from, each rounded once, to the nearest and to even. */
void vs_comm_round(enum vs_comm_dtype dtype, void *to, const float *from, size_t n);

#ifdef __cplusplus
}
#endif
#endif
