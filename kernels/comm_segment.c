/* SPDX-License-Identifier: MIT
 *
 * comm_segment.c: see comm_segment.h. All zeros is the valid first state, so no rank is the one that sets things up.
 *
 * One wait per round is enough: who has told round g has read all of round g - 1, so the slots of g - 1 may be filled for g + 1.
 * Waiting gives way to others a few times (ranks may be more than cores), then sleeps on the word waited for.
 */
#include "kernels/comm_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define LARGEST_SLOT ((size_t)512 << 10) /* two of them per rank */
#define ALL_SLOTS ((size_t)16 << 20)     /* a container's /dev/shm often has 64 MiB */
#define YIELDS 20
/* A wake-up can be missed in the moment between looking and sleeping. */
#define SLEEP_NS 10000000

struct shared_word {
    atomic_uint value, waiters;
};
struct shared_rank {
    _Alignas(64) struct shared_word round; /* that its slot is filled for */
    atomic_uint here, closed;
    struct vs_segment_task tasks[2]; /* double, as the slots are */
};
struct shared {
    _Alignas(64) struct shared_word attached;
    atomic_uint world, stopped; /* 1 + the rank that stopped it */
    struct shared_rank ranks[];
};

struct vs_segment {
    struct shared *shared;
    char *slots;
    size_t slot_bytes, mapped_bytes;
    int rank, world;
    unsigned round;
    char path[64]; /* "" : no name */
};

static _Thread_local char text[256];

const char *vs_segment_error(void)
{
    return text;
}

int vs_segment_failed(int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err;
}

/* ---- waiting ---- */

static bool reached(const struct shared_word *w, unsigned least)
{
    return (int)(atomic_load(&w->value) - least) >= 0;
}

