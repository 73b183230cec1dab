/* SPDX-License-Identifier: MIT
 *
 * team_loop.c: the team's thread: it waits for the sockets, the calling thread's wishes and a beat, some twenty a second, at which this
 * rank's own operations are looked at and news goes out. It is the only one that touches the sockets once ranks have met.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "workloads/team_parts.h"

enum { BEAT_MS = 50, LEAST_BEAT_MS = 5, GOODBYE_MS = 1000, AT_ONCE = 1 << 20, LONGEST = VS_TEAM_EXCHANGE + 64 };

/* A rank that reads nothing gets no more news: what waits for it stays bounded. */
static bool takes_news(const struct vs_team_link *link)
{
    return link->fd >= 0 && link->out.used - link->out.at < AT_ONCE;
}

/* ---- news of what ranks do ---- */

static void tell(struct vs_team *team, int rank, int64_t now)
{
    unsigned char row[VS_TEAM_ROW_BYTES], *sent = team->sent + (size_t)rank * VS_TEAM_ROW_BYTES;
    int links = team->place.rank ? 1 : team->place.world;
    vs_team_row_pack(row, rank, &team->row[rank], now);
    if (!memcmp(row, sent, VS_TEAM_ROW_BYTES - 4)) return;
    memcpy(sent, row, VS_TEAM_ROW_BYTES);
    for (int i = 0; i < links; i++)
        if (i != rank && takes_news(&team->link[i]))
            vs_team_link_put(&team->link[i], VS_TEAM_ROW, row, sizeof row, NULL, 0);
}

static void watch_own(struct vs_team *team, int64_t now)
{
    struct vs_team_row *own = &team->row[team->place.rank];
    char why[VS_TEAM_WHY], step[128];
    vs_team_watch_row(team, own);
    if (team->ended || own->state == VS_TEAM_BETWEEN || now - own->since_ns <= team->timeout_ns) return;
    snprintf(why, sizeof why, "did not complete %s within %.1f s", vs_team_step_text(own, &own->at, step, sizeof step),
             (double)team->timeout_ns / 1e9);
    vs_team_accuse(team, VS_TEAM_LATE, team->place.rank, why);
}

static void beat(struct vs_team *team, int64_t now)
{
    int world = team->place.world;
    if (!team->said_bye) watch_own(team, now);
    if (world == 1) return;
    if (team->place.rank) {
        tell(team, team->place.rank, now);
        return;
    }
    /* Everybody's news to everybody: rarer where that is much. */
    if (now - team->told_ns < BEAT_MS * 1000000LL * (world / 16)) return;
    team->told_ns = now;
    for (int r = 0; r < world; r++) tell(team, r, now);
}

/* ---- what comes in ---- */

static int heard(struct vs_team *team, int from, const struct vs_team_message *m)
{
    bool rank_0 = team->place.rank == 0;
    char why[VS_TEAM_WHY];
    int status = 0;
    if (m->type == VS_TEAM_ROW) {
        status = vs_team_row_unpack(team->row, m, team->place.world, vs_team_now());
        return status < 0 || (rank_0 && status != from) ? -EPROTO : 0;
    }
    if (m->type == VS_TEAM_BYE) {
        team->row[from].state = VS_TEAM_LEFT;
        if (rank_0) vs_team_link_close(&team->link[from]); /* which it waits for */
        return 0;
    }
    if (rank_0 && m->type == VS_TEAM_PART) return vs_team_exchange_part(team, from, m);
    if (!rank_0 && m->type == VS_TEAM_WHOLE) return vs_team_exchange_whole(team, m);
    if (rank_0 && m->type == VS_TEAM_ACCUSE && m->bytes >= 8) {
        vs_team_clean(why, sizeof why, m->data + 8, m->bytes - 8);
        vs_team_accuse(team, vs_team_get32(m->data) == VS_TEAM_LATE ? VS_TEAM_LATE : VS_TEAM_FAILED, from, why);
        return 0;
    }
    if (rank_0 || m->type != VS_TEAM_END) return -EPROTO;
    vs_team_end_heard(team, m);
    return 0;
}

static void lose(struct vs_team *team, int rank, int status)
{
    struct vs_team_row *row = &team->row[rank];
    char why[VS_TEAM_WHY];
    vs_team_link_close(&team->link[team->place.rank ? 0 : rank]);
    if (row->state == VS_TEAM_LEFT || (team->place.rank && team->said_bye)) return;
    row->state = VS_TEAM_LOST;
    if (status == -EPROTO || status == -ENOMEM) {
        snprintf(why, sizeof why, "%s",
                 status == -EPROTO ? "sent what no rank of this program sends" : "sent more than there is memory for");
        vs_team_accuse(team, VS_TEAM_ALIEN, rank, why);
        return;
    }
    snprintf(why, sizeof why, "is gone (its connection ended%s%s)", status < 0 ? ": " : "",
             status < 0 ? strerror(-status) : "");
    vs_team_accuse(team, VS_TEAM_GONE, rank, why);
}

