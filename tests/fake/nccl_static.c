/* SPDX-License-Identifier: MIT
 *
 * fake/nccl_static.c: stand-in for a library with NCCL linked statically into it and NCCL's symbols exported, as some
 * builds of PyTorch have it: its own calls go through our wrappers, and NCCL is in no library of its own name.
 * Must never be loaded together with the stand-in for libnccl.so.2.
 */
#include "nccl.c"

EXPORTED int fake_static_work(void);
int fake_static_work(void)
{
    struct vs_nccl_id id;
    vs_nccl_comm comm = NULL;
    char buffer[8];
    int result;
    memset(&id, 3, sizeof id);
    result = ncclCommInitRank(&comm, 2, id, 1);
    if (!result)
        result = ncclAllReduce(buffer, buffer, 2, 2, 0, comm, NULL);
    return result ? result : (int)fake_nccl_calls("AllReduce") - 1;
}
