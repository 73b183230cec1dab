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

/* The program inherits descriptor 1 at the moment of its start. */
static int start(struct vs_recorded_run *r, char **environment, struct vs_error *e)
{
    int saved = -1, err = 0;
    if (!environment) return vs_fail(e, ENOMEM, "out of memory");
    fflush(stdout);
    if (r->quiet_stdout) saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (r->quiet_stdout && (saved < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0))
        err = vs_fail(e, errno, "cannot lead the program's stdout to stderr: %s", strerror(errno));
    if (!err) err = vs_child_start(r->program, r->argv, environment, &r->pid, e);
    if (saved >= 0 && dup2(saved, STDOUT_FILENO) < 0 && !err) {
        err = vs_fail(e, errno, "cannot have stdout back: %s", strerror(errno));
        kill(r->pid, SIGKILL);
        vs_child_wait(r->pid);
    }
    if (saved >= 0) close(saved);
    return err;
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
    r->outcome = vs_recorder_finish(recorder, &o, &r->error);
    return 0;
}
