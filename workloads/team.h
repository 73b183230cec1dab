/* SPDX-License-Identifier: MIT
 *
 * team.h: the ranks of one job as one of them sees them: who it is, how they find each other, what each did last, and who tells them to
 * stop. It moves small host data over TCP and runs no collective.
 *
 * Who: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT (torchrun, our launch.h), else what mpirun (OMPI_COMM_WORLD_*, PMI_*) and
 * srun (SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID) set, with MASTER_ADDR and MASTER_PORT beside them (127.0.0.1 and 29500 where the
 * launcher started all ranks on this host). None of them: rank 0 of 1, and no socket is opened.
 * Where torchrun itself listens on MASTER_PORT (TORCHELASTIC_USE_AGENT_STORE), the next port is taken.
 *
 * Rank 0 listens, the others connect and stay connected until vs_team_close. A thread of the team's sends what this rank did
 * (vs_team_note) and keeps what the others did. It ends the job on every rank, by `stop`, when
 *   - an operation that was begun is not completed `timeout_ms` later, by this rank's own clock (on any rank). Of operations queued
 *     behind each other that is counted from the completion of the one before. A gather or share counts as one; or
 *   - a rank's connection ends without a goodbye, or a rank says that it failed (vs_team_fail).
 * Then it prints on stderr, on every rank, once: which rank was the reason and why, and for each rank the last operation that
 * completed, the one it waits for, and for how long. Hostile bytes from the network end the job with an error, nothing else.
 *
 * Ownership: vs_team_close ends all. Threading: one thread calls these functions, but vs_team_note and vs_team_done, which any may.
 * Errors: 0 or -errno, told on stderr with the rank in front ("rank 1: ..."): -ETIMEDOUT, -EADDRINUSE, -EPROTO (another world size,
 * another command, a rank twice), -ECONNRESET, -ECANCELED the job was stopped.
 */
#ifndef VS_WORKLOADS_TEAM_H
#define VS_WORKLOADS_TEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vs_team_place {
    int rank, world, local_rank;
    char address[256];
    int port;
    const char *launcher; /* static: "none", "torchrun", "mpirun", "srun", "vramscope" */
};

/* 0, or -EINVAL with one line: what is set and does not fit (a rank outside the world, a world without an address, no number). */
int vs_team_place(struct vs_team_place *out, char *why, size_t bytes);

struct vs_team;
struct vs_team_settings {
    struct vs_team_place place;
    unsigned timeout_ms;      /* of the meeting and of every operation; 0: 60 s */
    const char *fingerprint;  /* what must be alike on all ranks: a difference is told word by word */
    /* Called once by the team's thread, never once vs_team_close was called: abort communicators, so that whoever waits comes back.
     * vs_team_stopped says true by then. May be NULL. */
    void (*stop)(void *state);
    void *state;
};

/* Meets all ranks. */
int vs_team_open(struct vs_team **out, const struct vs_team_settings *s);
/* Says goodbye; waits, at most a second, for nobody else's. NULL is fine. */
void vs_team_close(struct vs_team *team);
int vs_team_rank(const struct vs_team *team);
int vs_team_world(const struct vs_team *team);

/* all [world * bytes] in rank order, `mine` of each: every rank calls it, in the same order. A barrier. At most 16 MiB in all. */
int vs_team_gather(struct vs_team *team, const void *mine, size_t bytes, void *all);
/* The same into new memory, the caller's to free; NULL: *err says why not. */
void *vs_team_collect(struct vs_team *team, const void *mine, size_t bytes, int *err);
/* From rank 0 to all. */
int vs_team_share(struct vs_team *team, void *data, size_t bytes);

/* Operation `index` of step `step` is begun; what: copied, shown to people. Neither call waits or asks
 * the system for anything. Several may be begun before the first is done. Who has not begun what others wait for is found by comparing
 * steps and indices between ranks, which should therefore rise for as long as a team lives. */
void vs_team_note(struct vs_team *team, uint64_t step, size_t index, const char *what);
/* The same operation is completed (all before it are). */
void vs_team_done(struct vs_team *team, uint64_t step, size_t index);

/* Ends the job: this rank failed. Returns when all have been told, 2 s later at most. The exit status is the caller's business. */
void vs_team_fail(struct vs_team *team, const char *why);
/* The job was stopped, by whomever. */
bool vs_team_stopped(const struct vs_team *team);

#ifdef __cplusplus
}
#endif
#endif
