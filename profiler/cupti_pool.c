/* SPDX-License-Identifier: MIT
 *
 * cupti_pool.c: a lock-free stack of buffers in one reserved stretch of addresses. Must never unmap a buffer, nor make a
 * system call in take and give: CUPTI calls those on the application's threads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cupti_pool.h"

#include <string.h>
#include <sys/mman.h>

enum { MAX_BUFFERS = 1024 };

static uint8_t *base;              /* address range of all buffers; atomic */
static uint32_t reserved, mapped;  /* buffers the range has room for; of them mapped */
static uint32_t next[MAX_BUFFERS]; /* index + 1 of the buffer below; 0: the last */
static uint64_t head;              /* changes << 32 | index + 1: the count tells a popped and re-pushed head apart */
static uint32_t available, out;

static void push(uint32_t index)
{
    uint64_t old = __atomic_load_n(&head, __ATOMIC_RELAXED), new;
    do {
        __atomic_store_n(&next[index], (uint32_t)old, __ATOMIC_RELAXED);
        new = ((old >> 32) + 1) << 32 | (index + 1);
    } while (!__atomic_compare_exchange_n(&head, &old, new, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    __atomic_fetch_add(&available, 1, __ATOMIC_RELAXED);
}

static bool reserve(uint32_t limit)
{
    void *range = mmap(NULL, (size_t)limit * VS_CUPTI_BUFFER_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       -1, 0);
    if (range == MAP_FAILED)
        return false;
    reserved = limit;
    __atomic_store_n(&base, range, __ATOMIC_RELEASE);
    return true;
}

void vs_cupti_pool_grow(uint32_t free, uint32_t limit)
{
    if (limit > MAX_BUFFERS)
        limit = MAX_BUFFERS;
    if (!base && !reserve(limit))
        return;
    if (limit > reserved)
        limit = reserved;
    while (mapped < limit && __atomic_load_n(&available, __ATOMIC_RELAXED) < free) {
        uint8_t *at = base + (size_t)mapped * VS_CUPTI_BUFFER_BYTES;
        void *got = mmap(at, VS_CUPTI_BUFFER_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
        if (got == MAP_FAILED)
            return;
        push(mapped++);
    }
}

uint8_t *vs_cupti_pool_take(void)
{
    uint64_t old = __atomic_load_n(&head, __ATOMIC_ACQUIRE), new;
    uint32_t index;
    do {
        if (!(uint32_t)old)
            return NULL;
        index = (uint32_t)old - 1;
        new = ((old >> 32) + 1) << 32 | __atomic_load_n(&next[index], __ATOMIC_RELAXED);
    } while (!__atomic_compare_exchange_n(&head, &old, new, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    __atomic_fetch_sub(&available, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&out, 1, __ATOMIC_RELAXED);
    return base + (size_t)index * VS_CUPTI_BUFFER_BYTES;
}

void vs_cupti_pool_give(uint8_t *buffer, size_t used)
{
    memset(buffer, 0, used < VS_CUPTI_BUFFER_BYTES ? used : VS_CUPTI_BUFFER_BYTES);
    __atomic_fetch_sub(&out, 1, __ATOMIC_RELAXED);
    push((uint32_t)((size_t)(buffer - base) / VS_CUPTI_BUFFER_BYTES));
}

bool vs_cupti_pool_owns(const uint8_t *buffer)
{
    const uint8_t *from = __atomic_load_n(&base, __ATOMIC_ACQUIRE);
    return from && buffer >= from && buffer < from + (size_t)reserved * VS_CUPTI_BUFFER_BYTES;
}

uint32_t vs_cupti_pool_out(void)
{
    return __atomic_load_n(&out, __ATOMIC_RELAXED);
}

uint64_t vs_cupti_pool_bytes(void)
{
    return (uint64_t)mapped * VS_CUPTI_BUFFER_BYTES;
}

void vs_cupti_pool_forget(void)
{
    __atomic_store_n(&base, NULL, __ATOMIC_RELAXED);
    reserved = mapped = available = out = 0;
    head = 0;
}
