/* SPDX-License-Identifier: MIT
 *
 * memory.c: applies allocations and frees of the driver and of PyTorch. It must never guess: a free of an address that
 * is not live frees nothing and is counted.
 */
#include <string.h>

#include "process.h"

static const uint8_t source_of_memory[VS_NMEMORIES] = {
    [VS_MEM_CUDA] = VS_SE_CUDA,     [VS_MEM_CUDA_ASYNC] = VS_SE_CUDA_ASYNC, [VS_MEM_MANAGED] = VS_SE_MANAGED,
    [VS_MEM_PINNED] = VS_SE_PINNED, [VS_MEM_ARRAY] = VS_SE_ARRAY,           [VS_MEM_STATIC] = VS_SE_STATIC,
    [VS_MEM_VMM] = VS_SE_CUDA,
};

enum vs_series_id vs_memory_source(uint32_t memory)
{
    return memory < VS_NMEMORIES ? source_of_memory[memory] : VS_SE_CUDA;
}

static void close_driver(struct vs_process *p, struct vs_piece *x, int64_t ts, uint64_t range)
{
    if (x->source == VS_SE_CUDA_ASYNC && p->live.async) p->live.async--;
    vs_live_close(p, x, ts, range);
}

/* An address handed out again though its free was never seen: what was there is gone. */
static void replace(struct vs_process *p, struct vs_address_map *map, uint64_t address, int64_t ts,
                    enum vs_source source)
{
    struct vs_piece *old = vs_address_map_remove(map, address);
    if (!old) return;
    if (old->source != VS_SE_STATIC && !(old->flags & VS_AF_CAPTURED)) /* modules and graphs go without a word */
        p->unmatched[source]++;
    close_driver(p, old, ts, 0);
}

/* A graph frees its memory each time it runs, and the program may do it in between: after the first time there is nothing
 * to free here. Until somebody else gets the address. */
static void note_captured(struct vs_process *p, uint64_t address, bool captured)
{
    static char yes;
    if (captured) vs_process_check(p, vs_id_map_put(&p->live.captured, address, &yes));
    else if (p->live.captured.count) vs_id_map_remove(&p->live.captured, address);
}

static void add(struct vs_process *p, const struct vs_rec_alloc *r, uint8_t source)
{
    struct vs_address_map *map = source == VS_SE_ARRAY ? &p->live.arrays : &p->live.driver;
    int64_t ts =
        r->h.kind == VS_K_STATIC ? vs_process_lifetime_unnumbered(p, r->ts_ns) : vs_process_lifetime(p, r->ts_ns);
    struct vs_piece what = {.address = r->address,
                            .has_address = true,
                            .bytes = r->bytes,
                            .alloc_range = r->range,
                            .context = r->context,
                            .device = r->h.device,
                            .source = source,
                            .level = VS_LEVEL_HELD,
                            .flags = r->h.flags & (VS_AF_REGISTERED | VS_AF_IN_NCCL | VS_AF_CAPTURED),
                            .imported = r->h.flags & VS_AF_IMPORTED};
    if (source == VS_SE_PINNED || what.device < -1) what.device = -1;
    if (source == VS_SE_CUDA_ASYNC) {
        what.pool = r->stream_or_pool;
        if ((what.flags & VS_AF_CAPTURED) || vs_id_map_get(&p->live.pools, what.pool)) what.level = VS_LEVEL_SUB;
    } else if (what.flags & VS_AF_IN_NCCL) {
        what.source = VS_SE_NCCL;
    }
    vs_live_caller(p, &what, r->caller);
    if (map == &p->live.driver) note_captured(p, r->address, what.flags & VS_AF_CAPTURED);
    if (what.flags & VS_AF_CAPTURED) what.level = VS_LEVEL_SUB;
    uint32_t name = vs_text_bytes(&r->h, sizeof *r, r->name_bytes);
    if (name) what.name_id = vs_names_text(p, 0, r->name, name);
    replace(p, map, r->address, ts, VS_SRC_CUDA);
    struct vs_piece *x = vs_live_open(p, &what, ts);
    if (x) vs_process_check(p, vs_address_map_put(map, x->address, x));
    if (source == VS_SE_CUDA_ASYNC) p->live.async++;
}

