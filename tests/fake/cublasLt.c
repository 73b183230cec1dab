/* SPDX-License-Identifier: MIT
 *
 * fake/cublasLt.c: stand-in for libcublasLt: one function with many arguments, and what it was called with.
 */
#include <stddef.h>
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int cublasLtMatmul(void *p0, void *p1, void *p2, void *p3, void *p4, void *p5, void *p6, void *p7, void *p8,
                            void *p9, void *p10, void *p11, void *p12, void *workspace, size_t bytes, void *stream);
EXPORTED uint64_t fake_cublaslt_sum(void);

static uint64_t sum;

int cublasLtMatmul(void *p0, void *p1, void *p2, void *p3, void *p4, void *p5, void *p6, void *p7, void *p8, void *p9,
                   void *p10, void *p11, void *p12, void *workspace, size_t bytes, void *stream)
{
    const void *const all[] = {p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, workspace, stream};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sum += (2 * i + 1) * (uintptr_t)all[i];
    sum += 1000 * bytes;
    return 9;
}

uint64_t fake_cublaslt_sum(void)
{
    return sum;
}
