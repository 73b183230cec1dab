/* SPDX-License-Identifier: MIT
 *
 * cudart_api.h: the functions of the CUDA runtime that the stand-in has, with their binary interface. No CUDA header.
 */
#ifndef VS_TESTS_FAKE_CUDART_API_H
#define VS_TESTS_FAKE_CUDART_API_H

#include <stddef.h>
#include <stdint.h>

int cudaMalloc(void **out, size_t bytes);
int cudaFree(void *p);
int cudaMallocPitch(void **out, size_t *pitch, size_t w, size_t h);
int cudaMallocManaged(void **out, size_t bytes, unsigned flags);
int cudaMallocHost(void **out, size_t bytes);
int cudaFreeHost(void *p);
int cudaHostRegister(void *p, size_t bytes, unsigned flags);
int cudaHostUnregister(void *p);
int cudaMallocAsync(void **out, size_t bytes, void *stream);
int cudaFreeAsync(void *p, void *stream);
int cudaMallocAsync_ptsz(void **out, size_t bytes, void *stream);
int cudaFreeAsync_ptsz(void *p, void *stream);
int cudaStreamCreate(void **out);
int cudaStreamSynchronize(void *stream);
int cudaMemGetInfo(size_t *unused, size_t *total);
int cudaDeviceReset(void);
int cudaGetDriverEntryPointByVersion(const char *name, void **out, unsigned version, uint64_t flags, int *status);

#endif
