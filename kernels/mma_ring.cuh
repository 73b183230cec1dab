/* SPDX-License-Identifier: MIT
 *
 * mma_ring.cuh: the ring of stages between memory and the tensor cores, and the order in which blocks take tiles. All
 * threads of a block copy and multiply. It knows no norm.
 *
 * The ring never drains: while one tile is summed up, copies for the next are under way.
 *
 * Schedule. A block takes every gridDim.x-th of all items of all samples, in order. So when a sample has more items than
 * there are blocks, each block has some of every sample and leaves one partial sum in a slot of its own; else every item
 * has a slot. Nothing depends on which block is faster.
 */
#ifndef VS_KERNELS_MMA_RING_CUH
#define VS_KERNELS_MMA_RING_CUH

#include "kernels/mma_feed.cuh"

namespace mma {

/* All items of a launch. */
struct schedule {
    uint64_t each, total;  /* of a sample, of all */
    const unsigned *flags; /* of the samples that are wanted; NULL: all */
};

/* The block's items, as numbers among all. */
struct items {
    const schedule &of;
    uint64_t next;

    __device__ explicit items(const schedule &all) : of(all), next(blockIdx.x)
    {
    }
    /* Goes on to a wanted sample; false: there is none left. */
    __device__ bool settle()
    {
        while (next < of.total) {
            uint64_t b = next / of.each;
            if (!of.flags || of.flags[b]) return true;
            next += ((b + 1) * of.each - next + gridDim.x - 1) / gridDim.x * gridDim.x;
        }
        return false;
    }
    __device__ void advance()
    {
        next += gridDim.x;
    }
};

__device__ inline unsigned slot_of(const schedule &of, uint64_t item)
{
    return of.each <= gridDim.x ? static_cast<unsigned>(item % of.each) : blockIdx.x;
}

/* Supply: `bool copy(uint32_t stage)` copies the next stage of this block's work, or says that there is none. */
template <class S, class Supply> struct ring {
    Supply &supply;
    fragments<S> f[2];
    uint32_t base, row_offset, column_offset;
    int slots, read, write;

    __device__ ring(Supply &from, int stages) : supply(from), slots(stages), read(0), write(0)
    {
        int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        base = dynamic_shared();
        row_offset = lane_offset<S, true>(lane, warp % (S::M / S::WM) * S::WM);
        column_offset = lane_offset<S, false>(lane, warp / (S::M / S::WM) * S::WN) + S::bytes(S::M);
    }

    __device__ void refill()
    {
        if (supply.copy(base + write * S::STAGE_BYTES) && ++write == slots) write = 0;
        copies_commit();
    }

    /* The stage after the newest one read is here, and the one before the newest may be overwritten. */
    __device__ void await()
    {
        if (slots == 4)
            copies_wait<2>();
        else if (slots == 3)
            copies_wait<1>();
        else
            copies_wait<0>();
        __syncthreads();
    }

    __device__ void load(fragments<S> &to, int step)
    {
        uint32_t stage = base + read * S::STAGE_BYTES;
        if constexpr (S::K_MAJOR)
            read_lines<S>(to, stage + row_offset, stage + column_offset, step);
        else if constexpr (S::SIZE == 2)
            read_across16<S>(to, stage + row_offset, stage + column_offset, step);
        else
            read_across32<S>(to, stage + row_offset, stage + column_offset, step);
    }

    __device__ void start()
    {
        for (int i = 1; i < slots; i++) refill();
        await();
        load(f[0], 0);
        if constexpr (S::type::ROUND) round_all<S>(f[0]);
    }

    /* Adds `stages` stages to sum. Fragments are read one step ahead, across stages and across tiles. */
    __device__ void run(typename S::sums &sum, int stages)
    {
#pragma unroll 1
        for (int n = 0; n < stages; n++) {
#pragma unroll
            for (int step = 0; step < S::STEPS; step++) {
                if (step == S::STEPS - 1) {
                    await();
                    if (++read == slots) read = 0;
                }
                load(f[(step + 1) % 2], (step + 1) % S::STEPS);
                if (step == 0) refill();
                multiply<S, 0, S::MT / 2>(sum, f[step % 2]);
                if constexpr (S::type::ROUND) round_all<S>(f[(step + 1) % 2]);
                multiply<S, S::MT / 2, S::MT>(sum, f[step % 2]);
            }
        }
    }
};

/* The tensor core truncates as it accumulates: n comes out 6e-5 (16-bit) or 1.2e-4 (32-bit) too small after 16384 terms, in
 * proportion. Shapes with registers left therefore add to a second set, rounded, after so many stages; a split float has
 * three products where others have one. */
template <class S> constexpr bool PROMOTES = S::N <= 128;
template <class S> constexpr int PROMOTE = (S::type::SPLIT ? 64 : S::SIZE == 4 ? 8192 : 4096) / S::DEPTH;

/* sum = `left` stages. */
template <class S, class Ring> __device__ inline void accumulate(Ring &stages, typename S::sums &sum, int left)
{
    clear<S>(sum);
    if constexpr (PROMOTES<S>) {
        typename S::sums some;
        for (int now; left; left -= now) {
            now = left < PROMOTE<S> ? left : PROMOTE<S>;
            clear<S>(some);
            stages.run(some, now);
            add<S>(sum, some);
        }
    } else {
        stages.run(sum, left);
    }
}

} // namespace mma

#endif
