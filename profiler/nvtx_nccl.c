/* SPDX-License-Identifier: MIT
 *
 * nvtx_nccl.c: NCCL's own NVTX domain, for processes in which no NCCL wrapper of ours is bound (statically linked NCCL,
 * NCCL opened with dlopen and dlsym): decodes the payload of each range into communicator and collective records.
 * Must never put a range of that domain among the program's ranges, and never read beyond a payload's stated size.
 *
 * NCCL pushes one range per API call. The payload comes with the push or, since 2.26, in some calls with the pop. Schema
 * numbers are fixed by NCCL (src/include/nvtx.h); the payloads' layouts are in src/include/nvtx_payload_schemas.h. There
 * is no handle in them: a communicator is known by its hash, the same on all ranks.
 */
#include <string.h>

#include "src_nccl.h"
#include "src_nvtx.h"

enum { SCHEMA_BASE = 1 << 24 };
enum meaning { PLAIN, REDOP, ROOT, ROOT_REDOP, PEER };

/* X(schema, operation, meaning of what follows {comm, bytes}) */
#define COLLECTIVES(X)            \
    X(4, ALL_GATHER, PLAIN)       \
    X(5, ALL_REDUCE, REDOP)       \
    X(6, BROADCAST, ROOT)         \
    X(7, REDUCE_SCATTER, REDOP)   \
    X(8, REDUCE, ROOT_REDOP)      \
    X(9, SEND, PEER)              \
    X(10, RECV, PEER)             \
    X(16, ALL_TO_ALL, PLAIN)      \
    X(17, GATHER, ROOT)           \
    X(18, SCATTER, ROOT)

/* X(schema, operation on the communicator) */
#define COMMUNICATORS(X) \
    X(0, CREATE)         \
    X(1, CREATE)         \
    X(2, DESTROY)        \
    X(3, ABORT)          \
    X(11, CREATE)        \
    X(12, CREATE)        \
    X(13, SPLIT)         \
    X(14, FINALIZE)      \
    X(15, SPLIT)         \
    X(19, REVOKE)
enum { SCHEMA_INIT_ALL = 1, SCHEMA_SPLIT = 13, SCHEMAS = 20 };

static const struct {
    uint8_t known, op, meaning;
} collectives[SCHEMAS] = {
#define X(schema, op, meaning) [schema] = {1, VS_COLL_##op, meaning},
    COLLECTIVES(X)
#undef X
};
static const uint8_t communicators[SCHEMAS] = {
#define X(schema, op) [schema] = VS_COMM_##op,
    COMMUNICATORS(X)
#undef X
};

struct payload_coll {
    uint64_t comm, bytes;
    int32_t extra[2];
};
struct payload_comm {
    uint64_t comm;
    int32_t nranks, rank, device;
};
struct payload_split {
    uint64_t comm, parent;
    int32_t nranks, rank, device, color, key;
};

/* Ranges of the domain open on this thread. Collectives do not nest in each other: one id is enough. */
static __thread struct {
    uint32_t epoch;
    uint32_t level;
    uint32_t coll_level; /* of the open collective, 0: none */
    uint64_t coll_id;
    uint64_t pushed_ns; /* the outermost push */
} tn __attribute__((tls_model("initial-exec")));

/* Copies what is there; the rest of the target stays as it was. false: less than `least` bytes are there. */
static bool take(void *to, size_t bytes, size_t least, const struct vs_nvtx_payload *p)
{
    if (!p->data || p->bytes < least)
        return false;
    memcpy(to, p->data, p->bytes == SIZE_MAX ? least : p->bytes < bytes ? p->bytes : bytes);
    return true;
}

