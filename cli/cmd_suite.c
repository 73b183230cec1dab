/* SPDX-License-Identifier: MIT
 *
 * cmd_suite.c: `vramscope suite`: which experiments are asked for, all checked before any runs. Must never judge an option that is
 * the workload's.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_run.h"
#include "command.h"
#include "option.h"
#include "suite.h"

enum { MOST = 256 }; /* experiments in a run */

static const char *const known[] = {
#define X(name) #name,
    VS_SUITE_EXPERIMENTS(X)
#undef X
        NULL};

#define OPTIONS(s)                                                                                                     \
    {                                                                                                                  \
        {.letter = 'o',                                                                                                \
         .name = "output-dir",                                                                                         \
         .argument = "DIR",                                                                                            \
         .help = "where the run's folder goes (default: memory_profiling_results)",                                    \
         .text = &(s)->output},                                                                                        \
            {.name = "experiments",                                                                                    \
             .argument = "LIST",                                                                                       \
             .help = "modes to run (default: " VS_SUITE_DEFAULTS ")",                                                  \
             .text = &(s)->experiments},                                                                               \
            {.name = "seq-len",                                                                                        \
             .argument = "LIST",                                                                                       \
             .help = "sequence lengths; every experiment runs at each",                                                \
             .text = &(s)->lengths},                                                                                   \
            {.name = "trace",                                                                                          \
             .argument = "LEVEL",                                                                                      \
             .help = "memory (default, leaves times undisturbed), kernels, api",                                       \
             .text = &(s)->trace},                                                                                     \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }

/* The n-th word of a list with commas; 0: there is none. An empty one is a word. */
static int nth(const char *list, int n, char *out, size_t room)
{
    for (; n && *list; list++) n -= *list == ',';
    if (n) return 0;
    snprintf(out, room, "%.*s", (int)strcspn(list, ","), list);
    return 1;
}

static int words_in(const char *list)
{
    int n = 1;
    for (; *list; list++) n += *list == ',';
    return n;
}

static int check_name(const struct vs_command *self, const char *name)
{
    const char *near;
    for (int i = 0; known[i]; i++)
        if (!strcmp(known[i], name)) return -1;
    near = vs_nearest(name, known);
    if (near) return vs_usage(self, "there is no experiment '%.60s'; did you mean %s?", name, near);
#define X(id) " " #id
    return vs_usage(self, "there is no experiment '%.60s'; there are:" VS_SUITE_EXPERIMENTS(X), name);
#undef X
}

static int check_length(const struct vs_command *self, const char *length)
{
    size_t n = strlen(length);
    if (n && n < 10 && strspn(length, "0123456789") == n && *length != '0') return -1;
    return vs_usage(self, "--seq-len needs lengths like 1024,2048, not '%.40s'", length);
}

/* Every length in turn, and at each all experiments: what is compared is done first. */
int vs_suite_plan(const struct vs_command *self, struct vs_suite *s)
{
    const char *names = s->experiments ? s->experiments : VS_SUITE_DEFAULTS, *lengths = s->lengths ? s->lengths : "";
    int all = words_in(names) * words_in(lengths), status = -1;
    if (all > MOST) return vs_usage(self, "%d experiments are too many for one run; at most %d", all, MOST);
    s->several = words_in(lengths) > 1;
    s->one = calloc((size_t)all, sizeof *s->one);
    if (!s->one) return vs_complain("out of memory");
    for (int l = 0; l < words_in(lengths); l++)
        for (int n = 0; n < words_in(names); n++) {
            struct vs_suite_one *x = &s->one[s->count];
            *x = (struct vs_suite_one){.facts = {.peak_mb = NAN, .avg_ms = NAN}};
            nth(names, n, x->name, sizeof x->name);
            nth(lengths, l, x->length, sizeof x->length);
            if ((status = check_name(self, x->name)) >= 0) return status;
            if (s->lengths && (status = check_length(self, x->length)) >= 0) return status;
            for (int i = 0; i < s->count; i++)
                if (!strcmp(s->one[i].name, x->name) && !strcmp(s->one[i].length, x->length))
                    return vs_usage(self, "%s%s%s is asked for twice", x->name, *x->length ? " at T=" : "", x->length);
            s->count++;
        }
    return -1;
}

