/* SPDX-License-Identifier: MIT
 *
 * cuda_state.h: the books of the stand-in driver (cuda.c): devices, contexts, blocks of memory, pools, physical memory.
 * Exact and simple: every byte is charged once, addresses are handed out again as soon as they are free (the last one
 * first), so that a recorder that mixes up the order of frees and allocations is found out. One lock around all of it.
 */
#ifndef VS_TESTS_FAKE_CUDA_STATE_H
#define VS_TESTS_FAKE_CUDA_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NOT_INITIALIZED = 3, BAD_DEVICE = 101, BAD_CONTEXT = 201, NOT_FOUND = 500,
       ALREADY_REGISTERED = 712, NOT_REGISTERED = 713, NOT_PERMITTED = 800, CAPTURE_UNSUPPORTED = 900,
       CAPTURE_INVALIDATED = 901 };
enum { MAX_DEVICES = 8, MAX_BLOCKS = 65536, MAX_CONTEXTS = 64, MAX_POOLS = 64, MAX_STREAMS = 256 };
#define CONTEXT_BYTES (100ull << 20)
#define POOL_STEP (32ull << 20) /* measured: a pool grows by 32 MiB */

enum kind { FREE_BLOCK, DEVICE, MANAGED, HOST, REGISTERED, ARRAY, ASYNC, CAPTURED, IMPORTED, PHYSICAL, MAPPING, GRAPH };

struct context {
    bool alive, primary, big_stacks;
    int device, references;
    uint64_t taken; /* by the driver for itself: cuda_code.h */
};
struct pool {
    bool alive;
    int device;
    uint64_t used, reserved, high, threshold;
};
struct stream {
    bool alive, capturing, invalid;
    int device;
};
struct block {
    enum kind kind;
    uint64_t address, bytes;
    struct context *context; /* NULL: survives contexts */
    struct pool *pool;
    int device, references, mappings;
    struct block *physical; /* of a mapping */
};

static struct {
    pthread_mutex_t lock;
    bool initialized;
    int devices;
    uint64_t total, used[MAX_DEVICES], graph_reserved[MAX_DEVICES], taken[MAX_DEVICES];
    int launched;
    struct context contexts[MAX_CONTEXTS];
    struct pool pools[MAX_POOLS]; /* the first MAX_DEVICES: default pools */
    struct pool *current_pool[MAX_DEVICES];
    struct stream streams[MAX_STREAMS];
    struct block blocks[MAX_BLOCKS];
    int nblocks;
    uint64_t next_address;
    int captures; /* streams capturing in global mode */
    long calls, fail_at;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static __thread struct context *current;
static __thread int capture_mode; /* 0 global, 1 thread local, 2 relaxed */

#define LOCKED __attribute__((cleanup(unlock))) int locked_ __attribute__((unused)) = (pthread_mutex_lock(&fake.lock), 0)
static void unlock(int *unused)
{
    (void)unused;
    pthread_mutex_unlock(&fake.lock);
}

/* FAKE_CUDA_FAIL_AT=N: the N-th call that asks for memory is refused. */
static bool refused(void)
{
    return ++fake.calls == fake.fail_at;
}

static struct block *find_block(enum kind kind, uint64_t address)
{
    int i;
    for (i = fake.nblocks; i-- > 0;)
        if (fake.blocks[i].kind == kind && fake.blocks[i].address == address)
            return &fake.blocks[i];
    return NULL;
}

/* A free block of the same size class gives its address; the one freed last is the first to be used again. */
static struct block *new_block(enum kind kind, uint64_t bytes, uint64_t address)
{
    uint64_t room = (bytes + 511) & ~511ull;
    struct block *b = NULL;
    int i;
    for (i = fake.nblocks; !address && !b && i-- > 0;)
        if (fake.blocks[i].kind == FREE_BLOCK && fake.blocks[i].address && fake.blocks[i].bytes == room)
            b = &fake.blocks[i];
    for (i = 0; address && !b && i < fake.nblocks; i++)
        if (fake.blocks[i].kind == FREE_BLOCK && !fake.blocks[i].address)
            b = &fake.blocks[i];
    if (!b && fake.nblocks == MAX_BLOCKS)
        return NULL;
    if (!b) {
        b = &fake.blocks[fake.nblocks++];
        b->address = fake.next_address;
        if (!address)
            fake.next_address += room + 512;
    }
    if (address)
        b->address = address;
    *b = (struct block){.kind = kind, .address = b->address, .bytes = bytes, .references = 1};
    return b;
}

/* Foreign addresses (the program's own memory, mappings) are not handed out again. */
static void end_block(struct block *b)
{
    bool foreign = b->kind == HOST || b->kind == REGISTERED || b->kind == MAPPING || b->kind == CAPTURED;
    *b = (struct block){.kind = FREE_BLOCK, .address = foreign ? 0 : b->address, .bytes = (b->bytes + 511) & ~511ull};
}

static int charge(int device, uint64_t bytes)
{
    if (refused() || bytes > fake.total - fake.used[device])
        return NO_MEMORY;
    fake.used[device] += bytes;
    return OK;
}

static void release_physical(struct block *b)
{
    if (b->references || b->mappings)
        return;
    if (b->device >= 0)
        fake.used[b->device] -= b->bytes;
    end_block(b);
}

static void pool_resize(struct pool *p, uint64_t reserved)
{
    fake.used[p->device] -= p->reserved;
    fake.used[p->device] += reserved;
    p->reserved = reserved;
    if (reserved > p->high)
        p->high = reserved;
}

static void free_block(struct block *b)
{
    if (b->kind == DEVICE || b->kind == ARRAY || b->kind == MANAGED)
        fake.used[b->device] -= b->bytes;
    if (b->kind == ASYNC) {
        b->pool->used -= b->bytes;
        if (!b->pool->alive && !b->pool->used)
            pool_resize(b->pool, 0);
    }
    if (b->kind == HOST)
        free((void *)(uintptr_t)b->address);
    end_block(b);
}

/* Device, managed, array and pinned memory goes with its context; pools and physical memory stay (measured). */
static void end_context(struct context *c)
{
    int i;
    for (i = 0; i < fake.nblocks; i++)
        if (fake.blocks[i].kind != FREE_BLOCK && fake.blocks[i].context == c)
            free_block(&fake.blocks[i]);
    c->alive = false;
    fake.taken[c->device] -= c->taken;
}

static struct context *new_context(int device, bool primary)
{
    int i;
    for (i = 0; i < MAX_CONTEXTS; i++) {
        struct context *c = &fake.contexts[i];
        if (c->alive || (c->device != device && c->references))
            continue;
        *c = (struct context){.alive = true, .primary = primary, .device = device, .references = 1, .taken = CONTEXT_BYTES};
        fake.taken[device] += c->taken;
        return c;
    }
    return NULL;
}

static struct context *primary_context(int device)
{
    int i;
    for (i = 0; i < MAX_CONTEXTS; i++)
        if (fake.contexts[i].alive && fake.contexts[i].primary && fake.contexts[i].device == device)
            return &fake.contexts[i];
    return NULL;
}

#endif
