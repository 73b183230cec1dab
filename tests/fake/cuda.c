/* SPDX-License-Identifier: MIT
 *
 * cuda.c: a stand-in for the CUDA driver (libcuda.so.1) that keeps exact books of memory and computes nothing.
 * It must behave as the real one was measured to behave on an H200, never as the recorder wishes.
 *
 * FAKE_CUDA_DEVICES (1), FAKE_CUDA_MB (1024 per device), FAKE_CUDA_FAIL_AT=N (the N-th call for memory fails),
 * FAKE_CUDA_CONTEXT_MS (0: how long a primary context takes to make).
 */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "cuda_state.h"
#include "profiler/cuda_abi.h"

/* Declares and defines. */
#define API(name, params) \
    int name params;      \
    int name params
#define NEED_INIT          \
    if (!fake.initialized) \
    return NOT_INITIALIZED
#define NEED_CONTEXT \
    NEED_INIT;       \
    if (!current || !current->alive) \
    return BAD_CONTEXT

/* ---- start ---- */

static void inject(void)
{
    const char *path = getenv("CUDA_INJECTION64_PATH");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
    int (*start)(void) = NULL;
    if (library)
        *(void **)&start = dlsym(library, "InitializeInjection");
    if (start)
        start();
}

static long setting(const char *name, long standard)
{
    const char *text = getenv(name);
    return text ? atol(text) : standard;
}

API(cuInit, (unsigned flags))
{
    static int once;
    if (flags)
        return INVALID;
    pthread_mutex_lock(&fake.lock);
    if (!fake.devices) {
        int i;
        fake.devices = (int)setting("FAKE_CUDA_DEVICES", 1);
        fake.total = (uint64_t)setting("FAKE_CUDA_MB", 1024) << 20;
        fake.fail_at = setting("FAKE_CUDA_FAIL_AT", 0);
        fake.next_address = 0x7f0000000000;
        for (i = 0; i < MAX_DEVICES; i++) {
            fake.pools[i] = (struct pool){.alive = true, .device = i};
            fake.current_pool[i] = &fake.pools[i];
        }
    }
    pthread_mutex_unlock(&fake.lock);
    if (!__atomic_exchange_n(&once, 1, __ATOMIC_RELAXED))
        inject(); /* as measured: inside cuInit, before it has succeeded */
    fake.initialized = true;
    return OK;
}

API(cuDriverGetVersion, (int *version)) { *version = 13000; return OK; }
API(cuDeviceGetCount, (int *count)) { NEED_INIT; *count = fake.devices; return OK; }
API(cuDeviceGet, (int *device, int ordinal)) { NEED_INIT; *device = ordinal; return ordinal < fake.devices ? OK : BAD_DEVICE; }
API(cuDeviceGetName, (char *name, int bytes, int device)) { snprintf(name, (size_t)bytes, "Fake GPU %d", device); return OK; }
API(cuDeviceTotalMem_v2, (size_t *bytes, int device)) { (void)device; *bytes = fake.total; return OK; }
API(cuDeviceGetUuid_v2, (struct vs_cu_uuid * uuid, int device)) { memset(uuid->bytes, 0xa0 + device, 16); return OK; }
API(cuDeviceGetUuid, (struct vs_cu_uuid * uuid, int device)) { return cuDeviceGetUuid_v2(uuid, device); }
API(cuDeviceGetPCIBusId, (char *text, int bytes, int device)) { snprintf(text, (size_t)bytes, "0000:%02x:00.0", 0x3b + device); return OK; }

/* ---- contexts ---- */

API(cuCtxGetCurrent, (void **context)) { NEED_INIT; *context = current; return OK; }
API(cuCtxSetCurrent, (void *context)) { NEED_INIT; current = context; return OK; }
API(cuCtxGetDevice, (int *device)) { NEED_CONTEXT; *device = current->device; return OK; }
API(cuCtxSynchronize, (void)) { NEED_CONTEXT; return OK; }

API(cuCtxCreate_v2, (void **out, unsigned flags, int device))
{
    NEED_INIT;
    LOCKED;
    (void)flags;
    current = new_context(device, false);
    *out = current;
    return current ? OK : NO_MEMORY;
}
API(cuCtxCreate, (void **out, unsigned flags, int device)) { return cuCtxCreate_v2(out, flags, device); }
API(cuCtxCreate_v3, (void **out, void *params, int n, unsigned flags, int device)) { (void)params, (void)n; return cuCtxCreate_v2(out, flags, device); }
API(cuCtxCreate_v4, (void **out, void *params, unsigned flags, int device)) { (void)params; return cuCtxCreate_v2(out, flags, device); }

API(cuCtxDestroy_v2, (void *context))
{
    NEED_INIT;
    LOCKED;
    struct context *c = context;
    if (!c || !c->alive || c->primary)
        return BAD_CONTEXT;
    end_context(c);
    if (current == c)
        current = NULL;
    return OK;
}
API(cuCtxDestroy, (void *context)) { return cuCtxDestroy_v2(context); }
API(cuCtxDetach, (void *context)) { return cuCtxDestroy_v2(context); }

