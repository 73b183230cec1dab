/* SPDX-License-Identifier: MIT
 *
 * direct_tf32_sm90.cu: the kernel of `direct` on Hopper for tf32: tiles of the gradient of 256 x 128 a block, squared and
 * summed (direct_sm90.cuh). It also computes again the samples that `gram` has listed.
 *
 * A cluster of two blocks takes 256 x 256: its blocks share the rows' operand, each copies half of it for both. The tensor
 * cores take tf32 from shared memory only with the contraction along the row, and in both operands it runs across rows. So the
 * rows' operand goes to them from registers: every consumer thread reads what it needs of it as the copy engine has left it.
 * The columns' operand is transposed by the producer warpgroup's spare warps, from one ring of stages to another.
 *
 * Three orders are free, and chosen so that much moves at a time and no two lanes meet in a bank (both sides agree):
 *  - contraction: of each 8 rows of T, numbers 0 2 4 6 1 3 5 7 stand at k = 0..7;
 *  - tile rows: of each 16 of a warp, 2 g and 2 g + 1 stand in rows g and g + 8 of the fragment;
 *  - tile columns: of each 32, 4 q + i stands in row 8 i + q of the transposed operand.
 */
#include "kernels/direct_sm90.cuh"

namespace {

using namespace sm90;

constexpr unsigned ROWS = TF32_SHAPE.rows, COLUMNS = TF32_SHAPE.columns / 2, DEPTH = TF32_SHAPE.depth;
constexpr unsigned WIDE = 32; /* elements in a row of a box */
constexpr uint32_t BOX_BYTES = DEPTH * ROW_BYTES;
constexpr uint32_t ROW_STAGE = ROWS / WIDE * BOX_BYTES, COLUMN_STAGE = COLUMNS / WIDE * BOX_BYTES;
constexpr uint32_t TURNED_STAGE = COLUMNS * ROW_BYTES;
constexpr int ROW_STAGES = 4, COLUMN_STAGES = 3, TURNED_STAGES = 3;
constexpr uint32_t DATA = ROW_STAGES * ROW_STAGE + COLUMN_STAGES * COLUMN_STAGE + TURNED_STAGES * TURNED_STAGE;
constexpr size_t SHARED = DATA + CONTROL_BYTES + ALIGNMENT;
static_assert(SHARED <= SHARED_LIMIT, "the rings fit");
static_assert(ROWS == CONSUMER_WARPS * WIDE && DEPTH * 4 == ROW_BYTES, "a box for each consumer warp");

constexpr int PRODUCERS_KEEP = 72, CONSUMERS_KEEP = 216; /* registers: transposing needs more than copying */
constexpr unsigned TURNERS = GROUP / 32 - 1; /* warps that transpose */
constexpr unsigned ROW_BOXES = ROWS / WIDE, COLUMN_BOXES = COLUMNS / WIDE;

struct control {
    uint64_t row_full[ROW_STAGES], row_empty[ROW_STAGES], column_full[COLUMN_STAGES], column_empty[COLUMN_STAGES];
    uint64_t turned_full[TURNED_STAGES], turned_empty[TURNED_STAGES];
    part scratch[2][CONSUMER_WARPS];
};
static_assert(sizeof(control) <= CONTROL_BYTES, "the control block has room");

struct rings {
    ring rows, columns, turned;

    __device__ static rings of(uint32_t data, control *c)
    {
        uint32_t columns = data + ROW_STAGES * ROW_STAGE, turned = columns + COLUMN_STAGES * COLUMN_STAGE;
        return {{data, shared_address(c->row_full), shared_address(c->row_empty), 0, 0},
                {columns, shared_address(c->column_full), shared_address(c->column_empty), 0, 0},
                {turned, shared_address(c->turned_full), shared_address(c->turned_empty), 0, 0}};
    }

