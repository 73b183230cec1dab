/* SPDX-License-Identifier: MIT
 *
 * experiments_tradeoff.c: owns the layout of the figure "peak memory against time per step": one point per method, with its
 * name and numbers. Never lets two names overlap.
 */
#include "experiments_figure.h"

#include <errno.h>
#include <math.h>

enum { TURNS = 16, NEAR = 24, HALF_HEIGHT = 18, DOT = 10, MOST_NAMES = VS_EXPERIMENTS_SHOWN };

struct box {
    double x0, y0, x1, y1;
};

struct line {
    double x0, y0, x1, y1;
};

struct chart {
    struct vs_figure figure;
    struct vs_area area;
    struct vs_axis x, y;
    const struct vs_experiment *item[MOST_NAMES];
    struct box taken[2 * MOST_NAMES]; /* the points, then names */
    struct line leader[MOST_NAMES];
    int items, boxes, leaders;
};

static int holds(struct box b, double x, double y)
{
    return x > b.x0 && x < b.x1 && y > b.y0 && y < b.y1;
}

static int line_meets(struct line l, struct box b)
{
    int steps = (int)(hypot(l.x1 - l.x0, l.y1 - l.y0) / 3) + 1;
    for (int i = 0; i <= steps; i++)
        if (holds(b, l.x0 + (l.x1 - l.x0) * i / steps, l.y0 + (l.y1 - l.y0) * i / steps)) return 1;
    return 0;
}

/* From the point to the nearest side of its name. */
static struct line leader(double x, double y, struct box b)
{
    return (struct line){x, y, fmax(b.x0, fmin(x, b.x1)), fmax(b.y0, fmin(y, b.y1))};
}

/* strict: nor do lines to points run over names. */
static int is_free(const struct chart *c, struct box b, struct line to, int strict)
{
    const struct vs_area *a = &c->area;
    if (b.x0 < a->left + 4 || b.x1 > a->right - 4 || b.y0 < a->top + 4 || b.y1 > a->bottom - 4) return 0;
    for (int i = 0; i < c->boxes; i++) {
        const struct box *o = &c->taken[i];
        if (b.x0 < o->x1 && o->x0 < b.x1 && b.y0 < o->y1 && o->y0 < b.y1) return 0;
        if (strict && i >= c->items && line_meets(to, *o)) return 0;
    }
    for (int i = 0; i < c->leaders && strict; i++)
        if (line_meets(c->leader[i], b)) return 0;
    return 1;
}

/* The nearest free place around the point. */
static int find_place(const struct chart *c, double x, double y, double half_width, struct box *out)
{
    for (int strict = 1; strict >= 0; strict--)
        for (double far = 0; far < 900; far += 12)
            for (int i = 0; i < TURNS; i++) {
                double turn = 2 * M_PI * (i - 4) / TURNS; /* above first */
                double cx = x + cos(turn) * (half_width + DOT + far),
                       cy = y + sin(turn) * (HALF_HEIGHT + DOT + 2 + far);
                *out = (struct box){cx - half_width, cy - HALF_HEIGHT, cx + half_width, cy + HALF_HEIGHT};
                if (is_free(c, *out, leader(x, y, *out), strict)) return 1;
            }
    return 0;
}

static void write_name(struct chart *c, const struct vs_experiment *item)
{
    struct vs_page *page = &c->figure.page;
    double x = vs_area_x(&c->area, &c->x, item->peak_mb), y = vs_area_y(&c->area, &c->y, item->time_ms);
    char name[VS_LABEL_SIZE], mb[48], ms[48], numbers[128];
    struct box b;
    vs_label_fit(name, sizeof name, item->name, 14, 300);
    vs_experiment_mb(mb, sizeof mb, item->peak_mb);
    vs_experiment_ms(ms, sizeof ms, item->time_ms);
    snprintf(numbers, sizeof numbers, "%s · %s", mb, ms);
    double half = fmax(vs_label_width(name, 14), vs_label_width(numbers, 12)) / 2 + 4;
    if (!find_place(c, x, y, half, &b)) return;
    c->taken[c->boxes++] = b;
    struct line to = c->leader[c->leaders++] = leader(x, y, b);
    if (hypot(to.x1 - x, to.y1 - y) > NEAR)
        vs_page_line(page, x, y, to.x1, to.y1, vs_experiment_color(c->figure.set, item->method));
    vs_page_text(page, VS_TEXT_CENTER, (b.x0 + b.x1) / 2, b.y0 + 10, VS_INK, name);
    vs_page_text(page, VS_TEXT_SMALL, (b.x0 + b.x1) / 2, b.y0 + 27, VS_INK_SOFT, numbers);
}

/* Room around the points for their names; the axes need not begin at 0. */
static void measure(struct chart *c)
{
    double x0 = INFINITY, x1 = 0, y0 = INFINITY, y1 = 0;
    for (int i = 0; i < c->items; i++) {
        x0 = fmin(x0, c->item[i]->peak_mb), x1 = fmax(x1, c->item[i]->peak_mb);
        y0 = fmin(y0, c->item[i]->time_ms), y1 = fmax(y1, c->item[i]->time_ms);
    }
    double dx = fmax((x1 - x0) * 0.12, x1 * 0.01), dy = fmax((y1 - y0) * 0.12, y1 * 0.01);
    vs_axis_tight(&c->x, fmax(x0 - dx, 0), x1 + dx);
    vs_axis_tight(&c->y, fmax(y0 - dy, 0), y1 + dy);
}

int vs_experiments_tradeoff_write(const struct vs_experiments *s, const char *dir, int *unshown, struct vs_error *e)
{
    struct chart c = {.area = {112, 0, VS_PAGE_WIDTH - VS_PAGE_RIGHT, 0}};
    for (int i = 0; i < s->count && c.items < MOST_NAMES; i++)
        if (vs_experiment_is_shown(s, &s->item[i]) && !isnan(s->item[i].time_ms)) c.item[c.items++] = &s->item[i];
    if (!c.items) return vs_fail(e, ENODATA, "no result has a time");
    vs_figure_open(&c.figure, dir, s);
    c.area.top = vs_figure_head(
        &c.figure, "Peak memory against time per step",
        "left and low is better; the axes do not begin at 0; MB: 2^20 bytes; mean of the timed steps", 1);
    c.area.bottom = c.area.top + 720;
    measure(&c);
    vs_figure_across(&c.figure, &c.area, &c.x);
    vs_figure_up(&c.figure, &c.area, &c.y, "");
    vs_page_text(&c.figure.page, VS_TEXT_CENTER, (c.area.left + c.area.right) / 2, c.area.bottom + 42, VS_INK_SOFT,
                 "peak memory (MB)");
    vs_page_text(&c.figure.page, VS_TEXT_UP, 26, (c.area.top + c.area.bottom) / 2, VS_INK_SOFT, "time per step (ms)");
    for (int i = 0; i < c.items; i++) {
        double x = vs_area_x(&c.area, &c.x, c.item[i]->peak_mb), y = vs_area_y(&c.area, &c.y, c.item[i]->time_ms);
        vs_figure_point(c.figure.dots, x, y, vs_experiment_color(s, c.item[i]->method));
        c.taken[c.boxes++] = (struct box){x - DOT, y - DOT, x + DOT, y + DOT};
    }
    for (int i = 0; i < c.items; i++) write_name(&c, c.item[i]);
    return vs_figure_close(&c.figure, c.area.bottom + 66, unshown, e);
}
