/* SPDX-License-Identifier: MIT
 *
 * panel.c: owns what one panel of the timeline shows and where. Never draws beyond its own rows of the page.
 */
#include "panel.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

enum { ITERATION_GAP = 10 }; /* pixels at least between two marks */

const unsigned vs_level_colors[VS_LEVEL_COUNT] = {0x0072b2, 0xe69f00, 0x7a828c}; /* Okabe-Ito blue, orange; grey */

/* Darker than the curves: they are also ink for words. Over layers no colour but ink is free. */
static const unsigned peak_colors[2][VS_LEVEL_COUNT] = {{0x004a7a, 0xa86a00, 0x444b54}, {VS_INK, VS_INK, 0x444b54}};

static double to_x(const struct vs_panel *p, double axis_ns)
{
    double x = VS_PANEL_X0 + axis_ns / p->axes.ns_per_x / p->axes.x_max * (VS_PANEL_X1 - VS_PANEL_X0);
    return x < VS_PANEL_X0 ? VS_PANEL_X0 : x > VS_PANEL_X1 ? VS_PANEL_X1 : x;
}

static double to_y(const struct vs_panel *p, double bytes)
{
    return p->top + p->height * (1 - bytes / p->axes.bytes_per_y / p->axes.y_max);
}

static FILE *begin_file(struct vs_page *page, const struct vs_panel *p, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "panel%d_%s.tsv", p->index, what);
    return vs_page_begin(page, name);
}

static void write_axes(struct vs_page *page, const struct vs_panel *p, const struct vs_layers *layers)
{
    char text[64];
    int shown = 0;
    for (int i = 0; layers->known && i < VS_CATEGORY_COUNT; i++) shown += layers->present[i];
    FILE *f = begin_file(page, p, "axes");
    if (f)
        fprintf(f, "%.2f\t%.2f\t%.9g\t%.9g\t%.9g\t%.9g\t%d\n", p->top, p->top + p->height, p->axes.x_max,
                vs_page_step(p->axes.x_max, 12), p->axes.y_max, vs_page_step(p->axes.y_max, (int)(p->height / 36)),
                shown);
    vs_page_end(page, f);
    snprintf(text, sizeof text, "memory (%s)", p->axes.y_unit);
    vs_page_text(page, VS_TEXT_UP, 26, p->top + p->height / 2, VS_INK_SOFT, text);
}

static void write_spans(struct vs_page *page, const struct vs_panel *p, const struct vs_spans *s,
                        const struct vs_kinds *k)
{
    char text[VS_LABEL_SIZE];
    double strip = p->top - VS_PANEL_STRIP;
    for (int i = 0; i < s->count; i++) {
        const struct vs_span *span = &s->item[i];
        double x0 = to_x(p, span->begin_ns), x1 = to_x(p, span->end_ns);
        unsigned rgb = vs_kinds_color(k, span->kind);
        if (x1 < x0 + 1) x1 = x0 + 1;
        if (x1 > x0 + 3) x1 -= 1; /* a hair of white between neighbours */
        if (s->iterations) rgb = i % 2 ? 0xdde3ea : 0xc9d2dc;
        vs_page_box(page, x0, p->top, x1, p->top + p->height, vs_page_tint(rgb, p->colored ? 0.17 : 0.12));
        vs_page_box(page, x0, strip, x1, p->top - 3, rgb);
        vs_label_fit(text, sizeof text, span->label, 12, x1 - x0 - 7);
        if (*text) vs_page_text(page, VS_TEXT_SMALL, (x0 + x1) / 2, strip + 9.5, VS_INK, text);
    }
}

/* Behind the curves, and only so many that they can be told apart; strips of phases or iterations say more. */
static int write_iterations(sqlite3 *db, struct vs_page *page, const struct vs_panel *p, const struct vs_device *d,
                            struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    double last = -ITERATION_GAP;
    int err = vs_devices_prepare(db,
                                 "SELECT MIN(begin_ns) FROM phase WHERE process_id = ? AND iteration IS NOT NULL"
                                 " GROUP BY iteration ORDER BY 1",
                                 &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, d->process_id);
    while (sqlite3_step(q) == SQLITE_ROW) {
        double x = to_x(p, (double)(sqlite3_column_int64(q, 0) + d->offset_ns));
        if (x < last + ITERATION_GAP) continue;
        vs_page_line(page, x, p->top, x, p->top + p->height, 0xc4cbd3);
        last = x;
    }
    sqlite3_finalize(q);
    return 0;
}

