/* SPDX-License-Identifier: MIT
 *
 * src_nccl.h: what the NCCL source tells others of itself.
 *
 * Threading: any thread. Errors: none.
 */
#ifndef VS_PROFILER_SRC_NCCL_H
#define VS_PROFILER_SRC_NCCL_H

#include <stdbool.h>
#include <stdint.h>

/* Has one of our NCCL wrappers been called in this process? Then NCCL's own NVTX domain tells nothing new. */
bool vs_nccl_bound(void);

/* The next number for a call or a group, from 1 in each process. */
uint64_t vs_nccl_next_id(void);

#endif
