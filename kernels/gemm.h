/* SPDX-License-Identifier: MIT
 *
 * gemm.h: the one matrix product the CPU algorithms need, by OpenBLAS when the machine has it, else by own loops.
 *
 * C[m,n] = X[m,k] Y[n,k]^T, all row-major with row strides ldx, ldy, ldc (elements), float32. C is overwritten and must
 * not overlap X or Y. Every stride >= its row length; m, n, k >= 1 and within int.
 * Threading: any thread. OpenBLAS uses its own threads (OPENBLAS_NUM_THREADS); the own loops use the caller's.
 * Errors: none.
 */
#ifndef VS_KERNELS_GEMM_H
#define VS_KERNELS_GEMM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void vs_gemm_nt(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C, size_t ldc);
/* The own loops, whatever the machine has. */
void vs_gemm_nt_own(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C,
                    size_t ldc);
/* What vs_gemm_nt uses: "OpenBLAS" with its version and threads, or "own loops". Valid for the life of the process. */
const char *vs_gemm_name(void);

#ifdef __cplusplus
}
#endif
#endif
