/* SPDX-License-Identifier: MIT
 *
 * account.h: whose the bytes of a device are: sums per owner, kept in step with every piece of memory that comes and goes,
 * and set against what the driver says is used at the moments it was asked.
 *
 * Ownership: vs_account_free. Threading: none. Errors: stick in the store.
 */
#ifndef VS_DB_ACCOUNT_H
#define VS_DB_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "segments.h"
#include "series.h"

struct vs_piece;
struct vs_process;

/* X(ID, name in table account_data): in the order they are shown. Libraries come after, one owner each. */
#define VS_OWNERS(X)                                                                                                   \
    X(FRAMEWORK_LIVE, "framework_live")                                                                                \
    X(FRAMEWORK_CACHED, "framework_cached")                                                                            \
    X(NCCL, "nccl")                                                                                                    \
    X(POOLS, "stream_ordered_pools")                                                                                   \
    X(GRAPH_POOLS, "graph_pools")                                                                                      \
    X(OTHER_CUDA, "other_cuda")                                                                                        \
    X(MANAGED, "managed")                                                                                              \
    X(CONTEXT, "context")                                                                                              \
    X(PROFILER, "profiler")                                                                                            \
    X(OTHER_PROCESSES, "other_processes")
#define VS_OWNER_LIBRARIES 22 /* more libraries share the last place */
enum vs_owner {
#define X(id, name) VS_OWNER_##id,
    VS_OWNERS(X)
#undef X
        VS_OWNER_LIBRARY, /* the first of them */
    VS_NOWNERS = VS_OWNER_LIBRARY + VS_OWNER_LIBRARIES
};

/* What a piece adds to. Not the owners: what the framework caches is the difference of two of these. */
enum vs_sum {
    VS_SUM_NONE,
    VS_SUM_LIVE,     /* the framework's blocks in segments we know */
    VS_SUM_LIVE_OUT, /* and those in none */
    VS_SUM_SEGMENTS,
    VS_SUM_NCCL,
    VS_SUM_POOLS,
    VS_SUM_GRAPH_POOLS,
    VS_SUM_OTHER,
    VS_SUM_MANAGED,
    VS_SUM_LIBRARY,
    VS_NSUMS = VS_SUM_LIBRARY + VS_OWNER_LIBRARIES
};

#define VS_ACCOUNT_MOMENTS 1024 /* kept of a device besides the special ones; when full, every other one goes */
struct vs_account_moment {
    int64_t ts_ns, used; /* used < 0: an empty place */
    bool unsettled;
    bool untold; /* what calls took is in the remainder: their parts are told with a later sample, if at all */
    int64_t bytes[VS_NOWNERS]; /* VS_NONE: cannot be seen */
};
enum { VS_MOMENT_FIRST, VS_MOMENT_HIGHEST, VS_MOMENT_HIGHEST_HELD, VS_MOMENT_FAILURE, VS_MOMENT_LAST, VS_NMOMENTS };

/* Two sources that tell the same thing: the largest difference met. */
struct vs_account_check {
    int64_t difference, ts_ns, ours, theirs;
};
enum { VS_CHECK_LIVE, VS_CHECK_HELD, VS_NCHECKS };

struct vs_account_device {
    int64_t sum[VS_NSUMS];
    bool used[VS_NOWNERS]; /* was ever not zero */
    int64_t context, profiler;
    bool context_seen;               /* one was made while we looked */
    unsigned unmeasured;             /* contexts alive whose size is not known */
    uint64_t untold;                 /* calls whose part of the growth is not known */
    int64_t base_process, base_ours; /* when last nothing was under way: by the driver's count, by ours */
    int64_t highest_held;
    struct vs_account_moment special[VS_NMOMENTS];
    struct vs_account_moment *kept; /* VS_ACCOUNT_MOMENTS of them */
    unsigned nkept;
    uint64_t samples, stride; /* every stride-th sample is kept */
    struct vs_account_check check[VS_NCHECKS];
    struct vs_segments segments[VS_NSEGMENTS];
};

struct vs_account_context {
    uint64_t handle;
    int device;
    int64_t bytes, profiler;
    bool known;
    struct vs_account_context *next;
};

struct vs_account {
    struct vs_account_device *of[VS_NDEVICES - 1]; /* by device */
    struct vs_account_context *contexts;
    char *library[VS_OWNER_LIBRARIES]; /* short names */
    unsigned nlibraries;
};

/* A piece enters (sign 1) or leaves (-1) the sums, as it is now labelled. */
void vs_account_count(struct vs_process *p, struct vs_piece *x, int sign);
void vs_account_named(struct vs_process *p, struct vs_piece *x); /* its library is known now */
/* A block of the framework lies there: what holds it (NULL: not known) is the framework's. The sum the block adds to. */
uint8_t vs_account_block(struct vs_process *p, struct vs_piece *holder, int device, uint64_t address, uint64_t bytes);
void vs_account_totals(struct vs_process *p, const struct vs_rec_torch *r, int64_t ts); /* as its allocator says */
void vs_account_sample(struct vs_process *p, const struct vs_rec_device_memory *r, int64_t ts);
void vs_account_context_gone(struct vs_process *p, const struct vs_rec_context *r);
void vs_apply_measure(struct vs_process *p, const struct vs_rec *rec);
void vs_account_free(struct vs_process *p);

struct vs_account_device *vs_account_device(struct vs_process *p, int device); /* NULL: host, or out of memory */
int64_t vs_account_held(const struct vs_account_device *d); /* by this process, as far as allocations tell */

/* account_moments.c */
struct vs_account_asked { /* what the driver said; VS_NONE: not known */
    int64_t ts_ns, used, others;
    bool unsettled, failure;
};
void vs_account_moment(struct vs_process *p, int device, const struct vs_account_asked *asked);
void vs_account_write(struct vs_process *p); /* replaces what is there */

#endif
