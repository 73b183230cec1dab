/* SPDX-License-Identifier: MIT
 *
 * gpu.h: joins GPU work (kernels, copies) to the host calls that launched it, and sums it up.
 *
 * A launch and its work arrive in either order. What has no partner yet waits here, for at most HORIZON of the log's
 * own time; a launch outside a graph is kept for a while after its work came, one in a graph for the horizon. Launches
 * later than all work known may be many when the GPU reports nothing: of the oldest only the times are kept then.
 *
 * Ownership: vs_gpu_free. Threading: none. Errors: stick in the store.
 */
#ifndef VS_DB_GPU_H
#define VS_DB_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "id_map.h"
#include "record.h"

struct vs_process;
struct vs_launch;
struct vs_work;

struct vs_launch_list {
    struct vs_launch *first, *last;
};

struct vs_kernel_total {
    int device;
    int64_t name_id, count, total_ns, min_ns, max_ns, untimed;
};

struct vs_gpu {
    struct vs_id_map launches;  /* by correlation */
    struct vs_launch_list open; /* without work yet, or in a graph; by age */
    struct vs_launch_list done; /* whose work has come */
    size_t ndone;
    struct vs_id_map works; /* by correlation: work whose launch has not come */
    struct vs_work *first_work, *last_work;
    size_t nworks;
    int64_t next_kernel, next_transfer;
    int64_t newest_end; /* of work */
    bool traced;        /* any work seen */
    size_t nopen;       /* in `open` */
    int64_t *given_up;  /* times of launches without work, dropped for their number: they may be undelivered */
    size_t ngiven_up, given_up_room;
    struct vs_kernel_total *totals;
    size_t ntotals, total_room;
    struct vs_id_map total_index;
};

/* Nothing more comes: rows for what waits. Counts what the GPU had not reported when the process died. */
void vs_gpu_finish(struct vs_process *p);
void vs_gpu_free(struct vs_process *p);
void vs_gpu_kernel_row(struct vs_process *p, const struct vs_rec_kernel *k, int64_t id, const struct vs_launch *launch);
void vs_gpu_transfer_row(struct vs_process *p, const struct vs_rec_transfer *t, int64_t id,
                         const struct vs_launch *launch);

struct vs_range;
struct vs_launch {
    struct vs_launch *older, *newer;
    struct vs_range *range; /* held */
    uint64_t range_number;
    int64_t ts_ns;
    uint32_t correlation, thread;
    bool matched, done; /* done: outside a graph, so one piece of work is all that is expected */
};

void vs_apply_launch(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_kernel(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_transfer(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_api(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_overhead(struct vs_process *p, const struct vs_rec *rec);

#endif
