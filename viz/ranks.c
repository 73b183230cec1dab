/* SPDX-License-Identifier: MIT
 *
 * ranks.c: owns the layout of the chart "ranks over time": all of the run, then one iteration enlarged, each with one row per
 * rank. Never draws more of a pixel as busy than was.
 */
#include "ranks.h"

#include "axis.h"
#include "charts.h"
#include "legend.h"
#include "page.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEFT = 220, COLUMN = 2, LEGEND_TOP = 98, HEADING = 30, AXIS = 56, GAP = 10, RIGHT = LEFT + COLUMN * VS_RANK_COLUMNS };
enum { GROUND = 0xeef0f3, LEVELS = 32 };

/* From the bottom of a row. Okabe-Ito: they differ for colour-blind readers. */
static const struct {
    int state;
    unsigned rgb;
    const char *name;
} looks[] = {{VS_LANE_COMPUTE, 0x0072b2, "compute alone"},
             {VS_LANE_BOTH, 0x009e73, "both at once: communication hidden"},
             {VS_LANE_COMMUNICATION, 0xd55e00, "communication alone: exposed"}};

struct chart {
    struct vs_ranks ranks;
    struct vs_page page;
    double row;
};

/* Parts of a column in steps, so that equal ones can be joined; they never exceed LEVELS together. */
static int level(const struct vs_rank_strip *s, int column, int look, double ns_per_column)
{
    double below = 0;
    for (int k = 0; k <= look; k++) below += s->ns[column][looks[k].state];
    double share = below / ns_per_column;
    return (int)lrint((share > 1 ? 1 : share) * LEVELS);
}

static void write_strip(struct chart *c, const struct vs_rank_strip *s, double ns_per_column, double y)
{
    double bottom = y + c->row;
    vs_page_box(&c->page, LEFT, y, RIGHT, bottom, GROUND);
    for (int look = 0; look < 3; look++) {
        for (int i = 0, from = 0; i < VS_RANK_COLUMNS; i++) {
            int low = look ? level(s, i, look - 1, ns_per_column) : 0, high = level(s, i, look, ns_per_column);
            int last = i + 1 == VS_RANK_COLUMNS;
            if (!last && (look ? level(s, i + 1, look - 1, ns_per_column) : 0) == low && level(s, i + 1, look, ns_per_column) == high) continue;
            if (high > low)
                vs_page_box(&c->page, LEFT + COLUMN * from, bottom - c->row * high / LEVELS, LEFT + COLUMN * (i + 1),
                            bottom - c->row * low / LEVELS, looks[look].rgb);
            from = i + 1;
        }
    }
}

static double write_axis(struct chart *c, double y, int64_t from_ns, int64_t span_ns, const char *what)
{
    static const struct {
        double below, ns;
        const char *name;
    } unit[] = {{1e6, 1e3, "µs"}, {1e9, 1e6, "ms"}, {1e300, 1e9, "s"}};
    struct vs_axis a;
    char text[160];
    int u = 0;
    while ((double)span_ns >= unit[u].below) u++;
    vs_axis_tight(&a, (double)from_ns / unit[u].ns, (double)(from_ns + span_ns) / unit[u].ns);
    for (int i = 0; i < a.ticks; i++) {
        double x = LEFT + vs_axis_share(&a, vs_axis_value(&a, i)) * (RIGHT - LEFT);
        vs_page_line(&c->page, x, y, x, y + 6, VS_INK_SOFT);
        snprintf(text, sizeof text, "%.10g", vs_axis_value(&a, i));
        vs_page_text(&c->page, VS_TEXT_CENTER, x, y + 16, VS_INK_SOFT, text);
    }
    snprintf(text, sizeof text, "%s (%s)", what, unit[u].name);
    vs_page_text(&c->page, VS_TEXT_CENTER, (LEFT + RIGHT) / 2.0, y + 36, VS_INK_SOFT, text);
    return y + AXIS;
}

/* Below its name: why it is here, or how much of its communication is hidden. */
static void write_shares(struct chart *c, const struct vs_rank *r, const struct vs_rank_strip *s, double y)
{
    char text[96];
    double communication = s->sum[VS_LANE_COMMUNICATION] + s->sum[VS_LANE_BOTH];
    if (r->why) snprintf(text, sizeof text, "%s", r->why);
    else if (r->device < 0) snprintf(text, sizeof text, "calls only");
    else if (communication > 0) snprintf(text, sizeof text, "%.0f %% hidden", 100 * s->sum[VS_LANE_BOTH] / communication);
    else return;
    vs_page_text(&c->page, VS_TEXT_RIGHT, LEFT - 10, y + c->row / 2 + 9, VS_INK_SOFT, text);
}

