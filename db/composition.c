/* SPDX-License-Identifier: MIT
 *
 * composition.c: adds pieces to moments. It must never count a piece at a moment it was not live at: the sums would no
 * longer be the live bytes.
 */
#include "composition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sums of what a damaged log says may be anything, but not undefined. */
static void sum(int64_t *to, int64_t n)
{
    *to = (int64_t)((uint64_t)*to + (uint64_t)n);
}

static int64_t minus(int64_t n)
{
    return (int64_t)(0 - (uint64_t)n);
}

static void clear(struct vs_composition_bucket *b)
{
    *b = (struct vs_composition_bucket){.live = -1};
}

struct vs_composition *vs_composition_new(int64_t origin_ns)
{
    struct vs_composition *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->origin_ns = origin_ns;
    c->shift = VS_COMPOSITION_FIRST_SHIFT;
    for (unsigned i = 0; i < VS_COMPOSITION_BUCKETS; i++) clear(&c->bucket[i]);
    return c;
}

struct vs_composition *vs_composition_copy(const struct vs_composition *c)
{
    struct vs_composition *copy = malloc(sizeof *copy);
    if (!copy) return NULL;
    memcpy(copy, c, sizeof *copy);
    copy->moments = malloc((c->nmoments + 1) * sizeof *copy->moments);
    if (!copy->moments) {
        free(copy);
        return NULL;
    }
    copy->room = c->nmoments + 1;
    if (c->nmoments) memcpy(copy->moments, c->moments, c->nmoments * sizeof *copy->moments);
    return copy;
}

static unsigned bucket_of(const struct vs_composition *c, int64_t ts)
{
    return ts > c->origin_ns ? (unsigned)((uint64_t)(ts - c->origin_ns) >> c->shift) : 0;
}

static void double_width(struct vs_composition *c)
{
    for (unsigned i = 0; i < VS_COMPOSITION_BUCKETS / 2; i++) {
        const struct vs_composition_bucket *a = &c->bucket[2 * i], *b = &c->bucket[2 * i + 1];
        c->bucket[i] = b->live > a->live ? *b : *a;
    }
    for (unsigned i = VS_COMPOSITION_BUCKETS / 2; i < VS_COMPOSITION_BUCKETS; i++) clear(&c->bucket[i]);
    c->used = (c->used + 1) / 2;
    c->shift++;
}

static void higher(struct vs_composition_bucket *b, int64_t at, int64_t live)
{
    if (live <= b->live) return;
    *b = (struct vs_composition_bucket){.at = at, .live = live};
}

void vs_composition_set(struct vs_composition *c, int64_t ts, int64_t live)
{
    uint64_t since = ts > c->origin_ns ? (uint64_t)(ts - c->origin_ns) : 0;
    while (since >> c->shift >= VS_COMPOSITION_BUCKETS) double_width(c);
    unsigned i = (unsigned)(since >> c->shift);
    for (unsigned j = c->used; c->used && j <= i; j++) /* what is live when a bucket begins is part of it */
        higher(&c->bucket[j], c->origin_ns + ((int64_t)j << c->shift), c->live);
    if (i >= c->used) c->used = i + 1;
    higher(&c->bucket[i], ts, live);
    c->live = live;
}

int64_t vs_composition_moment(struct vs_composition *c, int64_t ts)
{
    if (c->nmoments && c->moments[c->nmoments - 1].ts >= ts) return (int64_t)c->nmoments - 1;
    if (c->nmoments == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        struct vs_moment *moments = realloc(c->moments, room * sizeof *moments);
        if (!moments) return -ENOMEM;
        c->moments = moments;
        c->room = room;
    }
    struct vs_moment *m = &c->moments[c->nmoments++];
    *m = (struct vs_moment){.ts = ts};
    for (int i = 0; i < VS_NCATEGORIES; i++) m->change.bytes[i] = minus(c->freed.bytes[i]);
    memset(&c->freed, 0, sizeof c->freed);
    return (int64_t)c->nmoments - 1;
}

size_t vs_composition_find(const struct vs_composition *c, int64_t ts)
{
    size_t low = 0, high = c->nmoments;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c->moments[mid].ts >= ts) high = mid;
        else low = mid + 1;
    }
    return low;
}

static void add_to_moments(struct vs_composition *c, int64_t alloc_ts, int64_t free_ts, enum vs_category category,
                           int64_t bytes)
{
    size_t from = vs_composition_find(c, alloc_ts), to = free_ts ? vs_composition_find(c, free_ts) : c->nmoments;
    if (from >= to) return;
    sum(&c->moments[from].change.bytes[category], bytes);
    if (to < c->nmoments) sum(&c->moments[to].change.bytes[category], minus(bytes));
    else if (free_ts) sum(&c->freed.bytes[category], bytes);
}

void vs_composition_add(struct vs_composition *c, int64_t alloc_ts, int64_t free_ts, enum vs_category category,
                        int64_t bytes)
{
    unsigned first = bucket_of(c, alloc_ts), last = free_ts ? bucket_of(c, free_ts) : c->used;
    for (unsigned i = first; i <= last && i < c->used; i++) {
        struct vs_composition_bucket *b = &c->bucket[i];
        if (b->live >= 0 && b->at >= alloc_ts && (!free_ts || b->at < free_ts)) sum(&b->mix.bytes[category], bytes);
    }
    add_to_moments(c, alloc_ts, free_ts, category, bytes);
}

struct vs_mix *vs_composition_mixes(const struct vs_composition *c)
{
    struct vs_mix *mixes = malloc((c->nmoments + 1) * sizeof *mixes), now = {{0}};
    for (size_t i = 0; mixes && i < c->nmoments; i++) {
        for (int k = 0; k < VS_NCATEGORIES; k++) sum(&now.bytes[k], c->moments[i].change.bytes[k]);
        mixes[i] = now;
    }
    return mixes;
}

void vs_composition_free(struct vs_composition *c)
{
    if (c) free(c->moments);
    free(c);
}
