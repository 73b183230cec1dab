/* SPDX-License-Identifier: MIT
 *
 * bench_norms.c: `vramscope bench norms`: records the norms workload, stores its results in the recording and prints
 * them. Options it does not know are the workload's; it must never judge them, nor change a result.
 */
#include "bench_norms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../db/norm_results.h"
#include "../db/query.h"
#include "bench.h"
#include "bench_run.h"
#include "folder.h"
#include "human.h"
#include "option.h"
#include "sheet.h"

struct request {
    const char *output, *results; /* NULL: a name of ours */
    int force, append, csv, json;
    char output_name[VS_BENCH_NAME], results_name[4300];
    struct vs_bench_words words;
};

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

/* -1: go on; else the exit status. */
static int parse(const struct vs_command *self, int argc, char **argv, struct request *r)
{
    const struct vs_option options[] = OPTIONS(r);
    int status = vs_bench_split(self, options, argc, argv, &r->words);
    if (status >= 0) return status;
    if (r->force && r->append) return vs_usage(self, "--force and --append exclude each other");
    if (r->csv && r->json) return vs_usage(self, "--csv and --json exclude each other");
    if (r->output && !*r->output) return vs_usage(self, "-o needs the name of a database");
    return -1;
}

static int name_files(struct request *r, struct vs_error *e)
{
    if (!r->output) {
        vs_bench_free_name("norms", (struct vs_job){0, 1}, r->output_name);
        r->output = r->output_name;
    }
    if (!r->results) {
        vs_bench_results_name(r->output, "csv", r->results_name, sizeof r->results_name);
        r->results = r->results_name;
    }
    if (access(r->results, F_OK)) return 0;
    return vs_fail(e, EEXIST, "%s exists; --results needs the name of a new file", r->results);
}

static int is_kept(const struct request *r)
{
    return r->results != r->results_name;
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

static int keep(const struct request *r, const struct vs_recorded_run *run, const char *failed)
{
    vs_bench_keep(r->results, failed);
    return run->status ? run->status : VS_FAILED;
}

/* What the recording and the results file of a run that has ended are made into. The exit status. */
static int finish(struct request *r, const struct vs_recorded_run *run, int64_t after)
{
    const char *failed = vs_bench_trouble(run);
    struct vs_norm_results stored = {0};
    struct vs_error e;
    int ended_by = vs_bench_ending_signal(run);
    if (!vs_bench_holds(r->results)) {
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
    struct vs_recorded_run run = {.trace = "memory", .quiet_stdout = 1, .program = workload, .argv = r->words.argv};
    struct vs_error e;
    long before;
    if (name_files(r, &e) || (r->append && vs_bench_takes(r->output, "norm_result", &e)))
        return vs_complain("%s", e.text);
    before = r->append ? vs_recording_number(r->output, "SELECT COALESCE(MAX(id), 0) FROM process") : 0;
    vs_bench_fill(&r->words, workload, "norms", r->results);
    run.output = r->output;
    run.mode = r->force ? VS_OUTPUT_FORCE : r->append ? VS_OUTPUT_APPEND : VS_OUTPUT_NEW;
    if (vs_recorded_run(&run, &e)) {
        vs_complain("%s", e.text);
        return run.opened ? VS_NOT_EXECUTABLE : VS_FAILED;
    }
    return finish(r, &run, before > 0 ? before : 0);
}

static int norms_main(const struct vs_command *self, int argc, char **argv)
{
    struct request r = {0};
    const struct vs_option options[] = OPTIONS(&r);
    struct vs_error e;
    char workload[4200];
    int status = vs_bench_find(self, options, argc, argv, "norms", workload, sizeof workload, &e);
    if (status >= 0) return status;
    if (!*workload) return vs_complain("%s", e.text);
    status = parse(self, argc, argv, &r);
    if (status < 0) status = measure(&r, workload);
    free(r.words.argv);
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
