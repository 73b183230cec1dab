/* SPDX-License-Identifier: MIT
 *
 * growth.h: whether a series of sizes, one for each iteration, grows and does not stop.
 *
 * Must never call growth what is noise, a first touch, or a single step: it is sustained when a quarter of the way
 * further on it is nearly always more, and the rise is more than the series' own unrest.
 *
 * Ownership: borrows the series. Threading: none. Errors: -ENOMEM.
 */
#ifndef VS_CLI_GROWTH_H
#define VS_CLI_GROWTH_H

#include <stdint.h>

enum {
    VS_GROWTH_SKIPPED = 2, /* first iterations: optimizer state and caches are made in them */
    VS_GROWTH_LEAST = 8    /* iterations after those that a verdict needs */
};

enum vs_growth_verdict { VS_GROWTH_TOO_FEW, VS_GROWTH_NONE, VS_GROWTH_STEPS, VS_GROWTH_SUSTAINED };

struct vs_growth {
    enum vs_growth_verdict verdict;
    int64_t from;    /* index where the growth begins (sustained), or after which there was none (none) */
    int64_t last;    /* steps: index of the last one */
    double slope;    /* sustained: bytes for each iteration */
    double rise;     /* none, steps: from the end of the skipped ones to the highest */
};

/* `count` values in order, the first at index 0. */
int vs_growth_find(const int64_t *bytes, int64_t count, struct vs_growth *out);

#endif
