/* SPDX-License-Identifier: MIT
 *
 * pool.c: makes, hands out and takes back slabs of memory-backed storage.
 * Must never make a file or a mapping on an application thread, except for the first chunks at activation.
 */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "helper.h"
#include "log.h"
#include "say.h"

#define CHUNK_BYTES ((size_t)VS_SLAB_BYTES * VS_CHUNK_SLABS)
#define FIRST_CHUNKS 2u
#define TMPFS 0x01021994
#define RAMFS 0x858458f6

/* Which slab comes below which on a stack. Process-private; a child makes its own pool before it reads this. */
static uint32_t below[VS_MAX_CHUNKS * VS_CHUNK_SLABS];

struct vs_slab *vs_pool_slab(struct vs_state *s, uint32_t index)
{
    return (struct vs_slab *)(s->chunk[index / VS_CHUNK_SLABS] + (size_t)(index % VS_CHUNK_SLABS) * VS_SLAB_BYTES);
}

uint32_t vs_pool_index(struct vs_state *s, const struct vs_slab *slab)
{
    uint32_t i, n = __atomic_load_n(&s->chunks, __ATOMIC_ACQUIRE);
    for (i = 0; i < n; i++) {
        size_t at = (size_t)((const unsigned char *)slab - s->chunk[i]);
        if ((const unsigned char *)slab >= s->chunk[i] && at < CHUNK_BYTES)
            return i * VS_CHUNK_SLABS + (uint32_t)(at / VS_SLAB_BYTES);
    }
    return UINT32_MAX; /* not reached: every slab lies in a chunk */
}

