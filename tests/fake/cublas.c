/* SPDX-License-Identifier: MIT
 *
 * fake/cublas.c: stand-in for libcublas: takes a workspace, and says what it was called with.
 */
#include <stddef.h>
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
EXPORTED uint64_t fake_cublas_sum(void);

static uint64_t sum;

int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes)
{
    sum += (uintptr_t)handle + 3 * (uintptr_t)workspace + 5 * bytes;
    return 7;
}

uint64_t fake_cublas_sum(void)
{
    return sum;
}