void vs_suite_free(struct vs_suite *s)
{
    if (s->lock >= 0) close(s->lock);
    free(s->one);
    free(s->passed.argv);
}

/* --resume [DIR]: the folder may be left out. */
static void take_resume(struct vs_suite *s)
{
    int to = VS_BENCH_OURS;
    for (int i = VS_BENCH_OURS; i < s->passed.argc; i++) {
        char *word = s->passed.argv[i];
        if (!strncmp(word, "--resume=", 9)) s->resume = word + 9;
        else if (!strcmp(word, "--resume") && i + 1 < s->passed.argc && s->passed.argv[i + 1][0] != '-')
            s->resume = s->passed.argv[++i];
        else if (!strcmp(word, "--resume")) s->resume = "";
        else s->passed.argv[to++] = word;
    }
    s->passed.argc = to;
    s->passed.argv[to] = NULL;
}

/* What the suite gives the workload itself. */
static int check_passed(const struct vs_command *self, const struct vs_suite *s)
{
    static const char *const taken[] = {"--mode", "--experiment", "--results"};
    for (int i = VS_BENCH_OURS; i < s->passed.argc; i++) {
        const char *word = s->passed.argv[i];
        for (size_t t = 0; t < sizeof taken / sizeof *taken; t++)
            if (strcspn(word, "=") == strlen(taken[t]) && !strncmp(word, taken[t], strlen(taken[t])))
                return vs_usage(self, "%s is the suite's to choose; --experiments says what runs", taken[t]);
    }
    return -1;
}

/* -1: go on; else the exit status. */
static int parse(const struct vs_command *self, int argc, char **argv, struct vs_suite *s)
{
    const struct vs_option options[] = OPTIONS(s);
    int status = vs_bench_split(self, options, argc, argv, &s->passed);
    if (status >= 0) return status;
    take_resume(s);
    if (!*s->output) return vs_usage(self, "-o needs the name of a folder");
    if ((status = vs_bench_check_trace(self, s->trace)) >= 0) return status;
    if ((status = check_passed(self, s)) >= 0) return status;
    if ((status = vs_experiment_check_words(self, &s->passed)) >= 0) return status;
    return vs_suite_plan(self, s);
}

static int run(struct vs_suite *s)
{
    struct vs_error e;
    int err = s->resume ? vs_suite_find_folder(s, &e) : vs_suite_make_folder(s, &e);
    if (!err && s->resume && (err = vs_suite_resume(s, &e)) == -EINVAL) {
        vs_complain("%s", e.text);
        return VS_USAGE;
    }
    if (!err) err = vs_suite_run(s, &e);
    if (!err) return vs_suite_end(s);
    vs_suite_drop_folder(s);
    return vs_complain("%s", e.text);
}

static int suite_main(const struct vs_command *self, int argc, char **argv)
{
    struct vs_suite s = {.output = "memory_profiling_results", .lock = -1};
    const struct vs_option options[] = OPTIONS(&s);
    struct vs_error e;
    int status = vs_bench_find(self, options, argc, argv, "train", s.workload, sizeof s.workload, &e);
    if (status >= 0) return status;
    status = parse(self, argc, argv, &s);
    if (status < 0) status = *s.workload ? run(&s) : vs_complain("%s", e.text);
    vs_suite_free(&s);
    return status;
}

const struct vs_command vs_command_suite = {
    .name = "suite",
    .operands = "[--experiments LIST] [--seq-len LIST] [-o DIR] [--resume [DIR/run_...]] [WORKLOAD OPTIONS]",
    .summary = "Record a series of training experiments; draw and print them side by side",
    .about =
        "Each experiment is a process of its own, recorded into DIR/run_YYYYMMDD_HHMMSS/suite.db. Beside it go\n"
        "{experiment}_result.json and {experiment}.log (what the workload printed), both with _seq{T} in the name\n"
        "where several lengths are asked for, and figures and summary.txt in visualizations/. One that fails is\n"
        "said, and the others still run. --resume does what is missing or failed in an earlier run, asked for\n"
        "with the same options; without a folder, in the newest one of -o.\n"
        "Exit status: 0; 1 something failed; 2 a wrong option; 128 + n stopped by signal n.",
    .example = "vramscope suite --preset gpt2-large --seq-len 1024,4096 --batch-size 1 -o results",
    .main = suite_main};
