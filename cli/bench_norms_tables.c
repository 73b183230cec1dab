/* SPDX-License-Identifier: MIT
 *
 * bench_norms_tables.c: which results stand together in a table, and the tables of many layers and what there is to say
 * of single results.
 * Must never mix device, element type or shape in one table.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../exporters/visible.h"
#include "bench_norms.h"
#include "sheet.h"

void vs_norm_line(FILE *out, const char *format, ...)
{
    char text[2048], shown[VS_SHEET_COLUMNS * 8];
    size_t n;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (n = strlen(text); n && text[n - 1] == ' ';) n--;
    vs_visible(text, n, VS_SHEET_COLUMNS, shown, sizeof shown);
    fprintf(out, "%s\n", shown);
}

char *vs_norm_ms(double ms, char out[32])
{
    if (isnan(ms)) strcpy(out, "-");
    else snprintf(out, 32, ms >= 1000 ? "%.0f" : ms >= 100 ? "%.1f" : ms >= 0.1 ? "%.3f" : "%.4f", ms);
    return out;
}

char *vs_norm_times(double numerator, double denominator, char out[32])
{
    double ratio = numerator / denominator;
    if (isnan(ratio)) strcpy(out, "-");
    else if (isinf(ratio)) strcpy(out, "inf");
    else snprintf(out, 32, ratio >= 100 ? "%.0fx" : ratio >= 10 ? "%.1fx" : "%.2fx", ratio);
    return out;
}

static int is_many(const struct vs_norm_row *r)
{
    return *r->grouping && strcmp(r->grouping, "one");
}

static int belongs(const struct vs_norm_row *a, const struct vs_norm_row *b)
{
    if (is_many(a) != is_many(b) || strcmp(a->device, b->device) || strcmp(a->dtype, b->dtype) || a->B != b->B)
        return 0;
    if (is_many(a)) return a->T == b->T && a->layers == b->layers && !strcmp(a->preset, b->preset);
    return a->d == b->d && a->p == b->p;
}

int vs_norm_tables(const struct vs_norm_rows *rows, FILE *out)
{
    const struct vs_norm_row **group = calloc((size_t)rows->count + 1, sizeof *group);
    char *done = calloc((size_t)rows->count + 1, 1);
    int err = group && done ? 0 : -ENOMEM;
    for (int i = 0; !err && i < rows->count; i++) {
        int n = 0;
        if (done[i]) continue;
        for (int j = i; j < rows->count; j++) {
            if (done[j] || !belongs(&rows->item[i], &rows->item[j])) continue;
            group[n++] = &rows->item[j];
            done[j] = 1;
        }
        if (is_many(group[0])) vs_norm_table_grouped(group, n, out);
        else err = vs_norm_table_layers(group, n, out);
        if (!err) vs_norm_table_notes(group, n, out);
    }
    free(group);
    free(done);
    return err;
}

/* The yardstick: the fastest call that takes all layers at once. */
static const struct vs_norm_row *fastest_grouped(const struct vs_norm_row *const *row, int count)
{
    const struct vs_norm_row *best = NULL;
    for (int i = 0; i < count; i++)
        if (!strcmp(row[i]->grouping, "grouped") && row[i]->median_ms > 0 &&
            (!best || row[i]->median_ms < best->median_ms))
            best = row[i];
    return best;
}

void vs_norm_table_grouped(const struct vs_norm_row *const *row, int count, FILE *out)
{
    const struct vs_norm_row *r = row[0], *best = fastest_grouped(row, count);
    char a[32], b[32], c[32], d[32], f[32];
    vs_norm_line(out, "GROUPED  %s%s%lld layers, %s, B=%lld T=%lld on %s: one launch against one by one", r->preset,
                 *r->preset ? ", " : "", (long long)r->layers, r->dtype, (long long)r->B, (long long)r->T,
                 *r->gpu ? r->gpu : r->device);
    vs_norm_line(out, "%-8s %-14s %12s %10s %16s %10s %10s %10s", "layers", "algorithm", "device ms", "ratio",
                 "with launch ms", "ratio", "of floor", "error");
    for (int i = 0; i < count; i++) {
        int grouped = !strcmp(row[i]->grouping, "grouped");
        r = row[i];
        if (r->skipped) continue;
        strcpy(f, "-");
        if (!isnan(r->rel_err)) snprintf(f, sizeof f, "%.1e%s", r->rel_err, r->beyond ? "!" : "");
        snprintf(d, sizeof d, isnan(r->floor_fraction) ? "-" : "%.2f", r->floor_fraction);
        vs_norm_line(out, "%-8.8s %-14.14s %12s %10s %16s %10s %10s %10s", grouped ? "at once" : r->grouping, r->algo,
                     vs_norm_ms(r->median_ms, a),
                     r == best ? "1" : vs_norm_times(r->median_ms, best ? best->median_ms : NAN, b),
                     vs_norm_ms(r->call_ms, c),
                     r == best ? "1" : vs_norm_times(r->call_ms, best ? best->call_ms : NAN, (char[32]){0}), d, f);
    }
}

static void begin_note(const struct vs_norm_row *r, const char *what, FILE *out)
{
    const char *how = !is_many(r) ? "" : !strcmp(r->grouping, "grouped") ? " at once" : " layer by layer";
    fprintf(out, "%s  %s%s, T=%lld: ", what, r->algo, how, (long long)r->T);
}

void vs_norm_table_notes(const struct vs_norm_row *const *row, int count, FILE *out)
{
    for (int i = 0; i < count; i++) {
        const struct vs_norm_row *r = row[i];
        if (r->skipped ||
            r->unchecked) { /* not cut: the end of a reason says what to do; it was made visible when read */
            begin_note(r, r->skipped ? "SKIPPED" : "UNCHECKED", out);
            fprintf(out, "%s\n", *r->reason ? r->reason : "no reason given");
        }
        if (is_many(r) && !isnan(r->kappa)) { /* single layers have a table of it */
            begin_note(r, "KAPPA", out);
            fprintf(out, "%.3g\n", r->kappa);
        }
        if (r->recomputed > 0) {
            begin_note(r, "AGAIN", out);
            fprintf(out, "%lld sample%s computed again from the gradient\n", (long long)r->recomputed,
                    r->recomputed == 1 ? "" : "s");
        }
    }
}
