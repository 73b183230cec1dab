/* SPDX-License-Identifier: MIT
 *
 * pools.c: stream-ordered pools. What a pool reserves is held memory: one row per size it had; what it hands out is sub.
 * It must never let a byte of a pool count twice.
 */
#include <stdlib.h>

#include "process.h"

#define GRAPH_POOL ((uint64_t)1 << 63) /* key of a device's graph pool, which has no handle */

/* Allocations that came before their pool was known stood in for it. */
static void demote(struct vs_process *p, uint64_t handle, int64_t ts)
{
    uint64_t at = 0;
    struct vs_piece *x;
    if (!p->live.async) return;
    while ((x = vs_address_map_ceiling(&p->live.driver, at, &at))) {
        if (x->source == VS_SE_CUDA_ASYNC && x->pool == handle && x->level == VS_LEVEL_HELD)
            vs_live_relabel(p, x, x->source, VS_LEVEL_SUB, ts);
        if (++at == 0) break;
    }
}

static struct vs_pool *find(struct vs_process *p, const struct vs_rec_pool *r, int64_t ts)
{
    uint64_t key = r->h.flags & 1 ? GRAPH_POOL | (uint8_t)r->h.device : r->pool;
    struct vs_pool *pool = vs_id_map_get(&p->live.pools, key);
    if (pool) return pool;
    pool = calloc(1, sizeof *pool);
    if (!pool || vs_id_map_put(&p->live.pools, key, pool)) {
        free(pool);
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    pool->handle = r->pool;
    pool->device = r->h.device < -1 ? -1 : r->h.device;
    if (!(r->h.flags & 1)) demote(p, r->pool, ts);
    return pool;
}

void vs_apply_pool(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_pool *r = (const void *)rec;
    int64_t now = vs_process_time(p, r->ts_ns);
    bool graph = rec->flags & 1;
    VS_PUT(p->store, VS_ST_POOL_SAMPLE, vs_int(p->id), vs_int(vs_device_or_none(rec->device)),
           vs_int(graph ? VS_NONE : (int64_t)r->pool), vs_int(now), vs_int((int64_t)r->reserved_bytes),
           vs_int((int64_t)r->used_bytes), vs_int(vs_known(r->reserved_high_bytes)));
    if (r->reserved_bytes > VS_MAX_PIECE_BYTES) return;
    int64_t ts = vs_process_lifetime_unnumbered(p, r->ts_ns);
    struct vs_pool *pool = find(p, r, ts);
    if (!pool || (pool->piece ? pool->piece->bytes : 0) == r->reserved_bytes) return;
    struct vs_piece what = {.bytes = r->reserved_bytes,
                            .device = (int8_t)pool->device,
                            .source = VS_SE_CUDA_ASYNC,
                            .level = VS_LEVEL_HELD,
                            .pool_size = true,
                            .pool = graph ? 0 : r->pool};
    if (pool->piece) vs_live_close(p, pool->piece, ts, 0);
    pool->piece = r->reserved_bytes ? vs_live_open(p, &what, ts) : NULL;
}
