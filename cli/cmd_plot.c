/* SPDX-License-Identifier: MIT
 *
 * cmd_plot.c: `vramscope plot`: charts of a recording. Must never draw: viz/ does.
 */
#include <stdio.h>

#include "../db/query.h"
#include "../exporters/visible.h"
#include "../viz/experiments.h"
#include "../viz/plot.h"
#include "command.h"
#include "folder.h"
#include "option.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum { NAME = 256 };

static void wrote(void *arg, const char *path)
{
    char shown[4096];
    (void)arg;
    vs_visible(path, strlen(path), 0, shown, sizeof shown);
    printf("%s\n", shown);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* "runs/a.db" is "a", unless that is the name of another one too. */
static void name_run(const struct vs_operands *o, int index, char out[NAME])
{
    const char *base = base_name(o->text[index]);
    int same = 0;
    for (int i = 0; i < o->count; i++) same += !strcmp(base, base_name(o->text[i]));
    snprintf(out, NAME, "%s", same > 1 ? o->text[index] : base);
    size_t n = strlen(out);
    if (same == 1 && n > 3 && !strcmp(out + n - 3, ".db")) out[n - 3] = 0;
}

static int plot_runs(const struct vs_operands *o, const char *output, const struct vs_plot_options *how, struct vs_error *e)
{
    struct vs_db *dbs[VS_PLOT_RUNS_MAX] = {NULL};
    static char text[VS_PLOT_RUNS_MAX][NAME];
    const char *names[VS_PLOT_RUNS_MAX];
    char path[4200];
    int err = 0;
    for (int i = 0; i < o->count && !err; i++) {
        name_run(o, i, text[i]);
        names[i] = text[i];
        err = vs_recording_open(o->text[i], &dbs[i], path, sizeof path, e);
    }
    if (!err) err = vs_plot_runs(dbs, names, o->count, output, how, e);
    for (int i = 0; i < o->count; i++) vs_db_close(dbs[i]);
    return err;
}

static int plot_run(const struct vs_operands *o, const char *output, const struct vs_plot_options *how, struct vs_error *e)
{
    struct vs_db *db = NULL;
    char path[4200];
    int err = vs_recording_open(o->text[0], &db, path, sizeof path, e);
    if (!err) err = vs_plot(db, output, how, e);
    vs_db_close(db);
    return err;
}

/* A folder of a suite's run: results, and no log of a recorder. */
static int holds_results(const char *path)
{
    static const char suffix[] = "_result.json";
    int results = 0;
    DIR *d = opendir(path);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        size_t n = strlen(entry->d_name);
        results += n >= sizeof suffix && !strcmp(entry->d_name + n - (sizeof suffix - 1), suffix);
    }
    if (d) closedir(d);
    return results && vs_folder_processes(path) <= 0;
}

static int plot_experiments(const char *input, const char *output, const struct vs_plot_options *how,
                            struct vs_error *e)
{
    char beside[4200];
    snprintf(beside, sizeof beside, "%s%svisualizations", input, input[strlen(input) - 1] == '/' ? "" : "/");
    return vs_plot_experiments(input, output ? output : beside, how, e);
}

static int plot_operands(const struct vs_operands *o, const char *output, const struct vs_plot_options *how,
                         struct vs_error *e)
{
    for (int i = 0; i < o->count; i++)
        if (holds_results(o->text[i]))
            return vs_fail(e, EINVAL, "%s holds the results of experiments: use plot --input-dir %s", o->text[i],
                           o->text[i]);
    return o->count > 1 ? plot_runs(o, output, how, e) : plot_run(o, output, how, e);
}

static int plot_main(const struct vs_command *self, int argc, char **argv)
{
    const char *output = NULL, *input = NULL;
    const struct vs_option options[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "DIR",
         .help = "folder for the charts (default: charts; of --input-dir: its visualizations)",
         .text = &output},
        {.name = "output-dir", .argument = "DIR", .help = "the same", .text = &output},
        {.name = "input-dir", .argument = "DIR", .help = "draw the results of a suite instead", .text = &input},
        {0}};
    const struct vs_plot_options how = {.wrote = wrote};
    struct vs_operands operands = {0};
    struct vs_error e;
    int err, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (input && operands.count)
        return vs_usage(self, "--input-dir draws a folder of results; it goes without databases");
    if (input && !*input) return vs_usage(self, "--input-dir needs the name of a folder");
    if (!input && !operands.count)
        return vs_usage(self, "plot needs one database or log folder, or several to compare, or --input-dir");
    if (operands.count > VS_PLOT_RUNS_MAX) return vs_usage(self, "plot compares at most %d runs", VS_PLOT_RUNS_MAX);
    if (output && !*output) return vs_usage(self, "-o needs the name of a folder");
    err = input ? plot_experiments(input, output, &how, &e)
                : plot_operands(&operands, output ? output : "charts", &how, &e);
    if (err) return vs_complain("%s", e.text);
    return fflush(stdout) ? vs_complain("cannot write the list of charts") : VS_OK;
}

const struct vs_command vs_command_plot = {
    .name = "plot",
    .operands = "DB [DB ...] [-o DIR] | --input-dir DIR [-o DIR]",
    .summary = "Draw the charts of a recording, or compare several, as PNG and SVG",
    .about = "DB is a database or a log folder. Of one: its memory over time and at its peak, and where it has several\n"
             "ranks their peaks side by side and what each did over time (rank_timeline). Of several: only\n"
             "memory_breakdown_comparison, their peaks side by side, in the order given; of each run the device with the\n"
             "highest peak. With --input-dir: the figures and summary.txt of\n"
             "the *_result.json in the folder of a suite's run. The names of the files written are printed.",
    .example = "vramscope plot run.db -o charts\n  vramscope plot before.db after.db -o charts\n"
               "  vramscope plot --input-dir suite/run_20260101_120000",
    .main = plot_main};
