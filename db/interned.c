/* SPDX-License-Identifier: MIT
 *
 * interned.c: a hash table of texts; bounded by the number of distinct ones. It must never forget one while open: row
 * ids already written refer to it.
 */
#include "interned.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct vs_interned_entry {
    uint64_t hash;
    int64_t id;
    size_t n;
    char text[];
};

static uint64_t hash_of(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3ull;
    return h ^ h >> 29;
}

static struct vs_interned_entry **slot_of(const struct vs_interned *t, uint64_t hash, const char *text, size_t n)
{
    size_t i = (size_t)hash & (t->size - 1);
    while (t->slots[i]) {
        const struct vs_interned_entry *e = t->slots[i];
        if (e->hash == hash && e->n == n && !memcmp(e->text, text, n)) break;
        i = (i + 1) & (t->size - 1);
    }
    return &t->slots[i];
}

int64_t vs_interned_find(const struct vs_interned *t, const char *text, size_t n)
{
    if (!t->count) return 0;
    struct vs_interned_entry **slot = slot_of(t, hash_of(text, n), text, n);
    return *slot ? (*slot)->id : 0;
}

static int grow(struct vs_interned *t)
{
    struct vs_interned next = {.size = t->size ? t->size * 2 : 1024, .count = t->count};
    next.slots = calloc(next.size, sizeof(*next.slots));
    if (!next.slots) return -ENOMEM;
    for (size_t i = 0; i < t->size; i++)
        if (t->slots[i]) *slot_of(&next, t->slots[i]->hash, t->slots[i]->text, t->slots[i]->n) = t->slots[i];
    free(t->slots);
    *t = next;
    return 0;
}

int vs_interned_add(struct vs_interned *t, const char *text, size_t n, int64_t id)
{
    if (t->count * 2 >= t->size && grow(t)) return -ENOMEM;
    uint64_t hash = hash_of(text, n);
    struct vs_interned_entry **slot = slot_of(t, hash, text, n);
    if (*slot) return 0; /* the first row of a text stays its row */
    struct vs_interned_entry *e = malloc(sizeof *e + n);
    if (!e) return -ENOMEM;
    *e = (struct vs_interned_entry){.hash = hash, .id = id, .n = n};
    memcpy(e->text, text, n);
    *slot = e;
    t->count++;
    return 0;
}

void vs_interned_free(struct vs_interned *t)
{
    for (size_t i = 0; i < t->size; i++) free(t->slots[i]);
    free(t->slots);
    *t = (struct vs_interned){0};
}
