/* SPDX-License-Identifier: MIT
 *
 * cupti_names.c: interns names by address and text. Must never be called where a lock could stop an application thread
 * that is launching: only at the delivery of records.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cupti_names.h"

#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"

enum { SLOTS = 1 << 16, PROBES = 64, ARENA_BYTES = 1 << 20 };

struct name {
    uint64_t id;
    char text[];
};
struct slot {
    const char *key;    /* CUPTI's pointer, atomic; never removed */
    struct name *value; /* its text when last seen, atomic; never freed */
};

static struct slot slots[SLOTS]; /* 1 MiB of zero pages, touched as names arrive */
static int lock;                 /* of what follows, and of insertions */
static char *arena;
static size_t arena_left;

static struct name *copy(const char *text)
{
    size_t text_bytes = strlen(text), bytes = (sizeof(struct name) + text_bytes + 1 + 7) & ~(size_t)7;
    struct name *n;

    if (bytes > arena_left) {
        size_t chunk = bytes > ARENA_BYTES ? bytes : ARENA_BYTES;
        void *more = mmap(NULL, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED)
            return NULL;
        arena = more;
        arena_left = chunk;
    }
    n = (struct name *)(void *)arena;
    n->id = vs_log_string(text, text_bytes);
    if (!n->id)
        return NULL; /* dropped and counted; tried again with the next record */
    memcpy(n->text, text, text_bytes + 1);
    arena += bytes;
    arena_left -= bytes;
    return n;
}

static uint64_t insert(struct slot *s, const char *name)
{
    struct name *n;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        sched_yield();
    n = __atomic_load_n(&s->value, __ATOMIC_RELAXED);
    if (!n || strcmp(n->text, name)) {
        n = copy(name);
        if (n)
            __atomic_store_n(&s->value, n, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    return n ? n->id : 0;
}

uint64_t vs_cupti_name(const char *name)
{
    uint64_t hash = (uint64_t)(uintptr_t)name * 0x9e3779b97f4a7c15ull;
    uint32_t i;

    if (!name)
        return 0;
    for (i = 0; i < PROBES; i++) {
        struct slot *s = &slots[((hash >> 48) + i) % SLOTS];
        const char *key = __atomic_load_n(&s->key, __ATOMIC_RELAXED);
        struct name *n;
        if (!key && __atomic_compare_exchange_n(&s->key, &key, name, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            key = name;
        if (key != name)
            continue;
        n = __atomic_load_n(&s->value, __ATOMIC_ACQUIRE);
        return n && !strcmp(n->text, name) ? n->id : insert(s, name);
    }
    return 0;
}

void vs_cupti_names_forget(void)
{
    memset(slots, 0, sizeof slots);
    arena = NULL;
    arena_left = 0;
    lock = 0;
}
