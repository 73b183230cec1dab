/* SPDX-License-Identifier: MIT
 *
 * shard.h: a trainer's weights over ranks. Each rank has its own samples, and of each unit (embedding, blocks, head) one equal part of
 * the matrices and one of the vectors: their weights, optimizer states and, reduced, gradients. Whole units are gathered for as long as
 * a pass needs them, ahead up to the next one with matrices; their gradients are summed over ranks, scattered, and applied part by
 * part. Per-sample norms need nobody else: no collective touches them.
 *
 * Schedule: a step's collectives are one list, made while the step is rehearsed (trainer.h) and the same on every rank, which
 * vs_shard_agree checks before the first step; a step that would leave it ends with -EPROTO before it asks anyone anything.
 *     gather  matrices as the products read them, vectors of W; one communicator, one stream
 *     reduce  sums of W in rank order or as NCCL makes them; another communicator, another stream. Each is applied while the next unit's
 *             gradient is made; the last blocks' all while the embedding's is summed, behind which nothing is made
 *     exchange, coefficients  with one sample on each rank, whose clip coefficient is known behind the backward pass alone: gradients go
 *             to their owners as they are made, and are weighted and summed there once each rank has told its coefficient, by the
 *             gathers' communicator. At the end that number and the embedding's gradient are left to be sent, beside the optimizer. As much is sent as by a reduce; in memory
 *             is a whole gradient, in parts of all ranks, as it would be where each rank kept its own
 *
 * Noise and first weights are keyed by a weight's place in the model, so that they do not depend on how many ranks there are.
 * Ownership: ranks, communicators and the team are the caller's and outlive the trainer. Threading: the trainer's.
 */
#ifndef VS_WORKLOADS_SHARD_H
#define VS_WORKLOADS_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vs_team;
struct vs_trainer;

struct vs_shard_ranks {
    size_t rank, world;
    void *gather, *reduce; /* communicators of device->comm; NULL until the trainer is opened */
    struct vs_team *team;  /* told of every collective; NULL: nobody */
    uint64_t *steps;       /* counts those of all trainers on one team, for which a step must not come twice; with a team */
    size_t left_out;       /* drill: the collective of a step with this number, from 1 on, is not made; 0: all are */
};

/* X(id, name) */
#define VS_SHARD_KINDS(X)                                                                                              \
    X(GATHER, "all_gather")                                                                                            \
    X(REDUCE, "reduce_scatter")                                                                                        \
    X(EXCHANGE, "all_to_all")                                                                                          \
    X(COEFFICIENTS, "all_gather")
enum vs_shard_kind {
#define X(id, name) VS_SHARD_##id,
    VS_SHARD_KINDS(X)
#undef X
};

/* One collective of the step. */
struct vs_shard_op {
    enum vs_shard_kind kind;
    size_t unit, bytes; /* bytes: of the whole unit, as it is sent */
    char what[40];      /* "all_gather block03" */
};

/* The step's collectives, in order; *count of them. Valid until the trainer closes. */
const struct vs_shard_op *vs_shard_schedule(const struct vs_trainer *t, size_t *count);
/* Compares the schedule with all ranks' (team.h): 0, or -EPROTO with one line that says where they part. */
int vs_shard_agree(const struct vs_trainer *t, char *why, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
