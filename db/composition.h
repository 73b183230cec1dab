/* SPDX-License-Identifier: MIT
 *
 * composition.h: what the live bytes of one device were made of: at the highest moment of each bucket of time, and at
 * moments asked for (the peak and the end of a phase). A piece is added when its category is known, which is after it
 * was freed, or never was; it counts at every moment it was live at. So the categories of a moment add up to its live
 * bytes when every piece has been added.
 *
 * Ownership: vs_composition_free. Threading: none. Errors: new returns NULL, others -ENOMEM.
 */
#ifndef VS_DB_COMPOSITION_H
#define VS_DB_COMPOSITION_H

#include <stddef.h>
#include <stdint.h>

#include "category.h"

#define VS_COMPOSITION_BUCKETS     1024u
#define VS_COMPOSITION_FIRST_SHIFT 19u /* 0.5 ms: half a second until the width doubles for the first time */

struct vs_mix {
    int64_t bytes[VS_NCATEGORIES];
};
struct vs_composition_bucket {
    int64_t at, live; /* its highest moment; live < 0: nothing happened in it */
    struct vs_mix mix;
};
struct vs_moment {
    int64_t ts;
    struct vs_mix change; /* since the moment before */
};
struct vs_composition {
    int64_t origin_ns;
    int64_t live; /* now */
    unsigned shift, used;
    struct vs_moment *moments; /* in order of time */
    size_t nmoments, room;
    struct vs_mix freed; /* counted up to the last moment, and gone at the next */
    struct vs_composition_bucket bucket[VS_COMPOSITION_BUCKETS];
};

struct vs_composition *vs_composition_new(int64_t origin_ns);
struct vs_composition *vs_composition_copy(const struct vs_composition *c);
void vs_composition_set(struct vs_composition *c, int64_t ts, int64_t live); /* after each event; ts rises */
/* Index of a moment, not before the last one; nothing freed after it may have been added. < 0: error. */
int64_t vs_composition_moment(struct vs_composition *c, int64_t ts);
size_t vs_composition_find(const struct vs_composition *c, int64_t ts); /* the first moment at or after ts */
/* Live from alloc_ts on, and before free_ts; 0: still. */
void vs_composition_add(struct vs_composition *c, int64_t alloc_ts, int64_t free_ts, enum vs_category category,
                        int64_t bytes);
struct vs_mix *vs_composition_mixes(const struct vs_composition *c); /* one per moment; NULL: out of memory. Free it */
void vs_composition_free(struct vs_composition *c);

#endif