/* "rank 0 · GPU 0   NVIDIA H200        peak in use 41.87 GiB at 1.234 s in "backward"   ·   peak held ..." */
static void write_heading(struct vs_page *page, const struct vs_panel *p, const struct vs_device *d)
{
    static const char *const what[VS_LEVEL_COUNT] = {"in use", "held", "used on the device"};
    char text[1024], part[512], bytes[40], when[40];
    double y = p->top - (p->strip ? VS_PANEL_STRIP : 0) - VS_PANEL_HEADING / 2.0;
    size_t used = 0;
    vs_page_text(page, VS_TEXT_HEAD, VS_PANEL_X0, y, VS_INK, d->label);
    vs_page_text(page, VS_TEXT_LEFT, VS_PANEL_X0 + vs_label_width(d->label, 17) + 14, y, VS_INK_SOFT, d->model);
    text[0] = 0;
    for (int l = 0; l < VS_LEVEL_COUNT; l++) {
        const struct vs_device_level *level = &d->level[l];
        if (!level->present || (l == VS_LEVEL_USED && used)) continue;
        vs_label_bytes(bytes, sizeof bytes, level->peak_bytes);
        vs_label_time(when, sizeof when, (double)(level->peak_ts_ns + d->offset_ns));
        snprintf(part, sizeof part, "%speak %s %s at %s%s%s%s", used ? "   ·   " : "", what[l], bytes, when,
                 *level->range && !used ? " in “" : "", used ? "" : level->range, *level->range && !used ? "”" : "");
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", part);
        if (used >= sizeof text) used = sizeof text - 1;
    }
    vs_page_text(page, VS_TEXT_RIGHT, VS_PANEL_X1, y, VS_INK_SOFT, text);
}

/* Words that would lie on the line of what is held go above it, and then say both. */
static double above_held(const struct vs_panel *p, const struct vs_device *d, double y, char *text, size_t size)
{
    double held = to_y(p, d->level[VS_LEVEL_HELD].peak_bytes);
    char in_use[40], bytes[40];
    if (y > held + 11 || y < held - 13) return y;
    vs_label_bytes(in_use, sizeof in_use, d->level[VS_LEVEL_SUB].peak_bytes);
    vs_label_bytes(bytes, sizeof bytes, d->level[VS_LEVEL_HELD].peak_bytes);
    if (d->level[VS_LEVEL_SUB].peak_bytes < d->level[VS_LEVEL_HELD].peak_bytes)
        snprintf(text, size, "peak %s, held %s", in_use, bytes);
    return held - 13;
}

/* The mark sits in data coordinates (drawn with the curves), the words beside it where there is more room. */
static void write_peaks(struct vs_page *page, const struct vs_panel *p, const struct vs_device *d, int layered)
{
    const unsigned *colors = peak_colors[layered];
    FILE *f = begin_file(page, p, "peaks");
    double said_x = -1e9, said_y = -1e9;
    int said = 0;
    for (int l = 0; f && l < VS_LEVEL_COUNT; l++) {
        const struct vs_device_level *level = &d->level[l];
        if (!level->present || (l == VS_LEVEL_USED && said)) continue;
        char bytes[40], text[80];
        double ns = (double)(level->peak_ts_ns + d->offset_ns), x = to_x(p, ns), y = to_y(p, level->peak_bytes);
        fprintf(f, "%.9g\t%.8g\t%u\n", ns / p->axes.ns_per_x, level->peak_bytes / p->axes.bytes_per_y, colors[l]);
        vs_label_bytes(bytes, sizeof bytes, level->peak_bytes);
        snprintf(text, sizeof text, "%s %s", l == VS_LEVEL_HELD && said ? "held" : "peak", bytes);
        int right = x > VS_PANEL_X1 - 190;
        double tx = right ? x - 10 : x + 10, ty = y - 13;
        if (l == VS_LEVEL_SUB && d->level[VS_LEVEL_HELD].present) ty = above_held(p, d, ty, text, sizeof text);
        if (l == VS_LEVEL_HELD && said && x > said_x - 190 && x < said_x + 190 && y < said_y + 26 && y > said_y - 26)
            continue; /* would cover the words of the peak that matters; the heading has both */
        vs_page_text(page, right ? VS_TEXT_NOTE_RIGHT : VS_TEXT_NOTE_LEFT, tx, ty, colors[l], text);
        said_x = x, said_y = y, said = 1;
    }
    vs_page_end(page, f);
}

