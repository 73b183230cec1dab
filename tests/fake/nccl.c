/* SPDX-License-Identifier: MIT
 *
 * fake/nccl.c: stand-in for libnccl.so.2: every function twice, weak ncclX and strong pncclX, as the real one has them.
 * Keeps communicators in memory, counts calls, checks that nobody asks about a communicator before it is made, and leaves
 * a known errno behind. Must never touch a GPU.
 *
 * FAKE_NCCL_FAIL=X:N       pncclX returns N, counted from its first call on
 * FAKE_NCCL_IN_PROGRESS=1  communicators are non-blocking: made, but calls return ncclInProgress (7)
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/nccl_abi.h"

#define EXPORTED __attribute__((visibility("default")))

enum fn {
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) FN_##name,
#define CALL(name, params) FN_##name,
#define PASS(name, params, args) FN_##name,
#include "profiler/nccl_hooks.def"
    FNS
};
static const char *const names[FNS] = {
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) #name,
#define CALL(name, params) #name,
#define PASS(name, params, args) #name,
#include "profiler/nccl_hooks.def"
};
static unsigned calls[FNS];
static uint64_t bytes_seen;
static __thread int group_depth;

struct comm {
    int nranks, rank, device, ready;
};

#define TWICE(name, params) \
    EXPORTED int pnccl##name params; \
    EXPORTED int nccl##name params __attribute__((weak, alias("pnccl" #name)));
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) TWICE(name, params)
#define CALL(name, params) TWICE(name, params)
#define PASS(name, params, args) TWICE(name, params)
#include "profiler/nccl_hooks.def"
TWICE(GetVersion, (int *version))
TWICE(CommCount, (const struct comm *comm, int *out))
TWICE(CommUserRank, (const struct comm *comm, int *out))
TWICE(CommCuDevice, (const struct comm *comm, int *out))

EXPORTED unsigned fake_nccl_calls(const char *name);
EXPORTED uint64_t fake_nccl_bytes(void);
unsigned fake_nccl_calls(const char *name)
{
    int i;
    for (i = 0; i < FNS; i++)
        if (!strcmp(names[i], name))
            return __atomic_load_n(&calls[i], __ATOMIC_RELAXED);
    return 0;
}
uint64_t fake_nccl_bytes(void)
{
    return bytes_seen;
}

static int called(enum fn f)
{
    const char *fail = getenv("FAKE_NCCL_FAIL");
    size_t n = strlen(names[f]);
    __atomic_fetch_add(&calls[f], 1, __ATOMIC_RELAXED);
    errno = ERANGE;
    return fail && !strncmp(fail, names[f], n) && fail[n] == ':' ? atoi(fail + n + 1) : 0;
}

static int non_blocking(void)
{
    return getenv("FAKE_NCCL_IN_PROGRESS") != NULL;
}

static int new_comm(vs_nccl_comm *out, int nranks, int rank)
{
    struct comm *c = calloc(1, sizeof *c);
    if (!c)
        return 2;
    *c = (struct comm){nranks, rank, rank % 8, !group_depth && !non_blocking()};
    *out = c;
    return non_blocking() ? 7 : 0;
}

static void must_be_ready(const struct comm *c)
{
    if (!c->ready && (group_depth || non_blocking())) {
        fprintf(stderr, "fake nccl: asked about a communicator that is not made yet\n");
        abort();
    }
}

int pncclGetVersion(int *version)
{
    *version = 22809;
    return 0;
}
int pncclCommCount(const struct comm *c, int *out)
{
    must_be_ready(c);
    errno = EINVAL;
    *out = c->nranks;
    return 0;
}
int pncclCommUserRank(const struct comm *c, int *out)
{
    must_be_ready(c);
    *out = c->rank;
    return 0;
}
int pncclCommCuDevice(const struct comm *c, int *out)
{
    must_be_ready(c);
    *out = c->device;
    return 0;
}

static void work(size_t count, int dtype, vs_nccl_comm comm, vs_cuda_stream stream)
{
    static const uint8_t type_bytes[VS_NCCL_TYPES] = VS_NCCL_TYPE_BYTES;
    (void)comm;
    (void)stream;
    __atomic_fetch_add(&bytes_seen, count * type_bytes[dtype % VS_NCCL_TYPES], __ATOMIC_RELAXED);
}

/* ncclBcast calls the exported ncclBroadcast, as the real one does. */
int pncclBcast(void *buff, size_t count, int datatype, int root, vs_nccl_comm comm, vs_cuda_stream stream)
{
    int result = called(FN_Bcast);
    return result ? result : ncclBroadcast(buff, buff, count, datatype, root, comm, stream);
}

