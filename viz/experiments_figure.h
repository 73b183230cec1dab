/* SPDX-License-Identifier: MIT
 *
 * experiments_figure.h: what the figures of experiments share: the data files of experiments.gp, the heading, axes.
 *
 * Ownership: vs_figure_close closes what vs_figure_open opened, and accepts one that failed. Errors: kept in the page.
 */
#ifndef VS_VIZ_EXPERIMENTS_FIGURE_H
#define VS_VIZ_EXPERIMENTS_FIGURE_H

#include "axis.h"
#include "experiments_set.h"
#include "legend.h"
#include "page.h"
#include "plot.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_GRID = 0xd9dde2 };

/* X(field, file, 1: rows are x, y, dx, dy, colour; else x, y, colour) */
#define VS_FIGURE_FILES(X)                                                                                             \
    X(fills, "fills.tsv", 0)                                                                                           \
    X(dotted, "dotted.tsv", 1)                                                                                         \
    X(dashed, "dashed.tsv", 0)                                                                                         \
    X(curves, "curves.tsv", 0)                                                                                         \
    X(points, "points.tsv", 0)                                                                                         \
    X(dots, "dots.tsv", 0)                                                                                             \
    X(arrows, "arrows.tsv", 1)

struct vs_figure {
    struct vs_page page;
    const struct vs_experiments *set;
#define X(field, ...) FILE *field;
    VS_FIGURE_FILES(X)
#undef X
};

/* The area of a plot, in pixels. */
struct vs_area {
    double left, top, right, bottom;
};

void vs_figure_open(struct vs_figure *f, const char *dir, const struct vs_experiments *set);
int vs_figure_close(struct vs_figure *f, double height, int *unshown, struct vs_error *e);

/* Title, settings and what is left out; returns the y where a legend can begin. one_T: it shows a single T. */
double vs_figure_head(struct vs_figure *f, const char *title, const char *note, int one_T);

void vs_figure_point(FILE *f, double x, double y, unsigned rgb);
void vs_figure_vector(FILE *f, double x0, double y0, double x1, double y1, unsigned rgb);
/* Grid lines with numbers, from left to right below the area, or upwards at its left. */
void vs_figure_across(struct vs_figure *f, const struct vs_area *area, const struct vs_axis *axis);
void vs_figure_up(struct vs_figure *f, const struct vs_area *area, const struct vs_axis *axis, const char *suffix);
double vs_area_x(const struct vs_area *area, const struct vs_axis *axis, double value);
double vs_area_y(const struct vs_area *area, const struct vs_axis *axis, double value);

/* The figures; each writes the data for experiments.gp. -ENODATA: no result says what it is of. */
#define VS_FIGURES(X)                                                                                                  \
    X(breakdown, "memory_breakdown_comparison")                                                                        \
    X(snapshots, "memory_timeline")                                                                                    \
    X(tradeoff, "performance_tradeoff")                                                                                \
    X(time, "time_vs_seq_length")                                                                                      \
    X(memory, "memory_vs_seq_length")
#define X(name, stem)                                                                                                  \
    int vs_experiments_##name##_write(const struct vs_experiments *s, const char *dir, int *unshown,                   \
                                      struct vs_error *e);
VS_FIGURES(X)
#undef X
/* summary.txt in out_dir, which must be there. */
int vs_experiments_summary_write(const struct vs_experiments *s, const char *out_dir, const struct vs_plot_options *how,
                                 struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif
