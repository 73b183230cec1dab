/* SPDX-License-Identifier: MIT
 *
 * gram_shared_sm90.cu: `gram` on Hopper for any list of layers: a persistent grid of clusters of two blocks walks over tiles
 * of 256 rows x N columns; the blocks take half of the rows each and share the columns. The launch picks N so that the tiles
 * fill the GPU.
 *
 * A tile: `held` = K_A over all of d, then for each layer sharing A, chunk by chunk of p: sum += held * (chunk of K_G).
 */
#include "kernels/gram_sm90.cuh"

namespace {

using namespace sm90;

constexpr unsigned PAIR = 2; /* blocks of a cluster */

struct control {
    uint64_t full[6], empty[6];
    part scratch[2][CONSUMER_WARPS];
    part total[MEMBERS];
};
static_assert(sizeof(control) <= CONTROL_BYTES, "the control block has room");

/* The items of one cluster, in order: every clusters-th of all. */
struct cursor {
    const gram_group *group;
    unsigned left, b, item;

    __device__ bool settle()
    {
        while (item >= group->items) {
            item -= group->items;
            if (++b < group->B) continue;
            b = 0;
            if (--left == 0) return false;
            group++;
        }
        return true;
    }
};

template <int N, element E> struct producer {
    ring stages;
    unsigned rank; /* in the cluster */

    __device__ void feed(const CUtensorMap *rows, const CUtensorMap *cols, unsigned steps, unsigned row, unsigned column,
                         unsigned b)
    {
        using L = gram_layout<N>;
        for (unsigned s = 0; s < steps; s++) {
            barrier_wait(stages.empty_barrier(), stages.parity ^ 1);
            uint32_t full = stages.full_barrier(), data = stages.data + stages.stage * L::STAGE_BYTES;
            uint32_t own = data + L::A_BYTES + rank * (N / 2 * ROW_BYTES);
            barrier_expect(full, L::STAGE_BYTES);
            copy_box(data, rows, full, s * row_elements(E), row, b);
            copy_box_all(own, cols, full, s * row_elements(E), column + rank * (N / 2), b, 3);
            stages.advance<L::STAGES>();
        }
    }
};

/* One chunk's part of n and absolute; twice, for the other order of each pair. */
template <int N>
__device__ inline void add_tile(const float (&held)[N / 2], const float (&gram)[N / 2], double &n, double &absolute)
{
    float s = 0, a = 0;
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        s += held[i] * gram[i];
        a += fabsf(held[i] * gram[i]);
    }
    n += 2 * s;
    absolute += 2 * a;
}

template <int N, element E>
__device__ void consume(const gram_parameter &P, cursor at, ring stages, control *c, unsigned rank, unsigned clusters)
{
    unsigned thread = threadIdx.x - GROUP, toggle = 0;
    float held[N / 2], sum[N / 2];
    if (thread < MEMBERS) c->total[thread] = {0, 0};
    bool more = at.settle();
    while (more) {
        const gram_group *group = at.group;
        unsigned b = at.b, item = at.item, row, column;
        gram_place(item, group->T, PAIR * TILE_ROWS, N, &row, &column);
        row += rank * TILE_ROWS;
        auto multiply = [&](unsigned steps) {
            gram_multiply<N, E>(sum, steps, stages, gram_layout<N>::A_BYTES, thread / GROUP, 0, PAIR);
        };
        multiply(min(group->a_steps, gram_chunk(E)));
#pragma unroll
        for (int i = 0; i < N / 2; i++) held[i] = sum[i];
        for (unsigned s = gram_chunk(E); s < group->a_steps; s += gram_chunk(E)) {
            multiply(min(group->a_steps - s, gram_chunk(E)));
#pragma unroll
            for (int i = 0; i < N / 2; i++) held[i] += sum[i];
        }
        if (column + N > row) gram_weigh<N>(held, row, column, thread);
        for (unsigned m = 0; m < group->members; m++) {
            double n = 0, absolute = 0;
            for (unsigned s = 0; s < group->g_steps[m]; s += gram_chunk(E)) {
                multiply(min(group->g_steps[m] - s, gram_chunk(E)));
                add_tile<N>(held, sum, n, absolute);
            }
            part p = consumers_sum(n, absolute, c->scratch[toggle ^= 1], thread);
            if (thread == 0) {
                c->total[m].n += p.n;
                c->total[m].absolute += p.absolute;
            }
        }
        at.item += clusters;
        more = at.settle();
        if (thread >= 32 || (more && at.group == group && at.b == b)) continue;
        unsigned slot = (group->items <= clusters ? item : blockIdx.x / PAIR) * PAIR + rank;
        __syncwarp();
        if (thread < group->members) {
            P.parts[group->part + (static_cast<size_t>(b) * group->members + thread) * group->slots + slot] = c->total[thread];
            c->total[thread] = {0, 0};
        }
        if (last_ticket(P.counters + group->ticket + b, group->slots)) gram_finish(P, group, b);
    }
}

