/* SPDX-License-Identifier: MIT
 *
 * experiments_breakdown.c: owns the layout of the figure "memory at the peak by part": one row per method; on the left all
 * of it, on the right what each part has more or less than without DP. Never adds up parts into anything but their sum.
 */
#include "experiments_figure.h"

#include "bar.h"

#include <math.h>
#include <string.h>

enum { GAP = 70, TOTAL_ROOM = 110, ADDED_ROOM = 190, NOT_ITEMISED = 0xd8dce1 };

struct chart {
    struct vs_figure figure;
    const struct vs_experiment *row[VS_EXPERIMENTS_SHOWN], *baseline[VS_EXPERIMENTS_SHOWN];
    int rows, compared;
    double pitch, thick;
    struct vs_area all, added;
    struct vs_axis x_all, x_added;
    char baseline_name[2 * VS_LABEL_SIZE];
};

static double part(const struct vs_experiment *x, int i)
{
    return isnan(x->part_mb[i]) ? 0 : x->part_mb[i];
}

static void collect(struct chart *c)
{
    const struct vs_experiments *s = c->figure.set;
    for (int i = 0; i < s->count && c->rows < VS_EXPERIMENTS_SHOWN; i++) {
        const struct vs_experiment *x = &s->item[i], *base = vs_experiment_baseline(s, x);
        if (!vs_experiment_is_shown(s, x)) continue;
        c->row[c->rows] = x;
        c->baseline[c->rows++] = base;
        if (!base || base == x) continue;
        c->compared++;
        if (!*c->baseline_name) strcpy(c->baseline_name, base->name);
        else if (strcmp(c->baseline_name, base->name) != 0) strcpy(c->baseline_name, "the same without DP");
    }
}

/* Both axes: the longest bars, the total marks among them. */
static void measure(struct chart *c)
{
    double most = 0, low = 0, high = 0;
    for (int r = 0; r < c->rows; r++) {
        const struct vs_experiment *x = c->row[r], *base = c->baseline[r];
        double sum = 0, up = 0, down = 0;
        for (int i = 0; i < VS_PARTS; i++) {
            double more = base ? part(x, i) - part(base, i) : 0;
            sum += part(x, i);
            if (more > 0) up += more;
            else down += more;
        }
        most = fmax(most, fmax(sum, x->peak_mb));
        if (!base) continue;
        low = fmin(low, fmin(down, x->peak_mb - base->peak_mb));
        high = fmax(high, fmax(up, x->peak_mb - base->peak_mb));
    }
    vs_axis_linear(&c->x_all, 0, most);
    vs_axis_linear(&c->x_added, low, high);
}

static void place(struct chart *c, double top)
{
    double names = 60, right = VS_PAGE_WIDTH - VS_PAGE_RIGHT;
    for (int r = 0; r < c->rows; r++) names = fmax(names, vs_label_width(c->row[r]->name, 14));
    c->pitch = c->rows <= 4 ? 96 : c->rows <= 8 ? 66 : 46;
    c->thick = c->pitch * 0.62;
    c->all.left = VS_PAGE_RIGHT + fmin(names, 330) + 14;
    c->all.top = c->added.top = top;
    c->all.bottom = c->added.bottom = top + c->pitch * c->rows + 8;
    c->all.right = right - TOTAL_ROOM;
    if (!c->compared) return;
    double width = (right - c->all.left - TOTAL_ROOM - GAP - ADDED_ROOM) / 2;
    c->all.right = c->all.left + width;
    c->added.left = c->all.right + TOTAL_ROOM + GAP;
    c->added.right = c->added.left + width;
}

/* One part of a bar, with its size where that can be read. */
static void write_part(struct chart *c, double x0, double x1, double y, unsigned rgb, double mb)
{
    char text[40];
    vs_page_box(&c->figure.page, x0, y - c->thick / 2, x1, y + c->thick / 2, rgb);
    snprintf(text, sizeof text, "%.*f", fabs(mb) < 10 ? 2 : 0, mb);
    if (vs_label_width(text, 14) < fabs(x1 - x0) - 6)
        vs_page_text(&c->figure.page, VS_TEXT_CENTER, (x0 + x1) / 2, y, vs_bar_ink(rgb), text);
}

static void write_mark(struct chart *c, double x, double y)
{
    vs_page_box(&c->figure.page, x - 1.5, y - c->thick / 2 - 5, x + 1.5, y + c->thick / 2 + 5, VS_INK_ALARM);
}

static void write_all(struct chart *c, int r, double y)
{
    const struct vs_experiment *x = c->row[r];
    char text[VS_LABEL_SIZE];
    double sum = 0;
    vs_label_fit(text, sizeof text, x->name, 14, c->all.left - VS_PAGE_RIGHT - 12);
    vs_page_text(&c->figure.page, VS_TEXT_RIGHT, c->all.left - 12, y, VS_INK, text);
    for (int i = 0; i < VS_PARTS; i++) {
        double mb = part(x, i);
        if (mb > 0)
            write_part(c, vs_area_x(&c->all, &c->x_all, sum), vs_area_x(&c->all, &c->x_all, sum + mb), y,
                       vs_experiment_parts[i].rgb, mb);
        sum += mb;
    }
    if (!x->has_parts)
        write_part(c, c->all.left, vs_area_x(&c->all, &c->x_all, x->peak_mb), y, NOT_ITEMISED, x->peak_mb);
    write_mark(c, vs_area_x(&c->all, &c->x_all, x->peak_mb), y);
    vs_experiment_mb(text, sizeof text, x->peak_mb);
    vs_page_text(&c->figure.page, VS_TEXT_LEFT, vs_area_x(&c->all, &c->x_all, fmax(sum, x->peak_mb)) + 10, y,
                 VS_INK_ALARM, text);
}

