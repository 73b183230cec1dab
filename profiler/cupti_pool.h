/* SPDX-License-Identifier: MIT
 *
 * cupti_pool.h: the host buffers CUPTI writes activity records into. Mapped and touched ahead of time, reused for ever.
 *
 * Ownership: a buffer is CUPTI's from vs_cupti_pool_take until its completion, then ours until vs_cupti_pool_give.
 *     Memory is never unmapped: CUPTI may still write into a buffer that it never returns.
 * Threading: take, give and owns from any thread, lock-free, without a system call; grow from one thread at a time.
 */
#ifndef VS_PROFILER_CUPTI_POOL_H
#define VS_PROFILER_CUPTI_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 4500 kernel records. CUPTI fills one per launching thread, so small buffers keep 200 threads within the limit. */
#define VS_CUPTI_BUFFER_BYTES (1u << 20)

/* Makes at least `free` buffers available, within `limit` buffers in all (at most 1024). */
void vs_cupti_pool_grow(uint32_t free, uint32_t limit);
uint8_t *vs_cupti_pool_take(void); /* zeroed; NULL: none is free */
/* `used`: bytes CUPTI wrote; they are zeroed again here, on the thread that completed the buffer. */
void vs_cupti_pool_give(uint8_t *buffer, size_t used);
bool vs_cupti_pool_owns(const uint8_t *buffer);
uint32_t vs_cupti_pool_out(void); /* buffers CUPTI holds now */
uint64_t vs_cupti_pool_bytes(void);
void vs_cupti_pool_forget(void); /* in a forked child: the parent's buffers are left alone */

#endif
