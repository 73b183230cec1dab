/* SPDX-License-Identifier: MIT
 *
 * direct_mma.cu: per-sample norms by the gradient itself on the tensor cores of any GPU from sm_80 on: S_b = G_b^T A_b in
 * tiles, contraction over T, squares summed from the accumulators. S is written only where the caller wants it.
 *
 * Rows of a tile are columns of G, its columns those of A: both operands lie as they are multiplied, nothing is transposed.
 * Three shapes of tiles. When tiles are few, T is split: the parts of a tile go to the workspace, and the block that comes
 * last adds them before it squares.
 */
#include "kernels/mma_plan.cuh"

namespace mma {
namespace {

template <class T> using wide = shape<T, false, 128, 256, 64, 64, 1>;
template <class T> using square = shape<T, false, 128, 128, 64, 32, 1>;
template <class T> using small = shape<T, false, 64, 64, 32, 32, 3>;

template <class S> constexpr bool SPLITS = S::N <= 128; /* WIDE has no registers left, and is no shape for few tiles */

constexpr uint64_t BAND = 8; /* rows of tiles that blocks take together: what they share stays in the second-level cache */

struct parameter {
    schedule all; /* an item: a part of a tile */
    matrix A, G;
    size_t T;
    uint64_t row_tiles, column_tiles;
    unsigned parts; /* of T */
    int stages;
    double *n, *absolute;
    float *gradient, *tiles; /* tiles: the parts, when there are some */
    sample_sum *sums;
    unsigned slots; /* of each sample in sums */
    unsigned *counters;
};

__host__ __device__ inline void tile_of(uint64_t tile, uint64_t rows, uint64_t columns, uint64_t *row, uint64_t *column)
{
    uint64_t band = tile / (BAND * columns), at = tile % (BAND * columns), left = rows - band * BAND;
    uint64_t height = left < BAND ? left : BAND;
    *row = band * BAND + at % height;
    *column = at / height;
}

/* Stages [first, past) of a part. */
template <class S> __device__ inline void part_of(const parameter &P, uint64_t item, uint64_t *first, uint64_t *past)
{
    uint64_t stages = (P.T + S::DEPTH - 1) / S::DEPTH, part = item % P.parts;
    *first = stages * part / P.parts;
    *past = stages * (part + 1) / P.parts;
}

template <class S> struct supply {
    const parameter &P;
    items at;
    int left;
    feed<S, S::M> rows;
    feed<S, S::N> columns;

    __device__ bool copy(uint32_t stage)
    {
        if (!left) {
            if (!at.settle()) return false;
            size_t b = at.next / P.all.each;
            uint64_t item = at.next - b * P.all.each, row, column, first, past;
            tile_of(item / P.parts, P.row_tiles, P.column_tiles, &row, &column);
            part_of<S>(P, item, &first, &past);
            rows.aim(P.G, P.T, b, first * S::DEPTH, row * S::M);
            columns.aim(P.A, P.T, b, first * S::DEPTH, column * S::N);
            left = static_cast<int>(past - first);
            at.advance();
        }
        rows.copy(P.G, stage);
        columns.copy(P.A, stage + S::bytes(S::M));
        left--;
        return true;
    }
};

template <class S> __device__ double squares(const typename S::sums &sum)
{
    double all = 0;
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++) {
            const float *x = sum[i][j];
            if constexpr (S::type::SPLIT) { /* these may be small enough for their squares to vanish in float32 */
                for (int e = 0; e < 4; e++) all = fma(static_cast<double>(x[e]), static_cast<double>(x[e]), all);
            } else {
                all += fmaf(x[0], x[0], x[1] * x[1]) + fmaf(x[2], x[2], x[3] * x[3]);
            }
        }
    return all;
}

template <class S> __device__ void store_gradient(const parameter &P, const typename S::sums &sum, size_t b, uint64_t tile)
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    uint64_t row, column;
    tile_of(tile, P.row_tiles, P.column_tiles, &row, &column);
    size_t m0 = row * S::M + warp % (S::M / S::WM) * S::WM, n0 = column * S::N + warp / (S::M / S::WM) * S::WN;
    float *S_b = P.gradient + b * P.G.width * P.A.width;
#pragma unroll
    for (int set = 0; set < 2 * S::MT; set++) {
        size_t m = m0 + place<S, true>(set, lane / 4);
        if (m >= P.G.width) continue;
#pragma unroll
        for (int j = 0; j < S::NT; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                size_t n = n0 + place<S, false>(j, lane % 4 * 2 + e);
                if (n < P.A.width) S_b[m * P.A.width + n] = sum[set / 2][j][set % 2 * 2 + e];
            }
    }
}

template <class S> __global__ void __launch_bounds__(S::THREADS, S::RESIDENT) tiles(const __grid_constant__ parameter P)
{
    __shared__ block_sum<S> own;
    items at(P.all);
    supply<S> from = {P, at, 0, {}, {}};
    if (!at.settle()) return;
    own.clear();
    ring<S, supply<S>> stages(from, P.stages);
    stages.start();
    for (bool more = true; more;) {
        typename S::sums S_tile;
        uint64_t item = at.next, tile = item / P.parts, first, past;
        size_t b = item / P.all.each;
        part_of<S>(P, item % P.all.each, &first, &past);
        accumulate<S>(stages, S_tile, static_cast<int>(past - first));
        at.advance();
        more = at.settle();
        unsigned slot = slot_of(P.all, item);
        if constexpr (SPLITS<S>)
            if (P.parts > 1) {
                store_part<S>(P.tiles, item, S_tile);
                if (!last_block(P.counters + tile, P.parts)) continue;
                load_parts<S>(P.tiles, tile * P.parts, P.parts, S_tile);
                slot = static_cast<unsigned>(tile % P.slots);
            }
        own.add(squares<S>(S_tile), 0);
        if (P.gradient) store_gradient<S>(P, S_tile, b, tile - b * (P.all.each / P.parts));
        if (P.parts == 1 && more && at.next / P.all.each == b) continue;
        sample_sum sum;
        if (!own.leave(P.sums + b * P.slots, P.slots, slot, P.counters + SAMPLE_TICKETS + b, &sum)) continue;
        P.n[b] = sum.n;
        if (P.absolute) P.absolute[b] = sum.n;
    }
}

/* ---- the host's side ---- */

enum shape_name { WIDE, SQUARE, SMALL };

struct plan {
    shape_name name;
    uint64_t row_tiles, column_tiles;
    unsigned slots, parts, blocks;
    int stages;
    size_t sums_bytes, tiles_bytes;
};

/* Longest T that WIDE, which adds nothing up in between, keeps within its bound. */
constexpr size_t WIDE_LONGEST_32 = 32768, WIDE_LONGEST_16 = 12288;
constexpr unsigned PARTS_MOST = 32;

struct candidate {
    shape_name name;
    double cost, join; /* times on one multiprocessor of a stage and of adding a part, in stages of WIDE */
};

template <class S> void weigh(const vs_norms_layer *l, const vs_cuda_context *context, bool flagged, candidate c, plan *best,
                              double *least)
{
    int stages = stages_of<S>(context, 0);
    uint64_t rows = ceil_div(l->p, S::M), columns = ceil_div(l->d, S::N), steps = ceil_div(l->T, S::DEPTH);
    uint64_t items = l->B * rows * columns;
    unsigned most = SPLITS<S> && !flagged && items <= TILES_MOST ? PARTS_MOST : 1;
    if (!stages) return;
    for (unsigned parts = 1; parts <= most && parts <= steps; parts++) {
        size_t tiles_bytes = parts > 1 ? items * parts * S::M * S::N * sizeof(float) : 0;
        if (tiles_bytes > PARTS_MOST_BYTES) break;
        double waves = static_cast<double>(ceil_div(items * parts, context->sm_count));
        double cost = waves * c.cost * static_cast<double>(ceil_div(steps, parts) + 2) + (parts > 1 ? 2 + parts * c.join : 0);
        if (*least > 0 && cost >= *least) continue;
        *least = cost;
        *best = {c.name, rows, columns, 0, parts, blocks_of(items * parts, S::RESIDENT, context), stages, 0, tiles_bytes};
        best->slots = parts > 1 || rows * columns <= best->blocks ? static_cast<unsigned>(rows * columns) : best->blocks;
        best->sums_bytes = vs_align256(l->B * best->slots * sizeof(sample_sum));
    }
}

template <class T> plan choose(const vs_norms_layer *l, const vs_cuda_context *context, bool flagged)
{
    plan best = {};
    double least = 0;
    if constexpr (!T::SPLIT)
        if (l->T <= (sizeof(typename T::element) == 4 ? WIDE_LONGEST_32 : WIDE_LONGEST_16))
            weigh<wide<T>>(l, context, flagged, {WIDE, 1, 0}, &best, &least);
    weigh<square<T>>(l, context, flagged, {SQUARE, 0.62, 0.8}, &best, &least);
    weigh<small<T>>(l, context, flagged, {SMALL, T::SPLIT ? 0.17 : 0.25, 0.2}, &best, &least);
    return best;
}