API(cuDevicePrimaryCtxRetain, (void **out, int device))
{
    NEED_INIT;
    LOCKED;
    struct context *c;
    if (device < 0 || device >= fake.devices)
        return BAD_DEVICE;
    c = primary_context(device);
    if (c)
        c->references++;
    else
        c = new_context(device, true);
    usleep(c && c->references == 1 ? (useconds_t)setting("FAKE_CUDA_CONTEXT_MS", 0) * 1000 : 0);
    *out = c;
    return c ? OK : NO_MEMORY;
}
API(cuDevicePrimaryCtxRelease_v2, (int device))
{
    NEED_INIT;
    LOCKED;
    struct context *c = primary_context(device);
    if (!c)
        return BAD_CONTEXT;
    if (!--c->references)
        end_context(c);
    return OK;
}
API(cuDevicePrimaryCtxRelease, (int device)) { return cuDevicePrimaryCtxRelease_v2(device); }
API(cuDevicePrimaryCtxReset_v2, (int device))
{
    NEED_INIT;
    LOCKED;
    struct context *c = primary_context(device);
    if (c)
        end_context(c);
    return OK;
}
API(cuDevicePrimaryCtxReset, (int device)) { return cuDevicePrimaryCtxReset_v2(device); }
API(cuDevicePrimaryCtxGetState, (int device, unsigned *flags, int *active)) { *flags = 0; *active = primary_context(device) != NULL; return OK; }

/* ---- plain memory ---- */

static int take(enum kind kind, uint64_t *out, uint64_t bytes)
{
    struct block *b;
    int err;
    NEED_CONTEXT;
    LOCKED;
    if (!bytes)
        return INVALID;
    if ((err = charge(current->device, bytes)))
        return err;
    if (!(b = new_block(kind, bytes, 0)))
        return NO_MEMORY;
    b->context = current;
    b->device = current->device;
    *out = b->address;
    return OK;
}

static int give(const enum kind *kinds, uint64_t address, int missing)
{
    struct block *b = NULL;
    NEED_INIT;
    LOCKED;
    for (; !b && *kinds; kinds++)
        b = find_block(*kinds, address);
    if (!b)
        return missing;
    free_block(b);
    return OK;
}

API(cuMemGetInfo_v2, (size_t *unused, size_t *total))
{
    NEED_CONTEXT;
    *total = fake.total;
    *unused = fake.total - fake.used[current->device];
    return OK;
}
API(cuMemAlloc_v2, (uint64_t *out, size_t bytes)) { return take(DEVICE, out, bytes); }
API(cuMemAllocManaged, (uint64_t *out, size_t bytes, unsigned flags)) { return flags ? take(MANAGED, out, bytes) : INVALID; }
API(cuMemAllocPitch_v2, (uint64_t *out, size_t *pitch, size_t width, size_t height, unsigned element))
{
    size_t wide = (width + 511) & ~(size_t)511;
    int err = element == 4 || element == 8 || element == 16 ? take(DEVICE, out, wide * height) : INVALID;
    if (!err)
        *pitch = wide;
    return err;
}
API(cuMemFree_v2, (uint64_t address))
{
    static const enum kind kinds[] = {DEVICE, MANAGED, ASYNC, IMPORTED, 0};
    return address ? give(kinds, address, INVALID) : OK;
}
API(cuMemAlloc, (unsigned *out, unsigned bytes)) { (void)out, (void)bytes; return NO_MEMORY; } /* 32-bit addresses are gone */
API(cuMemAllocPitch, (unsigned *out, unsigned *pitch, unsigned w, unsigned h, unsigned e)) { (void)out, (void)pitch, (void)w, (void)h, (void)e; return NO_MEMORY; }
API(cuMemFree, (unsigned address)) { return cuMemFree_v2(address); }
API(cuMemGetAddressRange_v2, (uint64_t *base, size_t *bytes, uint64_t at))
{
    LOCKED;
    int i;
    for (i = 0; i < fake.nblocks; i++) {
        struct block *b = &fake.blocks[i];
        if (b->kind == FREE_BLOCK || b->kind == PHYSICAL || at < b->address || at - b->address >= b->bytes)
            continue;
        *base = b->address;
        *bytes = b->bytes;
        return OK;
    }
    return NOT_FOUND;
}

