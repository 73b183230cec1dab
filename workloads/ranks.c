/* SPDX-License-Identifier: MIT
 *
 * ranks.c: the order in which ranks come to be and end.
 */
#include "workloads/ranks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workloads/launch.h"

enum { GRACE_MS = 10000 }; /* for ranks to end by themselves once one has failed */

bool vs_ranks_launch(const struct vs_ranks_options *o, char *const argv[], int *status)
{
    if (!o->nproc || (getenv("RANK") && getenv("VRAMSCOPE_LAUNCHER"))) return false;
    if (getenv("RANK")) {
        fprintf(stderr, "ranks: RANK is set, so a launcher has started this rank already: leave out --nproc\n");
        *status = 2;
        return true;
    }
    *status = vs_launch((int)o->nproc, (int)o->port, GRACE_MS, argv);
    return true;
}

/* On the team's thread: whoever waits in a collective comes back. */
static void stop(void *state)
{
    struct vs_ranks *r = state;
    alarm(GRACE_MS / 1000 * 2); /* whoever cannot come back even so is ended */
    r->device->comm->abort(__atomic_load_n(&r->shard.gather, __ATOMIC_ACQUIRE));
    r->device->comm->abort(__atomic_load_n(&r->shard.reduce, __ATOMIC_ACQUIRE));
}

static int connect(struct vs_ranks *r, const char *name, void **comm)
{
    struct vs_comm_id id;
    int err = r->shard.rank == 0 ? r->device->comm->make_id(&id) : 0;
    if (err) memset(&id, 0, sizeof id); /* the others wait for one, and will be told */
    int shared = vs_team_share(r->team, &id, sizeof id);
    if (!err) err = shared;
    if (!err) err = r->device->comm->open(&id, (int)r->shard.rank, (int)r->shard.world, name, comm);
    if (err) fprintf(stderr, "rank %zu: communicator %s: %s\n", r->shard.rank, name, r->device->comm->last_error());
    return err;
}

int vs_ranks_open(struct vs_ranks *r, const struct vs_ranks_options *o, const struct vs_device *device, const char *fingerprint)
{
    struct vs_team_settings s = {
        .timeout_ms = (unsigned)(o->patience_s * 1e3), .fingerprint = fingerprint, .stop = stop, .state = r};
    char why[256];
    *r = (struct vs_ranks){.device = device};
    int err = vs_team_place(&s.place, why, sizeof why);
    if (err) {
        fprintf(stderr, "ranks: %s\n", why);
        return err;
    }
    r->shard.rank = (size_t)s.place.rank;
    r->shard.world = (size_t)s.place.world;
    r->local_rank = s.place.local_rank;
    err = vs_team_open(&r->team, &s);
    if (err) return err;
    r->shard.team = r->team;
    err = device->use(r->local_rank);
    if (err) fprintf(stderr, "rank %zu: %s\n", r->shard.rank, device->last_error());
    if (!err) err = connect(r, "gather", &r->shard.gather);
    if (!err) err = connect(r, "reduce", &r->shard.reduce);
    return err;
}

void vs_ranks_fail(struct vs_ranks *r, const char *why)
{
    if (r->team && !vs_team_stopped(r->team)) vs_team_fail(r->team, why);
}

void vs_ranks_close(struct vs_ranks *r)
{
    vs_team_close(r->team); /* before the communicators: its thread may be about to abort them */
    if (r->device) {
        r->device->comm->close(r->shard.reduce);
        r->device->comm->close(r->shard.gather);
    }
    memset(r, 0, sizeof *r);
}