template <class S> int queue(const parameter &P, const plan &how, cudaStream_t stream)
{
    size_t shared = static_cast<size_t>(how.stages) * S::STAGE_BYTES;
    const char *doing = P.all.flags ? "gram: samples to compute again" : "direct: tiles";
    return launch(tiles<S>, how.blocks, S::THREADS, shared, stream, doing, P);
}

template <class T>
int layer_of(const vs_norms_layer *l, const vs_cuda_context *context, const unsigned *flags, const space &at,
             cudaStream_t stream)
{
    constexpr size_t size = sizeof(typename T::element);
    plan how = choose<T>(l, context, flags != nullptr);
    uint64_t each = how.row_tiles * how.column_tiles * how.parts;
    parameter P = {};
    P.all = {each, l->B * each, flags};
    P.A = matrix_of(l->A, l->B * l->T, l->d, size);
    P.G = matrix_of(l->G, l->B * l->T, l->p, size);
    P.T = l->T;
    P.row_tiles = how.row_tiles;
    P.column_tiles = how.column_tiles;
    P.parts = how.parts;
    P.stages = how.stages;
    P.n = l->n;
    P.absolute = flags ? nullptr : l->absolute; /* a Gram call keeps its own */
    P.gradient = l->gradient;
    P.sums = reinterpret_cast<sample_sum *>(at.memory);
    P.slots = how.slots;
    P.tiles = reinterpret_cast<float *>(at.memory + how.sums_bytes);
    P.counters = at.counters;
    if (how.name == SMALL) return queue<small<T>>(P, how, stream);
    if constexpr (!T::SPLIT)
        if (how.name == WIDE) return queue<wide<T>>(P, how, stream);
    return queue<square<T>>(P, how, stream);
}

} // namespace

size_t direct_bytes(const vs_norms_layer *l, vs_norms_dtype dtype, const vs_cuda_context *context, bool flagged)
{
    plan how = dtype == VS_NORMS_fp32   ? choose<fp32>(l, context, flagged)
               : dtype == VS_NORMS_tf32 ? choose<tf32>(l, context, flagged)
                                        : choose<bf16>(l, context, flagged); /* fp16: the same sizes */
    return how.sums_bytes + how.tiles_bytes;
}

int direct_layer(const vs_norms_layer *l, vs_norms_dtype dtype, const vs_cuda_context *context, const unsigned *flags,
                 const space &at, cudaStream_t stream)
{
    switch (dtype) {
    case VS_NORMS_fp32: return layer_of<fp32>(l, context, flags, at, stream);
    case VS_NORMS_tf32: return layer_of<tf32>(l, context, flags, at, stream);
    case VS_NORMS_bf16: return layer_of<bf16>(l, context, flags, at, stream);
    default: return layer_of<fp16>(l, context, flags, at, stream);
    }
}

} // namespace mma

static size_t workspace_bytes(const vs_norms_call *call)
{
    size_t most = 0;
    for (size_t i = 0; i < call->count; i++) {
        vs_norms_layer l = call->layers[i];
        const size_t counts[2] = {l.B < mma::SAMPLES_MOST ? l.B : mma::SAMPLES_MOST, l.B % mma::SAMPLES_MOST};
        for (size_t count : counts) { /* of a full slice and of the last one: fewer samples may need more */
            l.B = count;
            size_t bytes = count ? mma::direct_bytes(&l, call->dtype, vs_cuda_context_of(call), false) : 0;
            if (bytes > most) most = bytes;
        }
    }
    return VS_WORKSPACE_COUNTERS + most;
}

static int run(const vs_norms_call *call)
{
    cudaStream_t stream = static_cast<cudaStream_t>(call->stream);
    char *workspace = static_cast<char *>(call->workspace);
    mma::space at = {reinterpret_cast<unsigned *>(workspace), workspace + VS_WORKSPACE_COUNTERS};
    size_t size = vs_norms_dtype_bytes(call->dtype);
    int err = vs_cuda_none_recomputed(call);
    for (size_t i = 0; !err && i < call->count; i++)
        for (size_t b = 0, B = call->layers[i].B; !err && b < B; b += mma::SAMPLES_MOST) {
            vs_norms_layer l = mma::slice_of(call->layers[i], b, B - b < mma::SAMPLES_MOST ? B - b : mma::SAMPLES_MOST, size);
            err = mma::direct_layer(&l, call->dtype, vs_cuda_context_of(call), nullptr, at, stream);
        }
    return err;
}

const vs_norms_backend vs_direct_mma = {mma::takes, workspace_bytes, run, nullptr};
