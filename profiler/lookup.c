/* SPDX-License-Identifier: MIT
 *
 * lookup.c: the real functions behind our exported names. Must never load a library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lookup.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

typedef void *(*dlsym_fn)(void *, const char *);

void *vs_real_dlsym_ptr;

/* A process whose dlsym cannot be found would crash in the stub's jump; this finds nothing instead. */
static void *no_dlsym(void *handle, const char *name)
{
    (void)handle, (void)name;
    return NULL;
}

/* Newest name first: since glibc 2.34 dlsym lives in libc under a new version. dlvsym is not ours, so it finds the real
 * one behind us. May be the first code of ours that runs, before any constructor. */
void vs_dlsym_resolve(void)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    int saved = errno;
    void *p = NULL;
    size_t i;
    for (i = 0; !p && i < sizeof versions / sizeof *versions; i++)
        p = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    __atomic_store_n(&vs_real_dlsym_ptr, p ? p : __extension__(void *) no_dlsym, __ATOMIC_RELEASE);
    errno = saved;
}

void *vs_real_dlsym(void *handle, const char *name)
{
    if (!__atomic_load_n(&vs_real_dlsym_ptr, __ATOMIC_ACQUIRE))
        vs_dlsym_resolve();
    return __extension__((dlsym_fn)__atomic_load_n(&vs_real_dlsym_ptr, __ATOMIC_RELAXED))(handle, name);
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
