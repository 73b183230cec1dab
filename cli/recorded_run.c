/* SPDX-License-Identifier: MIT
 *
 * recorded_run.c: owns the order of a recorded run: output, program, ingest. Must never leave our own stdout changed.
 */
#include "recorded_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../db/run_end.h"
#include "child.h"
#include "oom_kills.h"

struct lent {
    int fd, saved; /* saved -1: fd is as it was */
};

static int lend(struct lent *l, int to, struct vs_error *e)
{
    l->saved = fcntl(l->fd, F_DUPFD_CLOEXEC, 3);
    if (l->saved >= 0 && dup2(to, l->fd) >= 0) return 0;
    return vs_fail(e, errno, "cannot lead the program's output elsewhere: %s", strerror(errno));
}

static int take_back(struct lent *l, struct vs_error *e)
{
    int err = 0;
    if (l->saved >= 0 && dup2(l->saved, l->fd) < 0)
        err = vs_fail(e, errno, "cannot have stdout or stderr back: %s", strerror(errno));
    if (l->saved >= 0) close(l->saved);
    return err;
}

/* The program inherits descriptors 1 and 2 at the moment of its start. */
static int start(struct vs_recorded_run *r, char **environment, struct vs_error *e)
{
    struct lent out = {STDOUT_FILENO, -1}, err_out = {STDERR_FILENO, -1};
    int err = 0, back, back_err;
    if (!environment) return vs_fail(e, ENOMEM, "out of memory");
    fflush(stdout);
    if (r->words || r->quiet_stdout) err = lend(&out, r->words ? r->words : STDERR_FILENO, e);
    if (!err && r->words) err = lend(&err_out, r->words, e);
    if (!err) err = vs_child_start(r->program, r->argv, environment, &r->pid, e);
    back = take_back(&out, err ? NULL : e);
    back_err = take_back(&err_out, err ? NULL : e);
    if (err || (!back && !back_err)) return err;
    kill(r->pid, SIGKILL);
    vs_child_wait(r->pid);
    return back ? back : back_err;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* For the ingest of whoever is last. Nothing depends on it: where it cannot be written, less is known. */
static void write_end(const struct vs_recorded_run *r, const char *folder, struct vs_run_end *end)
{
    long long kills = vs_oom_kills();
    gethostname(end->host, sizeof end->host - 1);
    end->end_ns = now_ns();
    end->pid = r->pid;
    end->status = r->status;
    end->oom_kills = kills >= 0 && end->oom_kills >= 0 ? kills - end->oom_kills : -1;
    vs_run_end_write(folder, end);
}

/* Signals are held back since the program was started (child.h); one that asks us to end ends the waiting. */
static void wait_for_others(const struct vs_output *o, int seconds)
{
    static const int asking[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    const struct timespec pause = {0, 20000000};
    int64_t end = now_ns() + seconds * 1000000000ll;
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++) sigaddset(&set, asking[i]);
    while (!vs_output_alone(o) && now_ns() < end && sigtimedwait(&set, NULL, &pause) < 0) continue;
}

int vs_recorded_run(struct vs_recorded_run *r, struct vs_error *e)
{
    struct vs_recorder *recorder;
    struct vs_output o;
    struct vs_run_end end;
    char library[4200], **environment;
    int err = vs_child_library(library, sizeof library, e);
    if (!err) err = vs_output_open(r->output, r->mode, &o, e);
    if (err) return err;
    r->opened = 1;
    end = (struct vs_run_end){.start_ns = now_ns(), .oom_kills = vs_oom_kills()};
    environment = vs_child_environment(library, o.folder, r->trace, r->ranks, r->python_lines);
    err = start(r, environment, e);
    free(environment);
    if (err) {
        vs_recorder_finish(NULL, &o, NULL);
        return err;
    }
    recorder = vs_recorder_start(&o);
    r->status = vs_child_wait(r->pid);
    write_end(r, o.folder, &end);
    if (r->wait_s) wait_for_others(&o, r->wait_s);
    r->outcome = vs_recorder_finish(recorder, &o, &r->error);
    return 0;
}
