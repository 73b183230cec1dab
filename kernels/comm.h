/* SPDX-License-Identifier: MIT
 *
 * comm.h: the contract of collectives between ranks, one process each: NCCL between GPUs, shared memory between processes of one host
 * that compute on the CPU. It knows no schedule and no tensor of a model.
 *
 * Ranks 0 .. world - 1, world >= 1. Every rank calls the same operations on a communicator, in the same order, with the same counts
 * and types: who does not leaves the others waiting. Counts are elements per rank.
 * Ownership: the caller owns buffers; a communicator is the opener's until close. An id may be copied and sent as bytes.
 * Stream: NCCL queues on `stream` and returns; buffers are the operation's until the stream has passed it. Shared memory ignores the
 *         stream and is done when the call returns.
 * Threading: one thread per communicator, but abort, which any thread may call: whoever waits in it, on the GPU too, comes back
 *            with -ECANCELED or an error of the device, and nothing but close may follow. Shared memory: on all ranks. An abort of a
 *            communicator that is closed, or was aborted before, does nothing.
 * Determinism: sums are made in rank order (shared memory) or as NCCL does (the same on every run of one machine and world).
 * Errors: 0; -EINVAL; -ENOMEM; -EIO NCCL failed; -ENOTSUP there is no NCCL; -ECANCELED aborted; -EPROTO (shared memory) the ranks are
 *         not in the same operation (on all of them), or one has closed. last_error says more, for the calling thread.
 */
#ifndef VS_KERNELS_COMM_H
#define VS_KERNELS_COMM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, bytes) */
#define VS_COMM_DTYPES(X) X(fp32, 4) X(fp64, 8) X(bf16, 2) X(fp16, 2)
enum vs_comm_dtype {
#define X(name, bytes) VS_COMM_##name,
    VS_COMM_DTYPES(X)
#undef X
        VS_COMM_DTYPE_COUNT
};

/* As NCCL's unique id. */
struct vs_comm_id {
    unsigned char bytes[128];
};

/* all_gather: send [count] of this rank, recv [world * count] in rank order; send may be recv + rank * count (in place).
 * all_to_all: send [world * count], part r for rank r; recv [world * count], part r from rank r; not in place.
 * reduce_scatter: send [world * count], recv [count], the sum over ranks of their rank's part; recv may be send + rank * count. */
struct vs_comm_part {
    const void *send;
    void *recv;
    size_t count; /* 0: nothing */
    enum vs_comm_dtype dtype;
};

struct vs_comm {
    const char *kind; /* "nccl", "shared memory" */
    /* On one rank, which gives the id to all. */
    int (*make_id)(struct vs_comm_id *id);
    /* Of the calling thread's current device; waits for all ranks. *comm is set, by one atomic store, before the wait, so that another
     * thread can abort it meanwhile; when open fails, what is there (or NULL) is for close. name: shown by recorders and in errors,
     * copied. Shared memory: at most 256 ranks, of one host. */
    int (*open)(const struct vs_comm_id *id, int rank, int world, const char *name, void **comm);
    void (*close)(void *comm); /* NULL is fine; waits for nobody */
    void (*abort)(void *comm); /* NULL is fine */
    /* Several parts are one operation (one group of NCCL). */
    int (*all_gather)(void *comm, const struct vs_comm_part *parts, size_t count, void *stream);
    int (*all_to_all)(void *comm, const struct vs_comm_part *parts, size_t count, void *stream);
    /* fp32 and fp64. */
    int (*reduce_scatter)(void *comm, const struct vs_comm_part *parts, size_t count, void *stream);
    /* Sum, fp16 too; may be in place. */
    int (*all_reduce)(void *comm, const void *send, void *recv, size_t count, enum vs_comm_dtype dtype, void *stream);
    /* 0, or what went wrong since, without waiting: -EIO, -ECANCELED, -EPROTO. Any thread, before close. */
    int (*check)(void *comm);
    const char *(*last_error)(void);
};

extern const struct vs_comm vs_comm_shared_memory;
/* In libvramscope_kernels.so only, by vs_device_cuda()->comm. */
extern const struct vs_comm vs_comm_nccl;

size_t vs_comm_dtype_bytes(enum vs_comm_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
