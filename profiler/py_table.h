/* SPDX-License-Identifier: MIT
 *
 * py_table.h: which code object and which stack has which number in the log. Fixed size, no lock, no malloc.
 *
 * A slot is claimed by its key; its number is stored when what it stands for is in the log. Who finds a slot without a
 * number writes it to the log too and stores another one: twice is harmless, waiting is not.
 *
 * Threading: any thread. Errors: NULL when there is no slot left near the key's place.
 */
#ifndef VS_PROFILER_PY_TABLE_H
#define VS_PROFILER_PY_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "py_read.h"

struct vs_py_code_slot {
    uint64_t key;      /* of the object and what tells it from others at the same address; 0: free */
    uint64_t contents; /* of its texts and line table */
    uint32_t number;   /* 0: not in the log yet; VS_PY_NO_CODE: is none */
    uint32_t hits;
    uint32_t first_offset; /* of the first instruction at which its frame is complete */
    uint32_t reserved;
};
#define VS_PY_NO_CODE UINT32_MAX

struct vs_py_stack_slot {
    uint64_t key;    /* of its frames, as addresses; 0: free */
    uint64_t frames; /* the same as in its record */
    uint32_t number; /* 0: not in the log yet */
    uint32_t hits;
};

enum { VS_PY_CODES = 32768, VS_PY_STACKS = 65536 }; /* powers of two; large models have some thousand of either */

struct vs_py_tables {
    uint32_t next_code, next_stack; /* last numbers given */
    uint64_t ns_timed; /* of the walks that are timed */
    uint64_t pages[VS_PY_PAGES];
    struct vs_py_code_slot code[VS_PY_CODES];
    struct vs_py_stack_slot stack[VS_PY_STACKS];
};

/* Zeroed, and touched so that no page of it is touched first by the program's threads; gone in a forked child. NULL: no
 * memory. */
struct vs_py_tables *vs_py_tables_new(void);

struct vs_py_code_slot *vs_py_code_slot(struct vs_py_tables *t, uint64_t key);
struct vs_py_stack_slot *vs_py_stack_slot(struct vs_py_tables *t, uint64_t key);

#endif
