/* SPDX-License-Identifier: MIT
 *
 * cuda_oracle_runtime.h: the oracle through the CUDA runtime, and what the runtime lacks through its entry-point query.
 */
#include "tests/fake/cudart_api.h"

static int oracle_malloc(void **p, size_t n) { return cudaMalloc(p, n); }
static int oracle_free(void *p) { return cudaFree(p); }
static int oracle_pitch(void **p, size_t *pitch, size_t w, size_t h) { return cudaMallocPitch(p, pitch, w, h); }
static int oracle_managed(void **p, size_t n) { return cudaMallocManaged(p, n, 1); }
static int oracle_host(void **p, size_t n) { return cudaMallocHost(p, n); }
static int oracle_free_host(void *p) { return cudaFreeHost(p); }
static int oracle_register(void *p, size_t n) { return cudaHostRegister(p, n, 0); }
static int oracle_unregister(void *p) { return cudaHostUnregister(p); }
static int oracle_stream(void **s) { return cudaStreamCreate(s); }
static int oracle_sync(void *s) { return cudaStreamSynchronize(s); }
static int oracle_async(void **p, size_t n, void *s) { return cudaMallocAsync(p, n, s); }
static int oracle_async_ptsz(void **p, size_t n, void *s) { return cudaMallocAsync_ptsz(p, n, s); }
static int oracle_free_async(void *p, void *s) { return cudaFreeAsync(p, s); }
static int oracle_free_async_ptsz(void *p, void *s) { return cudaFreeAsync_ptsz(p, s); }

#include "cuda_oracle.h"

int main(void)
{
    int status = 0;
#define X(name, version, params)                                                                  \
    if (cudaGetDriverEntryPointByVersion(#name, (void **)&d.name, version, 0, &status) || !d.name) { \
        printf("no %s\n", #name);                                                                 \
        return 5;                                                                                 \
    }
    FUNCTIONS(X)
#undef X
    return oracle_run();
}
