/* SPDX-License-Identifier: MIT
 *
 * timeline.c: min, max and last value per bucket. It must never lose an extreme, however often the width doubles.
 */
#include "timeline.h"

#include <stdlib.h>

struct vs_timeline *vs_timeline_new(int64_t origin_ns)
{
    struct vs_timeline *t = malloc(sizeof *t);
    if (!t) return NULL;
    t->origin_ns = origin_ns;
    t->shift = VS_TIMELINE_FIRST_SHIFT;
    t->used = 0;
    t->changed = t->started = false;
    t->value = 0;
    for (unsigned i = 0; i < VS_TIMELINE_BUCKETS; i++) t->bucket[i] = (struct vs_bucket){INT64_MAX, INT64_MIN, 0};
    return t;
}

static void merge(struct vs_bucket *to, const struct vs_bucket *later)
{
    if (later->min > later->max) return;
    if (later->min < to->min) to->min = later->min;
    if (later->max > to->max) to->max = later->max;
    to->last = later->last;
}

static void double_width(struct vs_timeline *t)
{
    for (unsigned i = 0; i < VS_TIMELINE_BUCKETS / 2; i++) {
        struct vs_bucket b = t->bucket[2 * i];
        merge(&b, &t->bucket[2 * i + 1]);
        t->bucket[i] = b;
    }
    for (unsigned i = VS_TIMELINE_BUCKETS / 2; i < VS_TIMELINE_BUCKETS; i++)
        t->bucket[i] = (struct vs_bucket){INT64_MAX, INT64_MIN, 0};
    t->used = (t->used + 1) / 2;
    t->shift++;
}

void vs_timeline_set(struct vs_timeline *t, int64_t ts_ns, int64_t value)
{
    uint64_t since = ts_ns > t->origin_ns ? (uint64_t)ts_ns - (uint64_t)t->origin_ns : 0;
    while (since >> t->shift >= VS_TIMELINE_BUCKETS) double_width(t);
    unsigned i = (unsigned)(since >> t->shift);
    struct vs_bucket *b = &t->bucket[i];
    if (b->min > b->max) {
        /* the value it had when the bucket began is part of the bucket: the curve is a staircase */
        int64_t before = t->started ? t->value : value;
        b->min = b->max = before;
        if (i >= t->used) t->used = i + 1;
    }
    if (value < b->min) b->min = value;
    if (value > b->max) b->max = value;
    b->last = t->value = value;
    t->started = t->changed = true;
}

void vs_timeline_free(struct vs_timeline *t)
{
    free(t);
}
