/* SPDX-License-Identifier: MIT
 *
 * caller.c: see caller.h. Must never find our own functions: a library's own scope does not contain what is preloaded.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "caller.h"

#include <dlfcn.h>
#include <stddef.h>

#include "lookup.h"

void *vs_lookup_near(const void *code, const char *name)
{
    Dl_info at;
    void *library, *found;
    if (!dladdr(code, &at) || !at.dli_fname)
        return NULL;
    library = dlopen(at.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (!library)
        return NULL;
    found = vs_real_dlsym(library, name);
    dlclose(library); /* only our reference */
    return found;
}
