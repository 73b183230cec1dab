/* SPDX-License-Identifier: MIT
 *
 * driver_graph.c: stands in front of the driver calls by which graphs allocate. A graph's allocation is an address; memory
 * is taken from the device's graph pool when the graph first runs.
 * Must never touch a graph.
 */
#include <errno.h>

#include "driver.h"

static int node_alloc(int result, const struct vs_cu_alloc_node *params, uint64_t caller)
{
    int device = VS_ON_CURRENT;
    if (!result && params->pool.location.type == VS_CU_LOCATION_DEVICE)
        device = params->pool.location.id;
    if (!result)
        vs_driver_pool_graphs_used(device == VS_ON_CURRENT ? vs_driver_current_device() : device);
    return vs_driver_allocated(result, &(struct vs_driver_alloc){.memory = VS_MEM_CUDA_ASYNC, .device = device,
                                                                 .address = result ? 0 : params->address,
                                                                 .asked = params ? params->bytes : 0,
                                                                 .bytes = params ? params->bytes : 0,
                                                                 .flags = VS_AF_CAPTURED, .caller = caller});
}

int cuGraphAddMemAllocNode(void **out, void *graph, void *const *after, size_t n, struct vs_cu_alloc_node *params)
{
    VS_HOOKED(cuGraphAddMemAllocNode, (out, graph, after, n, params));
    return node_alloc(real(out, graph, after, n, params), params, VS_CALLER);
}

int cuGraphAddMemFreeNode(void **out, void *graph, void *const *after, size_t n, uint64_t address)
{
    VS_HOOKED(cuGraphAddMemFreeNode, (out, graph, after, n, address));
    struct vs_taken t = vs_driver_take();
    return vs_driver_freed(real(out, graph, after, n, address), t, VS_MEM_CUDA_ASYNC, address);
}

static inline int node_kind(const struct vs_cu_node_params *params)
{
    return params ? params->type : -1;
}

int cuGraphAddNode(void **out, void *graph, void *const *after, size_t n, struct vs_cu_node_params *params)
{
    VS_HOOKED(cuGraphAddNode, (out, graph, after, n, params));
    int kind = node_kind(params);
    struct vs_taken t = kind == VS_CU_NODE_FREE ? vs_driver_take() : (struct vs_taken){0, 0};
    int result = real(out, graph, after, n, params);
    if (kind == VS_CU_NODE_ALLOC)
        return node_alloc(result, &params->u.alloc, VS_CALLER);
    return kind == VS_CU_NODE_FREE ? vs_driver_freed(result, t, VS_MEM_CUDA_ASYNC, params->u.freed)
                                   : vs_driver_leave(result);
}

int cuGraphAddNode_v2(void **out, void *graph, void *const *after, const void *edges, size_t n,
                      struct vs_cu_node_params *params)
{
    VS_HOOKED(cuGraphAddNode_v2, (out, graph, after, edges, n, params));
    int kind = node_kind(params);
    struct vs_taken t = kind == VS_CU_NODE_FREE ? vs_driver_take() : (struct vs_taken){0, 0};
    int result = real(out, graph, after, edges, n, params);
    if (kind == VS_CU_NODE_ALLOC)
        return node_alloc(result, &params->u.alloc, VS_CALLER);
    return kind == VS_CU_NODE_FREE ? vs_driver_freed(result, t, VS_MEM_CUDA_ASYNC, params->u.freed)
                                   : vs_driver_leave(result);
}

/* Measured: the graph pool grows inside the first launch. Asked only in programs whose graphs allocate. */
static inline int graph_ran(int result)
{
    if (result == VS_CU_SUCCESS && vs_driver_pool_any_graphs() && vs_log_active()) {
        int saved = errno;
        vs_driver_pool_sample_graphs(false);
        errno = saved;
    }
    return vs_driver_leave(result);
}

static inline uint32_t graph_depth(void)
{
    return vs_driver_pool_any_graphs() ? VS_DEPTH_COUNTED : VS_DEPTH_QUIET;
}

int cuGraphLaunch(void *graph, void *stream)
{
    VS_HOOKED_AS(graph_depth(), cuGraphLaunch, (graph, stream));
    return graph_ran(real(graph, stream));
}

int cuGraphLaunch_ptsz(void *graph, void *stream)
{
    VS_HOOKED_AS(graph_depth(), cuGraphLaunch_ptsz, (graph, stream));
    return graph_ran(real(graph, stream));
}

int cuDeviceGraphMemTrim(int device)
{
    VS_HOOKED(cuDeviceGraphMemTrim, (device));
    return graph_ran(real(device));
}