static uint64_t collective(unsigned schema, const struct vs_nvtx_payload *p, uint64_t ts_ns)
{
    enum meaning m = collectives[schema].meaning;
    struct payload_coll c = {.extra = {-1, -1}};
    struct vs_rec_coll_begin *r;
    uint64_t id;

    if (!take(&c, sizeof c, m == PLAIN ? 16 : m == ROOT_REDOP ? 24 : 20, p))
        return 0;
    r = vs_log_begin(VS_K_COLL_BEGIN, sizeof *r);
    if (!r)
        return 0;
    vs_rec_set(r, VS_CF_FROM_NVTX, -1);
    id = r->id = vs_nccl_next_id();
    r->seq = vs_log_seq();
    r->ts_ns = ts_ns;
    r->comm = c.comm;
    r->bytes = c.bytes;
    r->range = vs_thread_range();
    r->op = collectives[schema].op;
    r->dtype = -1;
    r->redop = m == REDOP ? c.extra[0] : m == ROOT_REDOP ? c.extra[1] : -1;
    r->peer = m == ROOT || m == ROOT_REDOP || m == PEER ? c.extra[0] : -1;
    vs_log_commit(r);
    return id;
}

static void collective_end(uint64_t id)
{
    struct vs_rec_coll_end *r = vs_log_begin(VS_K_COLL_END, sizeof *r);
    if (!r)
        return;
    r->id = id;
    r->ts_ns = vs_now();
    r->result = -1; /* the payload does not tell */
    vs_log_commit(r);
}

static void communicator(unsigned schema, const struct vs_nvtx_payload *p, uint64_t ts_ns)
{
    struct payload_split s = {.nranks = -1, .rank = -1, .device = -1, .color = -1};
    struct payload_comm c = {.nranks = -1, .rank = -1, .device = -1};
    uint8_t op = communicators[schema];
    struct vs_rec_comm *r;

    if (schema == SCHEMA_SPLIT) {
        if (!take(&s, sizeof s, 32, p))
            return;
    } else {
        if (!take(&c, sizeof c, 8, p))
            return;
        s.comm = c.comm;
        s.nranks = c.nranks;
        s.rank = schema == SCHEMA_INIT_ALL ? -1 : c.rank;
        s.device = schema == SCHEMA_INIT_ALL ? -1 : c.device;
    }
    if (!s.comm)
        return; /* the call failed */
    r = vs_log_begin(VS_K_COMM, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, op, s.device);
    r->seq = vs_log_seq();
    r->ts_ns = ts_ns;
    r->comm = s.comm;
    r->parent = s.parent;
    r->id_hash = s.comm;
    r->nranks = s.nranks;
    r->rank = s.rank;
    r->color = s.color;
    vs_log_commit(r);
}

/* The id of a collective that began, 0: none. */
static uint64_t decode(const struct vs_nvtx_payload *items, size_t count, uint64_t ts_ns)
{
    uint64_t id = 0;
    size_t i;
    for (i = 0; items && i < count; i++) {
        uint64_t schema = items[i].schema - SCHEMA_BASE;
        if (schema >= SCHEMAS)
            continue;
        if (collectives[schema].known)
            id = collective((unsigned)schema, &items[i], ts_ns);
        else if (communicators[schema])
            communicator((unsigned)schema, &items[i], ts_ns);
    }
    return id;
}

void vs_nvtx_nccl_push(const struct vs_nvtx_payload *items, size_t count)
{
    uint64_t id, now;
    if (vs_nccl_bound() || !vs_nvtx_ready())
        return;
    if (tn.epoch != vs_log_epoch()) {
        memset(&tn, 0, sizeof tn);
        tn.epoch = vs_log_epoch();
    }
    now = vs_now();
    if (!tn.level++)
        tn.pushed_ns = now;
    vs_marks()->nccl++;
    id = decode(items, count, now);
    if (id && !tn.coll_level) {
        tn.coll_level = tn.level;
        tn.coll_id = id;
    }
}

void vs_nvtx_nccl_pop(const struct vs_nvtx_payload *items, size_t count)
{
    uint64_t id = 0;
    if (!tn.level || tn.epoch != vs_log_epoch())
        return; /* pushed while bound, or in an ancestor */
    if (items)
        id = decode(items, count, tn.pushed_ns);
    if (tn.coll_level == tn.level) {
        collective_end(tn.coll_id);
        tn.coll_level = 0;
    } else if (id) {
        collective_end(id);
    }
    tn.level--;
    if (vs_marks()->nccl)
        vs_marks()->nccl--;
}
