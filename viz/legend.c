/* SPDX-License-Identifier: MIT
 *
 * legend.c: owns what an entry looks like. Never lets one run over the page's edge.
 */
#include "legend.h"

#include "label.h"

static void write_swatch(struct vs_page *page, enum vs_swatch swatch, double x, double y, unsigned rgb)
{
    switch (swatch) {
    case VS_SWATCH_LINE: vs_page_box(page, x, y - 1.5, x + 34, y + 1.5, rgb); break;
    case VS_SWATCH_BROAD: vs_page_box(page, x, y - 4, x + 34, y + 4, rgb); break;
    case VS_SWATCH_DASHED:
        for (int i = 0; i < 3; i++) vs_page_box(page, x + 13 * i, y - 1, x + 13 * i + 8, y + 1, rgb);
        break;
    case VS_SWATCH_UPRIGHT: vs_page_box(page, x + 15.5, y - 9, x + 18.5, y + 9, rgb); break;
    }
}

void vs_legend_entry(struct vs_legend *l, enum vs_swatch swatch, unsigned rgb, const char *text)
{
    double width = 42 + vs_label_width(text, 14) + 26;
    if (l->x > l->left && l->x + width > VS_PAGE_WIDTH - VS_PAGE_RIGHT) l->x = l->left, l->y += VS_LEGEND_ROW;
    write_swatch(l->page, swatch, l->x, l->y, rgb);
    vs_page_text(l->page, VS_TEXT_LEFT, l->x + 42, l->y, VS_INK, text);
    l->x += width;
}
