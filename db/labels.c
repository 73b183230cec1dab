/* SPDX-License-Identifier: MIT
 *
 * labels.c: labels of libraries, and the use collectives make of memory. It must never label a piece that does not hold
 * the address, nor pieces whose sizes do not add up.
 */
#include "process.h"

void vs_apply_label(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_label *r = (const void *)rec;
    struct vs_piece *x = vs_live_torch_block(p, r->address);
    vs_process_lifetime(p, r->ts_ns);
    if (!x || r->what != VS_LABEL_WORKSPACE) return; /* memory from elsewhere: its row has the library */
    p->passes.labels = true;
    if (x->said) return;
    x->category = VS_CAT_WORKSPACE;
    x->said = true;
    vs_live_changed(p, x);
}

/* ---- all-gathers ---- */

static void drop_gather(struct vs_labels *l, unsigned i)
{
    l->ngathers--;
    for (; i < l->ngathers; i++) l->gathers[i] = l->gathers[i + 1];
}

static void note_gather(struct vs_process *p, struct vs_piece *buffer, uint64_t bytes)
{
    struct vs_labels *l = &p->labels;
    for (unsigned i = 0; i < l->ngathers; i++)
        if (l->gathers[i].buffer == buffer) drop_gather(l, i--); /* filled again: at most one entry has it */
    if (l->ngathers == VS_LABELS_GATHERS) drop_gather(l, 0);
    l->gathers[l->ngathers++] = (struct vs_gathered){.buffer = buffer, .bytes = bytes};
}

/* How many of the latest allocations add up to that many bytes, block for block; 0: they do not. */
static unsigned adds_up(const struct vs_labels *l, uint64_t bytes)
{
    uint64_t sum = 0;
    unsigned n = 0;
    while (n < l->nrun && sum < bytes) sum += l->run[l->nrun - ++n]->bytes;
    return sum >= bytes && sum - bytes <= n * 512u + bytes / 64 ? n : 0;
}

/* The buffer goes, and only one piece had its size. */
static void close_gather(const struct vs_gathered *g)
{
    if (!g->single || (g->single->comm & (VS_COMM_SCATTERS | VS_COMM_SCATTERED))) return;
    g->buffer->comm |= VS_COMM_COPIED;
    g->single->comm |= VS_COMM_UNSHARDED;
}

static void look_for_copies(struct vs_labels *l)
{
    for (unsigned i = 0; i < l->ngathers; i++) {
        unsigned n = adds_up(l, l->gathers[i].bytes);
        if (n == 1 && !l->gathers[i].single) l->gathers[i].single = l->run[l->nrun - 1];
        if (n < 2) continue; /* a single piece may be any of that size: decided when the buffer goes */
        l->gathers[i].buffer->comm |= VS_COMM_COPIED;
        while (n) l->run[l->nrun - n--]->comm |= VS_COMM_UNSHARDED;
        l->nrun = 0;
        drop_gather(l, i);
        return;
    }
}

void vs_labels_allocated(struct vs_process *p, struct vs_piece *x)
{
    struct vs_labels *l = &p->labels;
    if (!l->ngathers) return;
    if (l->run_thread != p->thread || l->nrun == VS_LABELS_RUN) l->nrun = 0;
    l->run_thread = p->thread;
    l->run[l->nrun++] = x;
    look_for_copies(l);
}

void vs_labels_freed(struct vs_process *p, struct vs_piece *x)
{
    struct vs_labels *l = &p->labels;
    for (unsigned i = 0; i < l->ngathers; i++)
        if (l->gathers[i].buffer == x) {
            close_gather(&l->gathers[i]);
            drop_gather(l, i);
            break;
        }
    if (l->run_thread == p->thread) l->nrun = 0;
    l->freed[l->nfreed++ % VS_LABELS_RUN] = x;
}

void vs_labels_forget(struct vs_process *p)
{
    struct vs_labels *l = &p->labels;
    l->nfreed = l->nrun = 0;
    for (unsigned i = 0; i < l->ngathers; i++)
        if (l->gathers[i].single && l->gathers[i].single->free_ts) l->gathers[i].single = NULL;
}

/* ---- reduce-scatters ---- */

/* What was freed since the buffer was allocated, and is older than it, was copied into it if it adds up: to as much, or
 * to half of it when 16 bits are reduced as 32. */
static void look_for_sources(struct vs_process *p, struct vs_piece *buffer, uint64_t bytes)
{
    struct vs_labels *l = &p->labels;
    uint64_t oldest = l->nfreed > VS_LABELS_RUN ? l->nfreed - VS_LABELS_RUN : 0, sum = 0;
    for (uint64_t i = l->nfreed; i > oldest; i--) {
        const struct vs_piece *x = l->freed[(i - 1) % VS_LABELS_RUN];
        if (x->free_ts < buffer->alloc_ts) break;
        if (x->alloc_ts < buffer->alloc_ts && x->alloc_by == VS_BY_AUTOGRAD && !x->comm) sum += x->bytes;
    }
    bool whole = sum >= bytes - bytes / 16 && sum <= bytes + bytes / 16;
    bool half = 2 * sum >= bytes - bytes / 16 && 2 * sum <= bytes + bytes / 16;
    if (!whole && !half) return;
    buffer->comm |= VS_COMM_COPIED;
    for (uint64_t i = l->nfreed; i > oldest; i--) {
        struct vs_piece *x = l->freed[(i - 1) % VS_LABELS_RUN];
        if (x->free_ts < buffer->alloc_ts) break;
        if (x->alloc_ts < buffer->alloc_ts && x->alloc_by == VS_BY_AUTOGRAD && !x->comm) x->comm |= VS_COMM_REDUCED_FROM;
    }
}

void vs_labels_collective(struct vs_process *p, const struct vs_rec_coll_begin *r, int ranks)
{
    struct vs_piece *from = r->send_address ? vs_live_torch_block(p, r->send_address) : NULL;
    struct vs_piece *to = r->recv_address ? vs_live_torch_block(p, r->recv_address) : NULL;
    uint64_t all = ranks > 0 && r->bytes < VS_MAX_PIECE_BYTES / (uint64_t)ranks ? r->bytes * (uint64_t)ranks : 0;
    switch (r->op) {
    case VS_COLL_ALL_GATHER:
        if (!to) break;
        /* parameters: a shard of the model is sent, or the buffer's own part of it */
        to->comm |= from && (from == to || (!from->alloc_pass && from->alloc_by != VS_BY_AUTOGRAD)) ? VS_COMM_GATHERED
                                                                                                  : VS_COMM_OTHER;
        if (all && (to->comm & VS_COMM_GATHERED)) note_gather(p, to, all);
        break;
    case VS_COLL_REDUCE_SCATTER:
        if (from && from != to) {
            from->comm |= VS_COMM_SCATTERS;
            if (all) look_for_sources(p, from, all);
        }
        if (to) to->comm |= VS_COMM_SCATTERED;
        break;
    case VS_COLL_ALL_REDUCE:
        if (from) from->comm |= VS_COMM_REDUCED;
        if (to) to->comm |= VS_COMM_REDUCED;
        break;
    default:
        if (from) from->comm |= VS_COMM_OTHER;
        if (to) to->comm |= VS_COMM_OTHER;
    }
}
