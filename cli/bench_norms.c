/* SPDX-License-Identifier: MIT
 *
 * bench_norms.c: `vramscope bench norms`: records the norms workload, stores its results in the recording and prints
 * them. Options it does not know are the workload's; it must never judge them, nor change a result.
 */
#include "bench_norms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../db/norm_results.h"
#include "../db/query.h"
#include "bench.h"
#include "child.h"
#include "folder.h"
#include "human.h"
#include "option.h"
#include "recorded_run.h"
#include "sheet.h"

struct request {
    const char *output, *results; /* NULL: a name of ours */
    int force, append, csv, json;
    char output_name[64], results_name[4300];
    char **argv; /* of the workload: its path, `norms`, --results and its file, and what was passed through */
    int argc;
};

enum {
    OURS = 4
}; /* argv: path, norms, --results, FILE: first, or a last option without its value would take --results */

#define OPTIONS(r)                                                                                                     \
    {                                                                                                                  \
        {.letter = 'o',                                                                                                \
         .name = "output",                                                                                             \
         .argument = "DB",                                                                                             \
         .help = "database to write (default: norms.db, norms-2.db, ...)",                                             \
         .text = &(r)->output},                                                                                        \
            {.name = "force", .help = "replace the database if it exists", .on = &(r)->force},                         \
            {.name = "append", .help = "add to the database if it exists", .on = &(r)->append},                        \
            {.name = "csv", .help = "results as CSV on stdout; all else goes to stderr", .on = &(r)->csv},             \
            {.name = "json",                                                                                           \
             .help = "results as JSON on stdout, every column; all else goes to stderr",                               \
             .on = &(r)->json},                                                                                        \
            {.name = "results",                                                                                        \
             .argument = "FILE",                                                                                       \
             .help = "keep the workload's own file of results",                                                        \
             .text = &(r)->results},                                                                                   \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }

/* Takes argv[*i] when it is ours; a value may be in the same word or the next. -1: it is not ours. */
static int take(const struct vs_command *self, const struct vs_option *table, int argc, char **argv, int *i)
{
    char *word = argv[*i];
    for (; table->name; table++) {
        size_t n = strlen(table->name);
        char *value = NULL;
        if (table->letter && word[0] == '-' && word[1] == table->letter) value = word + 2;
        else if (!strncmp(word, "--", 2) && !strncmp(word + 2, table->name, n) && (!word[n + 2] || word[n + 2] == '='))
            value = word + n + 2;
        if (!value) continue;
        if (!table->argument && *value) return vs_usage(self, "option --%s takes no value", table->name);
        if (!table->argument) *table->on = 1;
        else if (*value == '=' && word[1] == '-') *table->text = value + 1;
        else if (*value) *table->text = value;
        else if (*i + 1 == argc) return vs_usage(self, "option --%s needs a value", table->name);
        else *table->text = argv[++*i];
        return 0;
    }
    return -1;
}

/* -1: go on; else the exit status. */
static int parse(const struct vs_command *self, int argc, char **argv, struct request *r)
{
    const struct vs_option options[] = OPTIONS(r);
    r->argv = calloc((size_t)argc + OURS + 1, sizeof *r->argv);
    if (!r->argv) return vs_complain("out of memory");
    r->argc = OURS;
    for (int i = 1; i < argc; i++) {
        int status = take(self, options, argc, argv, &i);
        if (status > 0) return status;
        if (status < 0) r->argv[r->argc++] = argv[i];
    }
    if (r->force && r->append) return vs_usage(self, "--force and --append exclude each other");
    if (r->csv && r->json) return vs_usage(self, "--csv and --json exclude each other");
    if (r->output && !*r->output) return vs_usage(self, "-o needs the name of a database");
    return -1;
}

/* A benchmark that is simply run again must not fail, nor touch what the last one measured. */
static void choose_output(struct request *r)
{
    char used[80];
    for (int n = 1; !r->output; n++) {
        snprintf(r->output_name, sizeof r->output_name, n > 1 ? "norms-%d.db" : "norms.db", n);
        snprintf(used, sizeof used, "%s.log", r->output_name);
        if (access(r->output_name, F_OK) && access(used, F_OK)) r->output = r->output_name;
    }
}

/* The workload makes the file and refuses one that exists, so that it is this run's alone. A process id is not enough of a name:
 * in containers all runs may have the same. */
