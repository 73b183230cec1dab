/* SPDX-License-Identifier: MIT
 *
 * norm_direct.cu: the name `direct` on the GPU: checks the call and gives its layers to the direct backends. It computes nothing.
 */
#include "kernels/device_cuda.cuh"
#include "kernels/norm_pick.cuh"

namespace {

constexpr norm_pick::backends BY = {&vs_direct_sm90, &vs_direct_mma};

size_t workspace_bytes(const vs_norms_call *call)
{
    return norm_pick::workspace_bytes(BY, call);
}

int run(const vs_norms_call *call)
{
    if (!call || !call->context) return vs_cuda_refuse(-EINVAL, "direct: no context");
    int err = vs_norms_check_run(&vs_norms_cuda_direct, call, true);
    return err ? err : norm_pick::run(BY, call);
}

} // namespace

double vs_cuda_direct_seconds(const vs_norms_call *call)
{
    return norm_pick::seconds(BY, call);
}

const vs_norms_algorithm vs_norms_cuda_direct = {"direct", workspace_bytes, run};
