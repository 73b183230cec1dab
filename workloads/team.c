/* SPDX-License-Identifier: MIT
 *
 * team.c: a team from its opening to its close; the meeting is in team_listen.c and team_join.c, the thread in team_loop.c. Must never
 * end the process: that is the caller's business.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "workloads/team_parts.h"

enum { TIMEOUT_MS = 60000, FAIL_IS_HEARD_MS = 2000 };

int64_t vs_team_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void free_team(struct vs_team *team)
{
    for (int i = 0; team->link && i < team->place.world; i++) vs_team_link_close(&team->link[i]);
    for (int i = 0; team->part && i < team->place.world; i++) free(team->part[i].data);
    if (team->wake >= 0) close(team->wake);
    pthread_cond_destroy(&team->ask.changed);
    pthread_mutex_destroy(&team->ask.lock);
    free(team->link);
    free(team->row);
    free(team->sent);
    free(team->part);
    free(team->polled);
    free(team);
}

static struct vs_team *make(const struct vs_team_settings *s)
{
    struct vs_team *team = calloc(1, sizeof *team);
    size_t world = (size_t)s->place.world;
    pthread_condattr_t clock;
    if (!team) return NULL;
    team->place = s->place;
    team->timeout_ns = (int64_t)(s->timeout_ms ? s->timeout_ms : TIMEOUT_MS) * 1000000;
    team->stop = s->stop;
    team->state = s->state;
    team->watch.done_ns = vs_team_now();
    pthread_mutex_init(&team->ask.lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&team->ask.changed, &clock);
    pthread_condattr_destroy(&clock);
    team->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    team->link = calloc(world, sizeof *team->link);
    team->row = calloc(world, sizeof *team->row);
    team->sent = calloc(world, VS_TEAM_ROW_BYTES);
    team->part = calloc(world, sizeof *team->part);
    team->polled = calloc(world + 1, sizeof *team->polled);
    for (size_t i = 0; team->link && i < world; i++) team->link[i].fd = -1;
    if (team->wake >= 0 && team->link && team->row && team->sent && team->part && team->polled) return team;
    free_team(team);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start(struct vs_team *team)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&team->thread, NULL, vs_team_run, team);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status) vs_team_say(team->place.rank, "its watching thread could not be started: %s", strerror(status));
    return -status;
}

int vs_team_open(struct vs_team **out, const struct vs_team_settings *s)
{
    const char *fingerprint = s->fingerprint ? s->fingerprint : "";
    struct vs_team *team;
    int status = 0;
    *out = NULL;
    if (s->place.world < 1 || s->place.world > VS_TEAM_MOST_RANKS || s->place.rank < 0 ||
        s->place.rank >= s->place.world) {
        vs_team_say(s->place.rank, "there is no such rank among %d", s->place.world);
        return -EINVAL;
    }
    if (strlen(fingerprint) > VS_TEAM_FINGERPRINT) {
        vs_team_say(s->place.rank, "the command is too long to be compared between ranks (%zu characters, %d at most)",
                    strlen(fingerprint), (int)VS_TEAM_FINGERPRINT);
        return -EINVAL;
    }
    if (!(team = make(s))) {
        vs_team_say(s->place.rank, "no memory or no descriptor for a team of %d ranks", s->place.world);
        return -ENOMEM;
    }
    if (s->place.world > 1)
        status = s->place.rank ? vs_team_join(team, fingerprint) : vs_team_listen(team, fingerprint);
    if (status == -ENOMEM) vs_team_say(s->place.rank, "no memory for the meeting of %d ranks", s->place.world);
    if (!status) status = start(team);
    if (status) free_team(team);
    else *out = team;
    return status;
}

void vs_team_close(struct vs_team *team)
{
    if (!team) return;
    pthread_mutex_lock(&team->ask.lock);
    team->ask.closing = true;
    pthread_mutex_unlock(&team->ask.lock);
    eventfd_write(team->wake, 1);
    pthread_join(team->thread, NULL);
    free_team(team);
}

int vs_team_rank(const struct vs_team *team)
{
    return team->place.rank;
}

int vs_team_world(const struct vs_team *team)
{
    return team->place.world;
}

bool vs_team_stopped(const struct vs_team *team)
{
    return __atomic_load_n(&team->stopped, __ATOMIC_ACQUIRE);
}

/* Returns when all have been told, so that a caller may exit; not before long, should the others not answer. */
void vs_team_fail(struct vs_team *team, const char *why)
{
    struct vs_team_ask *ask = &team->ask;
    int64_t until = vs_team_now() + FAIL_IS_HEARD_MS * 1000000LL;
    struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    pthread_mutex_lock(&ask->lock);
    if (!vs_team_stopped(team)) {
        snprintf(ask->why, sizeof ask->why, "%s", why);
        ask->failing = true;
        eventfd_write(team->wake, 1);
    }
    while (!vs_team_stopped(team) && pthread_cond_timedwait(&ask->changed, &ask->lock, &t) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&ask->lock);
}
