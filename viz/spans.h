/* SPDX-License-Identifier: MIT
 *
 * spans.h: the outermost ranges of a process as at most VS_SPANS_MAX stretches of time to shade in a chart.
 *
 * Taken from the thread whose outermost push ranges cover the most time: depth 0, or depth 1 when depth 0 is a single
 * range around everything; the program's own ranges before those of a library's domain; phases when there are none, or whole
 * iterations when there are many phases.
 * Ranges too thin to see, and neighbours when there are too many, are merged and say so.
 * Cost: one pass over table range, memory independent of its length.
 * Ownership: the caller owns the arrays. Errors: -EIO, -ENOMEM.
 */
#ifndef VS_VIZ_SPANS_H
#define VS_VIZ_SPANS_H

#include "devices.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_SPANS_MAX = 60 };

struct vs_span {
    double begin_ns, end_ns;      /* on the chart's axis */
    char label[VS_LABEL_SIZE];    /* what to write on it: "forward", "step 1 … step 8", "forward ×12" */
    char kind[2 * VS_LABEL_SIZE]; /* what its colour stands for: as name, numbers taken out */
    char name[2 * VS_LABEL_SIZE]; /* of its first range, "forward … optimizer" for a mixture */
};

struct vs_spans {
    struct vs_span item[VS_SPANS_MAX];
    int count;
    int merged; /* 1: some stand for several ranges */
    int phases; /* 1: these are phases, not NVTX ranges */
    int iterations; /* 1: too many phases to see: these are whole iterations, named by their number */
};

/* out has one element for each of the devices. */
int vs_spans_load(struct sqlite3 *db, const struct vs_devices *devices, struct vs_spans *out, struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif
