/* SPDX-License-Identifier: MIT
 *
 * launch.c: see launch.h. It waits for its children and for signals in one place, sigtimedwait: it has no handler and no thread. Must
 * never make a CUDA call, and never outlive or leave behind a rank.
 */
#include "workloads/launch.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "workloads/team_parts.h"

enum { MOST = 1024, LOOK_MS = 500 };
#define NAME "vramscope-workload: "

struct launch {
    int nproc, port;
    char program[4096];
    char threads[16];   /* of a rank's */
    sigset_t before;    /* the mask ranks start with */
    pid_t parent, *pid; /* pid [nproc]: 0 it has ended */
    int running, status;
    int sent; /* the last signal sent to all that still ran, 0 none */
    int64_t sent_ns, grace_ns;
    int first; /* that failed, or -1 */
};

int vs_launched(void)
{
    const char *by = getenv("VRAMSCOPE_LAUNCHER");
    return by && !strcmp(by, "vramscope") && getenv("RANK");
}

/* The port's holder, which never listens: as long as it is there the system gives the port to nobody, but rank 0 may listen at it,
 * since both allow the address' reuse. *port is set where it was 0. */
static int hold_port(int *port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) &&
        !bind(fd, (struct sockaddr *)&a, sizeof a) && !getsockname(fd, (struct sockaddr *)&a, &bytes)) {
        *port = ntohs(a.sin_port);
        return fd;
    }
    if (errno == EADDRINUSE)
        fprintf(stderr, NAME "port %d is in use by another program: give another --port, or none\n", *port);
    else fprintf(stderr, NAME "no port for the ranks to meet at: %s\n", strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

static void set(const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    setenv(name, text, 1);
}

/* In the child. */
static void become(const struct launch *l, int rank, char *const argv[])
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != l->parent) _exit(128 + SIGTERM); /* it died before that could be asked for */
    sigprocmask(SIG_SETMASK, &l->before, NULL);
    set("RANK", rank);
    set("LOCAL_RANK", rank);
    set("WORLD_SIZE", l->nproc);
    set("LOCAL_WORLD_SIZE", l->nproc);
    set("MASTER_PORT", l->port);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    setenv("VRAMSCOPE_LAUNCHER", "vramscope", 1);
    unsetenv("TORCHELASTIC_USE_AGENT_STORE"); /* of a torchrun around all this: its port is not ours */
    setenv("OMP_NUM_THREADS", l->threads, 0);
    setenv("OPENBLAS_NUM_THREADS", l->threads, 0);
    execv(l->program, argv);
    fprintf(stderr, NAME "rank %d: %s cannot be started: %s\n", rank, l->program, strerror(errno));
    _exit(127);
}

static void find_program(struct launch *l)
{
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof cores, &cores) ? 1 : CPU_COUNT(&cores);
    ssize_t n = readlink("/proc/self/exe", l->program, sizeof l->program - 1);
    l->program[n > 0 ? n : 0] = 0;
    /* By its own name, which then names the process; a program that was replaced meanwhile has none. */
    if (access(l->program, X_OK)) strcpy(l->program, "/proc/self/exe");
    snprintf(l->threads, sizeof l->threads, "%d", count / l->nproc > 1 ? count / l->nproc : 1);
}

static void signal_all(struct launch *l, int signal)
{
    for (int r = 0; r < l->nproc; r++) {
        if (!l->pid[r]) continue;
        kill(l->pid[r], signal);
        kill(l->pid[r], SIGCONT); /* one that is stopped would not get it */
    }
    l->sent = signal;
    l->sent_ns = vs_team_now();
}

static void ended(struct launch *l, int rank, int status)
{
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    l->pid[rank] = 0;
    l->running--;
    if (!code) return;
    if (WIFEXITED(status)) fprintf(stderr, NAME "rank %d ended with status %d\n", rank, code);
    else if (WTERMSIG(status) != l->sent)
        fprintf(stderr, NAME "rank %d was ended by signal %d (%s)\n", rank, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    if (l->first >= 0) return;
    l->first = rank;
    l->status = code;
    if (!l->sent) l->sent_ns = vs_team_now();
}

static void look_for_ended(struct launch *l)
{
    for (int r = 0; r < l->nproc; r++) {
        int status;
        if (l->pid[r] && waitpid(l->pid[r], &status, WNOHANG) == l->pid[r]) ended(l, r, status);
    }
}

/* After the first failure, or a signal: SIGTERM and then SIGKILL for those that do not end. */
static void insist(struct launch *l)
{
    if (!l->running || (l->first < 0 && !l->sent) || vs_team_now() - l->sent_ns < l->grace_ns || l->sent == SIGKILL)
        return;
    int next = l->sent == SIGTERM ? SIGKILL : SIGTERM;
    for (int r = 0; r < l->nproc; r++)
        if (l->pid[r])
            fprintf(stderr, NAME "rank %d still runs %.1f s later: it gets signal %d (%s)\n", r,
                    (double)l->grace_ns / 1e9, next, strsignal(next));
    signal_all(l, next);
}

static void start(struct launch *l, char *const argv[])
{
    fflush(NULL); /* or each child would write it again */
    for (int r = 0; r < l->nproc; r++) {
        l->pid[r] = fork();
        if (!l->pid[r]) become(l, r, argv);
        if (l->pid[r] > 0) {
            l->running++;
            continue;
        }
        fprintf(stderr, NAME "rank %d cannot be started: %s\n", r, strerror(errno));
        l->pid[r] = 0;
        l->first = r;
        l->status = 1;
        signal_all(l, SIGTERM);
        return;
    }
}

static void wait_for_all(struct launch *l, const sigset_t *waited)
{
    struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    if (l->grace_ns < look.tv_nsec) look.tv_nsec = l->grace_ns > 20000000 ? l->grace_ns : 20000000;
    while (l->running) {
        siginfo_t info;
        int signal = sigtimedwait(waited, &info, &look);
        look_for_ended(l);
        if (signal == SIGINT || signal == SIGTERM) {
            /* From a terminal's keyboard the ranks have it already. */
            if (info.si_code != SI_KERNEL) signal_all(l, signal);
            else l->sent = signal, l->sent_ns = vs_team_now();
        }
        insist(l);
    }
}

int vs_launch(int nproc, int port, unsigned grace_ms, char *const argv[])
{
    struct launch l = {
        .nproc = nproc, .port = port, .parent = getpid(), .grace_ns = (int64_t)grace_ms * 1000000, .first = -1};
    struct sigaction standard = {.sa_handler = SIG_DFL}, child;
    sigset_t waited;
    int holder;
    if (nproc < 1 || nproc > MOST || port < 0 || port > 65535) {
        fprintf(stderr, NAME "cannot start %d ranks at port %d: 1 to %d ranks, ports up to 65535\n", nproc, port,
                (int)MOST);
        return 2;
    }
    if ((holder = hold_port(&l.port)) < 0) return 1;
    if (!(l.pid = calloc((size_t)nproc, sizeof *l.pid))) {
        close(holder);
        return 1;
    }
    find_program(&l);
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGINT);
    sigaddset(&waited, SIGTERM);
    sigprocmask(SIG_BLOCK, &waited, &l.before);
    sigaction(SIGCHLD, &standard, &child); /* who ignores it is not told how a child ended */
    start(&l, argv);
    wait_for_all(&l, &waited);
    sigaction(SIGCHLD, &child, NULL);
    sigprocmask(SIG_SETMASK, &l.before, NULL);
    close(holder);
    free(l.pid);
    return l.status;
}
