/* SPDX-License-Identifier: MIT
 *
 * driver_vmm.c: stands in front of virtual memory management: physical memory, its mappings and references.
 * Must never count anything here: who still holds a piece of memory is worked out from the records.
 *
 * Not recorded: reserving addresses (no memory), access rights, and memory put under sparse arrays (cuMemMapArrayAsync).
 */
#include "driver.h"

/* cuMemCreate is called on threads without a context: the device is in its argument. Host NUMA memory has none. */
int cuMemCreate(uint64_t *out, size_t bytes, const struct vs_cu_mem_prop *prop, unsigned long long flags)
{
    VS_HOOKED(cuMemCreate, (out, bytes, prop, flags));
    int result = real(out, bytes, prop, flags);
    int device = prop && prop->location.type == VS_CU_LOCATION_DEVICE ? prop->location.id : VS_ON_HOST;
    if (result)
        return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_VMM, .device = device,
                                                                     .asked = bytes, .caller = VS_CALLER});
    return vs_driver_vmm_began(result, &(struct vs_driver_vmm){.op = VS_VMM_CREATE, .handle = *out, .bytes = bytes,
                                                               .device = device, .caller = VS_CALLER});
}

/* A multicast object takes no memory of its own, but is mapped and released like a piece of it. */
int cuMulticastCreate(uint64_t *out, const struct vs_cu_multicast *prop)
{
    VS_HOOKED(cuMulticastCreate, (out, prop));
    int result = real(out, prop);
    return vs_driver_vmm_began(result, &(struct vs_driver_vmm){.op = VS_VMM_CREATE, .handle = result ? 0 : *out,
                                                               .device = VS_ON_HOST, .caller = VS_CALLER});
}

int cuMemImportFromShareableHandle(uint64_t *out, void *handle, int type)
{
    VS_HOOKED(cuMemImportFromShareableHandle, (out, handle, type));
    int result = real(out, handle, type);
    return vs_driver_vmm_began(result, &(struct vs_driver_vmm){.op = VS_VMM_IMPORT, .handle = result ? 0 : *out,
                                                               .flags = VS_AF_IMPORTED, .device = VS_ON_HOST,
                                                               .caller = VS_CALLER});
}

int cuMemRetainAllocationHandle(uint64_t *out, void *address)
{
    VS_HOOKED(cuMemRetainAllocationHandle, (out, address));
    int result = real(out, address);
    return vs_driver_vmm_began(result, &(struct vs_driver_vmm){.op = VS_VMM_RETAIN, .handle = result ? 0 : *out,
                                                               .address = (uint64_t)(uintptr_t)address,
                                                               .device = VS_ON_HOST, .caller = VS_CALLER});
}

int cuMemRelease(uint64_t handle)
{
    VS_HOOKED(cuMemRelease, (handle));
    struct vs_taken t = vs_driver_take();
    int result = real(handle);
    return vs_driver_vmm_ended(result, t, &(struct vs_driver_vmm){.op = VS_VMM_RELEASE, .handle = handle,
                                                                  .device = VS_ON_HOST, .caller = VS_CALLER});
}

int cuMemMap(uint64_t address, size_t bytes, size_t offset, uint64_t handle, unsigned long long flags)
{
    VS_HOOKED(cuMemMap, (address, bytes, offset, handle, flags));
    int result = real(address, bytes, offset, handle, flags);
    return vs_driver_vmm_began(result, &(struct vs_driver_vmm){.op = VS_VMM_MAP, .handle = handle, .address = address,
                                                               .bytes = bytes, .device = VS_ON_HOST,
                                                               .caller = VS_CALLER});
}

int cuMemUnmap(uint64_t address, size_t bytes)
{
    VS_HOOKED(cuMemUnmap, (address, bytes));
    struct vs_taken t = vs_driver_take();
    int result = real(address, bytes);
    return vs_driver_vmm_ended(result, t, &(struct vs_driver_vmm){.op = VS_VMM_UNMAP, .address = address,
                                                                  .bytes = bytes, .device = VS_ON_HOST,
                                                                  .caller = VS_CALLER});
}
