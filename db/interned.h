/* SPDX-License-Identifier: MIT
 *
 * interned.h: which text has which row in table string. It never touches the database.
 *
 * Ownership: keeps its own copies; vs_interned_free. Threading: none. Errors: add returns -ENOMEM.
 */
#ifndef VS_DB_INTERNED_H
#define VS_DB_INTERNED_H

#include <stddef.h>
#include <stdint.h>

struct vs_interned_entry;
struct vs_interned {
    struct vs_interned_entry **slots;
    size_t size, count;
};

int64_t vs_interned_find(const struct vs_interned *t, const char *text, size_t n); /* 0: not there */
int vs_interned_add(struct vs_interned *t, const char *text, size_t n, int64_t id);
void vs_interned_free(struct vs_interned *t);

#endif
