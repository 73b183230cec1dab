/* SPDX-License-Identifier: MIT
 *
 * lookup.c: the real functions behind our exported names. Must never load a library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lookup.h"

#include <dlfcn.h>
#include <stddef.h>

typedef void *(*dlsym_fn)(void *, const char *);

/* Newest name first: since glibc 2.34 dlsym lives in libc under a new version. dlvsym is not ours, so it finds the real
 * one behind us. */
void *vs_real_dlsym(void *handle, const char *name)
{
    static dlsym_fn real;
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    dlsym_fn fn = __atomic_load_n(&real, __ATOMIC_RELAXED);
    size_t i;
    for (i = 0; !fn && i < sizeof versions / sizeof *versions; i++)
        fn = __extension__(dlsym_fn) dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    if (!fn)
        return NULL;
    __atomic_store_n(&real, fn, __ATOMIC_RELAXED);
    return fn(handle, name);
}

void *vs_lookup(const char *name, const char *const *sonames)
{
    /* Called from here, RTLD_NEXT means: after this library. */
    void *found = vs_real_dlsym(RTLD_NEXT, name);
    for (; !found && sonames && *sonames; sonames++) {
        void *handle = dlopen(*sonames, RTLD_LAZY | RTLD_NOLOAD);
        if (!handle)
            continue;
        found = vs_real_dlsym(handle, name);
        dlclose(handle); /* only our reference; the library stays with whoever loaded it */
    }
    return found;
}
