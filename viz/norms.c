/* SPDX-License-Identifier: MIT
 *
 * norms.c: owns the layout of the charts of the norms benchmark: both axes logarithmic, one line per algorithm, panels of
 * equal size. Never leaves out a value: no bytes at all stand on a row of their own below the logarithmic ones.
 */
#include "norms.h"

#include "axis.h"
#include "charts.h"
#include "legend.h"
#include "page.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEADING = 34, FEET = 62, LEGEND_TOP = 98, ZERO_ROW = 34, LEFT = 124, GUTTER = 130 };
enum { GRID = 0xd9dde2, FLOOR_COLOR = 0x222222 };

/* The usual algorithms look alike in every chart; Okabe-Ito. `auto` mostly runs one of the others: it is drawn as a pale
 * broad line behind them. */
static const struct {
    const char *name;
    unsigned rgb;
} known[] = {{"gram_full", 0xd55e00},   {"gram", 0x0072b2}, {"direct", 0x009e73},
             {"materialize", 0xcc79a7}, {"auto", 0xf0c86e}, {"reference", 0x7a828c}};
static const unsigned spare[] = {0x882255, 0x56b4e9, 0x999933, 0x332288, 0x44aa99, 0xee6677};

struct chart {
    enum vs_norm_what what;
    struct vs_norm_lines lines;
    struct vs_page page;
    struct vs_axis x, y;
    int columns, has_zero;
    double width, height; /* of a panel */
    FILE *curves, *broad, *dashed, *points;
};

static unsigned color_of(const struct vs_norm_lines *l, int algorithm)
{
    int unknown = 0;
    if (algorithm < 0) return FLOOR_COLOR;
    for (int a = 0; a <= algorithm; a++) {
        size_t k = 0;
        while (k < sizeof known / sizeof *known && strcmp(known[k].name, l->algorithm[a])) k++;
        if (k == sizeof known / sizeof *known) unknown++;
        else if (a == algorithm) return known[k].rgb;
    }
    return spare[(unknown - 1) % (sizeof spare / sizeof *spare)];
}

static int is_auto(const struct vs_norm_lines *l, int algorithm)
{
    return algorithm >= 0 && !strcmp(l->algorithm[algorithm], "auto");
}

static void measure(struct chart *c)
{
    double T0 = INFINITY, T1 = 0, low = INFINITY, high = 0;
    for (int i = 0; i < c->lines.points; i++) {
        const struct vs_norm_point *p = &c->lines.point[i];
        T0 = fmin(T0, p->T), T1 = fmax(T1, p->T);
        if (p->value > 0) low = fmin(low, p->value), high = fmax(high, p->value);
        else c->has_zero = 1;
    }
    if (high <= 0) low = high = 1024; /* nothing but zeros */
    vs_axis_log(&c->x, log(T0), log(T1), 0);
    vs_axis_log(&c->y, log(low), log(high), c->what == VS_NORM_TIME);
    c->x.low -= 0.12 * M_LN2, c->x.high += 0.12 * M_LN2; /* points off the frame */
    c->columns = c->lines.panels > 1 ? 2 : 1;
    c->height = c->columns == 1 ? 560 : c->lines.panels <= 4 ? 360 : 280;
    c->width = (VS_PAGE_WIDTH - VS_PAGE_RIGHT - LEFT - (c->columns - 1) * GUTTER) / (double)c->columns;
}

static void tick_label(const struct chart *c, double value, char *out, size_t size)
{
    static const char *const bytes[] = {"B", "KiB", "MiB", "GiB", "TiB"}, *const ns[] = {"ns", "µs", "ms", "s"};
    int binary = c->what == VS_NORM_MEMORY, u = 0;
    while (u < (binary ? 4 : 3) && value > (binary ? 1023.5 : 999.5)) value /= binary ? 1024 : 1000, u++;
    snprintf(out, size, "%.4g %s", value, binary ? bytes[u] : ns[u]);
}

static void panel_place(const struct chart *c, int panel, double top, double *x0, double *y0)
{
    *x0 = LEFT + panel % c->columns * (c->width + GUTTER);
    *y0 = top + panel / c->columns * (c->height + HEADING + FEET) + HEADING;
}

static double to_x(const struct chart *c, double x0, double log_T)
{
    return x0 + (log_T - c->x.low) / (c->x.high - c->x.low) * c->width;
}

static double to_y(const struct chart *c, double y0, double value)
{
    double bottom = y0 + c->height, zero = c->has_zero ? ZERO_ROW : 0;
    if (value <= 0) return bottom;
    return bottom - zero - (log(value) - c->y.low) / (c->y.high - c->y.low) * (c->height - zero);
}

