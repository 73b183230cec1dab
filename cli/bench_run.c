/* SPDX-License-Identifier: MIT
 *
 * bench_run.c: the parts of a recorded benchmark that do not depend on what it measures.
 */
#include "bench_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "command.h"
#include "folder.h"
#include "human.h"
#include "option.h"

/* Of a long option: what follows its name in the word, "" or "=value"; NULL: it is another one. The workloads know names with
 * underscores too. */
static char *after_name(char *word, const char *name)
{
    if (strncmp(word, "--", 2)) return NULL;
    for (word += 2; *name; word++, name++)
        if (*word != *name && !(*word == '_' && *name == '-')) return NULL;
    return !*word || *word == '=' ? word : NULL;
}

int vs_bench_take(const struct vs_command *self, const struct vs_option *table, int argc, char **argv, int *i)
{
    char *word = argv[*i];
    for (; table->name; table++) {
        char *value = after_name(word, table->name);
        if (table->letter && word[0] == '-' && word[1] == table->letter) value = word + 2;
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

int vs_bench_split(const struct vs_command *self, const struct vs_option *table, int argc, char **argv,
                   struct vs_bench_words *words)
{
    words->argv = calloc((size_t)argc + VS_BENCH_OURS + 1, sizeof *words->argv);
    if (!words->argv) return vs_complain("out of memory");
    words->argc = VS_BENCH_OURS;
    for (int i = 1; i < argc; i++) {
        int status = vs_bench_take(self, table, argc, argv, &i);
        if (status > 0) return status;
        if (status < 0) words->argv[words->argc++] = argv[i];
    }
    return -1;
}

void vs_bench_fill(struct vs_bench_words *words, char *path, const char *name, const char *results)
{
    words->argv[0] = path;
    words->argv[1] = (char *)name;
    words->argv[2] = "--results";
    words->argv[3] = (char *)results;
}

int vs_bench_check_trace(const struct vs_command *self, const char *trace)
{
    if (!trace || !strcmp(trace, "memory") || !strcmp(trace, "kernels") || !strcmp(trace, "api")) return -1;
    return vs_usage(self, "--trace cannot be '%.40s'; it is one of: memory kernels api", trace);
}

static int wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return 1;
    return 0;
}

/* Ours, then the workload's own. */
static int help(const struct vs_command *self, const struct vs_option *table, const char *workload, const char *name)
{
    char *words[] = {(char *)self->name, "--help", NULL}, *argv[] = {(char *)workload, (char *)name, "--help", NULL};
    struct vs_operands none = {0};
    struct vs_error e;
    pid_t pid;
    int status = vs_options_parse(self, table, 2, words, &none);
    if (!*workload) return status;
    printf("\nOptions of the workload:\n\n");
    fflush(stdout);
    if (vs_child_start(workload, argv, environ, &pid, &e)) return vs_complain("%s", e.text);
    return vs_child_wait(pid);
}

int vs_bench_find(const struct vs_command *self, const struct vs_option *table, int argc, char **argv, const char *name,
                  char *workload, size_t workload_bytes, struct vs_error *e)
{
    if (vs_child_workload(workload, workload_bytes, e)) *workload = 0;
    return wants_help(argc, argv) ? help(self, table, workload, name) : -1;
}

void vs_bench_free_name(const char *stem, struct vs_job job, char out[VS_BENCH_NAME])
{
    char used[VS_BENCH_NAME + 8];
    for (int n = 1;; n++) {
        if (n > 1) snprintf(out, VS_BENCH_NAME, "%s-%d.db", stem, n);
        else snprintf(out, VS_BENCH_NAME, "%s.db", stem);
        snprintf(used, sizeof used, "%s.log", out);
        if (job.world > 1 || (access(out, F_OK) && access(used, F_OK))) return;
    }
}

/* A process id is not enough of a name: in containers all runs may have the same. */
void vs_bench_results_name(const char *db, const char *ending, char *out, size_t out_bytes)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(out, out_bytes, "%.4200s.results.%d-%09ld.%s", db, (int)getpid(), now.tv_nsec, ending);
}

int vs_bench_takes(const char *db, const char *table, struct vs_error *e)
{
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT COUNT(*) > 0 AND NOT TOTAL(name = '%s') FROM sqlite_master", table);
    if (vs_recording_number(db, sql) != 1) return 0;
    return vs_fail(e, EINVAL, "%s cannot take results: it was made by an older vramscope; choose another -o", db);
}

int vs_bench_holds(const char *results)
{
    FILE *f = fopen(results, "re");
    int any = f && fgetc(f) != EOF;
    if (f) fclose(f);
    return any;
}

const char *vs_bench_trouble(const struct vs_recorded_run *run)
{
    switch (run->outcome) {
    case VS_REC_COMPLETE: return NULL;
    case VS_REC_NOTHING: return VS_BENCH_UNRECORDED;
    case VS_REC_SHARED: return "other runs still record into the same database; a benchmark needs one of its own";
    case VS_REC_RUNNING: return "processes started by the workload still run";
    case VS_REC_NO_LOCKS: return "the file system of the database has no locks; choose another -o";
    case VS_REC_FAILED: return run->error.text;
    }
    return NULL;
}

/* A shell's convention, and the only one there is: the workload itself never ends with such a status. */
int vs_bench_ending_signal(const struct vs_recorded_run *run)
{
    return run->status > 128 ? run->status - 128 : 0;
}

void vs_bench_keep(const char *results, const char *failed)
{
    char path[4400];
    vs_complain("%s", failed);
    fprintf(stderr, "vramscope: the results stay in %s, for reading: no command stores them later\n",
            vs_human_path(results, path, sizeof path));
}
