/* SPDX-License-Identifier: MIT
 *
 * mma_sums.cuh: how the tiles of many blocks become the norms of samples, the same on every run. A block leaves its part in a
 * slot of its own; the block that takes the last ticket adds all parts in the order of their slots. Tickets wrap to zero by
 * themselves, so a workspace that is zero once stays ready. It multiplies no matrix.
 */
#ifndef VS_KERNELS_MMA_SUMS_CUH
#define VS_KERNELS_MMA_SUMS_CUH

#include "kernels/mma_ring.cuh"

namespace mma {

struct sample_sum {
    double n, absolute;
};

/* Sum over a warp, in lane 0. */
__device__ inline double warp_sum(double value)
{
    for (int away = 16; away; away /= 2) value += __shfl_down_sync(~0u, value, away);
    return value;
}

/* A block's own part, by warps. Lane 0 of each warp alone touches its warp's. */
template <class S> struct block_sum {
    sample_sum warps[S::WARPS];

    __device__ void clear()
    {
        if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = {0, 0};
    }
    __device__ void add(double n, double absolute)
    {
        n = warp_sum(n);
        absolute = warp_sum(absolute);
        if (threadIdx.x % 32) return;
        warps[threadIdx.x / 32].n += n;
        warps[threadIdx.x / 32].absolute += absolute;
    }

    /* Leaves the part in slots[slot] and clears it. True in thread 0 of the block that finds all `count` slots filled; *sum is
     * the sample's then. The whole block calls it. */
    __device__ bool leave(sample_sum *slots, unsigned count, unsigned slot, unsigned *ticket, sample_sum *sum)
    {
        *sum = {0, 0};
        __syncthreads();
        if (threadIdx.x < 32)
            for (int w = 0; w < S::WARPS; w++) {
                sum->n += warps[w].n;
                sum->absolute += warps[w].absolute;
            }
        __syncthreads();
        clear();
        if (threadIdx.x >= 32) return false;
        if (count == 1) return threadIdx.x == 0;
        bool last = false;
        if (threadIdx.x == 0) {
            slots[slot] = *sum;
            __threadfence();
            last = atomicInc(ticket, count - 1) == count - 1;
        }
        if (!__shfl_sync(~0u, last, 0)) return false;
        __threadfence();
        double n = 0, absolute = 0;
        for (unsigned i = threadIdx.x; i < count; i += 32) {
            n += __ldcg(&slots[i].n);
            absolute += __ldcg(&slots[i].absolute);
        }
        *sum = {warp_sum(n), warp_sum(absolute)};
        return threadIdx.x == 0;
    }
};

/* ---- tiles whose contraction is split over blocks: parts in memory, in the order of the threads' registers ---- */

template <class S> __device__ inline void store_part(float *tiles, uint64_t part, const typename S::sums &sum)
{
    float4 *to = reinterpret_cast<float4 *>(tiles + part * S::M * S::N) + threadIdx.x;
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++)
            __stcg(to + (i * S::NT + j) * S::THREADS, make_float4(sum[i][j][0], sum[i][j][1], sum[i][j][2], sum[i][j][3]));
}

/* sum = parts [part, part + count). */
template <class S>
__device__ inline void load_parts(const float *tiles, uint64_t part, unsigned count, typename S::sums &sum)
{
    clear<S>(sum);
    const float4 *from = reinterpret_cast<const float4 *>(tiles + part * S::M * S::N) + threadIdx.x;
    for (; count; count--, from += S::M * S::N / 4) {
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int j = 0; j < S::NT; j++) {
                float4 v = __ldcg(from + (i * S::NT + j) * S::THREADS);
                sum[i][j][0] += v.x, sum[i][j][1] += v.y, sum[i][j][2] += v.z, sum[i][j][3] += v.w;
            }
    }
}

/* True in all threads of the block that comes last of `count`: it may read what the others have stored. */
__device__ inline bool last_block(unsigned *ticket, unsigned count)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicInc(ticket, count - 1) == count - 1;
        __threadfence();
    }
    __syncthreads();
    return last;
}

} // namespace mma

#endif
