/* SPDX-License-Identifier: MIT */
/* link: -l:libnccl.so.2 -ldl -lpthread */
/*
 * nccl_oracle.c: a program with exactly known NCCL calls, linked against the stand-in for libnccl. Takes the prototypes
 * from profiler/nccl_hooks.def, nothing else of the profiler. Exit status 0: every call reached NCCL once, and results and
 * errno were what NCCL left.
 *
 * nccl_oracle calls    3 communicators; each collective once, 3 in one group (nested), 2 in another; memory; registrations
 * nccl_oracle fail     calls that NCCL refuses (FAKE_NCCL_FAIL=AllReduce:5)
 * nccl_oracle progress non-blocking communicators (FAKE_NCCL_IN_PROGRESS=1)
 * nccl_oracle all      ncclCommInitAll of 4, one split made inside a group
 * nccl_oracle threads T N   T threads with N calls each
 * nccl_oracle none     nothing of NCCL but a look at its version
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/nccl_abi.h"

#define COLL(name, op, send, recv, dtype, redop, peer, params, args) int nccl##name params;
#define CALL(name, params) int nccl##name params;
#define PASS(name, params, args) int nccl##name params;
#include "profiler/nccl_hooks.def"
int ncclGetVersion(int *version);
unsigned fake_nccl_calls(const char *name);
uint64_t fake_nccl_bytes(void);

static int wrong;
#define CHECK(x)                                            \
    do {                                                    \
        if (!(x)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #x); \
            wrong = 1;                                      \
        }                                                   \
    } while (0)
#define CALLED(x, result)        \
    do {                         \
        errno = 0;               \
        CHECK((x) == (result));  \
        CHECK(errno == ERANGE);  \
    } while (0)

static char send[4096], recv[4096];
static vs_cuda_stream stream = (void *)0x5151;

static void collectives(vs_nccl_comm c)
{
    CALLED(ncclAllReduce(send, recv, 100, 7, 0, c, stream), 0);   /* 400 bytes */
    CALLED(ncclAllGather(send, recv, 10, 6, c, stream), 0);       /* 20 */
    CALLED(ncclReduceScatter(send, recv, 3, 8, 4, c, stream), 0); /* 24 */
    CALLED(ncclBroadcast(send, recv, 5, 0, 1, c, stream), 0);     /* 5 */
    CALLED(ncclBcast(send, 6, 1, 2, c, stream), 0);               /* 6 */
    CALLED(ncclReduce(send, recv, 7, 9, 2, 3, c, stream), 0);     /* 14 */
    CALLED(ncclAlltoAll(send, recv, 8, 4, c, stream), 0);         /* 64 */
    CALLED(ncclGather(send, recv, 9, 5, 0, c, stream), 0);        /* 72 */
    CALLED(ncclScatter(send, recv, 11, 10, 1, c, stream), 0);     /* 11 */
    CALLED(ncclSend(send, 12, 2, 1, c, stream), 0);               /* 48 */
    CALLED(ncclRecv(recv, 13, 3, 0, c, stream), 0);               /* 52: 716 in all */
}

static void groups(vs_nccl_comm c)
{
    CALLED(ncclGroupStart(), 0);
    CALLED(ncclSend(send, 1, 0, 1, c, stream), 0);
    CALLED(ncclGroupStart(), 0);
    CALLED(ncclRecv(recv, 1, 0, 1, c, stream), 0);
    CALLED(ncclGroupEnd(), 0);
    CALLED(ncclAllReduce(send, recv, 1, 0, 0, c, stream), 0);
    CALLED(ncclGroupEnd(), 0);
    CALLED(ncclGroupStart(), 0);
    CALLED(ncclGroupEnd(), 0); /* empty: nothing to record */
    CALLED(ncclGroupStart(), 0);
    CALLED(ncclAllReduce(send, recv, 1, 0, 0, c, stream), 0);
    CALLED(ncclAllReduce(send, recv, 1, 99, 0, c, stream), 0); /* a type of the future */
    CALLED(ncclGroupSimulateEnd(NULL), 0);
    CALLED(ncclGroupEnd(), 5); /* one too many */
}

static void memory(vs_nccl_comm c)
{
    void *p = NULL, *handle = NULL, *window = NULL;
    CALLED(ncclMemAlloc(&p, 8192), 0);
    CALLED(ncclCommRegister(c, p, 8192, &handle), 0);
    CALLED(ncclCommWindowRegister(c, p, 4096, &window, 1), 0);
    CALLED(ncclCommWindowDeregister(c, window), 0);
    CALLED(ncclCommDeregister(c, handle), 0);
    CALLED(ncclMemFree(p), 0);
    CALLED(ncclDevCommCreate(c, NULL, NULL), 0);
    CALLED(ncclDevCommDestroy(c, NULL), 0);
}

