/* SPDX-License-Identifier: MIT
 *
 * suite_run.c: the experiments of a run, one after the other, each a process of its own. Must never let one that fails keep the
 * others from running, nor go on after somebody said stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../exporters/visible.h"
#include "human.h"
#include "suite.h"

static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { STOPS = sizeof stops / sizeof *stops };
static volatile sig_atomic_t said; /* the signal that came between two experiments */

static void hear(int number)
{
    said = number;
}

/* While an experiment runs, vs_child_wait passes signals on; between them they come here. What is ignored stays so. */
static void listen_for_signals(struct vs_suite *s, struct sigaction before[STOPS])
{
    const struct sigaction ours = {.sa_handler = hear};
    sigprocmask(SIG_SETMASK, NULL, &s->mask);
    for (int i = 0; i < STOPS; i++) {
        sigaction(stops[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(stops[i], &ours, NULL);
    }
}

static void stop_listening(const struct vs_suite *s, const struct sigaction before[STOPS])
{
    sigprocmask(SIG_SETMASK, &s->mask, NULL); /* what waits comes now */
    for (int i = 0; i < STOPS; i++) sigaction(stops[i], &before[i], NULL);
}

int vs_suite_words(const struct vs_suite *s, const struct vs_suite_one *x, struct vs_bench_words *out)
{
    const char *const ours[] = {"--mode", x->name, "--experiment", x->name, "--seq-len", x->length};
    int n = *x->length ? 6 : 4;
    *out = (struct vs_bench_words){calloc((size_t)(s->passed.argc + n) + 1, sizeof *out->argv), s->passed.argc + n};
    if (!out->argv) return -ENOMEM;
    memcpy(out->argv + VS_BENCH_OURS, ours, (size_t)n * sizeof *out->argv);
    memcpy(out->argv + VS_BENCH_OURS + n, s->passed.argv + VS_BENCH_OURS,
           (size_t)(s->passed.argc - VS_BENCH_OURS) * sizeof *out->argv);
    return 0;
}

/* Its last complaint ("train: ..."), else the last line: what it prints on stdout may come after both. */
static void last_words(const char *path, char out[VS_EXPERIMENT_TEXT])
{
    char line[VS_EXPERIMENT_TEXT];
    int complained = 0;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        int complains = !strncmp(line, "train: ", 7);
        line[strcspn(line, "\n")] = 0;
        if (!*line || (complained && !complains)) continue;
        snprintf(out, VS_EXPERIMENT_TEXT, "%s", line);
        complained |= complains;
    }
    if (f) fclose(f);
}

/* How it went: its state, and its result as a file. */
static int conclude(struct vs_suite *s, struct vs_suite_one *x, const struct vs_experiment_end *end, const char *log,
                    struct vs_error *e)
{
    char path[4300];
    int err = 0;
    vs_suite_path(s, x, "_result.json", path);
    if (end->stopped) s->stopped = end->signal;
    if (!end->json && end->stopped) return 0; /* as if it had not begun */
    if (end->json) err = vs_experiment_look(end->json, &x->facts, e);
    if (end->json && !err) err = vs_experiment_write(end->json, path, e);
    if (err) return err;
    x->state = x->facts.ok ? VS_SUITE_DONE : end->json || end->status != 2 ? VS_SUITE_FAILED : VS_SUITE_REFUSED;
    snprintf(x->reason, sizeof x->reason, "%s", end->json ? x->facts.reason : end->error.text);
    if (!*x->reason) last_words(log, x->reason);
    return 0;
}

/* An experiment's own troubles are its result; an error is of the suite: it cannot write its folder. */
static int run_one(struct vs_suite *s, struct vs_suite_one *x, struct vs_error *e)
{
    char db[4300], results[4300], log[4300];
    struct vs_experiment_request r = {.db = db,
                                      .recording = "suite.db",
                                      .mode = VS_OUTPUT_APPEND,
                                      .trace = s->trace,
                                      .name = x->name,
                                      .store_refused = 1};
    struct vs_experiment_end end = {0};
    int err = vs_suite_words(s, x, &r.words) ? vs_fail(e, ENOMEM, "out of memory") : 0;
    snprintf(db, sizeof db, "%s/suite.db", s->folder);
    vs_suite_path(s, x, ".workload.json", results);
    vs_suite_path(s, x, ".log", log);
    unlink(results); /* of a run that was ended */
    r.words_to = err ? -1 : open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (!err && r.words_to < 0) err = vs_fail(e, errno, "cannot write %s: %s", log, strerror(errno));
    if (!err) {
        vs_bench_fill(&r.words, s->workload, "train", results);
        err = vs_experiment_run(&r, &end, e);
    }
    if (r.words_to >= 0) close(r.words_to);
    if (!err) err = conclude(s, x, &end, log, e);
    vs_experiment_end_free(&end);
    free(r.words.argv);
    return err;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *lasting(double seconds, char out[VS_HUMAN])
{
    if (seconds >= 600) return vs_human_time((int64_t)(seconds * 1e9), out);
    snprintf(out, VS_HUMAN, seconds < 20 ? "%.1f s" : "%.0f s", seconds);
    return out;
}

/* What is left at the pace so far, by token. -1: nothing is known, or nothing left. */
static double seconds_left(const struct vs_suite *s)
{
    double seconds = 0, tokens = 0, left = 0;
    for (int i = 0; i < s->count; i++) {
        const struct vs_suite_one *x = &s->one[i];
        double T = *x->length ? atof(x->length) : 1;
        if (x->state == VS_SUITE_DONE) {
            seconds += x->seconds;
            tokens += T;
        } else if (x->state == VS_SUITE_WAITS) left += T;
    }
    return tokens > 0 && left > 0 ? seconds / tokens * left : -1;
}

static void say_begin(const struct vs_suite *s, int i)
{
    const struct vs_suite_one *x = &s->one[i];
    fprintf(stderr, "[%d/%d] %s%s%s ... ", i + 1, s->count, x->name, *x->length ? " T=" : "", x->length);
    if (x->state == VS_SUITE_KEPT) fputs("done before\n", stderr);
    fflush(stderr);
}

static void say_end(const struct vs_suite *s, const struct vs_suite_one *x)
{
    char took[VS_HUMAN], rest[VS_HUMAN], reason[VS_VISIBLE_ROOM(VS_EXPERIMENT_TEXT)];
    double left = seconds_left(s);
    vs_visible(x->reason, strlen(x->reason), 0, reason, sizeof reason);
    lasting(x->seconds, took);
    if (x->state == VS_SUITE_WAITS) fprintf(stderr, "stopped after %s\n", took);
    else if (x->state != VS_SUITE_DONE) fprintf(stderr, "FAILED after %s: %s\n", took, reason);
    else if (left < 0) fprintf(stderr, "%s\n", took);
    else fprintf(stderr, "%s, about %s left\n", took, lasting(left, rest));
}

int vs_suite_run(struct vs_suite *s, struct vs_error *e)
{
    struct sigaction before[STOPS];
    int err = 0;
    said = 0;
    listen_for_signals(s, before);
    for (int i = 0; i < s->count && !err && !s->stopped; i++) {
        struct vs_suite_one *x = &s->one[i];
        double began = now_s();
        say_begin(s, i);
        if (x->state == VS_SUITE_KEPT) continue;
        err = run_one(s, x, e);
        sigprocmask(SIG_SETMASK, &s->mask,
                    NULL); /* vs_child_wait leaves signals held back: the next child would inherit that */
        if (said) s->stopped = said;
        x->seconds = now_s() - began;
        if (!err) say_end(s, x);
        else fputc('\n', stderr);
    }
    stop_listening(s, before);
    return err;
}
