/* SPDX-License-Identifier: MIT
 *
 * labels.h: what libraries say of memory that PyTorch gave them, and what collectives do with it.
 *
 * FSDP gathers a unit's parameters into one buffer and copies them out into pieces of their own, allocated one after the
 * other; their sizes add up to the buffer's. In backward it copies the unit's gradients into one buffer, frees them, and
 * reduces the buffer. So both can be told by sums, without knowing the model.
 *
 * Ownership: part of vs_process. Threading: none. Errors: none.
 */
#ifndef VS_DB_LABELS_H
#define VS_DB_LABELS_H

#include <stddef.h>
#include <stdint.h>

struct vs_process;
struct vs_piece;
struct vs_rec_coll_begin;

#define VS_LABELS_GATHERS 16u
#define VS_LABELS_RUN     1024u /* pieces of one unit at most */

struct vs_labels {
    struct vs_gathered { /* all-gathers whose buffer has not been copied out, oldest first */
        struct vs_piece *buffer; /* live */
        struct vs_piece *single; /* the first piece of its size since; NULL: none */
        uint64_t bytes;
    } gathers[VS_LABELS_GATHERS];
    unsigned ngathers;
    struct vs_piece *run[VS_LABELS_RUN]; /* allocated one after the other by one thread, nothing freed between */
    unsigned nrun;
    uint32_t run_thread;
    struct vs_piece *freed[VS_LABELS_RUN]; /* the latest, not settled, as a ring */
    uint64_t nfreed;
};

/* ranks 0: not known */
void vs_labels_collective(struct vs_process *p, const struct vs_rec_coll_begin *r, int ranks);
void vs_labels_allocated(struct vs_process *p, struct vs_piece *x);
void vs_labels_freed(struct vs_process *p, struct vs_piece *x);
void vs_labels_forget(struct vs_process *p); /* pieces are settled: pointers to them end here */

#endif
