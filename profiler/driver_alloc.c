/* SPDX-License-Identifier: MIT
 *
 * driver_alloc.c: stands in front of the driver's plain allocations: device, managed, pinned host, and memory of others.
 * Must never answer a call itself.
 */
#include <errno.h>

#include "driver.h"

/* ---- device ---- */

static inline int device_memory(int result, uint64_t address, uint64_t asked, uint64_t bytes, uint64_t caller)
{
    return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_CUDA, .device = VS_ON_CURRENT,
                                                                 .address = address, .asked = asked, .bytes = bytes,
                                                                 .caller = caller});
}

int cuMemAlloc(unsigned *out, unsigned bytes)
{
    VS_HOOKED(cuMemAlloc, (out, bytes));
    int result = real(out, bytes);
    return device_memory(result, result ? 0 : *out, bytes, bytes, VS_CALLER);
}

int cuMemAlloc_v2(uint64_t *out, size_t bytes)
{
    VS_HOOKED(cuMemAlloc_v2, (out, bytes));
    int result = real(out, bytes);
    return device_memory(result, result ? 0 : *out, bytes, bytes, VS_CALLER);
}

int cuMemAllocPitch(unsigned *out, unsigned *pitch, unsigned width, unsigned height, unsigned element)
{
    VS_HOOKED(cuMemAllocPitch, (out, pitch, width, height, element));
    int result = real(out, pitch, width, height, element);
    uint64_t asked = (uint64_t)width * height;
    return device_memory(result, result ? 0 : *out, asked, result ? 0 : (uint64_t)*pitch * height, VS_CALLER);
}

int cuMemAllocPitch_v2(uint64_t *out, size_t *pitch, size_t width, size_t height, unsigned element)
{
    VS_HOOKED(cuMemAllocPitch_v2, (out, pitch, width, height, element));
    int result = real(out, pitch, width, height, element);
    return device_memory(result, result ? 0 : *out, width * height, result ? 0 : *pitch * height, VS_CALLER);
}

int cuMemAllocManaged(uint64_t *out, size_t bytes, unsigned flags)
{
    VS_HOOKED(cuMemAllocManaged, (out, bytes, flags));
    int result = real(out, bytes, flags);
    return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_MANAGED, .device = VS_ON_CURRENT,
                                                                 .address = result ? 0 : *out, .asked = bytes,
                                                                 .bytes = bytes, .caller = VS_CALLER});
}

/* Freeing 0 is allowed and common (cudaFree(0) starts a runtime): nothing to record. */
int cuMemFree(unsigned address)
{
    VS_HOOKED(cuMemFree, (address));
    struct vs_taken t = address ? vs_driver_take() : (struct vs_taken){0, 0};
    return vs_driver_freed(real(address), t, VS_MEM_CUDA, address);
}

int cuMemFree_v2(uint64_t address)
{
    VS_HOOKED(cuMemFree_v2, (address));
    struct vs_taken t = address ? vs_driver_take() : (struct vs_taken){0, 0};
    return vs_driver_freed(real(address), t, VS_MEM_CUDA, address);
}

/* ---- pinned host memory ---- */

static inline int host_memory(int result, void *address, uint64_t bytes, uint8_t flags, uint64_t caller)
{
    return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_PINNED, .device = VS_ON_HOST,
                                                                 .address = (uint64_t)(uintptr_t)address, .asked = bytes,
                                                                 .bytes = bytes, .flags = flags, .caller = caller});
}

int cuMemAllocHost(void **out, unsigned bytes)
{
    VS_HOOKED_AS(VS_DEPTH_QUIET, cuMemAllocHost, (out, bytes));
    int result = real(out, bytes);
    return host_memory(result, result ? NULL : *out, bytes, 0, VS_CALLER);
}

int cuMemAllocHost_v2(void **out, size_t bytes)
{
    VS_HOOKED_AS(VS_DEPTH_QUIET, cuMemAllocHost_v2, (out, bytes));
    int result = real(out, bytes);
    return host_memory(result, result ? NULL : *out, bytes, 0, VS_CALLER);
}

