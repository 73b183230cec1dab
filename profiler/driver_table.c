/* SPDX-License-Identifier: MIT
 *
 * driver_table.c: the driver's real functions: those our wrappers stand in front of, and those we call.
 * Must never load libcuda: only what the program has loaded is looked at.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "driver.h"
#include "lookup.h"

static const char *const soname = "libcuda.so.1";

struct vs_driver_functions vs_driver_functions;
struct vs_driver_count vs_driver_calls;
void *vs_driver_slot[VS_NHOOKS];
__thread uint32_t vs_driver_depth __attribute__((tls_model("initial-exec")));

static const char *const names[VS_NHOOKS] = {
#define HOOK(name, params) #name,
#include "driver_hooks.def"
#undef HOOK
};
static void *addresses[VS_NHOOKS]; /* libcuda's own; atomic */
static uint32_t filled;            /* atomic */

void *vs_driver_wrapper(enum vs_hook hook)
{
    static void *const wrappers[VS_NHOOKS] = {
#define HOOK(name, params) (void *)name,
#include "driver_hooks.def"
#undef HOOK
    };
    return wrappers[hook];
}

int vs_driver_hook_named(const char *name)
{
    int i;
    for (i = 0; i < VS_NHOOKS; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

void *vs_driver_address(enum vs_hook hook)
{
    return __atomic_load_n(&addresses[hook], __ATOMIC_RELAXED);
}

/* Threads may do it at the same time: they store the same values. The handle is kept: our tables point into libcuda. */
bool vs_driver_fill(void)
{
    int saved = errno, i;
    void *handle;

    if (__atomic_load_n(&filled, __ATOMIC_ACQUIRE))
        return true;
    handle = dlopen(soname, RTLD_LAZY | RTLD_NOLOAD);
    if (handle) {
        for (i = 0; i < VS_NHOOKS; i++)
            __atomic_store_n(&addresses[i], vs_real_dlsym(handle, names[i]), __ATOMIC_RELAXED);
#define X(name, params)                                                                                               \
    __atomic_store_n(&vs_driver_functions.name, (int(*) params)vs_real_dlsym(handle, #name), __ATOMIC_RELAXED);
        VS_DRIVER_CALLS(X)
#undef X
        __atomic_store_n(&filled, 1, __ATOMIC_RELEASE);
    }
    errno = saved;
    return handle != NULL;
}

/* The next definition after ours (another tool may stand between us and the driver), else libcuda's. */
void *vs_driver_resolve(enum vs_hook hook)
{
    const char *const sonames[] = {soname, NULL};
    int saved = errno;
    void *p;

    if (!vs_driver_fill())
        return NULL;
    p = vs_lookup(names[hook], sonames);
    if (!p || p == vs_driver_wrapper(hook))
        p = vs_driver_address(hook);
    __atomic_store_n(&vs_driver_slot[hook], p, __ATOMIC_RELEASE);
    errno = saved;
    return p;
}

/* About 450 queries a process, 70 comparisons each. By address, not by name: which of several versions a query means is
 * the driver's knowledge (measured: every answer is the start of an export, and no two exports share one). */
void *vs_driver_replace(void *function)
{
    int i;
    if (!function || !vs_driver_fill())
        return function;
    for (i = 0; i < VS_NHOOKS; i++)
        if (function == vs_driver_address(i) || function == __atomic_load_n(&vs_driver_slot[i], __ATOMIC_RELAXED))
            return vs_driver_real(i) ? vs_driver_wrapper(i) : function;
    return function;
}
