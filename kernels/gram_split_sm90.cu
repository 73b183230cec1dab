/* SPDX-License-Identifier: MIT
 *
 * gram_split_sm90.cu: `gram` on Hopper for a single layer of few tiles: a cluster takes one 128 x 128 tile, and its blocks
 * share the contraction: A's and G's steps in one row, cut into equal parts. So at most one block holds a part of both Gram
 * tiles. The parts meet in the cluster's shared memory and are multiplied only when they are summed.
 */
#include "kernels/gram_sm90.cuh"

namespace {

using namespace sm90;
using L = gram_layout<TILE_ROWS>;

constexpr uint32_t VECTORS = TILE_ROWS / 8 * CONSUMERS, TILE_BYTES = VECTORS * 16; /* of a tile of float32 */
static_assert(2 * TILE_BYTES <= L::STAGES * L::STAGE_BYTES, "both tiles fit into the drained stages");

struct control {
    uint64_t full[L::STAGES], empty[L::STAGES];
    part scratch[CONSUMER_WARPS];
};
static_assert(sizeof(control) <= CONTROL_BYTES, "the control block has room");

/* What one block does. */
struct share {
    unsigned b, row, column;
    unsigned a_begin, a_end, g_begin, g_end; /* steps */
    unsigned a_blocks, g_first;              /* blocks [0, a_blocks) have some of A, [g_first, size) some of G */

