/* SPDX-License-Identifier: MIT
 *
 * py_read.c: asks the kernel to read for us, or whether we may. Must never dereference what it was given.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "py_read.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

uint64_t *vs_py_pages;
static long self; /* process id: cheaper than asking for it at each copy */

void vs_py_read_start(uint64_t *pages)
{
    self = syscall(SYS_getpid);
    vs_py_pages = pages;
}

bool vs_py_copy(void *to, uint64_t from, size_t bytes)
{
    struct iovec into = {to, bytes}, out_of = {(void *)(uintptr_t)from, bytes};
    int saved = errno;
    ssize_t n = syscall(SYS_process_vm_readv, self, &into, 1ul, &out_of, 1ul, 0ul);
    errno = saved;
    return n == (ssize_t)bytes;
}

/* The kernel reads the mask before it refuses the unknown operation, so nothing is changed either way. */
bool vs_py_probe(uint64_t address)
{
    enum { NO_OPERATION = -1, MASK_BYTES = 8 };
    int saved = errno;
    long rc = syscall(SYS_rt_sigprocmask, NO_OPERATION, address & ~(uint64_t)7, NULL, (size_t)MASK_BYTES);
    bool readable = rc < 0 && errno == EINVAL;
    errno = saved;
    return readable;
}

bool vs_py_page_ask(uint64_t page)
{
    if (!vs_py_probe(page << VS_PAGE_SHIFT)) return false;
    __atomic_store_n(&vs_py_pages[page & (VS_PY_PAGES - 1)], page + 1, __ATOMIC_RELAXED);
    return true;
}