static int name_results(struct request *r, struct vs_error *e)
{
    struct timespec now;
    if (!r->results) {
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(r->results_name, sizeof r->results_name, "%.4200s.results.%d-%09ld.csv", r->output, (int)getpid(),
                 now.tv_nsec);
        r->results = r->results_name;
    }
    if (access(r->results, F_OK)) return 0;
    return vs_fail(e, EEXIST, "%s exists; --results needs the name of a new file", r->results);
}

/* Known before anything runs: an older vramscope made the database, and it is added to. */
static int takes_results(const struct request *r, struct vs_error *e)
{
    static const char sql[] = "SELECT COUNT(*) > 0 AND NOT TOTAL(name = 'norm_result') FROM sqlite_master";
    if (!r->append || vs_recording_number(r->output, sql) != 1) return 0;
    return vs_fail(e, EINVAL, "%s cannot take results: it was made by an older vramscope; choose another -o",
                   r->output);
}

static int is_kept(const struct request *r)
{
    return r->results != r->results_name;
}

static int holds_results(const struct request *r)
{
    FILE *f = fopen(r->results, "re");
    int any = f && fgetc(f) != EOF;
    if (f) fclose(f);
    return any;
}

/* The columns of the CSV do not tell the two rows of a list of layers apart. */
static void explain_order(const struct vs_norm_rows *rows)
{
    for (int i = 0; i < rows->count; i++)
        if (!strcmp(rows->item[i].grouping, "grouped")) {
            fprintf(stderr,
                    "vramscope: of the two CSV rows of an algorithm the first is of all layers at once (grouped), the "
                    "second layer by layer (each); --json names them\n");
            return;
        }
}

/* Tables for people: on stdout, or beside the data on stderr. */
static int show(const struct request *r, int64_t first_id, struct vs_error *e)
{
    FILE *people = r->csv || r->json ? stderr : stdout;
    struct vs_norm_rows rows = {0};
    struct vs_db *db = NULL;
    char path[4400];
    int err = vs_db_open(r->output, &db, e);
    if (!err) err = vs_norm_rows_load(vs_db_handle(db), first_id, &rows, e);
    if (!err) {
        struct vs_sheet sheet = {.out = people, .db = vs_db_handle(db), .brief = 1};
        if (vs_norm_tables(&rows, people)) err = vs_fail(e, ENOMEM, "out of memory");
        else vs_report_losses(&sheet);
    }
    if (!err && r->csv) explain_order(&rows);
    if (!err && (r->csv || r->json))
        err = vs_norm_rows_export(vs_db_handle(db), first_id, r->csv ? "csv" : "json", stdout, e);
    if (!err) fprintf(people, "next: vramscope plot %s -o charts\n", vs_human_path(r->output, path, sizeof path));
    if (!err && (fflush(people) || ferror(people)))
        err = vs_fail(e, EIO, "cannot write the tables: %s", strerror(errno));
    vs_norm_rows_free(&rows);
    vs_db_close(db);
    return err;
}

static const char *trouble(const struct vs_recorded_run *run)
{
    switch (run->outcome) {
    case VS_REC_COMPLETE: return NULL;
    case VS_REC_NOTHING: return "the workload was not recorded: it made no NVTX call that the recorder saw";
    case VS_REC_SHARED: return "other runs still record into the same database; a benchmark needs one of its own";
    case VS_REC_RUNNING: return "processes started by the workload still run";
    case VS_REC_NO_LOCKS: return "the file system of the database has no locks; choose another -o";
    case VS_REC_FAILED: return run->error.text;
    }
    return NULL;
}

/* A shell's convention, and the only one there is: the workload itself never ends with such a status. */
static int ending_signal(const struct vs_recorded_run *run)
{
    return run->status > 128 ? run->status - 128 : 0;
}

/* The file may hold hours of work. */
static int keep(const struct request *r, const struct vs_recorded_run *run, const char *failed)
{
    char path[4400];
    vs_complain("%s", failed);
    fprintf(stderr, "vramscope: the results stay in %s, for reading: no command stores them later\n",
            vs_human_path(r->results, path, sizeof path));
    return run->status ? run->status : VS_FAILED;
}