#define PLAIN(name)                                 \
    {                                               \
        int result = called(FN_##name);             \
        work(count, datatype, comm, stream);        \
        return result;                              \
    }
int pncclAllReduce(const void *s, void *r, size_t count, int datatype, int op, vs_nccl_comm comm, vs_cuda_stream stream)
{
    (void)s, (void)r, (void)op;
    PLAIN(AllReduce)
}
int pncclReduceScatter(const void *s, void *r, size_t count, int datatype, int op, vs_nccl_comm comm, vs_cuda_stream stream)
{
    (void)s, (void)r, (void)op;
    PLAIN(ReduceScatter)
}
#define SIMPLE(name)                                                                                                    \
    int pnccl##name(const void *s, void *r, size_t count, int datatype, vs_nccl_comm comm, vs_cuda_stream stream)       \
    {                                                                                                                   \
        (void)s, (void)r;                                                                                               \
        PLAIN(name)                                                                                                     \
    }
SIMPLE(AllGather)
SIMPLE(AlltoAll)
#define ROOTED(name)                                                                                                    \
    int pnccl##name(const void *s, void *r, size_t count, int datatype, int root, vs_nccl_comm comm, vs_cuda_stream stream) \
    {                                                                                                                   \
        (void)s, (void)r, (void)root;                                                                                   \
        PLAIN(name)                                                                                                     \
    }
ROOTED(Broadcast)
ROOTED(Gather)
ROOTED(Scatter)
int pncclReduce(const void *s, void *r, size_t count, int datatype, int op, int root, vs_nccl_comm comm, vs_cuda_stream stream)
{
    (void)s, (void)r, (void)op, (void)root;
    PLAIN(Reduce)
}
int pncclSend(const void *s, size_t count, int datatype, int peer, vs_nccl_comm comm, vs_cuda_stream stream)
{
    (void)s, (void)peer;
    PLAIN(Send)
}
int pncclRecv(void *r, size_t count, int datatype, int peer, vs_nccl_comm comm, vs_cuda_stream stream)
{
    (void)r, (void)peer;
    PLAIN(Recv)
}

int pncclGroupStart(void)
{
    int result = called(FN_GroupStart);
    if (!result)
        group_depth++;
    return result;
}
int pncclGroupEnd(void)
{
    int result = called(FN_GroupEnd);
    if (!group_depth)
        return 5;
    group_depth--;
    return result;
}
int pncclGroupSimulateEnd(void *info)
{
    (void)info;
    called(FN_GroupSimulateEnd);
    if (!group_depth)
        return 5;
    group_depth--;
    return 0;
}

int pncclCommInitRank(vs_nccl_comm *comm, int nranks, struct vs_nccl_id id, int rank)
{
    int result = called(FN_CommInitRank);
    (void)id;
    return result ? result : new_comm(comm, nranks, rank);
}
int pncclCommInitRankConfig(vs_nccl_comm *comm, int nranks, struct vs_nccl_id id, int rank, void *config)
{
    int result = called(FN_CommInitRankConfig);
    (void)id;
    if (config != (void *)0x1234) /* forwarded, never copied */
        return 4;
    return result ? result : new_comm(comm, nranks, rank);
}
int pncclCommInitRankScalable(vs_nccl_comm *comm, int nranks, int rank, int ids_count, struct vs_nccl_id *ids, void *config)
{
    int result = called(FN_CommInitRankScalable);
    (void)ids_count, (void)ids, (void)config;
    return result ? result : new_comm(comm, nranks, rank);
}
int pncclCommInitAll(vs_nccl_comm *comms, int count, const int *devices)
{
    int i, result = called(FN_CommInitAll);
    struct vs_nccl_id id;
    memset(&id, 1, sizeof id);
    ncclGroupStart(); /* the real one works through the exported names too */
    for (i = 0; i < count && !result; i++) {
        result = ncclCommInitRank(&comms[i], count, id, i);
        if (!result)
            ((struct comm *)comms[i])->device = devices ? devices[i] : i;
    }
    ncclGroupEnd();
    return result;
}
int pncclCommSplit(vs_nccl_comm comm, int color, int key, vs_nccl_comm *out, void *config)
{
    int result = called(FN_CommSplit);
    struct comm *c = comm;
    (void)key, (void)config;
    *out = NULL;
    if (result || color < 0)
        return result;
    return new_comm(out, c->nranks / 2, c->rank / 2);
}
int pncclCommShrink(vs_nccl_comm comm, int *exclude, int exclude_count, vs_nccl_comm *out, void *config, int flags)
{
    int result = called(FN_CommShrink);
    struct comm *c = comm;
    (void)exclude, (void)config, (void)flags;
    return result ? result : new_comm(out, c->nranks - exclude_count, c->rank);
}
int pncclCommRevoke(vs_nccl_comm comm, int flags)
{
    (void)comm, (void)flags;
    return called(FN_CommRevoke);
}
int pncclCommFinalize(vs_nccl_comm comm)
{
    (void)comm;
    return called(FN_CommFinalize);
}
int pncclCommDestroy(vs_nccl_comm comm)
{
    int result = called(FN_CommDestroy);
    free(comm);
    return result;
}
int pncclCommAbort(vs_nccl_comm comm)
{
    int result = called(FN_CommAbort);
    free(comm);
    return result;
}
int pncclMemAlloc(void **out, size_t bytes)
{
    int result = called(FN_MemAlloc);
    *out = result ? NULL : malloc(bytes);
    errno = ERANGE;
    return result;
}
int pncclMemFree(void *address)
{
    free(address);
    return called(FN_MemFree);
}
int pncclCommRegister(vs_nccl_comm comm, void *buffer, size_t bytes, void **handle)
{
    (void)comm, (void)bytes;
    *handle = (char *)buffer + 1;
    return called(FN_CommRegister);
}
int pncclCommDeregister(vs_nccl_comm comm, void *handle)
{
    (void)comm, (void)handle;
    return called(FN_CommDeregister);
}
int pncclCommWindowRegister(vs_nccl_comm comm, void *buffer, size_t bytes, void **window, int flags)
{
    (void)comm, (void)bytes, (void)flags;
    *window = (char *)buffer + 2;
    return called(FN_CommWindowRegister);
}
int pncclCommWindowDeregister(vs_nccl_comm comm, void *window)
{
    (void)comm, (void)window;
    return called(FN_CommWindowDeregister);
}
int pncclDevCommCreate(vs_nccl_comm comm, const void *requirements, void *out)
{
    (void)comm, (void)requirements, (void)out;
    return called(FN_DevCommCreate);
}
int pncclDevCommDestroy(vs_nccl_comm comm, const void *dev_comm)
{
    (void)comm, (void)dev_comm;
    return called(FN_DevCommDestroy);
}
