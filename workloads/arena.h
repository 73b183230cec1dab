/* SPDX-License-Identifier: MIT
 *
 * arena.h: one block of device memory, cut into named tensors. Every tensor is an NVTX memory region while it lives, so a recorder's
 * live bytes are `live` here, to the byte.
 *
 * Planning: before it has memory an arena hands out addresses that nobody may touch. A program that takes and gives in the same
 * order afterwards gets the same places, and fits into `high` bytes exactly: vs_arena_fix takes that many.
 *
 * Best fit, neighbours that are free are one. Threading: none. Errors: -ENOMEM no room (cannot happen after the same order was
 * planned), or the device's.
 */
#ifndef VS_WORKLOADS_ARENA_H
#define VS_WORKLOADS_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_arena_block {
    size_t offset, bytes; /* whole 256 bytes */
    size_t named;         /* bytes that have a name; 0: it is free, or its owner names its parts */
    bool used;
};

struct vs_arena {
    const struct vs_device *device;
    char *base;
    bool planning;
    size_t capacity;              /* bytes that exist; while planning, no bound */
    size_t live, peak, high;      /* named bytes now, at most so far, and where the last tensor ended at most */
    struct vs_arena_block *block; /* in order of their offsets, without gaps; the last one has no end */
    size_t count, room;
};

int vs_arena_plan(struct vs_arena *a, const struct vs_device *device);
/* Memory for what was planned; every tensor must have been given back. On the device: capacity bytes by one allocation. */
int vs_arena_fix(struct vs_arena *a);
void vs_arena_close(struct vs_arena *a);

/* name: `<category>/<detail>`; NULL: the owner names the parts by vs_arena_name. bytes 0: *out is NULL. */
int vs_arena_take(struct vs_arena *a, size_t bytes, const char *name, void **out);
/* NULL is fine. Parts must have lost their names before. */
void vs_arena_give(struct vs_arena *a, void *tensor);
void vs_arena_name(struct vs_arena *a, const void *part, size_t bytes, const char *name);
void vs_arena_unname(struct vs_arena *a, const void *part, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
