/* SPDX-License-Identifier: MIT
 *
 * comm_shared.c: collectives between processes of one host, by copies through a segment (comm_segment.h): every rank puts its piece
 * into its slot, all meet, every rank takes what it needs from all slots. It starts no thread and keeps no buffer of its own.
 *
 * In every round ranks also compare what they are doing: all see the same, so either all go on or all return -EPROTO.
 * Sums are made in rank order, in the part's own type; of halves in float, rounded once.
 */
#include "kernels/comm.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kernels/comm_nvtx.h"
#include "kernels/comm_segment.h"
#include "kernels/comm_sum.h"

struct shared_comm {
    struct vs_segment *segment;
    uint64_t hash, operations;
    int rank, world;
    atomic_int failed; /* what all later operations return */
    bool made, aborted;
    struct shared_comm *next;
    char name[32];
};

/* What is open: another thread's abort may come when this one has just closed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared_comm *all;

static int failed(const struct shared_comm *c, int err)
{
    char why[256];
    snprintf(why, sizeof why, "%s", vs_segment_error());
    return vs_segment_failed(err, "%s: %s", c->name, why);
}

/* ---- open, close, abort ---- */

static int make_id(struct vs_comm_id *id)
{
    for (size_t at = 0; at < sizeof id->bytes;) {
        ssize_t n = getrandom(id->bytes + at, sizeof id->bytes - at, 0);
        if (n < 0 && errno != EINTR) return vs_segment_failed(-EIO, "no random numbers: %s", strerror(errno));
        if (n > 0) at += (size_t)n;
    }
    return 0;
}

static int open_comm(const struct vs_comm_id *id, int rank, int world, const char *name, void **comm)
{
    struct vs_segment *segment;
    __atomic_store_n(comm, NULL, __ATOMIC_RELAXED);
    int err = vs_segment_make(&segment, id->bytes, rank, world);
    if (err) return err;
    struct shared_comm *c = calloc(1, sizeof *c);
    if (!c) {
        vs_segment_close(segment);
        return vs_segment_failed(-ENOMEM, "no memory");
    }
    *c = (struct shared_comm){.segment = segment, .rank = rank, .world = world};
    snprintf(c->name, sizeof c->name, "%s", name ? name : "communicator");
    memcpy(&c->hash, id->bytes + 16, sizeof c->hash); /* not of the bytes that are the name's */
    c->hash |= 1;                                     /* recorders take 0 for none */
    pthread_mutex_lock(&lock);
    c->next = all;
    all = c;
    pthread_mutex_unlock(&lock);
    __atomic_store_n(comm, c, __ATOMIC_RELEASE);
    vs_comm_nvtx_open();
    err = vs_segment_meet(segment);
    c->made = !err;
    vs_comm_nvtx_opened(c->hash, rank, world, c->made);
    if (!err) return 0;
    c->failed = err;
    return failed(c, err);
}

static void close_comm(void *comm)
{
    struct shared_comm *c = comm, **at;
    if (!c) return;
    pthread_mutex_lock(&lock);
    for (at = &all; *at && *at != c;) at = &(*at)->next;
    if (*at) *at = c->next;
    pthread_mutex_unlock(&lock);
    if (c->made && !c->aborted) vs_comm_nvtx_closed(c->hash, c->rank, c->world);
    vs_segment_close(c->segment);
    free(c);
}

static void abort_comm(void *comm)
{
    struct shared_comm *c;
    pthread_mutex_lock(&lock);
    for (c = all; c && c != comm;) c = c->next;
    if (c && !c->aborted) {
        c->aborted = true;
        vs_segment_stop(c->segment);
        vs_comm_nvtx_aborted(c->hash, c->rank, c->world);
    }
    pthread_mutex_unlock(&lock);
}

static int check(void *comm)
{
    struct shared_comm *c = comm;
    int err = c->failed;
    if (err) return vs_segment_failed(err, "%s: failed before", c->name);
    return vs_segment_stopped(c->segment) ? failed(c, -ECANCELED) : 0;
}

/* ---- agreement ---- */

