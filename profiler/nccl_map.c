/* SPDX-License-Identifier: MIT
 *
 * nccl_map.c: two small tables from a handle to what we know of it: communicators, and registered buffers.
 * Must never lock or allocate; a full bucket forgets.
 *
 * Buckets of WAYS entries; an entry is found by scanning its whole bucket, so removal is one store. A key is BUSY while
 * its values are written.
 */
#include "nccl_calls.h"

enum { BUCKETS = 64, WAYS = 8, BUSY = 1 };

struct entry {
    uint64_t key; /* 0: free; atomic */
    uint64_t value; /* atomic: a hash, or an address */
    uint32_t device;
    uint32_t children;
};
static struct entry comms[BUCKETS][WAYS], buffers[BUCKETS][WAYS];

static struct entry *bucket(struct entry (*table)[WAYS], uint64_t key)
{
    return table[key * 0x9e3779b97f4a7c15ull >> 58];
}
_Static_assert(BUCKETS == 1 << (64 - 58), "the hash's top bits choose the bucket");

static struct entry *find(struct entry (*table)[WAYS], uint64_t key)
{
    struct entry *b = bucket(table, key);
    int i;
    for (i = 0; key > BUSY && i < WAYS; i++)
        if (__atomic_load_n(&b[i].key, __ATOMIC_ACQUIRE) == key)
            return &b[i];
    return NULL;
}

static void put(struct entry (*table)[WAYS], uint64_t key, uint64_t value, uint32_t device)
{
    struct entry *e = find(table, key), *b = bucket(table, key);
    int i;
    for (i = 0; !e && key > BUSY && i < WAYS; i++) {
        uint64_t none = 0;
        if (__atomic_compare_exchange_n(&b[i].key, &none, BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            e = &b[i];
    }
    if (!e)
        return;
    __atomic_store_n(&e->value, value, __ATOMIC_RELAXED);
    __atomic_store_n(&e->device, device, __ATOMIC_RELAXED);
    __atomic_store_n(&e->children, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&e->key, key, __ATOMIC_RELEASE);
}

void vs_nccl_comm_put(vs_nccl_comm comm, uint64_t hash, int device)
{
    put(comms, (uint64_t)(uintptr_t)comm, hash, (uint32_t)device);
}

bool vs_nccl_comm_get(vs_nccl_comm comm, struct vs_nccl_known *out)
{
    struct entry *e = find(comms, (uint64_t)(uintptr_t)comm);
    if (!e)
        return false;
    out->hash = __atomic_load_n(&e->value, __ATOMIC_RELAXED);
    out->device = (int32_t)__atomic_load_n(&e->device, __ATOMIC_RELAXED);
    out->children = __atomic_load_n(&e->children, __ATOMIC_RELAXED);
    return true;
}

bool vs_nccl_comm_child(vs_nccl_comm comm, struct vs_nccl_known *out)
{
    struct entry *e = find(comms, (uint64_t)(uintptr_t)comm);
    if (!e || !vs_nccl_comm_get(comm, out))
        return false;
    out->children = __atomic_fetch_add(&e->children, 1, __ATOMIC_RELAXED);
    return true;
}

void vs_nccl_comm_drop(vs_nccl_comm comm)
{
    struct entry *e = find(comms, (uint64_t)(uintptr_t)comm);
    if (e)
        __atomic_store_n(&e->key, 0, __ATOMIC_RELEASE);
}

void vs_nccl_buffer_put(const void *handle, const void *address)
{
    put(buffers, (uint64_t)(uintptr_t)handle, (uint64_t)(uintptr_t)address, 0);
}

uint64_t vs_nccl_buffer_take(const void *handle)
{
    struct entry *e = find(buffers, (uint64_t)(uintptr_t)handle);
    uint64_t address = e ? __atomic_load_n(&e->value, __ATOMIC_RELAXED) : 0;
    if (e)
        __atomic_store_n(&e->key, 0, __ATOMIC_RELEASE);
    return address;
}

void vs_nccl_map_clear(void)
{
    int i, j;
    for (i = 0; i < BUCKETS; i++)
        for (j = 0; j < WAYS; j++) {
            __atomic_store_n(&comms[i][j].key, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&buffers[i][j].key, 0, __ATOMIC_RELAXED);
        }
}
