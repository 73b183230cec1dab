/* SPDX-License-Identifier: MIT
 *
 * report_iteration.c: memory of every iteration, and whether it grows. Must never hide the highest one.
 */
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "iterations.h"

enum { COLUMNS = 3, FIRST = 4, LAST = 14 }; /* categories with a column of their own; rows of a long run */

static void heading(struct vs_sheet *s, const struct vs_iterations *it)
{
    const struct vs_iteration *high = &it->item[it->highest];
    char time[VS_HUMAN], bytes[VS_HUMAN];
    vs_sheet_line(s, "ITERATIONS %.30s  %lld %s, median %s; peak %s in iteration %lld, %s", it->place,
                  (long long)it->count, it->named ? "named by the program" : "found", vs_human_time(it->median_ns, time),
                  vs_human_bytes(high->peak_bytes, bytes), (long long)high->number, high->peak_phase);
}

/* When the device will be full, if it goes on so. */
static void forecast(struct vs_sheet *s, const struct vs_iterations *it)
{
    double left = it->growth.slope > 0 ? (double)it->room_bytes / it->growth.slope : 0;
    char room[VS_HUMAN], time[VS_HUMAN];
    if (it->growth.verdict != VS_GROWTH_SUSTAINED || !vs_iterations_leak(it) || it->room_bytes < 0 || left * (double)it->median_ns > 9e18) return;
    vs_sheet_line(s, "  at this rate the %s left on the device last %.0f iterations, %s", vs_human_bytes(it->room_bytes, room),
                  left, vs_human_time((int64_t)(left * (double)it->median_ns), time));
}

/* After a run only what one must hear of at once. */
void vs_report_iterations(struct vs_sheet *s)
{
    struct vs_iterations it;
    char verdict[256];
    vs_iterations_load(s, &it);
    if (it.count && !s->failed && (!s->brief || vs_iterations_leak(&it))) {
        heading(s, &it);
        vs_iterations_verdict(&it, verdict, sizeof verdict);
        vs_sheet_line(s, "  %s", verdict);
        forecast(s, &it);
    }
    vs_iterations_free(&it);
}

/* The categories with most bytes at any iteration's peak. */
static int choose_columns(const struct vs_iterations *it, int column[VS_CATEGORY_COUNT])
{
    int64_t most[VS_CATEGORY_COUNT] = {0};
    int n = 0;
    for (int64_t i = 0; i < it->count; i++)
        for (int c = 0; c < VS_CATEGORY_COUNT; c++)
            if (it->item[i].at_peak[c] > most[c]) most[c] = it->item[i].at_peak[c];
    for (;;) {
        int best = -1;
        for (int c = 0; c < VS_CATEGORY_COUNT; c++)
            if (most[c] > 0 && (best < 0 || most[c] > most[best])) best = c;
        if (best < 0) return n;
        column[n++] = best;
        most[best] = 0;
    }
}

static void row(struct vs_sheet *s, const struct vs_iterations *it, int64_t i, const int *column, int shown, int others)
{
    const struct vs_iteration *x = &it->item[i];
    char time[VS_HUMAN], peak[VS_HUMAN], end[VS_HUMAN], grown[VS_HUMAN] = "", cells[128] = "", bytes[VS_HUMAN];
    int64_t rest = x->peak_bytes, growth = i ? x->end_bytes - x[-1].end_bytes : 0;
    size_t n = 0;
    for (int c = 0; c < shown; c++) {
        rest -= x->at_peak[column[c]];
        n += (size_t)snprintf(cells + n, sizeof cells - n, " %10s", vs_human_bytes(x->at_peak[column[c]], bytes));
    }
    if (others) snprintf(cells + n, sizeof cells - n, " %10s", vs_human_bytes(rest, bytes));
    if (growth) snprintf(grown, sizeof grown, "%s%.29s", growth > 0 ? "+" : "", vs_human_bytes(growth, bytes));
    vs_sheet_line(s, "%c %7lld %9s %10s%s %10s %11s", i == it->highest ? '>' : ' ', (long long)x->number,
                  vs_human_time(x->end_ns - x->begin_ns, time), vs_human_bytes(x->peak_bytes, peak), cells,
                  vs_human_bytes(x->end_bytes, end), i ? (growth ? grown : "0 B") : "");
}

static void table(struct vs_sheet *s, const struct vs_iterations *it)
{
    int column[VS_CATEGORY_COUNT], found = choose_columns(it, column);
    int shown = found <= COLUMNS + 1 ? found : COLUMNS, others = shown < found;
    char cells[128] = "";
    size_t n = 0;
    int64_t hidden = 0;
    for (int c = 0; c < shown; c++)
        n += (size_t)snprintf(cells + n, sizeof cells - n, " %10s", vs_category_looks[column[c]].brief);
    if (others) snprintf(cells + n, sizeof cells - n, " %10s", "other");
    vs_sheet_line(s, "%9s %9s %10s%s %10s %11s", "iteration", "time", "peak", cells, "at its end", "growth");
    for (int64_t i = 0; i < it->count; i++) {
        int hide = !s->all && it->count > FIRST + LAST + 2 && i >= FIRST && i < it->count - LAST && i != it->highest;
        if (hide && ++hidden) continue;
        if (hidden) vs_sheet_line(s, "      ... %lld more (--all shows them)", (long long)hidden);
        hidden = 0;
        row(s, it, i, column, shown, others);
    }
    if (found) vs_sheet_line(s, "> highest peak; of each peak what it was made of; growth: against the iteration before");
}

void vs_report_by_iteration(struct vs_sheet *s)
{
    struct vs_iterations it;
    char verdict[256];
    vs_iterations_load(s, &it);
    if (it.count && !s->failed) {
        heading(s, &it);
        table(s, &it);
        vs_iterations_verdict(&it, verdict, sizeof verdict);
        vs_sheet_line(s, "%s", verdict);
        forecast(s, &it);
    } else if (!s->failed)
        vs_sheet_line(s, "ITERATIONS  none found: neither passes of PyTorch nor NVTX ranges named forward or backward");
    vs_iterations_free(&it);
}
