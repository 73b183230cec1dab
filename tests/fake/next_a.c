/* SPDX-License-Identifier: MIT
 *
 * next_a.c: a library that stands before another (next_b.c), as preloaded tools do: each function asks RTLD_NEXT for the
 * next one of its own name. One name is nothing to us, one looks like the driver's, one is a driver function we wrap.
 */
#include <dlfcn.h>
#include <stddef.h>

int plain_answer(void);
int cuLikeAnswer(void);
int cuMemRelease(unsigned long long handle);
void *next_a_early(void);

static void *early;

/* Runs before the constructor of a preloaded library. */
__attribute__((constructor)) static void constructed(void)
{
    early = dlsym(RTLD_NEXT, "plain_answer");
}
void *next_a_early(void)
{
    return early;
}

static int next(const char *name)
{
    int (*f)(void) = NULL;
    *(void **)&f = dlsym(RTLD_NEXT, name);
    return f ? f() + 1 : -1;
}
int plain_answer(void)
{
    return next("plain_answer");
}
int cuLikeAnswer(void)
{
    return next("cuLikeAnswer");
}
int cuMemRelease(unsigned long long handle)
{
    (void)handle;
    return next("cuMemRelease");
}
