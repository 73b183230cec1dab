/* SPDX-License-Identifier: MIT
 *
 * shard.c: the schedules of all ranks, held against each other before any rank follows its own.
 */
#include "workloads/shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/team.h"
#include "workloads/trainer.h"

static int differ(const struct vs_shard_op *a, const struct vs_shard_op *b)
{
    return a->kind != b->kind || a->unit != b->unit || a->bytes != b->bytes;
}

static int same_counts(struct vs_team *team, size_t mine, char *why, size_t bytes)
{
    size_t world = (size_t)vs_team_world(team), *counts;
    int err;
    counts = vs_team_collect(team, &mine, sizeof mine, &err);
    for (size_t r = 1; !err && r < world; r++) {
        if (counts[r] == counts[0]) continue;
        snprintf(why, bytes, "a step has %zu collectives on rank %zu, %zu on rank 0", counts[r], r, counts[0]);
        err = -EPROTO;
    }
    free(counts);
    return err;
}

/* What is done with each weight may differ where collectives do not. */
static int same_plans(const struct vs_trainer *t, struct vs_team *team, char *why, size_t bytes)
{
    const struct vs_train_plan *plan = &t->plan;
    unsigned mine[VS_TRAIN_MATRICES + 1] = {plan->semantics}, (*all)[VS_TRAIN_MATRICES + 1];
    size_t world = (size_t)vs_team_world(team);
    memcpy(mine + 1, plan->action, sizeof plan->action);
    int err;
    all = vs_team_collect(team, mine, sizeof mine, &err);
    for (size_t r = 1; !err && r < world; r++) {
        if (!memcmp(all[r], all[0], sizeof mine)) continue;
        snprintf(why, bytes, "rank %zu and rank 0 have other plans for the same mode", r);
        err = -EPROTO;
    }
    free(all);
    return err;
}

int vs_shard_agree(const struct vs_trainer *t, char *why, size_t bytes)
{
    size_t count, world = t->settings.ranks->world;
    const struct vs_shard_op *mine = vs_shard_schedule(t, &count);
    struct vs_team *team = t->settings.ranks->team;
    *why = 0;
    int err = team ? same_counts(team, count, why, bytes) : 0;
    if (!err && team) err = same_plans(t, team, why, bytes);
    if (err || !team || !count) return err;
    struct vs_shard_op *all = vs_team_collect(team, mine, count * sizeof *mine, &err);
    for (size_t i = 0; !err && i < world * count; i++) {
        const struct vs_shard_op *theirs = &all[i], *first = &all[i % count];
        if (!differ(theirs, first)) continue;
        snprintf(why, bytes, "collective %zu of a step is %.39s of %zu bytes on rank %zu, %.39s of %zu bytes on rank 0", i % count + 1,
                 theirs->what, theirs->bytes, i / count, first->what, first->bytes);
        err = -EPROTO;
    }
    free(all);
    return err;
}
