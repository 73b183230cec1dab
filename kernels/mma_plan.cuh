/* SPDX-License-Identifier: MIT
 *
 * mma_plan.cuh: what the hosts of both portable backends share: how many stages and blocks a shape gets on a device, where
 * the tickets are, and the direct pass that a Gram call repeats a sample with. It launches nothing.
 */
#ifndef VS_KERNELS_MMA_PLAN_CUH
#define VS_KERNELS_MMA_PLAN_CUH

#include "kernels/cublas.cuh"
#include "kernels/mma_sums.cuh"

namespace mma {

/* Counters at the workspace's begin, zero between calls. No more than the Hopper backends have: what they keep behind theirs
 * is not zero. */
constexpr unsigned TILES_MOST = 256, SAMPLES_MOST = 256, MEMBERS = 3; /* MEMBERS: layers that share an input, q,k,v */
constexpr unsigned SAMPLE_TICKETS = TILES_MOST;                       /* first word of theirs; of tiles: 0 */
static_assert((TILES_MOST + SAMPLES_MOST * MEMBERS) * sizeof(unsigned) == 4096 && VS_WORKSPACE_COUNTERS >= 4096, "they fit");

constexpr size_t PARTS_MOST_BYTES = 16 << 20; /* of tiles whose contraction is split */

inline uint64_t ceil_div(uint64_t n, uint64_t by)
{
    return (n + by - 1) / by;
}

inline size_t device_figure(const vs_cuda_context *context, cudaDeviceAttr what, int least)
{
    int value = 0;
    if (cudaDeviceGetAttribute(&value, what, context->device) != cudaSuccess || value < least) value = least;
    return static_cast<size_t>(value);
}

/* Stages that fit beside `held` bytes, at most 4; 0: not even two, the shape cannot run here. The least figures are those
 * of sm_86; a block has a little shared memory besides. */
template <class S> int stages_of(const vs_cuda_context *context, size_t held)
{
    size_t block = device_figure(context, cudaDevAttrMaxSharedMemoryPerBlockOptin, 99 * 1024) - 1024;
    size_t all = device_figure(context, cudaDevAttrMaxSharedMemoryPerMultiprocessor, 100 * 1024);
    size_t share = all / S::RESIDENT - 2048, room = share < block ? share : block;
    size_t stages = room > held ? (room - held) / S::STAGE_BYTES : 0;
    if (stages > 4) stages = 4;
    if (stages >= 2) return static_cast<int>(stages);
    return 2 * S::STAGE_BYTES + held <= block ? 2 : 0;
}

inline unsigned blocks_of(uint64_t items, int resident, const vs_cuda_context *context)
{
    uint64_t most = static_cast<uint64_t>(context->sm_count) * resident;
    return static_cast<unsigned>(items < most ? items : most);
}

inline matrix matrix_of(const void *X, size_t rows, size_t width, size_t size)
{
    const char *first = static_cast<const char *>(X);
    uintptr_t bits = reinterpret_cast<uintptr_t>(X) | width * size;
    return {first, first + rows * width * size, width, bits % 16 == 0 ? 16 : bits % 4 == 0 ? 4 : 2};
}

/* Samples [b, b + count) of a layer. */
inline vs_norms_layer slice_of(const vs_norms_layer &layer, size_t b, size_t count, size_t size)
{
    vs_norms_layer l = layer;
    l.B = count;
    l.A = static_cast<const char *>(l.A) + b * l.T * l.d * size;
    l.G = static_cast<const char *>(l.G) + b * l.T * l.p * size;
    l.n += b;
    if (l.absolute) l.absolute += b;
    if (l.gradient) l.gradient += b * l.d * l.p;
    return l;
}

inline bool takes(const vs_norms_call *call)
{
    return vs_cuda_context_of(call)->major >= 8;
}

/* Where a launch finds its workspace: `counters` at its head, `memory` for the rest. */
struct space {
    unsigned *counters;
    char *memory;
};

/* One layer of at most SAMPLES_MOST samples by the gradient; memory: direct_bytes() of it, aligned to 256. flags: per sample,
 * which to compute; NULL: all, and a tile's contraction may be split. */
size_t direct_bytes(const vs_norms_layer *layer, vs_norms_dtype dtype, const vs_cuda_context *context, bool flagged);
int direct_layer(const vs_norms_layer *layer, vs_norms_dtype dtype, const vs_cuda_context *context, const unsigned *flags,
                 const space &at, cudaStream_t stream);

} // namespace mma

#endif
