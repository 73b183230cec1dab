/* SPDX-License-Identifier: MIT
 *
 * nvtx_regions.c: NVTX's memory extension: heaps and regions of virtual memory that a program registers, resizes, names
 * and unregisters. How any program reports memory that CUDA does not see, or says what a part of a block is for.
 * Must never look into the memory itself.
 *
 * The handle of a heap or region is its address, as NVTX lays down for virtual memory, so references by pointer and by
 * handle are the same. A heap and its first region share their address: VS_RG_HEAP in the flags tells them apart.
 * Permissions are not recorded; their slots stay empty, which makes them no-ops.
 */
#include <string.h>

#include "src_nvtx.h"

static bool layout_known(uint16_t compat, size_t said, size_t needed)
{
    if (compat >> 8 == VS_NVTX_MEM_COMPAT >> 8 && said >= needed)
        return true;
    vs_log_lost(VS_SRC_NVTX, VS_LOST_UNKNOWN, 1);
    return false;
}

static uint64_t heap_address(const void *heap)
{
    return heap == VS_NVTX_HEAP_NO_TOOL ? 0 : (uint64_t)(uintptr_t)heap;
}

static void region(uint8_t flags, const struct vs_nvtx_mem_range *m, uint64_t heap)
{
    struct vs_rec_region *r = vs_log_begin(VS_K_REGION, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, flags, -1);
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->address = (uint64_t)(uintptr_t)m->ptr;
    r->bytes = m->size;
    r->range = vs_thread_range();
    r->heap = heap;
    vs_log_commit(r);
}

static void region_free(uint8_t flags, uint64_t address)
{
    struct vs_rec_free *r = vs_log_begin(VS_K_REGION_FREE, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, flags, -1);
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->address = address;
    r->range = vs_thread_range();
    vs_log_commit(r);
}

static void region_name(uint8_t flags, uint64_t address, int type, union vs_nvtx_message m)
{
    struct vs_rec_region_name *r;
    struct vs_text x;

    vs_text_message(&x, type, m);
    r = vs_log_begin(VS_K_REGION_NAME, sizeof *r + x.bytes);
    if (!r)
        return;
    vs_rec_set(r, flags, -1);
    r->seq = vs_log_seq();
    r->address = address;
    r->string = x.string;
    r->text_bytes = (uint32_t)x.bytes;
    memcpy(r->text, x.text, x.bytes);
    vs_log_commit(r);
    if (x.cut)
        vs_log_lost(VS_SRC_NVTX, VS_LOST_CUT, 1);
}

const void *vs_nvtx_heap_register(vs_nvtx_domain d, const struct vs_nvtx_heap *heap)
{
    const struct vs_nvtx_mem_range *m;
    (void)d;
    if (!heap || !layout_known(heap->compat, heap->struct_size, offsetof(struct vs_nvtx_heap, category)))
        return VS_NVTX_HEAP_NO_TOOL;
    m = heap->range;
    if (heap->type != VS_NVTX_MEM_VIRTUAL || !m || heap->range_size < sizeof *m) {
        vs_log_lost(VS_SRC_NVTX, VS_LOST_UNKNOWN, 1);
        return VS_NVTX_HEAP_NO_TOOL;
    }
    region(VS_RG_HEAP, m, 0);
    if (heap->struct_size >= sizeof *heap && heap->message_type)
        region_name(VS_RG_HEAP, (uint64_t)(uintptr_t)m->ptr, (int)heap->message_type, heap->message);
    return m->ptr;
}

void vs_nvtx_heap_unregister(vs_nvtx_domain d, const void *heap)
{
    (void)d;
    if (heap_address(heap))
        region_free(VS_RG_HEAP, heap_address(heap));
}

/* The heap stays, its regions go. Of the whole process (heap 0): every region that is in no heap. */
void vs_nvtx_heap_reset(vs_nvtx_domain d, const void *heap)
{
    (void)d;
    region_free(VS_RG_HEAP | VS_RG_RESIZE, heap_address(heap));
}

static const void *element(const void *elements, size_t i, size_t size)
{
    return (const char *)elements + i * size;
}

void vs_nvtx_regions_register(vs_nvtx_domain d, const struct vs_nvtx_regions *b)
{
    size_t i;
    (void)d;
    if (!b || !layout_known(b->compat, b->struct_size, sizeof *b))
        return;
    if (b->type != VS_NVTX_MEM_VIRTUAL || b->element_size < sizeof(struct vs_nvtx_mem_range) || !b->elements) {
        vs_log_lost(VS_SRC_NVTX, VS_LOST_UNKNOWN, b->count);
        return;
    }
    for (i = 0; i < b->count; i++) {
        const struct vs_nvtx_mem_range *m = element(b->elements, i, b->element_size);
        region(0, m, heap_address(b->heap));
        if (b->handles)
            b->handles[i] = m->ptr;
    }
}

void vs_nvtx_regions_resize(vs_nvtx_domain d, const struct vs_nvtx_regions_resize *b)
{
    size_t i;
    (void)d;
    if (!b || !layout_known(b->compat, b->struct_size, sizeof *b))
        return;
    if (b->type != VS_NVTX_MEM_VIRTUAL || b->element_size < sizeof(struct vs_nvtx_mem_range) || !b->elements) {
        vs_log_lost(VS_SRC_NVTX, VS_LOST_UNKNOWN, b->count);
        return;
    }
    for (i = 0; i < b->count; i++)
        region(VS_RG_RESIZE, element(b->elements, i, b->element_size), 0);
}

void vs_nvtx_regions_unregister(vs_nvtx_domain d, const struct vs_nvtx_regions_unregister *b)
{
    size_t i;
    (void)d;
    if (!b || !layout_known(b->compat, b->struct_size, sizeof *b))
        return;
    if ((b->ref_type != VS_NVTX_REF_POINTER && b->ref_type != VS_NVTX_REF_HANDLE) || b->element_size < sizeof(void *) ||
        !b->elements) {
        vs_log_lost(VS_SRC_NVTX, VS_LOST_UNKNOWN, b->count);
        return;
    }
    for (i = 0; i < b->count; i++) {
        const void *const *ref = element(b->elements, i, b->element_size);
        region_free(0, (uint64_t)(uintptr_t)*ref);
    }
}

void vs_nvtx_regions_name(vs_nvtx_domain d, const struct vs_nvtx_regions_name *b)
{
    size_t i;
    (void)d;
    if (!b || !layout_known(b->compat, b->struct_size, offsetof(struct vs_nvtx_regions_name, reserved1)))
        return;
    if (!b->elements || b->element_size < offsetof(struct vs_nvtx_region_name, category)) {
        vs_log_lost(VS_SRC_NVTX, VS_LOST_UNKNOWN, b->count);
        return;
    }
    for (i = 0; i < b->count; i++) {
        const struct vs_nvtx_region_name *n = element(b->elements, i, b->element_size);
        region_name(0, (uint64_t)(uintptr_t)n->region, (int)n->message_type, n->name);
    }
}
