/* SPDX-License-Identifier: MIT
 *
 * experiments_summary.c: owns summary.txt. Never writes a control character of a name, nor half a file.
 */
#include "experiments_figure.h"

#include "../db/beside.h"
#include "gnuplot.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 100, NAME = 37, PART_NAME = 40 };

/* The rows of the notes: 20 layers of 2048, vocabulary 32000, T=16384, B=1. */
static const struct {
    const char *experiment, *title;
    double peak_mb, time_ms;
} notes[] = {{"vanilla", "Classical Training / No DP (vanilla)", 43407.78, 7091.97},
             {"ghost", "SOTA DP Training (ghost)", 56992.12, 17489.43},
             {"flash_clip", "Proposed Solution (flash_clip)", 56816.12, 7831.43}};

enum { NOTES = sizeof notes / sizeof *notes };

static const struct {
    enum vs_experiment_setting setting;
    const char *value;
} notes_settings[] = {
    {VS_SETTING_LAYERS, "20"}, {VS_SETTING_HIDDEN, "2048"}, {VS_SETTING_VOCABULARY, "32000"}, {VS_SETTING_BATCH, "1"}};

static void rule(FILE *f, char c, int width)
{
    for (int i = 0; i < width; i++) fputc(c, f);
    fputc('\n', f);
}

static int points(const char *text)
{
    uint32_t point;
    int n = 0;
    for (int bytes; (bytes = vs_label_next(text, &point)); text += bytes) n++;
    return n;
}

/* A cell on the left; what is too long ends in an ellipsis. */
static void cell(FILE *f, const char *text, int width)
{
    char shown[2 * VS_LABEL_SIZE + 40];
    vs_label_clean(shown, sizeof shown, text, width);
    fprintf(f, "%s%*s", shown, width - points(shown), "");
}

/* Two digits, as everywhere; more where these would say nothing. */
static void number(FILE *f, int width, double value)
{
    if (isnan(value)) fprintf(f, " %*s", width, "-");
    else fprintf(f, " %*.*f", width, fabs(value) < 1 && value != 0 ? 6 : 2, value);
}

/* Lines of at most WIDTH, broken between settings. */
static void write_about(FILE *f, const char *about)
{
    static const char between[] = "   ·   ";
    int column = 0;
    while (*about) {
        const char *next = strstr(about, between);
        char one[VS_LABEL_SIZE];
        snprintf(one, sizeof one, "%.*s", next ? (int)(next - about) : (int)strlen(about), about);
        int n = points(one);
        if (column) fputs(column + n + 2 > WIDTH - 1 ? ",\n" : ", ", f);
        column = column && column + n + 2 <= WIDTH - 1 ? column + n + 2 : n;
        fputs(one, f);
        about = next ? next + strlen(between) : about + strlen(about);
    }
    if (column) fputs("\n", f);
}

static void name_of(const struct vs_experiments *s, const struct vs_experiment *x, char *out, size_t size)
{
    if (s->lengths > 1 && !isnan(x->T)) snprintf(out, size, "%s T=%.0f", x->name, x->T);
    else snprintf(out, size, "%s", x->name);
}

static void write_totals(FILE *f, const struct vs_experiments *s)
{
    char name[2 * VS_LABEL_SIZE + 40];
    cell(f, "Method", NAME);
    fprintf(f, " %20s %20s %20s\n", "Peak Memory (MB)", "Avg Time (ms)", "Memory/Time");
    rule(f, '-', WIDTH);
    for (int i = 0; i < s->count; i++) {
        const struct vs_experiment *x = &s->item[i];
        name_of(s, x, name, sizeof name);
        cell(f, name, NAME);
        number(f, 20, x->peak_mb);
        number(f, 20, x->time_ms);
        number(f, 20, x->peak_mb / x->time_ms);
        fputc('\n', f);
    }
    rule(f, '=', WIDTH);
    fputc('\n', f);
}

static void write_added(FILE *f, const struct vs_experiments *s)
{
    char name[2 * VS_LABEL_SIZE + 40], more[48], percent[48], times[48];
    int begun = 0;
    for (int i = 0; i < s->count; i++) {
        const struct vs_experiment *x = &s->item[i], *base = vs_experiment_baseline(s, x);
        if (!base || base == x) continue;
        if (!begun++) {
            fputs("AGAINST THE SAME WITHOUT DP:\n\n", f);
            cell(f, "Method", NAME);
            fprintf(f, " %20s %20s %20s\n", "Memory (MB)", "Memory", "Time");
            rule(f, '-', WIDTH);
        }
        name_of(s, x, name, sizeof name);
        cell(f, name, NAME);
        double mb = x->peak_mb - base->peak_mb, time = x->time_ms / base->time_ms;
        snprintf(more, sizeof more, "%+.*f", fabs(mb) < 1 && mb != 0 ? 6 : 2, mb);
        vs_label_change(percent, sizeof percent, base->peak_mb, x->peak_mb);
        snprintf(times, sizeof times, isnan(time) ? "-" : "%.3fx", time);
        fprintf(f, " %20s %20s %20s\n", more, percent, times);
    }
    if (begun) fputc('\n', f);
}

