/* SPDX-License-Identifier: MIT
 *
 * bar.c: owns the choice between name, size and nothing. Never writes beyond the segment.
 */
#include "bar.h"

#include "label.h"

unsigned vs_bar_ink(unsigned rgb)
{
    double light = 0.299 * (rgb >> 16 & 255) + 0.587 * (rgb >> 8 & 255) + 0.114 * (rgb & 255);
    return light > 140 ? VS_INK : 0xffffff;
}

void vs_bar_segment_text(struct vs_page *page, double x, double width, double top, double bottom, unsigned rgb,
                         const char *name, double bytes)
{
    char size[40], text[2 * VS_LABEL_SIZE];
    vs_label_bytes(size, sizeof size, bytes);
    snprintf(text, sizeof text, "%s  %s", name, size);
    if (vs_label_width(text, 14) > width - 12) snprintf(text, sizeof text, "%s", size);
    if (bottom - top < 18 || vs_label_width(text, 14) > width - 8) return;
    vs_page_text(page, VS_TEXT_CENTER, x, (top + bottom) / 2, vs_bar_ink(rgb), text);
}
