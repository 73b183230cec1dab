/* SPDX-License-Identifier: MIT
 *
 * train_ranks.h: the training workload on several ranks: what they must have alike, and one result made of theirs. It trains nothing.
 *
 * Errors: 0 or -errno; those of the team are told by it.
 */
#ifndef VS_WORKLOADS_TRAIN_RANKS_H
#define VS_WORKLOADS_TRAIN_RANKS_H

#include "workloads/train_result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The settings that all ranks must share, one word each. Returns text. */
const char *vs_train_fingerprint(const struct vs_train_options *o, char *text, size_t bytes);

/* Every rank calls it after its last step. Times become those of the slowest rank, step by step, losses the mean over all; rank 0 gets
 * the table of ranks. */
int vs_train_ranks_join(struct vs_train_result *r);

/* "[Profile] Rank 0 ...": times of the last step, on stdout. */
int vs_train_profile_show(struct vs_trainer *t);

#ifdef __cplusplus
}
#endif
#endif
