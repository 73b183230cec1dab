/* SPDX-License-Identifier: MIT
 *
 * job.h: whether torchrun, mpirun or srun has started this command several times, side by side: `bench` then records one job.
 * Rank 0 speaks for all of them.
 *
 * Threading: reads the environment. Errors: none; what makes no sense is no rank, and the workload says what is wrong with it.
 */
#ifndef VS_CLI_JOB_H
#define VS_CLI_JOB_H

struct vs_job {
    int rank, world; /* 0 and 1: nobody has */
};
struct vs_job vs_job_here(void);

/* For recorded_run.h: rank 0 of several waits for the others' recordings, longer than the workload's --patience-s (60), within which
 * they end. */
int vs_job_wait_s(struct vs_job job);

#endif
