/* SPDX-License-Identifier: MIT
 *
 * cuda_code.h: third part of the stand-in driver (cuda.c): code, streams and what else the driver takes device memory for
 * itself for. As measured on an H200, driver 580, in round numbers: a context 100 MiB; a module 2 MiB when it is loaded, a
 * library's kernel 2 MiB at the first call that needs its code, launches included; 2 MiB for every fourth stream; local memory
 * 64 MiB at the first launch of a kernel named "bigstack". Included by cuda.c alone.
 *
 * FAKE_CUDA_LOAD_MS: how long each of these takes.
 */
#ifndef VS_TESTS_FAKE_CUDA_CODE_H
#define VS_TESTS_FAKE_CUDA_CODE_H

#include <unistd.h>

#include "cuda_state.h"

#define MIB ((uint64_t)1 << 20)

struct kernel {
    char name[32];
    bool loaded;
};
static struct kernel kernels[256];
static int nkernels;

/* Beside the books of the program: cuMemGetInfo of the stand-in does not show it, NVML does. */
static int take_for_itself(struct context *c, int64_t bytes)
{
    usleep((useconds_t)setting("FAKE_CUDA_LOAD_MS", 0) * 1000);
    LOCKED;
    if (c && c->alive) {
        c->taken += (uint64_t)bytes;
        fake.taken[c->device] += (uint64_t)bytes;
    }
    return OK;
}

static void *new_kernel(const char *name, bool loaded)
{
    LOCKED;
    struct kernel *k = nkernels < 256 ? &kernels[nkernels++] : NULL;
    if (k) {
        snprintf(k->name, sizeof k->name, "%s", name);
        k->loaded = loaded;
    }
    return k;
}

static int load_kernel(struct kernel *k)
{
    bool first;
    NEED_CONTEXT;
    if (!k)
        return INVALID;
    first = !__atomic_exchange_n(&k->loaded, true, __ATOMIC_RELAXED);
    return first ? take_for_itself(current, 2 * (int64_t)MIB) : OK;
}

API(cuModuleLoadData, (void **out, const void *image))
{
    NEED_CONTEXT;
    (void)image;
    *out = &kernels;
    return take_for_itself(current, 2 * (int64_t)MIB);
}
API(cuModuleUnload, (void *module)) { NEED_CONTEXT; (void)module; return take_for_itself(current, -2 * (int64_t)MIB); }
API(cuModuleGetFunction, (void **out, void *module, const char *name)) { (void)module; *out = new_kernel(name, true); return *out ? OK : NOT_FOUND; }
API(cuLibraryLoadData, (void **out, const void *code, int *jit, void **jit_values, unsigned njit, int *options, void **values, unsigned n))
{
    (void)code, (void)jit, (void)jit_values, (void)njit, (void)options, (void)values, (void)n;
    *out = &kernels;
    return OK;
}
API(cuLibraryUnload, (void *library)) /* the next library's kernels lie at the same addresses */
{
    int i, gone = 0;
    (void)library;
    for (i = 0; i < nkernels; i++)
        gone += __atomic_exchange_n(&kernels[i].loaded, false, __ATOMIC_RELAXED);
    return take_for_itself(current, -2 * (int64_t)MIB * gone);
}
API(cuLibraryGetKernel, (void **out, void *library, const char *name)) { (void)library; *out = new_kernel(name, false); return *out ? OK : NOT_FOUND; }
API(cuKernelGetFunction, (void **out, void *kernel)) { *out = kernel; return load_kernel(kernel); }

static int launch(struct kernel *k)
{
    int err = load_kernel(k);
    if (!err && !strcmp(k->name, "bigstack") && !__atomic_exchange_n(&current->big_stacks, true, __ATOMIC_RELAXED))
        take_for_itself(current, 64 * (int64_t)MIB);
    return err;
}
API(cuLaunchKernel, (void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *stream, void **params, void **extra))
{
    (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)stream, (void)params, (void)extra;
    fake.launched += gx == 1 && gy == 2 && gz == 3 && bx == 4 && by == 5 && bz == 6 && shared == 7 && stream == (void *)8 &&
                     params == (void *)9 && extra == (void *)10;
    return launch(f);
}
API(cuLaunchKernelEx, (const void *config, void *f, void **params, void **extra)) { (void)config, (void)params, (void)extra; return launch(f); }
API(cuCtxSetLimit, (int limit, size_t value))
{
    NEED_CONTEXT;
    (void)value;
    if (limit || !__atomic_exchange_n(&current->big_stacks, false, __ATOMIC_RELAXED))
        return OK;
    return take_for_itself(current, -64 * (int64_t)MIB);
}
API(cuGraphInstantiateWithFlags, (void **out, void *graph, unsigned long long flags))
{
    NEED_CONTEXT;
    (void)flags;
    *out = graph;
    return take_for_itself(current, 2 * (int64_t)MIB);
}

/* For the stand-in of NVML: what the process has of a device, and whether it has a context there. */
int fake_cuda_memory(int device, uint64_t *bytes);
int fake_cuda_memory(int device, uint64_t *bytes)
{
    int i, contexts = 0;
    LOCKED;
    for (i = 0; i < MAX_CONTEXTS; i++)
        contexts += fake.contexts[i].alive && fake.contexts[i].device == device;
    *bytes = fake.used[device] + fake.taken[device];
    return contexts;
}
/* For programs: launches whose every argument arrived as it was given. */
int fake_cuda_launched(void);
int fake_cuda_launched(void) { return fake.launched; }

#endif