static void wake(struct shared_word *w)
{
    if (atomic_load(&w->waiters)) syscall(SYS_futex, &w->value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void sleep_on(struct shared_word *w, unsigned seen)
{
    struct timespec limit = {.tv_nsec = SLEEP_NS};
    atomic_fetch_add(&w->waiters, 1);
    syscall(SYS_futex, &w->value, FUTEX_WAIT, seen, &limit, NULL, 0); /* returns at once if it is not what was seen */
    atomic_fetch_sub(&w->waiters, 1);
}

static int stopped(const struct vs_segment *s)
{
    int by = (int)atomic_load(&s->shared->stopped) - 1;
    if (by < 0) return 0;
    return by == s->rank ? vs_segment_failed(-ECANCELED, "stopped") : vs_segment_failed(-ECANCELED, "stopped by rank %d", by);
}

/* gone: set when the word will not move any more. */
static int wait_for(const struct vs_segment *s, struct shared_word *w, unsigned least, const atomic_uint *gone)
{
    for (int i = 0; i < YIELDS; i++) {
        if (reached(w, least)) return 0;
        sched_yield();
    }
    for (;;) {
        unsigned closed = gone && atomic_load(gone), seen = atomic_load(&w->value);
        if ((int)(seen - least) >= 0) return 0;
        if (closed) return -EPROTO;
        if (stopped(s)) return -ECANCELED;
        sleep_on(w, seen);
    }
}

bool vs_segment_stopped(const struct vs_segment *s)
{
    return stopped(s) != 0;
}

void vs_segment_stop(struct vs_segment *s)
{
    unsigned none = 0;
    atomic_compare_exchange_strong(&s->shared->stopped, &none, (unsigned)s->rank + 1);
    wake(&s->shared->attached);
    for (int r = 0; r < s->world; r++) wake(&s->shared->ranks[r].round);
}

/* ---- open, close ---- */

/* Alone, nobody needs to find it. */
static void *map_private(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Room is taken now: a page that is missing later would be a SIGBUS. Growing only, so ranks of different worlds do each other no harm
 * until they have found out. */
static void *map_named(const char *path, size_t bytes)
{
    struct stat st;
    void *at = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), err;
    if (fd < 0) {
        vs_segment_failed(0, "%s: %s", path, strerror(errno));
        return NULL;
    }
    do err = posix_fallocate(fd, 0, (off_t)bytes);
    while (err == EINTR);
    if (err)
        vs_segment_failed(0, "no %zu MiB in /dev/shm: %s (containers: a larger --shm-size)", bytes >> 20, strerror(err));
    else if (fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & 077))
        vs_segment_failed(0, "%s is not this user's alone", path);
    else if ((at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
        vs_segment_failed(0, "%s: %s", path, strerror(errno));
    close(fd);
    if (at == MAP_FAILED) unlink(path);
    return at == MAP_FAILED ? NULL : at;
}

static int map(struct vs_segment *s, const unsigned char token[16])
{
    size_t head = sizeof(struct shared) + (size_t)s->world * sizeof(struct shared_rank), each = ALL_SLOTS / 2 / (size_t)s->world;
    head = (head + PAGE - 1) & ~(PAGE - 1);
    s->slot_bytes = each < LARGEST_SLOT ? each & ~(PAGE - 1) : LARGEST_SLOT;
    s->mapped_bytes = head + 2 * (size_t)s->world * s->slot_bytes;
    if (s->world > 1) {
        int n = snprintf(s->path, sizeof s->path, "/dev/shm/vramscope-comm-");
        for (int i = 0; i < 16; i++) n += snprintf(s->path + n, sizeof s->path - (size_t)n, "%02x", token[i]);
        s->shared = map_named(s->path, s->mapped_bytes);
    } else if (!(s->shared = map_private(s->mapped_bytes))) {
        vs_segment_failed(0, "no memory for %zu MiB", s->mapped_bytes >> 20);
    }
    s->slots = (char *)s->shared + head;
    return s->shared ? 0 : -ENOMEM;
}

int vs_segment_make(struct vs_segment **out, const unsigned char token[16], int rank, int world)
{
    *out = NULL;
    if (world < 1 || world > VS_SEGMENT_RANKS || rank < 0 || rank >= world)
        return vs_segment_failed(-EINVAL, "rank %d of %d: at most %d ranks share memory", rank, world, VS_SEGMENT_RANKS);
    struct vs_segment *s = calloc(1, sizeof *s);
    if (!s) return vs_segment_failed(-ENOMEM, "no memory");
    s->rank = rank;
    s->world = world;
    int err = map(s, token);
    if (err)
        free(s);
    else
        *out = s;
    return err;
}

static int refuse(struct vs_segment *s)
{
    struct shared *m = s->shared;
    unsigned world = 0;
    if (!atomic_compare_exchange_strong(&m->world, &world, (unsigned)s->world) && world != (unsigned)s->world)
        return vs_segment_failed(-EPROTO, "this rank's world is %d, another's %u", s->world, world);
    if (atomic_exchange(&m->ranks[s->rank].here, 1)) return vs_segment_failed(-EPROTO, "rank %d is there twice", s->rank);
    return 0;
}

int vs_segment_meet(struct vs_segment *s)
{
    struct shared *m = s->shared;
    int err = refuse(s);
    if (err) {
        unsigned none = 0;
        atomic_compare_exchange_strong(&m->stopped, &none, (unsigned)s->rank + 1);
        wake(&m->attached);
    } else {
        atomic_fetch_add(&m->attached.value, 1);
        wake(&m->attached);
        err = wait_for(s, &m->attached, (unsigned)s->world, NULL);
    }
    if (*s->path) unlink(s->path); /* by every rank: each that returns knows it is gone */
    return err;
}

void vs_segment_close(struct vs_segment *s)
{
    if (!s) return;
    struct shared_rank *me = &s->shared->ranks[s->rank];
    atomic_store(&me->closed, 1);
    wake(&me->round);
    munmap(s->shared, s->mapped_bytes);
    free(s);
}

/* ---- rounds ---- */

size_t vs_segment_slot_bytes(const struct vs_segment *s)
{
    return s->slot_bytes;
}

static char *slot(const struct vs_segment *s, int rank, unsigned round)
{
    return s->slots + (2 * (size_t)rank + (round & 1)) * s->slot_bytes;
}

void *vs_segment_mine(struct vs_segment *s)
{
    return slot(s, s->rank, s->round + 1);
}

const void *vs_segment_slot(const struct vs_segment *s, int rank)
{
    return slot(s, rank, s->round);
}

const struct vs_segment_task *vs_segment_task(const struct vs_segment *s, int rank)
{
    return &s->shared->ranks[rank].tasks[s->round & 1];
}

int vs_segment_round(struct vs_segment *s, const struct vs_segment_task *task)
{
    struct shared_rank *me = &s->shared->ranks[s->rank];
    int err = stopped(s);
    if (err) return err;
    s->round++;
    me->tasks[s->round & 1] = *task;
    atomic_store(&me->round.value, s->round);
    wake(&me->round);
    for (int r = 0; r < s->world; r++) {
        struct shared_rank *other = &s->shared->ranks[r];
        err = wait_for(s, &other->round, s->round, &other->closed);
        if (err == -EPROTO) return vs_segment_failed(err, "rank %d has closed this communicator", r);
        if (err) return err;
    }
    return 0;
}
