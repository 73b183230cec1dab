/* SPDX-License-Identifier: MIT
 *
 * curve.h: writes one series of table timeline as a data file that draws as steps with a band from lowest to highest.
 *
 * Ownership: borrows everything. Errors: -EIO; those of the file stay in the page.
 */
#ifndef VS_VIZ_CURVE_H
#define VS_VIZ_CURVE_H

#include "devices.h"
#include "page.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_curve_scale {
    double ns_per_x, bytes_per_y; /* of the axes */
    double merge_ns;              /* buckets closer than this become one: the width of a pixel */
};

/* Writes two blocks: time, last value, highest value; and the closed outline of lowest to highest. */
int vs_curve_write(struct sqlite3 *db, struct vs_page *page, const char *file, const struct vs_device *device,
                   enum vs_level level, const struct vs_curve_scale *scale, struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif
