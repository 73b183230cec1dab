/* SPDX-License-Identifier: MIT
 *
 * train_rng.h: the normal numbers of train.h, for C and CUDA: Philox4x32-10 (Salmon et al., SC 2011) and Box-Muller. A number
 * depends on seed, step and the place of the weight alone. It keeps no state.
 *
 * Four numbers come from one counter: those of the weights 4j .. 4j + 3. CPU and GPU get the same uniform numbers to the bit;
 * normal ones differ by the rounding of their logf, sinf and cosf.
 */
#ifndef VS_KERNELS_TRAIN_RNG_H
#define VS_KERNELS_TRAIN_RNG_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define VS_TRAIN_RNG static inline __host__ __device__
#else
#define VS_TRAIN_RNG static inline
#endif

struct vs_philox {
    uint32_t x[4];
};

VS_TRAIN_RNG struct vs_philox vs_philox(struct vs_philox counter, uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * counter.x[0], b = (uint64_t)0xCD9E8D57u * counter.x[2];
        struct vs_philox next;
        next.x[0] = (uint32_t)(b >> 32) ^ counter.x[1] ^ key0;
        next.x[1] = (uint32_t)b;
        next.x[2] = (uint32_t)(a >> 32) ^ counter.x[3] ^ key1;
        next.x[3] = (uint32_t)a;
        counter = next;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

/* In (0, 1]. The product is exact, so that it is one rounding with a fused multiply-add and without. */
VS_TRAIN_RNG float vs_train_uniform(uint32_t x)
{
    return (float)x * 0x1p-32f + 0x1p-33f;
}

struct vs_train_normals {
    float z[4];
};

/* Of the weights index / 4 * 4 .. + 3: that of `index` is z[index % 4]. */
VS_TRAIN_RNG struct vs_train_normals vs_train_normals(uint64_t seed, uint64_t step, uint64_t index)
{
    const float turn = 6.283185307179586f;
    uint64_t j = index / 4;
    struct vs_philox counter;
    struct vs_train_normals out;
    counter.x[0] = (uint32_t)j;
    counter.x[1] = (uint32_t)(j >> 32);
    counter.x[2] = (uint32_t)step;
    counter.x[3] = (uint32_t)(step >> 32);
    struct vs_philox bits = vs_philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32));
    for (int i = 0; i < 4; i += 2) {
        float radius = sqrtf(-2.0f * logf(vs_train_uniform(bits.x[i])));
        float angle = turn * vs_train_uniform(bits.x[i + 1]);
        out.z[i] = radius * cosf(angle);
        out.z[i + 1] = radius * sinf(angle);
    }
    return out;
}

VS_TRAIN_RNG float vs_train_normal(uint64_t seed, uint64_t step, uint64_t index)
{
    return vs_train_normals(seed, step, index).z[index % 4];
}

#endif
