/* SPDX-License-Identifier: MIT
 *
 * train_attention.cu: attention of train.h on the GPU: checks a call and picks who runs it: a fused kernel that takes the case
 * (cuDNN's for bfloat16, where cuDNN is there; our own for float32), else blocks of scores. It launches nothing itself.
 *
 * VRAMSCOPE_ATTENTION=blocks leaves the fused kernels out.
 */
#include "kernels/train_attention.cuh"

#include <cstdlib>
#include <cstring>

#include "kernels/train.cuh"

namespace {

bool fits(size_t a, size_t b, size_t c)
{
    size_t x;
    return !__builtin_mul_overflow(a, b, &x) && !__builtin_mul_overflow(x, c, &x) && x <= PTRDIFF_MAX / 64;
}

int check_shape(const vs_train_on *on, const vs_train_attention *p)
{
    if (!p) return vs_cuda_refuse(-EINVAL, "attention: no call");
    int err = train::check(on, {p->B, p->T, p->heads, p->kv_heads, p->width, p->row}, {});
    if (err) return err;
    if (!on->context) return vs_cuda_refuse(-EINVAL, "attention: no context");
    if (p->heads % p->kv_heads)
        return vs_cuda_refuse(-EINVAL, "attention: the number of heads is no multiple of the number of key heads");
    /* what one product counts in, and twice a row of scores */
    if (p->heads > 65535 || p->T > (1u << 29) || p->row > INT_MAX || p->width > INT_MAX / p->heads)
        return vs_cuda_refuse(-EOVERFLOW, "attention: a head, a row or a sample is too long");
    if (p->row < p->heads * p->width)
        return vs_cuda_refuse(-EINVAL, "attention: rows are closer than the heads of one token are long");
    if (!fits(p->B, p->T, p->row)) return vs_cuda_refuse(-EOVERFLOW, "attention: the buffers are larger than memory can be");
    return 0;
}

int check_choice()
{
    const char *wanted = getenv("VRAMSCOPE_ATTENTION");
    if (!wanted || !*wanted || !strcmp(wanted, "auto") || !strcmp(wanted, "blocks")) return 0;
    return vs_cuda_refuse(-EINVAL, "VRAMSCOPE_ATTENTION must be auto or blocks");
}

/* Of a call whose shape is good. */
const vs_attention_backend *backend(const vs_train_on *on, const vs_train_attention *p)
{
    const char *wanted = getenv("VRAMSCOPE_ATTENTION");
    if (wanted && !strcmp(wanted, "blocks")) return &vs_attention_blocks;
    if (vs_attention_fused.takes(on, p)) return &vs_attention_fused;
    if (on->dtype == VS_TRAIN_bf16 && vs_attention_cudnn) {
        const vs_attention_backend *cudnn = vs_attention_cudnn();
        if (cudnn && cudnn->takes(on, p)) return cudnn;
    }
    return &vs_attention_blocks;
}

int check(const vs_train_on *on, const vs_train_attention *p, bool backward)
{
    int err = check_shape(on, p);
    if (!err) err = check_choice();
    if (!err) err = train::check(on, {}, {p->q, p->k, p->v, p->o, p->stats});
    if (!err && backward) err = train::check(on, {}, {p->d_o, p->dq, p->dk, p->dv});
    if (err) return err;
    size_t want = backend(on, p)->bytes(on, p, backward);
    if (p->workspace_bytes < want) return vs_cuda_refuse(-ENOBUFS, "attention: the workspace is too small");
    if (want && (!p->workspace || !train::aligned({p->workspace})))
        return vs_cuda_refuse(-EINVAL, "attention: no workspace, or none at a multiple of 16 bytes");
    return 0;
}

} // namespace

/* 0 for a call that forward and backward refuse. */
size_t vs_train_attention_bytes(const vs_train_on *on, const vs_train_attention *p, bool backward)
{
    return check_shape(on, p) ? 0 : backend(on, p)->bytes(on, p, backward);
}

int vs_train_attention_forward(const vs_train_on *on, const vs_train_attention *p)
{
    int err = check(on, p, false);
    return err ? err : backend(on, p)->forward(on, p);
}

int vs_train_attention_backward(const vs_train_on *on, const vs_train_attention *p)
{
    int err = check(on, p, true);
    return err ? err : backend(on, p)->backward(on, p);
}

const char *vs_train_attention_by(const vs_train_on *on, const vs_train_attention *p)
{
    return check_shape(on, p) ? vs_attention_blocks.name : backend(on, p)->name;
}