static void serve(struct vs_team *team, int i, short events)
{
    struct vs_team_link *link = &team->link[i];
    struct vs_team_message m;
    int ended = 0, status = 0;
    if (events & (POLLIN | POLLHUP | POLLERR)) ended = vs_team_link_read(link, AT_ONCE);
    while (!status && link->fd >= 0 && (status = vs_team_link_next(link, LONGEST, &m)) == 1)
        status = heard(team, i, &m);
    if (link->fd >= 0 && (status < 0 || ended)) lose(team, i, status < 0 ? status : ended);
}

/* ---- the end of the team ---- */

static void say_bye(struct vs_team *team, int64_t now)
{
    int links = team->place.rank ? 1 : team->place.world;
    for (int i = 0; i < links && team->place.world > 1; i++)
        vs_team_link_put(&team->link[i], VS_TEAM_BYE, NULL, 0, NULL, 0);
    team->row[team->place.rank].state = VS_TEAM_LEFT;
    team->said_bye = true;
    team->close_ns = now;
}

/* Rank 0 stays until all others have said goodbye; they until it has read theirs, which it shows by ending the connection. */
static bool finished(const struct vs_team *team, int64_t now)
{
    int links = team->place.rank ? 1 : team->place.world;
    bool open = false;
    if (!team->said_bye || (team->reason != VS_TEAM_NO_REASON && !team->ended)) return false;
    for (int i = 0; i < links && team->place.world > 1; i++) open = open || team->link[i].fd >= 0;
    return !open || now - team->close_ns > GOODBYE_MS * 1000000LL;
}

static void wishes(struct vs_team *team, int64_t now)
{
    struct vs_team_ask *ask = &team->ask;
    char why[VS_TEAM_WHY + 16];
    vs_team_exchange_begin(team);
    if (ask->failing) {
        ask->failing = false;
        snprintf(why, sizeof why, "failed: %s", ask->why);
        vs_team_watch_row(team, &team->row[team->place.rank]);
        vs_team_accuse(team, VS_TEAM_FAILED, team->place.rank, why);
    }
    if (ask->closing && !team->said_bye) say_bye(team, now);
}

static void wait_for_something(struct vs_team *team, int64_t until)
{
    int64_t left = until - vs_team_now();
    int links = team->place.world == 1 ? 0 : team->place.rank ? 1 : team->place.world;
    eventfd_t woken;
    team->polled[0] = (struct pollfd){.fd = team->wake, .events = POLLIN};
    for (int i = 0; i < links; i++) {
        const struct vs_team_link *link = &team->link[i];
        team->polled[1 + i] =
            (struct pollfd){.fd = link->fd, .events = POLLIN | (vs_team_link_waits(link) ? POLLOUT : 0)};
    }
    for (int i = 0; i <= links; i++) team->polled[i].revents = 0;
    if (poll(team->polled, 1 + (nfds_t)links, left > 0 ? (int)(left / 1000000) + 1 : 0) <= 0)
        for (int i = 0; i <= links; i++) team->polled[i].revents = 0;
    if (team->polled[0].revents) eventfd_read(team->wake, &woken);
    pthread_mutex_lock(&team->ask.lock);
    for (int i = 0; i < links; i++)
        if (team->link[i].fd >= 0 && team->polled[1 + i].revents) serve(team, i, team->polled[1 + i].revents);
    pthread_mutex_unlock(&team->ask.lock);
}

static void flush(struct vs_team *team)
{
    int links = team->place.world == 1 ? 0 : team->place.rank ? 1 : team->place.world;
    for (int i = 0; i < links; i++) {
        /* What the other side sent before it ended is read first: the socket then reports its end. */
        if (vs_team_link_flush(&team->link[i])) team->link[i].out.at = team->link[i].out.used;
    }
}

void *vs_team_run(void *argument)
{
    struct vs_team *team = argument;
    int64_t step = team->timeout_ns / 8, next = 0, now;
    if (step > BEAT_MS * 1000000LL) step = BEAT_MS * 1000000LL;
    if (step < LEAST_BEAT_MS * 1000000LL) step = LEAST_BEAT_MS * 1000000LL;
    prctl(PR_SET_NAME, "vs-team");
    do {
        wait_for_something(team, next);
        now = vs_team_now();
        pthread_mutex_lock(&team->ask.lock);
        if (now >= next) {
            beat(team, now);
            next = now + step;
        }
        wishes(team, now);
        pthread_mutex_unlock(&team->ask.lock);
        flush(team);
        vs_team_decide(team, now);
    } while (!finished(team, now));
    return NULL;
}
