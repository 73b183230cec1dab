/* SPDX-License-Identifier: MIT
 *
 * nccl.c: rows of communicators and collectives. It must never take a call that did not return for one that did: that
 * is how a hang is found.
 */
#include "nccl.h"

#include <stdlib.h>
#include <string.h>

#include "process.h"

struct vs_call {
    struct vs_rec_coll_begin begin;
    int64_t comm_id, sequence, begin_ns;
    uint32_t thread;
    bool written;
    struct vs_call *next_in_group;
};
struct early_end {
    int64_t end_ns;
    int32_t result;
};

static void write_comm(struct vs_process *p, const struct vs_comm *c)
{
    VS_PUT(p->store, VS_ST_COMMUNICATOR, vs_int(c->id), vs_int(p->id), vs_int(vs_nonzero(c->handle)),
           vs_int(vs_nonzero(c->hash)), vs_int(c->parent_id), vs_int(c->nranks < 0 ? VS_NONE : c->nranks),
           vs_int(c->rank < 0 ? VS_NONE : c->rank), vs_int(vs_device_or_none(c->device)), vs_text(c->name),
           vs_int(c->created_ns), vs_int(c->ended_ns), vs_text(c->ended));
}

static struct vs_comm *new_comm(struct vs_process *p, uint64_t handle)
{
    struct vs_comm *c = calloc(1, sizeof *c);
    if (!c || vs_id_map_put(&p->nccl.comms, handle, c)) {
        free(c);
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    c->id = p->base + ++p->nccl.next_comm;
    c->handle = handle;
    c->device = c->nranks = c->rank = -1;
    c->parent_id = c->created_ns = c->ended_ns = VS_NONE;
    c->older = p->nccl.all;
    p->nccl.all = c;
    return c;
}

static void end_comm(struct vs_process *p, const struct vs_rec_comm *r, const char *how)
{
    struct vs_comm *c = vs_id_map_get(&p->nccl.comms, r->comm);
    if (!c) {
        p->unmatched[VS_SRC_NCCL]++;
        return;
    }
    c->ended = how;
    c->ended_ns = vs_process_time(p, r->ts_ns);
    if (r->h.flags != VS_COMM_FINALIZE && r->h.flags != VS_COMM_REVOKE) /* the handle may come again */
        vs_id_map_remove(&p->nccl.comms, r->comm);
    write_comm(p, c);
}

void vs_apply_comm(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_comm *r = (const void *)rec;
    const struct vs_comm *parent;
    struct vs_comm *c;
    p->changed = true;
    if (rec->flags == VS_COMM_FINALIZE) {
        end_comm(p, r, "finalize");
    } else if (rec->flags == VS_COMM_DESTROY) {
        end_comm(p, r, "destroy");
    } else if (rec->flags == VS_COMM_ABORT || rec->flags == VS_COMM_REVOKE) {
        end_comm(p, r, "abort");
    } else if (r->comm && (c = new_comm(p, r->comm))) { /* without a handle nothing was made */
        uint32_t n = vs_text_bytes(rec, sizeof *r, r->name_bytes);
        parent = r->parent ? vs_id_map_get(&p->nccl.comms, r->parent) : NULL;
        c->parent_id = parent ? parent->id : VS_NONE;
        c->hash = r->id_hash;
        c->nranks = r->nranks;
        c->rank = r->rank;
        c->device = rec->device;
        c->name = n ? vs_names_copy(p, r->name, n) : NULL;
        c->created_ns = vs_process_time(p, r->ts_ns);
        write_comm(p, c);
    }
}

static void write_call(struct vs_process *p, const struct vs_call *c, int64_t end_ns, int64_t result)
{
    static const char *const ops[VS_NCOLLECTIVES] = {
#define X(id, name) name,
        VS_COLLECTIVES(X)
#undef X
    };
    static const char *const types[] = {"int8",    "uint8",   "int32",   "uint32",   "int64",       "uint64",
                                        "float16", "float32", "float64", "bfloat16", "float8_e4m3", "float8_e5m2"};
    static const char *const redops[] = {"sum", "prod", "max", "min", "avg"};
    const struct vs_rec_coll_begin *b = &c->begin;
    bool nvtx = b->h.flags & VS_CF_FROM_NVTX;
    const char *redop = b->redop >= 0 ? b->redop < 5 ? redops[b->redop] : "custom" : NULL;
    VS_PUT(p->store, VS_ST_COLLECTIVE, vs_int(p->base + (int64_t)(b->id & ((uint64_t)VS_ROWS_PER_PROCESS - 1))),
           vs_int(p->id), vs_int(c->comm_id), vs_int(c->sequence),
           vs_text(b->op < VS_NCOLLECTIVES ? ops[b->op] : "unknown"), vs_int(nvtx ? VS_NONE : vs_known(b->count)),
           vs_text(b->dtype >= 0 && b->dtype < 12 ? types[b->dtype] : NULL), vs_text(redop), vs_int((int64_t)b->bytes),
           vs_int(b->peer < 0 ? VS_NONE : b->peer), vs_int(nvtx ? VS_NONE : vs_nonzero(b->send_address)),
           vs_int(nvtx ? VS_NONE : vs_nonzero(b->recv_address)), vs_int(nvtx ? VS_NONE : (int64_t)b->stream),
           vs_int(vs_nonzero(b->group)), vs_int(c->begin_ns), vs_int(end_ns), vs_int(result < 0 ? VS_NONE : result),
           vs_int(vs_thread_row(p, c->thread)), vs_int(vs_range_row(p, b->range)), vs_text(nvtx ? "nvtx" : "call"));
}

static void number(struct vs_process *p, struct vs_call *c)
{
    struct vs_comm *comm = vs_id_map_get(&p->nccl.comms, c->begin.comm);
    c->comm_id = c->sequence = VS_NONE;
    if (!comm && c->begin.comm && (comm = new_comm(p, c->begin.comm))) /* made before recording began */
        write_comm(p, comm);
    if (!comm) return;
    c->comm_id = comm->id;
    if (c->begin.op == VS_COLL_SEND || c->begin.op == VS_COLL_RECV) return;
    c->sequence = comm->calls++;
    if (c->begin.id < comm->last) comm->disordered = true;
    else comm->last = c->begin.id;
}

static void end_call(struct vs_process *p, struct vs_call *c, int64_t end_ns, int64_t result)
{
    struct vs_call *head = c->begin.group ? vs_id_map_get(&p->nccl.groups, c->begin.group) : NULL;
    vs_id_map_remove(&p->nccl.calls, c->begin.id);
    if (head == c) {
        vs_id_map_remove(&p->nccl.groups, c->begin.group);
        if (c->next_in_group) vs_process_check(p, vs_id_map_put(&p->nccl.groups, c->begin.group, c->next_in_group));
    } else {
        while (head && head->next_in_group != c) head = head->next_in_group;
        if (head) head->next_in_group = c->next_in_group;
    }
    write_call(p, c, end_ns, result);
    free(c);
}

static const struct vs_group_end *group_end(const struct vs_process *p, uint64_t id)
{
    const struct vs_group_end *g = id && p->nccl.ended ? &p->nccl.ended[id % VS_GROUP_ENDS] : NULL;
    return g && g->id == id ? g : NULL;
}

static void end_group(struct vs_process *p, uint64_t id, int64_t end_ns, int32_t result)
{
    struct vs_call *c;
    while ((c = vs_id_map_get(&p->nccl.groups, id))) end_call(p, c, end_ns, result);
    if (!p->nccl.ended && !(p->nccl.ended = calloc(VS_GROUP_ENDS, sizeof *p->nccl.ended))) vs_process_check(p, -ENOMEM);
    else p->nccl.ended[id % VS_GROUP_ENDS] = (struct vs_group_end){id, end_ns, result};
}

void vs_apply_coll_begin(struct vs_process *p, const struct vs_rec *rec)
{
    struct vs_call *c, *old = vs_id_map_get(&p->nccl.calls, ((const struct vs_rec_coll_begin *)(const void *)rec)->id);
    if (old) end_call(p, old, VS_NONE, VS_NONE);
    c = calloc(1, sizeof *c);
    if (!c) {
        vs_process_check(p, -ENOMEM);
        return;
    }
    memcpy(&c->begin, rec, sizeof c->begin);
    c->thread = p->thread;
    c->begin_ns = vs_process_time(p, c->begin.ts_ns);
    number(p, c);
    struct vs_comm *comm = vs_id_map_get(&p->nccl.comms, c->begin.comm);
    if (!(rec->flags & VS_CF_FROM_NVTX)) vs_labels_collective(p, &c->begin, comm ? comm->nranks : 0);
    p->changed = true;
    struct early_end *early = vs_id_map_remove(&p->nccl.early, c->begin.id);
    const struct vs_group_end *group = group_end(p, c->begin.group);
    if (early || group) {
        write_call(p, c, early ? early->end_ns : group->end_ns, early ? early->result : group->result);
        free(early);
        free(c);
        return;
    }
    if (vs_id_map_put(&p->nccl.calls, c->begin.id, c)) {
        free(c);
        vs_process_check(p, -ENOMEM);
        return;
    }
    if (c->begin.group) {
        c->next_in_group = vs_id_map_get(&p->nccl.groups, c->begin.group);
        vs_process_check(p, vs_id_map_put(&p->nccl.groups, c->begin.group, c));
    }
}

void vs_apply_coll_end(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_coll_end *e = (const void *)rec;
    int64_t now = vs_process_time(p, e->ts_ns);
    struct vs_call *c;
    p->changed = true;
    if (rec->flags & 1) { /* a group: the calls in it that have not ended by themselves */
        end_group(p, e->id, now, e->result);
    } else if ((c = vs_id_map_get(&p->nccl.calls, e->id))) {
        end_call(p, c, now, e->result);
    } else if (vs_id_map_get(&p->nccl.early, e->id)) {
        p->unmatched[VS_SRC_NCCL]++;
    } else { /* its begin lies in a slab that comes later */
        struct early_end *early = malloc(sizeof *early);
        if (!early || vs_id_map_put(&p->nccl.early, e->id, early)) {
            free(early);
            vs_process_check(p, -ENOMEM);
            return;
        }
        *early = (struct early_end){now, e->result};
    }
}

void vs_nccl_write(struct vs_process *p)
{
    for (size_t i = 0; i < p->nccl.calls.size; i++) {
        struct vs_call *c = p->nccl.calls.slots[i].value;
        if (c && !c->written) write_call(p, c, VS_NONE, VS_NONE);
        if (c) c->written = true;
    }
}

void vs_nccl_finish(struct vs_process *p)
{
    vs_nccl_write(p);
    p->unmatched[VS_SRC_NCCL] += p->nccl.early.count;
    for (struct vs_comm *c = p->nccl.all; c; c = c->older)
        if (c->disordered) VS_PUT(p->store, VS_ST_COLLECTIVE_ORDER, vs_int(c->id));
}

static void free_values(struct vs_id_map *m)
{
    for (size_t i = 0; i < m->size; i++) free(m->slots[i].value);
    vs_id_map_free(m);
}

void vs_nccl_free(struct vs_process *p)
{
    while (p->nccl.all) {
        struct vs_comm *older = p->nccl.all->older;
        free(p->nccl.all->name);
        free(p->nccl.all);
        p->nccl.all = older;
    }
    free_values(&p->nccl.calls);
    free_values(&p->nccl.early);
    vs_id_map_free(&p->nccl.comms);
    vs_id_map_free(&p->nccl.groups);
    free(p->nccl.ended);
}
