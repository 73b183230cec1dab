/* SPDX-License-Identifier: MIT
 *
 * experiments_length.c: owns the layout of the figures "time, and memory, over T": on the left the values, on the right what
 * they are of those without DP. Never cuts a ratio off: below 1 is drawn below 1.
 */
#include "experiments_figure.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
    LEFT = 112,
    GUTTER = 130,
    HEIGHT = 600,
    INSET = 36,
    MANY = 8 /* beyond this ratio of high to low: logarithmic */
};

struct chart {
    struct vs_figure figure;
    int is_time;
    struct vs_area values, ratios;
    struct vs_axis y_values, y_ratios;
    int has_ratios;
};

static double value_of(const struct chart *c, const struct vs_experiment *x)
{
    return c->is_time ? x->time_ms : x->peak_mb;
}

/* NAN: nothing to compare with. */
static double ratio_of(const struct chart *c, const struct vs_experiment *x)
{
    const struct vs_experiment *base = vs_experiment_baseline(c->figure.set, x);
    return base ? value_of(c, x) / value_of(c, base) : NAN;
}

static void choose(struct vs_axis *a, double low, double high, int from_zero)
{
    if (high > MANY * low) vs_axis_log(a, log(low), log(high), 1);
    else vs_axis_linear(a, from_zero ? 0 : low, high);
}

/* Returns how many values there are. */
static int measure(struct chart *c)
{
    const struct vs_experiments *s = c->figure.set;
    double low = INFINITY, high = 0, under = 1, over = 1;
    int n = 0;
    for (int i = 0; i < s->count; i++) {
        const struct vs_experiment *x = &s->item[i];
        double value = value_of(c, x), ratio = ratio_of(c, x);
        if (x->method >= s->shown || isnan(x->T) || isnan(value)) continue;
        n++;
        low = fmin(low, value), high = fmax(high, value);
        if (isnan(ratio) || x->baseline) continue;
        c->has_ratios = 1;
        under = fmin(under, ratio), over = fmax(over, ratio);
    }
    if (!n) return 0;
    choose(&c->y_values, low, high, 1);
    if (under == over) under = 0.9, over = 1.1;
    choose(&c->y_ratios, under, over, 0);
    return n;
}

static double length_x(const struct chart *c, const struct vs_area *a, int t)
{
    double width = a->right - a->left - 2 * INSET;
    int n = c->figure.set->lengths;
    return n > 1 ? a->left + INSET + width * t / (n - 1) : (a->left + a->right) / 2;
}

/* With a single T the methods stand beside each other, or they would hide each other. */
static double point_x(const struct chart *c, const struct vs_area *a, int t, int method)
{
    const struct vs_experiments *s = c->figure.set;
    double beside = s->lengths == 1 ? (method + 0.5) / s->shown - 0.5 : 0;
    return length_x(c, a, t) + beside * (a->right - a->left - 16);
}

/* Under equally spaced T, as many as can be read. */
static void write_lengths(struct chart *c, const struct vs_area *a)
{
    const struct vs_experiments *s = c->figure.set;
    double room = (a->right - a->left - 2 * INSET) / (s->lengths > 1 ? s->lengths - 1 : 1);
    int every = (int)ceil(64 / room);
    char text[40];
    for (int t = 0; t < s->lengths; t += every) {
        double x = length_x(c, a, t);
        if (s->lengths > 1) vs_page_line(&c->figure.page, x, a->top, x, a->bottom, VS_GRID);
        snprintf(text, sizeof text, "%.0f", s->T[t]);
        vs_page_text(&c->figure.page, VS_TEXT_CENTER, x, a->bottom + 16, VS_INK_SOFT, text);
    }
    vs_page_line(&c->figure.page, a->left, a->bottom, a->right, a->bottom, VS_INK_SOFT);
    vs_page_text(&c->figure.page, VS_TEXT_CENTER, (a->left + a->right) / 2, a->bottom + 40, VS_INK_SOFT,
                 "T, tokens per sample");
}

/* At a point that stands alone; above and below in turn, for those beside each other. */
static void write_value(struct chart *c, double x, double y, double value, int is_ratio, int below)
{
    char text[48];
    if (is_ratio) snprintf(text, sizeof text, value < 10 ? "%.3f" : "%.3g", value);
    else snprintf(text, sizeof text, value < 10000 ? "%.4g" : value < 1e9 ? "%.0f" : "%.3g", value);
    vs_page_text(&c->figure.page, VS_TEXT_SMALL, x, y + (below ? 18 : -18), VS_INK, text);
}

