/* SPDX-License-Identifier: MIT
 *
 * src_nccl.c: stands in front of NCCL's exported functions: the real functions, the guard around every call, groups, and
 * the wrappers of collectives and point-to-point calls.
 * Must never change what a call gets, returns or leaves in errno, and never copy what it points to.
 *
 * A call's begin is in the log before the call is passed on, so that a hanging collective is seen; its end when it has
 * returned. Inside a group NCCL only notes a call down; the outermost ncclGroupEnd launches them all, and may hang or fail.
 * So the calls of a group end with the group, by one record, except those refused at once. On the host a collective's time
 * is the time to enqueue it.
 */
#include "src_nccl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "caller.h"
#include "export.h"
#include "lookup.h"
#include "nccl_calls.h"
#include "source.h"

enum { PENDING = 4 }; /* static thread storage is scarce; a group makes one communicator per device of the process, or one */

static __thread struct {
    uint32_t epoch;
    uint32_t inside; /* wrappers of ours on this thread's stack */
    uint32_t group_depth;
    uint32_t group_calls; /* recorded in the open group */
    uint64_t group_id;
    uint32_t pending_count;
    struct vs_nccl_new pending[PENDING];
} tn __attribute__((tls_model("initial-exec")));

static uint32_t bound_epoch;   /* of the process in which a wrapper was called; atomic */
static uint32_t version_epoch; /* of the process whose log has NCCL's version; atomic */
static uint64_t last_id;       /* atomic */

/* ---- the real functions ---- */

static const char *const names[VS_NCCL_FNS] = {
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) "pnccl" #name,
#define CALL(name, params) "pnccl" #name,
#define PASS(name, params, args) "pnccl" #name,
#include "nccl_hooks.def"
    "pncclGetVersion", "pncclCommCount", "pncclCommUserRank", "pncclCommCuDevice",
};

#define COLL(name, op, send, recv, dtype, redop, peer, params, args) VS_EXPORT int nccl##name params;
#define CALL(name, params) VS_EXPORT int nccl##name params;
#define PASS(name, params, args) VS_EXPORT int nccl##name params;
#include "nccl_hooks.def"

static void *const wrappers[VS_NCCL_FNS] = {
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) __extension__(void *) nccl##name,
#define CALL(name, params) __extension__(void *) nccl##name,
#define PASS(name, params, args) __extension__(void *) nccl##name,
#include "nccl_hooks.def"
};

static bool usable(void *fn, enum vs_nccl_fn which)
{
    return fn && fn != wrappers[which];
}

/* First the next definition of the name itself: another tool may stand in front of NCCL behind us. Then NCCL's second
 * name for it, made for such tools. Then what lies in the caller's library, or where the first caller's was found. */
void *vs_nccl_real_for(enum vs_nccl_fn which, const void *caller)
{
    static const char *const nccl[] = {"libnccl.so.2", NULL};
    static void *real[VS_NCCL_FNS];
    static const void *home;
    void *fn = __atomic_load_n(&real[which], __ATOMIC_RELAXED);
    int saved;

    if (fn)
        return fn;
    saved = errno;
    fn = vs_lookup(names[which] + 1, nccl);
    if (!usable(fn, which))
        fn = vs_lookup(names[which], nccl);
    if (!usable(fn, which)) {
        fn = vs_lookup_near(caller, names[which] + 1);
        if (usable(fn, which))
            __atomic_store_n(&home, caller, __ATOMIC_RELAXED);
        else
            fn = vs_lookup_near(__atomic_load_n(&home, __ATOMIC_RELAXED), names[which] + 1);
    }
    if (!usable(fn, which))
        fn = NULL;
    __atomic_store_n(&real[which], fn, __ATOMIC_RELAXED);
    errno = saved;
    return fn;
}

/* ---- the guard ---- */

bool vs_nccl_bound(void)
{
    uint32_t epoch = __atomic_load_n(&bound_epoch, __ATOMIC_RELAXED);
    return epoch && epoch == vs_log_epoch();
}

uint64_t vs_nccl_next_id(void)
{
    return __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
}

