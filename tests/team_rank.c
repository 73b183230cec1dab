/* SPDX-License-Identifier: MIT
 *
 * team_rank.c: what a rank of the tests in test_team*.c and test_launch.c does: this runner, started with VS_TEST_TEAM=scenario, is no
 * runner but a rank (or a launcher of ranks), and ends before main. Anything else is left alone.
 *
 * VS_TEST_TEAM_UP, _GATE: descriptors, to say in that the rank is up, and to wait at; VS_TEST_TEAM_MS: the timeout;
 * VS_TEST_TEAM_WORDS: the fingerprint; VS_TEST_TEAM_WHO: the rank that misbehaves; VS_TEST_TEAM_RANK: the scenario of launched ranks.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/team_case.h"
#include "workloads/launch.h"
#include "workloads/team.h"

enum { OPERATIONS = 3, STEPS = 3 };

static int stops; /* by the team's thread */
static const char *const names[OPERATIONS] = {"all_gather block00", "all_gather block01", "reduce_scatter block01"};

static void stop(void *state)
{
    (void)state;
    __atomic_add_fetch(&stops, 1, __ATOMIC_SEQ_CST);
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static int wrong(const char *what)
{
    fprintf(stderr, "WRONG: %s\n", what);
    return RANK_WRONG;
}

static int number_of(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

/* What a collective does that waits for a rank that does not come: only stop brings it back. */
static int hang(struct vs_team *team)
{
    while (!__atomic_load_n(&stops, __ATOMIC_SEQ_CST)) pause_ms(5);
    if (!vs_team_stopped(team)) return wrong("stop was called before the team was stopped");
    char byte = 0, all[TEAM_MOST];
    if (vs_team_gather(team, &byte, 1, all) != -ECANCELED) return wrong("a gather after the end");
    if (vs_team_share(team, &byte, 1) != -ECANCELED) return wrong("a share after the end");
    pause_ms(30);
    return __atomic_load_n(&stops, __ATOMIC_SEQ_CST) == 1 ? RANK_STOPPED : wrong("stop was called twice");
}

/* Nonzero: how the rank ends. */
static int operation(struct vs_team *team, uint64_t step, size_t index)
{
    char byte = (char)step, all[TEAM_MOST];
    vs_team_note(team, step, index, names[index]);
    if (vs_team_gather(team, &byte, 1, all) == -ECANCELED) return hang(team);
    vs_team_done(team, step, index);
    return 0;
}

static int work(struct vs_team *team, const char *scenario)
{
    int rank = vs_team_rank(team), who = number_of("VS_TEST_TEAM_WHO", 1);
    for (uint64_t step = 0; step < STEPS; step++)
        for (size_t i = 0; i < OPERATIONS; i++) {
            if (step == 1 && i == 1 && rank == who) {
                if (!strcmp(scenario, "killed") || !strcmp(scenario, "exits"))
                    pause_ms(200); /* the others' news has come */
                if (!strcmp(scenario, "freezes")) raise(SIGSTOP);
                if (!strcmp(scenario, "killed")) raise(SIGKILL);
                if (!strcmp(scenario, "exits")) _exit(1);
                if (!strcmp(scenario, "delayed")) return hang(team);
                if (!strcmp(scenario, "skips")) {
                    vs_team_note(team, step, 2, names[2]);
                    return hang(team);
                }
                if (!strcmp(scenario, "fails")) {
                    vs_team_fail(team, "out of memory: 3.0 GiB\nwere asked for");
                    vs_team_fail(team, "again");
                    return hang(team);
                }
            }
            if (step == 1 && i == 1 && (!strcmp(scenario, "delayed") || !strcmp(scenario, "skips"))) {
                vs_team_note(team, step, i, names[i]);
                vs_team_note(team, step, i + 1, names[i + 1]); /* queued behind it */
                return hang(team);
            }
            int status = operation(team, step, i);
            if (status) return status;
        }
    return RANK_OK;
}

static int exchange(struct vs_team *team)
{
    static const size_t sizes[] = {8, 0, 1, 100000, (size_t)3 << 20, 8};
    int rank = vs_team_rank(team), world = vs_team_world(team);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t n = sizes[k], i;
        unsigned char *mine = malloc(n + 1), *all = malloc(n * (size_t)world + 1);
        memset(mine, rank + 1, n);
        if (vs_team_gather(team, mine, n, all)) return wrong("gather");
        for (i = 0; i < n * (size_t)world && all[i] == i / n + 1; i++) {
        }
        if (i != n * (size_t)world) return wrong("what was gathered");
        if (vs_team_share(team, mine, n)) return wrong("share");
        for (i = 0; i < n && mine[i] == 1; i++) {
        }
        if (i != n) return wrong("what was shared");
        free(mine);
        free(all);
    }
    if (vs_team_gather(team, "", ((size_t)16 << 20) + 1, NULL) != -EINVAL) return wrong("a gather of too much");
    return RANK_OK;
}

static int unlike(struct vs_team *team)
{
    char mine[8] = {0}, all[8 * TEAM_MOST];
    if (vs_team_gather(team, mine, vs_team_rank(team) == 1 ? 4 : 8, all) != -ECANCELED)
        return wrong("a gather of different sizes");
    return hang(team);
}

/* Works on until the parent lets go: what must not end the job meanwhile shows. */
static int patient(struct vs_team *team)
{
    fprintf(stderr, "met\n");
    for (int i = 0; i < 20; i++) {
        if (vs_team_stopped(team)) return RANK_STOPPED;
        pause_ms(10);
    }
    return RANK_OK;
}

static int run(struct vs_team *team, const char *scenario)
{
    int rank = vs_team_rank(team), world = vs_team_world(team);
    if (!strcmp(scenario, "exchange")) return exchange(team);
    if (!strcmp(scenario, "unlike")) return unlike(team);
    if (!strcmp(scenario, "patient")) return patient(team);
    if (!strcmp(scenario, "leave in order")) pause_ms(rank * 60);
    if (!strcmp(scenario, "leave backwards")) pause_ms((world - 1 - rank) * 60);
    if (!strcmp(scenario, "leave long after")) pause_ms(rank * 1150);
    if (!strcmp(scenario, "hangs alone")) {
        vs_team_note(team, 7, 0, NULL);
        return hang(team);
    }
    return work(team, scenario);
}

static int exit_of(int status)
{
    return status == -EPROTO       ? RANK_PROTO
           : status == -ETIMEDOUT  ? RANK_TIMEDOUT
           : status == -EADDRINUSE ? RANK_IN_USE
           : status == -ECONNRESET ? RANK_RESET
                                   : RANK_WRONG;
}

static void wait_at_gate(void)
{
    int up = number_of("VS_TEST_TEAM_UP", -1), gate = number_of("VS_TEST_TEAM_GATE", -1);
    char byte = 0;
    if (up < 0 || gate < 0) return;
    if (write(up, &byte, 1) == 1)
        while (read(gate, &byte, 1) > 0) {
        }
}

static int rank_main(const char *scenario)
{
    struct vs_team_settings s = {.stop = stop,
                                 .fingerprint = getenv("VS_TEST_TEAM_WORDS"),
                                 .timeout_ms = (unsigned)number_of("VS_TEST_TEAM_MS", 10000)};
    struct vs_team *team;
    char why[256];
    if (vs_team_place(&s.place, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return RANK_NO_PLACE;
    }
    wait_at_gate();
    int status = vs_team_open(&team, &s);
    if (status) return exit_of(status);
    status = run(team, scenario);
    vs_team_close(team);
    return status;
}

/* Of a launched rank, which has no team. */
static int launched_main(const char *scenario)
{
    int rank = number_of("RANK", -1), who = number_of("VS_TEST_TEAM_WHO", 1);
    const char *threads = getenv("OMP_NUM_THREADS"), *launcher = getenv("VRAMSCOPE_LAUNCHER");
    if (!strcmp(scenario, "says"))
        printf("rank %d of %s here %s at %s threads %s by %s\n", rank, getenv("WORLD_SIZE"), getenv("LOCAL_RANK"),
               getenv("MASTER_ADDR"), threads ? threads : "none", launcher ? launcher : "none");
    if (!strcmp(scenario, "status")) return rank == who ? 3 : 0;
    if (!strcmp(scenario, "waits") || !strcmp(scenario, "stubborn") || !strcmp(scenario, "killed") || !strcmp(scenario, "stopped")) {
        sigset_t none;
        sigemptyset(&none);
        if (!strcmp(scenario, "stubborn") && rank != who) signal(SIGTERM, SIG_IGN);
        dprintf(2, "up %d;", rank);
        if (rank == who && !strcmp(scenario, "stubborn")) return 4;
        if (rank == who && strcmp(scenario, "waits") != 0) raise(SIGKILL);
        if (!strcmp(scenario, "stopped")) raise(SIGSTOP);
        sigsuspend(&none);
        pause_ms(60000);
    }
    return 0;
}

__attribute__((constructor)) static void be_a_rank(void)
{
    const char *scenario = getenv("VS_TEST_TEAM"), *launched = getenv("VS_TEST_TEAM_RANK");
    char *argv[] = {(char *)"team-rank", (char *)"launched", NULL};
    if (!scenario) return;
    if (strcmp(scenario, "launch") != 0) exit(rank_main(scenario));
    if (!vs_launched())
        exit(vs_launch(number_of("VS_TEST_TEAM_NPROC", 3), number_of("VS_TEST_TEAM_PORT", 0),
                       (unsigned)number_of("VS_TEST_TEAM_GRACE", 5000), argv));
    exit(!strncmp(launched, "team ", 5) ? rank_main(launched + 5) : launched_main(launched));
}