static void write_capacity(FILE *f, struct vs_page *page, const struct vs_panel *p, const struct vs_device *d)
{
    char bytes[40], text[80];
    double y = d->total_bytes / p->axes.bytes_per_y;
    if (d->device < 0 || d->total_bytes <= 0 || y > p->axes.y_max) return;
    fprintf(f, "0\t%.8g\t%.9g\t0\t%u\n", y, p->axes.x_max, VS_INK);
    vs_label_bytes(bytes, sizeof bytes, d->total_bytes);
    snprintf(text, sizeof text, "device capacity %s", bytes);
    vs_page_text(page, VS_TEXT_NOTE_LEFT, VS_PANEL_X0 + 8, to_y(p, d->total_bytes) + 12, VS_INK, text);
}

/* The framework frees its cache and tries again, so of a process with PyTorch only what PyTorch gave up on counts. */
static int write_failures(sqlite3 *db, FILE *f, struct vs_page *page, const struct vs_panel *p,
                          const struct vs_device *d, struct vs_error *e)
{
    static const char *const sql =
        "SELECT ts_ns, bytes FROM allocation_failure a WHERE process_id = ?1 AND COALESCE(device, -1) = ?2 AND"
        " (source = 'torch' OR NOT EXISTS (SELECT 1 FROM allocation_failure b WHERE b.process_id = ?1 AND"
        " b.source = 'torch')) ORDER BY ts_ns LIMIT 20";
    sqlite3_stmt *q = NULL;
    int n = 0, err = vs_devices_prepare(db, sql, &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, d->process_id);
    sqlite3_bind_int(q, 2, d->device);
    for (; sqlite3_step(q) == SQLITE_ROW; n++) {
        char bytes[40], text[96];
        double ns = (double)(sqlite3_column_int64(q, 0) + d->offset_ns), x = to_x(p, ns);
        fprintf(f, "%.9g\t0\t0\t%.9g\t%u\n", ns / p->axes.ns_per_x, p->axes.y_max, VS_INK_ALARM);
        if (n) continue;
        vs_label_bytes(bytes, sizeof bytes, sqlite3_column_double(q, 1));
        snprintf(text, sizeof text, "out of memory: asked for %s", bytes);
        int right = x > (VS_PANEL_X0 + VS_PANEL_X1) / 2;
        vs_page_text(page, right ? VS_TEXT_NOTE_RIGHT : VS_TEXT_NOTE_LEFT, right ? x - 6 : x + 6,
                     p->top + p->height - 14, VS_INK_ALARM, text);
    }
    sqlite3_finalize(q);
    return 0;
}

int vs_panel_write(sqlite3 *db, struct vs_page *page, const struct vs_panel *p, const struct vs_device *d,
                   const struct vs_spans *spans, const struct vs_kinds *kinds, const struct vs_layers *layers,
                   struct vs_error *e)
{
    static const char *const files[VS_LEVEL_COUNT] = {"sub", "held", "used"};
    struct vs_curve_scale scale = {p->axes.ns_per_x, p->axes.bytes_per_y, 0};
    char name[64], colors[64];
    int err = 0;
    scale.merge_ns = p->axes.x_max * p->axes.ns_per_x / (VS_PANEL_X1 - VS_PANEL_X0);
    write_axes(page, p, layers);
    write_heading(page, p, d);
    write_spans(page, p, spans, kinds);
    if (!spans->phases) err = write_iterations(db, page, p, d, e);
    write_peaks(page, p, d, layers->known);
    FILE *f = begin_file(page, p, "limits");
    if (f) {
        fprintf(f, "0\t0\t0\t0\t16777215\n");
        write_capacity(f, page, p, d);
        if (!err) err = write_failures(db, f, page, p, d, e);
    }
    vs_page_end(page, f);
    for (int l = 0; !err && l < VS_LEVEL_COUNT; l++) {
        snprintf(name, sizeof name, "panel%d_%s.tsv", p->index, files[l]);
        err = vs_curve_write(db, page, name, d, (enum vs_level)l, &scale, e);
    }
    snprintf(name, sizeof name, "panel%d_layers.tsv", p->index);
    snprintf(colors, sizeof colors, "panel%d_colors.tsv", p->index);
    return err ? err : vs_layers_write(db, page, name, colors, layers, d, &scale, e);
}
