/* SPDX-License-Identifier: MIT
 *
 * nccl_abi.h: the few types of NCCL's C interface that the wrappers pass on. Must never include nccl.h: the recorder is
 * built where no CUDA toolkit is. tests/programs/nccl_abi.c compares this with the real header where it exists.
 */
#ifndef VS_PROFILER_NCCL_ABI_H
#define VS_PROFILER_NCCL_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef void *vs_nccl_comm;
typedef void *vs_cuda_stream;

struct vs_nccl_id { /* ncclUniqueId, passed by value */
    char bytes[128];
};

enum vs_nccl_result {
    VS_NCCL_SUCCESS = 0,
    VS_NCCL_SYSTEM_ERROR = 2, /* what a wrapper returns when there is no NCCL in the process */
    VS_NCCL_IN_PROGRESS = 7
};

/* Bytes of one element, in the order of ncclDataType_t. */
#define VS_NCCL_TYPE_BYTES {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1}
enum { VS_NCCL_TYPES = 12 };

#endif
