/* SPDX-License-Identifier: MIT
 *
 * iterations.h: the iterations of one process on one device: how long, how much at their peaks, what they left behind.
 *
 * Ownership: vs_iterations_free. Threading: none. Errors: stick in the sheet.
 */
#ifndef VS_CLI_ITERATIONS_H
#define VS_CLI_ITERATIONS_H

#include "../viz/category.h"
#include "growth.h"
#include "sheet.h"

struct vs_iteration {
    int64_t number, begin_ns, end_ns, peak_bytes, end_bytes;
    int64_t at_peak[VS_CATEGORY_COUNT], at_end[VS_CATEGORY_COUNT];
    char peak_phase[16], last_phase[16];
};

struct vs_iterations {
    struct vs_iteration *item;
    int64_t count, complete; /* complete: without a last one that broke off */
    int64_t highest;         /* index of the one with the highest peak */
    int64_t median_ns;
    char place[VS_CELL];     /* "rank 0 GPU 0" */
    int64_t room_bytes;      /* of the device, not used at the process's peak; -1: not known */
    int named;               /* the program named its phases */
    struct vs_growth growth;
    double growth_of[VS_CATEGORY_COUNT]; /* of sustained growth: bytes for each iteration */
};

/* Of the process and device with the highest peak of those shown; count 0: no iterations are known of it. */
void vs_iterations_load(struct vs_sheet *s, struct vs_iterations *out);
/* Growth that matters: a thousandth of the peak in a thousand iterations; kept losses of some bytes are none. */
int vs_iterations_leak(const struct vs_iterations *it);
/* The verdict on growth in one line; a leak begins with LEAK. */
void vs_iterations_verdict(const struct vs_iterations *it, char *out, size_t size);
void vs_iterations_free(struct vs_iterations *it);

#endif
