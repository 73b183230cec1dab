/* SPDX-License-Identifier: MIT
 *
 * lanes.c: the one sweep. It must never look back: what it told is told.
 */
#include "lanes.h"

void vs_lanes_advance(struct vs_lanes *l, int64_t to, vs_lanes_stretch *tell, void *arg)
{
    while (l->now < to) {
        int64_t next = to;
        unsigned state = VS_LANE_IDLE;
        for (int c = 0; c < 2; c++) {
            if (l->end[c] <= l->now) continue;
            state |= 1u << c;
            if (l->end[c] < next) next = l->end[c];
        }
        tell(arg, (enum vs_lane_state)state, l->now, next);
        l->now = next;
    }
}
