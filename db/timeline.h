/* SPDX-License-Identifier: MIT
 *
 * timeline.h: one value over time in a fixed number of buckets; the bucket width doubles when time outgrows them.
 *
 * Ownership: vs_timeline_free. Threading: none. Errors: new returns NULL when out of memory.
 */
#ifndef VS_DB_TIMELINE_H
#define VS_DB_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#define VS_TIMELINE_BUCKETS     8192u /* more than a chart has pixels */
#define VS_TIMELINE_FIRST_SHIFT 16u   /* 65.536 us: half a second until the first doubling */

struct vs_bucket {
    int64_t min, max, last; /* min > max: nothing happened in it */
};
struct vs_timeline {
    int64_t origin_ns;
    unsigned shift; /* bucket width is 1 << shift ns */
    unsigned used;  /* buckets from here on are empty */
    bool changed;   /* since it was stored */
    bool started;
    int64_t value; /* now */
    struct vs_bucket bucket[VS_TIMELINE_BUCKETS];
};

struct vs_timeline *vs_timeline_new(int64_t origin_ns);
void vs_timeline_set(struct vs_timeline *t, int64_t ts_ns, int64_t value); /* ts before an earlier one is fine */
void vs_timeline_free(struct vs_timeline *t);

#endif
