/* SPDX-License-Identifier: MIT
 *
 * gpu_rows.c: rows of GPU work and their sums per kernel name. It must never store a time the GPU did not give.
 */
#include <stdio.h>
#include <stdlib.h>

#include "process.h"

static struct vs_kernel_total *total_of(struct vs_process *p, int device, int64_t name_id)
{
    struct vs_gpu *g = &p->gpu;
    uint64_t key = ((uint64_t)name_id * 0x9e3779b97f4a7c15ull) ^ (uint64_t)(device + 1);
    uintptr_t at;
    for (;; key++) {
        at = (uintptr_t)vs_id_map_get(&g->total_index, key);
        if (!at) break;
        if (g->totals[at - 1].device == device && g->totals[at - 1].name_id == name_id) return &g->totals[at - 1];
    }
    if (g->ntotals == g->total_room) {
        size_t room = g->total_room ? g->total_room * 2 : 64;
        struct vs_kernel_total *totals = realloc(g->totals, room * sizeof *totals);
        if (!totals) goto fail;
        g->totals = totals;
        g->total_room = room;
    }
    at = g->ntotals + 1;
    if (vs_id_map_put(&g->total_index, key, (void *)at)) goto fail;
    g->totals[g->ntotals] =
        (struct vs_kernel_total){.device = device, .name_id = name_id, .min_ns = VS_NONE, .max_ns = VS_NONE};
    return &g->totals[g->ntotals++];
fail:
    vs_process_check(p, -ENOMEM);
    return NULL;
}

static bool timed(uint8_t flags, uint64_t begin, uint64_t end)
{
    return !(flags & VS_TF_UNTIMED) && begin <= end && end < (uint64_t)INT64_MAX / 2;
}

void vs_gpu_kernel_row(struct vs_process *p, const struct vs_rec_kernel *k, int64_t id, const struct vs_launch *l)
{
    int64_t name = vs_names_string(p, k->name), ns = (int64_t)(k->end_ns - k->begin_ns);
    bool ok = timed(k->h.flags, k->begin_ns, k->end_ns);
    struct vs_kernel_total *t = total_of(p, k->h.device, name);
    if (!t) return;
    t->count++;
    if (ok) {
        vs_sum(&t->total_ns, ns);
        if (t->min_ns == VS_NONE || ns < t->min_ns) t->min_ns = ns;
        if (t->max_ns == VS_NONE || ns > t->max_ns) t->max_ns = ns;
    } else {
        t->untimed++;
    }
    VS_PUT(p->store, VS_ST_KERNEL, vs_int(id), vs_int(p->id), vs_int(vs_device_or_none(k->h.device)), vs_int(k->stream),
           vs_int(k->context), vs_int(name), vs_int(ok ? (int64_t)k->begin_ns : VS_NONE),
           vs_int(ok ? (int64_t)k->end_ns : VS_NONE), vs_int(l ? l->ts_ns : VS_NONE),
           vs_int(l ? vs_thread_row(p, l->thread) : VS_NONE), vs_int(l ? vs_range_row(p, l->range_number) : VS_NONE),
           vs_int(k->correlation), vs_int(vs_nonzero(k->graph)), vs_int(vs_nonzero(k->graph_node)), vs_int(k->grid[0]),
           vs_int(k->grid[1]), vs_int(k->grid[2]), vs_int(k->block[0]), vs_int(k->block[1]), vs_int(k->block[2]),
           vs_int(k->registers), vs_int(k->static_shared), vs_int(k->dynamic_shared));
}

void vs_gpu_transfer_row(struct vs_process *p, const struct vs_rec_transfer *t, int64_t id, const struct vs_launch *l)
{
    static const char *const ops[] = {NULL, "copy", "peer", "set"};
    static const char *const directions[] = {NULL,   "HtoD", "DtoH", "HtoA", "AtoH", "AtoA",
                                             "AtoD", "DtoA", "DtoD", "HtoH", "PtoP"}; /* CUpti_ActivityMemcpyKind */
    bool ok = timed(t->h.flags, t->begin_ns, t->end_ns);
    const char *op = t->op >= 1 && t->op <= 3 ? ops[t->op] : "copy";
    const char *direction = t->op != VS_XFER_SET && t->copy_kind < 11 ? directions[t->copy_kind] : NULL;
    VS_PUT(p->store, VS_ST_TRANSFER, vs_int(id), vs_int(p->id), vs_int(vs_device_or_none(t->h.device)),
           vs_int(t->stream), vs_text(op), vs_text(direction), vs_int(vs_whole(t->bytes)),
           vs_int(ok ? (int64_t)t->begin_ns : VS_NONE), vs_int(ok ? (int64_t)t->end_ns : VS_NONE),
           vs_int(l ? l->ts_ns : VS_NONE), vs_int(l ? vs_thread_row(p, l->thread) : VS_NONE),
           vs_int(l ? vs_range_row(p, l->range_number) : VS_NONE), vs_int(t->correlation),
           vs_int(vs_device_or_none(t->src_device)), vs_int(vs_device_or_none(t->dst_device)));
}

void vs_apply_api(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_api *a = (const void *)rec;
    bool ok = timed(0, a->begin_ns, a->end_ns);
    VS_PUT(p->store, VS_ST_API_CALL, vs_int(p->id), vs_int(vs_thread_row(p, vs_facts_number(p, a->tid))),
           vs_int(vs_names_string(p, a->name)), vs_int(ok ? (int64_t)a->begin_ns : VS_NONE),
           vs_int(ok ? (int64_t)a->end_ns : VS_NONE), vs_int(a->result), vs_int(a->correlation));
}

static const char *const overheads[16] = {/* CUpti_ActivityOverheadKind: 0, 1, then multiples of 65536 */
                                          "unknown",
                                          "driver_compiler",
                                          "buffer_flush",
                                          "instrumentation",
                                          "resource",
                                          "triggered_module_loading",
                                          "lazy_function_loading",
                                          "command_buffer_full",
                                          "activity_buffer_request",
                                          "uvm_activity_init",
                                          "other",
                                          "other",
                                          "other",
                                          "other",
                                          "other",
                                          "other"};

void vs_apply_overhead(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_overhead *o = (const void *)rec;
    unsigned what = o->what <= 1 ? o->what : !(o->what & 0xffff) && o->what >> 16 <= 8 ? (o->what >> 16) + 1 : 10;
    p->overhead_count[what]++;
    if (timed(rec->flags, o->begin_ns, o->end_ns)) p->overhead_ns[what] += o->end_ns - o->begin_ns;
    VS_PUT(p->store, VS_ST_OVERHEAD, vs_int(p->id), vs_text(overheads[what]), vs_int(vs_whole(p->overhead_count[what])),
           vs_int(vs_whole(p->overhead_ns[what])));
    p->changed = true;
}
