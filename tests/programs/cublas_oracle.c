/* SPDX-License-Identifier: MIT */
/* link: -ldl -lpthread -l:libcublas.so.13 -l:libcublasLt.so.13 */
/*
 * cublas_oracle.c: a program that takes two workspaces from PyTorch's allocator and hands them to cuBLAS many times, on two
 * threads. Includes nothing of the profiler. Exit status 0: every call reached cuBLAS unchanged, and so did what it
 * returned.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
uint64_t fake_cublas_sum(void);
int cublasLtMatmul(void *p0, void *p1, void *p2, void *p3, void *p4, void *p5, void *p6, void *p7, void *p8, void *p9,
                   void *p10, void *p11, void *p12, void *workspace, size_t bytes, void *stream);
uint64_t fake_cublaslt_sum(void);

enum { CALLS = 1100, BYTES = 33554432 };

static void *word(uintptr_t n)
{
    return (void *)n;
}

static void *matmuls(void *workspace)
{
    uint64_t expected = 1000 * (uint64_t)BYTES + 29 * (uint64_t)115;
    for (uintptr_t i = 0; i < 13; i++) expected += (2 * i + 1) * (101 + i);
    expected += 27 * (uint64_t)(uintptr_t)workspace;
    for (int i = 0; i < CALLS; i++) {
        errno = ERANGE;
        if (cublasLtMatmul(word(101), word(102), word(103), word(104), word(105), word(106), word(107), word(108), word(109),
                           word(110), word(111), word(112), word(113), workspace, BYTES, word(115)) != 9 ||
            errno != ERANGE)
            return word(1);
    }
    return fake_cublaslt_sum() == CALLS * expected ? NULL : word(2);
}

int main(void)
{
    void *c10 = dlopen("libc10.so", RTLD_NOW | RTLD_LOCAL), *cuda = dlopen("libc10_cuda.so", RTLD_NOW | RTLD_LOCAL), *failed;
    void *(*report)(void *, int64_t, int, int, int);
    pthread_t thread;
    if (!c10 || !cuda) return 3;
    *(void **)&report = dlsym(cuda, "fake_torch_report");
    if (cublasSetWorkspace_v2(word(1), NULL, 0) != 7) return 4; /* before there is anything to record */
    void *p = report(NULL, BYTES, 1, 0, 0), *q = report(NULL, BYTES, 1, 0, 0);
    for (int i = 0; i < CALLS; i++) {
        errno = ERANGE;
        if (cublasSetWorkspace_v2(word(1), p, BYTES) != 7 || errno != ERANGE) return 5;
    }
    if (fake_cublas_sum() != 1 + CALLS * (1 + 3 * (uint64_t)(uintptr_t)p + 5 * (uint64_t)BYTES)) return 6;
    if (pthread_create(&thread, NULL, matmuls, q) || pthread_join(thread, &failed) || failed) return 7;
    return 0;
}
