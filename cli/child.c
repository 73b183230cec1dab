/* SPDX-License-Identifier: MIT
 *
 * child.c: starts the program and stands between it and whoever signals us. Must never deliver a signal twice: what the
 * terminal or the kernel sent to the whole process group has reached the program already.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

static void ours(sigset_t *set)
{
    unsigned i;
    sigemptyset(set);
    for (i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) sigaddset(set, passed_on[i]);
    sigaddset(set, SIGCHLD);
    sigaddset(set, SIGPIPE); /* a closed stderr must not end us while the program runs */
}

static void execute(const char *path, char *const *argv, char *const *environment, int report,
                    const struct sigaction *sigchld, const sigset_t *mask)
{
    int err;
    sigaction(SIGCHLD, sigchld, NULL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvpe(path, argv, environment); /* path holds a slash; execvpe for scripts without #! */
    err = errno;
    if (write(report, &err, sizeof err) < 0) _exit(126);
    _exit(127);
}

int vs_child_start(const char *path, char *const *argv, char *const *environment, pid_t *pid, struct vs_error *e)
{
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    struct sigaction old;
    sigset_t set, mask;
    int tube[2], failed = 0;
    ssize_t n;
    if (pipe2(tube, O_CLOEXEC)) return vs_fail(e, errno, "cannot start %s: %s", argv[0], strerror(errno));
    ours(&set);
    sigprocmask(SIG_BLOCK, &set, &mask);
    sigaction(SIGCHLD, &standard, &old); /* with SIG_IGN there would be no status to wait for */
    *pid = fork();
    if (!*pid) execute(path, argv, environment, tube[1], &old, &mask);
    if (*pid < 0) failed = errno;
    close(tube[1]);
    do
        n = failed ? 0 : read(tube[0], &failed, sizeof failed);
    while (n < 0 && errno == EINTR);
    close(tube[0]);
    if (!failed) return 0;
    if (*pid > 0) waitpid(*pid, NULL, 0);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return vs_fail(e, failed, "cannot start %s: %s", argv[0], strerror(failed));
}

static void pass_on(pid_t pid, const siginfo_t *info)
{
    if (info->si_code > 0 || info->si_pid == pid) return; /* from the kernel: the terminal's whole group has it */
    if (info->si_code == SI_QUEUE)
        sigqueue(pid, info->si_signo, info->si_value);
    else
        kill(pid, info->si_signo);
}

/* Collects what ended, orphans too when we are the init of a container. 1: the program is among it. */
static int collect(pid_t pid, int *status)
{
    pid_t ended;
    int one, found = 0;
    while ((ended = waitpid(-1, &one, WNOHANG)) > 0)
        if (ended == pid) {
            *status = one;
            found = 1;
        }
    return found;
}

int vs_child_wait(pid_t pid)
{
    siginfo_t info;
    sigset_t set;
    int status = 0;
    ours(&set);
    while (!collect(pid, &status)) {
        if (sigwaitinfo(&set, &info) < 0) continue; /* EINTR: stopped and continued */
        if (info.si_signo != SIGCHLD && info.si_signo != SIGPIPE) pass_on(pid, &info);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
