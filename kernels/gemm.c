/* SPDX-License-Identifier: MIT
 *
 * gemm.c: finds OpenBLAS at run time and owns the loops used without it. Nothing is linked: the binary runs on machines
 * that have no BLAS, and uses one where it is installed.
 */
#include "kernels/gemm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef void cblas_sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* values fixed by the CBLAS standard */

static struct {
    pthread_once_t once;
    cblas_sgemm_fn *sgemm;
    char name[96];
} blas = {.once = PTHREAD_ONCE_INIT, .name = "own loops"};

static void find_blas(void)
{
#ifdef __SANITIZE_THREAD__
    return; /* ThreadSanitizer cannot see how OpenBLAS waits for its threads and takes their results for races */
#endif
    static const char *const names[] = {"libopenblas.so.0", "libopenblasp.so.0", "libopenblas.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!handle) continue;
        blas.sgemm = (cblas_sgemm_fn *)dlsym(handle, "cblas_sgemm");
        int (*threads)(void) = (int (*)(void))dlsym(handle, "openblas_get_num_threads");
        char *(*config)(void) = (char *(*)(void))dlsym(handle, "openblas_get_config");
        if (!blas.sgemm) continue;
        char version[32] = "";
        if (config && sscanf(config(), "%*s %31s", version) != 1) version[0] = 0; /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
        int count = threads ? threads() : 1;
        snprintf(blas.name, sizeof blas.name, "OpenBLAS %s, %d thread%s", version, count, count == 1 ? "" : "s");
        return;
    }
}

const char *vs_gemm_name(void)
{
    pthread_once(&blas.once, find_blas);
    return blas.name;
}

void vs_gemm_nt(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C, size_t ldc)
{
    pthread_once(&blas.once, find_blas);
    if (blas.sgemm)
        blas.sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)m, (int)n, (int)k, 1.0f, X, (int)ldx, Y, (int)ldy, 0.0f, C, (int)ldc);
    else
        vs_gemm_nt_own(m, n, k, X, ldx, Y, ldy, C, ldc);
}

/* Own loops: a panel of Y is transposed once into cache (DEPTH x 16 floats, 16 KiB) so that the inner loop runs along
 * C's columns with unit stride and needs no horizontal sum; 4 rows x 16 columns of C stay in registers. */
enum { DEPTH = 256, WIDTH = 16, HEIGHT = 4 };
typedef float vec8 __attribute__((vector_size(32), aligned(4)));

/* The same source compiled for AVX2 machines and for all others; sanitizers cannot run the resolver that picks one. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=haswell", "default")))
#else
#define CLONES
#endif

CLONES static void multiply_panel(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float (*panel)[WIDTH],
                                  float *C, size_t ldc)
{
    for (size_t i = 0; i < m; i += HEIGHT) {
        size_t rows = m - i < HEIGHT ? m - i : HEIGHT;
        const float *x[HEIGHT]; /* rows beyond the end read the last one again and are not stored */
        for (size_t r = 0; r < HEIGHT; r++) x[r] = X + (i + (r < rows ? r : rows - 1)) * ldx;
        vec8 a0 = {0}, a1 = {0}, b0 = {0}, b1 = {0}, c0 = {0}, c1 = {0}, d0 = {0}, d1 = {0};
        for (size_t l = 0; l < k; l++) {
            vec8 y0 = *(const vec8 *)panel[l], y1 = *(const vec8 *)(panel[l] + 8);
            a0 += x[0][l] * y0, a1 += x[0][l] * y1;
            b0 += x[1][l] * y0, b1 += x[1][l] * y1;
            c0 += x[2][l] * y0, c1 += x[2][l] * y1;
            d0 += x[3][l] * y0, d1 += x[3][l] * y1;
        }
        float out[HEIGHT][WIDTH];
        memcpy(out[0], &a0, 32), memcpy(out[0] + 8, &a1, 32);
        memcpy(out[1], &b0, 32), memcpy(out[1] + 8, &b1, 32);
        memcpy(out[2], &c0, 32), memcpy(out[2] + 8, &c1, 32);
        memcpy(out[3], &d0, 32), memcpy(out[3] + 8, &d1, 32);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < n; j++) C[(i + r) * ldc + j] += out[r][j];
    }
}

void vs_gemm_nt_own(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C,
                    size_t ldc)
{
    float panel[DEPTH][WIDTH];
    for (size_t i = 0; i < m; i++) memset(C + i * ldc, 0, n * sizeof *C);
    for (size_t j = 0; j < n; j += WIDTH) {
        size_t cols = n - j < WIDTH ? n - j : WIDTH;
        for (size_t l = 0; l < k; l += DEPTH) {
            size_t depth = k - l < DEPTH ? k - l : DEPTH;
            memset(panel, 0, sizeof panel);
            for (size_t c = 0; c < cols; c++)
                for (size_t q = 0; q < depth; q++) panel[q][c] = Y[(j + c) * ldy + l + q];
            multiply_panel(m, cols, depth, X + l, ldx, (const float(*)[WIDTH])panel, C + j, ldc);
        }
    }
}
