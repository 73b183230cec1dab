/* SPDX-License-Identifier: MIT
 *
 * sizes.h: the sizes of some pieces of memory, and whether another piece has one of them. PyTorch's allocator hands out
 * blocks of 512 bytes' granularity, and up to 1 MiB more than that of large ones, when the rest is not worth a block.
 *
 * Ownership: vs_sizes_free. Threading: none. Errors: -ENOMEM.
 */
#ifndef VS_DB_SIZES_H
#define VS_DB_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vs_sizes { /* sorted, each once */
    uint64_t *size;
    size_t count, room;
};

int vs_sizes_add(struct vs_sizes *s, uint64_t bytes);
bool vs_sizes_match(const struct vs_sizes *s, uint64_t bytes);
void vs_sizes_free(struct vs_sizes *s);

#endif
