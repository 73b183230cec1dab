/* SPDX-License-Identifier: MIT
 *
 * panel.h: one panel of the timeline: a device's curves, peaks, limits, and the ranges behind them.
 *
 * Ownership: borrows everything. Errors: -EIO; those of files stay in the page.
 */
#ifndef VS_VIZ_PANEL_H
#define VS_VIZ_PANEL_H

#include "curve.h"
#include "layers.h"
#include "spans.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_KINDS_MAX = 8, VS_PANEL_HEADING = 30, VS_PANEL_STRIP = 22, VS_PANEL_GAP = 20 };
enum { VS_PANEL_X0 = VS_PAGE_LEFT, VS_PANEL_X1 = VS_PAGE_WIDTH - VS_PAGE_RIGHT };
enum { VS_NO_KIND_COLOR = 0xcfd4da, VS_UNTOLD_COLOR = 0xc3c9cf }; /* untold: as in timeline.gp */

struct vs_axes {
    double ns_per_x, x_max, bytes_per_y, y_max;
    const char *x_unit, *y_unit;
};

/* What the colours of ranges stand for, over all panels, those that cover the most time. */
struct vs_kinds {
    struct vs_kind {
        char kind[2 * VS_LABEL_SIZE];
        char name[2 * VS_LABEL_SIZE]; /* to be shown: the kind, or when all of it have one name, that */
        double covered;
        int written; /* 1: its name can be read on a strip */
    } item[VS_KINDS_MAX];
    int count, others; /* others: further kinds, all in one colour */
};

struct vs_panel {
    int index, last;    /* from 1; 1: the lowest one, with the time axis */
    double top, height; /* of the plot area, pixels */
    int strip;          /* 1: the page has range strips */
    int colored;        /* 1: the colours of ranges go on behind the curves */
    struct vs_axes axes;
};

extern const unsigned vs_level_colors[VS_LEVEL_COUNT];

void vs_kinds_collect(struct vs_kinds *k, const struct vs_spans *spans, int count, double span_ns);
unsigned vs_kinds_color(const struct vs_kinds *k, const char *kind);
int vs_panel_write(struct sqlite3 *db, struct vs_page *page, const struct vs_panel *panel,
                   const struct vs_device *device, const struct vs_spans *spans, const struct vs_kinds *kinds,
                   const struct vs_layers *layers, struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif
