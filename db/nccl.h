/* SPDX-License-Identifier: MIT
 *
 * nccl.h: communicators and NCCL calls.
 *
 * Ownership: vs_nccl_free. Threading: none. Errors: stick in the store.
 */
#ifndef VS_DB_NCCL_H
#define VS_DB_NCCL_H

#include <stdbool.h>
#include <stdint.h>

#include "id_map.h"
#include "record.h"

struct vs_process;

struct vs_comm {
    int64_t id, parent_id, created_ns, ended_ns;
    uint64_t handle, hash;
    int32_t nranks, rank;
    int device;
    char *name;
    const char *ended;
    int64_t calls;   /* collectives so far */
    uint64_t last;   /* highest call id counted */
    bool disordered; /* ids did not come in order: the sequence is counted again at the end */
    struct vs_comm *older;
};
struct vs_call; /* a call whose row is not written for good */

struct vs_group_end {
    uint64_t id; /* 0: unused */
    int64_t end_ns;
    int32_t result;
};
#define VS_GROUP_ENDS 1024u /* slabs of one thread may arrive out of order, but not by that many groups */

struct vs_nccl {
    struct vs_id_map comms; /* by handle */
    struct vs_comm *all;
    int64_t next_comm;
    struct vs_id_map calls;  /* by id: not ended */
    struct vs_id_map groups; /* by group id: its calls that have not ended */
    struct vs_id_map early;  /* by id: ends that came before their begin */
    struct vs_group_end
        *ended; /* the latest ends of groups, by id modulo VS_GROUP_ENDS: a call of theirs may still come */
};

void vs_nccl_write(struct vs_process *p); /* rows of calls that have not ended, so that readers see them */
void vs_nccl_finish(struct vs_process *p);
void vs_nccl_free(struct vs_process *p);

void vs_apply_comm(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_coll_begin(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_coll_end(struct vs_process *p, const struct vs_rec *rec);

#endif
