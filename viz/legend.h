/* SPDX-License-Identifier: MIT
 *
 * legend.h: what the colours of a chart stand for, in rows above it.
 *
 * Ownership: borrows the page. Errors: kept in the page.
 */
#ifndef VS_VIZ_LEGEND_H
#define VS_VIZ_LEGEND_H

#include "page.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_LEGEND_ROW = 26 };

enum vs_swatch { VS_SWATCH_LINE, VS_SWATCH_BROAD, VS_SWATCH_DASHED, VS_SWATCH_UPRIGHT };

struct vs_legend {
    struct vs_page *page;
    double left, x, y; /* left: where rows begin; x and y: of the next entry */
};

void vs_legend_entry(struct vs_legend *l, enum vs_swatch swatch, unsigned rgb, const char *text);

#ifdef __cplusplus
}
#endif

#endif