    /* By one thread. */
    __device__ void init() const
    {
        for (int s = 0; s < ROW_STAGES; s++) {
            barrier_init(rows.full + s * 8, 1);
            barrier_init(rows.empty + s * 8, 2 * CONSUMER_WARPS);
        }
        for (int s = 0; s < COLUMN_STAGES; s++) {
            barrier_init(columns.full + s * 8, 1);
            barrier_init(columns.empty + s * 8, COLUMN_BOXES);
        }
        for (int s = 0; s < TURNED_STAGES; s++) {
            barrier_init(turned.full + s * 8, COLUMN_BOXES);
            barrier_init(turned.empty + s * 8, CONSUMER_WARPS);
        }
        barrier_init_fence();
    }
};

struct tile {
    unsigned row, column; /* of S */

    __device__ static tile of(const cursor &at, unsigned rank)
    {
        tile t;
        place(at.item, at.layer()->tile_rows, at.layer()->tile_columns, &t.row, &t.column);
        t.row *= ROWS;
        t.column = (2 * t.column + rank) * COLUMNS;
        return t;
    }
};

__device__ inline void feed_rows(const CUtensorMap *map, ring &to, unsigned row, int t, int b, unsigned rank)
{
    barrier_wait(to.empty_barrier(), to.parity ^ 1);
    uint32_t full = to.full_barrier(), data = to.data + to.stage * ROW_STAGE;
    barrier_expect(full, ROW_STAGE);
    for (unsigned i = rank * (ROW_BOXES / 2), end = i + ROW_BOXES / 2; i < end; i++)
        copy_box_all(data + i * BOX_BYTES, map, full, static_cast<int>(row + i * WIDE), t, b, 3);
    to.advance<ROW_STAGES>();
}

__device__ inline void feed_columns(const CUtensorMap *map, ring &to, unsigned column, int t, int b)
{
    barrier_wait(to.empty_barrier(), to.parity ^ 1);
    uint32_t full = to.full_barrier(), data = to.data + to.stage * COLUMN_STAGE;
    barrier_expect(full, COLUMN_STAGE);
    for (unsigned i = 0; i < COLUMN_BOXES; i++)
        copy_box(data + i * BOX_BYTES, map, full, static_cast<int>(column + i * WIDE), t, b);
    to.advance<COLUMN_STAGES>();
}

/* One thread fills the stages of both operands. */
__device__ void feed(const direct_parameter &P, cursor at, rings r, unsigned rank)
{
    const direct_layer *known = nullptr;
    for (; at.settle(); at.item += gridDim.x / 2) {
        const direct_layer *layer = at.layer();
        if (layer != known && P.layers) {
            acquire_map(&layer->rows);
            acquire_map(&layer->columns);
        }
        known = layer;
        tile t = tile::of(at, rank);
        for (unsigned s = 0; s < layer->steps; s++) {
            int from = static_cast<int>(s * DEPTH), b = static_cast<int>(at.sample());
            feed_columns(&layer->columns, r.columns, t.column, from, b);
            feed_rows(&layer->rows, r.rows, t.row, from, b, rank);
        }
    }
}

/* Transposes 32 x 32 elements, twice 4 x 4 a lane. */
__device__ inline void turn_box(uint32_t from, uint32_t to, unsigned lane)
{
    unsigned q = lane % 8, chunk = lane / 8, odd = chunk % 2;
    uint32_t read = from + (chunk / 2 * 8 + odd) * ROW_BYTES, write = to + q * ROW_BYTES;
    float4 v[2][4];
#pragma unroll
    for (unsigned h = 0; h < 2; h++)
#pragma unroll
        for (unsigned m = 0; m < 4; m++)
            v[h][m] = load_shared(read + (16 * h + 2 * m) * ROW_BYTES + (q ^ (2 * m + odd)) * 16);
#pragma unroll
    for (unsigned h = 0; h < 2; h++) {
        uint32_t at = write + ((4 * h + chunk) ^ q) * 16;
        store_shared(at, v[h][0].x, v[h][1].x, v[h][2].x, v[h][3].x);
        store_shared(at + 8 * ROW_BYTES, v[h][0].y, v[h][1].y, v[h][2].y, v[h][3].y);
        store_shared(at + 16 * ROW_BYTES, v[h][0].z, v[h][1].z, v[h][2].z, v[h][3].z);
        store_shared(at + 24 * ROW_BYTES, v[h][0].w, v[h][1].w, v[h][2].w, v[h][3].w);
    }
}

/* Of those that transpose, warp `turner` takes every TURNERS-th box. */
__device__ void turn(cursor at, rings r, unsigned turner)
{
    unsigned lane = threadIdx.x % 32, box = turner;
    for (; at.settle(); at.item += gridDim.x / 2)
        for (unsigned s = 0, steps = at.layer()->steps; s < steps; s++) {
            uint32_t from = r.columns.data + r.columns.stage * COLUMN_STAGE;
            uint32_t to = r.turned.data + r.turned.stage * TURNED_STAGE;
            barrier_wait(r.columns.full_barrier(), r.columns.parity);
            barrier_wait(r.turned.empty_barrier(), r.turned.parity ^ 1);
            for (; box < COLUMN_BOXES; box += TURNERS) {
                turn_box(from + box * BOX_BYTES, to + box * WIDE * ROW_BYTES, lane);
                stored_for_products();
                __syncwarp();
                if (lane == 0) {
                    barrier_arrive(r.columns.empty_barrier());
                    barrier_arrive(r.turned.full_barrier());
                }
            }
            box -= COLUMN_BOXES;
            r.columns.advance<COLUMN_STAGES>();
            r.turned.advance<TURNED_STAGES>();
        }
}

/* What a thread gives to the two products (64 rows of the warpgroup each) of 8 rows of T. */
struct fragment {
    float2 low[2], high[2]; /* at k = lane % 4, and at that + 4 */

