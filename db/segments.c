/* SPDX-License-Identifier: MIT
 *
 * segments.c: looks through the live blocks of every segment of the framework. It must never be called per event: it walks
 * all that is live.
 */
#include "segments.h"

#include <errno.h>
#include <stdlib.h>

#include "process.h"

static int push(struct vs_segments *s, uint64_t address, uint64_t bytes)
{
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        struct vs_segment *list = realloc(s->list, room * sizeof *list);
        if (!list) return -ENOMEM;
        s->list = list;
        s->room = room;
    }
    s->list[s->count++] = (struct vs_segment){.address = address, .bytes = bytes};
    return 0;
}

static bool is_segment(const struct vs_piece *x, int device)
{
    return x && x->sum == VS_SUM_SEGMENTS && x->device == device;
}

/* Expandable segments are many pieces of physical memory, mapped one after the other: a run of them is one segment. */
static int collect(const struct vs_process *p, int device, struct vs_segments *s)
{
    uint64_t at = 0;
    const struct vs_piece *x;
    const struct vs_mapping *m;
    int err = 0;
    while (!err && (x = vs_address_map_ceiling(&p->live.driver, at, &at))) {
        if (is_segment(x, device)) err = push(s, at, x->bytes);
        if (++at == 0) break;
    }
    size_t runs = s->count;
    for (at = 0; !err && (m = vs_address_map_ceiling(&p->live.mappings, at, &at));) {
        struct vs_segment *last = s->count > runs ? &s->list[s->count - 1] : NULL;
        if (is_segment(m->physical->piece, device)) {
            if (last && last->address + last->bytes == at) last->bytes += m->bytes;
            else err = push(s, at, m->bytes);
        }
        if (++at == 0) break;
    }
    return err;
}

static void look(const struct vs_address_map *blocks, struct vs_segment *s)
{
    uint64_t at = s->address, full = s->address, end = s->address + s->bytes, gap;
    const struct vs_piece *b;
    while ((b = vs_address_map_ceiling(blocks, at, &at)) && at < end) {
        uint64_t stop = b->bytes < end - at ? at + b->bytes : end;
        if (at > full && (gap = at - full) > s->largest_free) s->largest_free = gap;
        if (stop > full) {
            s->live += stop - (at > full ? at : full);
            full = stop;
        }
        s->blocks++;
        if (++at == 0) break;
    }
    if (end > full && (gap = end - full) > s->largest_free) s->largest_free = gap;
}

int vs_segments_take(const struct vs_process *p, int device, int64_t ts_ns, struct vs_segments *out)
{
    int err;
    out->count = 0;
    out->ts_ns = ts_ns;
    if ((err = collect(p, device, out))) return err;
    for (size_t i = 0; i < out->count; i++) look(&p->live.torch[device + 1], &out->list[i]);
    return 0;
}

void vs_segments_free(struct vs_segments *s)
{
    free(s->list);
    *s = (struct vs_segments){0};
}
