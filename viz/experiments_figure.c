/* SPDX-License-Identifier: MIT
 *
 * experiments_figure.c: owns the heading and the axes of the figures of experiments. Never leaves anything out unsaid.
 */
#include "experiments_figure.h"

#include <math.h>
#include <string.h>

void vs_figure_open(struct vs_figure *f, const char *dir, const struct vs_experiments *set)
{
    memset(f, 0, sizeof *f);
    vs_page_open(&f->page, dir);
    f->set = set;
#define X(field, file, vectors)                                                                                        \
    f->field = vectors ? vs_page_begin(&f->page, file) : vs_page_begin_drawn(&f->page, file);                          \
    if (f->field && vectors) fputs("0\t0\t0\t0\t16777215\n", f->field);
    VS_FIGURE_FILES(X)
#undef X
}

int vs_figure_close(struct vs_figure *f, double height, int *unshown, struct vs_error *e)
{
#define X(field, ...) vs_page_end(&f->page, f->field);
    VS_FIGURE_FILES(X)
#undef X
    vs_page_size(&f->page, height, 1);
    *unshown |= f->page.unshown;
    return vs_page_close(&f->page, e);
}

/* Which of several T; how many methods are not there. */
static void write_one_T(const struct vs_experiments *s, char *out, size_t size)
{
    int at = 0;
    for (int i = 0; i < s->count; i++) at += s->one < 0 || s->item[i].T == s->T[s->one];
    out[0] = 0;
    if (s->one >= 0) snprintf(out, size, "T=%.0f", s->T[s->one]);
    if (s->lengths > 1) snprintf(out + strlen(out), size - strlen(out), " (one of %d)", s->lengths);
    if (at < s->methods)
        snprintf(out + strlen(out), size - strlen(out), "   ·   no result there of %d of %d methods", s->methods - at,
                 s->methods);
}

double vs_figure_head(struct vs_figure *f, const char *title, const char *note, int one_T)
{
    const struct vs_experiments *s = f->set;
    double left = VS_PAGE_RIGHT, width = VS_PAGE_WIDTH - 2 * VS_PAGE_RIGHT;
    char text[1600], shown[1600], T[160] = "";
    if (one_T) write_one_T(s, T, sizeof T);
    vs_page_text(&f->page, VS_TEXT_TITLE, left, 34, VS_INK, title);
    snprintf(text, sizeof text, "%s%s%s", s->about, *s->about && *T ? "   ·   " : "", T);
    vs_label_fit(shown, sizeof shown, text, 14, width);
    vs_page_text(&f->page, VS_TEXT_LEFT, left, 64, VS_INK_SOFT, shown);
    snprintf(text, sizeof text, "%s", note);
    if (s->methods > s->shown)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "   ·   the first %d of %d methods; summary.txt has all", s->shown, s->methods);
    if (s->left)
        snprintf(text + strlen(text), sizeof text - strlen(text), "   ·   %d result%s left out: see summary.txt",
                 s->left, s->left > 1 ? "s" : "");
    vs_label_fit(shown, sizeof shown, text, 14, width);
    vs_page_text(&f->page, VS_TEXT_LEFT, left, 88, VS_INK_SOFT, shown);
    return 124;
}

void vs_figure_point(FILE *f, double x, double y, unsigned rgb)
{
    if (f) fprintf(f, "%.2f\t%.2f\t%u\n", x, y, rgb);
}

void vs_figure_vector(FILE *f, double x0, double y0, double x1, double y1, unsigned rgb)
{
    if (f) fprintf(f, "%.2f\t%.2f\t%.2f\t%.2f\t%u\n", x0, y0, x1 - x0, y1 - y0, rgb);
}

double vs_area_x(const struct vs_area *area, const struct vs_axis *axis, double value)
{
    return area->left + vs_axis_share(axis, value) * (area->right - area->left);
}

double vs_area_y(const struct vs_area *area, const struct vs_axis *axis, double value)
{
    return area->bottom - vs_axis_share(axis, value) * (area->bottom - area->top);
}

/* No step of round numbers leaves dust like 1e-17 where 0 is meant. */
static double tick_value(const struct vs_axis *axis, int tick)
{
    double value = vs_axis_value(axis, tick);
    return fabs(value) < 1e-9 * (axis->high - axis->low) && !axis->logarithmic ? 0 : value;
}

void vs_figure_across(struct vs_figure *f, const struct vs_area *area, const struct vs_axis *axis)
{
    char text[64];
    for (int i = 0; i < axis->ticks; i++) {
        double value = tick_value(axis, i), x = vs_area_x(area, axis, value);
        vs_page_line(&f->page, x, area->top, x, area->bottom, VS_GRID);
        snprintf(text, sizeof text, "%.10g", value);
        vs_page_text(&f->page, VS_TEXT_CENTER, x, area->bottom + 16, VS_INK_SOFT, text);
    }
    vs_page_line(&f->page, area->left, area->bottom, area->right, area->bottom, VS_INK_SOFT);
}

void vs_figure_up(struct vs_figure *f, const struct vs_area *area, const struct vs_axis *axis, const char *suffix)
{
    char text[80];
    for (int i = 0; i < axis->ticks; i++) {
        double value = tick_value(axis, i), y = vs_area_y(area, axis, value);
        vs_page_line(&f->page, area->left, y, area->right, y, VS_GRID);
        snprintf(text, sizeof text, "%.10g%s", value, suffix);
        vs_page_text(&f->page, VS_TEXT_RIGHT, area->left - 10, y, VS_INK_SOFT, text);
    }
    vs_page_line(&f->page, area->left, area->top, area->left, area->bottom, VS_INK_SOFT);
}