    /* from: where step 0 of the warp's box in a stage begins. */
    __device__ void load(uint32_t from, unsigned step, unsigned lane)
    {
        unsigned g = lane / 4, row = lane % 4 * 2;
        from += (step * 8 + row) * ROW_BYTES + g % 2 * 8;
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            low[i] = load_shared_pair(from + ((4 * i + g / 2) ^ row) * 16);
            high[i] = load_shared_pair(from + ROW_BYTES + ((4 * i + g / 2) ^ (row + 1)) * 16);
        }
    }
};

/* Queues the products of 8 rows of T. When it returns, no more than those and the 8 before are running. */
__device__ inline void multiply_step(float (&sum)[ACCUMULATORS], const fragment &f, uint32_t turned, int keep)
{
    float(&first)[64] = reinterpret_cast<float(&)[64]>(sum[0]), (&second)[64] = reinterpret_cast<float(&)[64]>(sum[64]);
    uint64_t b = operand(turned, 0);
    products_begin();
    product_of_registers(first, f.low[0].x, f.low[0].y, f.high[0].x, f.high[0].y, b, keep);
    product_of_registers(second, f.low[1].x, f.low[1].y, f.high[1].x, f.high[1].y, b, keep);
    products_commit();
    products_wait<2>();
}

/* Fragments are read two steps ahead of their products. */
__device__ inline void multiply(float (&sum)[ACCUMULATORS], unsigned steps, rings &r, unsigned warp, unsigned lane)
{
    fragment f0, f1, f2, f3;
    uint32_t before = 0, boxes = r.rows.data + warp * BOX_BYTES;
    barrier_wait(r.rows.full_barrier(), r.rows.parity);
    f0.load(boxes + r.rows.stage * ROW_STAGE, 0, lane);
    f1.load(boxes + r.rows.stage * ROW_STAGE, 1, lane);
    for (unsigned s = 0; s < steps; s++) {
        uint32_t box = boxes + r.rows.stage * ROW_STAGE, read = r.rows.empty_barrier();
        uint32_t turned = r.turned.data + r.turned.stage * TURNED_STAGE;
        bool more = s + 1 < steps;
        barrier_wait(r.turned.full_barrier(), r.turned.parity);
        multiply_step(sum, f0, turned, s);
        f2.load(box, 2, lane);
        multiply_step(sum, f1, turned + 32, 1);
        if (s && lane == 0) barrier_arrive(before);
        f3.load(box, 3, lane);
        multiply_step(sum, f2, turned + 64, 1);
        r.rows.advance<ROW_STAGES>();
        box = boxes + r.rows.stage * ROW_STAGE;
        if (more) {
            barrier_wait(r.rows.full_barrier(), r.rows.parity);
            f0.load(box, 0, lane);
        }
        multiply_step(sum, f3, turned + 96, 1);
        if (lane < 2) barrier_arrive_cluster(map_shared(read, lane)); /* f3, read last, is in use: it has arrived */
        if (more) f1.load(box, 1, lane);
        before = r.turned.empty_barrier();
        r.turned.advance<TURNED_STAGES>();
    }
    products_wait<0>();
    if (lane == 0) barrier_arrive(before);
}

