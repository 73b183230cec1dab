/* SPDX-License-Identifier: MIT
 *
 * team_exchange.c: gather and share: the calling thread asks and waits, the team's thread moves the bytes. Every rank sends its part to
 * rank 0, which sends the whole to all once the last part is there: both are barriers. One exchange at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "workloads/team_parts.h"

enum { PART_HEAD = 20, WHOLE_HEAD = 8 };

static int exchange(struct vs_team *team, enum vs_team_exchange kind, const void *mine, size_t bytes, void *all)
{
    struct vs_team_ask *ask = &team->ask;
    int status;
    pthread_mutex_lock(&ask->lock);
    ask->kind = kind;
    ask->number++;
    ask->mine = mine;
    ask->all = all;
    ask->bytes = bytes;
    ask->since_ns = vs_team_now();
    ask->state = VS_TEAM_POSTED;
    eventfd_write(team->wake, 1);
    while (ask->state != VS_TEAM_MET && !vs_team_stopped(team)) pthread_cond_wait(&ask->changed, &ask->lock);
    status = ask->state == VS_TEAM_MET ? 0 : -ECANCELED;
    ask->state = VS_TEAM_IDLE;
    pthread_mutex_unlock(&ask->lock);
    return status;
}

int vs_team_gather(struct vs_team *team, const void *mine, size_t bytes, void *all)
{
    size_t world = (size_t)team->place.world;
    if (vs_team_stopped(team)) return -ECANCELED;
    if (bytes > VS_TEAM_EXCHANGE / world) return -EINVAL;
    if (world > 1) return exchange(team, VS_TEAM_gather, mine, bytes, all);
    if (bytes) memmove(all, mine, bytes);
    return 0;
}

void *vs_team_collect(struct vs_team *team, const void *mine, size_t bytes, int *err)
{
    void *all = calloc((size_t)team->place.world, bytes ? bytes : 1);
    *err = all ? vs_team_gather(team, mine, bytes, all) : -ENOMEM;
    if (!*err) return all;
    free(all);
    return NULL;
}

int vs_team_share(struct vs_team *team, void *data, size_t bytes)
{
    if (vs_team_stopped(team)) return -ECANCELED;
    if (bytes > VS_TEAM_EXCHANGE) return -EINVAL;
    return team->place.world > 1 ? exchange(team, VS_TEAM_share, data, bytes, data) : 0;
}

/* ---- the team's thread; ask->lock is held ---- */

static void met(struct vs_team *team)
{
    team->ask.state = VS_TEAM_MET;
    pthread_cond_broadcast(&team->ask.changed);
}

static void blame(struct vs_team *team, int rank, const struct vs_team_share_part *part)
{
    char why[VS_TEAM_WHY];
    snprintf(why, sizeof why,
             "is in exchange %llu of %llu bytes (%s), rank 0 in exchange %llu of %zu bytes (%s): not the same program",
             (unsigned long long)part->number, (unsigned long long)part->bytes,
             part->kind == VS_TEAM_gather ? "gather" : "share", (unsigned long long)team->ask.number, team->ask.bytes,
             team->ask.kind == VS_TEAM_gather ? "gather" : "share");
    vs_team_accuse(team, VS_TEAM_FAILED, rank, why);
}

static bool parts_fit(struct vs_team *team)
{
    const struct vs_team_ask *ask = &team->ask;
    for (int r = 1; r < team->place.world; r++) {
        const struct vs_team_share_part *p = &team->part[r];
        if (p->kind == ask->kind && p->number == ask->number && p->bytes == ask->bytes) continue;
        blame(team, r, p);
        return false;
    }
    return true;
}

/* Rank 0: when all parts are there, the whole to all. */
static void complete(struct vs_team *team)
{
    struct vs_team_ask *ask = &team->ask;
    unsigned char number[WHOLE_HEAD];
    int world = team->place.world;
    if (ask->state != VS_TEAM_POSTED || team->ended) return;
    for (int r = 1; r < world; r++)
        if (!team->part[r].here) return;
    if (!parts_fit(team)) {
        ask->state = VS_TEAM_TAKEN; /* blamed once; the end wakes the caller */
        return;
    }
    bool gather = ask->kind == VS_TEAM_gather;
    if (gather && ask->bytes) {
        memmove(ask->all, ask->mine, ask->bytes);
        for (int r = 1; r < world; r++)
            memcpy((char *)ask->all + (size_t)r * ask->bytes, team->part[r].data, ask->bytes);
    }
    vs_team_put64(number, ask->number);
    for (int r = 1; r < world; r++) {
        size_t bytes = gather ? ask->bytes * (size_t)world : ask->bytes;
        if (vs_team_link_put(&team->link[r], VS_TEAM_WHOLE, number, sizeof number, ask->all, bytes) == -ENOMEM)
            vs_team_accuse(team, VS_TEAM_FAILED, 0, "failed: no memory for what it sends");
        free(team->part[r].data);
        team->part[r] = (struct vs_team_share_part){0};
    }
    met(team);
}

void vs_team_exchange_begin(struct vs_team *team)
{
    struct vs_team_ask *ask = &team->ask;
    unsigned char head[PART_HEAD];
    if (ask->state != VS_TEAM_POSTED) return;
    if (!team->place.rank) {
        complete(team);
        return;
    }
    vs_team_put32(head, ask->kind);
    vs_team_put64(head + 4, ask->number);
    vs_team_put64(head + 12, ask->bytes);
    ask->state = VS_TEAM_TAKEN;
    if (vs_team_link_put(team->link, VS_TEAM_PART, head, sizeof head, ask->mine,
                         ask->kind == VS_TEAM_gather ? ask->bytes : 0) == -ENOMEM)
        vs_team_accuse(team, VS_TEAM_FAILED, team->place.rank, "failed: no memory for what it sends");
}

int vs_team_exchange_part(struct vs_team *team, int rank, const struct vs_team_message *message)
{
    struct vs_team_share_part *p = &team->part[rank];
    if (message->bytes < PART_HEAD || p->here) return -EPROTO;
    p->kind = vs_team_get32(message->data);
    p->number = vs_team_get64(message->data + 4);
    p->bytes = vs_team_get64(message->data + 12);
    size_t bytes = message->bytes - PART_HEAD;
    if (p->kind >= VS_TEAM_EXCHANGE_COUNT || bytes != (p->kind == VS_TEAM_gather ? p->bytes : 0)) return -EPROTO;
    if (bytes && !(p->data = malloc(bytes))) return -ENOMEM;
    if (bytes) memcpy(p->data, message->data + PART_HEAD, bytes);
    p->here = true;
    complete(team);
    return 0;
}

int vs_team_exchange_whole(struct vs_team *team, const struct vs_team_message *message)
{
    struct vs_team_ask *ask = &team->ask;
    size_t bytes = ask->kind == VS_TEAM_gather ? ask->bytes * (size_t)team->place.world : ask->bytes;
    if (team->ended) return 0; /* the caller has gone */
    if (ask->state != VS_TEAM_TAKEN || message->bytes != WHOLE_HEAD + bytes ||
        vs_team_get64(message->data) != ask->number)
        return -EPROTO;
    if (bytes) memcpy(ask->all, message->data + WHOLE_HEAD, bytes);
    met(team);
    return 0;
}