    __device__ static share of(const gram_group &group, unsigned rank, unsigned size)
    {
        share s;
        unsigned a = group.a_steps, all = a + group.g_steps[0], cluster = blockIdx.x / size;
        unsigned begin = all * rank / size, end = all * (rank + 1) / size;
        s.b = cluster / group.items;
        gram_place(cluster % group.items, group.T, TILE_ROWS, TILE_ROWS, &s.row, &s.column);
        s.a_begin = min(begin, a);
        s.a_end = min(end, a);
        s.g_begin = max(begin, a) - a;
        s.g_end = max(end, a) - a;
        for (s.a_blocks = 1; s.a_blocks < size && all * s.a_blocks / size < a; s.a_blocks++) continue;
        for (s.g_first = 0; all * (s.g_first + 1) / size <= a; s.g_first++) continue;
        return s;
    }
    __device__ bool diagonal() const { return row == column; } /* then its columns are its rows: loaded once */
};

template <element E>
__device__ inline void feed(const CUtensorMap *X, unsigned begin, unsigned end, const share &s, ring &stages)
{
    for (unsigned step = begin; step < end; step++) {
        barrier_wait(stages.empty_barrier(), stages.parity ^ 1);
        uint32_t full = stages.full_barrier(), data = stages.data + stages.stage * L::STAGE_BYTES;
        barrier_expect(full, s.diagonal() ? L::A_BYTES : L::STAGE_BYTES);
        copy_box(data, X, full, step * row_elements(E), s.row, s.b);
        if (!s.diagonal()) copy_box(data + L::A_BYTES, X, full, step * row_elements(E), s.column, s.b);
        stages.advance<L::STAGES>();
    }
}

/* sum over all steps, promoted chunk by chunk. */
template <element E>
__device__ inline void multiply(float (&sum)[TILE_ROWS / 2], unsigned steps, ring &stages, const share &s, unsigned thread,
                                unsigned rank)
{
    uint32_t columns = s.diagonal() ? 0 : L::A_BYTES;
    gram_multiply<TILE_ROWS, E>(sum, min(steps, gram_chunk(E)), stages, columns, thread / GROUP, rank, 1);
    for (unsigned done = gram_chunk(E); done < steps; done += gram_chunk(E)) {
        float more[TILE_ROWS / 2];
        gram_multiply<TILE_ROWS, E>(more, min(steps - done, gram_chunk(E)), stages, columns, thread / GROUP, rank, 1);
#pragma unroll
        for (int i = 0; i < TILE_ROWS / 2; i++) sum[i] += more[i];
    }
}

template <element E>
__device__ void consume(const gram_parameter &P, const share &s, ring stages, control *c, unsigned rank, unsigned size)
{
    const gram_group &group = P.one;
    unsigned thread = threadIdx.x - GROUP, a_steps = s.a_end - s.a_begin, g_steps = s.g_end - s.g_begin;
    float sum[TILE_ROWS / 2], held[TILE_ROWS / 2];
    if (a_steps) {
        multiply<E>(held, a_steps, stages, s, thread, rank);
        if (s.diagonal()) gram_weigh<TILE_ROWS>(held, s.row, s.column, thread);
    }
    if (g_steps) multiply<E>(sum, g_steps, stages, s, thread, rank);
    named_barrier(1, CONSUMERS); /* the other warpgroup may still be multiplying from the stages */
    if (a_steps) store_tile(held, stages.data, thread);
    if (g_steps) store_tile(sum, stages.data + TILE_BYTES, thread);
    cluster_sync();
    float n = 0, absolute = 0;
    for (unsigned i = VECTORS * rank / size + thread; i < VECTORS * (rank + 1) / size; i += CONSUMERS) {
        float4 x = cluster_sum(stages.data + i * 16, 0, s.a_blocks, rank);
        float4 y = cluster_sum(stages.data + TILE_BYTES + i * 16, s.g_first, size, rank);
        n += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
        absolute += fabsf(x.x * y.x) + fabsf(x.y * y.y) + fabsf(x.z * y.z) + fabsf(x.w * y.w);
    }
    __syncwarp();
    cluster_arrive(); /* nothing is read from other blocks any more */
    part p = consumers_sum(2 * static_cast<double>(n), 2 * static_cast<double>(absolute), c->scratch, thread);
    if (thread >= 32) return;
    if (thread == 0)
        P.parts[static_cast<size_t>(s.b) * group.slots + blockIdx.x / size % group.items * size + rank] = p;
    if (last_ticket(P.counters + group.ticket + s.b, group.slots)) gram_finish(P, &group, s.b);
}

template <element E> __global__ void __launch_bounds__(THREADS, 1) gram_split(const __grid_constant__ gram_parameter P)
{
    extern __shared__ char memory[];
    uint32_t base = shared_address(memory), data = (base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    control *c = reinterpret_cast<control *>(memory + (data - base) + L::STAGES * L::STAGE_BYTES);
    uint32_t rank = cluster_rank(), size = cluster_size();
    ring stages = {data, shared_address(c->full), shared_address(c->empty), 0, 0};
    launch_dependents();
    if (threadIdx.x == 0) {
        for (int s = 0; s < L::STAGES; s++) {
            barrier_init(stages.full + s * 8, 1);
            barrier_init(stages.empty + s * 8, CONSUMER_WARPS);
        }
        barrier_init_fence();
        prefetch_map(&P.one.a_rows);
        prefetch_map(&P.one.g_rows[0]);
    }
    share s = share::of(P.one, rank, size);
    __syncthreads();
    wait_dependency();
    if (P.clear && blockIdx.x == 0 && threadIdx.x == 0) *P.clear = 0;
    if (threadIdx.x < GROUP) {
        give_registers<PRODUCER_REGISTERS>();
        if (threadIdx.x == 0) {
            feed<E>(&P.one.a_rows, s.a_begin, s.a_end, s, stages);
            feed<E>(&P.one.g_rows[0], s.g_begin, s.g_end, s, stages);
        }
        __syncwarp();
        cluster_sync();
        cluster_arrive();
    } else {
        take_registers<CONSUMER_REGISTERS>();
        consume<E>(P, s, stages, c, rank, size);
        __syncwarp();
    }
    cluster_wait(); /* others still read this block's shared memory */
}

} // namespace

int sm90::launch_gram_split(const gram_parameter &P, const gram_plan &how, element type, cudaStream_t stream)
{
    return launch(type == BF16 ? gram_split<BF16> : type == FP16 ? gram_split<FP16> : gram_split<TF32>, P, how.blocks,
                  how.cluster, L::SHARED, stream, "gram: tiles");
}

unsigned sm90::gram_split_resident(vs_cuda_context *context, unsigned cluster)
{
    unsigned *known = &context->clusters[cluster];
    if (*known) return *known;
    int count = 0;
    cudaLaunchAttribute attribute = {};
    cudaLaunchConfig_t config = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {cluster, 1, 1};
    config.gridDim = cluster;
    config.blockDim = THREADS;
    config.dynamicSmemBytes = L::SHARED;
    config.attrs = &attribute;
    config.numAttrs = 1;
    cudaError_t status = cudaFuncSetAttribute(gram_split<BF16>, cudaFuncAttributeMaxDynamicSharedMemorySize, L::SHARED);
    if (status == cudaSuccess) status = cudaOccupancyMaxActiveClusters(&count, gram_split<BF16>, &config);
    if (status != cudaSuccess) cudaGetLastError();
    return *known = status == cudaSuccess && count > 0 ? static_cast<unsigned>(count) : 0;
}
