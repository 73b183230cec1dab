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

#include "kernels/clones.h"
#include "kernels/parallel.h"

typedef void cblas_sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* values fixed by the CBLAS standard */

static struct {
    pthread_once_t once;
    cblas_sgemm_fn *sgemm;
    char name[96];
} blas = {.once = PTHREAD_ONCE_INIT};

static void name_it(const char *library)
{
    size_t count = vs_parallel_threads();
    snprintf(blas.name, sizeof blas.name, "%s, %zu thread%s", library, count, count == 1 ? "" : "s");
}

static void find_blas(void)
{
    name_it("own loops");
#ifdef __SANITIZE_THREAD__
    return; /* ThreadSanitizer cannot see how OpenBLAS waits for its threads and takes their results for races */
#endif
    static const char *const names[] = {"libopenblas.so.0", "libopenblasp.so.0", "libopenblas.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!handle) continue;
        void (*set_threads)(int) = (void (*)(int))dlsym(handle, "openblas_set_num_threads");
        char *(*config)(void) = (char *(*)(void))dlsym(handle, "openblas_get_config");
        cblas_sgemm_fn *sgemm = (cblas_sgemm_fn *)dlsym(handle, "cblas_sgemm");
        if (!sgemm || !set_threads) continue;
        char version[32] = "", library[64];
        if (config && sscanf(config(), "%*s %31s", version) != 1) version[0] = 0; /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
        snprintf(library, sizeof library, "OpenBLAS%s%s", *version ? " " : "", version);
        name_it(library);
        set_threads(1);
        blas.sgemm = sgemm;
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

void vs_gemm_tn(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C, size_t ldc)
{
    pthread_once(&blas.once, find_blas);
    if (blas.sgemm)
        blas.sgemm(ROW_MAJOR, TRANS, NO_TRANS, (int)m, (int)n, (int)k, 1.0f, X, (int)ldx, Y, (int)ldy, 0.0f, C, (int)ldc);
    else
        vs_gemm_tn_own(m, n, k, X, ldx, Y, ldy, C, ldc);
}

/* Own loops: a panel of Y goes once into cache (DEPTH x 16 floats, 16 KiB) so that the inner loop runs along C's columns with
 * unit stride and needs no horizontal sum; 4 rows x 16 columns of C stay in registers. */
enum { DEPTH = 256, WIDTH = 16, HEIGHT = 4 };
typedef float vec8 __attribute__((vector_size(32), aligned(4)));

/* A factor: how far apart its elements are along C, and along the index that is summed. */
struct factor {
    const float *at;
    size_t outer, inner;
};

VS_CLONES static void multiply_panel(size_t m, size_t n, size_t k, struct factor X, const float (*panel)[WIDTH], float *C,
                                     size_t ldc)
{
    for (size_t i = 0; i < m; i += HEIGHT) {
        size_t rows = m - i < HEIGHT ? m - i : HEIGHT;
        const float *x[HEIGHT]; /* rows beyond the end read the last one again and are not stored */
        for (size_t r = 0; r < HEIGHT; r++) x[r] = X.at + (i + (r < rows ? r : rows - 1)) * X.outer;
        vec8 a0 = {0}, a1 = {0}, b0 = {0}, b1 = {0}, c0 = {0}, c1 = {0}, d0 = {0}, d1 = {0};
        for (size_t l = 0; l < k; l++) {
            vec8 y0 = *(const vec8 *)panel[l], y1 = *(const vec8 *)(panel[l] + 8);
            size_t at = l * X.inner;
            a0 += x[0][at] * y0, a1 += x[0][at] * y1;
            b0 += x[1][at] * y0, b1 += x[1][at] * y1;
            c0 += x[2][at] * y0, c1 += x[2][at] * y1;
            d0 += x[3][at] * y0, d1 += x[3][at] * y1;
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

static void multiply(size_t m, size_t n, size_t k, struct factor X, struct factor Y, float *C, size_t ldc)
{
    float panel[DEPTH][WIDTH];
    for (size_t i = 0; i < m; i++) memset(C + i * ldc, 0, n * sizeof *C);
    for (size_t j = 0; j < n; j += WIDTH) {
        size_t cols = n - j < WIDTH ? n - j : WIDTH;
        for (size_t l = 0; l < k; l += DEPTH) {
            size_t depth = k - l < DEPTH ? k - l : DEPTH;
            struct factor part = {X.at + l * X.inner, X.outer, X.inner};
            memset(panel, 0, sizeof panel);
            for (size_t c = 0; c < cols; c++)
                for (size_t q = 0; q < depth; q++) panel[q][c] = Y.at[(j + c) * Y.outer + (l + q) * Y.inner];
            multiply_panel(m, cols, depth, part, (const float(*)[WIDTH])panel, C + j, ldc);
        }
    }
}

void vs_gemm_nt_own(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C,
                    size_t ldc)
{
    multiply(m, n, k, (struct factor){X, ldx, 1}, (struct factor){Y, ldy, 1}, C, ldc);
}

void vs_gemm_tn_own(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C,
                    size_t ldc)
{
    multiply(m, n, k, (struct factor){X, 1, ldx}, (struct factor){Y, 1, ldy}, C, ldc);
}
