/* SPDX-License-Identifier: MIT
 *
 * regions.c: NVTX memory: heaps and regions the program names. Inside a held block a region is a part of it; elsewhere
 * it is host memory. It must never count a byte twice on one level.
 */
#include <string.h>

#include "process.h"

static struct vs_piece *heap_around(const struct vs_process *p, uint64_t address)
{
    uint64_t at;
    struct vs_piece *x = vs_address_map_floor(&p->live.heaps, address, &at);
    return x && address - at < x->bytes ? x : NULL;
}

/* Where it lies decides what it is. */
static void place(const struct vs_process *p, const struct vs_rec_region *r, struct vs_piece *what)
{
    struct vs_piece *parent = NULL, *around = NULL, *heap = NULL;
    uint64_t at;
    what->source = VS_SE_REGION;
    what->level = VS_LEVEL_SUB;
    if (!(r->h.flags & VS_RG_HEAP)) {
        heap = r->heap ? vs_address_map_get(&p->live.heaps, r->heap) : NULL;
        if (!heap) heap = heap_around(p, r->address);
        parent = heap;
        what->heap_id = heap ? heap->id : 0;
        around = vs_address_map_floor(&p->live.regions, r->address, &at);
        if (around && r->address - at < around->bytes && at != r->address && around->level == VS_LEVEL_SUB)
            parent = around; /* a region within a region */
    }
    if (!parent) parent = vs_live_torch_block(p, r->address);
    if (!parent) parent = vs_live_holder(p, r->address);
    if (parent) {
        what->parent_id = parent->id;
        what->device = parent->device;
        if (parent->level == VS_LEVEL_SUB) what->flags |= VS_FLAG_NESTED;
        return;
    }
    what->level = VS_LEVEL_HELD;
    what->source = VS_SE_HOST;
    what->device = -1;
}

/* All regions in [begin, begin + bytes) that lie in that heap; 0: in none. */
static void free_regions(struct vs_process *p, int64_t heap_id, uint64_t begin, uint64_t bytes, int64_t ts,
                         uint64_t range)
{
    uint64_t at = begin;
    struct vs_piece *x;
    while ((x = vs_address_map_ceiling(&p->live.regions, at, &at)) && at - begin < bytes) {
        if (x->heap_id == heap_id) {
            vs_address_map_remove(&p->live.regions, at);
            vs_live_close(p, x, ts, range);
        }
        if (++at == 0) break;
    }
}

void vs_apply_region(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_region *r = (const void *)rec;
    struct vs_address_map *map = rec->flags & VS_RG_HEAP ? &p->live.heaps : &p->live.regions;
    int64_t ts = vs_process_lifetime(p, r->ts_ns);
    struct vs_piece what = {.address = r->address, .has_address = true, .bytes = r->bytes, .alloc_range = r->range};
    if (r->bytes > VS_MAX_PIECE_BYTES) {
        p->damaged[VS_SRC_NVTX]++;
        p->stored[VS_SRC_NVTX]--;
        return;
    }
    struct vs_piece *old = vs_address_map_remove(map, r->address);
    bool resized = rec->flags & VS_RG_RESIZE;
    if (old) {
        what.name_id = resized ? old->name_id : 0;
        what.category = resized ? old->category : 0;
        what.said = resized && old->said;
        p->unmatched[VS_SRC_NVTX] += !resized;
        if (rec->flags & VS_RG_HEAP) free_regions(p, old->id, old->address, old->bytes, ts, r->range);
        vs_live_close(p, old, ts, r->range);
    }
    place(p, r, &what);
    struct vs_piece *x = vs_live_open(p, &what, ts);
    if (x) vs_process_check(p, vs_address_map_put(map, x->address, x));
}

static void free_heap(struct vs_process *p, uint64_t address, bool stays, int64_t ts, uint64_t range)
{
    struct vs_piece *heap =
        stays ? vs_address_map_get(&p->live.heaps, address) : vs_address_map_remove(&p->live.heaps, address);
    if (heap) free_regions(p, heap->id, heap->address, heap->bytes, ts, range);
    else p->unmatched[VS_SRC_NVTX]++;
    if (heap && !stays) vs_live_close(p, heap, ts, range);
}

void vs_apply_region_free(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_free *r = (const void *)rec;
    bool heap = rec->flags & VS_RG_HEAP, stays = rec->flags & VS_RG_RESIZE;
    struct vs_piece *x;
    if (rec->flags & VS_AF_UNDO) return;
    int64_t ts = vs_process_lifetime(p, r->ts_ns);
    if (heap && stays && !r->address) free_regions(p, 0, 0, UINT64_MAX, ts, r->range);
    else if (heap) free_heap(p, r->address, stays, ts, r->range);
    else if ((x = vs_address_map_remove(&p->live.regions, r->address))) vs_live_close(p, x, ts, r->range);
    else p->unmatched[VS_SRC_NVTX]++;
}

static enum vs_category category_of(const char *text, size_t bytes)
{
    const char *slash = memchr(text, '/', bytes);
    size_t n = slash ? (size_t)(slash - text) : bytes;
    for (int i = 1; i < VS_NCATEGORIES; i++)
        if (strlen(vs_category_names[i]) == n && !memcmp(vs_category_names[i], text, n)) return (enum vs_category)i;
    return VS_CAT_NONE;
}

void vs_apply_region_name(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_region_name *r = (const void *)rec;
    struct vs_piece *x = vs_address_map_get(rec->flags & VS_RG_HEAP ? &p->live.heaps : &p->live.regions, r->address);
    if (!x) {
        p->unmatched[VS_SRC_NVTX]++;
        return;
    }
    uint32_t n = vs_text_bytes(rec, sizeof *r, r->text_bytes);
    const char *text = r->text;
    char registered[64];
    if (r->string) { /* only its first part matters here */
        n = vs_names_peek(p, r->string, registered, sizeof registered);
        text = registered;
    }
    x->name_id = vs_names_text(p, r->string, r->text, vs_text_bytes(rec, sizeof *r, r->text_bytes));
    x->category = (uint8_t)category_of(text, n);
    x->said = x->category != VS_CAT_NONE;
    vs_live_changed(p, x);
    p->changed = true;
}

/* NCCL says what memory is for: the row that is there gets its label. */
void vs_apply_nccl_label(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_nccl_label *r = (const void *)rec;
    int64_t ts = vs_process_lifetime(p, r->ts_ns);
    uint64_t at = r->address, limit = r->bytes ? r->bytes : 1;
    struct vs_piece *x = vs_live_holder(p, r->address);
    struct vs_mapping *m;
    if (rec->flags != VS_NL_ALLOC || !x) return;
    if (x->level == VS_LEVEL_HELD) vs_live_relabel(p, x, VS_SE_NCCL, VS_LEVEL_HELD, ts);
    while ((x = vs_address_map_ceiling(&p->live.driver, at, &at)) && at - r->address < limit) {
        if (x->level == VS_LEVEL_HELD) vs_live_relabel(p, x, VS_SE_NCCL, VS_LEVEL_HELD, ts);
        if (++at == 0) break;
    }
    at = r->address;
    while ((m = vs_address_map_ceiling(&p->live.mappings, at, &at)) && at - r->address < limit) {
        if (m->physical->piece) vs_live_relabel(p, m->physical->piece, VS_SE_NCCL, VS_LEVEL_HELD, ts);
        if (++at == 0) break;
    }
}
