/* SPDX-License-Identifier: MIT
 *
 * bench_train.c: `vramscope bench train`: records one training experiment, completes its result from the recording, stores it and
 * prints it. Options it does not know are the workload's; it must never judge them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "bench_run.h"
#include "command.h"
#include "experiment.h"
#include "human.h"
#include "option.h"

struct request {
    const char *db, *result, *results, *trace; /* results: the workload's own file. NULL: not asked for */
    int force, append;
    struct vs_job job; /* ranks that train one model */
    char db_name[VS_BENCH_NAME], results_name[4300];
    struct vs_bench_words words;
};

#define OPTIONS(r)                                                                                                     \
    {                                                                                                                  \
        {.letter = 'o',                                                                                                \
         .name = "recording",                                                                                          \
         .argument = "DB",                                                                                             \
         .help = "database to write (default: train.db, train-2.db, ...;\n"                                            \
                 "                           train.db for ranks of torchrun, mpirun or srun)",                         \
         .text = &(r)->db},                                                                                            \
            {.name = "force", .help = "replace the database and the result if they exist", .on = &(r)->force},         \
            {.name = "append", .help = "add to the database if it exists", .on = &(r)->append},                        \
            {.name = "output", .argument = "F.json", .help = "write the result there too", .text = &(r)->result},      \
            {.name = "trace",                                                                                          \
             .argument = "LEVEL",                                                                                      \
             .help = "memory (default, leaves times undisturbed), kernels, api",                                       \
             .text = &(r)->trace},                                                                                     \
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
    if (r->db && !*r->db) return vs_usage(self, "-o needs the name of a database");
    if (r->result && !*r->result) return vs_usage(self, "--output needs the name of a file");
    status = vs_experiment_check_words(self, &r->words);
    return status >= 0 ? status : vs_bench_check_trace(self, r->trace);
}

/* Said before anything runs: the result of an hour must have a place. */
static int check_result(const struct request *r, struct vs_error *e)
{
    char folder[4300];
    struct stat st;
    const char *slash = strrchr(r->result, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - r->result) + 1 : 1, slash ? r->result : ".");
    if (slash && !slash[1]) return vs_fail(e, EISDIR, "%s names a folder; --output names a file", r->result);
    if (!stat(r->result, &st) && !S_ISREG(st.st_mode))
        return vs_fail(e, EINVAL, "%s is not a file; --output names one", r->result);
    if (access(folder, W_OK)) return vs_fail(e, errno, "cannot write %s: %s", r->result, strerror(errno));
    if (!access(r->result, F_OK) && !r->force)
        return vs_fail(e, EEXIST, "%s exists; --force replaces it, --output names another", r->result);
    return 0;
}

static int name_files(struct request *r, struct vs_error *e)
{
    if (!r->db) {
        vs_bench_free_name("train", r->job, r->db_name);
        r->db = r->db_name;
    }
    if (r->job.rank) r->results = r->result = NULL;
    if (!r->results) {
        vs_bench_results_name(r->db, "json", r->results_name, sizeof r->results_name);
        r->results = r->results_name;
    }
    if (!access(r->results, F_OK))
        return vs_fail(e, EEXIST, "%s exists; --results needs the name of a new file", r->results);
    if (r->append && vs_bench_takes(r->db, "experiment", e)) return -EINVAL;
    return r->result ? check_result(r, e) : 0;
}

static int show(const struct request *r, const struct vs_experiment_end *end)
{
    char db[4400];
    struct vs_error e;
    if (r->result && vs_experiment_write(end->json, r->result, &e)) return vs_complain("%s", e.text);
    if (vs_experiment_show(end->json, stdout, &e)) return vs_complain("%s", e.text);
    if (r->result) printf("result: %s\n", vs_human_path(r->result, db, sizeof db));
    printf("next: vramscope report %s --by category\n", vs_human_path(r->db, db, sizeof db));
    if (fflush(stdout) || ferror(stdout)) return vs_complain("cannot write the result: %s", strerror(errno));
    return VS_OK;
}

/* What a run that has ended is made into. The exit status. */
static int finish(const struct request *r, const struct vs_experiment_end *end)
{
    struct vs_experiment_facts facts = {.ok = 1};
    struct vs_error e;
    int wrong = end->json ? show(r, end) : 0;
    if (end->kept) vs_bench_keep(r->results, end->error.text);
    else if (*end->error.text) vs_complain("%s", end->error.text);
    if (end->json && !wrong && vs_experiment_look(end->json, &facts, &e)) wrong = vs_complain("%s", e.text);
    if (end->json && !wrong && !facts.ok) wrong = vs_complain("%s", facts.reason);
    if (end->status) return end->status;
    if (r->job.rank && !*end->error.text) return VS_OK;
    return wrong || !end->json ? VS_FAILED : VS_OK;
}

static int measure(struct request *r, char *workload)
{
    struct vs_experiment_options options = {0};
    struct vs_experiment_request run = {.trace = r->trace};
    struct vs_experiment_end end = {0};
    struct vs_error e;
    const char *name;
    int status;
    if (vs_experiment_options_make(&r->words, &options)) return vs_complain("out of memory");
    r->job = vs_experiment_option(&options, "--shard") ? vs_job_here() : (struct vs_job){0, 1};
    if (name_files(r, &e)) {
        vs_experiment_options_free(&options);
        return vs_complain("%s", e.text);
    }
    vs_bench_fill(&r->words, workload, "train", r->results);
    name = vs_experiment_option(&options, "--mode");
    run.words = r->words;
    run.db = run.recording = r->db;
    run.mode = r->force ? VS_OUTPUT_FORCE : r->append ? VS_OUTPUT_APPEND : VS_OUTPUT_NEW;
    run.name = name && *name ? name : "train";
    run.job = r->job;
    run.keep_results = r->results != r->results_name;
    if (vs_experiment_run(&run, &end, &e)) {
        vs_complain("%s", e.text);
        status = end.opened ? VS_NOT_EXECUTABLE : VS_FAILED;
    } else status = finish(r, &end);
    vs_experiment_end_free(&end);
    vs_experiment_options_free(&options);
    return status;
}

static int train_main(const struct vs_command *self, int argc, char **argv)
{
    struct request r = {0};
    const struct vs_option options[] = OPTIONS(&r);
    struct vs_error e;
    char workload[4200];
    int status = vs_bench_find(self, options, argc, argv, "train", workload, sizeof workload, &e);
    if (status >= 0) return status;
    if (!*workload) return vs_complain("%s", e.text);
    status = parse(self, argc, argv, &r);
    if (status < 0) status = measure(&r, workload);
    free(r.words.argv);
    return status;
}

const struct vs_command vs_bench_train = {
    .name = "bench train",
    .operands = "[-o DB] [--force|--append] [--output F.json] [--trace LEVEL] [WORKLOAD OPTIONS]",
    .summary = "Record one DP-SGD training experiment; print its time, its peak and what the peak was made of",
    .about = "Runs vramscope-workload train under the recorder. Every number of memory in the result is read from the\n"
             "recording. The result is a row of table experiment in the database; --output writes it as JSON too.\n"
             "Where a launcher starts it on every rank, all record into one database, and rank 0 prints the result.\n"
             "Exit status: the workload's (1: it failed; 2: a wrong option), 1 when the recording failed.",
    .example = "vramscope bench train --mode ghost --preset gpt2-large --batch-size 4 --output ghost.json",
    .main = train_main};
