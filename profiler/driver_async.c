/* SPDX-License-Identifier: MIT
 *
 * driver_async.c: stands in front of the driver's stream-ordered allocations and of the pools they come from.
 * Must never do more inside a stream capture than ask whether there is one.
 */
#include <errno.h>

#include "driver.h"

static bool capturing(void *stream, bool per_thread)
{
    int status = 0;
    int (*ask)(void *, int *) = per_thread ? vs_cu(cuStreamIsCapturing_ptsz) : vs_cu(cuStreamIsCapturing);
    return ask && ask(stream, &status) == VS_CU_SUCCESS && status == VS_CU_CAPTURING;
}

/* The memory comes from the stream's device, which is the current one in all but a few programs. The handles 0, 1 and 2
 * mean a default stream of the current context. Asked only where there is a choice. */
static int stream_device(void *stream)
{
    static uint32_t devices; /* atomic; 0: not asked */
    uint32_t n = __atomic_load_n(&devices, __ATOMIC_RELAXED);
    int count = 0, device = -1;

    if (!n) {
        if (!vs_cu(cuDeviceGetCount) || vs_cu(cuDeviceGetCount)(&count) || count < 1)
            count = 1;
        n = (uint32_t)count;
        __atomic_store_n(&devices, n, __ATOMIC_RELAXED);
    }
    if (n > 1 && (uintptr_t)stream > 2 && vs_cu(cuStreamGetDevice) && !vs_cu(cuStreamGetDevice)(stream, &device))
        return device;
    return vs_driver_current_device();
}

/* Pool NULL: the device's current one, which costs 11 ns to ask and can change at any time. */
static int async_memory(int result, struct vs_driver_alloc *a, void *pool, void *stream, bool per_thread)
{
    int saved = errno;

    vs_driver_check_epoch();
    if (!vs_driver_fill())
        return vs_driver_leave(result);
    a->memory = VS_MEM_CUDA_ASYNC;
    a->device = VS_ON_CURRENT;
    if (!result && capturing(stream, per_thread)) {
        a->flags |= VS_AF_CAPTURED;
        vs_driver_pool_graphs_used(vs_driver_current_device());
    } else {
        a->device = pool ? vs_driver_pool_device(pool) : VS_ON_CURRENT;
        if (a->device == VS_ON_CURRENT)
            a->device = stream_device(stream);
        if (!pool && (a->device < 0 || !vs_cu(cuDeviceGetMemPool) || vs_cu(cuDeviceGetMemPool)(&pool, a->device)))
            pool = NULL;
        a->pool = (uint64_t)(uintptr_t)pool;
        if (!result && pool)
            vs_driver_pool_sample(pool, a->device, false);
    }
    errno = saved;
    return vs_driver_allocated(result, a);
}

#define ASKED(out, n) \
    &(struct vs_driver_alloc){.address = result ? 0 : *(out), .asked = (n), .bytes = (n), .caller = VS_CALLER}

int cuMemAllocAsync(uint64_t *out, size_t bytes, void *stream)
{
    VS_HOOKED(cuMemAllocAsync, (out, bytes, stream));
    int result = real(out, bytes, stream);
    return async_memory(result, ASKED(out, bytes), NULL, stream, false);
}

int cuMemAllocAsync_ptsz(uint64_t *out, size_t bytes, void *stream)
{
    VS_HOOKED(cuMemAllocAsync_ptsz, (out, bytes, stream));
    int result = real(out, bytes, stream);
    return async_memory(result, ASKED(out, bytes), NULL, stream, true);
}

int cuMemAllocFromPoolAsync(uint64_t *out, size_t bytes, void *pool, void *stream)
{
    VS_HOOKED(cuMemAllocFromPoolAsync, (out, bytes, pool, stream));
    int result = real(out, bytes, pool, stream);
    return async_memory(result, ASKED(out, bytes), pool, stream, false);
}

