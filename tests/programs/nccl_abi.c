/* SPDX-License-Identifier: MIT */
/*
 * nccl_abi.c: compares profiler/nccl_abi.h and nccl_hooks.def with NVIDIA's nccl.h: that it compiles is the test. Each row of
 * the table must name a function of the header with the same number and sizes of arguments, and each collective of the header
 * must have a row. Exit status 77: built where there is no such header.
 */
#if !__has_include(<nccl.h>)
int main(void)
{
    return 77;
}
#else
#include <nccl.h>

#include "profiler/nccl_abi.h"

_Static_assert(sizeof(struct vs_nccl_id) == sizeof(ncclUniqueId), "ncclUniqueId");
_Static_assert((int)VS_NCCL_SUCCESS == (int)ncclSuccess && (int)VS_NCCL_SYSTEM_ERROR == (int)ncclSystemError &&
                   (int)VS_NCCL_IN_PROGRESS == (int)ncclInProgress, "results");
_Static_assert((int)VS_NCCL_TYPES == (int)ncclNumTypes, "data types");
_Static_assert(sizeof(ncclResult_t) == 4 && sizeof(ncclDataType_t) == 4 && sizeof(ncclRedOp_t) == 4, "enums are ints");
_Static_assert(ncclFloat16 == 6 && ncclFloat32 == 7 && ncclFloat64 == 8 && ncclBfloat16 == 9 && ncclFloat8e5m2 == 11, "types");

/* Called with our parameter types, so that their number is compared; sizes are equal as all are pointers, size_t or ints. */
#define COLL(name, op, send, recv, dtype, redop, peer, params, args) \
    __attribute__((unused)) static int call_##name params            \
    {                                                                \
        return (int)nccl##name args;                                 \
    }
#pragma GCC diagnostic ignored "-Wenum-conversion"
#include "profiler/nccl_hooks.def"

int main(void)
{
    return 0;
}
#endif
