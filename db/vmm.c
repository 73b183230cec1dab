/* SPDX-License-Identifier: MIT
 *
 * vmm.c: virtual memory management: physical memory, its handles and its mappings. It must never count memory before
 * cuMemCreate nor after the last reference is gone.
 */
#include <stdlib.h>

#include "process.h"

static void unreferenced(struct vs_process *p, struct vs_physical *f, int64_t ts, uint64_t range)
{
    if (f->references || f->mappings) return;
    if (f->piece) vs_live_close(p, f->piece, ts, range);
    free(f);
}

static void release(struct vs_process *p, struct vs_physical *f, int64_t ts, uint64_t range, bool all)
{
    f->references = all || !f->references ? 0 : f->references - 1;
    if (!f->references) vs_id_map_remove(&p->live.physical, f->handle);
    unreferenced(p, f, ts, range);
}

static void create(struct vs_process *p, const struct vs_rec_vmm *r, int64_t ts)
{
    bool nccl = r->h.flags & VS_AF_IN_NCCL;
    struct vs_physical *f = vs_id_map_get(&p->live.physical, r->handle);
    if (f && r->op == VS_VMM_IMPORT && f->piece && f->piece->imported) {
        f->references++;
        return;
    }
    if (f) { /* a handle given out again though its release was not seen */
        p->unmatched[VS_SRC_CUDA]++;
        release(p, f, ts, 0, true);
    }
    struct vs_piece what = {.bytes = r->bytes,
                            .alloc_range = r->range,
                            .device = r->h.device < -1 ? -1 : r->h.device,
                            .source = nccl ? VS_SE_NCCL : VS_SE_CUDA,
                            .level = VS_LEVEL_HELD,
                            .flags = (uint8_t)(VS_FLAG_VIRTUAL | (nccl ? VS_AF_IN_NCCL : 0)),
                            .imported = r->op == VS_VMM_IMPORT || (r->h.flags & VS_AF_IMPORTED)};
    vs_live_caller(p, &what, r->caller);
    f = calloc(1, sizeof *f);
    if (!f || vs_id_map_put(&p->live.physical, r->handle, f)) {
        free(f);
        vs_process_check(p, -ENOMEM);
        return;
    }
    f->handle = r->handle;
    f->references = 1;
    f->piece = vs_live_open(p, &what, ts);
}

static void unmap_one(struct vs_process *p, struct vs_mapping *m, int64_t ts, uint64_t range)
{
    struct vs_physical *f = m->physical;
    vs_address_map_remove(&p->live.mappings, m->address);
    free(m);
    f->mappings--;
    unreferenced(p, f, ts, range);
}

static void map(struct vs_process *p, const struct vs_rec_vmm *r, int64_t ts)
{
    struct vs_physical *f = vs_id_map_get(&p->live.physical, r->handle);
    struct vs_mapping *m = vs_address_map_get(&p->live.mappings, r->address);
    if (m) {
        p->unmatched[VS_SRC_CUDA]++;
        if (f) /* keep it while its other mapping is replaced */
            f->references++;
        unmap_one(p, m, ts, 0);
        if (f) f->references--;
    }
    if (!f) {
        p->unmatched[VS_SRC_CUDA]++;
        return;
    }
    m = malloc(sizeof *m);
    if (!m || vs_address_map_put(&p->live.mappings, r->address, m)) {
        free(m);
        vs_process_check(p, -ENOMEM);
        return;
    }
    *m = (struct vs_mapping){.address = r->address, .bytes = r->bytes, .physical = f};
    f->mappings++;
    if (f->piece && !f->piece->has_address) {
        f->piece->address = r->address;
        f->piece->has_address = true;
        vs_live_changed(p, f->piece);
    }
}

static void unmap(struct vs_process *p, const struct vs_rec_vmm *r, int64_t ts)
{
    uint64_t at = r->address;
    struct vs_mapping *m;
    bool any = false;
    while ((m = vs_address_map_ceiling(&p->live.mappings, at, &at)) &&
           (at - r->address < r->bytes || at == r->address)) {
        unmap_one(p, m, ts, r->range);
        any = true;
        if (++at == 0) break;
    }
    if (!any) p->unmatched[VS_SRC_CUDA]++;
}

void vs_apply_vmm(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_vmm *r = (const void *)rec;
    if (rec->flags & VS_AF_UNDO) return;
    if (r->bytes > VS_MAX_PIECE_BYTES || r->op < VS_VMM_CREATE || r->op > VS_VMM_IMPORT) {
        p->damaged[VS_SRC_CUDA]++;
        p->stored[VS_SRC_CUDA]--;
        return;
    }
    int64_t ts = vs_process_lifetime(p, r->ts_ns);
    struct vs_physical *f = vs_id_map_get(&p->live.physical, r->handle);
    switch (r->op) {
    case VS_VMM_CREATE:
    case VS_VMM_IMPORT: create(p, r, ts); break;
    case VS_VMM_MAP: map(p, r, ts); break;
    case VS_VMM_UNMAP: unmap(p, r, ts); break;
    case VS_VMM_RETAIN:
        if (!f) { /* obtained from an address: the handle may have been released, or be another number */
            uint64_t at;
            struct vs_mapping *m = vs_address_map_floor(&p->live.mappings, r->address, &at);
            if (m && r->address - at < m->bytes) {
                f = m->physical;
                f->handle = f->references ? f->handle : r->handle;
                if (!f->references) vs_process_check(p, vs_id_map_put(&p->live.physical, f->handle, f));
            }
        }
        if (f) f->references++;
        else p->unmatched[VS_SRC_CUDA]++;
        break;
    default:
        if (f) release(p, f, ts, r->range, false);
        else p->unmatched[VS_SRC_CUDA]++;
    }
}
