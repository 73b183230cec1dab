/* SPDX-License-Identifier: MIT
 *
 * timeline.c: owns the layout of the chart "memory over time". Never decides what is drawn with: timeline.gp does.
 *
 * From the top: title, command, legend, then for each device a heading with its peaks, a strip with the names of the
 * ranges, and the curves over the same colours in pale.
 */
#include "charts.h"

#include "panel.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { PANELS_MAX = 8, LEGEND_TOP = 96, LEGEND_ROW = 24 };

struct timeline {
    struct vs_devices devices;
    struct vs_spans spans[PANELS_MAX];
    struct vs_kinds kinds;
    struct vs_layers layers[PANELS_MAX];
    struct vs_panel panel[PANELS_MAX];
    struct vs_page page;
    int shown[VS_LEVEL_COUNT], has_spans, has_merged, has_phases, has_iterations;
    int marked;           /* where iterations begin */
    int stacked, largest; /* panels with layers; the one of them with the highest peak */
};

static void choose_time_scale(struct vs_axes *a, double span_ns)
{
    static const struct {
        double below, ns;
        const char *name;
    } unit[] = {{1e6, 1e3, "µs"}, {1e9, 1e6, "ms"}, {3 * 3600e9, 1e9, "s"}, {1e300, 3600e9, "hours"}};
    int u = 0;
    while (span_ns >= unit[u].below) u++;
    a->ns_per_x = unit[u].ns;
    a->x_unit = unit[u].name;
    a->x_max = span_ns / unit[u].ns;
}

/* One scale for all GPUs and one for all hosts: panels above each other are there to be compared. */
static void choose_memory_scale(struct vs_axes *a, const struct vs_devices *devices, int host)
{
    double most = 1, top;
    for (int i = 0; i < devices->count; i++) {
        const struct vs_device *d = &devices->item[i];
        for (int l = 0; (d->device < 0) == host && l < VS_LEVEL_COUNT; l++)
            if (d->level[l].present && d->level[l].peak_bytes > most) most = d->level[l].peak_bytes;
    }
    top = most * 1.18; /* room for the words above the peak */
    for (int i = 0; !host && i < devices->count; i++) {
        double all = devices->item[i].total_bytes;
        if (most > all / 2 && top < all * 1.06) top = all * 1.06;
    }
    a->bytes_per_y = vs_page_unit(top, &a->y_unit);
    a->y_max = top / a->bytes_per_y;
}

static void write_title(struct timeline *t)
{
    char text[640], many[64] = "";
    const struct vs_devices *d = &t->devices;
    const char *what = d->gpus == d->count ? "GPU memory" : d->gpus ? "GPU and host memory" : "Host memory";
    if (d->total > d->count) snprintf(many, sizeof many, " (%d of %d devices: the largest peaks)", d->count, d->total);
    snprintf(text, sizeof text, "%s over time%s", what, many);
    vs_page_text(&t->page, VS_TEXT_TITLE, VS_PANEL_X0, 34, VS_INK, text);
    snprintf(text, sizeof text, "%s%s%d process%s recorded", d->command, *d->command ? "   ·   " : "", d->processes,
             d->processes == 1 ? "" : "es");
    vs_page_text(&t->page, VS_TEXT_LEFT, VS_PANEL_X0, 64, VS_INK_SOFT, text);
}

/* One entry of the legend; page NULL only measures. A new row begins where the page ends. */
static void legend_entry(struct vs_page *page, double *x, double *y, unsigned line, unsigned fill, const char *text)
{
    double mark = line || fill ? 34 : 0, width = mark + vs_label_width(text, 14) + 22;
    if (*x > VS_PANEL_X0 && *x + width > VS_PANEL_X1) *x = VS_PANEL_X0, *y += LEGEND_ROW;
    if (page && fill) vs_page_box(page, *x, *y - 7, *x + 26, *y + 7, fill);
    if (page && line) vs_page_line(page, *x, *y, *x + 26, *y, line);
    if (page) vs_page_text(page, VS_TEXT_LEFT, *x + mark, *y, mark > 0 ? VS_INK : VS_INK_SOFT, text);
    *x += width;
}

