/* SPDX-License-Identifier: MIT
 *
 * experiments_snapshots.c: owns the layout of the figure "memory at each snapshot": one panel per method, all on one scale.
 * Never draws a peak at a moment that the snapshots do not tell.
 */
#include "experiments_figure.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { LEFT = 112, RIGHT = VS_PAGE_WIDTH - VS_PAGE_RIGHT, HEADING = 30, FEET = 62, GAP = 16, HEAD_ROOM = 30 };
enum { ALLOCATED = 0x3498db, RESERVED = 0xe74c3c, FORWARD = 0x1e8c3a, BACKWARD = 0xe08a00, STEP = 0x2145c4 };
enum { NAME_LINES = 3, NAME_WIDTH = 84, DOT_PITCH = 9 };

static const struct {
    const char *word, *title;
    unsigned rgb;
} phases[] = {{"after_forward", "after forward", FORWARD},
              {"after_backward", "after backward", BACKWARD},
              {"after_step", "after step", STEP}};

enum { PHASES = sizeof phases / sizeof *phases };

struct panel {
    struct vs_area area; /* bottom and left are the axes; above the scale's top there is room for the peak's name */
    const struct vs_experiment *x;
    double pitch; /* between snapshots */
};

static double snapshot_x(const struct panel *p, double index)
{
    return p->x->snapshots > 1 ? p->area.left + 24 + p->pitch * index : (p->area.left + p->area.right) / 2;
}

static double y_of(const struct panel *p, const struct vs_axis *y, double mb)
{
    return p->area.bottom - vs_axis_share(y, mb) * (p->area.bottom - p->area.top - HEAD_ROOM);
}

/* "4_iter0_before_forward" in lines that are not wider than `width`. */
static void write_name(struct vs_page *page, const char *name, double x, double y, double width)
{
    char line[VS_LABEL_SIZE], shown[VS_LABEL_SIZE];
    for (int n = 0; *name && n < NAME_LINES; n++, y += 15) {
        size_t best = 0;
        for (size_t end = 1;; end++) {
            if (name[end] && name[end] != '_') continue;
            snprintf(line, sizeof line, "%.*s", (int)end, name);
            if (best && vs_label_width(line, 12) > width) break;
            best = end;
            if (!name[end]) break;
        }
        if (n == NAME_LINES - 1) best = strlen(name);
        snprintf(line, sizeof line, "%.*s", (int)best, name);
        vs_label_fit(shown, sizeof shown, line, 12, width);
        vs_page_text(page, VS_TEXT_SMALL, x, y, VS_INK_SOFT, shown);
        name += best;
        name += *name == '_';
    }
}

/* Every so manyth, so that names do not touch. */
static void write_names(struct vs_figure *f, const struct panel *p)
{
    int every = p->x->snapshots > 1 ? (int)ceil(NAME_WIDTH / p->pitch) : 1;
    double room = every * p->pitch - 6;
    for (int i = 0; i < p->x->snapshots; i += every) {
        double x = snapshot_x(p, i);
        vs_page_line(&f->page, x, p->area.bottom, x, p->area.bottom + 5, VS_INK_SOFT);
        write_name(&f->page, p->x->snapshot[i].name, x, p->area.bottom + 15,
                   p->x->snapshots > 1 && room < 110 ? room : 110);
    }
}

/* Of so many that lines would hide the curves, none. */
static int shows_phases(const struct vs_experiment *x)
{
    return x->snapshots && (RIGHT - LEFT) / x->snapshots >= DOT_PITCH;
}

static void write_phases(struct vs_figure *f, const struct panel *p)
{
    for (int i = 0; i < p->x->snapshots && shows_phases(p->x); i++)
        for (int k = 0; k < PHASES; k++)
            if (strstr(p->x->snapshot[i].name, phases[k].word))
                vs_figure_vector(f->dotted, snapshot_x(p, i), p->area.bottom, snapshot_x(p, i), p->area.top,
                                 phases[k].rgb);
}

static void write_curves(struct vs_figure *f, const struct panel *p, const struct vs_axis *y)
{
    const struct vs_experiment_snapshot *at = p->x->snapshot;
    int n = p->x->snapshots;
    for (int i = 0; i < n; i++) {
        double x = snapshot_x(p, i), top = y_of(p, y, at[i].allocated_mb);
        vs_figure_point(f->curves, x, top, ALLOCATED);
        if (n == 1 || p->pitch >= DOT_PITCH) vs_figure_point(f->points, x, top, ALLOCATED);
        if (isnan(at[i].reserved_mb)) continue;
        vs_figure_point(f->dashed, x, y_of(p, y, at[i].reserved_mb), RESERVED);
        if (i && !isnan(at[i - 1].reserved_mb) && f->fills) { /* a piece between two snapshots */
            double before = snapshot_x(p, i - 1);
            fprintf(f->fills, "%.2f\t%.2f\n%.2f\t%.2f\n%.2f\t%.2f\n%.2f\t%.2f\n\n", before,
                    y_of(p, y, at[i - 1].allocated_mb), x, top, x, y_of(p, y, at[i].reserved_mb), before,
                    y_of(p, y, at[i - 1].reserved_mb));
        }
    }
    if (f->curves) fputc('\n', f->curves);
    if (f->dashed) fputc('\n', f->dashed);
}