static void tell_version(void)
{
    int (*real)(int *), version = 0;
    char text[32];
    int saved = errno;

    *(void **)&real = vs_nccl_real(VS_NCCL_GetVersion);
    if (real && !real(&version)) {
        if (version >= 10000)
            snprintf(text, sizeof text, "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
        else
            snprintf(text, sizeof text, "%d.%d.%d", version / 1000, version / 100 % 10, version % 100);
        vs_log_meta("nccl_version", text);
    }
    errno = saved;
}

/* Any NCCL call makes the process active, also one that leaves no record of its own. */
static void activate(void)
{
    void *r;
    if (vs_log_epoch())
        return;
    r = vs_log_begin(VS_K_COLL_END, sizeof(struct vs_rec_coll_end));
    if (r)
        vs_log_cancel(r);
}

bool vs_nccl_enter(void)
{
    uint32_t epoch, told;

    activate();
    epoch = vs_log_epoch();
    if (tn.epoch != epoch) { /* first call in this process; what is here is an ancestor's */
        memset(&tn, 0, sizeof tn);
        tn.epoch = epoch;
    }
    vs_marks()->nccl++;
    if (tn.inside++)
        return false;
    __atomic_store_n(&bound_epoch, epoch, __ATOMIC_RELAXED);
    told = __atomic_load_n(&version_epoch, __ATOMIC_RELAXED);
    if (epoch && told != epoch &&
        __atomic_compare_exchange_n(&version_epoch, &told, epoch, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        tell_version();
    return epoch != 0;
}

void vs_nccl_leave(void)
{
    if (tn.inside)
        tn.inside--;
    if (vs_marks()->nccl)
        vs_marks()->nccl--;
}

/* ---- groups ---- */

void vs_nccl_created(const struct vs_nccl_new *n, int result)
{
    if (!tn.group_depth)
        vs_nccl_record_comm(n, result, result == VS_NCCL_SUCCESS);
    else if (tn.pending_count < PENDING && (result == VS_NCCL_SUCCESS || result == VS_NCCL_IN_PROGRESS))
        tn.pending[tn.pending_count++] = *n;
    else
        vs_nccl_record_comm(n, result, false);
}

static void end_call(uint64_t id, bool group, int result)
{
    struct vs_rec_coll_end *r = vs_log_begin(VS_K_COLL_END, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, group, -1);
    r->id = id;
    r->ts_ns = vs_now();
    r->result = result;
    vs_log_commit(r);
}

static void group_ended(int result)
{
    uint32_t i, count = tn.pending_count;
    if (!tn.group_depth || --tn.group_depth)
        return;
    if (tn.group_calls)
        end_call(tn.group_id, true, result);
    tn.group_calls = 0;
    tn.group_id = 0;
    tn.pending_count = 0;
    for (i = 0; i < count; i++)
        vs_nccl_record_comm(&tn.pending[i], result, result == VS_NCCL_SUCCESS);
}

int ncclGroupStart(void)
{
    int (*real)(void), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_GroupStart);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real();
    if (outer && !result && !tn.group_depth++) {
        tn.group_id = vs_nccl_next_id();
        tn.group_calls = 0;
    }
    vs_nccl_leave();
    return result;
}

int ncclGroupEnd(void)
{
    int (*real)(void), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_GroupEnd);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real();
    if (outer)
        group_ended(result);
    vs_nccl_leave();
    return result;
}

int ncclGroupSimulateEnd(void *info)
{
    int (*real)(void *), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_GroupSimulateEnd);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(info);
    if (outer)
        group_ended(result);
    vs_nccl_leave();
    return result;
}

/* ---- collectives and point-to-point ---- */

struct call {
    int op, dtype, redop, peer;
    const void *send, *recv;
    size_t count;
    vs_nccl_comm comm;
    vs_cuda_stream stream;
};

/* The call's id, 0: not recorded. */
static uint64_t begin_call(const struct call *c)
{
    static const uint8_t type_bytes[VS_NCCL_TYPES] = VS_NCCL_TYPE_BYTES;
    struct vs_nccl_known known = {.device = -1};
    struct vs_rec_coll_begin *r;
    uint64_t id;

    vs_nccl_comm_get(c->comm, &known);
    r = vs_log_begin(VS_K_COLL_BEGIN, sizeof *r);
    if (!r)
        return 0;
    vs_rec_set(r, 0, known.device);
    id = r->id = vs_nccl_next_id();
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->comm = (uint64_t)(uintptr_t)c->comm;
    r->send_address = (uint64_t)(uintptr_t)c->send;
    r->recv_address = (uint64_t)(uintptr_t)c->recv;
    r->count = c->count;
    if (c->dtype >= 0 && c->dtype < VS_NCCL_TYPES)
        r->bytes = c->count * type_bytes[c->dtype];
    r->stream = (uint64_t)(uintptr_t)c->stream;
    r->range = vs_thread_range();
    r->group = tn.group_depth ? tn.group_id : 0;
    r->op = (uint32_t)c->op;
    r->dtype = c->dtype;
    r->redop = c->redop;
    r->peer = c->peer;
    vs_log_commit(r);
    if (c->dtype < 0 || c->dtype >= VS_NCCL_TYPES)
        vs_log_lost(VS_SRC_NCCL, VS_LOST_UNKNOWN, 1); /* a type newer than this table: its bytes */
    if (tn.group_depth)
        tn.group_calls++;
    return id;
}

#define COLL(name, opcode, sendarg, recvarg, dtypearg, redoparg, peerarg, params, args)                            \
    int nccl##name params                                                                                          \
    {                                                                                                              \
        int(*real) params, result;                                                                                 \
        uint64_t id = 0;                                                                                           \
        *(void **)&real = vs_nccl_real(VS_NCCL_##name);                                                            \
        if (!real)                                                                                                 \
            return VS_NCCL_SYSTEM_ERROR;                                                                           \
        if (vs_nccl_enter()) {                                                                                     \
            const struct call c = {VS_COLL_##opcode, dtypearg, redoparg, peerarg, sendarg, recvarg, count, comm, stream}; \
            id = begin_call(&c);                                                                                   \
        }                                                                                                          \
        result = real args;                                                                                        \
        if (id && (result || !tn.group_depth))                                                                     \
            end_call(id, false, result);                                                                           \
        vs_nccl_leave();                                                                                           \
        return result;                                                                                             \
    }
#define PASS(name, params, args)                                                                                   \
    int nccl##name params                                                                                          \
    {                                                                                                              \
        int(*real) params, result;                                                                                 \
        *(void **)&real = vs_nccl_real(VS_NCCL_##name);                                                            \
        if (!real)                                                                                                 \
            return VS_NCCL_SYSTEM_ERROR;                                                                           \
        vs_nccl_enter();                                                                                           \
        result = real args;                                                                                        \
        vs_nccl_leave();                                                                                           \
        return result;                                                                                             \
    }
#include "nccl_hooks.def"

/* Communicators do not survive a fork. Numbers begin again, as everything in a child's log does. */
static void fork_child(void)
{
    __atomic_store_n(&last_id, 0, __ATOMIC_RELAXED);
    vs_nccl_map_clear();
}

const struct vs_source_ops vs_source_nccl = {.name = "nccl", .fork_child = fork_child};
