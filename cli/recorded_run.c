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
#include <unistd.h>

#include "child.h"

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

int vs_recorded_run(struct vs_recorded_run *r, struct vs_error *e)
{
    struct vs_recorder *recorder;
    struct vs_output o;
    char library[4200], **environment;
    int err = vs_child_library(library, sizeof library, e);
    if (!err) err = vs_output_open(r->output, r->mode, &o, e);
    if (err) return err;
    r->opened = 1;
    environment = vs_child_environment(library, o.folder, r->trace, r->ranks);
    err = start(r, environment, e);
    free(environment);
    if (err) {
        vs_recorder_finish(NULL, &o, NULL);
        return err;
    }
    recorder = vs_recorder_start(&o);
    r->status = vs_child_wait(r->pid);
    r->outcome = vs_recorder_finish(recorder, &o, &r->error);
    return 0;
}