static void calls(void)
{
    struct vs_nccl_id id;
    vs_nccl_comm a = NULL, b = NULL, c = NULL, d = NULL, e = NULL;

    memset(&id, 7, sizeof id);
    CALLED(ncclCommInitRank(&a, 4, id, 1), 0);
    CALLED(ncclCommInitRankConfig(&b, 4, id, 2, (void *)0x1234), 0);
    CALLED(ncclCommInitRankScalable(&c, 4, 3, 1, &id, NULL), 0);
    CALLED(ncclCommSplit(a, 0, 0, &d, NULL), 0);
    CHECK(d);
    CALLED(ncclCommSplit(a, -1, 0, &e, NULL), 0); /* no colour: no communicator */
    CHECK(!e);
    CALLED(ncclCommShrink(a, NULL, 1, &e, NULL, 0), 0);
    collectives(a);
    groups(a);
    memory(a);
    CHECK(fake_nccl_bytes() == 716 + 4 + 4);
    CHECK(fake_nccl_calls("Bcast") == 1 && fake_nccl_calls("Broadcast") == 2 && fake_nccl_calls("AllReduce") == 4);
    CALLED(ncclCommRevoke(e, 0), 0);
    CALLED(ncclCommFinalize(a), 0);
    CALLED(ncclCommDestroy(a), 0);
    CALLED(ncclCommAbort(b), 0);
    CALLED(ncclCommDestroy(c), 0);
    CALLED(ncclCommDestroy(d), 0);
    CALLED(ncclCommDestroy(e), 0);
}

static void all(void)
{
    vs_nccl_comm comms[4], child = NULL;
    const int devices[4] = {3, 2, 1, 0};
    int i;
    CALLED(ncclCommInitAll(comms, 4, devices), 0);
    CALLED(ncclGroupStart(), 0);
    CALLED(ncclCommSplit(comms[0], 5, 0, &child, NULL), 0);
    CALLED(ncclGroupEnd(), 0);
    for (i = 0; i < 4; i++)
        CALLED(ncclAllReduce(send, recv, 1, 0, 0, comms[i], stream), 0);
}

static void fail(void)
{
    struct vs_nccl_id id;
    vs_nccl_comm a = NULL;
    memset(&id, 7, sizeof id);
    CALLED(ncclCommInitRank(&a, 2, id, 0), 0);
    CALLED(ncclAllReduce(send, recv, 1, 0, 0, a, stream), 5);
}

static void progress(void)
{
    struct vs_nccl_id id;
    vs_nccl_comm a = NULL, b = NULL;
    memset(&id, 7, sizeof id);
    CALLED(ncclCommInitRankConfig(&a, 2, id, 1, (void *)0x1234), 7);
    CALLED(ncclCommSplit(a, 0, 0, &b, NULL), 7);
}

static long per_thread;
static void *worker(void *arg)
{
    long i;
    for (i = 0; i < per_thread; i++) {
        ncclGroupStart();
        ncclAllReduce(send, recv, 1, 0, 0, arg, stream);
        ncclAllReduce(send, recv, 1, 0, 0, arg, stream);
        ncclGroupEnd();
    }
    return NULL;
}

static void threads(int count, long n)
{
    pthread_t *t = calloc((size_t)count, sizeof *t);
    struct vs_nccl_id id;
    vs_nccl_comm a = NULL;
    int i;
    memset(&id, 7, sizeof id);
    ncclCommInitRank(&a, 2, id, 0);
    per_thread = n;
    for (i = 0; i < count; i++)
        pthread_create(&t[i], NULL, worker, a);
    for (i = 0; i < count; i++)
        pthread_join(t[i], NULL);
    free(t);
    CHECK(fake_nccl_calls("AllReduce") == (unsigned)(count * n * 2));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "calls";
    int version = 0;
    if (!strcmp(what, "calls"))
        calls();
    else if (!strcmp(what, "all"))
        all();
    else if (!strcmp(what, "fail"))
        fail();
    else if (!strcmp(what, "progress"))
        progress();
    else if (!strcmp(what, "threads") && argc == 4)
        threads(atoi(argv[2]), atol(argv[3]));
    else if (!strcmp(what, "none"))
        CHECK(!ncclGetVersion(&version) && version == 22809);
    else
        return 4;
    return wrong;
}
