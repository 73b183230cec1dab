/* SPDX-License-Identifier: MIT
 *
 * comparison.c: owns the layout of the chart "runs or ranks side by side". Never groups bytes: comparison_load.c does.
 *
 * Bars on the left in the order of the runs or ranks; on the right a table that is the legend too, in the same order from
 * top to bottom as the bars, with the numbers of two bars, or the lowest and the highest of many.
 */
#include "comparison.h"

#include "bar.h"
#include "category.h"
#include "charts.h"

#include <errno.h>
#include <string.h>

enum { TOP = 130, BOTTOM = 780, ROW = 25, OTHER = 0xd8dce1 };

/* For sources; the first ones differ most. */
static const unsigned palette[] = {0x4477aa, 0xccbb44, 0xee6677, 0x228833, 0x66ccee, 0xaa3377,
                                   0xee8866, 0x332288, 0x44aa99, 0x882255, 0x999933, 0xffaabb};

struct chart {
    struct vs_comparison *data;
    struct vs_page page;
    unsigned color[VS_COMPARED_SEGMENTS];
    double unit, y_max;
    const char *unit_name;
    int runs; /* 1: runs, 0: ranks */
    int right, lowest, highest; /* x where the plot ends; bars */
    int upright;                /* 1: some name reads upwards */
};

static void choose_colors(struct chart *c)
{
    size_t next = 0;
    for (int i = 0; i < c->data->segments; i++) {
        int category = c->data->category[i], grey = !strncmp(c->data->name[i], "not ", 4) || i == VS_COMPARED_SEGMENTS - 1;
        if (category >= 0) c->color[i] = vs_category_looks[category].rgb;
        else if (grey || !c->data->by_source || next == sizeof palette / sizeof *palette) c->color[i] = OTHER;
        else c->color[i] = palette[next++];
    }
}

static double to_y(const struct chart *c, double bytes)
{
    return BOTTOM - bytes / c->unit / c->y_max * (BOTTOM - TOP);
}

static void write_bar(struct chart *c, FILE *f, int index, double x, double width, double pitch)
{
    const struct vs_compared *bar = &c->data->bar[index];
    char text[64];
    double low = 0;
    for (int i = 0; i < c->data->segments; i++) {
        double bytes = bar->segment_bytes[i];
        if (bytes <= 0) continue;
        if (f)
            fprintf(f, "%.2f\t%.8g\t%.2f\t%.2f\t%.8g\t%.8g\t%u\n", x, low / c->unit, x - width / 2, x + width / 2,
                    low / c->unit, (low + bytes) / c->unit, c->color[i]);
        vs_bar_segment_text(&c->page, x, width, to_y(c, low + bytes), to_y(c, low), c->color[i], c->data->name[i], bytes);
        low += bytes;
    }
    vs_label_bytes(text, sizeof text, low);
    if (vs_label_width(text, 14) > pitch - 4) snprintf(text, sizeof text, "%.*f", low < 100 * c->unit ? 2 : 0, low / c->unit); /* in the axis' unit */
    if (vs_label_width(text, 14) < pitch)
        vs_page_text(&c->page, VS_TEXT_CENTER, x, to_y(c, low) - (c->runs && index ? 30 : 13), VS_INK, text);
    vs_label_change(text, sizeof text, c->data->bar[0].total_bytes, low);
    if (c->runs && index && vs_label_width(text, 12) < pitch)
        vs_page_text(&c->page, VS_TEXT_SMALL, x, to_y(c, low) - 12, VS_INK_SOFT, text);
}

static void write_bars(struct chart *c)
{
    FILE *f = vs_page_begin(&c->page, "bars.tsv");
    int n = c->data->bars;
    double group = (double)(c->right - VS_PAGE_LEFT) / n, width = group * 0.72 < 220 ? group * 0.72 : 220;
    for (int i = 0; i < n; i++) {
        const struct vs_compared *bar = &c->data->bar[i];
        double x = VS_PAGE_LEFT + group * (i + 0.5);
        char text[VS_LABEL_SIZE];
        write_bar(c, f, i, x, width, group);
        if (vs_label_width(bar->label, 14) < group - 8) {
            vs_page_text(&c->page, VS_TEXT_CENTER, x, BOTTOM + 20, VS_INK, bar->label);
            vs_label_fit(text, sizeof text, bar->note, 12, group - 8);
            vs_page_text(&c->page, VS_TEXT_SMALL, x, BOTTOM + 42, VS_INK_SOFT, text);
        } else {
            c->upright = 1;
            vs_label_fit(text, sizeof text, bar->label, 12, 170);
            vs_page_text(&c->page, VS_TEXT_DOWN, x, BOTTOM + 10, VS_INK, text);
        }
    }
    vs_page_end(&c->page, f);
}

