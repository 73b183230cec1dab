/* SPDX-License-Identifier: MIT
 *
 * memory.c: takes and gives back named memory. Order matters to a recorder: a region is registered after its memory
 * exists and unregistered before the memory goes, so no moment shows bytes that are not there.
 */
#include "workloads/memory.h"

#include <errno.h>
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtMem.h>
#include <stdio.h>
#include <string.h>

void vs_buffer_name(const void *data, size_t bytes, const char *name)
{
    nvtxMemVirtualRangeDesc_t range = {.size = bytes, .ptr = data};
    nvtxMemRegionsRegisterBatch_t batch = {
        .extCompatID = NVTX_EXT_COMPATID_MEM,
        .structSize = sizeof batch,
        .regionType = NVTX_MEM_TYPE_VIRTUAL_ADDRESS,
        .heap = NVTX_MEM_HEAP_HANDLE_PROCESS_WIDE,
        .regionCount = 1,
        .regionDescElementSize = sizeof range,
        .regionDescElements = &range,
    };
    nvtxMemRegionsRegister(NULL, &batch);

    nvtxMemRegionNameDesc_t label;
    memset(&label, 0, sizeof label);
    label.regionRefType = NVTX_MEM_REGION_REF_TYPE_POINTER;
    label.nameType = NVTX_MESSAGE_TYPE_ASCII;
    label.region.pointer = data;
    label.name.ascii = name;
    nvtxMemRegionsNameBatch_t names = {
        .extCompatID = NVTX_EXT_COMPATID_MEM,
        .structSize = sizeof names,
        .regionCount = 1,
        .regionElementSize = sizeof label,
        .regionElements = &label,
    };
    nvtxMemRegionsName(NULL, &names);
}

void vs_buffer_unname(const void *data)
{
    nvtxMemRegionRef_t region = {.pointer = data};
    nvtxMemRegionsUnregisterBatch_t batch = {
        .extCompatID = NVTX_EXT_COMPATID_MEM,
        .structSize = sizeof batch,
        .refType = NVTX_MEM_REGION_REF_TYPE_POINTER,
        .refCount = 1,
        .refElementSize = sizeof region,
        .refElements = &region,
    };
    nvtxMemRegionsUnregister(NULL, &batch);
}

/* The handle is the address. */
void vs_buffer_heap(const void *data, size_t bytes)
{
    nvtxMemVirtualRangeDesc_t range = {.size = bytes, .ptr = data};
    nvtxMemHeapDesc_t heap;
    memset(&heap, 0, sizeof heap);
    heap.extCompatID = NVTX_EXT_COMPATID_MEM;
    heap.structSize = sizeof heap;
    heap.usage = NVTX_MEM_HEAP_USAGE_TYPE_SUB_ALLOCATOR;
    heap.type = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    heap.typeSpecificDescSize = sizeof range;
    heap.typeSpecificDesc = &range;
    heap.messageType = NVTX_MESSAGE_TYPE_ASCII;
    heap.message.ascii = "arena";
    nvtxMemHeapRegister(NULL, &heap);
}

void vs_buffer_unheap(const void *data)
{
    nvtxMemHeapUnregister(NULL, (nvtxMemHeapHandle_t)(uintptr_t)data); // NOLINT(performance-no-int-to-ptr): an address
}

int vs_buffer_take(struct vs_buffer *memory, const struct vs_device *device, size_t bytes, const char *name)
{
    memset(memory, 0, sizeof *memory);
    if (!bytes) return 0;
    int err = device->alloc(bytes, &memory->data);
    if (err) {
        memory->data = NULL;
        return err;
    }
    memory->bytes = bytes;
    memory->device = device;
    vs_buffer_name(memory->data, bytes, name);
    return 0;
}

void vs_buffer_give(struct vs_buffer *memory)
{
    if (!memory->data) return;
    vs_buffer_unname(memory->data);
    memory->device->release(memory->data);
    memory->data = NULL;
}

const char *vs_buffer_text(size_t size, char *text, size_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)size;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < sizeof units / sizeof *units; u++) v /= 1024;
    snprintf(text, bytes, "%.*f %s", u ? 1 : 0, v, units[u]);
    return text;
}

int vs_buffer_ask(struct vs_buffer *memory, const struct vs_device *device, size_t bytes, const char *name, char *why,
                  size_t why_bytes)
{
    char asked[32], there[32];
    size_t available;
    bool known = device->free_bytes(&available) == 0;
    memset(memory, 0, sizeof *memory);
    int err = known && bytes > available ? -ENOMEM : vs_buffer_take(memory, device, bytes, name);
    if (!err) return 0;
    vs_buffer_text(bytes, asked, sizeof asked);
    if (!known) snprintf(why, why_bytes, "no memory for %s: %s asked for", name, asked);
    else /* refused all the same: a limit of the process, or no piece of that size */
        snprintf(why, why_bytes, "no memory for %s: %s asked for%s, %s free", name, asked,
                 bytes > available ? "" : " and refused", vs_buffer_text(available, there, sizeof there));
    return err;
}
