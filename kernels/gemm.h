/* SPDX-License-Identifier: MIT
 *
 * gemm.h: the matrix products the CPU needs, by OpenBLAS when the machine has it, else by own loops.
 *
 * nt: C[m,n] = X[m,k] Y[n,k]^T; tn: C[m,n] = X[k,m]^T Y[k,n]. All row-major with row strides ldx, ldy, ldc (elements), float32.
 * C is overwritten and must not overlap X or Y. vs_gemm: every form, of float32 or float64. Every stride
 * >= its row length; m, n, k >= 1 and within int.
 * Threading: any thread; a product runs on the caller's thread alone. Callers share products out over threads (parallel.h),
 *            which is faster for their sizes than threads inside; OpenBLAS is told to use one, for the whole process.
 * Errors: none.
 */
#ifndef VS_KERNELS_GEMM_H
#define VS_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void vs_gemm_fn(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C,
                        size_t ldc);
vs_gemm_fn vs_gemm_nt, vs_gemm_tn;
/* The own loops, whatever the machine has. */
vs_gemm_fn vs_gemm_nt_own, vs_gemm_tn_own;

/* C[m,n] = beta C + alpha op(X) op(Y), op(X) m x k and op(Y) k x n, of X [m,k] or, transposed, [k,m], and Y [k,n] or [n,k].
 * With beta 0 C is not read. */
struct vs_gemm {
    bool wide; /* float64, else float32 */
    bool transpose_x, transpose_y;
    size_t m, n, k;
    double alpha, beta;
    const void *X, *Y;
    void *C;
    size_t ldx, ldy, ldc;
};
void vs_gemm(const struct vs_gemm *g);
void vs_gemm_own(const struct vs_gemm *g);

/* What is used: "OpenBLAS" with its version, or "own loops", and the number of threads. Valid for the life of the process. */
const char *vs_gemm_name(void);

#ifdef __cplusplus
}
#endif
#endif
