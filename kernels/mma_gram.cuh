/* SPDX-License-Identifier: MIT
 *
 * mma_gram.cuh: shapes, places and numbers of the portable Gram backend's tiles, and the host's choice among them. It
 * multiplies and launches nothing.
 */
#ifndef VS_KERNELS_MMA_GRAM_CUH
#define VS_KERNELS_MMA_GRAM_CUH

#include "kernels/mma_plan.cuh"

namespace mma {
namespace gram {

template <class T> using wide = shape<T, true, 128, 256, 64, 64, 1, 64>;
template <class T> using square = shape<T, true, 128, 128, 64, 32, 1>;
template <class T> using small = shape<T, true, 64, 64, 32, 32, 3>;

/* Stages of WIDE, which adds up nothing in between, that go into one product; 16-bit elements have the tighter bound. Their
 * chunks of K_G are multiplied one by one, so `absolute` is that of the chunks. */
template <class S> constexpr int CHUNK = PROMOTES<S> ? 1 << 30 : (S::SIZE == 4 ? 16384 : 8192) / S::DEPTH;

/* A tile of K_A waits in shared memory for those of K_G. */
template <class S> constexpr size_t HELD_BYTES = S::M * S::N * sizeof(float);

constexpr uint64_t BAND = 8; /* rows of tiles that blocks take together: what they share stays in the second-level cache */

/* In the first r rows of tiles; row r has r / k + 1 of them, N = k M. */
__host__ __device__ inline uint64_t tiles_before(uint64_t r, uint64_t k)
{
    uint64_t q = r / k, rest = r % k;
    return k * (q * (q + 1) / 2) + rest * (q + 1);
}

/* Of `rows` rows of tiles. Bands of rows, columns first what all rows of a band have, then row by row the rest. */
__host__ __device__ inline void tile_of(uint64_t tile, uint64_t rows, uint64_t k, uint64_t *row, uint64_t *column)
{
    uint64_t r = 0;
    while (r + BAND < rows && tile >= tiles_before(r + BAND, k)) r += BAND;
    uint64_t at = tile - tiles_before(r, k), height = rows - r < BAND ? rows - r : BAND, common = r / k + 1;
    if (at < height * common) {
        *row = r + at % height;
        *column = at / height;
        return;
    }
    at -= height * common;
    for (uint64_t more = 0; at >= more; more = r / k + 1 - common) {
        at -= more;
        r++;
    }
    *row = r;
    *column = common + at;
}

/* ---- the host's side ---- */

/* Consecutive layers with one input, and samples [b, b + B) of them. */
struct group {
    vs_norms_layer layers[MEMBERS];
    unsigned count;
};

enum shape_name { WIDE, SQUARE, SMALL };

struct plan {
    shape_name name;
    unsigned slots, blocks, parts, first_part[2 + MEMBERS]; /* parts: 1, not split */
    uint64_t tiles;                                         /* of a sample */
    int stages;
    size_t sums_bytes, flags_bytes, tiles_bytes;
};

constexpr uint64_t PARTS_MOST = 64;

struct candidate {
    shape_name name;
    double cost, join; /* times on one multiprocessor of 128 bytes of contraction and of adding a part, in WIDE's */
};

/* Width of matrix m of X. */
inline size_t width_of(const group &g, unsigned m)
{
    return m ? g.layers[m - 1].p : g.layers[0].d;
}

/* Parts of at most `longest` stages; false: too many. */
template <class S> bool cut(const group &g, uint64_t longest, plan *how)
{
    how->first_part[0] = 0;
    for (unsigned m = 0; m <= g.count; m++) {
        uint64_t parts = ceil_div(ceil_div(width_of(g, m), S::DEPTH), longest);
        if (parts > PARTS_MOST) return false;
        how->first_part[m + 1] = how->first_part[m] + static_cast<unsigned>(parts);
    }
    how->parts = how->first_part[g.count + 1];
    return true;
}

inline void finish(const group &g, int resident, const vs_cuda_context *context, plan *how)
{
    size_t B = g.layers[0].B;
    how->blocks = blocks_of(B * how->tiles * how->parts, resident, context);
    how->slots = how->parts > 1 || how->tiles <= how->blocks ? static_cast<unsigned>(how->tiles) : how->blocks;
    how->sums_bytes = vs_align256(g.count * B * how->slots * sizeof(sample_sum));
    how->flags_bytes = vs_align256(g.count * B * sizeof(unsigned));
}

/* Splitting pays by spreading over multiprocessors and costs the way through memory. */
template <class S>
void weigh_split(const group &g, const vs_cuda_context *context, candidate c, plan how, plan *best, double *least)
{
    uint64_t stages = 0, items = g.layers[0].B * how.tiles, before = 0;
    if (!how.stages || items > TILES_MOST) return;
    for (unsigned m = 0; m <= g.count; m++) stages += ceil_div(width_of(g, m), S::DEPTH);
    for (uint64_t parts = 2; parts <= PARTS_MOST; parts++) {
        uint64_t longest = ceil_div(stages, parts);
        if (longest == before || !cut<S>(g, longest, &how)) continue;
        before = longest;
        how.tiles_bytes = items * how.parts * S::M * S::N * sizeof(float);
        if (how.tiles_bytes > PARTS_MOST_BYTES) return;
        double waves = static_cast<double>(ceil_div(items * how.parts, context->sm_count));
        double cost = waves * (c.cost * static_cast<double>(longest + 4) + c.join) + 2 + how.parts * c.join;
        if (*least > 0 && cost >= *least) continue;
        *least = cost;
        *best = how;
        finish(g, S::RESIDENT, context, best);
    }
}

template <class S> void weigh(const group &g, const vs_cuda_context *context, candidate c, plan *best, double *least)
{
    plan how = {};
    double lines = 4;
    how.name = c.name;
    how.tiles = tiles_before(ceil_div(g.layers[0].T, S::M), S::N / S::M);
    how.parts = 1;
    how.stages = stages_of<S>(context, HELD_BYTES<S>);
    for (unsigned m = 0; m <= g.count; m++) lines += static_cast<double>(ceil_div(width_of(g, m) * S::SIZE, 128));
    double waves = static_cast<double>(ceil_div(g.layers[0].B * how.tiles, context->sm_count)), cost = waves * c.cost * lines;
    if (how.stages && (*least == 0 || cost < *least)) {
        *least = cost;
        *best = how;
        finish(g, S::RESIDENT, context, best);
    }
    if constexpr (PROMOTES<S>) weigh_split<S>(g, context, c, how, best, least);
}

template <class T> plan choose(const group &g, const vs_cuda_context *context)
{
    plan best = {};
    double least = 0;
    if constexpr (!T::SPLIT) weigh<wide<T>>(g, context, {WIDE, 1, 0}, &best, &least);
    weigh<square<T>>(g, context, {SQUARE, 0.62, 0.8}, &best, &least);
    weigh<small<T>>(g, context, {SMALL, T::SPLIT ? 0.17 : 0.25, 0.2}, &best, &least);
    return best;
}

} // namespace gram
} // namespace mma

#endif
