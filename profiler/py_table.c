/* SPDX-License-Identifier: MIT
 *
 * py_table.c: open addressing with claims by compare-and-swap. Must never move or free a slot.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "py_table.h"

#include <string.h>
#include <sys/mman.h>

#include "export.h"

enum { NEAR = 32 }; /* slots looked at */

struct vs_py_tables *vs_py_tables_new(void)
{
    struct vs_py_tables *t =
        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (t == MAP_FAILED) return NULL;
    madvise(t, sizeof *t, MADV_DONTFORK);
    return t;
}

/* The slot of that key, claimed if need be. */
#define FIND(slots, count, wanted)                                                                                     \
    for (size_t i = 0; i < NEAR; i++) {                                                                                \
        uint64_t *at = &(slots)[((wanted) + i) & ((count) - 1)].key, there = __atomic_load_n(at, __ATOMIC_RELAXED);    \
        if (!there && __atomic_compare_exchange_n(at, &there, wanted, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))          \
            there = wanted;                                                                                            \
        if (there == (wanted)) return &(slots)[((wanted) + i) & ((count) - 1)];                                        \
    }                                                                                                                  \
    return NULL

struct vs_py_code_slot *vs_py_code_slot(struct vs_py_tables *t, uint64_t key)
{
    FIND(t->code, VS_PY_CODES, key);
}

VS_HOT struct vs_py_stack_slot *vs_py_stack_slot(struct vs_py_tables *t, uint64_t key)
{
    FIND(t->stack, VS_PY_STACKS, key);
}
