/* SPDX-License-Identifier: MIT
 *
 * train_attention_mma.cu: the fused backend of attention in float32 and TF32: which calls it takes, and the memory it needs. Its
 * kernels are in train_attention_mma_forward.cu and train_attention_mma_backward.cu; it launches nothing itself.
 */
#include <cmath>

#include "kernels/train_attention_mma.cuh"

namespace attention {

call call_of(const vs_train_attention *p)
{
    auto in = [](const void *x) { return static_cast<const float *>(x); };
    auto out = [](void *x) { return static_cast<float *>(x); };
    auto number = [](size_t n) { return static_cast<unsigned>(n); };
    double scale = 1 / std::sqrt(static_cast<double>(p->width));
    call c = {};
    c.q = in(p->q), c.k = in(p->k), c.v = in(p->v), c.d_o = in(p->d_o), c.dots = in(p->workspace);
    c.o = out(p->o), c.stats = out(p->stats), c.dq = out(p->dq), c.dk = out(p->dk), c.dv = out(p->dv);
    c.row = p->row, c.B = number(p->B), c.T = number(p->T), c.heads = number(p->heads), c.kv_heads = number(p->kv_heads);
    c.causal = p->causal, c.scale = static_cast<float>(scale), c.scale2 = static_cast<float>(scale * M_LOG2E);
    return c;
}

namespace {

constexpr size_t LEAST_ROWS = 64; /* of a block of threads */

/* Has the device the instructions and the shared memory? */
bool able(const vs_cuda_context *context, size_t width)
{
    int bytes = 0;
    size_t forward = forward_shared(width), backward = backward_shared(width), most = forward > backward ? forward : backward;
    return context->major >= 8 &&
           cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, context->device) == cudaSuccess &&
           static_cast<size_t>(bytes) >= most;
}

bool takes(const vs_train_on *on, const vs_train_attention *p)
{
    size_t blocks = 0;
    if (on->dtype != VS_TRAIN_fp32 && on->dtype != VS_TRAIN_tf32) return false;
    if ((p->width != 64 && p->width != 128) || p->row % 4) return false;
    if (!train::aligned({p->q, p->k, p->v, p->o, p->d_o, p->dq, p->dk, p->dv})) return false;
    if (__builtin_mul_overflow(p->B * p->heads, train::ceil_div(p->T, LEAST_ROWS), &blocks) || blocks > INT_MAX) return false;
    return able(static_cast<const vs_cuda_context *>(on->context), p->width);
}

size_t bytes(const vs_train_on *, const vs_train_attention *p, bool backward)
{
    return backward ? vs_align256(p->B * p->heads * p->T * sizeof(float)) : 0;
}

} // namespace
} // namespace attention

const vs_attention_backend vs_attention_fused = {"fused", attention::takes, attention::bytes, attention::forward,
                                                 attention::backward};
