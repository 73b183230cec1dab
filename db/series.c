/* SPDX-License-Identifier: MIT
 *
 * series.c: keeps the running totals. It must stay O(1) per event (amortised): it runs twice per allocation record.
 */
#include "series.h"

#include <errno.h>
#include <stdlib.h>

#include "timeline.h"

const char *const vs_series_names[VS_NSERIES] = {
#define X(id, name) [VS_SE_##id] = name,
    VS_SERIES(X)
#undef X
};

struct vs_device_series *vs_series_device(struct vs_series *s, int device)
{
    struct vs_device_series **d = &s->of[device + 1];
    if (!*d && (*d = calloc(1, sizeof **d))) {
        (*d)->device = device;
        (*d)->level[0].groups.generation = (*d)->level[1].groups.generation = 1;
        s->list[s->count++] = *d;
    }
    return *d;
}

int vs_level_note(struct vs_level *l, int64_t live)
{
    while (l->nhighs && l->highs[l->nhighs - 1].live <= live) l->nhighs--;
    if (l->nhighs == l->room) {
        size_t room = l->room ? l->room * 2 : 256;
        struct vs_high *highs = realloc(l->highs, room * sizeof *highs);
        if (!highs) return -ENOMEM;
        l->highs = highs;
        l->room = room;
    }
    l->highs[l->nhighs++] = (struct vs_high){l->events, live};
    return 0;
}

static int update(struct vs_series *s, struct vs_meter *m, int64_t live, int64_t ts, uint64_t range)
{
    if (!m->timeline && !(m->timeline = vs_timeline_new(s->origin_ns))) return -ENOMEM;
    m->used = true;
    m->live = live;
    vs_timeline_set(m->timeline, ts, live);
    if (live <= m->peak) return 0;
    m->peak = live;
    m->peak_ts = ts;
    m->peak_range = range;
    return 1;
}

int vs_series_change(struct vs_series *s, int device, enum vs_series_id id, int64_t delta, bool frees, int64_t ts,
                     uint64_t range)
{
    struct vs_device_series *d = vs_series_device(s, device);
    if (!d) return -ENOMEM;
    struct vs_meter *m = &d->meter[id];
    if (frees) m->frees++;
    else m->allocations++;
    int higher = update(s, m, (int64_t)((uint64_t)m->live + (uint64_t)delta), ts, range);
    if (higher < 0 || id >= VS_NLEVELS) return higher < 0 ? higher : 0;
    struct vs_level *l = &d->level[id];
    l->events++;
    if (higher && l->groups.count) {
        l->groups.generation++;
        l->groups.count = 0;
    }
    return s->watch_highs ? vs_level_note(l, m->live) : 0;
}

int vs_series_set(struct vs_series *s, int device, enum vs_series_id id, int64_t value, int64_t ts)
{
    struct vs_device_series *d = vs_series_device(s, device);
    int higher = d ? update(s, &d->meter[id], value, ts, 0) : -ENOMEM;
    return higher < 0 ? higher : 0;
}

void vs_series_watch(struct vs_series *s, bool watch)
{
    s->watch_highs = watch;
    for (unsigned i = 0; i < s->count; i++)
        for (int level = 0; level < VS_NLEVELS; level++) s->list[i]->level[level].nhighs = 0;
}

/* Highest live bytes after `event` or a later one; the value right after `event` must have been noted. */
int64_t vs_level_high_since(const struct vs_level *l, uint64_t event)
{
    size_t low = 0, high = l->nhighs;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (l->highs[mid].event >= event) high = mid;
        else low = mid + 1;
    }
    return low < l->nhighs ? l->highs[low].live : 0;
}

static struct vs_group *group_slot(const struct vs_groups *g, const struct vs_group *what)
{
    uint64_t h = ((uint64_t)what->range_name * 0x9e3779b97f4a7c15ull) ^
                 ((uint64_t)what->source << 8 | what->category) * 0xd6e8feb86659fd93ull;
    size_t i = (size_t)(h ^ h >> 31) & (g->size - 1);
    while (g->slots[i].generation == g->generation &&
           (g->slots[i].range_name != what->range_name || g->slots[i].source != what->source ||
            g->slots[i].category != what->category || g->slots[i].level != what->level))
        i = (i + 1) & (g->size - 1);
    return &g->slots[i];
}

static int grow_groups(struct vs_groups *g)
{
    struct vs_groups next = {.size = g->size ? g->size * 2 : 64, .count = g->count, .generation = g->generation};
    next.slots = calloc(next.size, sizeof *next.slots);
    if (!next.slots) return -ENOMEM;
    for (size_t i = 0; i < g->size; i++)
        if (g->slots[i].generation == g->generation) *group_slot(&next, &g->slots[i]) = g->slots[i];
    free(g->slots);
    *g = next;
    return 0;
}

int vs_groups_add(struct vs_groups *g, const struct vs_group *what)
{
    if (g->count * 2 >= g->size && grow_groups(g)) return -ENOMEM;
    struct vs_group *slot = group_slot(g, what);
    if (slot->generation != g->generation) {
        *slot = *what;
        slot->generation = g->generation;
        g->count++;
        return 0;
    }
    slot->bytes = (int64_t)((uint64_t)slot->bytes + (uint64_t)what->bytes);
    slot->count += what->count;
    if (what->range && (!slot->range || what->range < slot->range)) slot->range = what->range;
    return 0;
}

void vs_series_free(struct vs_series *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct vs_device_series *d = s->list[i];
        for (int id = 0; id < VS_NSERIES; id++) vs_timeline_free(d->meter[id].timeline);
        for (int level = 0; level < VS_NLEVELS; level++) {
            free(d->level[level].highs);
            free(d->level[level].groups.slots);
        }
        free(d);
    }
    *s = (struct vs_series){0};
}
