/* SPDX-License-Identifier: MIT
 *
 * comm_nvtx.h: tells recorders of collectives that run on the CPU, in the form NCCL uses for its own: ranges in the NVTX domain "NCCL"
 * with NCCL's payloads (communicator hash, bytes of one rank). Whoever knows NCCL's, as our recorder does, then sees these too, and
 * can match them across ranks. Without a recorder a call costs a few loads.
 *
 * Threading: any thread; begin and end are a pair of one thread. Errors: none.
 */
#ifndef VS_KERNELS_COMM_NVTX_H
#define VS_KERNELS_COMM_NVTX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, NCCL's schema number, NCCL's function, its payload tells the reduction) */
#define VS_COMM_KINDS(X)                               \
    X(all_gather, 4, "ncclAllGather", 0)               \
    X(all_reduce, 5, "ncclAllReduce", 1)               \
    X(reduce_scatter, 7, "ncclReduceScatter", 1)       \
    X(all_to_all, 16, "ncclAlltoAll", 0)
enum vs_comm_kind {
#define X(name, schema, function, reduces) VS_COMM_KIND_##name,
    VS_COMM_KINDS(X)
#undef X
        VS_COMM_KIND_COUNT
};

/* hash: of the communicator, equal on all ranks, not 0. */
void vs_comm_nvtx_begin(enum vs_comm_kind kind, uint64_t hash, size_t bytes);
void vs_comm_nvtx_end(void);

/* Around the making of a communicator; made 0: it failed, and there is none. */
void vs_comm_nvtx_open(void);
void vs_comm_nvtx_opened(uint64_t hash, int rank, int world, int made);
void vs_comm_nvtx_closed(uint64_t hash, int rank, int world);
void vs_comm_nvtx_aborted(uint64_t hash, int rank, int world);

#ifdef __cplusplus
}
#endif
#endif
