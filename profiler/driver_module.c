/* SPDX-License-Identifier: MIT
 *
 * driver_module.c: stands in front of the calls in which the driver takes device memory for itself: code, limits, streams,
 * graphs (measured on an H200, driver 580: in no others, and never between calls). Must never answer a call itself.
 */
#include <errno.h>

#include "driver.h"

/* A call and what it took. */
#define MEASURED(name, what, args)     \
    VS_HOOKED(name, args);             \
    struct vs_measure m;               \
    vs_measure_begin(&m, VS_ON_CURRENT); \
    int result = real args;            \
    vs_measure_end(&m, VS_MEASURED_##what, NULL); \
    return vs_driver_leave(result)

/* Code that comes later may lie where this was: its functions are new. */
#define UNLOADED(name, args)           \
    VS_HOOKED(name, args);             \
    struct vs_measure m;               \
    vs_measure_begin(&m, VS_ON_CURRENT); \
    int result = real args;            \
    vs_measure_end(&m, VS_MEASURED_MODULE, NULL); \
    if (!result)                       \
        vs_measure_forget();           \
    return vs_driver_leave(result)

/* Code is loaded when a function is first asked about: later questions are passed on at once. */
#define MEASURED_ONCE(name, function, args)                 \
    VS_REAL(name);                                          \
    if (!vs_driver_may_enter() || !vs_measure_unseen(function, VS_MEASURED_MODULE) || !vs_driver_enter()) \
        return real args;                                   \
    struct vs_measure m;                                    \
    vs_measure_begin(&m, VS_ON_CURRENT);                    \
    int result = real args;                                 \
    vs_measure_end(&m, VS_MEASURED_MODULE, NULL);           \
    return vs_driver_leave(result)

/* ---- code ---- */

int cuModuleLoad(void **out, const char *path)
{
    MEASURED(cuModuleLoad, MODULE, (out, path));
}

int cuModuleLoadData(void **out, const void *image)
{
    MEASURED(cuModuleLoadData, MODULE, (out, image));
}

int cuModuleLoadDataEx(void **out, const void *image, unsigned n, int *options, void **values)
{
    MEASURED(cuModuleLoadDataEx, MODULE, (out, image, n, options, values));
}

int cuModuleLoadFatBinary(void **out, const void *image)
{
    MEASURED(cuModuleLoadFatBinary, MODULE, (out, image));
}

int cuModuleUnload(void *module)
{
    UNLOADED(cuModuleUnload, (module));
}

int cuModuleGetFunction(void **out, void *module, const char *name)
{
    MEASURED(cuModuleGetFunction, MODULE, (out, module, name));
}

int cuModuleGetGlobal(unsigned *out, unsigned *bytes, void *module, const char *name)
{
    MEASURED(cuModuleGetGlobal, MODULE, (out, bytes, module, name));
}

int cuModuleGetGlobal_v2(uint64_t *out, size_t *bytes, void *module, const char *name)
{
    MEASURED(cuModuleGetGlobal_v2, MODULE, (out, bytes, module, name));
}

int cuLibraryLoadData(void **out, const void *code, int *jit, void **jit_values, unsigned njit, int *options,
                      void **values, unsigned n)
{
    MEASURED(cuLibraryLoadData, MODULE, (out, code, jit, jit_values, njit, options, values, n));
}

int cuLibraryLoadFromFile(void **out, const char *path, int *jit, void **jit_values, unsigned njit, int *options,
                          void **values, unsigned n)
{
    MEASURED(cuLibraryLoadFromFile, MODULE, (out, path, jit, jit_values, njit, options, values, n));
}

int cuLibraryUnload(void *library)
{
    UNLOADED(cuLibraryUnload, (library));
}

int cuLibraryGetModule(void **out, void *library)
{
    MEASURED(cuLibraryGetModule, MODULE, (out, library));
}

int cuLibraryGetGlobal(uint64_t *out, size_t *bytes, void *library, const char *name)
{
    MEASURED(cuLibraryGetGlobal, MODULE, (out, bytes, library, name));
}

int cuLibraryGetManaged(uint64_t *out, size_t *bytes, void *library, const char *name)
{
    MEASURED(cuLibraryGetManaged, MODULE, (out, bytes, library, name));
}

int cuKernelGetFunction(void **out, void *kernel)
{
    MEASURED_ONCE(cuKernelGetFunction, kernel, (out, kernel));
}

int cuFuncLoad(void *function)
{
    MEASURED_ONCE(cuFuncLoad, function, (function));
}

int cuFuncGetAttribute(int *value, int attribute, void *function)
{
    MEASURED_ONCE(cuFuncGetAttribute, function, (value, attribute, function));
}

int cuFuncSetAttribute(void *function, int attribute, int value)
{
    MEASURED_ONCE(cuFuncSetAttribute, function, (function, attribute, value));
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared)
{
    MEASURED_ONCE(cuOccupancyMaxActiveBlocksPerMultiprocessor, function, (blocks, function, threads, shared));
}

int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, void *function, int threads, size_t shared,
                                                         unsigned flags)
{
    MEASURED_ONCE(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, function, (blocks, function, threads, shared, flags));
}

/* ---- limits, streams, graphs ---- */

int cuCtxSetLimit(int limit, size_t value)
{
    MEASURED(cuCtxSetLimit, LIMIT, (limit, value));
}

int cuCtxEnablePeerAccess(void *context, unsigned flags)
{
    MEASURED(cuCtxEnablePeerAccess, LIMIT, (context, flags));
}

int cuStreamCreate(void **out, unsigned flags)
{
    MEASURED(cuStreamCreate, STREAM, (out, flags));
}

int cuStreamCreateWithPriority(void **out, unsigned flags, int priority)
{
    MEASURED(cuStreamCreateWithPriority, STREAM, (out, flags, priority));
}

int cuStreamDestroy(void *stream)
{
    MEASURED(cuStreamDestroy, STREAM, (stream));
}

int cuStreamDestroy_v2(void *stream)
{
    MEASURED(cuStreamDestroy_v2, STREAM, (stream));
}

int cuGraphInstantiate(void **out, void *graph, void **node, char *text, size_t bytes)
{
    MEASURED(cuGraphInstantiate, GRAPH, (out, graph, node, text, bytes));
}

int cuGraphInstantiate_v2(void **out, void *graph, void **node, char *text, size_t bytes)
{
    MEASURED(cuGraphInstantiate_v2, GRAPH, (out, graph, node, text, bytes));
}

int cuGraphInstantiateWithFlags(void **out, void *graph, unsigned long long flags)
{
    MEASURED(cuGraphInstantiateWithFlags, GRAPH, (out, graph, flags));
}

int cuGraphInstantiateWithParams(void **out, void *graph, void *params)
{
    MEASURED(cuGraphInstantiateWithParams, GRAPH, (out, graph, params));
}

int cuGraphInstantiateWithParams_ptsz(void **out, void *graph, void *params)
{
    MEASURED(cuGraphInstantiateWithParams_ptsz, GRAPH, (out, graph, params));
}

int cuGraphUpload(void *graph, void *stream)
{
    MEASURED(cuGraphUpload, GRAPH, (graph, stream));
}

int cuGraphUpload_ptsz(void *graph, void *stream)
{
    MEASURED(cuGraphUpload_ptsz, GRAPH, (graph, stream));
}

int cuGraphExecDestroy(void *graph)
{
    MEASURED(cuGraphExecDestroy, GRAPH, (graph));
}
