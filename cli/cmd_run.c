/* SPDX-License-Identifier: MIT
 *
 * cmd_run.c: `vramscope run`: starts a program with the recorder preloaded and ends as it ends. Once the program runs,
 * nothing here may stop it or change its exit status.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../db/query.h"
#include "child.h"
#include "command.h"
#include "folder.h"
#include "human.h"
#include "option.h"
#include "recorded_run.h"
#include "report.h"

struct request {
    const char *output, *trace, *ranks;
    int force, append, python_lines;
    char **command;
};

/* A path as it is typed for the next command. */
static const char *typed(const char *path, const char *tail, char out[4400])
{
    char joined[4300];
    snprintf(joined, sizeof joined, "%s%s", path, tail);
    return vs_human_path(joined, out, 4400);
}

static void say_nothing_recorded(const struct request *r)
{
    char name[4300];
    fprintf(stderr,
            "vramscope: nothing was recorded: %s made no CUDA, NCCL or NVTX calls.\n"
            "  If it should have: a statically linked or set-user-ID program cannot be preloaded; a wrapper may clear\n"
            "  LD_PRELOAD; VRAMSCOPE_RANKS or --ranks may leave this rank out. No database was written.\n",
            vs_human_path(r->command[0], name, sizeof name));
}

static void say_summary(const struct request *r, int unfinished)
{
    const struct vs_report_options how = {.db_path = r->output, .brief = 1, .unfinished = unfinished};
    struct vs_db *db = NULL;
    struct vs_error e;
    char path[4400];
    int err = vs_db_open(r->output, &db, &e);
    fprintf(stderr, "vramscope: recorded into %s\n", typed(r->output, "", path));
    if (!err) err = vs_report(db, &how, stderr, &e);
    if (err) vs_complain("%s", e.text);
    vs_db_close(db);
}

static void say(const struct request *r, enum vs_recorded outcome, const struct vs_error *e)
{
    char db[4400], folder[4400];
    typed(r->output, "", db);
    typed(r->output, ".log", folder);
    switch (outcome) {
    case VS_REC_COMPLETE: say_summary(r, 0); return;
    case VS_REC_NOTHING: say_nothing_recorded(r); return;
    case VS_REC_SHARED:
        fprintf(stderr, "vramscope: other runs still record into %s; the last one to end completes it\n"
                        "next: vramscope report %s\n", db, db);
        return;
    case VS_REC_RUNNING:
        say_summary(r, 1);
        fprintf(stderr, "vramscope: processes started by the program still run; when they have ended, add the rest\n");
        break;
    case VS_REC_NO_LOCKS:
        fprintf(stderr, "vramscope: the file system of %s has no locks, so nothing was read into it yet\n", db);
        break;
    case VS_REC_FAILED:
        vs_complain("%s", e->text);
        fprintf(stderr, "vramscope: the recording is safe in %s; make room, then read it in\n", folder);
        break;
    }
    fprintf(stderr, "next: vramscope ingest %s -o %s\n", folder, db);
}

/* 0-3,5 */
static int is_list(const char *text)
{
    int digits = 0, dash = 0;
    for (; *text; text++) {
        if (*text >= '0' && *text <= '9') {
            digits++;
        } else if (*text == '-' && digits && !dash) {
            dash = 1;
            digits = 0;
        } else if (*text == ',' && digits) {
            digits = dash = 0;
        } else
            return 0;
    }
    return digits > 0;
}

static int parse(const struct vs_command *self, int argc, char **argv, struct request *r)
{
    const struct vs_option options[] = {
        {.letter = 'o', .name = "output", .argument = "DB", .help = "database to write (default: run.db)", .text = &r->output},
        {.name = "force", .help = "replace the database if it exists", .on = &r->force},
        {.name = "append", .help = "add to the database if it exists", .on = &r->append},
        {.name = "trace", .argument = "LEVEL", .help = "memory (default), kernels (and copies, with GPU times) or\n"
                                                       "                           api (and host API calls)",
         .text = &r->trace, .choices = "memory kernels api"},
        {.name = "python-lines", .help = "also record the Python stack of each PyTorch allocation (CPython 3.10 to 3.13)",
         .on = &r->python_lines},
        {.name = "ranks", .argument = "LIST", .help = "record only these ranks, as in 0,2-3 (default: all)", .text = &r->ranks},
        {0}};
    struct vs_operands operands = {.stop = 1};
    int status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (!operands.count) return vs_usage(self, "run needs the program to start");
    if (r->force && r->append) return vs_usage(self, "--force and --append exclude each other");
    if (r->ranks && !is_list(r->ranks)) return vs_usage(self, "--ranks needs a list like 0,2-3, not '%s'", r->ranks);
    r->command = operands.text;
    return -1;
}

static int run_main(const struct vs_command *self, int argc, char **argv)
{
    struct request r = {.output = "run.db"};
    struct vs_recorded_run run = {0};
    struct vs_error e;
    char program[4200];
    int err, status = parse(self, argc, argv, &r);
    if (status >= 0) return status;
    err = vs_child_find(r.command[0], program, sizeof program, &e);
    if (err) {
        vs_complain("%s", e.text);
        return err == -ENOENT ? VS_NOT_FOUND : VS_NOT_EXECUTABLE;
    }
    run = (struct vs_recorded_run){.output = r.output, .trace = r.trace, .ranks = r.ranks, .python_lines = r.python_lines, .program = program, .argv = r.command,
                                   .mode = r.force ? VS_OUTPUT_FORCE : r.append ? VS_OUTPUT_APPEND : VS_OUTPUT_NEW};
    if (vs_recorded_run(&run, &e)) {
        vs_complain("%s", e.text);
        return run.opened ? VS_NOT_EXECUTABLE : VS_FAILED;
    }
    say(&r, run.outcome, &run.error);
    return run.status;
}

const struct vs_command vs_command_run = {
    .name = "run",
    .operands = "[-o DB] [--force|--append] [--trace LEVEL] [--ranks LIST] [--python-lines] -- COMMAND [ARG...]",
    .summary = "Run a program and record its GPU memory, unchanged, into one database",
    .about = "The program keeps its stdin, stdout, signals and exit status; the summary goes to stderr. All\n"
             "processes it starts are recorded into the same database. Several runs of one job (mpirun -n 4\n"
             "vramscope run ...) may name the same database; the last one to end completes it. Without the\n"
             "wrapper: LD_PRELOAD=libvramscope.so COMMAND.",
    .example = "vramscope run -o run.db -- torchrun --nproc-per-node=4 train.py",
    .main = run_main};
