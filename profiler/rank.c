/* SPDX-License-Identifier: MIT
 *
 * rank.c: reads torchrun's, Open MPI's, PMI's and Slurm's variables. Must never write to the environment.
 */
#include "rank.h"

#include <stddef.h>
#include <stdlib.h>

#include "config.h"

/* In order: a torchrun inside srun is torchrun's. */
static const struct {
    const char *launcher, *rank, *local_rank, *world_size;
} launchers[] = {
    {"torchrun", "RANK", "LOCAL_RANK", "WORLD_SIZE"},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"mpiexec", "PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"},
    {"srun", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"},
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
    struct vs_rank r = {-1, -1, -1, NULL};
    size_t i;
    for (i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        r.rank = number(launchers[i].rank);
        if (r.rank < 0)
            continue;
        r.local_rank = number(launchers[i].local_rank);
        r.world_size = number(launchers[i].world_size);
        r.launcher = !i && getenv("VRAMSCOPE_LAUNCHER") ? "vramscope" : launchers[i].launcher; /* ours speaks as torchrun does */
        break;
    }
    return r;
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
