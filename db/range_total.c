/* SPDX-License-Identifier: MIT
 *
 * range_total.c: sums over ranges of one name. It must never be keyed by anything that grows with the run's length.
 */
#include <stdlib.h>

#include "process.h"

/* Open addressing by hand through the id map: the key is a hash, a clash tries the next number. */
struct vs_range_total *vs_ranges_total(struct vs_process *p, const struct vs_range *r)
{
    struct vs_ranges *a = &p->ranges;
    uint64_t key = ((uint64_t)r->name_id * 0x9e3779b97f4a7c15ull) ^ r->domain;
    uintptr_t at;
    for (;; key++) {
        at = (uintptr_t)vs_id_map_get(&a->total_index, key);
        if (!at) break;
        struct vs_range_total *t = &a->totals[at - 1];
        if (t->name_id == r->name_id && t->domain == r->domain) return t;
    }
    if (a->ntotals == a->total_room) {
        size_t room = a->total_room ? a->total_room * 2 : 64;
        struct vs_range_total *totals = realloc(a->totals, room * sizeof *totals);
        if (!totals) goto fail;
        a->totals = totals;
        a->total_room = room;
    }
    at = a->ntotals + 1;
    if (vs_id_map_put(&a->total_index, key, (void *)at)) goto fail;
    a->totals[a->ntotals] = (struct vs_range_total){.domain = r->domain, .name_id = r->name_id};
    return &a->totals[a->ntotals++];
fail:
    vs_process_check(p, -ENOMEM);
    return NULL;
}
