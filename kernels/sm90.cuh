/* SPDX-License-Identifier: MIT
 *
 * sm90.cuh: Hopper's own instructions as functions: mbarriers, the tensor copy engine (TMA), wgmma, clusters, dependent
 * launches. One instruction each; it knows nothing of norms. Compiled for sm_90a alone.
 */
#ifndef VS_KERNELS_SM90_CUH
#define VS_KERNELS_SM90_CUH

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace sm90 {

enum element { BF16, FP16, TF32 };

/* Elements in 128 bytes: a row of a stage. */
__host__ __device__ constexpr int row_elements(element e)
{
    return e == TF32 ? 32 : 64;
}

__device__ inline uint32_t shared_address(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/* The same place in another block's shared memory. */
__device__ inline uint32_t map_shared(uint32_t address, uint32_t rank)
{
    uint32_t r;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(rank));
    return r;
}

__device__ inline float4 load_cluster(uint32_t address)
{
    float4 v;
    asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(address)
                 : "memory");
    return v;
}

__device__ inline float4 load_shared(uint32_t address)
{
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(address)
                 : "memory");
    return v;
}

__device__ inline float2 load_shared_pair(uint32_t address)
{
    float2 v;
    asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(address) : "memory");
    return v;
}

__device__ inline void store_shared(uint32_t address, float x, float y, float z, float w)
{
    asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(address), "f"(x), "f"(y), "f"(z), "f"(w) : "memory");
}

/* What this thread has stored to shared memory is visible to the tensor cores, for who then waits at a barrier for it. */
__device__ inline void stored_for_products()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ inline uint32_t cluster_rank()
{
    uint32_t r;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
}

__device__ inline uint32_t cluster_size()
{
    uint32_t r;
    asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(r));
    return r;
}