/* The highest so far is first known at the snapshot after the peak. */
static void write_peak(struct vs_figure *f, const struct panel *p, const struct vs_axis *y)
{
    const struct vs_experiment *x = p->x;
    char text[64], mb[48];
    int at = 0;
    double level = y_of(p, y, x->peak_mb), label = p->area.top + 12;
    while (at < x->snapshots && !(x->snapshot[at].highest_mb >= x->peak_mb * (1 - 1e-6))) at++;
    for (double from = p->area.left; from < p->area.right; from += 10)
        vs_page_line(&f->page, from, level, fmin(from + 4, p->area.right), level, VS_INK_ALARM);
    vs_experiment_mb(mb, sizeof mb, x->peak_mb);
    snprintf(text, sizeof text, "peak %s", mb);
    double middle = at < x->snapshots ? snapshot_x(p, at ? at - 0.5 : 0) : p->area.right,
           width = vs_label_width(text, 14);
    double left = fmin(fmax(middle - width / 2, p->area.left + 8), p->area.right - width - 8);
    vs_page_text(&f->page, VS_TEXT_NOTE_LEFT, left, label, VS_INK_ALARM, text);
    if (at < x->snapshots) vs_figure_vector(f->arrows, middle, label + 10, middle, level, VS_INK_ALARM);
}

static void write_panel(struct vs_figure *f, struct panel *p, const struct vs_axis *y)
{
    struct vs_area scale = p->area;
    char name[2 * VS_LABEL_SIZE];
    scale.top += HEAD_ROOM;
    p->pitch = p->x->snapshots > 1 ? (p->area.right - p->area.left - 48) / (p->x->snapshots - 1) : NAME_WIDTH;
    vs_label_fit(name, sizeof name, p->x->name, 15, p->area.right - p->area.left);
    vs_page_text(&f->page, VS_TEXT_HEAD, p->area.left, p->area.top - HEADING / 2.0, VS_INK, name);
    vs_figure_up(f, &scale, y, "");
    vs_page_line(&f->page, p->area.left, p->area.bottom, p->area.right, p->area.bottom, VS_INK_SOFT);
    vs_page_text(&f->page, VS_TEXT_UP, 26, (scale.top + scale.bottom) / 2, VS_INK_SOFT, "memory (MB)");
    if (!p->x->snapshots)
        vs_page_text(&f->page, VS_TEXT_LEFT, p->area.left + 16, (p->area.top + p->area.bottom) / 2, VS_INK_SOFT,
                     "no snapshots");
    write_phases(f, p);
    write_names(f, p);
    write_curves(f, p, y);
    if (p->x->snapshots) write_peak(f, p, y);
}

static double write_legend(struct vs_figure *f, double y)
{
    struct vs_legend legend = {&f->page, VS_PAGE_RIGHT, VS_PAGE_RIGHT, y};
    int some = 0;
    for (int i = 0; i < f->set->count; i++)
        some |= vs_experiment_is_shown(f->set, &f->set->item[i]) && shows_phases(&f->set->item[i]);
    vs_legend_entry(&legend, VS_SWATCH_LINE, ALLOCATED, "in use (allocated)");
    vs_legend_entry(&legend, VS_SWATCH_DASHED, RESERVED, "held from the driver (reserved)");
    for (int k = 0; k < PHASES && some; k++)
        vs_legend_entry(&legend, VS_SWATCH_UPRIGHT, phases[k].rgb, phases[k].title);
    vs_legend_entry(&legend, VS_SWATCH_DASHED, VS_INK_ALARM, "peak");
    return legend.y;
}

/* One scale for all; returns how many panels. */
static int measure(const struct vs_experiments *s, struct vs_axis *y, int *snapshots)
{
    double most = 0;
    int panels = 0;
    for (int i = 0; i < s->count; i++) {
        const struct vs_experiment *x = &s->item[i];
        if (!vs_experiment_is_shown(s, x)) continue;
        panels++;
        *snapshots += x->snapshots;
        most = fmax(most, x->peak_mb);
        for (int k = 0; k < x->snapshots; k++)
            most = fmax(most, fmax(x->snapshot[k].allocated_mb, x->snapshot[k].reserved_mb)); /* fmax passes over NAN */
    }
    vs_axis_linear(y, 0, most);
    return panels;
}

int vs_experiments_snapshots_write(const struct vs_experiments *s, const char *dir, int *unshown, struct vs_error *e)
{
    struct vs_figure f;
    struct vs_axis y;
    int snapshots = 0, panels = measure(s, &y, &snapshots);
    if (!snapshots) return vs_fail(e, ENODATA, "no result has snapshots");
    vs_figure_open(&f, dir, s);
    double top = vs_figure_head(
        &f, "Memory at the snapshots of a training step",
        "equally spaced, not by time; MB: 2^20 bytes; the arrow: between these two the peak was reached", 1);
    double height = panels == 1 ? 460 : panels <= 3 ? 260 : panels <= 6 ? 210 : 170;
    top = write_legend(&f, top) + 24;
    for (int i = 0; i < s->count; i++) {
        struct panel p = {{LEFT, top + HEADING, RIGHT, top + HEADING + height}, &s->item[i], 0};
        if (!vs_experiment_is_shown(s, &s->item[i])) continue;
        write_panel(&f, &p, &y);
        top += HEADING + height + FEET + GAP;
    }
    return vs_figure_close(&f, top + 4, unshown, e);
}
