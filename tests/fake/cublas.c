/* SPDX-License-Identifier: MIT
 *
 * fake/cublas.c: stand-in for libcublas: takes a workspace, and says what it was called with.
 */
#include <stddef.h>
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
EXPORTED uint64_t fake_cublas_sum(void);
EXPORTED int fake_cublas_within(void *handle, void *workspace, size_t bytes);

#ifndef RESULT
#define RESULT 7
#endif

static uint64_t sum, calls_within;

int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes)
{
    sum += (uintptr_t)handle + 3 * (uintptr_t)workspace + 5 * bytes;
    return RESULT;
}

uint64_t fake_cublas_sum(void)
{
    return sum;
}

/* Through the dynamic linker, like a library that has cuBLAS inside or links it. No tail call: it returns here. */
int fake_cublas_within(void *handle, void *workspace, size_t bytes)
{
    int result = cublasSetWorkspace_v2(handle, workspace, bytes);
    calls_within++;
    return result;
}