API(cuMemHostAlloc, (void **out, size_t bytes, unsigned flags))
{
    struct block *b;
    (void)flags;
    NEED_CONTEXT;
    LOCKED;
    if (!bytes)
        return INVALID;
    if (refused() || bytes > 4ull << 30)
        return NO_MEMORY;
    *out = malloc(bytes);
    b = new_block(HOST, bytes, (uint64_t)(uintptr_t)*out);
    b->context = current;
    return OK;
}
API(cuMemAllocHost_v2, (void **out, size_t bytes)) { return cuMemHostAlloc(out, bytes, 0); }
API(cuMemAllocHost, (void **out, unsigned bytes)) { return cuMemHostAlloc(out, bytes, 0); }
API(cuMemFreeHost, (void *p)) { static const enum kind kinds[] = {HOST, 0}; return give(kinds, (uint64_t)(uintptr_t)p, INVALID); }
API(cuMemHostRegister_v2, (void *p, size_t bytes, unsigned flags))
{
    (void)flags;
    NEED_CONTEXT;
    LOCKED;
    if (find_block(REGISTERED, (uint64_t)(uintptr_t)p))
        return ALREADY_REGISTERED;
    if (refused())
        return NO_MEMORY;
    new_block(REGISTERED, bytes, (uint64_t)(uintptr_t)p)->context = current;
    return OK;
}
API(cuMemHostRegister, (void *p, size_t bytes, unsigned flags)) { return cuMemHostRegister_v2(p, bytes, flags); }
API(cuMemHostUnregister, (void *p)) { static const enum kind kinds[] = {REGISTERED, 0}; return give(kinds, (uint64_t)(uintptr_t)p, NOT_REGISTERED); }

/* ---- arrays ---- */

API(cuArray3DCreate_v2, (void **out, const struct vs_cu_array3d *d))
{
    uint64_t address = 0, element = d->format == 0x20 ? 4 : d->format == 0x10 ? 2 : 1;
    int err = take(ARRAY, &address, d->width * (d->height ? d->height : 1) * (d->depth ? d->depth : 1) * d->channels * element);
    if (!err)
        *out = (void *)(uintptr_t)address;
    return err;
}
API(cuArrayCreate_v2, (void **out, const struct vs_cu_array *d))
{
    return cuArray3DCreate_v2(out, &(struct vs_cu_array3d){.width = d->width, .height = d->height, .format = d->format, .channels = d->channels});
}
API(cuArrayCreate, (void **out, const struct vs_cu_array_v1 *d)) { (void)out, (void)d; return NO_MEMORY; }
API(cuArray3DCreate, (void **out, const struct vs_cu_array3d_v1 *d)) { (void)out, (void)d; return NO_MEMORY; }
API(cuMipmappedArrayCreate, (void **out, const struct vs_cu_array3d *d, unsigned levels))
{
    uint64_t address = 0, bytes = 0, element = d->format == 0x20 ? 4 : 1;
    unsigned i;
    int err;
    for (i = 0; i < levels; i++)
        bytes += (d->width >> i ? d->width >> i : 1) * (d->height >> i ? d->height >> i : 1) * d->channels * element;
    if (!(err = take(ARRAY, &address, bytes)))
        *out = (void *)(uintptr_t)address;
    return err;
}
API(cuArrayDestroy, (void *p)) { static const enum kind kinds[] = {ARRAY, 0}; return give(kinds, (uint64_t)(uintptr_t)p, INVALID); }
API(cuMipmappedArrayDestroy, (void *p)) { return cuArrayDestroy(p); }

/* ---- memory of others ---- */

API(cuIpcGetMemHandle, (struct vs_cu_ipc * out, uint64_t address))
{
    LOCKED;
    struct block *b = find_block(DEVICE, address);
    if (!b)
        return INVALID;
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, &b->bytes, sizeof b->bytes);
    return OK;
}
static int import(uint64_t *out, uint64_t bytes)
{
    struct block *b;
    NEED_CONTEXT;
    LOCKED;
    b = new_block(IMPORTED, bytes, 0);
    b->context = current;
    *out = b->address;
    return OK;
}
API(cuIpcOpenMemHandle_v2, (uint64_t *out, struct vs_cu_ipc handle, unsigned flags))
{
    uint64_t bytes;
    (void)flags;
    memcpy(&bytes, handle.bytes, sizeof bytes);
    return bytes ? import(out, bytes) : INVALID;
}
API(cuIpcOpenMemHandle, (uint64_t *out, struct vs_cu_ipc handle, unsigned flags)) { return cuIpcOpenMemHandle_v2(out, handle, flags); }
API(cuIpcCloseMemHandle, (uint64_t address)) { static const enum kind kinds[] = {IMPORTED, 0}; return give(kinds, address, INVALID); }
API(cuExternalMemoryGetMappedBuffer, (uint64_t *out, void *memory, const struct vs_cu_external_buffer *d)) { (void)memory; return import(out, d->size); }
API(cuExternalMemoryGetMappedMipmappedArray, (void **out, void *memory, const struct vs_cu_external_mipmap *d))
{
    (void)memory;
    return cuMipmappedArrayCreate(out, &d->array, d->levels);
}

#include "cuda_code.h"

#include "cuda_async.h"
