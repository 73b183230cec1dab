/* SPDX-License-Identifier: MIT
 *
 * driver_array.c: stands in front of the driver's CUDA arrays and mipmaps.
 * Must never ask the driver for an array's size: it keeps that to itself (array_bytes.c works it out).
 */
#include "array_bytes.h"
#include "driver.h"

static int array_memory(int result, void *const *out, const struct vs_cu_array3d *d, unsigned levels, uint8_t flags,
                        uint64_t caller)
{
    uint64_t bytes = d ? vs_array_bytes(d, levels) : 0;
    return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_ARRAY, .device = VS_ON_CURRENT,
                                                                 .address = result ? 0 : (uint64_t)(uintptr_t)*out,
                                                                 .asked = bytes, .bytes = bytes, .flags = flags,
                                                                 .caller = caller});
}

#define WIDENED(d, depth_, flags_)                                                                        \
    (d) ? &(struct vs_cu_array3d){.width = (d)->width, .height = (d)->height, .depth = (depth_),          \
                                  .format = (d)->format, .channels = (d)->channels, .flags = (flags_)}    \
        : NULL

int cuArrayCreate(void **out, const struct vs_cu_array_v1 *desc)
{
    VS_HOOKED(cuArrayCreate, (out, desc));
    return array_memory(real(out, desc), out, WIDENED(desc, 0, 0), 1, 0, VS_CALLER);
}

int cuArrayCreate_v2(void **out, const struct vs_cu_array *desc)
{
    VS_HOOKED(cuArrayCreate_v2, (out, desc));
    return array_memory(real(out, desc), out, WIDENED(desc, 0, 0), 1, 0, VS_CALLER);
}

int cuArray3DCreate(void **out, const struct vs_cu_array3d_v1 *desc)
{
    VS_HOOKED(cuArray3DCreate, (out, desc));
    return array_memory(real(out, desc), out, WIDENED(desc, desc->depth, desc->flags), 1, 0, VS_CALLER);
}

int cuArray3DCreate_v2(void **out, const struct vs_cu_array3d *desc)
{
    VS_HOOKED(cuArray3DCreate_v2, (out, desc));
    return array_memory(real(out, desc), out, desc, 1, 0, VS_CALLER);
}

int cuArrayDestroy(void *array)
{
    VS_HOOKED(cuArrayDestroy, (array));
    struct vs_taken t = vs_driver_take();
    return vs_driver_freed(real(array), t, VS_MEM_ARRAY, (uint64_t)(uintptr_t)array);
}

int cuMipmappedArrayCreate(void **out, const struct vs_cu_array3d *desc, unsigned levels)
{
    VS_HOOKED(cuMipmappedArrayCreate, (out, desc, levels));
    return array_memory(real(out, desc, levels), out, desc, levels, 0, VS_CALLER);
}

int cuMipmappedArrayDestroy(void *array)
{
    VS_HOOKED(cuMipmappedArrayDestroy, (array));
    struct vs_taken t = vs_driver_take();
    return vs_driver_freed(real(array), t, VS_MEM_ARRAY, (uint64_t)(uintptr_t)array);
}

int cuExternalMemoryGetMappedMipmappedArray(void **out, void *memory, const struct vs_cu_external_mipmap *desc)
{
    VS_HOOKED(cuExternalMemoryGetMappedMipmappedArray, (out, memory, desc));
    int result = real(out, memory, desc);
    return array_memory(result, out, desc ? &desc->array : NULL, desc ? desc->levels : 1, VS_AF_IMPORTED, VS_CALLER);
}
