/* SPDX-License-Identifier: MIT
 *
 * nccl_comm.c: wrappers of the NCCL calls that make and end communicators, allocate memory and register buffers.
 * Must never copy a configuration (its size depends on the program's NCCL), and never ask a communicator anything while
 * it is being made.
 *
 * A communicator's hash is equal on all its ranks: of the unique id; of a split or shrunk one, of the parent's hash, how
 * many were made of the parent before (each rank makes them in the same order), and the colour.
 */
#include <errno.h>
#include <string.h>

#include "export.h"
#include "nccl_calls.h"

#define CALL(name, params) VS_EXPORT int nccl##name params;
#include "nccl_hooks.def"

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0xd6e8feb86659fd93ull;
    return (h ^ h >> 32) * 0xd6e8feb86659fd93ull | 1;
}

static uint64_t hash_id(const struct vs_nccl_id *id)
{
    uint64_t h = 0x6e63636c, w;
    size_t i;
    for (i = 0; i < sizeof id->bytes; i += sizeof w) {
        memcpy(&w, id->bytes + i, sizeof w);
        h = mix(h, w);
    }
    return h;
}

static int ask(enum vs_nccl_fn which, vs_nccl_comm comm, int otherwise)
{
    int (*real)(vs_nccl_comm, int *), value = otherwise;
    *(void **)&real = vs_nccl_real(which);
    return real && !real(comm, &value) ? value : otherwise;
}

void vs_nccl_record_comm(const struct vs_nccl_new *n, int result, bool ready)
{
    struct vs_rec_comm *r;
    int device = -1, nranks = n->nranks, rank = n->rank, saved = errno;

    if (ready && n->comm) {
        nranks = ask(VS_NCCL_CommCount, n->comm, nranks);
        rank = ask(VS_NCCL_CommUserRank, n->comm, rank);
        device = ask(VS_NCCL_CommCuDevice, n->comm, -1);
        errno = saved;
    }
    if (n->comm)
        vs_nccl_comm_put(n->comm, n->hash, device);
    r = vs_log_begin(VS_K_COMM, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, n->op, device);
    r->seq = vs_log_seq();
    r->ts_ns = n->ts_ns;
    r->comm = (uint64_t)(uintptr_t)n->comm;
    r->parent = (uint64_t)(uintptr_t)n->parent;
    r->id_hash = n->hash;
    r->nranks = nranks;
    r->rank = rank;
    r->color = n->color;
    r->result = result;
    vs_log_commit(r);
}

static bool made(int result)
{
    return result == VS_NCCL_SUCCESS || result == VS_NCCL_IN_PROGRESS;
}

static void init_returned(vs_nccl_comm *comm, int nranks, int rank, uint64_t hash, uint64_t ts_ns, int result)
{
    struct vs_nccl_new n = {.hash = hash, .ts_ns = ts_ns, .nranks = nranks, .rank = rank, .color = -1, .op = VS_COMM_CREATE};
    n.comm = comm && made(result) ? *comm : NULL;
    vs_nccl_created(&n, result);
}

int ncclCommInitRank(vs_nccl_comm *comm, int nranks, struct vs_nccl_id id, int rank)
{
    int (*real)(vs_nccl_comm *, int, struct vs_nccl_id, int), result;
    uint64_t ts_ns = vs_now();
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommInitRank);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, nranks, id, rank);
    if (outer)
        init_returned(comm, nranks, rank, hash_id(&id), ts_ns, result);
    vs_nccl_leave();
    return result;
}

int ncclCommInitRankConfig(vs_nccl_comm *comm, int nranks, struct vs_nccl_id id, int rank, void *config)
{
    int (*real)(vs_nccl_comm *, int, struct vs_nccl_id, int, void *), result;
    uint64_t ts_ns = vs_now();
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommInitRankConfig);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, nranks, id, rank, config);
    if (outer)
        init_returned(comm, nranks, rank, hash_id(&id), ts_ns, result);
    vs_nccl_leave();
    return result;
}

int ncclCommInitRankScalable(vs_nccl_comm *comm, int nranks, int rank, int ids_count, struct vs_nccl_id *ids, void *config)
{
    int (*real)(vs_nccl_comm *, int, int, int, struct vs_nccl_id *, void *), result;
    uint64_t ts_ns = vs_now();
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommInitRankScalable);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, nranks, rank, ids_count, ids, config);
    if (outer)
        init_returned(comm, nranks, rank, ids && ids_count > 0 ? hash_id(ids) : 0, ts_ns, result);
    vs_nccl_leave();
    return result;
}

