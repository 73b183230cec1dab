/* SPDX-License-Identifier: MIT
 *
 * liveness.h: whether a recorded process may still append to its log.
 */
#ifndef VS_DB_LIVENESS_H
#define VS_DB_LIVENESS_H

#include "process.h"

enum vs_life {
    VS_LIFE_RUNNING,
    VS_LIFE_OVER,    /* certainly: it said so, or this machine knows */
    VS_LIFE_UNKNOWN, /* it ran on another machine */
};

enum vs_life vs_liveness(const struct vs_identity *who, const struct vs_counters *counters);

#endif
