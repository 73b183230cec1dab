/* SPDX-License-Identifier: MIT
 *
 * cuda_async.h: second half of the stand-in driver (cuda.c): streams, pools, graphs, virtual memory, cuGetProcAddress.
 * Included by cuda.c alone.
 */
#ifndef VS_TESTS_FAKE_CUDA_ASYNC_H
#define VS_TESTS_FAKE_CUDA_ASYNC_H

#include "cuda_state.h"
#include "profiler/cuda_abi.h"

/* ---- streams and captures ---- */

static struct stream *stream_of(void *handle)
{
    return (uintptr_t)handle > 2 ? handle : NULL;
}
API(cuStreamCreate, (void **out, unsigned flags))
{
    int i;
    (void)flags;
    NEED_CONTEXT;
    LOCKED;
    for (i = 0; i < MAX_STREAMS && fake.streams[i].alive; i++)
        ;
    if (i == MAX_STREAMS)
        return NO_MEMORY;
    fake.streams[i] = (struct stream){.alive = true, .device = current->device};
    *out = &fake.streams[i];
    if (i % 4 == 0) {
        current->taken += 2 * MIB;
        fake.taken[current->device] += 2 * MIB;
    }
    return OK;
}
API(cuStreamDestroy_v2, (void *stream)) { stream_of(stream)->alive = false; return OK; }
API(cuStreamGetDevice, (void *stream, int *device)) { *device = stream_of(stream) ? stream_of(stream)->device : current->device; return OK; }
API(cuStreamIsCapturing, (void *stream, int *status)) { *status = stream_of(stream) && stream_of(stream)->capturing; return OK; }
API(cuStreamIsCapturing_ptsz, (void *stream, int *status)) { return cuStreamIsCapturing(stream, status); }
API(cuThreadExchangeStreamCaptureMode, (int *mode)) { int old = capture_mode; capture_mode = *mode; *mode = old; return OK; }
API(cuStreamBeginCapture_v2, (void *stream, int mode))
{
    LOCKED;
    (void)mode;
    stream_of(stream)->capturing = true;
    stream_of(stream)->invalid = false;
    fake.captures++;
    return OK;
}
API(cuStreamEndCapture, (void *stream, void **graph))
{
    LOCKED;
    stream_of(stream)->capturing = false;
    fake.captures--;
    *graph = stream_of(stream)->invalid ? NULL : &fake;
    return stream_of(stream)->invalid ? CAPTURE_INVALIDATED : OK;
}
/* Measured: what is unsafe in a capture fails on every thread whose mode is not relaxed, and ends the capture. */
static int unsafe_in_capture(void)
{
    int i;
    if (!fake.captures || capture_mode == 2)
        return OK;
    for (i = 0; i < MAX_STREAMS; i++)
        fake.streams[i].invalid |= fake.streams[i].capturing;
    return CAPTURE_UNSUPPORTED;
}
API(cuStreamSynchronize, (void *stream))
{
    int i;
    (void)stream;
    LOCKED;
    for (i = 0; i < MAX_POOLS; i++) {
        struct pool *p = &fake.pools[i];
        uint64_t needed = (p->used + POOL_STEP - 1) / POOL_STEP * POOL_STEP;
        if (p->reserved > needed && p->reserved > p->threshold)
            pool_resize(p, needed > p->threshold ? needed : p->threshold);
    }
    return OK;
}

/* ---- stream-ordered memory ---- */

