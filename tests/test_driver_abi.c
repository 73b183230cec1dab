/* SPDX-License-Identifier: MIT
 *
 * test_driver_abi.c: profiler/cuda_abi.h against NVIDIA's cuda.h, where there is one. It must never be the reason why
 * something needs a CUDA toolkit.
 */
#include <check.h>
#include <stddef.h>

#include "profiler/array_bytes.h"
#include "profiler/cuda_abi.h"

#if __has_include(<cuda.h>)
#include <cuda.h>
#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #theirs);
#define SAME(ours, field, theirs, their_field)                                         \
    _Static_assert(offsetof(ours, field) == offsetof(theirs, their_field) &&           \
                   sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->their_field), #theirs "." #their_field);
SAME_SIZE(uint64_t, CUdeviceptr)
SAME_SIZE(uint64_t, CUmemGenericAllocationHandle)
SAME_SIZE(int, CUresult)
SAME_SIZE(int, CUdevice)
SAME_SIZE(struct vs_cu_mem_prop, CUmemAllocationProp)
SAME(struct vs_cu_mem_prop, location, CUmemAllocationProp, location)
SAME(struct vs_cu_mem_location, id, CUmemLocation, id)
SAME_SIZE(struct vs_cu_pool_props, CUmemPoolProps)
SAME(struct vs_cu_pool_props, location, CUmemPoolProps, location)
SAME_SIZE(struct vs_cu_array, CUDA_ARRAY_DESCRIPTOR)
SAME(struct vs_cu_array, format, CUDA_ARRAY_DESCRIPTOR, Format)
SAME(struct vs_cu_array, channels, CUDA_ARRAY_DESCRIPTOR, NumChannels)
SAME_SIZE(struct vs_cu_array3d, CUDA_ARRAY3D_DESCRIPTOR)
SAME(struct vs_cu_array3d, depth, CUDA_ARRAY3D_DESCRIPTOR, Depth)
SAME(struct vs_cu_array3d, channels, CUDA_ARRAY3D_DESCRIPTOR, NumChannels)
SAME(struct vs_cu_array3d, flags, CUDA_ARRAY3D_DESCRIPTOR, Flags)
SAME_SIZE(struct vs_cu_ipc, CUipcMemHandle)
SAME_SIZE(struct vs_cu_pool_pointer, CUmemPoolPtrExportData)
SAME_SIZE(struct vs_cu_external_buffer, CUDA_EXTERNAL_MEMORY_BUFFER_DESC)
SAME(struct vs_cu_external_buffer, size, CUDA_EXTERNAL_MEMORY_BUFFER_DESC, size)
SAME_SIZE(struct vs_cu_external_mipmap, CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC)
SAME(struct vs_cu_external_mipmap, array, CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC, arrayDesc)
SAME(struct vs_cu_external_mipmap, levels, CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC, numLevels)
SAME_SIZE(struct vs_cu_multicast, CUmulticastObjectProp)
SAME_SIZE(struct vs_cu_alloc_node, CUDA_MEM_ALLOC_NODE_PARAMS)
SAME(struct vs_cu_alloc_node, bytes, CUDA_MEM_ALLOC_NODE_PARAMS, bytesize)
SAME(struct vs_cu_alloc_node, address, CUDA_MEM_ALLOC_NODE_PARAMS, dptr)
SAME_SIZE(struct vs_cu_node_params, CUgraphNodeParams)
SAME(struct vs_cu_node_params, u.alloc, CUgraphNodeParams, alloc)
SAME(struct vs_cu_node_params, u.freed, CUgraphNodeParams, free.dptr)
SAME_SIZE(struct vs_cu_uuid, CUuuid)
_Static_assert((int)VS_CU_POOL_RESERVED_CURRENT == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT &&
               (int)VS_CU_POOL_RESERVED_HIGH == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH &&
               (int)VS_CU_POOL_USED_CURRENT == CU_MEMPOOL_ATTR_USED_MEM_CURRENT, "pool attributes");
_Static_assert((int)VS_CU_GRAPH_USED_CURRENT == CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT &&
               (int)VS_CU_GRAPH_RESERVED_CURRENT == CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT &&
               (int)VS_CU_GRAPH_RESERVED_HIGH == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH, "graph attributes");
_Static_assert((int)VS_CU_NODE_ALLOC == CU_GRAPH_NODE_TYPE_MEM_ALLOC && (int)VS_CU_NODE_FREE == CU_GRAPH_NODE_TYPE_MEM_FREE &&
               (int)VS_CU_CAPTURING == CU_STREAM_CAPTURE_STATUS_ACTIVE && CU_STREAM_CAPTURE_MODE_RELAXED == 2 &&
               (int)VS_CU_LOCATION_DEVICE == CU_MEM_LOCATION_TYPE_DEVICE, "kinds");
_Static_assert((int)VS_CU_NOT_INITIALIZED == CUDA_ERROR_NOT_INITIALIZED && (int)VS_CU_OUT_OF_MEMORY == CUDA_ERROR_OUT_OF_MEMORY,
               "errors");
_Static_assert((int)VS_CU_ARRAY_LAYERED == CUDA_ARRAY3D_LAYERED && (int)VS_CU_ARRAY_CUBEMAP == CUDA_ARRAY3D_CUBEMAP &&
               (int)VS_CU_ARRAY_SPARSE == CUDA_ARRAY3D_SPARSE && (int)VS_CU_ARRAY_DEFERRED == CUDA_ARRAY3D_DEFERRED_MAPPING, "arrays");
#define COMPARED 1
#else
#define COMPARED 0
#endif

Suite *make_driver_abi_suite(void);

/* Bytes of arrays: measured values of an H200 where there are any, else what the format says. */
START_TEST(test_array_bytes)
{
    static const struct {
        struct vs_cu_array3d desc;
        unsigned levels;
        uint64_t bytes;
    } rows[] = {
        {{100, 10, 0, 0x20, 1, 0}, 1, 4000},       {{1000, 0, 0, 0x20, 1, 0}, 1, 4000},
        {{1024, 1024, 0, 0x20, 1, 0}, 1, 4194304}, {{17, 9, 5, 0x20, 4, 0}, 1, 12240},
        {{64, 64, 6, 0x01, 4, 0x04}, 1, 98304},    {{100, 100, 7, 0x01, 4, 0x01}, 1, 280000},
        {{256, 256, 0, 0x01, 4, 0}, 5, 349184},    {{256, 256, 0, 0x01, 4, 0}, 99, 349524},
        {{64, 64, 6, 0x10, 2, 0x04}, 2, 122880},   {{8, 8, 8, 0x01, 1, 0}, 4, 585},
        {{10, 10, 0, 0x91, 4, 0}, 1, 72},          {{64, 64, 0, 0x9d, 4, 0}, 1, 4096},
        {{64, 64, 0, 0xb0, 3, 0}, 1, 6144},        {{1 << 14, 1 << 14, 0, 0x20, 4, 0x40}, 1, 0},
    };
    ck_assert_uint_eq(vs_array_bytes(&rows[_i].desc, rows[_i].levels), rows[_i].bytes);
}
END_TEST

Suite *make_driver_abi_suite(void)
{
    Suite *s = suite_create(COMPARED ? "driver_abi" : "driver_abi (no cuda.h)");
    TCase *t = tcase_create("arrays");
    tcase_add_loop_test(t, test_array_bytes, 0, 14);
    suite_add_tcase(s, t);
    return s;
}
