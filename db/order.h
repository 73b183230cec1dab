/* SPDX-License-Identifier: MIT
 *
 * order.h: puts lifetime records back into the order of their numbers. Records arrive slab by slab; a record whose
 * predecessors have not arrived waits here, and so do unnumbered records that must come right after a numbered one.
 *
 * Ownership: waiting records are copied; vs_order_free drops them. Threading: none.
 * Errors: -ENOMEM; -ERANGE: the number is so far ahead that it cannot be real (the caller counts the record as damaged).
 */
#ifndef VS_DB_ORDER_H
#define VS_DB_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* More numbers than all slabs together hold records. */
#define VS_ORDER_REACH ((uint64_t)1 << 24)

typedef void vs_order_apply(void *arg, const struct vs_rec *rec, uint32_t thread);

struct vs_order_entry;
struct vs_order_block;
struct vs_order {
    vs_order_apply *apply;
    void *arg;
    uint64_t next;                /* the number that is applied next */
    uint64_t skipped;             /* numbers given up */
    uint64_t limit;               /* no number as high was ever taken; 0: not known */
    uint64_t last;                /* highest number waiting */
    struct vs_order_entry **ring; /* by number & (size - 1) */
    size_t size, waiting;
    struct vs_order_block *block; /* where the next copy goes */
};

void vs_order_init(struct vs_order *o, vs_order_apply *apply, void *arg);
int vs_order_put(struct vs_order *o, const struct vs_rec *rec, uint64_t seq, uint32_t thread);
/* Applies rec once number `seq` has been; at once if it has been already or is not waiting here. */
int vs_order_follow(struct vs_order *o, const struct vs_rec *rec, uint64_t seq, uint32_t thread);
void vs_order_give_up(struct vs_order *o);      /* goes on at the first number that waits */
void vs_order_skip_missing(struct vs_order *o); /* no more will come: applies what waits, in order */
void vs_order_free(struct vs_order *o);

#endif
