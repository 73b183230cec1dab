/* SPDX-License-Identifier: MIT
 *
 * cuda_abi.h: the few types and numbers of the CUDA driver's binary interface that the recorder reads, so that it builds
 * where no CUDA header is. tests/test_driver_abi.c compares them with cuda.h where there is one.
 * Must never declare a function, nor anything the recorder does not read.
 *
 * CUresult, CUdevice and the enumerations are int; CUdeviceptr and CUmemGenericAllocationHandle are uint64_t; handles
 * (CUcontext, CUstream, CUarray, CUmemoryPool, CUgraph ...) are void *.
 */
#ifndef VS_PROFILER_CUDA_ABI_H
#define VS_PROFILER_CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

enum vs_cu_result { VS_CU_SUCCESS = 0, VS_CU_OUT_OF_MEMORY = 2, VS_CU_NOT_INITIALIZED = 3 };

enum vs_cu_location { VS_CU_LOCATION_DEVICE = 1 };
struct vs_cu_mem_location { /* CUmemLocation */
    int type;               /* enum vs_cu_location; others are host memory */
    int id;
};

struct vs_cu_mem_prop { /* CUmemAllocationProp */
    int type;
    int handle_types;
    struct vs_cu_mem_location location;
    void *win32;
    unsigned char alloc_flags[8];
};

struct vs_cu_pool_props { /* CUmemPoolProps */
    int alloc_type;
    int handle_types;
    struct vs_cu_mem_location location;
    void *win32;
    size_t max_bytes;
    unsigned short usage;
    unsigned char reserved[54];
};

enum vs_cu_pool_attribute {
    VS_CU_POOL_RESERVED_CURRENT = 5,
    VS_CU_POOL_RESERVED_HIGH = 6,
    VS_CU_POOL_USED_CURRENT = 7
};
enum vs_cu_graph_attribute {
    VS_CU_GRAPH_USED_CURRENT = 0,
    VS_CU_GRAPH_RESERVED_CURRENT = 2,
    VS_CU_GRAPH_RESERVED_HIGH = 3
};

struct vs_cu_array_v1 { /* CUDA_ARRAY_DESCRIPTOR_v1 */
    unsigned width, height;
    int format;
    unsigned channels;
};
struct vs_cu_array { /* CUDA_ARRAY_DESCRIPTOR */
    size_t width, height;
    int format;
    unsigned channels;
};
struct vs_cu_array3d_v1 { /* CUDA_ARRAY3D_DESCRIPTOR_v1 */
    unsigned width, height, depth;
    int format;
    unsigned channels, flags;
};
struct vs_cu_array3d { /* CUDA_ARRAY3D_DESCRIPTOR */
    size_t width, height, depth;
    int format;
    unsigned channels, flags;
};
enum vs_cu_array_flags {
    VS_CU_ARRAY_LAYERED = 0x01,
    VS_CU_ARRAY_CUBEMAP = 0x04,
    VS_CU_ARRAY_SPARSE = 0x40,  /* no memory of its own: cuMemMapArrayAsync puts cuMemCreate memory under it */
    VS_CU_ARRAY_DEFERRED = 0x80 /* likewise */
};

struct vs_cu_ipc { /* CUipcMemHandle, passed by value */
    char bytes[64];
};
struct vs_cu_pool_pointer { /* CUmemPoolPtrExportData */
    unsigned char bytes[64];
};
struct vs_cu_external_buffer { /* CUDA_EXTERNAL_MEMORY_BUFFER_DESC */
    unsigned long long offset, size;
    unsigned flags;
    unsigned reserved[16];
};
struct vs_cu_external_mipmap { /* CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC */
    unsigned long long offset;
    struct vs_cu_array3d array;
    unsigned levels;
    unsigned reserved[16];
};
struct vs_cu_multicast { /* CUmulticastObjectProp */
    unsigned devices;
    size_t size;
    unsigned long long handle_types, flags;
};

struct vs_cu_alloc_node { /* CUDA_MEM_ALLOC_NODE_PARAMS */
    struct vs_cu_pool_props pool;
    const void *access;
    size_t access_count;
    size_t bytes;
    uint64_t address; /* out */
};
enum vs_cu_node { VS_CU_NODE_ALLOC = 10, VS_CU_NODE_FREE = 11 };
struct vs_cu_node_params { /* CUgraphNodeParams */
    int type;              /* enum vs_cu_node, or one we do not read */
    int reserved[3];
    union {
        long long words[29];
        struct vs_cu_alloc_node alloc;
        uint64_t freed;
    } u;
    long long reserved2;
};

struct vs_cu_uuid {
    unsigned char bytes[16];
};

enum { VS_CU_CAPTURING = 1 }; /* CU_STREAM_CAPTURE_STATUS_ACTIVE */

#endif
