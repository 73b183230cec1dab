/* SPDX-License-Identifier: MIT
 *
 * rank.h: which rank of a job this process is, from the launcher's environment variables.
 */
#ifndef VS_PROFILER_RANK_H
#define VS_PROFILER_RANK_H

#include <stdbool.h>

struct vs_rank {
    int rank, local_rank, world_size; /* -1: not known */
    const char *launcher;             /* NULL: none */
};

struct vs_rank vs_rank_read(void);
/* Is this rank in VRAMSCOPE_RANKS (or is there no such list, or no rank)? */
bool vs_rank_wanted(void);
/* Is `rank` in a list like "0,2-3,8"? An empty list holds every rank; a malformed one is reported by *bad. */
bool vs_rank_in_list(int rank, const char *list, bool *bad);

#endif
