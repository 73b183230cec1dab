/* SPDX-License-Identifier: MIT
 *
 * mma.cuh: the instructions of the portable tensor-core kernels as functions, one each: asynchronous copies to shared
 * memory, loads of fragments, products of a warp (mma.sync), and the launch. For sm_80 and later. It knows nothing of norms.
 *
 * Lane l of a warp is (g, t) = (l / 4, l % 4). Registers of a product, contraction K = 8 (32-bit) or 16 (16-bit):
 *   a[0..3]: rows g, g + 8, g, g + 8; word t of the first (a0, a1) and of the second half of K
 *   b[0..1]: column g; word t of the first and of the second half of K
 *   d[0..3]: row g columns 2t, 2t + 1; row g + 8 columns 2t, 2t + 1
 * where a word holds one 32-bit element or two 16-bit ones.
 */
#ifndef VS_KERNELS_MMA_CUH
#define VS_KERNELS_MMA_CUH

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda.cuh"

namespace mma {

/* How elements are multiplied. SPLIT: each float as a sum of two TF32 numbers, three products. ROUND: to TF32 first. */
struct fp32 {
    using element = float;
    static constexpr bool SPLIT = true, ROUND = false;
};
struct tf32 {
    using element = float;
    static constexpr bool SPLIT = false, ROUND = true;
};
struct bf16 {
    using element = uint16_t;
    static constexpr bool SPLIT = false, ROUND = false;
};
struct fp16 {
    using element = uint16_t;
    static constexpr bool SPLIT = false, ROUND = false;
};

/* The block's dynamic shared memory, and its address for the functions below. */
__device__ inline char *dynamic_memory()
{
    extern __shared__ __align__(128) char memory[];
    return memory;
}
__device__ inline uint32_t dynamic_shared()
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(dynamic_memory()));
}

/* 16 bytes, both ends aligned to them; zeros when !valid, and `from` is not read then. */
__device__ inline void copy16(uint32_t to, const void *from, bool valid)
{
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
}

__device__ inline void copy4(uint32_t to, const void *from, bool valid)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(valid ? 4 : 0) : "memory");
}

__device__ inline void copies_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* At most LEFT committed groups of this thread are still under way. */
template <int LEFT> __device__ inline void copies_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

__device__ inline void store16(uint32_t to, uint4 v)
{
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

__device__ inline uint4 load16(uint32_t from)
{
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(from) : "memory");
    return v;
}

__device__ inline uint2 load8(uint32_t from)
{
    uint2 v;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(from) : "memory");
    return v;
}

__device__ inline uint32_t load4(uint32_t from)
{
    uint32_t v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(from) : "memory");
    return v;
}

/* Four matrices of 8 rows of 16 bytes; lane l gives the address of row l % 8 of matrix l / 8. Each lane gets word t of row
 * g of each. */
__device__ inline uint4 load_matrices(uint32_t row)
{
    uint4 v;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(row)
                 : "memory");
    return v;
}

/* The same, the matrices of 16-bit elements transposed: a lane gets elements 2t and 2t + 1 of column g. */
__device__ inline uint4 load_matrices_transposed(uint32_t row)
{
    uint4 v;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(row)
                 : "memory");
    return v;
}

/* To the nearest TF32 number. The tensor core by itself cuts the low bits off, which is biased. One instruction from
 * Hopper on; before it there is only the form that rounds halves away from zero, by arithmetic. */
__device__ inline uint32_t round_tf32(uint32_t bits)
{
    uint32_t r;
#if __CUDA_ARCH__ >= 900
    asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(r) : "f"(__uint_as_float(bits)));
#else
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(__uint_as_float(bits)));
#endif
    return r;
}

#define VS_PRODUCT(SHAPE, TYPE, A, B)                                                                           \
    asm("mma.sync.aligned." SHAPE ".row.col.f32." TYPE "." TYPE ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "     \
        "{%8, %9}, {%0, %1, %2, %3};"                                                                           \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                        \
        : "r"(A[0]), "r"(A[1]), "r"(A[2]), "r"(A[3]), "r"(B[0]), "r"(B[1]))

__device__ inline void product(tf32, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    VS_PRODUCT("m16n8k8", "tf32", a, b);
}
__device__ inline void product(bf16, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    VS_PRODUCT("m16n8k16", "bf16", a, b);
}
__device__ inline void product(fp16, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    VS_PRODUCT("m16n8k16", "f16", a, b);
}

#undef VS_PRODUCT

/* Queues a kernel that may want more shared memory than is given without asking. */
template <class... P, class... V>
int launch(void (*kernel)(P...), dim3 blocks, unsigned threads, size_t shared_bytes, cudaStream_t stream, const char *doing,
           const V &...values)
{
    cudaError_t status = cudaSuccess;
    if (shared_bytes)
        status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (status != cudaSuccess) return vs_cuda_failed(status, doing);
    return vs_cuda_launch(doing, kernel, blocks, threads, shared_bytes, stream, values...);
}

} // namespace mma

#endif