static void write_method(struct chart *c, int method, const struct vs_area *a, const struct vs_axis *y, int ratios)
{
    const struct vs_experiments *s = c->figure.set;
    unsigned rgb = vs_experiment_color(s, method);
    for (int t = 0; t < s->lengths; t++) {
        const struct vs_experiment *x = vs_experiment_at(s, method, s->T[t]);
        double value = !x ? NAN : ratios ? ratio_of(c, x) : value_of(c, x);
        if (isnan(value)) { /* a line does not run over what is not known */
            if (c->figure.curves) fputc('\n', c->figure.curves);
            continue;
        }
        vs_figure_point(c->figure.curves, point_x(c, a, t, method), vs_area_y(a, y, value), rgb);
        vs_figure_point(s->lengths > 1 ? c->figure.points : c->figure.dots, point_x(c, a, t, method),
                        vs_area_y(a, y, value), rgb);
        if (s->lengths == 1)
            write_value(c, point_x(c, a, t, method), vs_area_y(a, y, value), value, ratios,
                        method % 2 && vs_area_y(a, y, value) + 30 < a->bottom);
    }
    if (c->figure.curves) fputc('\n', c->figure.curves);
}

static void write_panel(struct chart *c, const struct vs_area *a, const struct vs_axis *y, const char *title,
                        const char *suffix)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s", title, y->logarithmic ? ", logarithmic" : "");
    vs_page_text(&c->figure.page, VS_TEXT_HEAD, a->left, a->top - 22, VS_INK, text);
    vs_figure_up(&c->figure, a, y, suffix);
    write_lengths(c, a);
}

static double write_legend(struct chart *c, double y)
{
    const struct vs_experiments *s = c->figure.set;
    struct vs_legend legend = {&c->figure.page, VS_PAGE_RIGHT, VS_PAGE_RIGHT, y};
    char name[VS_LABEL_SIZE];
    for (int m = 0; m < s->shown; m++) {
        vs_label_fit(name, sizeof name, vs_experiment_of_method(s, m)->name, 14, 420);
        vs_legend_entry(&legend, VS_SWATCH_LINE, vs_experiment_color(s, m), name);
    }
    return legend.y;
}

static void place(struct chart *c, double top)
{
    double right = VS_PAGE_WIDTH - VS_PAGE_RIGHT, width = (right - LEFT - GUTTER) / 2;
    c->values = (struct vs_area){LEFT, top, c->has_ratios ? LEFT + width : right, top + HEIGHT};
    c->ratios = (struct vs_area){right - width, top, right, top + HEIGHT};
}

static int write_chart(const struct vs_experiments *s, int is_time, const char *dir, int *unshown, struct vs_error *e)
{
    struct chart c = {.is_time = is_time, .figure.set = s};
    if (!measure(&c))
        return vs_fail(e, ENODATA,
                       is_time ? "no result has a time and a config.seq_len" : "no result has a config.seq_len");
    vs_figure_open(&c.figure, dir, s);
    double y = vs_figure_head(&c.figure, is_time ? "Time per step over T" : "Peak memory over T",
                              is_time ? "mean of the timed steps" : "MB: 2^20 bytes", 0);
    place(&c, write_legend(&c, y) + 60);
    write_panel(&c, &c.values, &c.y_values, is_time ? "time per step (ms)" : "peak memory (MB)", "");
    if (c.has_ratios) {
        write_panel(&c, &c.ratios, &c.y_ratios,
                    is_time ? "time relative to the step without DP" : "peak memory relative to the step without DP",
                    "×");
        double one = vs_area_y(&c.ratios, &c.y_ratios, 1);
        vs_page_line(&c.figure.page, c.ratios.left, one, c.ratios.right, one, VS_INK_SOFT);
    }
    for (int m = s->shown - 1; m >= 0; m--) { /* the first ones in front */
        write_method(&c, m, &c.values, &c.y_values, 0);
        if (c.has_ratios) write_method(&c, m, &c.ratios, &c.y_ratios, 1);
    }
    return vs_figure_close(&c.figure, c.values.bottom + 64, unshown, e);
}

int vs_experiments_time_write(const struct vs_experiments *s, const char *dir, int *unshown, struct vs_error *e)
{
    return write_chart(s, 1, dir, unshown, e);
}

int vs_experiments_memory_write(const struct vs_experiments *s, const char *dir, int *unshown, struct vs_error *e)
{
    return write_chart(s, 0, dir, unshown, e);
}
