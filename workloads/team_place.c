/* SPDX-License-Identifier: MIT
 *
 * team_place.c: which rank this process is, by the launcher's variables. Must never write to the environment, and reads the same
 * variables in the same order as a recorder would (a torchrun inside srun is torchrun's).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/team_parts.h"

enum { DEFAULT_PORT = 29500 };
enum { TORCHRUN, MPIRUN, PMI, SRUN };

static const struct launcher {
    const char *name, *rank, *world, *local_rank;
    /* What says how many ranks or hosts there are, and what it says when all ranks are on this host (NULL: the world). */
    const char *here, *here_value;
} launchers[] = {
    [TORCHRUN] = {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", NULL},
    [MPIRUN] = {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                "OMPI_COMM_WORLD_LOCAL_SIZE", NULL},
    [PMI] = {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", NULL},
    [SRUN] = {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_NUM_NODES", "1"},
};

/* Set and not empty. */
static const char *value_of(const char *name)
{
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

/* A batch script is process 0 of its job as well, and nobody's rank: only srun says how many tasks the step has. */
static bool started_by(const struct launcher *l)
{
    return value_of(l->rank) && (l != &launchers[SRUN] || value_of(l->world));
}

/* srun may speak PMI as well, and then says only by its own variables which rank of the host this is. */
static const struct launcher *find(void)
{
    const struct launcher *pmi = &launchers[PMI], *srun = &launchers[SRUN];
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (started_by(&launchers[i]))
            return i == PMI && !value_of(pmi->local_rank) && started_by(srun) ? srun : &launchers[i];
    return NULL;
}

/* Digits and nothing else. */
static int number(const char *name, int least, int most, int *out, char *why, size_t bytes)
{
    const char *text = value_of(name);
    char shown[32];
    long v = 0;
    if (!text) {
        snprintf(why, bytes, "%s is not set", name);
        return -EINVAL;
    }
    for (const char *c = text; *c && v <= most; c++) v = *c >= '0' && *c <= '9' ? v * 10 + (*c - '0') : (long)most + 1;
    *out = (int)v;
    if (v >= least && v <= most) return 0;
    vs_team_clean(shown, sizeof shown, text, strlen(text));
    snprintf(why, bytes, "%s is '%s', not a number from %d to %d", name, shown, least, most);
    return -EINVAL;
}

static bool all_here(const struct launcher *l)
{
    const char *here = value_of(l->here), *wanted = l->here_value ? l->here_value : value_of(l->world);
    return here && wanted && !strcmp(here, wanted);
}

static bool loopback(const char *address)
{
    return !strncmp(address, "127.", 4) || !strcmp(address, "localhost") || !strcmp(address, "::1");
}

static int find_address(struct vs_team_place *out, const struct launcher *l, char *why, size_t bytes)
{
    const char *address = value_of("MASTER_ADDR"), *store = value_of("TORCHELASTIC_USE_AGENT_STORE");
    if (!address && !all_here(l)) {
        snprintf(why, bytes,
                 "%s says %d ranks, and nothing says where rank 0 is: set MASTER_ADDR (its host) and MASTER_PORT",
                 l->world, out->world);
        return -EINVAL;
    }
    if (!address) address = "127.0.0.1";
    if (strlen(address) >= sizeof out->address) {
        snprintf(why, bytes, "MASTER_ADDR is longer than %zu characters", sizeof out->address - 1);
        return -EINVAL;
    }
    strcpy(out->address, address);
    out->port = DEFAULT_PORT;
    if (value_of("MASTER_PORT") && number("MASTER_PORT", 1, 65535, &out->port, why, bytes)) return -EINVAL;
    if (!strcmp(out->launcher, "torchrun") && store && !strcmp(store, "True")) {
        if (++out->port > 65535) {
            snprintf(why, bytes, "MASTER_PORT is 65535, where torchrun itself listens, and there is no next one");
            return -EINVAL;
        }
    }
    return 0;
}

int vs_team_place(struct vs_team_place *out, char *why, size_t bytes)
{
    const struct launcher *l = find();
    const char *ours = value_of("VRAMSCOPE_LAUNCHER");
    *out = (struct vs_team_place){.world = 1, .launcher = "none"};
    if (!l && value_of("WORLD_SIZE") && strcmp(value_of("WORLD_SIZE"), "1") != 0) {
        snprintf(why, bytes, "WORLD_SIZE is set and RANK is not: set both or neither");
        return -EINVAL;
    }
    if (!l) return 0;
    out->launcher = l->name;
    if (l == &launchers[TORCHRUN] && ours && !strcmp(ours, "vramscope")) out->launcher = "vramscope";
    if (number(l->world, 1, VS_TEAM_MOST_RANKS, &out->world, why, bytes)) return -EINVAL;
    if (number(l->rank, 0, out->world - 1, &out->rank, why, bytes)) {
        size_t at = strlen(why);
        snprintf(why + at, bytes - at, " (%s is %d)", l->world, out->world);
        return -EINVAL;
    }
    if (out->world > 1 && find_address(out, l, why, bytes)) return -EINVAL;
    if (value_of(l->local_rank)) return number(l->local_rank, 0, out->world - 1, &out->local_rank, why, bytes);
    if (out->world > 1 && !loopback(out->address) && !all_here(l)) {
        snprintf(why, bytes, "%s is not set: which rank of this host is it, and so which GPU is its own?",
                 l->local_rank);
        return -EINVAL;
    }
    out->local_rank = out->rank;
    return 0;
}
