/* SPDX-License-Identifier: MIT
 *
 * py_read.h: reads memory that an interpreter's pointers lead to. A wrong pointer gives false, never a fault, and no
 * signal handler is installed for that.
 *
 * vs_py_copy lets the kernel copy: safe from anything, also from another thread that unmaps the memory meanwhile; a system
 * call each time. vs_py_readable asks the kernel once whether a page can be read and remembers it: for pointers that are
 * right unless something is broken, to memory that nobody can unmap while it is looked at.
 *
 * Threading: any thread. errno is preserved.
 */
#ifndef VS_PROFILER_PY_READ_H
#define VS_PROFILER_PY_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VS_PAGE_SHIFT 12
#define VS_PAGE_BYTES (1u << VS_PAGE_SHIFT)

/* Once in each process, before anything else here. `pages` holds VS_PY_PAGES zeroes. */
void vs_py_read_start(uint64_t *pages);

bool vs_py_copy(void *to, uint64_t from, size_t bytes); /* all or nothing */

bool vs_py_probe(uint64_t address); /* can it be read now? Asks the kernel each time */

/* Numbers of pages that could be read once, plus one. */
enum { VS_PY_PAGES = 4096 }; /* a power of two */
extern uint64_t *vs_py_pages;

bool vs_py_page_ask(uint64_t page);

static inline bool vs_py_page(uint64_t page)
{
    uint64_t *slot = &vs_py_pages[page & (VS_PY_PAGES - 1)];
    return __builtin_expect(__atomic_load_n(slot, __ATOMIC_RELAXED) == page + 1, 1) || vs_py_page_ask(page);
}

/* An address of an object or frame, which are aligned and in the lower half. */
static inline bool vs_py_plausible(uint64_t address)
{
    return !(address & 7) && address - 0x10000 < ((uint64_t)1 << 47) - 0x20000;
}

static inline bool vs_py_readable(uint64_t address, size_t bytes)
{
    uint64_t page = address >> VS_PAGE_SHIFT, last = (address + bytes - 1) >> VS_PAGE_SHIFT;
    if (!vs_py_page(page)) return false;
    while (page != last)
        if (!vs_py_page(++page)) return false;
    return true;
}

static inline uint64_t vs_py_word(const void *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

#endif