static double legend_ranges(struct timeline *t, struct vs_page *page, double x, double y)
{
    char text[VS_LABEL_SIZE];
    const char *what = t->has_phases ? "phases of the program" : "NVTX ranges";
    if (!t->has_spans) return y;
    snprintf(text, sizeof text, "%s: %s%s", t->stacked ? "strip" : "background", t->has_iterations ? "iterations" : what,
             t->has_merged && !t->has_iterations ? ", short ones joined" : "");
    legend_entry(page, &x, &y, 0, 0, text);
    if (t->has_iterations) return y;
    for (int i = 0; i < t->kinds.count; i++) {
        const struct vs_kind *k = &t->kinds.item[i];
        vs_label_clean(text, sizeof text, k->name, VS_LABEL_POINTS);
        if (!k->written) legend_entry(page, &x, &y, 0, vs_kinds_color(&t->kinds, k->kind), text);
    }
    if (t->kinds.others) legend_entry(page, &x, &y, 0, VS_NO_KIND_COLOR, "all others");
    return y;
}

/* From the bottom of the stack, with the sizes at the highest peak. Returns the y of its last row. */
static double legend_layers(struct timeline *t, struct vs_page *page, double y)
{
    const struct vs_layers *l = &t->layers[t->largest];
    char text[VS_LABEL_SIZE + 64], bytes[40];
    double x = VS_PANEL_X0;
    int any[VS_CATEGORY_COUNT] = {0};
    for (int i = 0; i < t->devices.count; i++)
        for (int c = 0; t->layers[i].known && c < VS_CATEGORY_COUNT; c++) any[c] |= t->layers[i].present[c];
    if (t->devices.count > 1) snprintf(text, sizeof text, "at the peak of %s:", t->devices.item[t->largest].label);
    else snprintf(text, sizeof text, "in use, at the peak:");
    legend_entry(page, &x, &y, 0, 0, text);
    for (int c = 0; c < VS_CATEGORY_COUNT; c++) {
        if (!any[c]) continue;
        vs_label_bytes(bytes, sizeof bytes, l->peak_bytes[c]);
        snprintf(text, sizeof text, "%s %s", vs_category_looks[c].name, bytes);
        legend_entry(page, &x, &y, 0, vs_category_looks[c].rgb, text);
    }
    return y;
}

/* Returns the y of its last row. */
static double legend(struct timeline *t, struct vs_page *page)
{
    static const char *const how[2] = {"line: value, band: lowest to highest in a pixel, dot: peak",
                                       "each pixel at its highest moment, dot: peak"};
    static const char *const meaning[2][VS_LEVEL_COUNT] = {
        {"in use by the program", "held from the driver", "used on the device by all processes"},
        {"in use by the program", "held by the process", "used on the device by all processes"},
    };
    double x = VS_PANEL_X0, y = LEGEND_TOP;
    int only_gpus = t->devices.gpus == t->devices.count, gaps = 0;
    if (t->stacked) y = legend_layers(t, page, y) + LEGEND_ROW;
    for (int l = 0; l < VS_LEVEL_COUNT; l++) {
        unsigned line = vs_level_colors[l], fill = vs_page_tint(line, 0.42);
        if (!t->shown[l] || (l == VS_LEVEL_SUB && t->stacked == t->devices.count)) continue;
        if (l == VS_LEVEL_HELD && t->stacked) line = VS_INK, fill = vs_page_tint(VS_INK, 0.05);
        legend_entry(page, &x, &y, line, fill, meaning[!only_gpus][l]);
    }
    for (int i = 0; i < t->devices.count; i++) gaps |= t->layers[i].gaps;
    if (gaps) legend_entry(page, &x, &y, 0, VS_UNTOLD_COLOR, "in use, category not known");
    legend_entry(page, &x, &y, 0, 0, how[t->stacked > 0]);
    if (t->marked) legend_entry(page, &x, &y, 0, 0, "vertical lines: iterations begin");
    if (!t->has_spans) return y;
    return legend_ranges(t, page, VS_PANEL_X0, y + LEGEND_ROW);
}