static void cell(struct chart *c, double x, double y, unsigned ink, double bytes)
{
    char text[40] = "–";
    if (bytes > 0) vs_label_bytes(text, sizeof text, bytes);
    vs_page_text(&c->page, VS_TEXT_RIGHT, x, y, ink, text);
}

static void heading(struct chart *c, double x, double y, const char *text)
{
    char shown[VS_LABEL_SIZE] = "";
    vs_label_fit(shown, sizeof shown, text, 14, 100);
    vs_page_text(&c->page, VS_TEXT_RIGHT, x, y, VS_INK, shown);
}

static void row(struct chart *c, double end, double y, double low, double high)
{
    char text[40];
    cell(c, end - 195, y, VS_INK, low);
    cell(c, end - 85, y, VS_INK, high);
    vs_label_change(text, sizeof text, low, high);
    vs_page_text(&c->page, VS_TEXT_RIGHT, end, y, VS_INK_SOFT, text);
}

/* Returns the y of what comes next. */
static double write_table(struct chart *c)
{
    const struct vs_comparison *d = c->data;
    int two = d->bars == 2, a = two ? 0 : c->lowest, b = two ? 1 : c->highest;
    double x = c->right + 50, end = VS_PAGE_WIDTH - VS_PAGE_RIGHT, y = TOP + 8;
    char text[2 * VS_LABEL_SIZE + 40], shown[2 * VS_LABEL_SIZE + 40];
    if (!two) {
        snprintf(text, sizeof text, "Lowest: %s; highest: %s", d->bar[a].label, d->bar[b].label);
        vs_label_fit(shown, sizeof shown, text, 14, end - x);
        vs_page_text(&c->page, VS_TEXT_LEFT, x, y, VS_INK_SOFT, shown);
        y += ROW + 5;
    }
    vs_page_text(&c->page, VS_TEXT_HEAD, x, y, VS_INK, d->bar[a].level == VS_LEVEL_SUB ? "In use at its peak" : "Held at its peak");
    heading(c, end - 195, y, two ? d->bar[0].label : "lowest");
    heading(c, end - 85, y, two ? d->bar[1].label : "highest");
    vs_page_line(&c->page, x, y + 14, end, y + 14, 0xb9bfc6);
    y += ROW + 5;
    for (int i = d->segments - 1; i >= 0; i--) {
        if (d->total[i] <= 0) continue;
        vs_page_box(&c->page, x, y - 8, x + 22, y + 8, c->color[i]);
        vs_label_fit(text, sizeof text, d->name[i], 14, end - 290 - x - 32);
        vs_page_text(&c->page, VS_TEXT_LEFT, x + 32, y, VS_INK, text);
        row(c, end, y, d->bar[a].segment_bytes[i], d->bar[b].segment_bytes[i]);
        y += ROW;
    }
    vs_page_line(&c->page, x, y - 11, end, y - 11, 0xb9bfc6);
    vs_page_text(&c->page, VS_TEXT_LEFT, x + 32, y + 4, VS_INK, "all");
    row(c, end, y + 4, d->bar[a].total_bytes, d->bar[b].total_bytes);
    return y + 2 * ROW;
}

/* What was run: the names of files seldom say it. */
static void write_commands(struct chart *c, double y)
{
    const struct vs_comparison *d = c->data;
    double x = c->right + 50, width = VS_PAGE_WIDTH - VS_PAGE_RIGHT - x;
    char text[VS_LABEL_SIZE + 440], shown[VS_LABEL_SIZE + 440];
    for (int i = 0; c->runs && i < d->bars && y < BOTTOM; i++, y += ROW) {
        if (!*d->bar[i].command) continue;
        snprintf(text, sizeof text, "%s: %s", d->bar[i].label, d->bar[i].command);
        vs_label_fit(shown, sizeof shown, text, 14, width);
        vs_page_text(&c->page, VS_TEXT_LEFT, x, y, VS_INK_SOFT, shown);
    }
}

