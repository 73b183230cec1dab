/* SPDX-License-Identifier: MIT
 *
 * team_end.c: why the job ends, once, on every rank. Rank 0 decides and tells all; a rank that no longer has rank 0 decides for itself.
 * What came first is not always the cause: a killed rank makes its neighbours' collectives fail, whose news may arrive before. So rank 0
 * waits a moment after the first reason for a better one.
 */
#include <stdio.h>
#include <string.h>

#include "workloads/team_parts.h"

enum { MOMENT_MS = 100, RANK_0_ANSWERS_MS = 1000 };

static void send_reason(struct vs_team *team, struct vs_team_link *link, enum vs_team_frame type)
{
    unsigned char head[8];
    vs_team_put32(head, (uint32_t)team->reason);
    vs_team_put32(head + 4, (uint32_t)team->reason_rank);
    vs_team_link_put(link, type, head, sizeof head, team->why,
                     strlen(team->why)); /* no memory: its connection ends soon */
}

void vs_team_accuse(struct vs_team *team, enum vs_team_kind kind, int rank, const char *why)
{
    bool first = team->reason == VS_TEAM_NO_REASON;
    /* A rank that failed closes its connection next; that it is gone is no news. */
    if (team->ended || kind <= team->reason || (!first && rank == team->reason_rank && team->reason == VS_TEAM_FAILED))
        return;
    team->reason = kind;
    team->reason_rank = rank;
    vs_team_clean(team->why, sizeof team->why, why, strlen(why));
    if (team->place.world == 1 || (team->place.rank && team->link->fd < 0)) team->decide_ns = vs_team_now();
    else if (first) team->decide_ns = vs_team_now() + (team->place.rank ? RANK_0_ANSWERS_MS : MOMENT_MS) * 1000000LL;
    if (team->place.rank) {
        unsigned char row[VS_TEAM_ROW_BYTES];
        vs_team_row_pack(row, team->place.rank, &team->row[team->place.rank], vs_team_now());
        vs_team_link_put(team->link, VS_TEAM_ROW, row, sizeof row, NULL, 0);
        send_reason(team, team->link, VS_TEAM_ACCUSE);
    }
}

/* The calling thread may be inside vs_team_close: then nothing of the caller's is there to be stopped. */
static void end(struct vs_team *team, int64_t now)
{
    bool closing;
    team->ended = true;
    vs_team_report(team, now);
    pthread_mutex_lock(&team->ask.lock);
    __atomic_store_n(&team->stopped, true, __ATOMIC_RELEASE);
    closing = team->ask.closing;
    pthread_cond_broadcast(&team->ask.changed);
    pthread_mutex_unlock(&team->ask.lock);
    if (team->stop && !closing) team->stop(team->state);
}

void vs_team_decide(struct vs_team *team, int64_t now)
{
    unsigned char row[VS_TEAM_ROW_BYTES];
    if (team->ended || team->reason == VS_TEAM_NO_REASON || now < team->decide_ns) return;
    pthread_mutex_lock(&team->ask.lock);
    if (!team->said_bye) vs_team_watch_row(team, &team->row[team->place.rank]);
    pthread_mutex_unlock(&team->ask.lock);
    if (!team->place.rank) {
        for (int to = 1; to < team->place.world; to++) {
            for (int r = 0; r < team->place.world; r++) {
                if (r == to) continue;
                vs_team_row_pack(row, r, &team->row[r], now);
                vs_team_link_put(&team->link[to], VS_TEAM_ROW, row, sizeof row, NULL, 0);
            }
            send_reason(team, &team->link[to], VS_TEAM_END);
            vs_team_link_flush(&team->link[to]); /* before stop, which may take its time */
        }
    }
    end(team, now);
}

void vs_team_end_heard(struct vs_team *team, const struct vs_team_message *message)
{
    if (team->ended || message->bytes < 8) return;
    uint32_t rank = vs_team_get32(message->data + 4);
    team->reason = vs_team_get32(message->data);
    team->reason_rank = rank < (uint32_t)team->place.world ? (int)rank : 0;
    vs_team_clean(team->why, sizeof team->why, message->data + 8, message->bytes - 8);
    team->decide_ns = 0;
}
