/* SPDX-License-Identifier: MIT
 *
 * ranks.c: the order in which ranks come to be and end.
 */
#include "workloads/ranks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workloads/launch.h"

enum { GRACE_MS = 10000 }; /* for ranks to end by themselves once one has failed */

bool vs_ranks_launch(const struct vs_ranks_options *o, char *const argv[], int *status)
{
    struct vs_team_place place;
    char why[256];
    if (!o->nproc || vs_launched()) return false;
    int err = vs_team_place(&place, why, sizeof why);
    if (err) fprintf(stderr, "ranks: %s\n", why);
    else if (place.world > 1)
        fprintf(stderr, "ranks: %s has started this one as rank %d of %d: leave out --nproc\n", place.launcher, place.rank, place.world);
    *status = 2;
    if (err || place.world > 1) return true;
    *status = vs_launch((int)o->nproc, (int)o->port, GRACE_MS, argv);
    return true;
}

static void *abort_gather(void *state)
{
    struct vs_ranks *r = state;
    r->device->comm->abort(__atomic_load_n(&r->shard.gather, __ATOMIC_ACQUIRE));
    return NULL;
}

/* On the team's thread: whoever waits in a collective comes back. Both at once: an abort waits for what its communicator has on the
 * device, and that may be behind what the other one has. */
static void stop(void *state)
{
    struct vs_ranks *r = state;
    pthread_t other;
    alarm(GRACE_MS / 1000 * 2); /* whoever cannot come back even so is ended */
    int alone = pthread_create(&other, NULL, abort_gather, r);
    r->device->comm->abort(__atomic_load_n(&r->shard.reduce, __ATOMIC_ACQUIRE));
    if (alone) abort_gather(r);
    else pthread_join(other, NULL);
}

/* The first operation takes the memory that a communicator needs, and shows whether it works, before anything is planned. */
static int try_out(struct vs_ranks *r)
{
    const struct vs_comm *comm = r->device->comm;
    size_t world = r->shard.world;
    float *memory = NULL;
    int err = r->device->alloc((2 * world + 1) * sizeof *memory, (void **)&memory);
    if (!err) err = r->device->clear(memory, (2 * world + 1) * sizeof *memory);
    const struct vs_comm_part gather = {memory + 2 * world, memory, 1, VS_COMM_fp32}, reduce = {memory, memory + 2 * world, 1, VS_COMM_fp32},
                              exchange = {memory, memory + world, 1, VS_COMM_fp32};
    if (err) fprintf(stderr, "rank %zu: %s\n", r->shard.rank, r->device->last_error());
    if (err) return err;
    err = comm->all_gather(r->shard.gather, &gather, 1, NULL);
    if (!err) err = comm->reduce_scatter(r->shard.reduce, &reduce, 1, NULL);
    if (!err) err = comm->all_to_all(r->shard.reduce, &exchange, 1, NULL);
    if (err) fprintf(stderr, "rank %zu: first collectives: %s\n", r->shard.rank, comm->last_error());
    if (!err) err = r->device->wait(NULL);
    r->device->release(memory);
    return err;
}

/* What takes part in the making of communicators is under watch, too: number `index` of step 0. */
static int watched(struct vs_ranks *r, size_t index, const char *what, int (*run)(struct vs_ranks *r))
{
    vs_team_note(r->team, 0, index, what);
    int err = run(r);
    if (!err) vs_team_done(r->team, 0, index);
    return err;
}

static int open_comm(struct vs_ranks *r, const struct vs_comm_id *id, const char *name, void **comm)
{
    int err = r->device->comm->open(id, (int)r->shard.rank, (int)r->shard.world, name, comm);
    if (err) fprintf(stderr, "rank %zu: communicator %s: %s\n", r->shard.rank, name, r->device->comm->last_error());
    return err;
}

static int open_gather(struct vs_ranks *r)
{
    return open_comm(r, &r->id, "gather", &r->shard.gather);
}

static int open_reduce(struct vs_ranks *r)
{
    return open_comm(r, &r->id, "reduce", &r->shard.reduce);
}

static int share_id(struct vs_ranks *r)
{
    int err = r->shard.rank == 0 ? r->device->comm->make_id(&r->id) : 0;
    if (err) fprintf(stderr, "rank %zu: %s\n", r->shard.rank, r->device->comm->last_error());
    return err ? err : vs_team_share(r->team, &r->id, sizeof r->id);
}

static int connect(struct vs_ranks *r)
{
    int err = share_id(r);
    if (!err) err = watched(r, 0, "the making of communicator gather", open_gather);
    if (!err) err = share_id(r);
    if (!err) err = watched(r, 1, "the making of communicator reduce", open_reduce);
    return err ? err : watched(r, 2, "the first collectives", try_out);
}

int vs_ranks_open(struct vs_ranks *r, const struct vs_ranks_options *o, const struct vs_device *device, const char *fingerprint)
{
    char why[256], words[4096];
    struct vs_team_settings s = {
        .timeout_ms = o->patience_s > 86400 ? 86400000u : o->patience_s > 0 ? (unsigned)(o->patience_s * 1e3) + 1 : 0, .fingerprint = words, .stop = stop, .state = r};
    snprintf(words, sizeof words, "%s device=%s", fingerprint, device->kind);
    *r = (struct vs_ranks){.device = device, .shard.steps = &r->steps};
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
    return err ? err : connect(r);
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
    alarm(0);
    memset(r, 0, sizeof *r);
}
