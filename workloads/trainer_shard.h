/* SPDX-License-Identifier: MIT
 *
 * trainer_shard.h: how the parts of a trainer deal with weights that lie on several ranks (shard.h). Where they do not, need, done and
 * end do nothing.
 *
 * Errors: 0 or -errno, -EPROTO: the step is not the one that was rehearsed.
 */
#ifndef VS_WORKLOADS_TRAINER_SHARD_H
#define VS_WORKLOADS_TRAINER_SHARD_H

#include "workloads/shard.h"
#include "workloads/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A run of a unit's elements: where in the unit, where in an array that holds such runs only, and the key of its noise. */
struct vs_train_part {
    size_t first, count, at;
    uint64_t key;
};
enum { VS_TRAIN_PARTS = 2 };
/* What this rank owns of a unit: all of it, or its part of the matrices and its part of the vectors. Returns how many. */
size_t vs_train_own(const struct vs_trainer *t, size_t unit, struct vs_train_part own[VS_TRAIN_PARTS]);
/* What of the part lies in the tensor; count 0: nothing. */
struct vs_train_part vs_train_part_in(const struct vs_train_part *part, const struct vs_train_place *tensor);
/* Elements of an array of what this rank owns. */
size_t vs_train_own_count(const struct vs_trainer *t, size_t unit);

int vs_shard_open(struct vs_trainer *t);  /* with the plan; nothing runs yet */
int vs_shard_start(struct vs_trainer *t); /* with the memory: streams and events */
void vs_shard_close(struct vs_trainer *t);
/* What was rehearsed is not the step any more: the next rehearsal learns in which order units are needed, the one after it lists. */
void vs_shard_forget(struct vs_trainer *t);
void vs_shard_begin(struct vs_trainer *t); /* a step, or its rehearsal */

/* The whole unit can be read, on the trainer's stream, from here on to done. */
int vs_train_need(struct vs_trainer *t, size_t unit);
void vs_train_done(struct vs_trainer *t, size_t unit);
/* Whole matrices and vectors of a unit that is needed now. */
const void *vs_shard_matrix(const struct vs_trainer *t, size_t unit, size_t offset);
const void *vs_shard_vector(const struct vs_trainer *t, size_t unit, size_t offset);

/* Where in the unit's gradient, as it is to be applied, this rank's part number `part` begins. */
size_t vs_shard_gradient_at(const struct vs_trainer *t, size_t unit, size_t part);
/* How many gradients of that part lie there one after the other, to be summed: one, or one of each rank. */
size_t vs_shard_terms(const struct vs_trainer *t, size_t unit);
/* Sums the unit's gradient over ranks, and has the own part applied once it is there, while the next unit's is made. */
int vs_shard_update(struct vs_trainer *t, size_t unit);
/* Sends the unit's gradient to its owners; it goes once it is there. */
int vs_shard_exchange(struct vs_trainer *t, size_t unit);
/* What is still under way. */
int vs_shard_flush(struct vs_trainer *t);
/* Weights what was exchanged by the coefficients c[0] of all ranks, sums it and applies it. */
int vs_shard_apply_exchanged(struct vs_trainer *t);
/* After a step: all of the schedule was made. Gives back what a step that failed left. */
int vs_shard_end(struct vs_trainer *t, int err);

#ifdef __cplusplus
}
#endif
#endif
