/* SPDX-License-Identifier: MIT
 *
 * job.c: reads the launchers' variables, in the order in which the workloads and the recorder read them.
 */
#include "job.h"

#include <stddef.h>
#include <stdlib.h>

static const char *const variables[][2] = {
    {"RANK", "WORLD_SIZE"},
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMI_RANK", "PMI_SIZE"},
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}, /* a batch script has only the first */
};

/* -1: not a number. */
static int number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long value = text && *text ? strtol(text, &end, 10) : -1;
    return value < 0 || *end || value > 1 << 24 ? -1 : (int)value;
}

struct vs_job vs_job_here(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        int rank = number(variables[i][0]), world = number(variables[i][1]);
        if (rank >= 0 && rank < world) return (struct vs_job){rank, world};
    }
    return (struct vs_job){0, 1};
}

int vs_job_wait_s(struct vs_job job)
{
    return job.world > 1 && !job.rank ? 120 : 0;
}
