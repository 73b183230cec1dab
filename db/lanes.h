/* SPDX-License-Identifier: MIT
 *
 * lanes.h: from work of two kinds that overlaps in any way to stretches of time in which one kind, the other, both or none ran.
 * Work comes by its begin; each nanosecond is in one stretch.
 *
 * Ownership: the caller's struct. Threading: none. Errors: none.
 */
#ifndef VS_DB_LANES_H
#define VS_DB_LANES_H

#include <stdint.h>

enum vs_lane_state { VS_LANE_IDLE, VS_LANE_COMPUTE, VS_LANE_COMMUNICATION, VS_LANE_BOTH, VS_LANE_STATES };

struct vs_lanes {
    int64_t now, end[2]; /* until when compute, communication runs, of what has come */
};

typedef void vs_lanes_stretch(void *arg, enum vs_lane_state state, int64_t from, int64_t to);

static inline void vs_lanes_begin(struct vs_lanes *l, int64_t now)
{
    l->now = l->end[0] = l->end[1] = now;
}

/* Nothing that comes later begins before `to`. */
void vs_lanes_advance(struct vs_lanes *l, int64_t to, vs_lanes_stretch *tell, void *arg);

/* Work that begins now. */
static inline void vs_lanes_add(struct vs_lanes *l, int communication, int64_t end)
{
    if (end > l->end[communication]) l->end[communication] = end;
}

/* To the end of all that came. */
static inline void vs_lanes_finish(struct vs_lanes *l, vs_lanes_stretch *tell, void *arg)
{
    vs_lanes_advance(l, l->end[0] > l->end[1] ? l->end[0] : l->end[1], tell, arg);
}

#endif
