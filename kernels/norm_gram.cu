/* SPDX-License-Identifier: MIT
 *
 * norm_gram.cu: the name `gram` on the GPU: checks the call and gives its layers to the Gram backends. It computes nothing.
 */
#include "kernels/device_cuda.cuh"
#include "kernels/norm_pick.cuh"

namespace {

constexpr norm_pick::backends BY = {&vs_gram_sm90, &vs_gram_mma};

size_t workspace_bytes(const vs_norms_call *call)
{
    return norm_pick::workspace_bytes(BY, call);
}

int run(const vs_norms_call *call)
{
    if (!call || !call->context) return vs_cuda_refuse(-EINVAL, "gram: no context");
    int err = vs_norms_check_run(&vs_norms_cuda_gram, call, false);
    return err ? err : norm_pick::run(BY, call);
}

} // namespace

double vs_cuda_gram_seconds(const vs_norms_call *call)
{
    return norm_pick::seconds(BY, call);
}

const vs_norms_algorithm vs_norms_cuda_gram = {"gram", workspace_bytes, run};