/* "model_parameters_mb" is "Model Parameters". */
static void title(char *out, size_t size, const char *key)
{
    int begin = 1;
    size_t n = strlen(key), end = n > 3 && !strcmp(key + n - 3, "_mb") ? n - 3 : n;
    snprintf(out, size, "%.*s", (int)end, key);
    for (char *c = out; *c; c++) {
        if (*c == '_') *c = ' ';
        else if (begin) *c = (char)toupper((unsigned char)*c);
        begin = *c == ' ';
    }
}

static void write_parts(FILE *f, const struct vs_experiments *s)
{
    char name[2 * VS_LABEL_SIZE + 40];
    fputs("COMPONENT-LEVEL BREAKDOWN:\n", f);
    for (int i = 0; i < s->count; i++) {
        const struct vs_experiment *x = &s->item[i];
        name_of(s, x, name, sizeof name);
        fprintf(f, "\n%s:\n", name);
        rule(f, '-', 80);
        for (int k = 0; k < x->rows; k++) {
            title(name, sizeof name, x->row[k].key);
            fputs("  ", f);
            cell(f, name, PART_NAME);
            number(f, 15, x->row[k].mb);
            fputs(" MB\n", f);
        }
        if (!x->rows) fputs("  not in the result\n", f);
    }
    fputc('\n', f);
    rule(f, '=', WIDTH);
}

static const struct vs_experiment *of_notes(const struct vs_experiments *s, int row, const struct vs_experiment *like)
{
    for (int i = 0; i < s->count; i++) {
        const struct vs_experiment *x = &s->item[i];
        int same =
            !strcmp(x->experiment, notes[row].experiment) && x->T == 16384 && (!like || vs_experiment_alike(x, like));
        for (size_t k = 0; k < sizeof notes_settings / sizeof *notes_settings; k++)
            same &= !strcmp(x->setting[notes_settings[k].setting], notes_settings[k].value);
        if (same) return x;
    }
    return NULL;
}

static void write_notes(FILE *f, const struct vs_experiments *s)
{
    const struct vs_experiment *ours[NOTES];
    for (int i = 0; i < NOTES; i++)
        if (!(ours[i] = of_notes(s, i, i ? ours[0] : NULL))) return;
    fputs("\nBESIDE THE TABLE OF THE NOTES (20 layers of 2048, vocabulary 32000, T=16384, B=1):\n\n", f);
    fprintf(f, "%*s %31s %30s\n", NAME, "", "Peak Memory (MB)", "Avg Time (ms)");
    cell(f, "Method", NAME);
    fprintf(f, " %15s %15s %14s %15s\n", "notes", "here", "notes", "here");
    rule(f, '-', WIDTH);
    for (int i = 0; i < NOTES; i++) {
        cell(f, notes[i].title, NAME);
        number(f, 15, notes[i].peak_mb);
        number(f, 15, ours[i]->peak_mb);
        number(f, 14, notes[i].time_ms);
        number(f, 15, ours[i]->time_ms);
        fputc('\n', f);
    }
    fprintf(f,
            "\nNot like for like: the notes' first row holds no Adam state, their other two one zeroed gradient.\n"
            "Their times are of an unnamed GPU in fp32 without TF32; those here of %s in %s.\n",
            *ours[0]->setting[VS_SETTING_DEVICE] ? ours[0]->setting[VS_SETTING_DEVICE] : "a device without a name",
            *ours[0]->setting[VS_SETTING_DTYPE] ? ours[0]->setting[VS_SETTING_DTYPE] : "an unknown type");
    if (strcmp(ours[1]->semantics, "norms_only") != 0)
        fputs("Their other two took norms and did not clip; those here do.\n", f);
}

static void write_left_out(FILE *f, const struct vs_experiments *s)
{
    if (s->left) fputs("\nLEFT OUT:\n\n", f);
    for (int i = 0; i < s->left; i++) fprintf(f, "%s: %s\n", s->left_out[i].file, s->left_out[i].reason);
}

static void write_all(FILE *f, const struct vs_experiments *s)
{
    rule(f, '=', WIDTH);
    fputs("DETAILED MEMORY PROFILING SUMMARY\n", f);
    rule(f, '=', WIDTH);
    fputc('\n', f);
    write_about(f, s->about);
    if (s->lengths == 1) fprintf(f, "T=%.0f\n", s->T[0]);
    fputs("MB: 2^20 bytes; Memory/Time: MB per ms\n\n", f);
    write_totals(f, s);
    write_added(f, s);
    write_parts(f, s);
    write_notes(f, s);
    write_left_out(f, s);
}

int vs_experiments_summary_write(const struct vs_experiments *s, const char *out_dir, const struct vs_plot_options *how,
                                 struct vs_error *e)
{
    char path[4200];
    struct vs_beside beside;
    int err = vs_gnuplot_folder(out_dir, e);
    if (err) return err;
    snprintf(path, sizeof path, "%s/summary.txt", out_dir);
    err = vs_beside_open(&beside, path, e);
    if (err) return err;
    write_all(beside.file, s);
    err = vs_beside_close(&beside, 1, e);
    if (err) return err;
    if (how->wrote) how->wrote(how->arg, path);
    return 0;
}
