/* SPDX-License-Identifier: MIT
 *
 * cmd_plot.c: `vramscope plot`: charts of a recording. Must never draw: viz/ does.
 */
#include <stdio.h>

#include "../db/query.h"
#include "../exporters/visible.h"
#include "../viz/plot.h"
#include "command.h"
#include "folder.h"
#include "option.h"

#include <string.h>

static void wrote(void *arg, const char *path)
{
    char shown[4096];
    (void)arg;
    vs_visible(path, strlen(path), 0, shown, sizeof shown);
    printf("%s\n", shown);
}

static int plot_main(const struct vs_command *self, int argc, char **argv)
{
    const char *output = "charts";
    const struct vs_option options[] = {{.letter = 'o', .name = "output", .argument = "DIR",
                                         .help = "folder for the charts (default: charts)", .text = &output},
                                        {0}};
    const struct vs_plot_options how = {.wrote = wrote};
    struct vs_operands operands = {0};
    struct vs_db *db = NULL;
    struct vs_error e;
    char path[4200];
    int err, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (operands.count != 1) return vs_usage(self, "plot needs one database or log folder");
    if (!*output) return vs_usage(self, "-o needs the name of a folder");
    err = vs_recording_open(operands.text[0], &db, path, sizeof path, &e);
    if (!err) err = vs_plot(db, output, &how, &e);
    vs_db_close(db);
    if (err) return vs_complain("%s", e.text);
    return fflush(stdout) ? vs_complain("cannot write the list of charts") : VS_OK;
}

const struct vs_command vs_command_plot = {
    .name = "plot",
    .operands = "DB [-o DIR]",
    .summary = "Draw the charts of a recording as PNG and SVG",
    .about = "DB is a database or a log folder. The names of the files written are printed.",
    .example = "vramscope plot run.db -o charts",
    .main = plot_main};
