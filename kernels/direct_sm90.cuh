/* SPDX-License-Identifier: MIT
 *
 * direct_sm90.cuh: what the host's side and the kernels of `direct` on Hopper share. Norms by the gradient itself:
 * S_b = G_b^T A_b in tiles, contraction over T, squares summed from the accumulators; S is written only where the caller
 * wants it. It computes no tile: direct_tiles_sm90.cu does for bf16 and fp16, direct_tf32_sm90.cu for tf32.
 *
 * Rows of a tile come from the `row` matrix (G), its columns from the `column` matrix (A); without a gradient to store they
 * change places when that makes fewer tiles: ||S|| = ||S^T||. The grid is persistent: it walks over all tiles of all layers,
 * or of the samples that `gram` has listed.
 *
 * The tensor core truncates as it accumulates (measured: 6e-5 of n after 16384 terms of bf16, 1.2e-4 of tf32); beyond that
 * (LONG) every CHUNK of T goes into a float32 sum of its own.
 */
#ifndef VS_KERNELS_DIRECT_SM90_CUH
#define VS_KERNELS_DIRECT_SM90_CUH

#include "kernels/norm_sm90.cuh"

namespace sm90 {

constexpr int ACCUMULATORS = 128;                          /* of a consumer thread */
constexpr unsigned DIRECT_CHUNK = 8192, DIRECT_SHORT = 16384; /* rows of T: between promotions; that need none */

struct direct_layer {
    CUtensorMap rows, columns;
    double *n, *absolute;
    float *gradient;
    size_t row_count, column_count; /* of S */
    unsigned B, steps, tile_rows, tile_columns, items, slots, ticket;
    size_t part;
};

struct direct_parameter {
    direct_layer one;
    const direct_layer *layers; /* NULL: just `one` */
    unsigned count;
    unsigned *counters;
    part *parts;
    /* When it recomputes: the samples, whose number is counters[FLAGGED_COUNT]; NULL: all samples of all layers. */
    const flagged_sample *flagged;
    unsigned *recomputed;
    unsigned *clear; /* NULL, or what the first block sets to 0 */
};

/* What one cluster computes at a time, and from how many rows of T in a step. */
struct direct_shape {
    unsigned rows, columns, depth;
};
constexpr direct_shape SHARED_SHAPE = {2 * TILE_ROWS, 256, 64}, SPLIT_SHAPE = {TILE_ROWS, 256, 64};
constexpr direct_shape TF32_SHAPE = {256, 256, 32};

struct direct_plan {
    unsigned cluster, blocks;
    bool split;
    direct_shape shape;
    double seconds; /* expected */
};

/* promoted: some layer has more than DIRECT_SHORT rows. */
int launch_direct_tiles(const direct_parameter &P, const direct_plan &how, element type, bool promoted, cudaStream_t stream);
int launch_direct_tf32(const direct_parameter &P, const direct_plan &how, bool promoted, cudaStream_t stream);

/* The items of one cluster, in order: every clusters-th of all. */
struct cursor {
    const direct_layer *layers;
    const flagged_sample *flagged;
    unsigned count; /* of layers, or of flagged samples */
    unsigned index, b, item;

    __device__ const direct_layer *layer() const { return layers + (flagged ? flagged[index].layer : index); }
    __device__ unsigned sample() const { return flagged ? flagged[index].b : b; }
    __device__ unsigned ticket() const { return flagged ? FIRST_TICKET + index : layer()->ticket + b; }

    __device__ bool settle()
    {
        while (index < count && item >= layer()->items) {
            item -= layer()->items;
            if (!flagged && ++b < layer()->B) continue;
            b = 0;
            index++;
        }
        return index < count;
    }
};

constexpr unsigned BAND = 8; /* tile columns that are walked together: their operands stay in the second-level cache */

/* Tile row and column of an item, band by band. rows: of cluster tiles. */
__device__ inline void place(unsigned item, unsigned rows, unsigned columns, unsigned *row, unsigned *column)
{
    unsigned band = item / (BAND * rows), in = item % (BAND * rows);
    unsigned wide = columns - band * BAND < BAND ? columns - band * BAND : BAND;
    *row = in / wide;
    *column = band * BAND + in % wide;
}

/* sum = multiply(sum, steps); when LONG in pieces of `chunk` steps that are added in float32. */
template <bool LONG, class Multiply>
__device__ inline void accumulate(float (&sum)[ACCUMULATORS], unsigned steps, unsigned chunk, Multiply multiply)
{
    if constexpr (LONG) {
        float held[ACCUMULATORS];
        for (unsigned s = 0, now; s == 0 || s < steps; s += now) {
            now = steps - s < chunk ? steps - s : chunk;
            multiply(sum, now);
            if (s)
#pragma unroll
                for (int i = 0; i < ACCUMULATORS; i++) sum[i] += held[i];
#pragma unroll
            for (int i = 0; i < ACCUMULATORS; i++) held[i] = sum[i];
            if (!now) break;
        }
    } else {
        multiply(sum, steps);
    }
}

__device__ inline double square_sum(const float (&sum)[ACCUMULATORS])
{
    float s[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < ACCUMULATORS; i++) s[i % 4] += sum[i] * sum[i];
    return static_cast<double>(s[0] + s[1]) + static_cast<double>(s[2] + s[3]);
}

/* All items of a cluster, by the consumers: norm(item) is a thread's share of one. scratch: of consumers_sum, two of them. */
template <class Norm>
__device__ inline void consume_items(const direct_parameter &P, cursor at, part (*scratch)[CONSUMER_WARPS], unsigned rank,
                                     unsigned size, Norm norm)
{
    unsigned thread = threadIdx.x - GROUP, clusters = gridDim.x / size, toggle = 0;
    double total = 0;
    bool more = at.settle();
    while (more) {
        const direct_layer *layer = at.layer();
        const cursor done = at;
        part p = consumers_sum(norm(at), 0, scratch[toggle ^= 1], thread);
        total += p.n;
        at.item += clusters;
        more = at.settle();
        if (thread >= 32 || (more && at.index == done.index && at.b == done.b)) continue;
        /* Recomputed samples are few and their parts lie behind each other; a sample has at most `slots` of them. */
        /* A slot that does not depend on where flagged samples stand in their list: they come in any order. */
        unsigned slot = done.item % clusters * size + rank, b = done.sample();
        part *parts = P.parts + (P.flagged ? static_cast<size_t>(done.index) * gridDim.x
                                           : layer->part + static_cast<size_t>(b) * layer->slots);
        unsigned slots = layer->slots;
        if (thread == 0) parts[slot] = {total, 0};
        total = 0;
        if (!last_ticket(P.counters + done.ticket(), slots)) continue;
        part all = slots_sum(parts, slots);
        if (thread) continue;
        layer->n[b] = all.n;
        if (layer->absolute && !P.flagged) layer->absolute[b] = all.n;
    }
}

/* Every block has read how many samples are flagged: the last one to leave clears the number. */
__device__ inline void leave_flagged(const direct_parameter &P, unsigned flagged)
{
    __threadfence();
    if (atomicInc(P.counters + EXIT_TICKET, gridDim.x - 1) != gridDim.x - 1) return;
    P.counters[FLAGGED_COUNT] = 0;
    if (P.recomputed) *P.recomputed += flagged;
}

} // namespace sm90

#endif
