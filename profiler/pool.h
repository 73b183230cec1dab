/* SPDX-License-Identifier: MIT
 *
 * pool.h: slabs: the memory-backed storage records are written to.
 *
 * A slab has one writer at a time. Free ones wait on the stack `available` (clean, or partly filled by a thread that has
 * ended); filled ones on the stack `full`, from which the writer thread takes them all, copies them to disk, clears them
 * and puts them back. Both are Treiber stacks of slab indexes with a tag against reuse: any thread pops and pushes without
 * locks. Chunks of slabs are made by vs_pool_grow, on a thread of ours (the first ones at activation).
 */
#ifndef VS_PROFILER_POOL_H
#define VS_PROFILER_POOL_H

#include "state.h"

/* Makes the memory folder, the control file and the first chunks. 0 or -errno; leaves nothing behind on failure. */
int vs_pool_create(struct vs_state *s);
/* One more chunk. 0, -ENOSPC at the cap or when the storage is full, or -errno. */
int vs_pool_grow(struct vs_state *s);
/* Unlinks the memory-backed files (mappings stay valid). */
void vs_pool_unlink(struct vs_state *s);

struct vs_slab *vs_pool_slab(struct vs_state *s, uint32_t index);
uint32_t vs_pool_index(struct vs_state *s, const struct vs_slab *slab);
struct vs_slab *vs_pool_take(struct vs_state *s); /* for writing; NULL: none free */
void vs_pool_give(struct vs_state *s, struct vs_slab *slab, uint32_t fill); /* by its writer: full, or room for others */
/* The filled slabs, oldest filling first, chained by vs_pool_next_full; taken all at once, by the writer only. The order
 * matters: readers hold back what comes after a record they have not seen. */
struct vs_slab *vs_pool_take_full(struct vs_state *s);
struct vs_slab *vs_pool_next_full(struct vs_state *s, const struct vs_slab *slab);
void vs_pool_keep_full(struct vs_state *s, struct vs_slab *slab); /* it could not be copied now */
void vs_pool_recycle(struct vs_state *s, struct vs_slab *slab, uint32_t end); /* all up to `end` is on disk */

/* Below this many available slabs the helper is woken to make more, up to twice as many: 16 MiB, enough for 256 threads
 * that begin at once (with 128 slabs a burst of 200 threads lost 54000 of 400000 events), or 800 ms at 20 MB/s. */
#define VS_POOL_LOW 128u
/* A writer gives a slab back as full when less than this is left. */
#define VS_POOL_ROOM (VS_MAX_RECORD_BYTES + 64u)

#endif
