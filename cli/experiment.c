/* SPDX-License-Identifier: MIT
 *
 * experiment.c: runs the workload and judges what it left: a file, a recording, a signal. Must never delete a file of results that is
 * not in the database.
 */
#include "experiment.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "folder.h"
#include "option.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t name_length(const char *word)
{
    return strcspn(word, "=");
}

static int is_of_the_run(const char *option)
{
    static const char *const names[] = {"--results", "--experiment", "--quiet"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name_length(option) == strlen(names[i]) && !strncmp(option, names[i], strlen(names[i]))) return 1;
    return 0;
}

static void put(struct vs_experiment_options *o, char *option)
{
    for (int i = 0; i < o->count; i++)
        if (name_length(o->text[i]) == name_length(option) && !strncmp(o->text[i], option, name_length(option))) {
            free(o->text[i]);
            o->text[i] = option;
            return;
        }
    o->text[o->count++] = option;
}

int vs_experiment_options_make(const struct vs_bench_words *words, struct vs_experiment_options *out)
{
    *out = (struct vs_experiment_options){.text = calloc((size_t)words->argc + 1, sizeof *out->text)};
    if (!out->text) return -ENOMEM;
    for (int i = VS_BENCH_OURS; i < words->argc; i++) {
        const char *word = words->argv[i], *next = i + 1 < words->argc ? words->argv[i + 1] : NULL;
        int joined = !strncmp(word, "--", 2) && !strchr(word, '=') && next && strncmp(next, "--", 2);
        char *option;
        if (asprintf(&option, joined ? "%s=%s" : "%s", word, next) < 0) return -ENOMEM;
        for (char *c = option; !strncmp(option, "--", 2) && *c && *c != '='; c++)
            if (*c == '_') *c = '-';
        if (is_of_the_run(option)) free(option);
        else put(out, option);
        i += joined;
    }
    qsort(out->text, (size_t)out->count, sizeof *out->text, by_name);
    return 0;
}

void vs_experiment_options_free(struct vs_experiment_options *o)
{
    for (int i = 0; i < o->count; i++) free(o->text[i]);
    free(o->text);
    *o = (struct vs_experiment_options){0};
}

const char *vs_experiment_option(const struct vs_experiment_options *o, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < o->count; i++)
        if (name_length(o->text[i]) == n && !strncmp(o->text[i], name, n))
            return o->text[i] + n + (o->text[i][n] == '=');
    return NULL;
}

int vs_experiment_check_words(const struct vs_command *self, const struct vs_bench_words *words)
{
    for (int i = VS_BENCH_OURS; i < words->argc; i++)
        if (!strcmp(words->argv[i], "--check"))
            return vs_usage(self, "--check compares one step and has nothing to record: run vramscope-workload train --check ...");
    return -1;
}

static int people_send(int number)
{
    return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
}

/* In a database that others are in too, that something was recorded says nothing. One that starts ranks is not recorded itself. */
static int is_recorded(const struct vs_experiment_request *r, const struct vs_recorded_run *run, int64_t after)
{
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM process WHERE id > %lld AND %d IN (pid, parent_pid)", (long long)after,
             (int)run->pid);
    return run->outcome == VS_REC_COMPLETE && vs_recording_number(r->db, sql) > 0;
}

/* Nothing may be stored: somebody else writes the database, or it is not whole. */
static int is_out_of_reach(enum vs_recorded outcome)
{
    return outcome != VS_REC_COMPLETE && outcome != VS_REC_NOTHING;
}

static int store(const struct vs_experiment_request *r, const struct vs_recorded_run *run, int64_t after, int has_file,
                 struct vs_experiment_end *end)
{
    struct vs_experiment_options options;
    struct vs_experiment_run what = {.db_path = r->db,
                                     .recording = r->recording,
                                     .name = r->name,
                                     .version = VS_VERSION,
                                     .results = has_file ? r->words.argv[3] : NULL,
                                     .after = after,
                                     .pid = run->pid,
                                     .status = run->status};
    struct vs_error damage;
    int err = vs_experiment_options_make(&r->words, &options) ? vs_fail(&end->error, ENOMEM, "out of memory") : 0;
    what.words = (const char *const *)options.text;
    what.word_count = options.count;
    if (!run->status && !is_recorded(r, run, after)) what.problem = VS_BENCH_UNRECORDED;
    else if (!run->status && !has_file) what.problem = "the workload ended in order but wrote no results";
    if (!err) err = vs_experiment_store(&what, &end->id, &end->json, &end->error);
    if (err == -EINVAL && has_file) { /* a damaged file: what the recording knows is worth having */
        damage = end->error;
        end->kept = 1;
        what.results = NULL;
        what.problem = damage.text;
        err = vs_experiment_store(&what, &end->id, &end->json, &end->error);
    }
    vs_experiment_options_free(&options);
    return err;
}

/* Without a word of its own and without a sign of life in the recording it has said on stderr why it did not begin. */
static int has_begun(const struct vs_experiment_request *r, const struct vs_recorded_run *run, int64_t after,
                     int has_file)
{
    if (!run->status || is_recorded(r, run, after)) return 1;
    return has_file && (r->store_refused || run->status != VS_USAGE);
}

/* Whoever ends last completes the recording. */
static void finish_rank(const struct vs_recorded_run *run, struct vs_experiment_end *end)
{
    end->status = run->status;
    if (run->outcome != VS_REC_SHARED && is_out_of_reach(run->outcome))
        vs_fail(&end->error, EIO, "%s", vs_bench_trouble(run));
}

static void finish(const struct vs_experiment_request *r, const struct vs_recorded_run *run, int64_t after,
                   struct vs_experiment_end *end)
{
    const char *results = r->words.argv[3];
    int has_file = vs_bench_holds(results);
    end->status = run->status;
    end->signal = vs_bench_ending_signal(run);
    end->stopped = people_send(end->signal);
    if (is_out_of_reach(run->outcome)) {
        vs_fail(&end->error, EIO, "%s", vs_bench_trouble(run));
        end->kept = has_file;
    } else if (end->signal && !has_file && (end->stopped || !is_recorded(r, run, after)))
        vs_fail(&end->error, EINTR, "the workload was ended by signal %d before it had a result", end->signal);
    else if (has_begun(r, run, after, has_file)) {
        if (store(r, run, after, has_file, end)) end->kept = has_file;
    }
    if (!end->kept && !r->keep_results) unlink(results);
}

int vs_experiment_run(const struct vs_experiment_request *r, struct vs_experiment_end *end, struct vs_error *e)
{
    struct vs_recorded_run run = {.output = r->db,
                                  .mode = r->mode,
                                  .trace = r->trace ? r->trace : "memory",
                                  .quiet_stdout = 1,
                                  .words = r->words_to,
                                  .wait_s = vs_job_wait_s(r->job),
                                  .program = r->words.argv[0],
                                  .argv = r->words.argv};
    long before = -1;
    int err;
    *end = (struct vs_experiment_end){0};
    if (r->mode == VS_OUTPUT_APPEND) before = vs_recording_number(r->db, "SELECT COALESCE(MAX(id), 0) FROM process");
    err = vs_recorded_run(&run, e);
    end->opened = run.opened;
    if (!err && r->job.rank) finish_rank(&run, end);
    else if (!err) finish(r, &run, before > 0 ? before : 0, end);
    return err;
}

void vs_experiment_end_free(struct vs_experiment_end *end)
{
    free(end->json);
    end->json = NULL;
}
