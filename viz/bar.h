/* SPDX-License-Identifier: MIT
 *
 * bar.h: the words inside a segment of a stacked bar.
 *
 * Ownership: borrows everything. Errors: kept in the page.
 */
#ifndef VS_VIZ_BAR_H
#define VS_VIZ_BAR_H

#include "page.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Black or white: what can be read on a colour. */
unsigned vs_bar_ink(unsigned rgb);
/* Name and size when there is room, else the size, else nothing. top and bottom: pixels; x: its middle. */
void vs_bar_segment_text(struct vs_page *page, double x, double width, double top, double bottom, unsigned rgb,
                         const char *name, double bytes);

#ifdef __cplusplus
}
#endif

#endif
