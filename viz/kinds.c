/* SPDX-License-Identifier: MIT
 *
 * kinds.c: owns which colour stands for which kind of range. Never gives one kind two colours on a page.
 */
#include "panel.h"

#include <stdlib.h>
#include <string.h>

/* Paul Tol's "light" scheme: made to stand behind black text and to differ for colour-blind readers. */
static const unsigned colors[VS_KINDS_MAX] = {0x99ddff, 0xeedd88, 0xffaabb, 0xbbcc33,
                                              0x44bb99, 0xee8866, 0x77aadd, 0xaaaa00};

static int by_covered(const void *a, const void *b)
{
    double x = ((const struct vs_kind *)a)->covered, y = ((const struct vs_kind *)b)->covered;
    return x > y ? -1 : x < y;
}

static int label_is_readable(const struct vs_span *s, double span_ns)
{
    double width = (s->end_ns - s->begin_ns) / span_ns * (VS_PANEL_X1 - VS_PANEL_X0);
    return vs_label_width(s->label, 12) <= width - 8;
}

void vs_kinds_collect(struct vs_kinds *k, const struct vs_spans *spans, int count, double span_ns)
{
    /* Every span may be of its own kind; the list is sorted once all are in. */
    enum { ALL = 8 * VS_SPANS_MAX };
    struct vs_kind *all = calloc(ALL, sizeof *all);
    int n = 0;
    memset(k, 0, sizeof *k);
    for (int i = 0; all && i < count; i++) {
        for (int j = 0; j < spans[i].count; j++) {
            const struct vs_span *s = &spans[i].item[j];
            int at = 0;
            while (at < n && strcmp(all[at].kind, s->kind)) at++;
            if (at == n) {
                memcpy(all[n].kind, s->kind, sizeof s->kind);
                memcpy(all[n++].name, s->name, sizeof s->name);
            }
            if (strcmp(all[at].name, s->name)) memcpy(all[at].name, s->kind, sizeof s->kind);
            all[at].covered += s->end_ns - s->begin_ns;
            all[at].written |= label_is_readable(s, span_ns);
        }
    }
    if (n) qsort(all, (size_t)n, sizeof *all, by_covered);
    k->count = n < VS_KINDS_MAX ? n : VS_KINDS_MAX;
    k->others = n - k->count;
    if (n) memcpy(k->item, all, (size_t)k->count * sizeof *all);
    free(all);
}

unsigned vs_kinds_color(const struct vs_kinds *k, const char *kind)
{
    for (int i = 0; i < k->count; i++)
        if (!strcmp(k->item[i].kind, kind)) return colors[i];
    return VS_NO_KIND_COLOR;
}
