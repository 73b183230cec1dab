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
typedef void cblas_dgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a, int lda,
                            const double *b, int ldb, double beta, double *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* values fixed by the CBLAS standard */

static struct {
    pthread_once_t once;
    cblas_sgemm_fn *sgemm;
    cblas_dgemm_fn *dgemm;
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
        cblas_dgemm_fn *dgemm = (cblas_dgemm_fn *)dlsym(handle, "cblas_dgemm");
        if (!sgemm || !dgemm || !set_threads) continue;
        char version[32] = "", library[64];
        if (config && sscanf(config(), "%*s %31s", version) != 1) version[0] = 0; /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
        snprintf(library, sizeof library, "OpenBLAS%s%s", *version ? " " : "", version);
        name_it(library);
        set_threads(1);
        blas.sgemm = sgemm;
        blas.dgemm = dgemm;
        return;
    }
}

const char *vs_gemm_name(void)
{
    pthread_once(&blas.once, find_blas);
    return blas.name;
}

void vs_gemm(const struct vs_gemm *g)
{
    int tx = g->transpose_x ? TRANS : NO_TRANS, ty = g->transpose_y ? TRANS : NO_TRANS;
    int m = (int)g->m, n = (int)g->n, k = (int)g->k, ldx = (int)g->ldx, ldy = (int)g->ldy, ldc = (int)g->ldc;
    pthread_once(&blas.once, find_blas);
    if (!blas.sgemm)
        vs_gemm_own(g);
    else if (g->wide)
        blas.dgemm(ROW_MAJOR, tx, ty, m, n, k, g->alpha, g->X, ldx, g->Y, ldy, g->beta, g->C, ldc);
    else
        blas.sgemm(ROW_MAJOR, tx, ty, m, n, k, (float)g->alpha, g->X, ldx, g->Y, ldy, (float)g->beta, g->C, ldc);
}

void vs_gemm_nt(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C, size_t ldc)
{
    vs_gemm(&(struct vs_gemm){false, false, true, m, n, k, 1, 0, X, Y, C, ldx, ldy, ldc});
}

void vs_gemm_tn(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C, size_t ldc)
{
    vs_gemm(&(struct vs_gemm){false, true, false, m, n, k, 1, 0, X, Y, C, ldx, ldy, ldc});
}

enum { DEPTH = 256, HEIGHT = 4 }; /* of the own loops */

#define REAL float
#define NAME(x) x##_f32
#include "kernels/gemm_own.inc"
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) x##_f64
#include "kernels/gemm_own.inc"
#undef REAL
#undef NAME

void vs_gemm_own(const struct vs_gemm *g)
{
    if (g->wide)
        own_f64(g);
    else
        own_f32(g);
}

void vs_gemm_nt_own(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C,
                    size_t ldc)
{
    own_f32(&(struct vs_gemm){false, false, true, m, n, k, 1, 0, X, Y, C, ldx, ldy, ldc});
}

void vs_gemm_tn_own(size_t m, size_t n, size_t k, const float *X, size_t ldx, const float *Y, size_t ldy, float *C,
                    size_t ldc)
{
    own_f32(&(struct vs_gemm){false, true, false, m, n, k, 1, 0, X, Y, C, ldx, ldy, ldc});
}
