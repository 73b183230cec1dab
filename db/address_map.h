/* SPDX-License-Identifier: MIT
 *
 * address_map.h: an ordered map from addresses to pointers, for everything that is found by an address inside it
 * (blocks, mappings, modules). It never owns what the pointers point to and never looks inside them.
 *
 * Ownership: the caller's; vs_address_map_free releases only the map. Threading: none. Errors: put returns -ENOMEM.
 */
#ifndef VS_DB_ADDRESS_MAP_H
#define VS_DB_ADDRESS_MAP_H

#include <stddef.h>
#include <stdint.h>

struct vs_address_chunk;
struct vs_address_map {
    struct vs_address_chunk **chunks; /* in order; each sorted and never empty */
    uint64_t *first;                  /* first key of each chunk */
    size_t nchunks, room, count;
};

void *vs_address_map_get(const struct vs_address_map *m, uint64_t key);
void *vs_address_map_floor(const struct vs_address_map *m, uint64_t key, uint64_t *at);   /* greatest key <= key */
void *vs_address_map_ceiling(const struct vs_address_map *m, uint64_t key, uint64_t *at); /* smallest key >= key */
int vs_address_map_put(struct vs_address_map *m, uint64_t key, void *value);              /* replaces */
void *vs_address_map_remove(struct vs_address_map *m, uint64_t key);
void vs_address_map_free(struct vs_address_map *m);

#endif