static int write_panels(struct timeline *t, struct sqlite3 *db, struct vs_error *e)
{
    static const double heights[PANELS_MAX + 1] = {0, 540, 300, 230, 210, 170, 170, 160, 160};
    char text[160];
    int n = t->devices.count, err = 0;
    double y = legend(t, NULL) + 22;
    for (int i = 0; i < n && !err; i++) {
        struct vs_panel *p = &t->panel[i];
        p->index = i + 1;
        p->strip = t->has_spans;
        p->colored = !t->stacked;
        p->height = heights[n];
        p->top = y + VS_PANEL_HEADING + (p->strip ? VS_PANEL_STRIP : 0);
        y = p->top + p->height + VS_PANEL_GAP;
        choose_time_scale(&p->axes, (double)t->devices.span_ns);
        choose_memory_scale(&p->axes, &t->devices, t->devices.item[i].device < 0);
        err = vs_panel_write(db, &t->page, p, &t->devices.item[i], &t->spans[i], &t->kinds, &t->layers[i], e);
    }
    snprintf(text, sizeof text, "time since %s recording began (%s)",
             n > 1 && !t->devices.aligned && t->devices.processes > 1 ? "each process's"
             : t->devices.processes > 1                               ? "the first process's"
                                                                      : "the",
             t->panel[0].axes.x_unit);
    vs_page_text(&t->page, VS_TEXT_CENTER, (VS_PANEL_X0 + VS_PANEL_X1) / 2.0, y + 26, VS_INK_SOFT, text);
    vs_page_size(&t->page, y + 52, n);
    return err;
}

static int look_for_iterations(struct timeline *t, struct sqlite3 *db, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int err = vs_devices_prepare(db, "SELECT EXISTS (SELECT 1 FROM phase WHERE iteration IS NOT NULL)", &q, e);
    if (!err && sqlite3_step(q) == SQLITE_ROW) t->marked = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    for (int i = 0, unmarked = 0; i < t->devices.count; i++) { /* a strip of phases shows them itself */
        unmarked += t->spans[i].phases;
        if (unmarked == t->devices.count) t->marked = 0;
    }
    return err;
}

static int load_layers(struct timeline *t, struct sqlite3 *db, struct vs_error *e)
{
    const struct vs_device *d = t->devices.item;
    int err = 0;
    for (int i = 0; i < t->devices.count && !err; i++) {
        err = vs_layers_load(db, &d[i], &t->layers[i], e);
        if (!t->layers[i].known) continue;
        if (!t->stacked++ || d[i].level[VS_LEVEL_SUB].peak_bytes > d[t->largest].level[VS_LEVEL_SUB].peak_bytes)
            t->largest = i;
    }
    return err;
}

static int write_all(struct timeline *t, struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    int err = vs_devices_load(db, PANELS_MAX, &t->devices, e);
    if (err) return err;
    if (!t->devices.count)
        return vs_fail(e, ENODATA,
                       "nothing to draw: the database has no memory events; was the program recorded with "
                       "vramscope run, and did it allocate on a GPU or name its memory with NVTX?");
    if ((err = vs_spans_load(db, &t->devices, t->spans, e)) || (err = load_layers(t, db, e))) return err;
    vs_kinds_collect(&t->kinds, t->spans, t->devices.count, (double)t->devices.span_ns);
    for (int i = 0; i < t->devices.count; i++) {
        t->has_spans |= t->spans[i].count > 0;
        t->has_merged |= t->spans[i].merged;
        t->has_phases |= t->spans[i].phases;
        t->has_iterations |= t->spans[i].iterations;
        for (int l = 0; l < VS_LEVEL_COUNT; l++) t->shown[l] |= t->devices.item[i].level[l].present;
    }
    if ((err = look_for_iterations(t, db, e))) return err;
    vs_page_open(&t->page, dir);
    write_title(t);
    legend(t, &t->page);
    err = write_panels(t, db, e);
    *unshown |= t->page.unshown;
    int closed = vs_page_close(&t->page, e);
    return err ? err : closed;
}

int vs_timeline_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    struct timeline *t = calloc(1, sizeof *t);
    if (!t) return vs_fail(e, ENOMEM, "out of memory");
    int err = write_all(t, db, dir, unshown, e);
    vs_devices_free(&t->devices);
    free(t);
    return err;
}
