/* SPDX-License-Identifier: MIT
 *
 * trainer_shard_parts.h: what the two files that deal with weights on several ranks share: whole units and the schedule
 * (trainer_shard.c), and gradients on their way to their owners (trainer_reduce.c).
 */
#ifndef VS_WORKLOADS_TRAINER_SHARD_PARTS_H
#define VS_WORKLOADS_TRAINER_SHARD_PARTS_H

#include "kernels/comm.h"
#include "workloads/trainer_parts.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The step is rehearsed, first to learn in which order units are needed, then to list its collectives; or it is made. */
enum vs_shard_pass { VS_SHARD_LEARNING, VS_SHARD_LISTING, VS_SHARD_RUNNING };

/* At most so many sums stay under way at the end of a pass: as long as the embedding's takes, blocks are applied. One more is begun
 * before the oldest is waited for. */
enum { VS_SHARD_LATE = 6, VS_SHARD_SUMS = VS_SHARD_LATE + 1 };

struct vs_shard_unit {
    void *matrices, *vectors;
    void *event;  /* the gather is done */
    void *dealt;  /* what all ranks sent of this rank's part of the gradient */
    bool exchanged;
    size_t until; /* one more than the last need it was gathered or kept for */
};

/* For the team, from whatever thread the device tells it: of this step and of the one before. */
struct vs_shard_told {
    struct vs_team *team;
    uint64_t step;
    size_t index;
};

struct vs_shard {
    const struct vs_shard_ranks *ranks;
    enum vs_shard_pass pass;
    size_t *need, needs, need_room, at; /* units in the order a step needs them */
    struct vs_shard_op *op;
    size_t ops, op_room, next;
    struct vs_shard_told *told; /* several of each operation, by step */
    uint64_t step;              /* as the team counts */
    struct vs_shard_unit *unit;
    void *gather_stream, *reduce_stream, *tell_stream;
    void *here, *reduced[VS_SHARD_SUMS]; /* events */
    size_t reduced_unit[VS_SHARD_SUMS];  /* what each is of */
    size_t turn, under_way;              /* which of them the next sum's is; how many before it are under way */
};

/* The type of the trainer's elements of that size. */
enum vs_comm_dtype vs_shard_dtype(size_t element);
/* Keeps what the communicators say of an error, where there is one, and returns it. */
int vs_shard_failed(struct vs_trainer *t, int err);
/* The next collective of the step: listed, or held against the list. *run: it is to be made. */
int vs_shard_next(struct vs_trainer *t, enum vs_shard_kind kind, size_t unit, bool *run);
/* `stream` is behind all that the trainer's was given. */
int vs_shard_follow(struct vs_trainer *t, void *stream);
/* The team is told once the event, of the collective that was asked for last, is passed. */
int vs_shard_tell(struct vs_trainer *t, void *event);

#ifdef __cplusplus
}
#endif
#endif
