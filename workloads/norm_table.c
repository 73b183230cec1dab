/* SPDX-License-Identifier: MIT
 *
 * norm_table.c: formats results. A result that only one of the two forms shows would be a mistake.
 */
#include "workloads/norm_table.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

struct speed { /* NaN: unknown */
    double floor_ms, tflops, fraction;
};

static struct speed speed_of(const struct vs_norm_row *row)
{
    const struct vs_norm_list *list = row->list;
    double operations = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct vs_norms_layer layer = {.B = list->B, .T = list->T, .d = list->layer[i].d, .p = list->layer[i].p};
        operations += vs_norms_floor_operations(&layer);
    }
    double floor_ms = operations / row->ceiling * 1e3, ms = row->outcome->median_ms;
    return (struct speed){floor_ms, operations / ms / 1e9, floor_ms / ms};
}

/* ---- stdout ---- */

void vs_norm_table_head(void)
{
    printf("%-11s %-5s %-26s %12s %12s %10s %10s %8s %6s %9s\n", "algorithm", "dtype", "B x T x d x p", "median ms",
           "call ms", "work MiB", "temp. MiB", "TFLOP/s", "floor", "rel.err.");
    fflush(stdout);
}

static void cell(int width, const char *format, double value)
{
    char text[32] = "-";
    if (!isnan(value)) snprintf(text, sizeof text, format, value);
    printf(" %*s", width, text);
}

static double mib(long long bytes)
{
    return bytes < 0 ? (double)NAN : (double)bytes / 1048576;
}

static void print_line(const struct vs_norm_row *row, const struct speed *speed)
{
    const struct vs_norm_outcome *o = row->outcome;
    enum vs_norm_grouping grouping = row->how->grouping;
    char shape[64], text[96];
    snprintf(text, sizeof text, "%s%s%s", vs_norm_list_text(row->list, shape, sizeof shape),
             grouping == VS_NORM_one ? "" : " ", grouping == VS_NORM_one ? "" : vs_norm_grouping_name(grouping));
    printf("%-11s %-5s %-26s", row->how->algorithm, vs_norms_dtype_name(row->dtype), text);
    cell(12, "%.4f", o->median_ms);
    cell(12, "%.4f", o->call_ms);
    cell(10, "%.2f", mib(o->workspace_bytes));
    cell(10, "%.2f", mib(o->temporary_bytes));
    cell(8, "%.4g", speed->tflops);
    cell(5, "%.0f", speed->fraction * 100);
    printf("%s", isnan(speed->fraction) ? " " : "%");
    cell(9, "%.1e", o->error);
    if (!isnan(o->kappa)) printf("  kappa %.3g", o->kappa);
    if (o->recomputed > 0)
        printf("  %lld sample%s computed again from the gradient", o->recomputed, o->recomputed == 1 ? "" : "s");
    if (o->status != VS_NORM_ok) printf("  %s", vs_norm_status_name(o->status));
    printf("\n");
    fflush(stdout);
}

/* ---- CSV ---- */

static void text_field(FILE *f, const char *text)
{
    if (strcspn(text, ",\"\r\n") == strlen(text)) {
        fputs(text, f);
    } else {
        putc('"', f);
        for (; *text; text++) {
            if (*text == '"') putc('"', f);
            putc(*text, f);
        }
        putc('"', f);
    }
}

static void numbers(FILE *f, const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i])) fprintf(f, ",%.9g", values[i]);
        else putc(',', f);
}

static void whole(FILE *f, long long value)
{
    if (value < 0) putc(',', f);
    else fprintf(f, ",%lld", value);
}

static void write_row(FILE *f, const struct vs_norm_row *row, const struct speed *speed)
{
    const struct vs_norm_outcome *o = row->outcome;
    const struct vs_norm_list *list = row->list;
    fprintf(f, "%s,%s,%s,%s,%zu,%zu,%zu", row->how->algorithm, row->device, vs_norms_dtype_name(row->dtype),
            vs_norm_grouping_name(row->how->grouping), list->count, list->B, list->T);
    if (list->preset) fputs(",,", f);
    else fprintf(f, ",%zu,%zu", list->layer[0].d, list->layer[0].p);
    fprintf(f, ",%s,", vs_norm_status_name(o->status));
    text_field(f, o->reason);
    numbers(f, (const double[]){o->median_ms, o->call_ms, o->min_ms}, 3);
    whole(f, o->samples ? (long long)o->samples : -1);
    numbers(f, (const double[]){speed->floor_ms, speed->tflops, speed->fraction, o->error, row->how->bound, o->kappa},
            6);
    whole(f, o->recomputed);
    whole(f, o->workspace_bytes);
    whole(f, o->temporary_bytes);
    fprintf(f, ",%s,%s,%s\r\n", o->choice, o->range, list->preset ? list->preset : "");
}

int vs_norm_table_open(FILE **csv, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -errno;
    *csv = fdopen(fd, "w");
    if (!*csv) {
        int err = -errno;
        close(fd);
        return err;
    }
    fputs(VS_NORM_COLUMNS "\r\n", *csv);
    return fflush(*csv) ? -errno : 0;
}

int vs_norm_table_row(FILE *csv, const struct vs_norm_row *row)
{
    struct speed speed = speed_of(row);
    print_line(row, &speed);
    if (!csv) return 0;
    write_row(csv, row, &speed);
    return fflush(csv) ? -errno : 0;
}

int vs_norm_table_close(FILE *csv)
{
    return csv && fclose(csv) ? -errno : 0;
}
