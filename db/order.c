/* SPDX-License-Identifier: MIT
 *
 * order.c: the reorder window. It must never apply a number twice, nor wait once told that nothing more comes.
 */
#include "order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 262144u /* some thousand records: waiting ones leave in about the order they came */

struct vs_order_block {
    unsigned entries, used; /* entries still waiting; bytes handed out */
    unsigned char bytes[];
};

struct vs_order_entry {
    struct vs_order_block *block;
    struct vs_order_entry *follower, *last; /* records to apply right after; last: end of the list, in its head */
    uint32_t thread;
    uint32_t placeholder; /* only carries followers: the numbered record has not come */
    struct vs_rec rec[];
};

void vs_order_init(struct vs_order *o, vs_order_apply *apply, void *arg)
{
    *o = (struct vs_order){.apply = apply, .arg = arg, .next = 1};
}

static struct vs_order_entry *copy(struct vs_order *o, const struct vs_rec *rec, uint32_t thread)
{
    size_t bytes = rec ? rec->size8 * (size_t)8 : 0, need = sizeof(struct vs_order_entry) + bytes;
    if (!o->block || o->block->used + need > BLOCK_BYTES - sizeof *o->block) {
        struct vs_order_block *block = malloc(BLOCK_BYTES);
        if (!block) return NULL;
        if (o->block && !o->block->entries) free(o->block);
        block->entries = block->used = 0;
        o->block = block;
    }
    struct vs_order_entry *e = (struct vs_order_entry *)(void *)(o->block->bytes + o->block->used);
    o->block->used += (unsigned)need;
    o->block->entries++;
    *e = (struct vs_order_entry){.block = o->block, .thread = thread, .placeholder = !rec};
    if (rec) memcpy(e->rec, rec, bytes);
    return e;
}

static void drop(struct vs_order *o, struct vs_order_entry *e)
{
    struct vs_order_block *block = e->block;
    if (--block->entries) return;
    if (block == o->block) block->used = 0;
    else free(block);
}

static void apply_entry(struct vs_order *o, struct vs_order_entry *e)
{
    struct vs_order_entry *f = e->follower;
    if (!e->placeholder) o->apply(o->arg, e->rec, e->thread);
    while (f) {
        struct vs_order_entry *next = f->follower;
        o->apply(o->arg, f->rec, f->thread);
        drop(o, f);
        f = next;
    }
    drop(o, e);
}

static struct vs_order_entry *take(struct vs_order *o, uint64_t seq)
{
    if (!o->size) return NULL;
    struct vs_order_entry **slot = &o->ring[seq & (o->size - 1)], *e = *slot;
    if (!e) return NULL;
    *slot = NULL;
    o->waiting--;
    return e;
}

static struct vs_order_entry *peek(const struct vs_order *o, uint64_t seq)
{
    return o->size && seq >= o->next && seq - o->next < o->size ? o->ring[seq & (o->size - 1)] : NULL;
}

static void drain(struct vs_order *o)
{
    struct vs_order_entry *e;
    while (o->waiting && (e = peek(o, o->next)) && !e->placeholder) {
        take(o, o->next);
        o->next++;
        apply_entry(o, e);
    }
}

static int make_room(struct vs_order *o, uint64_t seq)
{
    size_t size = o->size ? o->size : 1024;
    if (seq - o->next >= VS_ORDER_REACH) return -ERANGE;
    while (seq - o->next >= size) size *= 2;
    if (size == o->size) return 0;
    struct vs_order_entry **ring = calloc(size, sizeof(*ring));
    if (!ring) return -ENOMEM;
    for (uint64_t i = 0; i < o->size; i++) ring[(o->next + i) & (size - 1)] = o->ring[(o->next + i) & (o->size - 1)];
    free(o->ring);
    o->ring = ring;
    o->size = size;
    return 0;
}

static int wait_for(struct vs_order *o, uint64_t seq, struct vs_order_entry **slot_entry, const struct vs_rec *rec,
                    uint32_t thread)
{
    int err = make_room(o, seq);
    if (err) return err;
    struct vs_order_entry *e = copy(o, rec, thread);
    if (!e) return -ENOMEM;
    struct vs_order_entry **slot = &o->ring[seq & (o->size - 1)];
    if (*slot) { /* a placeholder: take over its followers */
        e->follower = (*slot)->follower;
        e->last = (*slot)->last;
        drop(o, *slot);
    } else {
        o->waiting++;
    }
    *slot = e;
    if (seq > o->last) o->last = seq;
    if (slot_entry) *slot_entry = e;
    return 0;
}

int vs_order_put(struct vs_order *o, const struct vs_rec *rec, uint64_t seq, uint32_t thread)
{
    struct vs_order_entry *e = peek(o, seq);
    if (seq < o->next || (e && !e->placeholder) || (o->limit && seq >= o->limit))
        return -ERANGE; /* this number has been: not a record the recorder wrote */
    if (seq > o->next) return wait_for(o, seq, NULL, rec, thread);
    o->next++;
    o->apply(o->arg, rec, thread);
    if (e) {
        take(o, seq);
        apply_entry(o, e);
    }
    if (o->waiting) drain(o);
    return 0;
}

int vs_order_follow(struct vs_order *o, const struct vs_rec *rec, uint64_t seq, uint32_t thread)
{
    struct vs_order_entry *head = peek(o, seq), *e;
    int err = 0;
    if (seq < o->next || seq - o->next >= VS_ORDER_REACH || (o->limit && seq >= o->limit)) {
        o->apply(o->arg, rec, thread);
        return 0;
    }
    if (!head && (err = wait_for(o, seq, &head, NULL, 0))) return err;
    e = copy(o, rec, thread);
    if (!e) return -ENOMEM;
    if (head->last) head->last->follower = e;
    else head->follower = e;
    head->last = e;
    return 0;
}

void vs_order_give_up(struct vs_order *o)
{
    while (o->waiting) {
        struct vs_order_entry *e = peek(o, o->next);
        if (e && !e->placeholder) break;
        o->skipped++;
        o->next++;
        if (e) {
            take(o, o->next - 1);
            apply_entry(o, e);
        }
    }
    drain(o);
}

void vs_order_skip_missing(struct vs_order *o)
{
    while (o->waiting) {
        struct vs_order_entry *e = take(o, o->next);
        if (!e || e->placeholder) o->skipped++;
        o->next++;
        if (e) apply_entry(o, e);
    }
}

void vs_order_free(struct vs_order *o)
{
    for (size_t i = 0; i < o->size; i++) {
        struct vs_order_entry *e = o->ring[i];
        while (e) {
            struct vs_order_entry *next = e->follower;
            drop(o, e);
            e = next;
        }
    }
    free(o->ring);
    free(o->block);
    *o = (struct vs_order){0};
}