static int take_async(uint64_t *out, uint64_t bytes, struct pool *p, void *stream)
{
    struct block *b;
    uint64_t needed;
    NEED_CONTEXT;
    LOCKED;
    if (!bytes)
        return INVALID;
    if (stream_of(stream) && stream_of(stream)->capturing) {
        b = new_block(CAPTURED, bytes, fake.next_address += 1 << 30);
        *out = b->address;
        return OK;
    }
    if (!p)
        p = fake.current_pool[stream_of(stream) ? stream_of(stream)->device : current->device];
    needed = (p->used + bytes + POOL_STEP - 1) / POOL_STEP * POOL_STEP;
    if (refused() || fake.used[p->device] - p->reserved + needed > fake.total)
        return NO_MEMORY;
    if (needed > p->reserved)
        pool_resize(p, needed);
    b = new_block(ASYNC, bytes, 0);
    b->pool = p;
    b->device = p->device;
    p->used += bytes;
    *out = b->address;
    return OK;
}
API(cuMemAllocAsync, (uint64_t *out, size_t bytes, void *stream)) { return take_async(out, bytes, NULL, stream); }
API(cuMemAllocAsync_ptsz, (uint64_t *out, size_t bytes, void *stream)) { return take_async(out, bytes, NULL, stream); }
API(cuMemAllocFromPoolAsync, (uint64_t *out, size_t bytes, void *pool, void *stream)) { return take_async(out, bytes, pool, stream); }
API(cuMemAllocFromPoolAsync_ptsz, (uint64_t *out, size_t bytes, void *pool, void *stream)) { return take_async(out, bytes, pool, stream); }
API(cuMemFreeAsync, (uint64_t address, void *stream))
{
    static const enum kind kinds[] = {ASYNC, CAPTURED, IMPORTED, 0};
    (void)stream;
    return address ? give(kinds, address, INVALID) : OK;
}
API(cuMemFreeAsync_ptsz, (uint64_t address, void *stream)) { return cuMemFreeAsync(address, stream); }
API(cuDeviceGetMemPool, (void **pool, int device)) { *pool = fake.current_pool[device]; return OK; }
API(cuDeviceGetDefaultMemPool, (void **pool, int device)) { *pool = &fake.pools[device]; return OK; }
API(cuDeviceSetMemPool, (int device, void *pool)) { fake.current_pool[device] = pool; return OK; }
API(cuMemPoolCreate, (void **out, const struct vs_cu_pool_props *props))
{
    int i;
    LOCKED;
    for (i = MAX_DEVICES; i < MAX_POOLS && (fake.pools[i].alive || fake.pools[i].used); i++)
        ;
    if (i == MAX_POOLS)
        return NO_MEMORY;
    fake.pools[i] = (struct pool){.alive = true, .device = props->location.id};
    *out = &fake.pools[i];
    return OK;
}
API(cuMemPoolDestroy, (void *pool))
{
    LOCKED;
    struct pool *p = pool;
    if (p < fake.pools + MAX_DEVICES || !p->alive)
        return INVALID;
    p->alive = false;
    if (!p->used)
        pool_resize(p, 0);
    return OK;
}
API(cuMemPoolTrimTo, (void *pool, size_t keep))
{
    LOCKED;
    struct pool *p = pool;
    uint64_t needed = (p->used + POOL_STEP - 1) / POOL_STEP * POOL_STEP;
    if (needed < keep)
        needed = (keep + POOL_STEP - 1) / POOL_STEP * POOL_STEP;
    if (p->reserved > needed)
        pool_resize(p, needed);
    return OK;
}
API(cuMemPoolSetAttribute, (void *pool, int attribute, void *value))
{
    if (attribute == 4)
        memcpy(&((struct pool *)pool)->threshold, value, 8);
    return OK;
}
API(cuMemPoolGetAttribute, (void *pool, int attribute, void *value))
{
    LOCKED;
    const struct pool *p = pool;
    int err = unsafe_in_capture();
    uint64_t v = attribute == 5 ? p->reserved : attribute == 6 ? p->high : attribute == 7 ? p->used : 0;
    if (err)
        return err;
    if (!p->alive) {
        fprintf(stderr, "fake cuda: a destroyed pool was asked\n");
        abort();
    }
    memcpy(value, &v, sizeof v);
    return OK;
}
API(cuMemPoolImportPointer, (uint64_t *out, void *pool, struct vs_cu_pool_pointer *data)) { uint64_t bytes; (void)pool; memcpy(&bytes, data->bytes, 8); return import(out, bytes); }
API(cuMemPoolImportFromShareableHandle, (void **out, void *handle, int type, unsigned long long flags)) { (void)handle, (void)type, (void)flags; return cuMemPoolCreate(out, &(struct vs_cu_pool_props){.location = {1, 0}}); }

/* ---- graphs ---- */

API(cuGraphAddMemAllocNode, (void **out, void *graph, void *const *after, size_t n, struct vs_cu_alloc_node *params))
{
    LOCKED;
    (void)graph, (void)after, (void)n;
    params->address = new_block(CAPTURED, params->bytes, fake.next_address += 1 << 30)->address;
    *out = graph;
    return OK;
}
API(cuGraphAddMemFreeNode, (void **out, void *graph, void *const *after, size_t n, uint64_t address))
{
    static const enum kind kinds[] = {CAPTURED, 0};
    (void)after, (void)n;
    *out = graph;
    return give(kinds, address, INVALID);
}
API(cuGraphAddNode_v2, (void **out, void *graph, void *const *after, const void *edges, size_t n, struct vs_cu_node_params *p))
{
    (void)edges;
    return p->type == 10 ? cuGraphAddMemAllocNode(out, graph, after, n, &p->u.alloc)
           : p->type == 11 ? cuGraphAddMemFreeNode(out, graph, after, n, p->u.freed) : OK;
}
API(cuGraphAddNode, (void **out, void *graph, void *const *after, size_t n, struct vs_cu_node_params *p)) { return cuGraphAddNode_v2(out, graph, after, NULL, n, p); }
/* Measured: the device's graph pool grows inside the first launch, by 32 MiB. */
API(cuGraphLaunch, (void *graph, void *stream))
{
    LOCKED;
    (void)graph, (void)stream;
    if (!fake.graph_reserved[current->device]) {
        fake.graph_reserved[current->device] = POOL_STEP;
        fake.used[current->device] += POOL_STEP;
    }
    return OK;
}
API(cuGraphLaunch_ptsz, (void *graph, void *stream)) { return cuGraphLaunch(graph, stream); }
API(cuDeviceGraphMemTrim, (int device)) { LOCKED; fake.used[device] -= fake.graph_reserved[device]; fake.graph_reserved[device] = 0; return OK; }
API(cuDeviceGetGraphMemAttribute, (int device, int attribute, void *value)) { LOCKED; uint64_t v = attribute >= 2 ? fake.graph_reserved[device] : 0; memcpy(value, &v, 8); return OK; }