int cuMemHostAlloc(void **out, size_t bytes, unsigned flags)
{
    VS_HOOKED_AS(VS_DEPTH_QUIET, cuMemHostAlloc, (out, bytes, flags));
    int result = real(out, bytes, flags);
    return host_memory(result, result ? NULL : *out, bytes, 0, VS_CALLER);
}

int cuMemFreeHost(void *address)
{
    VS_HOOKED_AS(VS_DEPTH_QUIET, cuMemFreeHost, (address));
    struct vs_taken t = address ? vs_driver_take() : (struct vs_taken){0, 0};
    return vs_driver_freed(real(address), t, VS_MEM_PINNED, (uint64_t)(uintptr_t)address);
}

int cuMemHostRegister(void *address, size_t bytes, unsigned flags)
{
    VS_HOOKED_AS(VS_DEPTH_QUIET, cuMemHostRegister, (address, bytes, flags));
    return host_memory(real(address, bytes, flags), address, bytes, VS_AF_REGISTERED, VS_CALLER);
}

int cuMemHostRegister_v2(void *address, size_t bytes, unsigned flags)
{
    VS_HOOKED_AS(VS_DEPTH_QUIET, cuMemHostRegister_v2, (address, bytes, flags));
    return host_memory(real(address, bytes, flags), address, bytes, VS_AF_REGISTERED, VS_CALLER);
}

int cuMemHostUnregister(void *address)
{
    VS_HOOKED_AS(VS_DEPTH_QUIET, cuMemHostUnregister, (address));
    struct vs_taken t = vs_driver_take();
    return vs_driver_freed(real(address), t, VS_MEM_PINNED, (uint64_t)(uintptr_t)address);
}

/* ---- memory of another process or API: listed, never held ---- */

static int imported(int result, uint64_t address, uint64_t bytes, uint64_t caller)
{
    return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_CUDA, .device = VS_ON_CURRENT,
                                                                 .address = address, .asked = bytes, .bytes = bytes,
                                                                 .flags = VS_AF_IMPORTED, .caller = caller});
}

/* The handle does not say how much it stands for; the driver does. */
static uint64_t bytes_at(int result, uint64_t address)
{
    uint64_t base = 0;
    size_t bytes = 0;
    int saved = errno;
    if (result || !vs_driver_fill() || !vs_cu(cuMemGetAddressRange_v2) ||
        vs_cu(cuMemGetAddressRange_v2)(&base, &bytes, address))
        bytes = 0;
    errno = saved;
    return bytes;
}

int cuIpcOpenMemHandle(uint64_t *out, struct vs_cu_ipc handle, unsigned flags)
{
    VS_HOOKED(cuIpcOpenMemHandle, (out, handle, flags));
    int result = real(out, handle, flags);
    uint64_t address = result ? 0 : *out;
    return imported(result, address, bytes_at(result, address), VS_CALLER);
}

int cuIpcOpenMemHandle_v2(uint64_t *out, struct vs_cu_ipc handle, unsigned flags)
{
    VS_HOOKED(cuIpcOpenMemHandle_v2, (out, handle, flags));
    int result = real(out, handle, flags);
    uint64_t address = result ? 0 : *out;
    return imported(result, address, bytes_at(result, address), VS_CALLER);
}

int cuIpcCloseMemHandle(uint64_t address)
{
    VS_HOOKED(cuIpcCloseMemHandle, (address));
    struct vs_taken t = vs_driver_take();
    return vs_driver_freed(real(address), t, VS_MEM_CUDA, address);
}

int cuExternalMemoryGetMappedBuffer(uint64_t *out, void *memory, const struct vs_cu_external_buffer *desc)
{
    VS_HOOKED(cuExternalMemoryGetMappedBuffer, (out, memory, desc));
    int result = real(out, memory, desc);
    return imported(result, result ? 0 : *out, result ? 0 : desc->size, VS_CALLER);
}