static void push(uint64_t *head, uint32_t index)
{
    uint64_t old = __atomic_load_n(head, __ATOMIC_RELAXED), new;
    do {
        __atomic_store_n(&below[index], (uint32_t)old, __ATOMIC_RELAXED);
        new = ((old >> 32) + 1) << 32 | (index + 1);
    } while (!__atomic_compare_exchange_n(head, &old, new, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static bool pop(uint64_t *head, uint32_t *index)
{
    uint64_t old = __atomic_load_n(head, __ATOMIC_ACQUIRE), new;
    do {
        if (!(uint32_t)old)
            return false;
        new = ((old >> 32) + 1) << 32 | __atomic_load_n(&below[(uint32_t)old - 1], __ATOMIC_RELAXED);
    } while (!__atomic_compare_exchange_n(head, &old, new, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    *index = (uint32_t)old - 1;
    return true;
}

struct vs_slab *vs_pool_take(struct vs_state *s)
{
    uint32_t index;
    struct vs_slab *slab;
    if (!pop(&s->available_head, &index))
        return NULL;
    __atomic_fetch_sub(&s->available, 1, __ATOMIC_RELAXED);
    slab = vs_pool_slab(s, index);
    __atomic_store_n(&slab->state, VS_SLAB_OWNED, __ATOMIC_RELAXED);
    return slab;
}

void vs_pool_give(struct vs_state *s, struct vs_slab *slab, uint32_t fill)
{
    uint32_t index = vs_pool_index(s, slab);
    slab->fill = fill;
    slab->owner_tid = 0;
    if (VS_SLAB_BYTES - fill >= VS_POOL_ROOM) {
        __atomic_store_n(&slab->state, VS_SLAB_AVAILABLE, __ATOMIC_RELEASE);
        __atomic_fetch_add(&s->available, 1, __ATOMIC_RELAXED);
        push(&s->available_head, index);
    } else {
        __atomic_store_n(&slab->state, VS_SLAB_FULL, __ATOMIC_RELEASE);
        push(&s->full_head, index);
        vs_writer_wake();
    }
}

struct vs_slab *vs_pool_take_full(struct vs_state *s)
{
    uint64_t old = __atomic_load_n(&s->full_head, __ATOMIC_RELAXED);
    uint32_t index, next, oldest = 0;

    while (!__atomic_compare_exchange_n(&s->full_head, &old, ((old >> 32) + 1) << 32, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        ;
    for (index = (uint32_t)old; index; index = next) { /* the stack has the newest on top: turn it over */
        next = __atomic_load_n(&below[index - 1], __ATOMIC_RELAXED);
        __atomic_store_n(&below[index - 1], oldest, __ATOMIC_RELAXED);
        oldest = index;
    }
    return oldest ? vs_pool_slab(s, oldest - 1) : NULL;
}

struct vs_slab *vs_pool_next_full(struct vs_state *s, const struct vs_slab *slab)
{
    uint32_t next = __atomic_load_n(&below[vs_pool_index(s, slab)], __ATOMIC_RELAXED);
    return next ? vs_pool_slab(s, next - 1) : NULL;
}

void vs_pool_keep_full(struct vs_state *s, struct vs_slab *slab)
{
    push(&s->full_head, vs_pool_index(s, slab));
}

/* A reader after a kill begins at `copied` and stops at the first zero header. In this order it finds nothing at every
 * step: all copied; cleared; new filling that begins empty. The counts stay: their sum is what was ever appended. */
void vs_pool_recycle(struct vs_state *s, struct vs_slab *slab, uint32_t end)
{
    __atomic_store_n(&slab->copied, end, __ATOMIC_RELEASE);
    memset((unsigned char *)slab + VS_SLAB_RECORDS, 0, end - VS_SLAB_RECORDS);
    slab->fill = VS_SLAB_RECORDS;
    slab->thread = 0;
    __atomic_store_n(&slab->serial, __atomic_add_fetch(&s->next_serial, 1, __ATOMIC_RELAXED), __ATOMIC_RELEASE);
    __atomic_store_n(&slab->copied, VS_SLAB_RECORDS, __ATOMIC_RELEASE);
    __atomic_store_n(&slab->state, VS_SLAB_AVAILABLE, __ATOMIC_RELEASE);
    __atomic_fetch_add(&s->available, 1, __ATOMIC_RELAXED);
    push(&s->available_head, vs_pool_index(s, slab));
}

/* A file of `bytes`, allocated and pre-faulted, private to the user. No descriptor stays open: programs close them all. */
static int map_file(const char *path, size_t bytes, void **out)
{
    int err = 0, fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    void *at = MAP_FAILED;

    if (fd < 0)
        return -errno;
    /* Without this a full tmpfs would show as SIGBUS in the middle of the program. */
    err = -posix_fallocate(fd, 0, (off_t)bytes);
    if (!err) {
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (at == MAP_FAILED)
            err = -errno;
    }
    close(fd);
    if (err) {
        unlink(path);
        return err;
    }
    madvise(at, bytes, MADV_DONTFORK);
    *out = at;
    return 0;
}

int vs_pool_grow(struct vs_state *s)
{
    uint32_t n = s->chunks, i;
    char path[sizeof s->control->memory + 32];
    void *at;
    int err;

    if (n >= s->max_chunks)
        return -ENOSPC;
    snprintf(path, sizeof path, "%s/" VS_SLABS_NAME "%u", s->control->memory, n);
    err = map_file(path, CHUNK_BYTES, &at);
    if (err) {
        s->max_chunks = n; /* the storage is full: live with what there is */
        return err;
    }
    s->chunk[n] = at;
    for (i = 0; i < VS_CHUNK_SLABS; i++) {
        struct vs_slab *slab = (struct vs_slab *)((unsigned char *)at + (size_t)i * VS_SLAB_BYTES);
        slab->fill = slab->copied = VS_SLAB_RECORDS;
        slab->serial = __atomic_add_fetch(&s->next_serial, 1, __ATOMIC_RELAXED);
        slab->magic = VS_SLAB_MAGIC;
    }
    __atomic_store_n(&s->chunks, n + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&s->control->chunks, n + 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&s->control->host_bytes, CHUNK_BYTES, __ATOMIC_RELAXED);
    __atomic_fetch_add(&s->available, VS_CHUNK_SLABS, __ATOMIC_RELAXED);
    for (i = 0; i < VS_CHUNK_SLABS; i++)
        push(&s->available_head, n * VS_CHUNK_SLABS + (VS_CHUNK_SLABS - 1 - i));
    return 0;
}

/* Identity of this process, for readers that must know whether it still lives. */
static void identify(struct vs_control *c)
{
    char text[1024];
    struct stat st;
    struct timespec real;
    ssize_t got;
    int fd, field;
    char *p;

    c->version = VS_FORMAT_VERSION;
    c->slab_bytes = VS_SLAB_BYTES;
    c->chunk_slabs = VS_CHUNK_SLABS;
    c->pid = (uint32_t)syscall(SYS_getpid);
    c->seq_next = 1;
    c->state = VS_CTL_RUNNING;
    c->host_bytes = VS_CONTROL_BYTES;
    gethostname(c->host, sizeof c->host - 1);
    clock_gettime(CLOCK_REALTIME, &real);
    c->start_real_ns = (uint64_t)real.tv_sec * 1000000000ull + (uint64_t)real.tv_nsec;
    c->start_ns = c->heartbeat_ns = vs_now();
    if (!stat("/proc/self/ns/pid", &st))
        c->pid_namespace = st.st_ino;
    fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (got > 0) {
        text[got] = 0;
        p = strrchr(text, ')'); /* the name before it may hold anything */
        for (field = 2; p && field < 22; field++)
            p = strchr(p + 1, ' ');
        if (p)
            c->pid_start = strtoull(p + 1, NULL, 10);
    }
    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, text, 36);
    if (fd >= 0)
        close(fd);
    for (field = 0, p = text; got == 36 && field < 16; field++) {
        unsigned byte;
        if (*p == '-')
            p++;
        if (sscanf(p, "%2x", &byte) != 1)
            break;
        c->boot_id[field] = (uint8_t)byte;
        p += 2;
    }
}

/* Where live records go: memory-backed storage, or the log folder when there is none. A quarter of what is free at most:
 * /dev/shm is the program's too (data loaders). */
static int memory_folder(char *path, size_t size, const char *folder, uint32_t *chunks)
{
    const struct vs_config *config = vs_config();
    const char *shm = config->shm[0] ? config->shm : "/dev/shm";
    struct statfs fs;
    uint64_t cap = (uint64_t)config->pool_mb << 20;

    if (!statfs(shm, &fs) && (fs.f_type == TMPFS || (unsigned long)fs.f_type == RAMFS || config->shm[0])) {
        uint64_t room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize / 4;
        if (room >= FIRST_CHUNKS * CHUNK_BYTES || config->shm[0]) {
            if (cap > room && fs.f_bavail)
                cap = room;
            *chunks = (uint32_t)(cap / CHUNK_BYTES);
            if (*chunks < FIRST_CHUNKS)
                *chunks = FIRST_CHUNKS;
            snprintf(path, size, "%s/vramscope.%u.%u.%llu", shm, (unsigned)getuid(),
                     (unsigned)syscall(SYS_getpid), (unsigned long long)vs_now());
            if (!mkdir(path, 0700))
                return 0;
        }
    }
    vs_say(VS_SAY_WARN, "no room in memory-backed storage (%s): live records go to %s; a slow disk there can delay"
           " the program (set VRAMSCOPE_SHM to a tmpfs)", shm, folder);
    *chunks = (uint32_t)(cap / CHUNK_BYTES);
    snprintf(path, size, "%s/live", folder);
    if ((size_t)strlen(folder) + 6 > size)
        return -ENAMETOOLONG;
    return vs_make_folders(path);
}

int vs_pool_create(struct vs_state *s)
{
    char memory[sizeof s->control->memory], path[sizeof memory + 16], folder[sizeof s->control->folder];
    struct vs_control *c;
    void *at;
    uint32_t i;
    int err, n;
    char host[64] = {0};

    gethostname(host, sizeof host - 1);
    n = snprintf(folder, sizeof folder, "%s/%s-%u-%llu", vs_config()->run, host, (unsigned)syscall(SYS_getpid),
                 (unsigned long long)vs_now());
    if (n < 0 || (size_t)n >= sizeof folder)
        return -ENAMETOOLONG;
    err = memory_folder(memory, sizeof memory, folder, &s->max_chunks);
    if (err)
        return err;
    if (s->max_chunks > VS_MAX_CHUNKS)
        s->max_chunks = VS_MAX_CHUNKS;
    snprintf(path, sizeof path, "%s/" VS_CONTROL_NAME, memory);
    err = map_file(path, VS_CONTROL_BYTES, &at);
    if (err) {
        rmdir(memory);
        return err;
    }
    c = at;
    identify(c);
    memcpy(c->folder, folder, sizeof folder);
    memcpy(c->memory, memory, sizeof memory);
    memset(below, 0, sizeof below); /* first touch of these pages, here and not in an append */
    __atomic_store_n(&s->control, c, __ATOMIC_RELEASE);
    for (i = 0; i < FIRST_CHUNKS && !err; i++)
        err = vs_pool_grow(s);
    if (s->chunks) /* one is enough to begin with */
        err = 0;
    __atomic_store_n(&c->magic, VS_CONTROL_MAGIC, __ATOMIC_RELEASE);
    if (err) {
        vs_pool_unlink(s);
        __atomic_store_n(&s->control, NULL, __ATOMIC_RELEASE);
        munmap(at, VS_CONTROL_BYTES);
    }
    return err;
}

void vs_pool_unlink(struct vs_state *s)
{
    char path[sizeof s->control->memory + 32];
    uint32_t i;
    for (i = 0; i < s->chunks; i++) {
        snprintf(path, sizeof path, "%s/" VS_SLABS_NAME "%u", s->control->memory, i);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/" VS_CONTROL_NAME, s->control->memory);
    unlink(path);
    rmdir(s->control->memory);
}
