/* SPDX-License-Identifier: MIT
 *
 * memory.h: the only place a workload takes memory from: allocated, reported and named in one call, so that a recorder
 * sees every buffer and knows what it is for.
 *
 * Each buffer is registered as an NVTX memory region of the process-wide heap, under a name `<category>[/detail]` with
 * a category of input activation gradient parameter optimizer_state workspace temporary. On the host that report is all a recorder can
 * see; on a GPU it names memory that the driver reports too.
 *
 * Ownership: a taken buffer is the caller's until given back. Contents undefined.
 * Threading: any thread. Errors: as alloc of kernels/device.h; nothing is registered when it fails.
 */
#ifndef VS_WORKLOADS_MEMORY_H
#define VS_WORKLOADS_MEMORY_H

#include <stddef.h>

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_buffer {
    void *data; /* NULL: nothing taken */
    size_t bytes;
    const struct vs_device *device;
};

/* bytes may be 0: then nothing is allocated and data stays NULL. */
int vs_buffer_take(struct vs_buffer *memory, const struct vs_device *device, size_t bytes, const char *name);
/* The same for what may be too much: more than the device says is free is not even asked for, since a system that promises
 * more than it has ends the program later. Not 0: `why` says what was asked and what is free. */
int vs_buffer_ask(struct vs_buffer *memory, const struct vs_device *device, size_t bytes, const char *name, char *why,
                  size_t why_bytes);
void vs_buffer_give(struct vs_buffer *memory); /* nothing taken: fine */
/* A piece of a larger buffer gets and loses its name: for memory that is cut up by its owner. */
void vs_buffer_name(const void *data, size_t bytes, const char *name);
void vs_buffer_unname(const void *data);
/* Host memory whose pieces get names: a recorder then takes it for what is held, and them for parts of it. What the driver gave is
 * known to be held without that. */
void vs_buffer_heap(const void *data, size_t bytes);
void vs_buffer_unheap(const void *data);
/* "1.5 GiB". Returns text. */
const char *vs_buffer_text(size_t size, char *text, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