/* All ranks in this process: the first handle and the moment tell this clique from any other. */
int ncclCommInitAll(vs_nccl_comm *comms, int count, const int *devices)
{
    int (*real)(vs_nccl_comm *, int, const int *), result, i;
    uint64_t ts_ns = vs_now();
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommInitAll);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comms, count, devices);
    if (outer && comms && made(result)) {
        uint64_t hash = count > 0 ? mix(ts_ns, (uint64_t)(uintptr_t)comms[0]) : 0;
        for (i = 0; i < count; i++)
            init_returned(&comms[i], count, i, hash, ts_ns, result);
    } else if (outer) {
        init_returned(NULL, count, -1, 0, ts_ns, result);
    }
    vs_nccl_leave();
    return result;
}

static void child_returned(vs_nccl_comm parent, int color, vs_nccl_comm *out, uint64_t ts_ns, int result)
{
    struct vs_nccl_new n = {.parent = parent, .ts_ns = ts_ns, .nranks = -1, .rank = -1, .color = color, .op = VS_COMM_SPLIT};
    struct vs_nccl_known known;
    if (vs_nccl_comm_child(parent, &known) && known.hash)
        n.hash = mix(mix(known.hash, known.children), (uint64_t)(uint32_t)color);
    n.comm = out && made(result) ? *out : NULL;
    if (!n.comm && made(result))
        return; /* this rank has no part in it */
    vs_nccl_created(&n, result);
}

int ncclCommSplit(vs_nccl_comm comm, int color, int key, vs_nccl_comm *out, void *config)
{
    int (*real)(vs_nccl_comm, int, int, vs_nccl_comm *, void *), result;
    uint64_t ts_ns = vs_now();
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommSplit);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, color, key, out, config);
    if (outer)
        child_returned(comm, color, out, ts_ns, result);
    vs_nccl_leave();
    return result;
}

int ncclCommShrink(vs_nccl_comm comm, int *exclude, int exclude_count, vs_nccl_comm *out, void *config, int flags)
{
    int (*real)(vs_nccl_comm, int *, int, vs_nccl_comm *, void *, int), result;
    uint64_t ts_ns = vs_now();
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommShrink);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, exclude, exclude_count, out, config, flags);
    if (outer)
        child_returned(comm, -1, out, ts_ns, result);
    vs_nccl_leave();
    return result;
}

static void record_end(uint8_t op, vs_nccl_comm comm, int result)
{
    struct vs_nccl_known known = {.device = -1};
    struct vs_rec_comm *r;
    vs_nccl_comm_get(comm, &known);
    r = vs_log_begin(VS_K_COMM, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, op, known.device);
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->comm = (uint64_t)(uintptr_t)comm;
    r->id_hash = known.hash;
    r->nranks = -1;
    r->rank = -1;
    r->color = -1;
    r->result = result;
    vs_log_commit(r);
}

/* Destroy and abort are recorded before they are passed on, with result 0: the handle may be given out again at once. */
#define ENDS(name, opcode)                              \
    int nccl##name(vs_nccl_comm comm)                   \
    {                                                   \
        int (*real)(vs_nccl_comm), result;              \
        *(void **)&real = vs_nccl_real(VS_NCCL_##name); \
        if (!real)                                      \
            return VS_NCCL_SYSTEM_ERROR;                \
        if (vs_nccl_enter()) {                          \
            record_end(opcode, comm, 0);                \
            vs_nccl_comm_drop(comm);                    \
        }                                               \
        result = real(comm);                            \
        vs_nccl_leave();                                \
        return result;                                  \
    }
ENDS(CommDestroy, VS_COMM_DESTROY)
ENDS(CommAbort, VS_COMM_ABORT)

int ncclCommFinalize(vs_nccl_comm comm)
{
    int (*real)(vs_nccl_comm), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommFinalize);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm);
    if (outer)
        record_end(VS_COMM_FINALIZE, comm, result);
    vs_nccl_leave();
    return result;
}

int ncclCommRevoke(vs_nccl_comm comm, int flags)
{
    int (*real)(vs_nccl_comm, int), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommRevoke);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, flags);
    if (outer)
        record_end(VS_COMM_REVOKE, comm, result);
    vs_nccl_leave();
    return result;
}