static void write_title(struct chart *c)
{
    const struct vs_comparison *d = c->data;
    const struct vs_compared *low = &d->bar[c->lowest], *high = &d->bar[c->highest];
    const char *use = high->level == VS_LEVEL_SUB ? "in use" : "held", *what = c->runs ? "runs" : "ranks";
    char text[1024], shown[1024], from[40], to[40], change[40], left[80] = "";
    vs_label_bytes(from, sizeof from, low->total_bytes);
    vs_label_bytes(to, sizeof to, high->total_bytes);
    vs_label_change(change, sizeof change, d->bar[0].total_bytes, d->bar[1].total_bytes);
    if (d->left_out) snprintf(left, sizeof left, "   ·   %d of %d shown", d->bars, d->bars + d->left_out);
    if (d->bars == 2)
        snprintf(text, sizeof text, "Peak memory of two %s: %s %s against %s", what, d->bar[1].label, change, d->bar[0].label);
    else snprintf(text, sizeof text, "Peak memory of %d %s: %s to %s %s", d->bars, what, from, to, use);
    vs_label_fit(shown, sizeof shown, text, 24, VS_PAGE_WIDTH - VS_PAGE_LEFT - VS_PAGE_RIGHT);
    vs_page_text(&c->page, VS_TEXT_TITLE, VS_PAGE_LEFT, 34, VS_INK, shown);
    snprintf(text, sizeof text, "%s%seach bar: memory %s at its own peak, by %s%s", c->runs ? "" : d->bar[0].command,
             c->runs || !*d->bar[0].command ? "" : "   ·   ", use, d->by_source ? "source" : "category", left);
    vs_page_text(&c->page, VS_TEXT_LEFT, VS_PAGE_LEFT, 64, VS_INK_SOFT, text);
}

static void write_axes(struct chart *c)
{
    char text[64];
    FILE *f = vs_page_begin(&c->page, "axes.tsv");
    if (f) fprintf(f, "%d\t%d\t%d\t%.9g\t%.9g\n", TOP, BOTTOM, c->right, c->y_max, vs_page_step(c->y_max, 10));
    vs_page_end(&c->page, f);
    snprintf(text, sizeof text, "memory (%s)", c->unit_name);
    vs_page_text(&c->page, VS_TEXT_UP, 26, (TOP + BOTTOM) / 2.0, VS_INK_SOFT, text);
}

static int draw(struct chart *c, const char *dir, int *unshown, struct vs_error *e)
{
    const struct vs_comparison *d = c->data;
    for (int i = 0; i < d->bars; i++) {
        if (d->bar[i].total_bytes < d->bar[c->lowest].total_bytes) c->lowest = i;
        if (d->bar[i].total_bytes > d->bar[c->highest].total_bytes) c->highest = i;
    }
    double most = d->bar[c->highest].total_bytes * 1.08;
    c->unit = vs_page_unit(most, &c->unit_name);
    c->y_max = most / c->unit;
    c->right = d->bars <= 4 ? 880 : 980;
    choose_colors(c);
    vs_page_open(&c->page, dir);
    write_title(c);
    write_axes(c);
    write_bars(c);
    write_commands(c, write_table(c));
    vs_page_size(&c->page, BOTTOM + (c->upright ? 200 : 80), 1);
    *unshown |= c->page.unshown;
    return vs_page_close(&c->page, e);
}

int vs_ranks_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    struct chart c = {.runs = 0};
    int err = vs_comparison_of_ranks(db, &c.data, e);
    if (!err && c.data->bars < 2) err = vs_fail(e, ENOMSG, "nothing to compare: the run has one device");
    if (!err) err = draw(&c, dir, unshown, e);
    vs_comparison_free(c.data);
    return err;
}

int vs_runs_write(struct sqlite3 *const *dbs, const char *const *names, int count, const char *dir, int *unshown,
                  struct vs_error *e)
{
    struct chart c = {.runs = 1};
    int err = vs_comparison_of_runs(dbs, names, count, &c.data, e);
    if (!err && c.data->bars < 2)
        err = vs_fail(e, ENODATA, "nothing to compare: %s of the recordings has allocations that were live at a peak",
                      c.data->bars ? "only one" : "none");
    if (!err) err = draw(&c, dir, unshown, e);
    vs_comparison_free(c.data);
    return err;
}