/* ---- virtual memory ---- */

API(cuMemCreate, (uint64_t *out, size_t bytes, const struct vs_cu_mem_prop *prop, unsigned long long flags))
{
    struct block *b;
    int device = prop->location.type == 1 ? prop->location.id : -1;
    NEED_INIT;
    LOCKED;
    (void)flags;
    if (bytes % (2 << 20))
        return INVALID;
    if (device >= 0 && charge(device, bytes))
        return NO_MEMORY;
    b = new_block(PHYSICAL, bytes, 0);
    b->device = device;
    *out = b->address;
    return OK;
}
API(cuMulticastCreate, (uint64_t *out, const struct vs_cu_multicast *prop))
{
    (void)prop;
    return cuMemCreate(out, 0, &(struct vs_cu_mem_prop){.location = {3, 0}}, 0);
}
API(cuMemImportFromShareableHandle, (uint64_t *out, void *handle, int type)) { (void)handle, (void)type; return cuMulticastCreate(out, NULL); }
API(cuMemRelease, (uint64_t handle))
{
    LOCKED;
    struct block *b = find_block(PHYSICAL, handle);
    if (!b || !b->references)
        return INVALID;
    b->references--;
    release_physical(b);
    return OK;
}
API(cuMemAddressReserve, (uint64_t *out, size_t bytes, size_t alignment, uint64_t hint, unsigned long long flags))
{
    LOCKED;
    (void)alignment, (void)hint, (void)flags;
    *out = fake.next_address;
    fake.next_address += bytes + (2 << 20);
    return OK;
}
API(cuMemAddressFree, (uint64_t address, size_t bytes)) { (void)address, (void)bytes; return OK; }
API(cuMemSetAccess, (uint64_t address, size_t bytes, const void *access, size_t n)) { (void)address, (void)bytes, (void)access, (void)n; return OK; }
API(cuMemMap, (uint64_t address, size_t bytes, size_t offset, uint64_t handle, unsigned long long flags))
{
    LOCKED;
    struct block *b = find_block(PHYSICAL, handle), *m;
    (void)offset, (void)flags;
    if (!b || find_block(MAPPING, address))
        return INVALID;
    m = new_block(MAPPING, bytes, address);
    m->physical = b;
    b->mappings++;
    return OK;
}
API(cuMemUnmap, (uint64_t address, size_t bytes))
{
    LOCKED;
    int i, n = 0;
    for (i = 0; i < fake.nblocks; i++) {
        struct block *m = &fake.blocks[i], *b = m->physical;
        if (m->kind != MAPPING || m->address < address || m->address >= address + bytes)
            continue;
        end_block(m);
        b->mappings--;
        release_physical(b);
        n++;
    }
    return n ? OK : INVALID;
}
API(cuMemRetainAllocationHandle, (uint64_t *out, void *address))
{
    LOCKED;
    struct block *m = find_block(MAPPING, (uint64_t)(uintptr_t)address);
    if (!m)
        return INVALID;
    m->physical->references++;
    *out = m->physical->address; /* measured: the number cuMemCreate gave */
    return OK;
}

/* ---- finding functions by base name, version and kind of default stream ---- */

int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags);
int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status);

