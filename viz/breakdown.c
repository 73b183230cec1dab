/* SPDX-License-Identifier: MIT
 *
 * breakdown.c: owns the layout of the chart "what the memory was at its peak". Never groups bytes: stack.c does.
 *
 * Bars on the left, on the right a table that is the legend too, in the same order from top to bottom as the bars.
 */
#include "charts.h"

#include "bar.h"
#include "category.h"
#include "stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES_MAX = 24, TOP = 120, BOTTOM = 790, ROW = 25 };

/* For names that are not categories; ordered so that neighbours differ in lightness as well as in hue. */
static const unsigned palette[VS_STACK_TOP] = {0x4477aa, 0xccbb44, 0xee6677, 0x228833, 0x66ccee, 0xaa3377,
                                               0xee8866, 0x332288, 0x44aa99, 0x882255, 0x999933, 0xffaabb};
static const unsigned held_palette[VS_STACK_TOP] = {0x8c9aa8, 0x5f6b78, 0xc3b091, 0xb7c3cf, 0x8a7656, 0x3f4954,
                                                    0xd8c9ae, 0x748a7c, 0xa5b8ab, 0x6d6a85, 0xa3a0ba, 0x4f5f55};
enum { OTHER_COLOR = 0xd8dce1, UNKNOWN_COLOR = 0xc3c9cf }; /* greys: what has no name of its own */

struct breakdown {
    struct vs_devices devices;
    struct vs_stacks stacks;
    struct vs_page page;
    unsigned color[VS_BAR_KINDS][VS_STACK_SEGMENTS];
    double unit, y_max;
    const char *unit_name;
    int right;   /* x where the plot ends */
    int largest; /* device with the largest main bar */
    int two;     /* 1: some device has a second bar */
};

/* Categories have the colours of all charts; other names take those that are left. */
static void choose_colors(struct breakdown *b)
{
    unsigned used = 0;
    for (int k = 0; k < VS_BAR_KINDS; k++)
        for (int i = 0; i < b->stacks.names[k]; i++) {
            const char *name = b->stacks.name[k][i];
            int category = k == VS_BAR_MAIN && b->stacks.cut == VS_CUT_CATEGORY ? vs_category_place(name) : -1;
            b->color[k][i] = k == VS_BAR_HELD ? held_palette[i % VS_STACK_TOP] : 0;
            if (!strncmp(name, "not ", 4)) b->color[k][i] = UNKNOWN_COLOR;
            if (category >= 0) b->color[k][i] = vs_category_looks[category].rgb;
            for (int j = 0; j < VS_STACK_TOP; j++) used |= (unsigned)(palette[j] == b->color[k][i]) << j;
        }
    for (int i = 0, next = 0; i < b->stacks.names[VS_BAR_MAIN]; i++) {
        if (b->color[VS_BAR_MAIN][i]) continue;
        while (next < VS_STACK_TOP && used >> next & 1) next++;
        b->color[VS_BAR_MAIN][i] = next < VS_STACK_TOP ? palette[next++] : OTHER_COLOR;
    }
    for (int k = 0; k < VS_BAR_KINDS; k++)
        if (b->stacks.names[k] == VS_STACK_SEGMENTS) b->color[k][VS_STACK_TOP] = OTHER_COLOR;
}

static double to_y(const struct breakdown *b, double bytes)
{
    return BOTTOM - bytes / b->unit / b->y_max * (BOTTOM - TOP);
}

static void write_bar(struct breakdown *b, FILE *f, int device, int kind, double x, double width)
{
    const struct vs_bar *bar = &b->stacks.bar[device][kind];
    char text[40];
    double low = 0;
    if (!bar->present) return;
    for (int i = b->stacks.names[kind] - 1; i >= 0; i--) { /* largest on top, as first in the table */
        double bytes = bar->segment_bytes[i];
        if (bytes <= 0) continue;
        if (f)
            fprintf(f, "%.2f\t%.8g\t%.2f\t%.2f\t%.8g\t%.8g\t%u\n", x, low / b->unit, x - width / 2, x + width / 2,
                    low / b->unit, (low + bytes) / b->unit, b->color[kind][i]);
        vs_bar_segment_text(&b->page, x, width, to_y(b, low + bytes), to_y(b, low), b->color[kind][i],
                            b->stacks.name[kind][i], bytes);
        low += bytes;
    }
    vs_label_bytes(text, sizeof text, low);
    if (vs_label_width(text, 14) < width + 16)
        vs_page_text(&b->page, VS_TEXT_CENTER, x, to_y(b, low) - 13, VS_INK, text);
    if (width > 56)
        vs_page_text(&b->page, VS_TEXT_SMALL, x, BOTTOM + 16, VS_INK_SOFT,
                     bar->level == VS_LEVEL_SUB ? "in use" : "held");
}