/* By all threads of all blocks of the cluster; between the two a thread may go on. */
__device__ inline void cluster_arrive()
{
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

__device__ inline void cluster_wait()
{
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

__device__ inline void cluster_sync()
{
    cluster_arrive();
    cluster_wait();
}

__device__ inline void barrier_init(uint32_t barrier, uint32_t arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/* Makes the initialised barriers visible to the copy engine and to the other blocks of the cluster. */
__device__ inline void barrier_init_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void barrier_expect(uint32_t barrier, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/* `barrier` may lie in another block of the cluster (map_shared). No cluster scope here nor in the wait: what passes through
 * the ring is written by the copy engine and read by the tensor cores, and with that scope every arrival would wait for all
 * of the thread's memory traffic. */
__device__ inline void barrier_arrive_cluster(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/* At a barrier of this block; what the thread did before, reading included, is done for who waits. */
__device__ inline void barrier_arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

__device__ inline void barrier_wait(uint32_t barrier, uint32_t parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n"
                 "}\n" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* Barrier number `id` (1-15) of `threads` threads of the block. */
__device__ inline void named_barrier(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ inline void prefetch_map(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* Needed once before a map that lies in global memory and was written by an earlier kernel. */
__device__ inline void acquire_map(const CUtensorMap *map)
{
    asm volatile("fence.proxy.tensormap::generic.acquire.gpu [%0], 128;" ::"l"(map) : "memory");
}

/* Box at (x, y, z) of the tensor to shared memory; its bytes count on `barrier`. Outside of the tensor: zeros. */
__device__ inline void copy_box(uint32_t to, const CUtensorMap *map, uint32_t barrier, int x, int y, int z)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
                     to),
                 "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z)
                 : "memory");
}

/* The same to the same place of every block in `mask`; the bytes count on each block's own barrier at that place. */
__device__ inline void copy_box_all(uint32_t to, const CUtensorMap *map, uint32_t barrier, int x, int y, int z,
                                    uint16_t mask)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(to),
                 "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "h"(mask)
                 : "memory");
}

/* The kernel before this one in the stream, and its writes, are done after wait_dependency. */
__device__ inline void wait_dependency()
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

__device__ inline void launch_dependents()
{
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

template <int REGISTERS> __device__ inline void take_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS> __device__ inline void give_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

/* ---- wgmma: D[64 x N] += A[64 x K] B[K x N], A (but below) and B in shared memory, D in the registers of 4 warps;
 * K: 32 bytes ----
 *
 * Descriptor of an operand in 128-byte swizzled rows, as the copy engine writes boxes of 128 bytes:
 *  - contraction along the row (K-major): 8 rows are an atom of 1024 bytes, the next 8 rows follow; a step of K is 32
 *    bytes further in the row.
 *  - contraction across rows (MN-major), two-byte elements alone: a box holds 64 elements of the other index in each row; `boxes` is the distance
 *    to the box of the next 64; a step of 16 is 16 rows, 2048 bytes.
 * The address is cut to the 18 bits that a block has: in clusters of five and more it can have higher ones. */
__device__ inline uint64_t operand(uint32_t address, uint32_t boxes)
{
    constexpr uint32_t swizzle_128 = 1u << 30, atom = 1024 >> 4;
    return static_cast<uint64_t>(swizzle_128 | atom) << 32 | (boxes >> 4 << 16 | (address & 0x3ffff) >> 4);
}

__device__ inline void products_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ inline void products_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* At most LEFT committed groups are still running. */
template <int LEFT> __device__ inline void products_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

#define VS_T0 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define VS_T1 "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define VS_T2H "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define VS_T2 VS_T2H ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define VS_T3 "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define VS_R4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define VS_R16(i) VS_R4(i), VS_R4(i + 4), VS_R4(i + 8), VS_R4(i + 12)
#define VS_R32(i) VS_R16(i), VS_R16(i + 16)
#define VS_WGMMA(SIZE, TYPE, LIST, REGISTERS, A, B, S, MAJOR)                                                      \
    asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, " S ", 0;\n"                                            \
                 "wgmma.mma_async.sync.aligned.m64n" SIZE TYPE " {" LIST "}, " A ", " B ", keep, 1, 1" MAJOR ";\n}\n" \
                 : REGISTERS                                                                                     \
                 : "l"(a), "l"(b), "r"(keep))
#define VS_WGMMA_TYPE(TYPE, MAJOR)                                                                                  \
    do {                                                                                                            \
        if constexpr (N == 128)                                                                                     \
            VS_WGMMA("128", TYPE, VS_T0 "," VS_T1, VS_R32(0) COMMA VS_R32(32), "%64", "%65", "%66", MAJOR);         \
        if constexpr (N == 160)                                                                                     \
            VS_WGMMA("160", TYPE, VS_T0 "," VS_T1 "," VS_T2H, VS_R32(0) COMMA VS_R32(32) COMMA VS_R16(64), "%80",   \
                     "%81", "%82", MAJOR);                                                                          \
        if constexpr (N == 192)                                                                                     \
            VS_WGMMA("192", TYPE, VS_T0 "," VS_T1 "," VS_T2, VS_R32(0) COMMA VS_R32(32) COMMA VS_R32(64), "%96",    \
                     "%97", "%98", MAJOR);                                                                          \
        if constexpr (N == 256)                                                                                     \
            VS_WGMMA("256", TYPE, VS_T0 "," VS_T1 "," VS_T2 "," VS_T3,                                              \
                     VS_R32(0) COMMA VS_R32(32) COMMA VS_R32(64) COMMA VS_R32(96), "%128", "%129", "%130", MAJOR);  \
    } while (0)
#define COMMA ,

/* keep = 0: D is overwritten. MN_MAJOR: both operands run across rows in the contraction. */
template <int N, element E, bool MN_MAJOR>
__device__ inline void product(float (&d)[N / 2], uint64_t a, uint64_t b, int keep)
{
    static_assert(N == 128 || N == 160 || N == 192 || N == 256, "the widths in use");
    static_assert(E != TF32 || !MN_MAJOR, "there is no such instruction");
    if constexpr (E == TF32) VS_WGMMA_TYPE("k8.f32.tf32.tf32", "");
    if constexpr (E == FP16 && MN_MAJOR) VS_WGMMA_TYPE("k16.f32.f16.f16", ", 1, 1");
    if constexpr (E == FP16 && !MN_MAJOR) VS_WGMMA_TYPE("k16.f32.f16.f16", ", 0, 0");
    if constexpr (E == BF16 && MN_MAJOR) VS_WGMMA_TYPE("k16.f32.bf16.bf16", ", 1, 1");
    if constexpr (E == BF16 && !MN_MAJOR) VS_WGMMA_TYPE("k16.f32.bf16.bf16", ", 0, 0");
}

/* tf32, N = 128, A in registers: lane l of warp w of the four holds rows 16 w + l / 4 and that + 8, each at k = l % 4, then
 * both at k = l % 4 + 4. They may change again when the product has ended. */
__device__ inline void product_of_registers(float (&d)[64], float a0, float a1, float a2, float a3, uint64_t b, int keep)
{
    asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, %69, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 {" VS_T0 "," VS_T1 "}, {%64,%65,%66,%67}, %68, keep, 1, "
                 "1;\n}\n"
                 : VS_R32(0), VS_R32(32)
                 : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(a2)), "r"(__float_as_uint(a3)),
                   "l"(b), "r"(keep));
}

#undef COMMA
#undef VS_WGMMA_TYPE
#undef VS_WGMMA
#undef VS_R32
#undef VS_R16
#undef VS_R4
#undef VS_T3
#undef VS_T2
#undef VS_T2H
#undef VS_T1
#undef VS_T0

} // namespace sm90

#endif
