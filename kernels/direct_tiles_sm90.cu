/* SPDX-License-Identifier: MIT
 *
 * direct_tiles_sm90.cu: the kernels of `direct` on Hopper for bf16 and fp16: tiles of the gradient of 128 x 256 a block,
 * squared and summed (direct_sm90.cuh). They also compute again the samples that `gram` has listed.
 *
 * Both operands run across rows in the contraction, as they lie in memory: no transposing.
 *  - shared columns: a cluster of two blocks takes 256 x 256, a block 128 of the rows, and both use the columns.
 *  - split: when tiles are few, a cluster takes one tile, each block a part of T; the partial tiles are summed through the
 *    cluster's shared memory, and only then squared.
 */
#include "kernels/direct_sm90.cuh"

namespace {

using namespace sm90;

constexpr int TILE_COLUMNS = SHARED_SHAPE.columns, DEPTH = SHARED_SHAPE.depth;
static_assert(ACCUMULATORS == TILE_COLUMNS / 2, "a warpgroup has 64 rows");
constexpr uint32_t BOX_BYTES = DEPTH * ROW_BYTES; /* 64 of the other index, 64 of T */
constexpr uint32_t A_BYTES = TILE_ROWS / 64 * BOX_BYTES, STAGE_BYTES = A_BYTES + TILE_COLUMNS / 64 * BOX_BYTES;
constexpr int STAGES = 4;
constexpr size_t SHARED = static_cast<size_t>(STAGES) * STAGE_BYTES + CONTROL_BYTES + ALIGNMENT;

struct control {
    uint64_t full[STAGES], empty[STAGES];
    part scratch[2][CONSUMER_WARPS];
};
static_assert(sizeof(control) <= CONTROL_BYTES, "the control block has room");

struct tile {
    int row, column; /* of S */
    unsigned b, begin, end; /* steps of T */

    template <bool SPLIT> __device__ static tile of(const cursor &at, unsigned rank, unsigned size)
    {
        const direct_layer *layer = at.layer();
        unsigned row, column;
        place(at.item, layer->tile_rows, layer->tile_columns, &row, &column);
        tile t;
        t.row = static_cast<int>((SPLIT ? row : 2 * row + rank) * TILE_ROWS);
        t.column = static_cast<int>(column * TILE_COLUMNS);
        t.b = at.sample();
        t.begin = SPLIT ? layer->steps * rank / size : 0;
        t.end = SPLIT ? layer->steps * (rank + 1) / size : layer->steps;
        return t;
    }
};

template <bool SPLIT>
__device__ void feed(const direct_layer *layer, const tile &t, ring &stages, unsigned rank)
{
    for (unsigned s = t.begin; s < t.end; s++) {
        barrier_wait(stages.empty_barrier(), stages.parity ^ 1);
        uint32_t full = stages.full_barrier(), data = stages.data + stages.stage * STAGE_BYTES;
        int at = static_cast<int>(s * DEPTH), b = static_cast<int>(t.b);
        barrier_expect(full, STAGE_BYTES);
        copy_box(data, &layer->rows, full, t.row, at, b);
        copy_box(data + BOX_BYTES, &layer->rows, full, t.row + 64, at, b);
        data += A_BYTES;
        if (SPLIT) {
            for (int i = 0; i < 4; i++) copy_box(data + i * BOX_BYTES, &layer->columns, full, t.column + i * 64, at, b);
        } else {
            for (unsigned i = 2 * rank; i < 2 * rank + 2; i++)
                copy_box_all(data + i * BOX_BYTES, &layer->columns, full, t.column + static_cast<int>(i) * 64, at, b, 3);
        }
        stages.advance<STAGES>();
    }
}

template <bool SPLIT, element E>
__device__ inline void multiply(float (&sum)[ACCUMULATORS], unsigned steps, ring &stages, unsigned group, unsigned rank)
{
    unsigned lane = threadIdx.x % 32;
    uint32_t before = 0;
    for (unsigned s = 0; s < steps; s++) {
        barrier_wait(stages.full_barrier(), stages.parity);
        uint32_t data = stages.data + stages.stage * STAGE_BYTES;
        uint64_t a = operand(data + group * BOX_BYTES, BOX_BYTES), b = operand(data + A_BYTES, BOX_BYTES);
        products_begin();
#pragma unroll
        for (int k = 0; k < DEPTH / 16; k++) product<TILE_COLUMNS, E, true>(sum, a + 128 * k, b + 128 * k, s | k);
        products_commit();
        if (s) {
            products_wait<1>();
            if (lane < (SPLIT ? 1 : 2)) barrier_arrive_cluster(map_shared(before, SPLIT ? rank : lane));
        }
        before = stages.empty_barrier();
        stages.advance<STAGES>();
    }
    products_wait<0>();
    if (steps && lane < (SPLIT ? 1 : 2)) barrier_arrive_cluster(map_shared(before, SPLIT ? rank : lane));
    if (!steps)
#pragma unroll
        for (int i = 0; i < ACCUMULATORS; i++) sum[i] = 0;
}

/* Two neighbours of one row of S. */
__device__ inline void store_pair(const direct_layer *layer, unsigned b, size_t row, size_t column, float x, float y)
{
    if (row >= layer->row_count || column >= layer->column_count) return;
    float *to = layer->gradient + (b * layer->row_count + row) * layer->column_count + column;
    to[0] = x;
    if (column + 1 < layer->column_count) to[1] = y;
}

__device__ inline double square_tile(const float (&sum)[ACCUMULATORS], const direct_layer *layer, const tile &t,
                                     unsigned thread)
{
    if (layer->gradient) {
        size_t row = t.row + thread / 32 * 16 + thread % 32 / 4, column = t.column + thread % 4 * 2;
#pragma unroll
        for (int i = 0; i < ACCUMULATORS; i += 2)
            store_pair(layer, t.b, row + i % 4 / 2 * 8, column + i / 4 * 8, sum[i], sum[i + 1]);
    }
    return square_sum(sum);
}

/* The split form: a block adds up and squares its share of the elements of all blocks' partial tiles, which meet in shared
 * memory (the drained stages: a split block has one item). */
__device__ inline double square_split_tile(const float (&sum)[ACCUMULATORS], const direct_layer *layer, const tile &t,
                                           unsigned thread, uint32_t data, unsigned rank, unsigned size)
{
    constexpr unsigned VECTORS = ACCUMULATORS / 4, COUNT = VECTORS * CONSUMERS;
    named_barrier(1, CONSUMERS); /* the other warpgroup may still be multiplying from these stages */
    store_tile(sum, data, thread);
    cluster_sync();
    double total = 0;
    for (unsigned i = COUNT * rank / size + thread; i < COUNT * (rank + 1) / size; i += CONSUMERS) {
        float4 x = cluster_sum(data + i * 16, 0, size, rank);
        total += (x.x * x.x + x.y * x.y) + (x.z * x.z + x.w * x.w);
        if (!layer->gradient) continue;
        unsigned owner = i % CONSUMERS;
        size_t row = t.row + owner / 32 * 16 + owner % 32 / 4, column = t.column + i / CONSUMERS * 8 + owner % 4 * 2;
        store_pair(layer, t.b, row, column, x.x, x.y);
        store_pair(layer, t.b, row + 8, column, x.z, x.w);
    }
    return total;
}

template <bool SPLIT, bool LONG, element E>
__device__ void consume(const direct_parameter &P, cursor at, ring stages, control *c, unsigned rank, unsigned size)
{
    unsigned thread = threadIdx.x - GROUP;
    float sum[ACCUMULATORS];
    consume_items(P, at, c->scratch, rank, size, [&](const cursor &item) {
        const direct_layer *layer = item.layer();
        tile t = tile::of<SPLIT>(item, rank, size);
        accumulate<LONG>(sum, t.end - t.begin, DIRECT_CHUNK / DEPTH, [&](float(&to)[ACCUMULATORS], unsigned steps) {
            multiply<SPLIT, E>(to, steps, stages, thread / GROUP, rank);
        });
        return SPLIT ? square_split_tile(sum, layer, t, thread, stages.data, rank, size) : square_tile(sum, layer, t, thread);
    });
}

template <bool SPLIT, bool LONG, element E>
__global__ void __launch_bounds__(THREADS, 1) direct_tiles(const __grid_constant__ direct_parameter P)
{
    extern __shared__ char memory[];
    unsigned flagged = 0;
    launch_dependents();
    if (P.flagged) { /* mostly nothing to do: before anything else */
        wait_dependency();
        if (!(flagged = __ldcg(P.counters + FLAGGED_COUNT))) return; /* of all blocks alike */
    }
    uint32_t base = shared_address(memory), data = (base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    control *c = reinterpret_cast<control *>(memory + (data - base) + STAGES * STAGE_BYTES);
    uint32_t rank = cluster_rank(), size = SPLIT ? cluster_size() : 2;
    unsigned clusters = gridDim.x / size;
    ring stages = {data, shared_address(c->full), shared_address(c->empty), 0, 0};
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; s++) {
            barrier_init(stages.full + s * 8, 1);
            barrier_init(stages.empty + s * 8, CONSUMER_WARPS * (SPLIT ? 1 : 2));
        }
        barrier_init_fence();
        if (!P.layers) {
            prefetch_map(&P.one.rows);
            prefetch_map(&P.one.columns);
        }
    }
    cluster_sync();
    if (!P.flagged) wait_dependency();
    if (P.clear && blockIdx.x == 0 && threadIdx.x == 0) *P.clear = 0;
    cursor at = {P.layers ? P.layers : &P.one, P.flagged, P.flagged ? flagged : P.count, 0, 0, blockIdx.x / size};
    if (threadIdx.x < GROUP) {
        give_registers<PRODUCER_REGISTERS>();
        if (threadIdx.x == 0) {
            const direct_layer *known = nullptr;
            for (; at.settle(); at.item += clusters) {
                const direct_layer *layer = at.layer();
                if (layer != known && P.layers) {
                    acquire_map(&layer->rows);
                    acquire_map(&layer->columns);
                }
                known = layer;
                feed<SPLIT>(layer, tile::of<SPLIT>(at, rank, size), stages, rank);
            }
        }
        __syncwarp();
        if (SPLIT) cluster_sync(); /* that of square_split_tile: a split block has exactly one */
    } else {
        take_registers<CONSUMER_REGISTERS>();
        consume<SPLIT, LONG, E>(P, at, stages, c, rank, size);
        __syncwarp();
    }
    cluster_sync(); /* others still read this block's shared memory, or copy into it */
    if (P.flagged && threadIdx.x == 0) leave_flagged(P, flagged);
}

template <element E> int launch_tiles(const direct_parameter &P, const direct_plan &how, bool promoted, cudaStream_t stream)
{
    const char *doing = P.flagged ? "gram: samples to compute again" : "direct: tiles";
    void (*kernel)(direct_parameter) = how.split ? promoted ? direct_tiles<true, true, E> : direct_tiles<true, false, E>
                                     : promoted  ? direct_tiles<false, true, E>
                                                 : direct_tiles<false, false, E>;
    return launch(kernel, P, how.blocks, how.cluster, SHARED, stream, doing);
}

} // namespace

int sm90::launch_direct_tiles(const direct_parameter &P, const direct_plan &how, element type, bool promoted,
                              cudaStream_t stream)
{
    return type == FP16 ? launch_tiles<FP16>(P, how, promoted, stream) : launch_tiles<BF16>(P, how, promoted, stream);
}
