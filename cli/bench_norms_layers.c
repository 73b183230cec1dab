/* SPDX-License-Identifier: MIT
 *
 * bench_norms_layers.c: the two tables of the notes, memory and time over T, with their ratios beside ours, and what the
 * algorithms reach of the machine. Must never show a ratio of theirs that they do not give.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_norms.h"
#include "sheet.h"

enum { ALGORITHMS = 5, WIDTH = 12 }; /* side by side, more go below; of a column */

/* What the notes give for the algorithm that writes both Gram matrices and the one in tiles of 256: their memory, and
 * their times in ms. Memory grows as (T/256)^2 / 2. */
static const struct {
    int64_t T;
    double memory_ratio, full_ms, tiled_ms;
} notes[] = {{512, 2, 2.2, 1.4},      {1024, 8, 9.3, 2.6},   {2048, 32, 20.6, 5.1},
             {4096, 128, 97.3, 17.5}, {8192, 512, NAN, NAN}, {32768, 8192, NAN, NAN}};

struct table {
    const struct vs_norm_row *const *row;
    int count;
    const char **algo; /* in the order they were measured */
    int algos;
    int64_t *T; /* rising */
    int lengths;
    int first, shown; /* of algo: the columns of the block being written */
    FILE *out;
};

typedef char cell[32];

static const struct vs_norm_row *find(const struct table *t, const char *algo, int64_t T)
{
    for (int i = t->count - 1; i >= 0; i--) /* measured twice: the later one */
        if (t->row[i]->T == T && !strcmp(t->row[i]->algo, algo)) return t->row[i]->skipped ? NULL : t->row[i];
    return NULL;
}

static double memory_of(const struct vs_norm_row *r)
{
    return r ? r->temp_bytes : NAN;
}

static double time_of(const struct vs_norm_row *r)
{
    return r ? r->median_ms : NAN;
}

static void write_memory(const struct vs_norm_row *r, cell out)
{
    double mib = memory_of(r) / 1048576;
    snprintf(out, sizeof(cell),
             isnan(mib)    ? "-"
             : mib >= 1000 ? "%.1f"
             : mib >= 0.1  ? "%.3f"
             : mib > 0     ? "%.5f"
                           : "%.0f",
             mib);
}

static void write_time(const struct vs_norm_row *r, cell out)
{
    vs_norm_ms(time_of(r), out);
}

static void write_speed(const struct vs_norm_row *r, cell out)
{
    cell speed = "-", share = "-";
    if (r && !isnan(r->tflops))
        snprintf(speed, sizeof speed, r->tflops >= 100 ? "%.0f" : r->tflops >= 1 ? "%.1f" : "%.3f", r->tflops);
    if (r && !isnan(r->floor_fraction)) snprintf(share, sizeof share, "%.2f", r->floor_fraction);
    snprintf(out, sizeof(cell), "%.14s %.8s", speed, share);
}

static void write_error(const struct vs_norm_row *r, cell out)
{
    if (!r || (isnan(r->rel_err) && !r->beyond)) strcpy(out, "-");
    else if (isnan(r->rel_err)) strcpy(out, "nonfinite!");
    else snprintf(out, sizeof(cell), "%.1e%s", r->rel_err, r->beyond ? "!" : "");
}

static void write_kappa(const struct vs_norm_row *r, cell out)
{
    snprintf(out, sizeof(cell), r && !isnan(r->kappa) ? "%.3g" : "-", r ? r->kappa : NAN);
}

/* Ours and theirs, of full over tiled. */
static void compare(const struct table *t, int64_t T, double of(const struct vs_norm_row *), int memory, cell ours,
                    cell theirs)
{
    strcpy(theirs, "-");
    vs_norm_times(of(find(t, "gram_full", T)), of(find(t, "gram", T)), ours);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (notes[i].T == T) {
            if (memory) snprintf(theirs, sizeof(cell), "%.0fx", notes[i].memory_ratio);
            else vs_norm_times(notes[i].full_ms, notes[i].tiled_ms, theirs);
        }
}

static void memory_ratio(const struct table *t, int64_t T, cell a, cell b)
{
    compare(t, T, memory_of, 1, a, b);
}

static void speed_up(const struct table *t, int64_t T, cell a, cell b)
{
    compare(t, T, time_of, 0, a, b);
}

