/* SPDX-License-Identifier: MIT
 *
 * address_map.c: sorted chunks of up to CHUNK keys under one sorted array of their first keys: two binary searches in
 * memory that stays in cache, and inserts that move at most a chunk. It must never hold an empty chunk.
 */
#include "address_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 128u /* 1 KiB of keys: a move costs about as much as the two searches */

struct vs_address_chunk {
    unsigned n;
    uint64_t key[CHUNK];
    void *value[CHUNK];
};

/* Index of the last element <= key, or (size_t)-1. */
static size_t last_not_above(const uint64_t *keys, size_t n, uint64_t key)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (keys[mid] <= key) low = mid + 1;
        else high = mid;
    }
    return low - 1;
}

void *vs_address_map_floor(const struct vs_address_map *m, uint64_t key, uint64_t *at)
{
    size_t c = last_not_above(m->first, m->nchunks, key);
    if (c == (size_t)-1) return NULL;
    const struct vs_address_chunk *chunk = m->chunks[c];
    size_t i = last_not_above(chunk->key, chunk->n, key);
    *at = chunk->key[i];
    return chunk->value[i];
}

void *vs_address_map_ceiling(const struct vs_address_map *m, uint64_t key, uint64_t *at)
{
    size_t c = last_not_above(m->first, m->nchunks, key), i = 0;
    if (c == (size_t)-1) {
        c = 0;
    } else {
        const struct vs_address_chunk *chunk = m->chunks[c];
        i = last_not_above(chunk->key, chunk->n, key);
        if (chunk->key[i] != key && ++i == chunk->n) {
            c++;
            i = 0;
        }
    }
    if (c >= m->nchunks) return NULL;
    *at = m->chunks[c]->key[i];
    return m->chunks[c]->value[i];
}

void *vs_address_map_get(const struct vs_address_map *m, uint64_t key)
{
    uint64_t at;
    void *value = vs_address_map_floor(m, key, &at);
    return value && at == key ? value : NULL;
}

static int add_chunk(struct vs_address_map *m, size_t at)
{
    if (m->nchunks == m->room) {
        size_t room = m->room ? m->room * 2 : 8;
        void *chunks = realloc(m->chunks, room * sizeof *m->chunks);
        if (!chunks) return -ENOMEM;
        m->chunks = chunks;
        void *first = realloc(m->first, room * sizeof *m->first);
        if (!first) return -ENOMEM;
        m->first = first;
        m->room = room;
    }
    struct vs_address_chunk *chunk = malloc(sizeof *chunk);
    if (!chunk) return -ENOMEM;
    chunk->n = 0;
    memmove(m->chunks + at + 1, m->chunks + at, (m->nchunks - at) * sizeof *m->chunks);
    memmove(m->first + at + 1, m->first + at, (m->nchunks - at) * sizeof *m->first);
    m->chunks[at] = chunk;
    m->nchunks++;
    return 0;
}

static int split(struct vs_address_map *m, size_t c)
{
    int err = add_chunk(m, c + 1);
    if (err) return err;
    struct vs_address_chunk *low = m->chunks[c], *high = m->chunks[c + 1];
    unsigned keep = c + 2 == m->nchunks ? CHUNK - CHUNK / 8 : CHUNK / 2; /* rising addresses leave full chunks behind */
    high->n = low->n - keep;
    memcpy(high->key, low->key + keep, high->n * sizeof *high->key);
    memcpy(high->value, low->value + keep, high->n * sizeof *high->value);
    low->n = keep;
    m->first[c + 1] = high->key[0];
    return 0;
}

int vs_address_map_put(struct vs_address_map *m, uint64_t key, void *value)
{
    int err = 0;
    if (!m->nchunks && (err = add_chunk(m, 0))) return err;
    size_t c = last_not_above(m->first, m->nchunks, key);
    if (!m->count || c == (size_t)-1) c = 0;
    struct vs_address_chunk *chunk = m->chunks[c];
    size_t i = last_not_above(chunk->key, chunk->n, key);
    if (i != (size_t)-1 && chunk->key[i] == key) {
        chunk->value[i] = value;
        return 0;
    }
    i++;
    if (chunk->n == CHUNK) {
        if ((err = split(m, c))) return err;
        return vs_address_map_put(m, key, value);
    }
    memmove(chunk->key + i + 1, chunk->key + i, (chunk->n - i) * sizeof *chunk->key);
    memmove(chunk->value + i + 1, chunk->value + i, (chunk->n - i) * sizeof *chunk->value);
    chunk->key[i] = key;
    chunk->value[i] = value;
    chunk->n++;
    m->first[c] = chunk->key[0];
    m->count++;
    return 0;
}

static void remove_chunk(struct vs_address_map *m, size_t c)
{
    free(m->chunks[c]);
    m->nchunks--;
    memmove(m->chunks + c, m->chunks + c + 1, (m->nchunks - c) * sizeof *m->chunks);
    memmove(m->first + c, m->first + c + 1, (m->nchunks - c) * sizeof *m->first);
}

void *vs_address_map_remove(struct vs_address_map *m, uint64_t key)
{
    size_t c = last_not_above(m->first, m->nchunks, key);
    if (c == (size_t)-1) return NULL;
    struct vs_address_chunk *chunk = m->chunks[c];
    size_t i = last_not_above(chunk->key, chunk->n, key);
    if (chunk->key[i] != key) return NULL;
    void *value = chunk->value[i];
    chunk->n--;
    memmove(chunk->key + i, chunk->key + i + 1, (chunk->n - i) * sizeof *chunk->key);
    memmove(chunk->value + i, chunk->value + i + 1, (chunk->n - i) * sizeof *chunk->value);
    m->count--;
    if (chunk->n) m->first[c] = chunk->key[0];
    else remove_chunk(m, c);
    return value;
}

void vs_address_map_free(struct vs_address_map *m)
{
    for (size_t c = 0; c < m->nchunks; c++) free(m->chunks[c]);
    free(m->chunks);
    free(m->first);
    *m = (struct vs_address_map){0};
}
