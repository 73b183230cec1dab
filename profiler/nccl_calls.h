/* SPDX-License-Identifier: MIT
 *
 * nccl_calls.h: what the files of the NCCL source share: the real functions, the guard around every call, what is known of
 * communicators. src_nccl.c has the guard, groups and collectives; nccl_comm.c communicators, memory and registrations;
 * nccl_map.c the table of communicators and registered buffers.
 *
 * Threading: any thread. Errors: none; the program gets what NCCL returned.
 */
#ifndef VS_PROFILER_NCCL_CALLS_H
#define VS_PROFILER_NCCL_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "nccl_abi.h"
#include "src_nccl.h"

enum vs_nccl_fn {
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) VS_NCCL_##name,
#define CALL(name, params) VS_NCCL_##name,
#define PASS(name, params, args) VS_NCCL_##name,
#include "nccl_hooks.def"
    VS_NCCL_HOOKS,
    /* called by us only */
    VS_NCCL_GetVersion = VS_NCCL_HOOKS,
    VS_NCCL_CommCount,
    VS_NCCL_CommUserRank,
    VS_NCCL_CommCuDevice,
    VS_NCCL_FNS
};

/* The real function, NULL: there is no NCCL in this process. errno is kept. For use in the wrapper itself: NCCL linked
 * statically into the caller's library is found by the caller's address. */
#define vs_nccl_real(which) vs_nccl_real_for(which, __builtin_return_address(0))
void *vs_nccl_real_for(enum vs_nccl_fn which, const void *caller);

/* Around every call that is passed on. false: we are already inside NCCL on this thread (it calls its own exported
 * functions), so nothing is to be recorded; leave is called all the same. */
bool vs_nccl_enter(void);
void vs_nccl_leave(void);

/* A communicator that a call has just made, to be recorded once its rank and device can be asked. */
struct vs_nccl_new {
    vs_nccl_comm comm;
    vs_nccl_comm parent;
    uint64_t hash;
    uint64_t ts_ns;
    int32_t nranks, rank; /* -1: not known yet */
    int32_t color;
    uint8_t op; /* enum vs_comm_op */
};

/* Records it now, or at the end of the outermost group: inside one NCCL has not made it yet, and says so in its log when
 * asked. */
void vs_nccl_created(const struct vs_nccl_new *n, int result);
/* nccl_comm.c: records it now; asks NCCL for what is not known if `ready`. */
void vs_nccl_record_comm(const struct vs_nccl_new *n, int result, bool ready);

/* ---- nccl_map.c ---- */
struct vs_nccl_known {
    uint64_t hash; /* vs_rec_comm.id_hash */
    int32_t device;
    uint32_t children; /* splits and shrinks made of it so far */
};
/* Forgets what another process left. Each is a few loads; what does not fit is not known later. */
void vs_nccl_comm_put(vs_nccl_comm comm, uint64_t hash, int device);
bool vs_nccl_comm_get(vs_nccl_comm comm, struct vs_nccl_known *out);
/* As get, and counts one more child. */
bool vs_nccl_comm_child(vs_nccl_comm comm, struct vs_nccl_known *out);
void vs_nccl_comm_drop(vs_nccl_comm comm);
void vs_nccl_buffer_put(const void *handle, const void *address);
/* The buffer's address, 0: not known. */
uint64_t vs_nccl_buffer_take(const void *handle);
void vs_nccl_map_clear(void);

#endif