static const struct entry {
    const char *base;
    int version;
    void *function, *per_thread;
} entries[] = {
#define E(base, version, name) {#base, version, (void *)name, NULL},
#define EP(base, version) {#base, version, (void *)base, (void *)base##_ptsz},
    E(cuGetProcAddress, 11030, cuGetProcAddress) E(cuGetProcAddress, 12000, cuGetProcAddress_v2)
    E(cuInit, 2000, cuInit) E(cuDriverGetVersion, 2020, cuDriverGetVersion) E(cuDeviceGetCount, 2000, cuDeviceGetCount)
    E(cuDeviceGet, 2000, cuDeviceGet) E(cuCtxGetCurrent, 4000, cuCtxGetCurrent) E(cuCtxSetCurrent, 4000, cuCtxSetCurrent)
    E(cuCtxGetDevice, 2000, cuCtxGetDevice) E(cuCtxCreate, 3020, cuCtxCreate_v2) E(cuCtxDestroy, 4000, cuCtxDestroy_v2)
    E(cuDevicePrimaryCtxRetain, 7000, cuDevicePrimaryCtxRetain)
    E(cuDevicePrimaryCtxRelease, 7000, cuDevicePrimaryCtxRelease) E(cuDevicePrimaryCtxRelease, 11000, cuDevicePrimaryCtxRelease_v2)
    E(cuDevicePrimaryCtxReset, 7000, cuDevicePrimaryCtxReset) E(cuDevicePrimaryCtxReset, 11000, cuDevicePrimaryCtxReset_v2)
    E(cuMemAlloc, 2000, cuMemAlloc) E(cuMemAlloc, 3020, cuMemAlloc_v2) E(cuMemFree, 2000, cuMemFree) E(cuMemFree, 3020, cuMemFree_v2)
    E(cuMemAllocPitch, 3020, cuMemAllocPitch_v2) E(cuMemAllocManaged, 6000, cuMemAllocManaged) E(cuMemGetInfo, 3020, cuMemGetInfo_v2)
    E(cuMemHostAlloc, 2020, cuMemHostAlloc) E(cuMemAllocHost, 3020, cuMemAllocHost_v2) E(cuMemFreeHost, 2000, cuMemFreeHost)
    E(cuMemHostRegister, 6050, cuMemHostRegister_v2) E(cuMemHostUnregister, 4000, cuMemHostUnregister)
    E(cuArrayCreate, 3020, cuArrayCreate_v2) E(cuArray3DCreate, 3020, cuArray3DCreate_v2) E(cuArrayDestroy, 2000, cuArrayDestroy)
    E(cuMipmappedArrayCreate, 5000, cuMipmappedArrayCreate) E(cuMipmappedArrayDestroy, 5000, cuMipmappedArrayDestroy)
    E(cuIpcGetMemHandle, 4010, cuIpcGetMemHandle) E(cuIpcOpenMemHandle, 11000, cuIpcOpenMemHandle_v2)
    E(cuIpcCloseMemHandle, 4010, cuIpcCloseMemHandle) E(cuStreamCreate, 2000, cuStreamCreate)
    E(cuStreamSynchronize, 2000, cuStreamSynchronize) E(cuStreamDestroy, 4000, cuStreamDestroy_v2)
    E(cuStreamBeginCapture, 10010, cuStreamBeginCapture_v2) E(cuStreamEndCapture, 10000, cuStreamEndCapture)
    EP(cuMemAllocAsync, 11020) EP(cuMemAllocFromPoolAsync, 11020) EP(cuMemFreeAsync, 11020) EP(cuGraphLaunch, 10000)
    E(cuMemPoolCreate, 11020, cuMemPoolCreate) E(cuMemPoolDestroy, 11020, cuMemPoolDestroy) E(cuMemPoolTrimTo, 11020, cuMemPoolTrimTo)
    E(cuDeviceGetDefaultMemPool, 11020, cuDeviceGetDefaultMemPool) E(cuGraphAddMemAllocNode, 11040, cuGraphAddMemAllocNode)
    E(cuGraphAddMemFreeNode, 11040, cuGraphAddMemFreeNode) E(cuDeviceGraphMemTrim, 11040, cuDeviceGraphMemTrim)
    E(cuMemCreate, 10020, cuMemCreate) E(cuMemRelease, 10020, cuMemRelease) E(cuMemMap, 10020, cuMemMap) E(cuMemUnmap, 10020, cuMemUnmap)
    E(cuMemRetainAllocationHandle, 11000, cuMemRetainAllocationHandle) E(cuMemAddressReserve, 10020, cuMemAddressReserve)
    E(cuMemAddressFree, 10020, cuMemAddressFree) E(cuMemSetAccess, 10020, cuMemSetAccess)
#undef E
#undef EP
};

int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status)
{
    const struct entry *best = NULL;
    size_t i;
    for (i = 0; i < sizeof entries / sizeof *entries; i++)
        if (!strcmp(entries[i].base, symbol) && entries[i].version <= version && (!best || best->version < entries[i].version))
            best = &entries[i];
    if (status)
        *status = !best;
    *function = !best ? NULL : flags == 2 && best->per_thread ? best->per_thread : best->function;
    return best ? OK : NOT_FOUND;
}
int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

#endif