static void write_bars(struct breakdown *b)
{
    FILE *f = vs_page_begin(&b->page, "bars.tsv");
    double group = (double)(b->right - VS_PAGE_LEFT) / b->devices.count, pitch = group < 520 ? group : 520;
    double width = b->two ? pitch * 0.42 : pitch * 0.6;
    for (int i = 0; i < b->devices.count; i++) {
        double x = VS_PAGE_LEFT + group * (i + 0.5);
        int two = b->stacks.bar[i][VS_BAR_HELD].present;
        const char *label = b->devices.item[i].label;
        write_bar(b, f, i, VS_BAR_MAIN, two ? x - width / 2 - 1 : x, width);
        write_bar(b, f, i, VS_BAR_HELD, x + width / 2 + 1, width);
        if (vs_label_width(label, 14) < group - 8)
            vs_page_text(&b->page, VS_TEXT_CENTER, x, BOTTOM + 40, VS_INK, label);
        else vs_page_text(&b->page, VS_TEXT_DOWN, x, BOTTOM + (width > 56 ? 30 : 10), VS_INK, label);
    }
    vs_page_end(&b->page, f);
}

static double write_table(struct breakdown *b, int kind, double y, const char *heading)
{
    const struct vs_bar *bar = &b->stacks.bar[b->largest][kind];
    double x = b->right + 50, end = VS_PAGE_WIDTH - VS_PAGE_RIGHT;
    char text[VS_LABEL_SIZE + 64];
    if (!bar->present) return y;
    vs_label_bytes(text, sizeof text, bar->total_bytes);
    vs_page_text(&b->page, VS_TEXT_HEAD, x, y, VS_INK, heading);
    vs_page_text(&b->page, VS_TEXT_RIGHT, end - 70, y, VS_INK, text);
    vs_page_text(&b->page, VS_TEXT_RIGHT, end, y, VS_INK, "100 %");
    vs_page_line(&b->page, x, y + 14, end, y + 14, 0xb9bfc6);
    y += ROW + 5;
    for (int i = 0; i < b->stacks.names[kind]; i++, y += ROW) {
        double bytes = bar->segment_bytes[i];
        vs_page_box(&b->page, x, y - 8, x + 22, y + 8, b->color[kind][i]);
        vs_label_fit(text, sizeof text, b->stacks.name[kind][i], 14, end - 175 - x - 32);
        vs_page_text(&b->page, VS_TEXT_LEFT, x + 32, y, VS_INK, text);
        vs_label_bytes(text, sizeof text, bytes);
        vs_page_text(&b->page, VS_TEXT_RIGHT, end - 70, y, VS_INK, text);
        snprintf(text, sizeof text, "%.1f %%", 100 * bytes / bar->total_bytes);
        vs_page_text(&b->page, VS_TEXT_RIGHT, end, y, VS_INK_SOFT, text);
    }
    return y + ROW;
}

static void write_tables(struct breakdown *b)
{
    static const char *const by[] = {"by category", "by source", "by allocating range"};
    char text[VS_LABEL_SIZE + 160];
    double y = TOP + 8;
    int sub = b->stacks.bar[b->largest][VS_BAR_MAIN].level == VS_LEVEL_SUB;
    if (b->devices.count > 1) {
        snprintf(text, sizeof text, "Numbers of %s, the largest", b->devices.item[b->largest].label);
        vs_page_text(&b->page, VS_TEXT_LEFT, b->right + 50, y, VS_INK_SOFT, text);
        y += ROW + 5;
    }
    snprintf(text, sizeof text, "%s, %s%s", sub ? "In use at its peak" : "Held at its peak", by[b->stacks.cut],
             b->two ? " (left bar)" : "");
    y = write_table(b, VS_BAR_MAIN, y, text);
    write_table(b, VS_BAR_HELD, y, "Held at its own peak, by source (right bar)");
}

