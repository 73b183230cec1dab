/* SPDX-License-Identifier: MIT
 *
 * norm_pick.cuh: which backend runs which layers of a call: the Hopper one those that it takes, the portable one the rest (a
 * vocabulary of odd width must not slow the whole model down). It computes nothing.
 */
#ifndef VS_KERNELS_NORM_PICK_CUH
#define VS_KERNELS_NORM_PICK_CUH

#include <memory>
#include <new>

#include "kernels/cuda.cuh"

namespace norm_pick {

struct backends {
    const vs_norms_backend *fast, *portable;
};

/* A call cut in two; `layers` holds both lists. */
struct halves {
    std::unique_ptr<vs_norms_layer[]> layers;
    vs_norms_call fast, portable;
};

inline int cut(const backends &by, const vs_norms_call *call, halves *out)
{
    out->layers.reset(new (std::nothrow) vs_norms_layer[call->count]);
    if (!out->layers) return vs_cuda_refuse(-ENOMEM, "no host memory for the table of layers");
    vs_norms_call one = *call;
    size_t taken = 0, left = call->count;
    one.count = 1;
    for (size_t i = 0; i < call->count; i++) {
        one.layers = &call->layers[i];
        if (by.fast->takes(&one)) out->layers[taken++] = call->layers[i];
    }
    for (size_t i = call->count; i > 0; i--) { /* from the end, so that their order stays and inputs stay shared */
        one.layers = &call->layers[i - 1];
        if (!by.fast->takes(&one)) out->layers[--left] = call->layers[i - 1];
    }
    out->fast = out->portable = *call;
    out->fast.layers = out->layers.get();
    out->fast.count = taken;
    out->portable.layers = out->layers.get() + taken;
    out->portable.count = call->count - taken;
    return 0;
}

/* The second half counts the samples it recomputes in a word of its own, behind all else. */
constexpr size_t SECOND_COUNT_BYTES = 256;

inline size_t larger_workspace(const backends &by, const halves &h)
{
    size_t fast = by.fast->workspace_bytes(&h.fast), portable = by.portable->workspace_bytes(&h.portable);
    return ((fast > portable ? fast : portable) + 255) / 256 * 256;
}

inline size_t workspace_bytes(const backends &by, const vs_norms_call *call)
{
    halves h;
    if (!call->context) return 0; /* run refuses it */
    if (by.fast->takes(call)) return by.fast->workspace_bytes(call);
    if (!by.portable->takes(call) || cut(by, call, &h)) return 0;
    if (!h.fast.count || !h.portable.count) return by.portable->workspace_bytes(call);
    return larger_workspace(by, h) + SECOND_COUNT_BYTES;
}

/* Expected of the whole call; 0: nobody can say. */
inline double seconds(const backends &by, const vs_norms_call *call)
{
    return by.fast->seconds && by.fast->takes(call) ? by.fast->seconds(call) : 0;
}

static __global__ void add_count(unsigned *to, const unsigned *from)
{
    *to += *from;
}

inline int run_halves(const backends &by, halves &h)
{
    unsigned *total = h.fast.recomputed;
    if (total)
        h.portable.recomputed =
            reinterpret_cast<unsigned *>(static_cast<char *>(h.fast.workspace) + larger_workspace(by, h));
    int err = by.fast->run(&h.fast);
    if (!err) err = by.portable->run(&h.portable);
    if (err || !total) return err;
    return vs_cuda_launch("counter of recomputed samples", add_count, 1, 1, 0, static_cast<cudaStream_t>(h.fast.stream),
                          total, h.portable.recomputed);
}

/* Of a checked call. */
inline int run(const backends &by, const vs_norms_call *call)
{
    halves h;
    int err = vs_cuda_here(vs_cuda_context_of(call));
    if (err) return err;
    if (by.fast->takes(call)) return by.fast->run(call);
    if (!by.portable->takes(call))
        return vs_cuda_refuse(-ENOTSUP, "gram and direct need a GPU of compute capability 8.0 or later (A100, H100 and "
                                        "newer)");
    err = cut(by, call, &h);
    if (err) return err;
    return h.fast.count && h.portable.count ? run_halves(by, h) : by.portable->run(call);
}

} // namespace norm_pick

#endif
