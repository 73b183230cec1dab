/* SPDX-License-Identifier: MIT
 *
 * bench_fsdp_norms.c: `vramscope bench fsdp-norms`: records the fsdp_norms workload, all its ranks into one database, and lets it speak for
 * itself. Options it does not know are the workload's; it must never judge them, nor the result.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench_run.h"
#include "human.h"
#include "option.h"

#define WORKLOAD "fsdp_norms"

struct request {
    const char *db, *result, *trace; /* NULL: not asked for */
    int force, append;
    struct vs_job job;
    char db_name[VS_BENCH_NAME];
    struct vs_bench_words words;
};

#define OPTIONS(r)                                                                                                     \
    {                                                                                                                  \
        {.letter = 'o',                                                                                                \
         .name = "recording",                                                                                          \
         .argument = "DB",                                                                                             \
         .help = "database to write (default: fsdp-norms.db, fsdp-norms-2.db,\n"                                       \
                 "                           ...; fsdp-norms.db for ranks of torchrun, mpirun or srun)",               \
         .text = &(r)->db},                                                                                            \
            {.name = "force", .help = "replace the database and the result if they exist", .on = &(r)->force},         \
            {.name = "append", .help = "add to the database if it exists", .on = &(r)->append},                        \
            {.name = "output", .argument = "F.json", .help = "write the result there too", .text = &(r)->result},      \
            {.name = "trace",                                                                                          \
             .argument = "LEVEL",                                                                                      \
             .help = "memory (default, leaves times undisturbed), kernels, api",                                       \
             .text = &(r)->trace},                                                                                     \
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
    r->job = vs_job_here();
    if (r->job.rank) r->result = NULL; /* rank 0 writes it */
    return vs_bench_check_trace(self, r->trace);
}

/* The workload makes the file and refuses one that exists. */
static int make_way(const struct request *r)
{
    if (!r->result || access(r->result, F_OK)) return 0;
    if (!r->force) return vs_complain("%s exists; --force replaces it, --output names another", r->result);
    return unlink(r->result) ? vs_complain("cannot replace %s: %s", r->result, strerror(errno)) : 0;
}

static int show_next(const char *db)
{
    char path[4400];
    printf("next: vramscope report %s --by rank\n", vs_human_path(db, path, sizeof path));
    if (fflush(stdout) || ferror(stdout)) return vs_complain("cannot write to stdout: %s", strerror(errno));
    return VS_OK;
}

static int measure(struct request *r, char *workload)
{
    struct vs_recorded_run run = {
        .trace = r->trace ? r->trace : "memory", .program = workload, .wait_s = vs_job_wait_s(r->job)};
    struct vs_error e;
    const char *trouble;
    int status = make_way(r);
    if (status) return status;
    if (!r->db) {
        vs_bench_free_name("fsdp-norms", r->job, r->db_name);
        r->db = r->db_name;
    }
    vs_bench_fill(&r->words, workload, WORKLOAD, r->result);
    run.argv = r->words.argv;
    if (!r->result) { /* without the two words that would name it */
        run.argv += 2;
        run.argv[0] = workload;
        run.argv[1] = (char *)WORKLOAD;
    }
    run.output = r->db;
    run.mode = r->force ? VS_OUTPUT_FORCE : r->append ? VS_OUTPUT_APPEND : VS_OUTPUT_NEW;
    if (vs_recorded_run(&run, &e)) {
        vs_complain("%s", e.text);
        return run.opened ? VS_NOT_EXECUTABLE : VS_FAILED;
    }
    if (r->job.rank && run.outcome == VS_REC_SHARED) return run.status; /* whoever ends last completes the recording */
    trouble =
        run.status == VS_USAGE && run.outcome == VS_REC_NOTHING ? NULL : vs_bench_trouble(&run); /* it refused to run */
    if (trouble) vs_complain("%s", trouble);
    if (vs_bench_ending_signal(&run)) vs_complain("the workload was ended by signal %d", vs_bench_ending_signal(&run));
    if (!trouble && run.status != VS_USAGE && !r->job.rank) status = show_next(r->db);
    return run.status ? run.status : trouble ? VS_FAILED : status;
}

static int fsdp_norms_main(const struct vs_command *self, int argc, char **argv)
{
    struct request r = {0};
    const struct vs_option options[] = OPTIONS(&r);
    struct vs_error e;
    char workload[4200];
    int status = vs_bench_find(self, options, argc, argv, WORKLOAD, workload, sizeof workload, &e);
    if (status >= 0) return status;
    if (!*workload) return vs_complain("%s", e.text);
    status = parse(self, argc, argv, &r);
    if (status < 0) status = measure(&r, workload);
    free(r.words.argv);
    return status;
}

const struct vs_command vs_bench_fsdp_norms = {
    .name = "bench fsdp-norms",
    .operands = "[-o DB] [--force|--append] [--output F.json] [--trace LEVEL] [WORKLOAD OPTIONS]",
    .summary = "Record ranks that train one sharded model; check or time its per-sample norms",
    .about = "Runs vramscope-workload fsdp_norms under the recorder, all ranks into one database. What the workload "
             "prints is\n"
             "the result; its last line is the verdict. Exit status: the workload's (1: a result is wrong, a rank "
             "failed, or\n"
             "--min-speedup was not reached; 2: a wrong option), 1 when the recording failed.",
    .example = "vramscope bench fsdp-norms --nproc 4 --device cpu",
    .main = fsdp_norms_main};