static const char *describe(const struct vs_segment_task *t, char *out, size_t bytes)
{
    static const char *const kinds[VS_COMM_KIND_COUNT] = {
#define X(name, schema, function, reduces) #name,
        VS_COMM_KINDS(X)
#undef X
    };
    static const char *const dtypes[VS_COMM_DTYPE_COUNT] = {
#define X(name, size) #name,
        VS_COMM_DTYPES(X)
#undef X
    };
    int n = snprintf(out, bytes, "%s %llu of %llu bytes (%s", kinds[t->kind % VS_COMM_KIND_COUNT], (unsigned long long)t->number,
                     (unsigned long long)t->bytes, t->dtype < VS_COMM_DTYPE_COUNT ? dtypes[t->dtype] : "nothing");
    snprintf(out + n, bytes - (size_t)n, t->parts > 1 ? ", %u parts)" : ")", t->parts);
    return out;
}

/* All ranks compare the same rows, so all find the same. */
static int agree(const struct shared_comm *c, const struct vs_segment_task *mine)
{
    char here[96], there[96];
    for (int r = 0; r < c->world; r++) {
        const struct vs_segment_task *other = vs_segment_task(c->segment, r);
        if (!memcmp(other, mine, sizeof *mine)) continue;
        describe(other, there, sizeof there);
        describe(mine, here, sizeof here);
        vs_segment_failed(0, "rank %d is in %s, this rank in %s%s", r, there, here, strcmp(here, there) ? "" : " of other parts");
        return -EPROTO;
    }
    return 0;
}

/* ---- operations ---- */

struct operation {
    enum vs_comm_kind kind;
    const struct vs_comm_part *parts;
    size_t count;
    struct vs_segment_task task;
};

static int invalid(const struct shared_comm *c, const struct operation *o)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct vs_comm_part *p = &o->parts[i];
        size_t bytes = vs_comm_dtype_bytes(p->dtype), total;
        if (!bytes || (p->count && (!p->send || !p->recv)))
            return vs_segment_failed(-EINVAL, "part %zu has no buffers, or a type that is none", i);
        if (__builtin_mul_overflow(p->count, bytes, &total) || __builtin_mul_overflow(total, (size_t)c->world, &total))
            return vs_segment_failed(-EINVAL, "part %zu: %zu elements are too many", i, p->count);
        if (o->kind == VS_COMM_KIND_reduce_scatter && p->dtype != VS_COMM_fp32 && p->dtype != VS_COMM_fp64)
            return vs_segment_failed(-EINVAL, "reduce_scatter: fp32 and fp64 only");
    }
    return 0;
}

static void describe_parts(struct operation *o)
{
    struct vs_segment_task *t = &o->task;
    t->kind = o->kind;
    t->dtype = o->count ? o->parts[0].dtype : VS_COMM_DTYPE_COUNT;
    t->parts = (uint32_t)o->count;
    t->shape = 14695981039346656037u;
    for (size_t i = 0; i < o->count; i++) {
        t->bytes += o->parts[i].count * vs_comm_dtype_bytes(o->parts[i].dtype);
        t->shape = (t->shape ^ o->parts[i].count) * 1099511628211u;
        t->shape = (t->shape ^ o->parts[i].dtype) * 1099511628211u;
    }
}

/* Each rank gets other elements. */
static bool deals(const struct operation *o)
{
    return o->kind == VS_COMM_KIND_reduce_scatter || o->kind == VS_COMM_KIND_all_to_all;
}

/* This rank's elements first .. first + n of the part, into its slot; where each rank gets others, one rank's after the other's. */
static void stage(const struct shared_comm *c, const struct operation *o, const struct vs_comm_part *p, size_t first, size_t n)
{
    size_t size = vs_comm_dtype_bytes(p->dtype);
    char *to = vs_segment_mine(c->segment);
    const char *from = (const char *)p->send + first * size;
    if (!deals(o))
        memcpy(to, from, n * size);
    else
        for (size_t r = 0; r < (size_t)c->world; r++)
            memcpy(to + r * n * size, from + r * p->count * size, n * size);
}