int cuMemAllocFromPoolAsync_ptsz(uint64_t *out, size_t bytes, void *pool, void *stream)
{
    VS_HOOKED(cuMemAllocFromPoolAsync_ptsz, (out, bytes, pool, stream));
    int result = real(out, bytes, pool, stream);
    return async_memory(result, ASKED(out, bytes), pool, stream, true);
}

int cuMemFreeAsync(uint64_t address, void *stream)
{
    VS_HOOKED(cuMemFreeAsync, (address, stream));
    struct vs_taken t = address ? vs_driver_take() : (struct vs_taken){0, 0};
    return vs_driver_freed(real(address, stream), t, VS_MEM_CUDA_ASYNC, address);
}

int cuMemFreeAsync_ptsz(uint64_t address, void *stream)
{
    VS_HOOKED(cuMemFreeAsync_ptsz, (address, stream));
    struct vs_taken t = address ? vs_driver_take() : (struct vs_taken){0, 0};
    return vs_driver_freed(real(address, stream), t, VS_MEM_CUDA_ASYNC, address);
}

int cuMemPoolImportPointer(uint64_t *out, void *pool, struct vs_cu_pool_pointer *data)
{
    VS_HOOKED(cuMemPoolImportPointer, (out, pool, data));
    int result = real(out, pool, data);
    uint64_t base = 0, address = result ? 0 : *out;
    size_t bytes = 0;
    int saved = errno;
    if (address && vs_driver_fill() && vs_cu(cuMemGetAddressRange_v2) &&
        vs_cu(cuMemGetAddressRange_v2)(&base, &bytes, address))
        bytes = 0;
    errno = saved;
    return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_CUDA_ASYNC, .device = VS_ON_CURRENT,
                                                                 .address = address, .bytes = bytes,
                                                                 .pool = (uint64_t)(uintptr_t)pool,
                                                                 .flags = VS_AF_IMPORTED, .caller = VS_CALLER});
}

/* ---- pools ---- */

static int pool_made(int result, void *const *out, int device)
{
    int saved = errno;
    vs_driver_check_epoch();
    if (result == VS_CU_SUCCESS && vs_driver_fill())
        vs_driver_pool_sample(*out, device, false);
    errno = saved;
    return vs_driver_leave(result);
}

int cuMemPoolCreate(void **out, const struct vs_cu_pool_props *props)
{
    VS_HOOKED(cuMemPoolCreate, (out, props));
    int result = real(out, props);
    return pool_made(result, out, !result && props->location.type == VS_CU_LOCATION_DEVICE ? props->location.id : VS_ON_HOST);
}

int cuMemPoolImportFromShareableHandle(void **out, void *handle, int type, unsigned long long flags)
{
    VS_HOOKED(cuMemPoolImportFromShareableHandle, (out, handle, type, flags));
    int result = real(out, handle, type, flags);
    return vs_driver_leave(result); /* another process holds its memory */
}

int cuMemPoolDestroy(void *pool)
{
    VS_HOOKED(cuMemPoolDestroy, (pool));
    bool recorded = vs_log_active();
    int saved = errno, result;
    uint64_t ts_ns = recorded && vs_driver_pool_empty(pool) ? vs_now() : 0; /* before its handle can be given to another */
    errno = saved;
    result = real(pool);
    saved = errno;
    if (result == VS_CU_SUCCESS && recorded)
        vs_driver_pool_gone(pool, ts_ns);
    errno = saved;
    return vs_driver_leave(result);
}

static int pool_changed(int result, void *pool)
{
    int saved = errno;
    if (result == VS_CU_SUCCESS && vs_log_active() && vs_driver_fill())
        vs_driver_pool_sample(pool, vs_driver_pool_device(pool), false);
    errno = saved;
    return vs_driver_leave(result);
}

int cuMemPoolTrimTo(void *pool, size_t keep)
{
    VS_HOOKED(cuMemPoolTrimTo, (pool, keep));
    return pool_changed(real(pool, keep), pool);
}

int cuMemPoolSetAttribute(void *pool, int attribute, void *value)
{
    VS_HOOKED(cuMemPoolSetAttribute, (pool, attribute, value));
    return pool_changed(real(pool, attribute, value), pool);
}