void vs_apply_alloc(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_alloc *r = (const void *)rec;
    if (r->memory >= VS_NMEMORIES || r->bytes > VS_MAX_PIECE_BYTES) {
        p->damaged[VS_SRC_CUDA]++;
        p->stored[VS_SRC_CUDA]--;
        return;
    }
    add(p, r, (uint8_t)vs_memory_source(r->memory));
}

void vs_apply_static(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_alloc *r = (const void *)rec;
    struct vs_piece *old = vs_address_map_get(&p->live.driver, r->address);
    if (r->bytes > VS_MAX_PIECE_BYTES || (old && old->source == VS_SE_STATIC && old->bytes == r->bytes))
        return; /* reported again after a CUPTI restart */
    add(p, r, VS_SE_STATIC);
}

void vs_apply_free(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_free *r = (const void *)rec;
    if (r->h.flags & VS_AF_UNDO) return;
    int64_t ts = vs_process_lifetime(p, r->ts_ns);
    struct vs_piece *x =
        vs_address_map_remove(r->memory == VS_MEM_ARRAY ? &p->live.arrays : &p->live.driver, r->address);
    if (x) close_driver(p, x, ts, r->range);
    else if (!vs_id_map_get(&p->live.captured, r->address)) p->unmatched[VS_SRC_CUDA]++;
}

/* Measured: memory of pools and of cuMemCreate is the device's and outlives its contexts, resets too. */
static void drop_all(struct vs_process *p, struct vs_address_map *map, const struct vs_rec_context *r, int64_t ts)
{
    uint64_t at = 0;
    struct vs_piece *x;
    while ((x = vs_address_map_ceiling(map, at, &at))) {
        bool of_it = r->context ? x->context == r->context : x->device == r->h.device;
        if (of_it && x->source != VS_SE_CUDA_ASYNC) {
            vs_address_map_remove(map, at);
            close_driver(p, x, ts, 0);
        }
        if (++at == 0) break;
    }
}

void vs_apply_context(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_context *r = (const void *)rec;
    int64_t ts = vs_process_lifetime(p, r->ts_ns);
    drop_all(p, &p->live.driver, r, ts);
    drop_all(p, &p->live.arrays, r, ts);
    vs_account_context_gone(p, r);
}

void vs_apply_torch(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_torch *r = (const void *)rec;
    int64_t ts = vs_process_lifetime(p, r->ts_ns);
    int device = r->h.device < 0 ? -1 : r->h.device;
    struct vs_address_map *map = &p->live.torch[device + 1];
    if (r->bytes > (int64_t)VS_MAX_PIECE_BYTES) {
        p->damaged[VS_SRC_TORCH]++;
        p->stored[VS_SRC_TORCH]--;
        return;
    }
    if (r->bytes > 0) {
        struct vs_piece *holder = vs_live_holder(p, r->address);
        struct vs_piece what = {.address = r->address,
                                .has_address = true,
                                .bytes = (uint64_t)r->bytes,
                                .alloc_range = r->range,
                                .device = (int8_t)device,
                                .source = VS_SE_TORCH,
                                .level = VS_LEVEL_SUB,
                                .parent_id = holder ? holder->id : 0,
                                .stack = vs_lines_of(p, &r->h, sizeof *r),
                                .sum = vs_account_block(p, holder, device, r->address, (uint64_t)r->bytes)};
        replace(p, map, r->address, ts, VS_SRC_TORCH);
        struct vs_piece *x = vs_live_open(p, &what, ts);
        if (x) vs_process_check(p, vs_address_map_put(map, x->address, x));
    } else {
        struct vs_piece *x = vs_address_map_remove(map, r->address);
        if (x) vs_live_close(p, x, ts, r->range);
        else p->unmatched[VS_SRC_TORCH]++;
    }
    if (r->h.flags & VS_TORCH_TOTALS) {
        vs_process_check(p, vs_series_set(&p->series, device, VS_SE_TORCH_ALLOCATED, (int64_t)r->allocated, ts));
        vs_process_check(p, vs_series_set(&p->series, device, VS_SE_TORCH_RESERVED, (int64_t)r->reserved, ts));
        vs_account_totals(p, r, ts);
    }
}
