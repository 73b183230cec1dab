/* SPDX-License-Identifier: MIT
 *
 * norm_sm90.cuh: what the two Hopper backends share: the ring of shared-memory stages between the copy engine and the
 * tensor cores, the deterministic sum over blocks, the workspace, and the launch. It computes no tile.
 *
 * A block is three warpgroups: one thread of the first feeds the ring (producer), the other two multiply (consumers), 64
 * rows of a 128-row tile each. Blocks come in clusters: either of two, which share the columns of their tiles (each loads
 * half of them for both), or of as many as a tile's contraction is split over.
 *
 * Sums. Each block leaves one part {n, absolute} per sample in a slot of its own; who takes the sample's last ticket adds
 * all slots in their order. The tickets wrap to zero by themselves, so a workspace that is zero once stays ready.
 */
#ifndef VS_KERNELS_NORM_SM90_CUH
#define VS_KERNELS_NORM_SM90_CUH

#include "kernels/cuda.cuh"
#include "kernels/sm90.cuh"

namespace sm90 {

constexpr int TILE_ROWS = 128;
constexpr int GROUP = 128, CONSUMERS = 2 * GROUP;  /* threads of a warpgroup, of both consumers */
constexpr int THREADS = CONSUMERS + GROUP;
constexpr int CONSUMER_WARPS = CONSUMERS / 32;
constexpr int PRODUCER_REGISTERS = 40, CONSUMER_REGISTERS = 232; /* 128 (40 + 2 x 232) <= 65536 */
constexpr unsigned SPLIT_MAX = 8; /* blocks of a cluster, everywhere */
constexpr int ROW_BYTES = 128;                     /* a row of a stage, swizzled */
constexpr int SHARED_LIMIT = 227 * 1024, CONTROL_BYTES = 1024, ALIGNMENT = 1024;

/* The workspace begins with counters that are zero between calls. */
constexpr unsigned TICKETS = 1024;
constexpr unsigned FLAGGED_COUNT = 0, EXIT_TICKET = 1, FIRST_TICKET = 2; /* words of it */
constexpr unsigned SAMPLES_MAX = TICKETS - FIRST_TICKET;                /* of one launch */

/* Stages between one producer thread and the consumer warps of `sharers` blocks. */
struct ring {
    uint32_t data, full, empty; /* shared addresses; 8 bytes per barrier */
    uint32_t stage, parity;

    template <int STAGES> __device__ void advance()
    {
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
    __device__ uint32_t full_barrier() const { return full + stage * 8; }
    __device__ uint32_t empty_barrier() const { return empty + stage * 8; }
};

/* One part of a sample's sum, in double. */
struct part {
    double n, absolute;
};

/* Sum of both over the consumers, in thread 0 of them. `scratch`: CONSUMER_WARPS parts that no other thread touches until
 * the next but one call (callers alternate two of them). */
__device__ inline part consumers_sum(double n, double absolute, part *scratch, int thread)
{
    for (int away = 16; away; away /= 2) {
        n += __shfl_down_sync(~0u, n, away);
        absolute += __shfl_down_sync(~0u, absolute, away);
    }
    if (thread % 32 == 0) scratch[thread / 32] = {n, absolute};
    named_barrier(1, CONSUMERS);
    part sum = {0, 0};
    if (thread == 0)
        for (int w = 0; w < CONSUMER_WARPS; w++) {
            sum.n += scratch[w].n;
            sum.absolute += scratch[w].absolute;
        }
    return sum;
}

/* Sum of the four floats at `address` of blocks [first, end) of the cluster, each reader beginning elsewhere, so that no two
 * read the same block at once; the same order on every run. */
__device__ inline float4 cluster_sum(uint32_t address, unsigned first, unsigned end, unsigned rank)
{
    float4 v[SPLIT_MAX];
    unsigned count = end - first, from = rank % count;
#pragma unroll
    for (unsigned q = 0; q < SPLIT_MAX; q++)
        if (q < count) v[q] = load_cluster(map_shared(address, first + (from + q < count ? from + q : from + q - count)));
    float4 sum = v[0];
#pragma unroll
    for (unsigned q = 1; q < SPLIT_MAX; q++)
        if (q < count) sum = {sum.x + v[q].x, sum.y + v[q].y, sum.z + v[q].z, sum.w + v[q].w};
    return sum;
}

/* One warpgroup's accumulators to `data`, vector by vector of all consumers: cluster_sum's order. */
template <int COUNT> __device__ inline void store_tile(const float (&sum)[COUNT], uint32_t data, unsigned thread)
{
#pragma unroll
    for (unsigned v = 0; v < COUNT / 4; v++)
        asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(data + (v * CONSUMERS + thread) * 16), "f"(sum[4 * v]),
                     "f"(sum[4 * v + 1]), "f"(sum[4 * v + 2]), "f"(sum[4 * v + 3])
                     : "memory");
}

/* Takes a ticket for parts this warp has stored; true in all lanes when they were the sample's last ones. */
__device__ inline bool last_ticket(unsigned *ticket, unsigned slots)
{
    bool last = false;
    __syncwarp();
    if (threadIdx.x % 32 == 0) {
        __threadfence();
        last = atomicInc(ticket, slots - 1) == slots - 1;
    }
    last = __shfl_sync(~0u, last, 0);
    if (last) __threadfence();
    return last;
}

/* All slots in a fixed order, by one warp; every lane gets the sum. */
__device__ inline part slots_sum(const part *parts, unsigned slots)
{
    double n = 0, absolute = 0;
    for (unsigned i = threadIdx.x % 32; i < slots; i += 32) {
        n += __ldcg(&parts[i].n);
        absolute += __ldcg(&parts[i].absolute);
    }
    for (int away = 16; away; away /= 2) {
        n += __shfl_xor_sync(~0u, n, away);
        absolute += __shfl_xor_sync(~0u, absolute, away);
    }
    return {n, absolute};
}

/* A sample that a Gram kernel wants computed again. */
struct flagged_sample {
    unsigned layer, b;
};

/* ---- the host's side ---- */

/* Layers of one launch: as the call's, but none has more than SAMPLES_MAX samples, nor all together. */
struct launch_list {
    const vs_norms_layer *layers;
    size_t count;
};

/* One way through a call's launches: either counts the workspace of the largest one, or queues all of them. */
struct pass {
    const vs_norms_call *call;
    bool run;
    size_t bytes;    /* counted */
    unsigned *clear; /* what the next launch sets to 0: the call's count, once */

