/* SPDX-License-Identifier: MIT
 *
 * id_map.c: open addressing with linear probing. It must never keep tombstones: launches come and go by the million.
 */
#include "id_map.h"

#include <errno.h>
#include <stdlib.h>

static size_t slot_of(const struct vs_id_map *m, uint64_t key)
{
    return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 20) & (m->size - 1);
}

void *vs_id_map_get(const struct vs_id_map *m, uint64_t key)
{
    if (!m->count) return NULL;
    for (size_t i = slot_of(m, key); m->slots[i].value; i = (i + 1) & (m->size - 1))
        if (m->slots[i].key == key) return m->slots[i].value;
    return NULL;
}

static int grow(struct vs_id_map *m)
{
    struct vs_id_map next = {.size = m->size ? m->size * 2 : 64};
    next.slots = calloc(next.size, sizeof *next.slots);
    if (!next.slots) return -ENOMEM;
    for (size_t i = 0; i < m->size; i++)
        if (m->slots[i].value) vs_id_map_put(&next, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = next;
    return 0;
}

int vs_id_map_put(struct vs_id_map *m, uint64_t key, void *value)
{
    if (m->count * 2 >= m->size) {
        int err = grow(m);
        if (err) return err;
    }
    size_t i = slot_of(m, key);
    while (m->slots[i].value && m->slots[i].key != key) i = (i + 1) & (m->size - 1);
    if (!m->slots[i].value) m->count++;
    m->slots[i] = (struct vs_id_slot){key, value};
    return 0;
}

void *vs_id_map_remove(struct vs_id_map *m, uint64_t key)
{
    if (!m->count) return NULL;
    size_t i = slot_of(m, key);
    while (m->slots[i].value && m->slots[i].key != key) i = (i + 1) & (m->size - 1);
    void *value = m->slots[i].value;
    if (!value) return NULL;
    /* Close the hole: move back every follower whose home slot is not between the hole and its place. */
    for (size_t j = (i + 1) & (m->size - 1); m->slots[j].value; j = (j + 1) & (m->size - 1)) {
        size_t home = slot_of(m, m->slots[j].key);
        if (((j - home) & (m->size - 1)) >= ((j - i) & (m->size - 1))) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i].value = NULL;
    m->count--;
    return value;
}

void vs_id_map_free(struct vs_id_map *m)
{
    free(m->slots);
    *m = (struct vs_id_map){0};
}
