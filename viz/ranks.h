/* SPDX-License-Identifier: MIT
 *
 * ranks.h: what each rank's GPU did over time, on one clock: how much of each pixel was compute, communication, both.
 *
 * Ownership: the caller's struct (it is large). Errors: -ENOMSG there are no two ranks; -ENODATA there are, but no kernels;
 * -EIO, -ENOMEM.
 */
#ifndef VS_VIZ_RANKS_H
#define VS_VIZ_RANKS_H

#include "../db/lanes.h"
#include "devices.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_RANKS_MAX = 8, VS_RANK_COLUMNS = 672 };

struct vs_rank_strip {
    double ns[VS_RANK_COLUMNS][VS_LANE_STATES]; /* of each column; idle is not counted */
    double sum[VS_LANE_STATES];                 /* of the whole run, of the iteration without what is left and right of it */
};

struct vs_rank {
    int64_t process_id;
    int device; /* -1: a rank on the CPU, communication is the time in calls of collectives */
    char label[VS_LABEL_SIZE];
    const char *why; /* chosen, of many: "least compute" ...; NULL: all are shown */
    int64_t offset_ns;
    int64_t begin_ns, end_ns;    /* of the iteration that is enlarged, on the common clock; 0: has none */
    struct vs_rank_strip all, step;
};

struct vs_ranks {
    struct vs_rank item[VS_RANKS_MAX];
    int count, total;         /* shown; found */
    int hosts, without_kernels;
    int64_t origin_ns, span_ns; /* of the overview, on the common clock */
    int64_t step, step_ns, step_span_ns; /* the iteration that is enlarged, from where; span 0: none */
    char alarm[VS_LABEL_SIZE]; /* the first collective that is not complete; "" */
};

int vs_ranks_load(struct sqlite3 *db, struct vs_ranks *out, struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif
