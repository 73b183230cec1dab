/* SPDX-License-Identifier: MIT
 *
 * gram_mma.cu: per-sample norms by symmetric Gram tiles on the tensor cores of any GPU from sm_80 on: n_b = sum over pairs of
 * rows of (A A^T)(G G^T), nothing of size T x T written but the parts of split tiles.
 *
 * Tiles. Rows in tiles of M, columns c <= r of the symmetric matrices in chunks of N: each element below the diagonal counts
 * twice, on it once, above it not at all. A block multiplies a tile of K_A, keeps it in shared memory (each thread reads only
 * what it wrote), then, for each layer that shares A, adds K_A times K_G from the accumulators. When tiles are few, the
 * contractions are split: the parts of a tile, of K_A and of each K_G, go to the workspace, and the block that comes last
 * adds them up before it multiplies.
 *
 * Samples with kappa over its limit are flagged, and a direct pass computes them again.
 */
#include "kernels/mma_gram.cuh"

namespace mma {
namespace {

using namespace gram;

struct parameter {
    schedule all;          /* an item: a tile, or a part of one */
    matrix X[1 + MEMBERS]; /* A, then G of each layer */
    size_t T;
    unsigned members, parts, first_part[2 + MEMBERS]; /* parts of a split tile, in the order of X */
    int stages;
    double *n[MEMBERS], *absolute[MEMBERS];
    float *parts_memory; /* the parts, when there are some */
    sample_sum *sums;
    unsigned slots; /* of each sample and layer in sums */
    unsigned *flags[MEMBERS], *recomputed;
    unsigned *counters;
};

/* ---- where tiles lie ---- */

template <class S> __device__ inline void place_tile(const parameter &P, uint64_t tile, unsigned *row, unsigned *column)
{
    uint64_t r, c;
    tile_of(tile, (P.T + S::M - 1) / S::M, S::N / S::M, &r, &c);
    *row = static_cast<unsigned>(r * S::M);
    *column = static_cast<unsigned>(c * S::N);
}

template <class S> __device__ inline int stages_in(const matrix &X)
{
    return static_cast<int>((X.width + S::DEPTH - 1) / S::DEPTH);
}

/* What a block does of one item: of the matrices [which, last] the stages from first to past; all of them but for the part of
 * a split tile, which is of one matrix. */
struct work {
    unsigned which, last;
    int first, past;
};

template <class S> __device__ inline work whole_of(const parameter &P, unsigned which)
{
    return {which, P.members, 0, stages_in<S>(P.X[which])};
}

template <class S> __device__ inline work part_of(const parameter &P, unsigned part)
{
    unsigned m = 0;
    while (part >= P.first_part[m + 1]) m++;
    uint64_t stages = stages_in<S>(P.X[m]), count = P.first_part[m + 1] - P.first_part[m];
    part -= P.first_part[m];
    return {m, m, static_cast<int>(stages * part / count), static_cast<int>(stages * (part + 1) / count)};
}

/* Of item `item` of its sample. */
template <class S> __device__ inline work work_of(const parameter &P, uint64_t item)
{
    if constexpr (PROMOTES<S>)
        if (P.parts > 1) return part_of<S>(P, static_cast<unsigned>(item % P.parts));
    return whole_of<S>(P, 0);
}

template <class S> struct supply {
    const parameter &P;
    items at;
    unsigned b, row, column; /* of the item under way */
    work now;
    int left;
    feed<S, S::M> rows;
    feed<S, S::N> columns;

    __device__ bool next()
    {
        if (now.which < now.last) {
            now = whole_of<S>(P, now.which + 1);
        } else {
            if (!at.settle()) return false;
            uint64_t sample = at.next / P.all.each, item = at.next - sample * P.all.each;
            b = static_cast<unsigned>(sample);
            place_tile<S>(P, item / P.parts, &row, &column);
            now = work_of<S>(P, item);
            at.advance();
        }
        left = now.past - now.first;
        rows.aim(P.X[now.which], P.T, b, row, static_cast<size_t>(now.first) * S::DEPTH);
        columns.aim(P.X[now.which], P.T, b, column, static_cast<size_t>(now.first) * S::DEPTH);
        return true;
    }

    __device__ bool copy(uint32_t stage)
    {
        if (!left && !next()) return false;
        rows.copy(P.X[now.which], stage);
        columns.copy(P.X[now.which], stage + S::bytes(S::M));
        left--;
        return true;
    }
};

/* ---- what becomes of a tile ---- */

/* Halves the diagonal and clears what lies above it: then the sum over the tile counts every unordered pair of rows once. */
template <class S> __device__ inline void mask_pairs(typename S::sums &sum, unsigned row, unsigned column)
{
    if (column + S::N <= row) return;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int below = static_cast<int>(row - column) +
                warp % (S::M / S::WM) * S::WM - warp / (S::M / S::WM) * S::WN; /* of the warp's first element */
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int distance = below + place<S, true>(2 * i + e / 2, lane / 4) - place<S, false>(j, lane % 4 * 2 + e % 2);
                float &x = sum[i][j][e];
                x = distance > 0 ? x : distance == 0 ? 0.5f * x : 0.0f;
            }
}

/* held (+)= sum, in this thread's own words of shared memory. */
template <class S> __device__ inline void hold(float4 *held, const typename S::sums &sum, bool add)
{
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int j = 0; j < S::NT; j++) {
            float4 *to = held + (i * S::NT + j) * S::THREADS + threadIdx.x;
            float4 v = add ? *to : make_float4(0, 0, 0, 0);
            *to = make_float4(v.x + sum[i][j][0], v.y + sum[i][j][1], v.z + sum[i][j][2], v.w + sum[i][j][3]);
        }
}

/* Four products, of elements of masked K_A and of K_G; twice, for the other order of each pair. */
__device__ inline void add_products(float4 a, const float (&g)[4], float &n, float &absolute)
{
    float x = a.x * g[0], y = a.y * g[1], z = a.z * g[2], w = a.w * g[3];
    n += 2 * ((x + y) + (z + w));
    absolute += 2 * ((fabsf(x) + fabsf(y)) + (fabsf(z) + fabsf(w)));
}

template <class S> __device__ inline void add_tile(block_sum<S> &own, const float4 *held, const typename S::sums &gram)
{
    double n = 0, absolute = 0;
#pragma unroll
    for (int i = 0; i < S::MT; i++) {
        float s = 0, a = 0;
#pragma unroll
        for (int j = 0; j < S::NT; j++) add_products(held[(i * S::NT + j) * S::THREADS + threadIdx.x], gram[i][j], s, a);
        n += s;
        absolute += a;
    }
    own.add(n, absolute);
}

/* The block has done what it does of sample b and layer m; the last one stores the norm. */
template <class S> __device__ void leave(const parameter &P, block_sum<S> &own, unsigned m, size_t b, unsigned slot)
{
    sample_sum sum;
    size_t B = P.all.total / P.all.each;
    if (!own.leave(P.sums + (m * B + b) * P.slots, P.slots, slot, P.counters + SAMPLE_TICKETS + m * SAMPLES_MOST + b, &sum))
        return;
    if (sum.n < 0) sum.n = 0; /* cancelled, or -Inf where products overflow: computed again */
    P.n[m][b] = sum.n;
    if (P.absolute[m]) P.absolute[m][b] = sum.absolute;
    bool again = sum.n < INFINITY && sum.absolute > VS_NORMS_KAPPA * sum.n;
    P.flags[m][b] = again;
    if (again && P.recomputed) atomicAdd(P.recomputed, 1);
}

/* The parts of a tile are all there. */
template <class S>
__device__ void join(const parameter &P, uint64_t tile, unsigned row, unsigned column, float4 *held, block_sum<S> *own)
{
    typename S::sums sum;
    uint64_t first = tile * P.parts;
    for (unsigned which = 0; which <= P.members; which++) {
        load_parts<S>(P.parts_memory, first + P.first_part[which], P.first_part[which + 1] - P.first_part[which], sum);
        if (which) {
            add_tile<S>(own[which - 1], held, sum);
        } else {
            mask_pairs<S>(sum, row, column);
            hold<S>(held, sum, false);
        }
    }
}

template <class S> __global__ void __launch_bounds__(S::THREADS, S::RESIDENT) tiles(const __grid_constant__ parameter P)
{
    __shared__ block_sum<S> own[MEMBERS];
    float4 *held = reinterpret_cast<float4 *>(dynamic_memory() + P.stages * S::STAGE_BYTES);
    items at(P.all);
    supply<S> from = {P, at, 0, 0, 0, {}, 0, {}, {}};
    if (!at.settle()) return;
    for (unsigned m = 0; m < P.members; m++) own[m].clear();
    ring<S, supply<S>> stages(from, P.stages);
    stages.start();
    bool split = PROMOTES<S> && P.parts > 1;
    for (bool more = true; more;) {
        uint64_t item = at.next, tile = item / P.parts;
        unsigned b = static_cast<unsigned>(item / P.all.each), row, column, slot = slot_of(P.all, item);
        place_tile<S>(P, item % P.all.each / P.parts, &row, &column);
        work now = work_of<S>(P, item % P.all.each);
        for (bool done = false; !done;) {
            typename S::sums sum;
            int count = now.past - now.first < CHUNK<S> ? now.past - now.first : CHUNK<S>;
            accumulate<S>(stages, sum, count);
            if (split) {
                store_part<S>(P.parts_memory, item, sum);
            } else if (now.which) {
                add_tile<S>(own[now.which - 1], held, sum);
            } else {
                mask_pairs<S>(sum, row, column);
                hold<S>(held, sum, now.first > 0);
            }
            now.first += count;
            if (now.first < now.past) continue;
            done = now.which == now.last;
            if (!done) now = whole_of<S>(P, now.which + 1);
        }
        at.advance();
        more = at.settle();
        if (split) {
            if (!last_block(P.counters + tile, P.parts)) continue;
            join<S>(P, tile, row, column, held, own);
            slot = static_cast<unsigned>(tile % P.slots);
        } else if (more && at.next / P.all.each == b) {
            continue;
        }
        for (unsigned m = 0; m < P.members; m++) leave<S>(P, own[m], m, b, slot);
    }
}

template <class S> int queue(const parameter &P, unsigned blocks, cudaStream_t stream)
{
    size_t shared = static_cast<size_t>(P.stages) * S::STAGE_BYTES + HELD_BYTES<S>;
    return launch(tiles<S>, blocks, S::THREADS, shared, stream, "gram: tiles", P);
}

template <class T> int queue_any(const parameter &P, const plan &how, cudaStream_t stream)
{
    if (how.name == SMALL) return queue<small<T>>(P, how.blocks, stream);
    if constexpr (!T::SPLIT)
        if (how.name == WIDE) return queue<wide<T>>(P, how.blocks, stream);
    return queue<square<T>>(P, how.blocks, stream);
}

plan plan_of(const group &g, vs_norms_dtype dtype, const vs_cuda_context *context)
{
    return dtype == VS_NORMS_fp32   ? choose<fp32>(g, context)
           : dtype == VS_NORMS_tf32 ? choose<tf32>(g, context)
                                    : choose<bf16>(g, context); /* fp16: the same sizes */
}

/* Its own workspace lies before that of the direct pass. */
size_t own_bytes(const plan &how)
{
    return how.sums_bytes + how.flags_bytes + how.tiles_bytes;
}

int queue_tiles(const group &g, const plan &how, const vs_norms_call *call, const space &at)
{
    size_t size = vs_norms_dtype_bytes(call->dtype);
    const vs_norms_layer &first = g.layers[0];
    cudaStream_t stream = static_cast<cudaStream_t>(call->stream);
    parameter P = {};
    P.all = {how.tiles * how.parts, first.B * how.tiles * how.parts, nullptr};
    P.X[0] = matrix_of(first.A, first.B * first.T, first.d, size);
    P.T = first.T;
    P.members = g.count;
    P.parts = how.parts;
    for (unsigned m = 0; m < 2 + MEMBERS; m++) P.first_part[m] = how.first_part[m];
    P.stages = how.stages;
    P.sums = reinterpret_cast<sample_sum *>(at.memory);
    P.slots = how.slots;
    P.parts_memory = reinterpret_cast<float *>(at.memory + how.sums_bytes + how.flags_bytes);
    P.recomputed = call->recomputed;
    P.counters = at.counters;
    for (unsigned m = 0; m < g.count; m++) {
        P.X[1 + m] = matrix_of(g.layers[m].G, first.B * first.T, g.layers[m].p, size);
        P.n[m] = g.layers[m].n;
        P.absolute[m] = g.layers[m].absolute;
        P.flags[m] = reinterpret_cast<unsigned *>(at.memory + how.sums_bytes) + m * first.B;
    }
    switch (call->dtype) {
    case VS_NORMS_fp32: return queue_any<fp32>(P, how, stream);
    case VS_NORMS_tf32: return queue_any<tf32>(P, how, stream);
    case VS_NORMS_bf16: return queue_any<bf16>(P, how, stream);
    default: return queue_any<fp16>(P, how, stream);
    }
}

size_t group_bytes(const group &g, const vs_norms_call *call)
{
    const vs_cuda_context *context = vs_cuda_context_of(call);
    size_t again = 0;
    for (unsigned m = 0; m < g.count; m++) {
        size_t bytes = direct_bytes(&g.layers[m], call->dtype, context, true);
        if (bytes > again) again = bytes;
    }
    return own_bytes(plan_of(g, call->dtype, context)) + again;
}

int run_group(const group &g, const vs_norms_call *call)
{
    const vs_cuda_context *context = vs_cuda_context_of(call);
    char *workspace = static_cast<char *>(call->workspace);
    space at = {reinterpret_cast<unsigned *>(workspace), workspace + VS_WORKSPACE_COUNTERS};
    plan how = plan_of(g, call->dtype, context);
    int err = queue_tiles(g, how, call, at);
    const unsigned *flags = reinterpret_cast<unsigned *>(at.memory + how.sums_bytes);
    at.memory += own_bytes(how);
    for (unsigned m = 0; !err && m < g.count; m++, flags += g.layers[0].B)
        err = direct_layer(&g.layers[m], call->dtype, context, flags, at, static_cast<cudaStream_t>(call->stream));
    return err;
}

/* The group that begins at layer i, samples from b on. */
group group_at(const vs_norms_call *call, size_t i, size_t b)
{
    size_t count = vs_norms_shared(&call->layers[i], call->count - i), left = call->layers[i].B - b;
    size_t B = left < SAMPLES_MOST ? left : SAMPLES_MOST;
    group g = {};
    g.count = static_cast<unsigned>(count < MEMBERS ? count : MEMBERS);
    for (unsigned m = 0; m < g.count; m++)
        g.layers[m] = slice_of(call->layers[i + m], b, B, vs_norms_dtype_bytes(call->dtype));
    return g;
}

size_t workspace_bytes(const vs_norms_call *call)
{
    size_t most = 0, members;
    for (size_t i = 0; i < call->count; i += members) {
        size_t B = call->layers[i].B, starts[2] = {0, (B - 1) / SAMPLES_MOST * SAMPLES_MOST};
        members = group_at(call, i, 0).count;
        for (size_t b : starts) { /* a full slice and the last one: fewer samples may need more */
            size_t bytes = group_bytes(group_at(call, i, b), call);
            if (bytes > most) most = bytes;
        }
    }
    return VS_WORKSPACE_COUNTERS + most;
}

int run(const vs_norms_call *call)
{
    size_t members;
    int err = vs_cuda_none_recomputed(call);
    for (size_t i = 0; !err && i < call->count; i += members) {
        members = group_at(call, i, 0).count;
        for (size_t b = 0; !err && b < call->layers[i].B; b += SAMPLES_MOST) err = run_group(group_at(call, i, b), call);
    }
    return err;
}

} // namespace
} // namespace mma

const vs_norms_backend vs_gram_mma = {mma::takes, mma::workspace_bytes, mma::run, nullptr};
