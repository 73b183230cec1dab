/* SPDX-License-Identifier: MIT
 *
 * arena.c: places of tensors within one block of memory. It never touches the memory itself.
 */
#include "workloads/arena.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/memory.h"

enum { ALIGNMENT = 256, BLOCKS_FIRST = 64 };
#define ENDLESS (SIZE_MAX / 2 / ALIGNMENT * ALIGNMENT)

/* Where planned tensors seem to be: aligned, not NULL, and far from anything that exists. */
static char *nowhere(void)
{
    return (char *)(uintptr_t)(1 << 20); // NOLINT(performance-no-int-to-ptr): an address that is never followed
}

/* The last block is endless in a fixed arena too: best fit would else choose it earlier than it did in the plan. */
static void start(struct vs_arena *a, char *base, size_t capacity)
{
    a->base = base;
    a->capacity = capacity;
    a->live = a->peak = a->high = 0;
    a->count = 1;
    a->block[0] = (struct vs_arena_block){.offset = 0, .bytes = ENDLESS};
}

int vs_arena_plan(struct vs_arena *a, const struct vs_device *device)
{
    *a = (struct vs_arena){.device = device, .planning = true, .room = BLOCKS_FIRST};
    a->block = malloc(a->room * sizeof *a->block);
    if (!a->block) return -ENOMEM;
    start(a, nowhere(), ENDLESS);
    return 0;
}

int vs_arena_fix(struct vs_arena *a)
{
    void *memory = NULL;
    size_t bytes = a->high ? a->high : ALIGNMENT;
    int err = a->device->alloc(bytes, &memory);
    if (err) return err;
    a->planning = false;
    start(a, memory, bytes);
    if (a->device == vs_device_cpu()) vs_buffer_heap(memory, bytes);
    return 0;
}

void vs_arena_close(struct vs_arena *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->block && a->block[i].used && a->block[i].named && !a->planning)
            vs_buffer_unname(a->base + a->block[i].offset);
    if (!a->planning && a->device == vs_device_cpu()) vs_buffer_unheap(a->base);
    if (a->device && !a->planning) a->device->release(a->base);
    free(a->block);
    memset(a, 0, sizeof *a);
}

/* The smallest free block that is large enough; count: none. */
static size_t best_fit(const struct vs_arena *a, size_t bytes)
{
    size_t best = a->count;
    for (size_t i = 0; i < a->count; i++)
        if (!a->block[i].used && a->block[i].bytes >= bytes && (best == a->count || a->block[i].bytes < a->block[best].bytes))
            best = i;
    return best;
}

static int split(struct vs_arena *a, size_t i, size_t bytes)
{
    if (a->block[i].bytes == bytes) return 0;
    if (a->count == a->room) {
        struct vs_arena_block *more = realloc(a->block, 2 * a->room * sizeof *more);
        if (!more) return -ENOMEM;
        a->block = more;
        a->room *= 2;
    }
    memmove(a->block + i + 2, a->block + i + 1, (a->count - i - 1) * sizeof *a->block);
    a->count++;
    a->block[i + 1] = (struct vs_arena_block){.offset = a->block[i].offset + bytes, .bytes = a->block[i].bytes - bytes};
    a->block[i].bytes = bytes;
    return 0;
}

int vs_arena_take(struct vs_arena *a, size_t bytes, const char *name, void **out)
{
    *out = NULL;
    if (!bytes) return 0;
    if (bytes > ENDLESS / 2) return -ENOMEM;
    size_t whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, i = best_fit(a, whole);
    if (i == a->count || a->block[i].offset + whole > a->capacity) return -ENOMEM;
    int err = split(a, i, whole);
    if (err) return err;
    struct vs_arena_block *b = &a->block[i];
    b->used = true;
    b->named = 0;
    if (b->offset + whole > a->high) a->high = b->offset + whole;
    *out = a->base + b->offset;
    if (name) {
        b->named = bytes;
        vs_arena_name(a, *out, bytes, name);
    }
    return 0;
}

static size_t find(const struct vs_arena *a, size_t offset)
{
    size_t low = 0, high = a->count;
    while (low + 1 < high) {
        size_t middle = (low + high) / 2;
        if (a->block[middle].offset <= offset) low = middle;
        else high = middle;
    }
    return low;
}

static void merge(struct vs_arena *a, size_t i) /* i and i + 1, both free */
{
    a->block[i].bytes += a->block[i + 1].bytes;
    memmove(a->block + i + 1, a->block + i + 2, (a->count - i - 2) * sizeof *a->block);
    a->count--;
}

void vs_arena_give(struct vs_arena *a, void *tensor)
{
    if (!tensor) return;
    size_t i = find(a, (size_t)((char *)tensor - a->base));
    struct vs_arena_block *b = &a->block[i];
    if (b->named) vs_arena_unname(a, tensor, b->named);
    b->used = false;
    b->named = 0;
    if (i + 1 < a->count && !a->block[i + 1].used) merge(a, i);
    if (i && !a->block[i - 1].used) merge(a, i - 1);
}

void vs_arena_name(struct vs_arena *a, const void *part, size_t bytes, const char *name)
{
    a->live += bytes;
    if (a->live > a->peak) a->peak = a->live;
    if (!a->planning) vs_buffer_name(part, bytes, name);
}

void vs_arena_unname(struct vs_arena *a, const void *part, size_t bytes)
{
    a->live -= bytes;
    if (!a->planning) vs_buffer_unname(part);
}