    void count(size_t launch_bytes) { bytes = launch_bytes > bytes ? launch_bytes : bytes; }
    unsigned *take_clear()
    {
        unsigned *taken = clear;
        clear = nullptr;
        return taken;
    }
};

/* A backend's launch of one list. Both cut the call into lists that one launch can take, and stop at the first error. */
typedef int launch_fn(const launch_list &list, pass *all);
size_t count_launches(const vs_norms_call *call, launch_fn *launch);
int queue_launches(const vs_norms_call *call, launch_fn *launch);

element element_of(vs_norms_dtype dtype);

/* Of X [B, T, width]: boxes of 128 bytes of columns and `rows` rows, swizzled. tf32 is rounded to nearest as it is copied. */
int encode_map(CUtensorMap *map, const void *X, size_t B, size_t T, size_t width, unsigned rows, element type);

/* Can the copy engine read these layers? */
bool copy_engine_takes(const vs_norms_call *call);

/* Queues kernel<<<blocks, THREADS>>> in clusters, to start while the kernel before it ends. */
template <class Parameter>
int launch(void (*kernel)(Parameter), const Parameter &parameter, unsigned blocks, unsigned cluster, size_t shared_bytes,
           cudaStream_t stream, const char *doing)
{
    cudaLaunchAttribute attributes[2] = {};
    cudaLaunchConfig_t config = {};
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim = {cluster, 1, 1};
    attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[1].val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = blocks;
    config.blockDim = THREADS;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = 2;
    cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
    if (status == cudaSuccess) status = cudaLaunchKernelEx(&config, kernel, parameter);
    return vs_cuda_failed(status, doing);
}

/* Copies `bytes` of a host table to the device by kernel parameters: nothing of the host is read after the call, so a
 * captured graph may be replayed at any time. */
int store_table(void *device, const void *host, size_t bytes, cudaStream_t stream);

inline size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* The flag-guarded direct kernel after a Gram one: recomputes the samples that it listed. */
struct recompute_request {
    const launch_list *list;
    element type;
    char *workspace; /* its own part, recompute_bytes() of it */
    unsigned *counters;
    const flagged_sample *flagged;
    unsigned *recomputed; /* adds to it; NULL: not wanted */
    const vs_cuda_context *context;
    cudaStream_t stream;
};
size_t recompute_bytes(const launch_list &list, const vs_cuda_context *context);
int recompute(const recompute_request &request);

} // namespace sm90

#endif