static void write_title(struct breakdown *b)
{
    const struct vs_devices *d = &b->devices;
    const struct vs_device *big = &d->item[b->largest];
    const struct vs_bar *bar = b->stacks.bar[b->largest];
    const struct vs_device_level *level = &big->level[bar[VS_BAR_MAIN].level];
    const char *what = d->gpus == d->count ? "GPU memory" : d->gpus ? "GPU and host memory" : "Host memory";
    char text[1024], one[40], two[40], when[40], many[80] = "";
    vs_label_bytes(one, sizeof one, bar[VS_BAR_MAIN].total_bytes);
    vs_label_bytes(two, sizeof two, bar[VS_BAR_HELD].total_bytes);
    if (d->total > d->count) snprintf(many, sizeof many, " (%d of %d: the largest)", d->count, d->total);
    if (d->count > 1)
        snprintf(text, sizeof text, "%s at the peak of each device%s: at most %s %s", what, many, one,
                 bar[VS_BAR_MAIN].level == VS_LEVEL_SUB ? "in use" : "held");
    else if (bar[VS_BAR_HELD].present)
        snprintf(text, sizeof text, "%s at its peak: %s in use, %s held", what, one, two);
    else
        snprintf(text, sizeof text, "%s at its peak: %s %s", what, one,
                 bar[VS_BAR_MAIN].level == VS_LEVEL_SUB ? "in use" : "held");
    vs_page_text(&b->page, VS_TEXT_TITLE, VS_PAGE_LEFT, 34, VS_INK, text);
    vs_label_time(when, sizeof when, (double)(level->peak_ts_ns + big->offset_ns));
    snprintf(text, sizeof text, "%s%s%s%speak at %s%s%s%s%s%s", d->command, *d->command ? "   ·   " : "",
             d->count > 1 ? big->label : "", d->count > 1 ? ": " : "", when, *level->range ? " in “" : "", level->range,
             *level->range ? "”" : "", *big->model && d->count == 1 ? "   ·   " : "", d->count == 1 ? big->model : "");
    vs_page_text(&b->page, VS_TEXT_LEFT, VS_PAGE_LEFT, 64, VS_INK_SOFT, text);
}

static void write_axes(struct breakdown *b)
{
    char text[64];
    FILE *f = vs_page_begin(&b->page, "axes.tsv");
    if (f) fprintf(f, "%d\t%d\t%d\t%.9g\t%.9g\n", TOP, BOTTOM, b->right, b->y_max, vs_page_step(b->y_max, 10));
    vs_page_end(&b->page, f);
    snprintf(text, sizeof text, "memory (%s)", b->unit_name);
    vs_page_text(&b->page, VS_TEXT_UP, 26, (TOP + BOTTOM) / 2.0, VS_INK_SOFT, text);
}

static void measure(struct breakdown *b)
{
    double most = 0, main_most = 0;
    for (int i = 0; i < b->devices.count; i++) {
        const struct vs_bar *bar = b->stacks.bar[i];
        b->two |= bar[VS_BAR_HELD].present;
        for (int k = 0; k < VS_BAR_KINDS; k++)
            if (bar[k].total_bytes > most) most = bar[k].total_bytes;
        if (bar[VS_BAR_MAIN].total_bytes > main_most) main_most = bar[VS_BAR_MAIN].total_bytes, b->largest = i;
    }
    most *= 1.06;
    b->unit = vs_page_unit(most, &b->unit_name);
    b->y_max = most / b->unit;
    b->right = b->devices.count <= 4 ? 880 : 980;
}

/* A device that has a peak but no inventory of it would be an empty place between bars. */
static void drop_empty(struct breakdown *b)
{
    int kept = 0;
    for (int i = 0; i < b->devices.count; i++) {
        if (!b->stacks.bar[i][VS_BAR_MAIN].present) continue;
        b->devices.item[kept] = b->devices.item[i];
        memcpy(b->stacks.bar[kept++], b->stacks.bar[i], sizeof *b->stacks.bar);
    }
    b->devices.total -= b->devices.count - kept;
    b->devices.count = kept;
    b->devices.gpus = 0;
    for (int i = 0; i < kept; i++) b->devices.gpus += b->devices.item[i].device >= 0;
}

static int write_all(struct breakdown *b, struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    int err = vs_devices_load(db, DEVICES_MAX, &b->devices, e);
    if (!err) err = vs_stacks_load(db, &b->devices, &b->stacks, e);
    if (err) return err;
    if (!b->stacks.present)
        return vs_fail(e, ENODATA, "nothing to draw: the database has no allocation that was live at a peak");
    drop_empty(b);
    measure(b);
    choose_colors(b);
    vs_page_open(&b->page, dir);
    write_title(b);
    write_axes(b);
    write_bars(b);
    write_tables(b);
    vs_page_size(&b->page, BOTTOM + (b->devices.count > 4 ? 140 : 80), 1);
    *unshown |= b->page.unshown;
    return vs_page_close(&b->page, e);
}

int vs_breakdown_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    struct breakdown *b = calloc(1, sizeof *b);
    if (!b) return vs_fail(e, ENOMEM, "out of memory");
    int err = write_all(b, db, dir, unshown, e);
    vs_devices_free(&b->devices);
    vs_stacks_free(&b->stacks);
    free(b);
    return err;
}