static void choice(const struct table *t, int64_t T, cell a, cell b)
{
    const struct vs_norm_row *r = find(t, "auto", T);
    double floor_ms = NAN;
    for (int i = 0; i < t->algos; i++) {
        const struct vs_norm_row *one = find(t, t->algo[i], T);
        if (one && !isnan(one->floor_ms)) floor_ms = one->floor_ms;
    }
    vs_norm_ms(floor_ms, a);
    snprintf(b, sizeof(cell), "%.30s", r && *r->choice ? r->choice : "-");
}

static void no_more(const struct table *t, int64_t T, cell a, cell b)
{
    (void)t, (void)T;
    a[0] = b[0] = 0;
}

/* One row per T, one column per algorithm, and two columns of what `more` makes of the row. */
static void write_block(const struct table *t, const char *title, const char *more_a, const char *more_b,
                        void value(const struct vs_norm_row *, cell),
                        void more(const struct table *, int64_t, cell, cell))
{
    char line[1024];
    char shown[VS_CELL];
    int n;
    cell a, b;
    vs_norm_line(t->out, "%s", title);
    n = snprintf(line, sizeof line, "%8s", "T");
    for (int i = t->first; i < t->first + t->shown; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, " %s", vs_cell(t->algo[i], -WIDTH, shown));
    vs_norm_line(t->out, "%s %10s %11s", line, more_a, more_b);
    for (int k = 0; k < t->lengths; k++) {
        n = snprintf(line, sizeof line, "%8lld", (long long)t->T[k]);
        for (int i = t->first; i < t->first + t->shown; i++) {
            value(find(t, t->algo[i], t->T[k]), a);
            n += snprintf(line + n, sizeof line - (size_t)n, " %*.*s", WIDTH, WIDTH, a);
        }
        more(t, t->T[k], a, b);
        vs_norm_line(t->out, "%s %10s %11s", line, a, b);
    }
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void collect(struct table *t)
{
    for (int i = 0; i < t->count; i++) {
        int k;
        for (k = 0; k < t->algos && strcmp(t->algo[k], t->row[i]->algo); k++) continue;
        if (k == t->algos) t->algo[t->algos++] = t->row[i]->algo;
        for (k = 0; k < t->lengths && t->T[k] != t->row[i]->T; k++) continue;
        if (k == t->lengths) t->T[t->lengths++] = t->row[i]->T;
    }
    qsort(t->T, (size_t)t->lengths, sizeof *t->T, by_value);
}

static void write_all(struct table *t)
{
    const struct vs_norm_row *r = t->row[0];
    char title[96];
    double bound = NAN;
    int checked = 0, conditioned = 0, cuda = strcmp(r->device, "cpu") != 0;
    for (int i = 0; i < t->count; i++) {
        checked |= !isnan(t->row[i]->rel_err) || t->row[i]->beyond;
        conditioned |= !isnan(t->row[i]->kappa);
        if (!isnan(t->row[i]->bound)) bound = t->row[i]->bound;
    }
    vs_norm_line(t->out, "NORMS  %s, B=%lld d=%lld p=%lld on %s", r->dtype, (long long)r->B, (long long)r->d,
                 (long long)r->p, *r->gpu ? r->gpu : r->device);
    for (t->first = 0; t->first < t->algos; t->first += ALGORITHMS) {
        t->shown = t->algos - t->first < ALGORITHMS ? t->algos - t->first : ALGORITHMS;
        write_block(t, cuda ? "MEMORY  temporary MiB, from the recording" : "MEMORY  temporary MiB, resident",
                    "full/gram", "notes'", write_memory, memory_ratio);
        write_block(t, "TIME  median ms, without the cost of launching", "full/gram", "notes'", write_time, speed_up);
        write_block(t, "SPEED  TFLOP/s, and floor / time", "floor ms", "auto chose", write_speed, choice);
        snprintf(title, sizeof title,
                 isnan(bound) ? "ERROR  relative, against float64"
                              : "ERROR  relative, against float64; the bound is %.0e (!: beyond it)",
                 bound);
        if (checked) write_block(t, title, "", "", write_error, no_more);
        if (conditioned)
            write_block(t, "KAPPA  how much the terms of the Gram sums cancel", "", "", write_kappa, no_more);
    }
}

int vs_norm_table_layers(const struct vs_norm_row *const *row, int count, FILE *out)
{
    struct table t = {.row = row, .count = count, .out = out};
    t.algo = calloc((size_t)count, sizeof *t.algo);
    t.T = calloc((size_t)count, sizeof *t.T);
    int err = t.algo && t.T ? 0 : -ENOMEM;
    if (!err) {
        collect(&t);
        write_all(&t);
    }
    free(t.algo);
    free(t.T);
    return err;
}
