/* SPDX-License-Identifier: MIT
 *
 * series.h: live bytes per device as they change: totals, peaks, what was live at the peak, the timeline.
 *
 * Ownership: vs_series_free. Threading: none. Errors: calls that allocate return -ENOMEM.
 */
#ifndef VS_DB_SERIES_H
#define VS_DB_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vs_timeline;

/* X(ID, name in peak_data and timeline). The first two are the levels; up to HOST the sources of table allocation; the
 * rest are said by an allocator or the driver. What a pool reserves is a series of its own: CUDA_ASYNC counts the blocks
 * handed out of it, and the sum of both would be of two levels. */
#define VS_SERIES(X)                                                                                                   \
    X(HELD, "held")                                                                                                    \
    X(SUB, "sub")                                                                                                      \
    X(TORCH, "torch")                                                                                                  \
    X(CUDA, "cuda")                                                                                                    \
    X(CUDA_ASYNC, "cuda_async")                                                                                        \
    X(MANAGED, "managed")                                                                                              \
    X(PINNED, "pinned")                                                                                                \
    X(ARRAY, "array")                                                                                                  \
    X(STATIC, "static")                                                                                                \
    X(NCCL, "nccl")                                                                                                    \
    X(REGION, "region")                                                                                                \
    X(HOST, "host")                                                                                                    \
    X(CUDA_ASYNC_RESERVED, "cuda_async_reserved")                                                                      \
    X(DRIVER_USED, "driver_used")                                                                                      \
    X(TORCH_ALLOCATED, "torch_allocated")                                                                              \
    X(TORCH_RESERVED, "torch_reserved")
enum vs_series_id {
#define X(id, name) VS_SE_##id,
    VS_SERIES(X)
#undef X
        VS_NSERIES
};
extern const char *const vs_series_names[VS_NSERIES];

#define VS_NLEVELS  2   /* held, sub */
#define VS_NDEVICES 129 /* -1 (host) to 127, what an int8_t holds */

struct vs_meter {
    bool used;
    int64_t live, peak, peak_ts;
    uint64_t peak_range; /* number of the range the allocation at the peak was made in, 0: none */
    int64_t allocations, frees;
    struct vs_timeline *timeline;
};

/* What is freed after the peak was live at it: grouped here at its free, so that the peak's contents are known
 * without a scan. A new peak empties the groups: nothing that was freed before it was live at it. */
struct vs_group {
    uint64_t generation; /* not the table's: an empty slot */
    uint64_t range;      /* lowest number of a range of that name */
    int64_t range_name;  /* string row, 0: none */
    int64_t bytes, count;
    uint8_t source, level, category;
};
struct vs_groups {
    struct vs_group *slots;
    size_t size, count;
    uint64_t generation;
};

struct vs_high {
    uint64_t event;
    int64_t live;
};
/* Of a level: live bytes after the events since the oldest open range, as a strictly falling staircase: its first step
 * at or after an event is the maximum since that event. Never longer than the objects freed since. */
struct vs_level {
    uint64_t events;
    struct vs_high *highs;
    size_t nhighs, room;
    struct vs_groups groups;
};

struct vs_device_series {
    int device; /* -1: host */
    struct vs_meter meter[VS_NSERIES];
    struct vs_level level[VS_NLEVELS];
};
struct vs_series {
    struct vs_device_series *of[VS_NDEVICES];   /* by device + 1 */
    struct vs_device_series *list[VS_NDEVICES]; /* in the order they were met */
    unsigned count;
    int64_t origin_ns;
    bool watch_highs; /* a range is open */
};

struct vs_device_series *vs_series_device(struct vs_series *s, int device); /* NULL: out of memory */
int vs_series_change(struct vs_series *s, int device, enum vs_series_id id, int64_t delta, bool frees, int64_t ts,
                     uint64_t range);
int vs_series_set(struct vs_series *s, int device, enum vs_series_id id, int64_t value, int64_t ts); /* a gauge */

int vs_groups_add(struct vs_groups *g, const struct vs_group *what); /* adds bytes and count to its group */

void vs_series_watch(struct vs_series *s, bool watch);
int vs_level_note(struct vs_level *l, int64_t live); /* the value after the latest event */
int64_t vs_level_high_since(const struct vs_level *l, uint64_t event);

void vs_series_free(struct vs_series *s);

#endif