__device__ void store_tile_of(const float (&sum)[ACCUMULATORS], const direct_layer *layer, const tile &t, unsigned b,
                              unsigned warp, unsigned lane)
{
    size_t row = t.row + warp * WIDE + lane / 4 * 2, column = t.column + lane % 4 * 8;
    float *to = layer->gradient + (b * layer->row_count + row) * layer->column_count + column;
#pragma unroll
    for (unsigned j = 0; j < 4; j++)
#pragma unroll
        for (unsigned v = 0; v < COLUMN_BOXES * 2; v++) {
            const float *x = sum + j / 2 * 64 + v / 2 * 16 + j % 2 * 2 + v % 2;
            unsigned down = j / 2 * 16 + j % 2, right = v / 2 * WIDE + v % 2 * 4;
            if (row + down < layer->row_count && column + right < layer->column_count)
                *reinterpret_cast<float4 *>(to + down * layer->column_count + right) = {x[0], x[4], x[8], x[12]};
        }
}

template <bool LONG> __device__ void consume(const direct_parameter &P, cursor at, rings r, control *c, unsigned rank)
{
    unsigned warp = (threadIdx.x - GROUP) / 32, lane = threadIdx.x % 32;
    float sum[ACCUMULATORS];
    consume_items(P, at, c->scratch, rank, 2, [&](const cursor &item) {
        const direct_layer *layer = item.layer();
        accumulate<LONG>(sum, layer->steps, DIRECT_CHUNK / DEPTH, [&](float(&to)[ACCUMULATORS], unsigned steps) {
            multiply(to, steps, r, warp, lane);
        });
        if (layer->gradient) store_tile_of(sum, layer, tile::of(item, rank), item.sample(), warp, lane);
        return square_sum(sum);
    });
}

template <bool LONG> __global__ void __launch_bounds__(THREADS, 1) direct_tf32(const __grid_constant__ direct_parameter P)
{
    extern __shared__ char memory[];
    unsigned flagged = 0;
    launch_dependents();
    if (P.flagged) { /* mostly nothing to do: before anything else */
        wait_dependency();
        if (!(flagged = __ldcg(P.counters + FLAGGED_COUNT))) return; /* of all blocks alike */
    }
    uint32_t base = shared_address(memory), data = (base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    control *c = reinterpret_cast<control *>(memory + (data - base) + DATA);
    rings r = rings::of(data, c);
    unsigned rank = cluster_rank();
    if (threadIdx.x == 0) {
        r.init();
        if (!P.layers) {
            prefetch_map(&P.one.rows);
            prefetch_map(&P.one.columns);
        }
    }
    cluster_sync();
    if (!P.flagged) wait_dependency();
    if (P.clear && blockIdx.x == 0 && threadIdx.x == 0) *P.clear = 0;
    cursor at = {P.layers ? P.layers : &P.one, P.flagged, P.flagged ? flagged : P.count, 0, 0, blockIdx.x / 2};
    if (threadIdx.x < GROUP) {
        give_registers<PRODUCERS_KEEP>();
        if (threadIdx.x >= 32) turn(at, r, threadIdx.x / 32 - 1);
        else if (threadIdx.x == 0) feed(P, at, r, rank);
    } else {
        take_registers<CONSUMERS_KEEP>();
        consume<LONG>(P, at, r, c, rank);
    }
    __syncwarp();
    cluster_sync(); /* the other block still copies into this one's shared memory, or counts on its barriers */
    if (P.flagged && threadIdx.x == 0) leave_flagged(P, flagged);
}

} // namespace

int sm90::launch_direct_tf32(const direct_parameter &P, const direct_plan &how, bool promoted, cudaStream_t stream)
{
    return launch(promoted ? direct_tf32<true> : direct_tf32<false>, P, how.blocks, how.cluster, SHARED, stream,
                  P.flagged ? "gram: samples to compute again" : "direct: tiles");
}