static void write_added(struct chart *c, int r, double y)
{
    const struct vs_experiment *x = c->row[r], *base = c->baseline[r];
    double up = 0, down = 0, zero = vs_area_x(&c->added, &c->x_added, 0);
    char text[128], mb[48], percent[48];
    if (!base || base == x) {
        vs_page_text(&c->figure.page, VS_TEXT_LEFT, zero + 10, y, VS_INK_SOFT,
                     base ? "compared with this" : "no result without DP to compare with");
        return;
    }
    for (int i = 0; i < VS_PARTS; i++) {
        double more = part(x, i) - part(base, i), *end = more > 0 ? &up : &down;
        if (more != 0)
            write_part(c, vs_area_x(&c->added, &c->x_added, *end), vs_area_x(&c->added, &c->x_added, *end + more), y,
                       vs_experiment_parts[i].rgb, more);
        *end += more;
    }
    double total = x->peak_mb - base->peak_mb;
    write_mark(c, vs_area_x(&c->added, &c->x_added, total), y);
    vs_experiment_mb(mb, sizeof mb, total);
    vs_label_change(percent, sizeof percent, base->peak_mb, x->peak_mb);
    snprintf(text, sizeof text, "%s%s (%s)", total >= 0 ? "+" : "", mb, percent);
    vs_page_text(&c->figure.page, VS_TEXT_LEFT, vs_area_x(&c->added, &c->x_added, fmax(up, fmax(total, 0))) + 10, y,
                 VS_INK_ALARM, text);
}

static double write_legend(struct chart *c, double y)
{
    struct vs_legend legend = {&c->figure.page, VS_PAGE_RIGHT, VS_PAGE_RIGHT, y};
    int unknown = 0;
    for (int i = 0; i < VS_PARTS; i++) {
        double all = 0;
        for (int r = 0; r < c->rows; r++) all += part(c->row[r], i);
        if (all > 0) vs_legend_entry(&legend, VS_SWATCH_BROAD, vs_experiment_parts[i].rgb, vs_experiment_parts[i].name);
    }
    for (int r = 0; r < c->rows; r++) unknown |= !c->row[r]->has_parts;
    if (unknown) vs_legend_entry(&legend, VS_SWATCH_BROAD, NOT_ITEMISED, "not itemised");
    vs_legend_entry(&legend, VS_SWATCH_UPRIGHT, VS_INK_ALARM, c->compared ? "peak; on the right its change" : "peak");
    return legend.y;
}

static void write_headings(struct chart *c, double y)
{
    char text[3 * VS_LABEL_SIZE], shown[3 * VS_LABEL_SIZE];
    vs_page_text(&c->figure.page, VS_TEXT_HEAD, c->all.left, y, VS_INK, "at the peak");
    vs_page_text(&c->figure.page, VS_TEXT_CENTER, (c->all.left + c->all.right) / 2, c->all.bottom + 40, VS_INK_SOFT,
                 "memory (MB)");
    vs_figure_across(&c->figure, &c->all, &c->x_all);
    if (!c->compared) return;
    snprintf(text, sizeof text, "added against %s", c->baseline_name);
    vs_label_fit(shown, sizeof shown, text, 15, VS_PAGE_WIDTH - VS_PAGE_RIGHT - c->added.left);
    vs_page_text(&c->figure.page, VS_TEXT_HEAD, c->added.left, y, VS_INK, shown);
    vs_page_text(&c->figure.page, VS_TEXT_CENTER, (c->added.left + c->added.right) / 2, c->added.bottom + 40,
                 VS_INK_SOFT, "more, or less below 0 (MB)");
    vs_figure_across(&c->figure, &c->added, &c->x_added);
    double zero = vs_area_x(&c->added, &c->x_added, 0);
    vs_page_line(&c->figure.page, zero, c->added.top, zero, c->added.bottom, VS_INK);
}

int vs_experiments_breakdown_write(const struct vs_experiments *s, const char *dir, int *unshown, struct vs_error *e)
{
    struct chart c = {.rows = 0};
    vs_figure_open(&c.figure, dir, s);
    collect(&c);
    measure(&c);
    double y = vs_figure_head(&c.figure, "Memory at the peak of a training step", "MB: 2^20 bytes", 1);
    y = write_legend(&c, y) + 36;
    place(&c, y + 20);
    write_headings(&c, y);
    for (int r = 0; r < c.rows; r++) {
        double middle = c.all.top + c.pitch * (r + 0.5) + 4;
        write_all(&c, r, middle);
        if (c.compared) write_added(&c, r, middle);
    }
    return vs_figure_close(&c.figure, c.all.bottom + 62, unshown, e);
}
