/* SPDX-License-Identifier: MIT
 *
 * team_case.c: see team_case.h.
 */
#include "tests/team_case.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

enum { PATIENCE_MS = 20000 }; /* nothing here takes a tenth of it */

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* -1: somebody has it. *port 0: any. */
static int bound(int *port, bool reuse)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof a;
    int one = reuse, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || getsockname(fd, (struct sockaddr *)&a, &bytes)) {
        close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return fd;
}

int team_listener(int *port)
{
    *port = 0;
    int fd = bound(port, false);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static void hold_ports(struct ranks *r)
{
    for (int tries = 0; tries < 1000; tries++) {
        int next;
        r->port = 0;
        r->held[0] = bound(&r->port, true);
        next = r->port + 1;
        if (next < 65536 && (r->held[1] = bound(&next, true)) >= 0) return;
        close(r->held[0]);
    }
    ck_abort_msg("no two free ports side by side");
}

void ranks_begin(struct ranks *r)
{
    memset(r, 0, sizeof *r);
    hold_ports(r);
    ck_assert_int_eq(pipe(r->alive), 0);
    ck_assert_int_eq(pipe(r->gate), 0);
    ck_assert_int_eq(fcntl(r->alive[0], F_SETFD, FD_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(r->gate[1], F_SETFD, FD_CLOEXEC), 0);
}

static void forget_launchers(void)
{
    static const char *const names[] = {"RANK",           "WORLD_SIZE",   "LOCAL_RANK",
                                        "MASTER_ADDR",    "MASTER_PORT",  "OMPI_COMM_WORLD_RANK",
                                        "PMI_RANK",       "SLURM_PROCID", "TORCHELASTIC_USE_AGENT_STORE",
                                        "OMP_NUM_THREADS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
}

static void set_words(const char *words)
{
    char copy[1024], *save, *word;
    if (!words) return;
    snprintf(copy, sizeof copy, "%s", words);
    for (word = strtok_r(copy, "|", &save); word; word = strtok_r(NULL, "|", &save)) {
        char *equal = strchr(word, '=');
        *equal = 0;
        setenv(word, equal + 1, 1);
    }
}

static void start(struct ranks *r, const char *scenario, const char *words, const char *more)
{
    int i = r->count++;
    char *argv[] = {(char *)"team-rank", (char *)scenario, NULL};
    ck_assert_int_lt(i, TEAM_MOST);
    r->log[i] = memfd_create("rank", MFD_CLOEXEC);
    fcntl(r->log[i], F_SETFL, O_APPEND); /* several processes write it */
    r->pid[i] = fork();
    ck_assert_int_ge(r->pid[i], 0);
    if (r->pid[i]) return;
    dup2(r->log[i], 1);
    dup2(r->log[i], 2);
    forget_launchers();
    setenv("VS_TEST_TEAM", scenario, 1);
    set_words(words);
    set_words(more);
    execv("/proc/self/exe", argv);
    _exit(127);
}

void ranks_start_bare(struct ranks *r, const char *scenario, const char *more)
{
    start(r, scenario, NULL, more);
}

void ranks_start(struct ranks *r, int rank, int world, unsigned timeout_ms, const char *scenario, const char *more)
{
    char words[256];
    snprintf(words, sizeof words,
             "RANK=%d|LOCAL_RANK=%d|WORLD_SIZE=%d|MASTER_ADDR=127.0.0.1|MASTER_PORT=%d|VS_TEST_TEAM_MS=%u", rank, rank,
             world, r->port, timeout_ms);
    start(r, scenario, words, more);
}

void ranks_start_all(struct ranks *r, int world, unsigned timeout_ms, const char *scenario)
{
    char gate[64], up[TEAM_MOST];
    snprintf(gate, sizeof gate, "VS_TEST_TEAM_UP=%d|VS_TEST_TEAM_GATE=%d", r->alive[1], r->gate[0]);
    for (int rank = 0; rank < world; rank++) ranks_start(r, rank, world, timeout_ms, scenario, gate);
    for (ssize_t n = 0, all = 0; all < world; all += n) ck_assert_int_gt(n = read(r->alive[0], up, sizeof up), 0);
    close(r->gate[1]);
    r->gate[1] = -1;
}

static void read_text(struct ranks *r, int i)
{
    ssize_t n = pread(r->log[i], r->text[i], sizeof r->text[i] - 1, 0);
    r->text[i][n > 0 ? n : 0] = 0;
}

bool ranks_said(struct ranks *r, int i, const char *what)
{
    read_text(r, i);
    return strstr(r->text[i], what) != NULL;
}

void ranks_wait_said(struct ranks *r, int i, const char *what)
{
    for (int left = PATIENCE_MS / 10; !ranks_said(r, i, what); left--) {
        ck_assert_msg(left > 0, "process %d never said '%s' but:\n%s", i, what, r->text[i]);
        pause_ms(10);
    }
}

void ranks_wait(struct ranks *r)
{
    for (int i = 0; i < r->count; i++) {
        int left = PATIENCE_MS / 5, done = 0;
        while (r->pid[i] && !(done = waitpid(r->pid[i], &r->status[i], WNOHANG)) && left-- > 0) pause_ms(5);
        read_text(r, i);
        if (!r->pid[i] || done == r->pid[i]) {
            r->pid[i] = 0;
            continue;
        }
        for (int k = i; k < r->count; k++) kill(r->pid[k], SIGKILL);
        ck_abort_msg("process %d does not end:\n%s", i, r->text[i]);
    }
}

void ranks_wait_gone(struct ranks *r)
{
    struct pollfd p = {.fd = r->alive[0], .events = POLLIN};
    close(r->alive[1]);
    r->alive[1] = -1;
    ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1, "a process is left");
}

void ranks_end(struct ranks *r)
{
    for (int i = 0; i < r->count; i++) {
        if (r->pid[i] > 0) kill(r->pid[i], SIGKILL), waitpid(r->pid[i], NULL, 0);
        close(r->log[i]);
    }
    close(r->alive[0]);
    close(r->gate[0]);
    close(r->held[0]);
    close(r->held[1]);
    if (r->gate[1] >= 0) close(r->gate[1]);
    if (r->alive[1] >= 0) close(r->alive[1]);
}

void ranks_ended_with(struct ranks *r, int i, int status)
{
    int is = WIFSIGNALED(r->status[i]) ? -WTERMSIG(r->status[i]) : WEXITSTATUS(r->status[i]);
    ck_assert_msg(is == status, "process %d ended with %d, not %d:\n%.3000s", i, is, status, r->text[i]);
}

void ranks_said_it(struct ranks *r, int i, const char *what)
{
    ck_assert_msg(strstr(r->text[i], what) != NULL, "process %d said not '%s' but:\n%.3000s", i, what, r->text[i]);
}

void ranks_all_ended_with(struct ranks *r, int status, const char *what)
{
    ranks_wait(r);
    for (int i = 0; i < r->count; i++) {
        ranks_ended_with(r, i, status);
        ranks_said_it(r, i, what);
    }
    ranks_end(r);
}