static double write_rows(struct chart *c, int enlarged, double y)
{
    const struct vs_ranks *k = &c->ranks;
    double ns_per_column = (double)(enlarged ? k->step_span_ns : k->span_ns) / VS_RANK_COLUMNS;
    for (int i = 0; i < k->count; i++) {
        const struct vs_rank *r = &k->item[i];
        const struct vs_rank_strip *s = enlarged ? &r->step : &r->all;
        char label[VS_LABEL_SIZE];
        write_strip(c, s, ns_per_column, y);
        vs_label_fit(label, sizeof label, r->label, 14, LEFT - 14);
        vs_page_text(&c->page, VS_TEXT_RIGHT, LEFT - 10, y + c->row / 2 - (c->row >= 34 ? 9 : 0), VS_INK, label);
        if (c->row >= 34) write_shares(c, r, s, y);
        for (int end = 0; enlarged && r->end_ns && end < 2; end++) {
            double x = LEFT + (double)((end ? r->end_ns : r->begin_ns) - k->step_ns) / (double)k->step_span_ns * (RIGHT - LEFT);
            vs_page_line(&c->page, x, y - 4, x, y + c->row + 4, VS_INK);
        }
        y += c->row + GAP;
    }
    return y - GAP;
}

static double write_head(struct chart *c)
{
    const struct vs_ranks *k = &c->ranks;
    struct vs_legend legend = {&c->page, LEFT, LEFT, LEGEND_TOP};
    char text[160], many[96] = "";
    if (k->total > k->count) snprintf(many, sizeof many, ": the ones with least, median and most compute of %d", k->total);
    snprintf(text, sizeof text, "Ranks over time%s", many);
    vs_page_text(&c->page, VS_TEXT_TITLE, LEFT, 34, VS_INK, text);
    snprintf(text, sizeof text, "share of each moment in which kernels ran%s", k->hosts > 1 ? "; several hosts: their clocks may differ" : "");
    vs_page_text(&c->page, VS_TEXT_LEFT, LEFT, 64, VS_INK_SOFT,
                 k->without_kernels == k->count ? "no kernels were recorded: time inside calls of collectives, the rest is not known" : text);
    if (k->without_kernels == k->count) vs_legend_entry(&legend, VS_SWATCH_BROAD, looks[2].rgb, "inside a collective");
    for (int i = 0; k->without_kernels < k->count && i < 3; i++) vs_legend_entry(&legend, VS_SWATCH_BROAD, looks[i].rgb, looks[i].name);
    vs_legend_entry(&legend, VS_SWATCH_BROAD, 0xd5d9de, k->without_kernels == k->count ? "outside" : "idle");
    if (*k->alarm) {
        vs_page_text(&c->page, VS_TEXT_HEAD, LEFT, legend.y + VS_LEGEND_ROW, VS_INK_ALARM, k->alarm);
        legend.y += VS_LEGEND_ROW;
    }
    return legend.y + 26;
}

static void write_page(struct chart *c)
{
    const struct vs_ranks *k = &c->ranks;
    char text[120];
    double y = write_head(c) + HEADING, top = y;
    vs_page_text(&c->page, VS_TEXT_HEAD, LEFT, y - HEADING / 2.0, VS_INK, "all of the run");
    y = write_rows(c, 0, y);
    if (k->step_span_ns) { /* where the enlarged part lies */
        double x0 = LEFT + (double)(k->step_ns - k->origin_ns) / (double)k->span_ns * (RIGHT - LEFT);
        double x1 = fmin(x0 + (double)k->step_span_ns / (double)k->span_ns * (RIGHT - LEFT), RIGHT);
        x0 = fmax(x0, LEFT);
        vs_page_line(&c->page, x0, top - 6, x0, y + 6, VS_INK);
        vs_page_line(&c->page, x1, top - 6, x1, y + 6, VS_INK);
    }
    y = write_axis(c, y + 8, 0, k->span_ns, "time since the first rank's first work");
    if (k->step_span_ns) {
        y += HEADING;
        snprintf(text, sizeof text, "iteration %lld, enlarged; thin lines: where each rank's begins and ends", (long long)k->step);
        vs_page_text(&c->page, VS_TEXT_HEAD, LEFT, y - HEADING / 2.0, VS_INK, text);
        y = write_rows(c, 1, y);
        y = write_axis(c, y + 8, k->step_ns - k->origin_ns, k->step_span_ns, "time since the first rank's first work");
    }
    vs_page_size(&c->page, y, 0);
}

int vs_rank_timeline_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e)
{
    struct chart *c = calloc(1, sizeof *c);
    int err, closed;
    if (!c) return vs_fail(e, ENOMEM, "out of memory");
    err = vs_ranks_load(db, &c->ranks, e);
    if (!err) {
        c->row = c->ranks.count <= 4 ? 56 : 40;
        vs_page_open(&c->page, dir);
        write_page(c);
        *unshown |= c->page.unshown;
        closed = vs_page_close(&c->page, e);
        err = closed;
    }
    free(c);
    return err;
}