/* What the recording and the results file of a run that has ended are made into. The exit status. */
static int finish(struct request *r, const struct vs_recorded_run *run, int64_t after)
{
    const char *failed = trouble(run);
    struct vs_norm_results stored = {0};
    struct vs_error e;
    int ended_by = ending_signal(run);
    if (!holds_results(r)) {
        if (!is_kept(r)) unlink(r->results);
        if (ended_by) vs_complain("the workload was ended by signal %d before it had a result", ended_by);
        else if (failed && !run->status) vs_complain("%s", failed);
        else if (!run->status) vs_complain("the workload ended in order but wrote no results");
        return run->status ? run->status : VS_FAILED;
    }
    if (failed) return keep(r, run, failed);
    if (vs_norm_results_store(r->output, r->results, after, run->pid, &stored, &e)) return keep(r, run, e.text);
    if (stored.unmeasured)
        fprintf(stderr, "vramscope: the temporary memory of %lld result%s is not known: %s\n",
                (long long)stored.unmeasured, stored.unmeasured == 1 ? "" : "s", stored.unknown);
    if (!is_kept(r)) unlink(r->results);
    if (stored.rows && show(r, stored.first_id, &e)) return vs_complain("%s", e.text);
    if (ended_by)
        vs_complain("the workload was ended by signal %d%s", ended_by,
                    stored.rows ? "; these are the results until then" : " before it had a result");
    if (stored.torn) vs_complain("the last line of the results is not whole: the workload ended while it wrote it");
    else if (!stored.rows && !run->status) vs_complain("the workload ended in order but wrote no results");
    return run->status ? run->status : stored.torn || !stored.rows ? VS_FAILED : VS_OK;
}

static int measure(struct request *r, char *workload)
{
    struct vs_recorded_run run = {.trace = "memory", .quiet_stdout = 1, .program = workload, .argv = r->argv};
    struct vs_error e;
    long before;
    choose_output(r);
    if (name_results(r, &e) || takes_results(r, &e)) return vs_complain("%s", e.text);
    before = r->append ? vs_recording_number(r->output, "SELECT COALESCE(MAX(id), 0) FROM process") : 0;
    r->argv[0] = workload;
    r->argv[1] = "norms";
    r->argv[2] = "--results";
    r->argv[3] = (char *)r->results;
    run.output = r->output;
    run.mode = r->force ? VS_OUTPUT_FORCE : r->append ? VS_OUTPUT_APPEND : VS_OUTPUT_NEW;
    if (vs_recorded_run(&run, &e)) {
        vs_complain("%s", e.text);
        return run.opened ? VS_NOT_EXECUTABLE : VS_FAILED;
    }
    return finish(r, &run, before > 0 ? before : 0);
}

/* Ours, then the workload's own. */
static int show_help(const struct vs_command *self, const char *workload)
{
    struct request r = {0};
    const struct vs_option options[] = OPTIONS(&r);
    char *words[] = {(char *)self->name, "--help", NULL}, *argv[] = {(char *)workload, "norms", "--help", NULL};
    struct vs_operands none = {0};
    struct vs_error e;
    pid_t pid;
    int status = vs_options_parse(self, options, 2, words, &none);
    if (!*workload) return status;
    printf("\nOptions of the workload:\n\n");
    fflush(stdout);
    if (vs_child_start(workload, argv, environ, &pid, &e)) return vs_complain("%s", e.text);
    return vs_child_wait(pid);
}

static int norms_main(const struct vs_command *self, int argc, char **argv)
{
    struct request r = {0};
    struct vs_error e;
    char workload[4200] = "";
    int missing = vs_child_workload(workload, sizeof workload, &e), status;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return show_help(self, missing ? "" : workload);
    if (missing) return vs_complain("%s", e.text);
    status = parse(self, argc, argv, &r);
    if (status < 0) status = measure(&r, workload);
    free(r.argv);
    return status;
}

const struct vs_command vs_bench_norms = {
    .name = "bench norms",
    .operands = "[-o DB] [--force|--append] [--csv|--json] [WORKLOAD OPTIONS]",
    .summary = "Record the norms workload; print time and temporary memory of every algorithm over T",
    .about = "Runs vramscope-workload norms under the recorder at trace level memory, which leaves times undisturbed.\n"
             "Temporary memory on a GPU is measured by the recording. The results are in table norm_result of the\n"
             "database as well. Exit status: the workload's (1: something failed, or an error is beyond its\n"
             "bound or unknown and --check was given; 2: a wrong option), 1 when the recording failed.",
    .example = "vramscope bench norms --T 512,1024,2048,4096 --d 2048 --p 2048 --dtype bf16 --check",
    .main = norms_main};
