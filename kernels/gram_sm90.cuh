/* SPDX-License-Identifier: MIT
 *
 * gram_sm90.cuh: what the two Hopper kernels of `gram` share: their parameters, the order of the tiles, the product of a
 * tile, the end of a sample. bf16, fp16 and tf32.
 *
 * Tiles. Rows in tiles of 128; columns c <= r of the symmetric matrices in chunks of N: each element below the diagonal
 * counts twice, on it once, above it not at all.
 *  - shared (gram_shared_sm90.cu): a cluster of two blocks takes 256 rows x N columns, a block half of the rows, and both use
 *    the columns. Persistent: a grid that fills the GPU walks over all tiles of all layers.
 *  - split (gram_split_sm90.cu): when tiles are few, a cluster of up to 8 blocks takes one 128 x 128 tile, each a part of the
 *    contraction.
 * The tensor core truncates as it accumulates (measured: 6e-5 of n after 16384 terms), so every CHUNK of the contraction
 * goes into a float32 sum of its own.
 */
#ifndef VS_KERNELS_GRAM_SM90_CUH
#define VS_KERNELS_GRAM_SM90_CUH

#include "kernels/norm_sm90.cuh"

namespace sm90 {

constexpr int MEMBERS = 3; /* layers that share an input: q,k,v */

/* Steps between promotions. */
__host__ __device__ constexpr unsigned gram_chunk(element type)
{
    return 8192u / row_elements(type);
}

struct gram_group {
    CUtensorMap a_rows, a_cols, g_rows[MEMBERS], g_cols[MEMBERS];
    double *n[MEMBERS], *absolute[MEMBERS];
    unsigned g_steps[MEMBERS], a_steps, members;
    unsigned B, T, items, slots; /* items: tiles of a sample; slots: parts of a sample's sum */
    unsigned layer, ticket;      /* of the first member, of the first sample */
    size_t part;
};

struct gram_parameter {
    gram_group one;
    const gram_group *groups; /* NULL: just `one` */
    unsigned count;
    unsigned *counters;
    part *parts;
    flagged_sample *flagged;
    unsigned *clear; /* NULL, or what the first block sets to 0 */
};

/* How a list of layers is laid on the GPU. */
struct gram_plan {
    unsigned N, cluster, blocks;
    bool split;
    double cycles; /* expected of the longest block */
};

int launch_gram_shared(const gram_parameter &P, const gram_plan &how, element type, cudaStream_t stream);
/* How many clusters of so many blocks the GPU holds at once; asked once for a context. 0: none. */
unsigned gram_split_resident(vs_cuda_context *context, unsigned cluster);
int launch_gram_split(const gram_parameter &P, const gram_plan &how, element type, cudaStream_t stream);

template <int N> struct gram_layout {
    static constexpr uint32_t A_BYTES = TILE_ROWS * ROW_BYTES, STAGE_BYTES = A_BYTES + N * ROW_BYTES;
    static constexpr int FITTING = (SHARED_LIMIT - CONTROL_BYTES - ALIGNMENT) / STAGE_BYTES, STAGES = FITTING < 6 ? FITTING : 6;
    static constexpr size_t SHARED = static_cast<size_t>(STAGES) * STAGE_BYTES + CONTROL_BYTES + ALIGNMENT;
};

/* Chunks of N columns that a tile row from `row` on has: up to its last row. */
__host__ __device__ inline unsigned gram_chunks(unsigned row, unsigned T, unsigned rows, unsigned N)
{
    unsigned end = row + rows < T ? row + rows : T;
    return (end + N - 1) / N;
}

/* First row and column of a tile; rows: of the tiles of a whole cluster. */
__device__ inline void gram_place(unsigned item, unsigned T, unsigned rows, unsigned N, unsigned *row, unsigned *column)
{
    unsigned r = 0;
    for (unsigned n = gram_chunks(r, T, rows, N); item >= n; n = gram_chunks(r, T, rows, N)) {
        item -= n;
        r += rows;
    }
    *row = r;
    *column = item * N;
}

/* sum = X_i X_j^T over `steps` stages, 1 or more; one warpgroup's 64 rows. columns: where they begin in a stage. A stage is given back to
 * the blocks [first, first + sharers) of the cluster. */
template <int N, element E>
__device__ inline void gram_multiply(float (&sum)[N / 2], unsigned steps, ring &stages, uint32_t columns, unsigned warpgroup,
                                     unsigned first, unsigned sharers)
{
    using L = gram_layout<N>;
    unsigned lane = threadIdx.x % 32;
    uint32_t before = 0;
    for (unsigned s = 0; s < steps; s++) {
        barrier_wait(stages.full_barrier(), stages.parity);
        uint32_t data = stages.data + stages.stage * L::STAGE_BYTES, rows = data + warpgroup * (64 * ROW_BYTES);
        products_begin();
#pragma unroll
        for (int k = 0; k < ROW_BYTES / 32; k++)
            product<N, E, false>(sum, operand(rows + 32 * k, 0), operand(data + columns + 32 * k, 0), s | k);
        products_commit();
        if (s) {
            products_wait<1>();
            if (lane < sharers) barrier_arrive_cluster(map_shared(before, first + lane));
        }
        before = stages.empty_barrier();
        stages.advance<L::STAGES>();
    }
    products_wait<0>();
    if (steps && lane < sharers) barrier_arrive_cluster(map_shared(before, first + lane));
    if (!steps) /* never; but without it the compiler sees undefined sums, and waits for every product */
#pragma unroll
        for (int i = 0; i < N / 2; i++) sum[i] = 0;
}

/* Halves the diagonal and clears what lies above it: then the sum over the tile counts every unordered pair of rows once. */
template <int N> __device__ inline void gram_weigh(float (&held)[N / 2], unsigned row, unsigned column, unsigned thread)
{
    unsigned r0 = row + thread / 32 * 16 + thread % 32 / 4, c0 = column + thread % 4 * 2;
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        unsigned r = r0 + i % 4 / 2 * 8, c = c0 + i / 4 * 8 + i % 2;
        held[i] = c < r ? held[i] : c == r ? 0.5f * held[i] : 0.0f;
    }
}

/* The sample's norms are complete: store them and list those whose terms cancel too much. By one warp. */
__device__ inline void gram_finish(const gram_parameter &P, const gram_group *group, unsigned b)
{
    for (unsigned m = 0; m < group->members; m++) {
        part sum = slots_sum(P.parts + group->part + (static_cast<size_t>(b) * group->members + m) * group->slots,
                             group->slots);
        if (threadIdx.x % 32) continue;
        if (sum.n < 0) sum.n = 0; /* cancelled, or -Inf where products overflow: computed again */
        group->n[m][b] = sum.n;
        if (group->absolute[m]) group->absolute[m][b] = sum.absolute;
        if (!(sum.n < INFINITY) || !(sum.absolute > VS_NORMS_KAPPA * sum.n)) continue;
        unsigned at = atomicAdd(P.counters + FLAGGED_COUNT, 1);
        if (at < SAMPLES_MAX) P.flagged[at] = {group->layer + m, b};
    }
}

} // namespace sm90

#endif
