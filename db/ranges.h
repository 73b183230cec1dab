/* SPDX-License-Identifier: MIT
 *
 * ranges.h: NVTX ranges that are open, or whose GPU work is not all in yet; the rows of table range and what ranges add
 * up to.
 *
 * A range is kept while something points to it: its being open, its row not written, a range nested in it, a launch made
 * in it that may still bring GPU work. Then its GPU span is final and joins that of its name and of its parent.
 *
 * Ownership: ranges belong to vs_ranges; hold and release pair up. Threading: none. Errors: stick in the store.
 */
#ifndef VS_DB_RANGES_H
#define VS_DB_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "id_map.h"
#include "record.h"

struct vs_process;

struct vs_range_mark { /* a level of a device when the range began */
    uint64_t event;
    int64_t live;
    int64_t allocations; /* made while it was innermost */
};

struct vs_range {
    uint64_t number; /* sequence number of its begin */
    struct vs_range *parent;
    int64_t name_id;
    int64_t begin_ns, end_ns;   /* end 0: open */
    int64_t gpu_begin, gpu_end; /* of work launched in it or nested; end 0: none */
    uint64_t parent_number;
    uint32_t thread, domain, category, color, depth;
    unsigned references;
    bool open, written, start_end;
    struct vs_range_mark *marks; /* two per device: held, sub */
    unsigned nmarks;
};

struct vs_range_total {
    uint32_t domain;
    int64_t name_id;
    int64_t count, host_ns, gpu_ns, span_ns;
    bool has_span;
};

struct vs_ranges {
    struct vs_id_map by_number; /* all that are kept */
    struct vs_range **waiting;  /* rows not yet written, in the order of their begins */
    size_t nwaiting, room;
    size_t open_stack; /* push ranges open */
    struct vs_range_total *totals;
    size_t ntotals, total_room;
    struct vs_id_map total_index; /* hash -> index + 1 of totals */
};

int64_t vs_ranges_name(const struct vs_process *p, uint64_t number);                /* string row, 0: not known */
void vs_ranges_count(struct vs_process *p, uint64_t number, int device, int level); /* an allocation made in it */
struct vs_range *vs_ranges_hold(struct vs_process *p, uint64_t number);             /* NULL: none of that number */
void vs_ranges_release(struct vs_process *p, struct vs_range *r);                   /* NULL is fine */
void vs_ranges_gpu(struct vs_process *p, struct vs_range *r, int64_t begin_ns, int64_t end_ns);
void vs_ranges_write(struct vs_process *p);
void vs_ranges_finish(struct vs_process *p); /* nothing more comes: the spans of open ranges are final */
void vs_ranges_free(struct vs_process *p);
struct vs_range_total *vs_ranges_total(struct vs_process *p, const struct vs_range *r); /* range_total.c */

void vs_apply_range_begin(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_range_end(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_mark(struct vs_process *p, const struct vs_rec *rec);

#endif
