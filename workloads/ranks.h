/* SPDX-License-Identifier: MIT
 *
 * ranks.h: from a workload's options to ranks that can train: started, met, each on its device, with communicators, and under watch.
 *
 *     if (vs_ranks_launch(&options, argv, &status)) return status;    the launching process ends here
 *     device = vs_device_choose(...);
 *     err = vs_ranks_open(&ranks, &options, device, fingerprint);
 *     device->open(&context); settings.ranks = &ranks.shard; ...
 *     if (failed) vs_ranks_fail(&ranks, reason);
 *     vs_trainer_close(...);
 *     vs_ranks_close(&ranks);
 *
 * Ownership: vs_ranks_close, once, also after an open that failed. Threading: one thread. Errors: 0 or -errno, told on stderr.
 */
#ifndef VS_WORKLOADS_RANKS_H
#define VS_WORKLOADS_RANKS_H

#include "kernels/device.h"
#include "workloads/shard.h"
#include "workloads/team.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_ranks_options {
    size_t nproc;      /* ranks to start here; 0: a launcher did, or there is one */
    size_t port;       /* of the meeting, with nproc; 0: a free one */
    double patience_s; /* for the meeting and every collective; 0: 60 */
};
/* Lines for a workload's table of options (options.h). */
#define VS_RANKS_OPTIONS(o)                                                                                            \
    {"nproc", VS_OPTION_COUNT, &(o)->nproc, "N", "start N ranks on this host (or use torchrun, mpirun, srun)"},       \
        {"port", VS_OPTION_COUNT, &(o)->port, "N", "where the ranks of --nproc meet (a free port)"},                   \
        {"patience-s", VS_OPTION_NUMBER, &(o)->patience_s, "S",                                                        \
         "seconds a collective, or the meeting of the ranks, may take before the job is ended (60)"}

struct vs_ranks {
    const struct vs_device *device;
    struct vs_team *team;
    struct vs_shard_ranks shard;
    struct vs_comm_id id; /* of the communicator that is being made */
    uint64_t steps;       /* of all trainers on these ranks */
    int local_rank;
};

/* True in the process that started ranks, and has seen them end with *status. argv as the program got it. */
bool vs_ranks_launch(const struct vs_ranks_options *o, char *const argv[], int *status);
/* fingerprint: what all ranks must have alike, as text; the kind of device is added. The device is made current. */
int vs_ranks_open(struct vs_ranks *r, const struct vs_ranks_options *o, const struct vs_device *device, const char *fingerprint);
/* This rank failed: all are told, and nobody waits for it any more. */
void vs_ranks_fail(struct vs_ranks *r, const char *why);
/* After the trainer is closed: what it queued still speaks to the team. */
void vs_ranks_close(struct vs_ranks *r);

#ifdef __cplusplus
}
#endif
#endif
