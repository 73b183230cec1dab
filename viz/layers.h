/* SPDX-License-Identifier: MIT
 *
 * layers.h: what the live memory of a device was for, over time, as layers stacked on each other.
 *
 * Cost: one pass over the rows of table timeline_category that belong to the device.
 * Ownership: borrows everything. Errors: -EIO, -ENOMEM; those of files stay in the page.
 */
#ifndef VS_VIZ_LAYERS_H
#define VS_VIZ_LAYERS_H

#include "category.h"
#include "curve.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_layers {
    int known;                            /* 1: some of it is more than unknown: worth layers */
    int gaps;                             /* 1: not at all times */
    int present[VS_CATEGORY_COUNT];       /* at any time; what is not in the list of categories counts as unknown */
    double peak_bytes[VS_CATEGORY_COUNT]; /* when the live bytes were highest */
};

int vs_layers_load(struct sqlite3 *db, const struct vs_device *device, struct vs_layers *out, struct vs_error *e);

/* Writes one block for each present category, the topmost first: time, and the height up to which it and what is below it
 * reach. Where a category has nothing its line is interrupted. Also the colours, in the same order. */
int vs_layers_write(struct sqlite3 *db, struct vs_page *page, const char *file, const char *color_file,
                    const struct vs_layers *layers, const struct vs_device *device, const struct vs_curve_scale *scale,
                    struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif
