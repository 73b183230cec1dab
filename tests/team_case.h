/* SPDX-License-Identifier: MIT
 *
 * team_case.h: ranks for the tests of team.h and launch.h: each is this runner again, with a scenario in its environment, so that it is
 * a process of its own under every sanitizer. tests/team_rank.c has the scenarios.
 */
#ifndef VS_TESTS_TEAM_CASE_H
#define VS_TESTS_TEAM_CASE_H

#include <stdbool.h>
#include <sys/types.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { TEAM_SLOW = 6 };
#else
enum { TEAM_SLOW = 1 };
#endif

/* How a rank ends. */
enum {
    RANK_OK = 0,
    RANK_NO_PLACE = 2,
    RANK_PROTO = 3,
    RANK_TIMEDOUT = 4,
    RANK_IN_USE = 5,
    RANK_RESET = 6,
    RANK_STOPPED = 7, /* the job was ended; `stop` was called once */
    RANK_WRONG = 9    /* what it got is wrong: said on stderr */
};

enum { TEAM_MOST = 24 };

struct ranks {
    int count, port;
    int held[2]; /* sockets at port and port + 1, which never listen: nobody else gets these, and rank 0 may */
    pid_t pid[TEAM_MOST];
    int log[TEAM_MOST]; /* a memory file: stdout and stderr */
    int alive[2];       /* a pipe whose writing end is open in all that still run; ranks say in it that they are up */
    int gate[2];        /* a pipe whose end tells ranks to go on */
    int status[TEAM_MOST]; /* as waitpid gives it */
    char text[TEAM_MOST][16384];
};

/* A socket that listens at a free port. */
int team_listener(int *port);
void ranks_begin(struct ranks *r);
/* A rank with RANK, WORLD_SIZE, LOCAL_RANK and this job's address; more: "NAME=value" words to set after these, cut at '|'. */
void ranks_start(struct ranks *r, int rank, int world, unsigned timeout_ms, const char *scenario, const char *more);
/* The same without any of these but the scenario: a launcher. */
void ranks_start_bare(struct ranks *r, const char *scenario, const char *more);
/* A world of them, alike, which begin to meet when all are up: a short timeout is theirs alone. */
void ranks_start_all(struct ranks *r, int world, unsigned timeout_ms, const char *scenario);
/* All that were started have ended, in time, or the test fails. */
void ranks_wait(struct ranks *r);
/* After ranks_wait: how process i ended (-signal), and what it said; else the test fails and shows it. */
void ranks_ended_with(struct ranks *r, int i, int status);
void ranks_said_it(struct ranks *r, int i, const char *what);
/* Waits for all; each ended so, and said that. */
void ranks_all_ended_with(struct ranks *r, int status, const char *what);
/* The text so far holds it. */
bool ranks_said(struct ranks *r, int i, const char *what);
/* Waits until it does. */
void ranks_wait_said(struct ranks *r, int i, const char *what);
/* All processes with the pipe's end have ended, grandchildren too. */
void ranks_wait_gone(struct ranks *r);
void ranks_end(struct ranks *r);

#endif