template <int N, element E>
__global__ void __launch_bounds__(THREADS, 1) gram_shared(const __grid_constant__ gram_parameter P)
{
    extern __shared__ char memory[];
    using L = gram_layout<N>;
    uint32_t base = shared_address(memory), data = (base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    control *c = reinterpret_cast<control *>(memory + (data - base) + L::STAGES * L::STAGE_BYTES);
    uint32_t rank = cluster_rank(), clusters = gridDim.x / PAIR;
    ring stages = {data, shared_address(c->full), shared_address(c->empty), 0, 0};
    if (threadIdx.x == 0) {
        for (int s = 0; s < L::STAGES; s++) {
            barrier_init(stages.full + s * 8, 1);
            barrier_init(stages.empty + s * 8, CONSUMER_WARPS * PAIR);
        }
        barrier_init_fence();
        for (unsigned i = 0; !P.groups && i < 2 + 2 * MEMBERS; i++) prefetch_map(&P.one.a_rows + i);
    }
    launch_dependents();
    cluster_sync();
    wait_dependency();
    if (P.clear && blockIdx.x == 0 && threadIdx.x == 0) *P.clear = 0;
    cursor at = {P.groups ? P.groups : &P.one, P.count, 0, blockIdx.x / PAIR};
    if (threadIdx.x < GROUP) {
        give_registers<PRODUCER_REGISTERS>();
        if (threadIdx.x == 0) {
            producer<N, E> p = {stages, rank};
            const gram_group *known = nullptr;
            while (at.settle()) {
                const gram_group *group = at.group;
                if (group != known && P.groups)
                    for (unsigned i = 0; i < 2 + 2 * MEMBERS; i++) acquire_map(&group->a_rows + i);
                known = group;
                unsigned row, column;
                gram_place(at.item, group->T, PAIR * TILE_ROWS, N, &row, &column);
                row += rank * TILE_ROWS;
                p.feed(&group->a_rows, &group->a_cols, group->a_steps, row, column, at.b);
                for (unsigned m = 0; m < group->members; m++)
                    p.feed(&group->g_rows[m], &group->g_cols[m], group->g_steps[m], row, column, at.b);
                at.item += clusters;
            }
        }
        __syncwarp();
    } else {
        take_registers<CONSUMER_REGISTERS>();
        consume<N, E>(P, at, stages, c, rank, clusters);
        __syncwarp();
    }
    cluster_sync(); /* the other block may still copy into this one's shared memory */
}

template <element E> int launch_width(const gram_parameter &P, const gram_plan &how, cudaStream_t stream)
{
    auto queue = [&](auto kernel, size_t shared) {
        return launch(kernel, P, how.blocks, PAIR, shared, stream, "gram: tiles");
    };
    if (how.N == 128) return queue(gram_shared<128, E>, gram_layout<128>::SHARED);
    if (how.N == 160) return queue(gram_shared<160, E>, gram_layout<160>::SHARED);
    return queue(gram_shared<192, E>, gram_layout<192>::SHARED);
}

} // namespace

int sm90::launch_gram_shared(const gram_parameter &P, const gram_plan &how, element type, cudaStream_t stream)
{
    return type == BF16   ? launch_width<BF16>(P, how, stream)
           : type == FP16 ? launch_width<FP16>(P, how, stream)
                          : launch_width<TF32>(P, how, stream);
}