static void collect(const struct shared_comm *c, const struct operation *o, const struct vs_comm_part *p, size_t first, size_t n)
{
    const void *slots[VS_SEGMENT_RANKS];
    size_t size = vs_comm_dtype_bytes(p->dtype), at = deals(o) ? (size_t)c->rank * n * size : 0;
    char *to = (char *)p->recv + first * size;
    for (int r = 0; r < c->world; r++) slots[r] = (const char *)vs_segment_slot(c->segment, r) + at;
    if (o->kind == VS_COMM_KIND_all_gather || o->kind == VS_COMM_KIND_all_to_all)
        for (size_t r = 0; r < (size_t)c->world; r++) memcpy(to + r * p->count * size, slots[r], n * size);
    else
        vs_comm_sum(p->dtype, to, slots, (size_t)c->world, n);
}

static int run_part(struct shared_comm *c, struct operation *o, const struct vs_comm_part *p)
{
    size_t size = vs_comm_dtype_bytes(p->dtype), room = vs_segment_slot_bytes(c->segment) / size, first = 0, n;
    if (deals(o)) room /= (size_t)c->world;
    o->task.round = 0;
    do { /* once, at least: ranks agree on nothing, too */
        n = p->count - first < room ? p->count - first : room;
        if (n) stage(c, o, p, first, n);
        int err = vs_segment_round(c->segment, &o->task);
        if (!err) err = agree(c, &o->task);
        if (err) return err;
        if (n) collect(c, o, p, first, n);
        o->task.round++;
    } while ((first += n) < p->count);
    return 0;
}

/* A range of each part: recorders know no operation of several, and the parts do run one after the other. */
static int run(struct shared_comm *c, struct operation *o)
{
    static const struct vs_comm_part nothing;
    int err = c->failed;
    if (err) return vs_segment_failed(err, "%s: failed before", c->name);
    err = invalid(c, o);
    if (err) return failed(c, err);
    describe_parts(o);
    o->task.number = c->operations++;
    if (!o->count) err = run_part(c, o, &nothing);
    for (size_t i = 0; !err && i < o->count; i++) {
        const struct vs_comm_part *p = &o->parts[i];
        o->task.part = (uint32_t)i;
        vs_comm_nvtx_begin(o->kind, c->hash, p->count * vs_comm_dtype_bytes(p->dtype));
        err = run_part(c, o, p);
        vs_comm_nvtx_end();
    }
    if (!err) return 0;
    c->failed = err;
    return failed(c, err);
}

static int all_gather(void *comm, const struct vs_comm_part *parts, size_t count, void *stream)
{
    (void)stream;
    return run(comm, &(struct operation){.kind = VS_COMM_KIND_all_gather, .parts = parts, .count = count});
}

static int all_to_all(void *comm, const struct vs_comm_part *parts, size_t count, void *stream)
{
    (void)stream;
    return run(comm, &(struct operation){.kind = VS_COMM_KIND_all_to_all, .parts = parts, .count = count});
}

static int reduce_scatter(void *comm, const struct vs_comm_part *parts, size_t count, void *stream)
{
    (void)stream;
    return run(comm, &(struct operation){.kind = VS_COMM_KIND_reduce_scatter, .parts = parts, .count = count});
}

static int all_reduce(void *comm, const void *send, void *recv, size_t count, enum vs_comm_dtype dtype, void *stream)
{
    struct vs_comm_part part = {send, recv, count, dtype};
    (void)stream;
    return run(comm, &(struct operation){.kind = VS_COMM_KIND_all_reduce, .parts = &part, .count = 1});
}

const struct vs_comm vs_comm_shared_memory = {
    .kind = "shared memory",
    .make_id = make_id,
    .open = open_comm,
    .close = close_comm,
    .abort = abort_comm,
    .all_gather = all_gather,
    .all_to_all = all_to_all,
    .reduce_scatter = reduce_scatter,
    .all_reduce = all_reduce,
    .check = check,
    .last_error = vs_segment_error,
};
