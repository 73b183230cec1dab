/* SPDX-License-Identifier: MIT
 *
 * id_map.h: a hash table from 64-bit numbers to pointers, for everything that is found by an exact number (ranges by
 * sequence number, launches by correlation, handles). It never owns what the pointers point to.
 *
 * Ownership: the caller's; vs_id_map_free releases only the table. Threading: none. Errors: put returns -ENOMEM.
 */
#ifndef VS_DB_ID_MAP_H
#define VS_DB_ID_MAP_H

#include <stddef.h>
#include <stdint.h>

struct vs_id_slot {
    uint64_t key;
    void *value; /* NULL: empty */
};
struct vs_id_map {
    struct vs_id_slot *slots;
    size_t size, count; /* size is 0 or a power of two */
};

void *vs_id_map_get(const struct vs_id_map *m, uint64_t key);
int vs_id_map_put(struct vs_id_map *m, uint64_t key, void *value); /* replaces; value must not be NULL */
void *vs_id_map_remove(struct vs_id_map *m, uint64_t key);
void vs_id_map_free(struct vs_id_map *m);

#endif
