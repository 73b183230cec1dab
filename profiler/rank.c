/* SPDX-License-Identifier: MIT
 *
 * rank.c: reads torchrun's, Open MPI's, PMI's and Slurm's variables. Must never write to the environment.
 */
#include "rank.h"

#include <stddef.h>
#include <stdlib.h>

#include "config.h"

/* In order: a torchrun inside srun is torchrun's. A batch script has SLURM_PROCID=0 and SLURM_NTASKS as well, and is nobody's
 * rank: only srun says how many tasks the step has. */
enum { TORCHRUN, MPIRUN, PMI, SRUN };
static const struct {
    const char *launcher, *rank, *local_rank, *world_size;
} launchers[] = {
    [TORCHRUN] = {"torchrun", "RANK", "LOCAL_RANK", "WORLD_SIZE"},
    [MPIRUN] = {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"},
    [PMI] = {"mpiexec", "PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"},
    [SRUN] = {"srun", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"},
};

static int number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long value;
    if (!text || !*text)
        return -1;
    value = strtol(text, &end, 10);
    return *end || value < 0 || value > 1 << 24 ? -1 : (int)value;
}

struct vs_rank vs_rank_read(void)
{
    size_t i;
    for (i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        struct vs_rank r = {number(launchers[i].rank), number(launchers[i].local_rank), number(launchers[i].world_size),
                            launchers[i].launcher};
        if (r.rank < 0 || (i == SRUN && r.world_size < 0))
            continue;
        if (i == TORCHRUN && getenv("VRAMSCOPE_LAUNCHER"))
            r.launcher = "vramscope"; /* ours speaks as torchrun does */
        return r;
    }
    return (struct vs_rank){-1, -1, -1, NULL};
}

bool vs_rank_in_list(int rank, const char *list, bool *bad)
{
    bool found = !*list;
    *bad = false;
    while (*list) {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (end == list || first < 0)
            goto malformed;
        if (*end == '-') {
            list = end + 1;
            last = strtol(list, &end, 10);
            if (end == list || last < first)
                goto malformed;
        }
        if (*end && *end != ',')
            goto malformed;
        found = found || (rank >= first && rank <= last);
        list = *end ? end + 1 : end;
    }
    return found;
malformed:
    *bad = true;
    return true; /* record too much rather than nothing */
}

bool vs_rank_wanted(void)
{
    const char *list = vs_config()->ranks;
    int rank = vs_rank_read().rank;
    bool bad;
    return !*list || rank < 0 || vs_rank_in_list(rank, list, &bad);
}