static void write_frame(struct chart *c, int panel, double x0, double y0)
{
    struct vs_page *page = &c->page;
    char text[64];
    double right = x0 + c->width, bottom = y0 + c->height;
    vs_page_text(page, VS_TEXT_HEAD, x0, y0 - HEADING / 2.0, VS_INK, c->lines.panel[panel]);
    for (int i = 0; i < c->y.ticks; i++) {
        double value = exp(c->y.tick[i]), y = to_y(c, y0, value);
        vs_page_line(page, x0, y, right, y, GRID);
        tick_label(c, value, text, sizeof text);
        vs_page_text(page, VS_TEXT_RIGHT, x0 - 10, y, VS_INK_SOFT, text);
    }
    if (c->has_zero) vs_page_text(page, VS_TEXT_RIGHT, x0 - 10, bottom, VS_INK_SOFT, "0 B");
    for (int i = 0; i < c->x.ticks; i++) {
        double x = to_x(c, x0, c->x.tick[i]);
        vs_page_line(page, x, y0, x, bottom, GRID);
        snprintf(text, sizeof text, "%.0f", exp(c->x.tick[i]));
        vs_page_text(page, VS_TEXT_CENTER, x, bottom + 16, VS_INK_SOFT, text);
    }
    vs_page_line(page, x0, bottom, right, bottom, VS_INK_SOFT);
    vs_page_line(page, x0, y0, x0, bottom, VS_INK_SOFT);
    vs_page_text(page, VS_TEXT_CENTER, (x0 + right) / 2, bottom + 38, VS_INK_SOFT, "T, tokens per sample");
}

static void write_line(struct chart *c, const struct vs_norm_line *line, double x0, double y0)
{
    unsigned rgb = color_of(&c->lines, line->algorithm);
    FILE *f = line->algorithm < 0 ? c->dashed : is_auto(&c->lines, line->algorithm) ? c->broad : c->curves;
    if (!f || !c->points) return;
    for (int i = line->first; i < line->first + line->count; i++) {
        const struct vs_norm_point *p = &c->lines.point[i];
        double x = to_x(c, x0, log(p->T)), y = to_y(c, y0, p->value);
        fprintf(f, "%.2f\t%.2f\t%u\n", x, y, rgb);
        if (f != c->dashed || line->count == 1) fprintf(c->points, "%.2f\t%.2f\t%u\n", x, y, rgb);
    }
    fputc('\n', f);
}

static double write_head(struct chart *c)
{
    const struct vs_norm_lines *l = &c->lines;
    char text[640], many[64] = "", more[64] = "";
    struct vs_legend legend = {&c->page, LEFT, LEFT, LEGEND_TOP};
    if (l->all_panels > l->panels) snprintf(many, sizeof many, " (%d of %d shapes)", l->panels, l->all_panels);
    snprintf(text, sizeof text, "Per-sample gradient norms: %s%s",
             c->what == VS_NORM_TIME ? "time over T" : "temporary memory over T", many);
    vs_page_text(&c->page, VS_TEXT_TITLE, LEFT, 34, VS_INK, text);
    if (l->other_lines) snprintf(more, sizeof more, "   ·   further algorithms are not shown");
    snprintf(text, sizeof text, "%s%s%s%s", l->device, *l->device ? "   ·   " : "",
             c->what == VS_NORM_TIME ? "median on the device, without the cost of launching; dashed: the floor"
                                     : "highest above what was there before the call",
             more);
    vs_page_text(&c->page, VS_TEXT_LEFT, LEFT, 64, VS_INK_SOFT, text);
    for (int a = 0; a < l->algorithms; a++)
        vs_legend_entry(&legend, is_auto(l, a) ? VS_SWATCH_BROAD : VS_SWATCH_LINE, color_of(l, a), l->algorithm[a]);
    if (l->has_floor) vs_legend_entry(&legend, VS_SWATCH_DASHED, FLOOR_COLOR, "floor");
    return legend.y + 22;
}

static int draw(struct chart *c, const char *dir, int *unshown, struct vs_error *e)
{
    double top, x0, y0;
    int rows = (c->lines.panels + c->columns - 1) / c->columns;
    vs_page_open(&c->page, dir);
    top = write_head(c);
    c->curves = vs_page_begin_drawn(&c->page, "curves.tsv");
    c->broad = vs_page_begin_drawn(&c->page, "broad.tsv");
    c->dashed = vs_page_begin_drawn(&c->page, "dashed.tsv");
    c->points = vs_page_begin_drawn(&c->page, "points.tsv");
    for (int i = 0; i < c->lines.panels; i++) {
        panel_place(c, i, top, &x0, &y0);
        write_frame(c, i, x0, y0);
    }
    for (int i = 0; i < c->lines.lines; i++) {
        panel_place(c, c->lines.line[i].panel, top, &x0, &y0);
        write_line(c, &c->lines.line[i], x0, y0);
    }
    vs_page_end(&c->page, c->curves);
    vs_page_end(&c->page, c->broad);
    vs_page_end(&c->page, c->dashed);
    vs_page_end(&c->page, c->points);
    vs_page_size(&c->page, top + rows * (c->height + HEADING + FEET) + 10, c->lines.panels);
    *unshown |= c->page.unshown;
    return vs_page_close(&c->page, e);
}

static int write_chart(enum vs_norm_what what, struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    struct chart *c = calloc(1, sizeof *c);
    int err;
    if (!c) return vs_fail(e, ENOMEM, "out of memory");
    c->what = what;
    err = vs_norm_lines_load(db, what, &c->lines, e);
    if (!err) {
        measure(c);
        err = draw(c, dir, unshown, e);
    }
    vs_norm_lines_free(&c->lines);
    free(c);
    return err;
}

int vs_norms_time_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    return write_chart(VS_NORM_TIME, db, dir, unshown, e);
}

int vs_norms_memory_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    return write_chart(VS_NORM_MEMORY, db, dir, unshown, e);
}
