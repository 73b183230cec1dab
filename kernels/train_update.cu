/* SPDX-License-Identifier: MIT
 *
 * train_update.cu: the optimizer step of train.h on the GPU, with the noise made in the same pass, and the first values of the
 * weights. Bound by the memory's bandwidth: every array is read once and written once.
 */
#include <cmath>

#include "kernels/train.cuh"
#include "kernels/train_rng.h"

namespace {

using namespace train;

constexpr unsigned THREADS = 256;
constexpr int PASSES = 4; /* groups of a thread, one after the other: each has up to four loads under way */

/* The N numbers from place `index` on; N is 1, or 4 with index a multiple of 4. As vs_train_normals, but sine and cosine by half
 * turns: exact in their reduction, and no slow path. */
template <int N> __device__ inline void normals(uint64_t seed, uint64_t step, uint64_t index, float (&z)[N])
{
    uint64_t j = index / 4;
    struct vs_philox counter = {{static_cast<uint32_t>(j), static_cast<uint32_t>(j >> 32), static_cast<uint32_t>(step),
                                 static_cast<uint32_t>(step >> 32)}};
    struct vs_philox bits = vs_philox(counter, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    float all[4];
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
        float radius = sqrtf(-2 * logf(vs_train_uniform(bits.x[i]))), s, c;
        sincospif(2 * vs_train_uniform(bits.x[i + 1]), &s, &c);
        all[i] = radius * c;
        all[i + 1] = radius * s;
    }
    if constexpr (N == 4) {
#pragma unroll
        for (int i = 0; i < 4; i++) z[i] = all[i];
    } else {
        unsigned which = index % 4;
        z[0] = which < 2 ? (which ? all[1] : all[0]) : (which == 2 ? all[2] : all[3]);
    }
}

/* The numbers of vs_train_update as the kernel reads them. */
struct job {
    float *weight, *gradient, *m, *v;
    void *working;
    const float *c;
    size_t count, terms, stride; /* stride: from a term to the next */
    uint64_t first, seed, step;
    float noise, scale, rate, beta1, rest1, beta2, rest2, eps, decay, correction; /* rest: 1 - beta; correction: of v */
    bool write_back;
};

template <vs_train_optimizer O, int N>
__device__ inline void step(const job &j, size_t i, const float (&g)[N], float (&w)[N], float (&m)[N], float (&v)[N])
{
    if constexpr (O == VS_TRAIN_OPT_sgd) {
#pragma unroll
        for (int k = 0; k < N; k++) w[k] = fmaf(-j.rate, g[k], w[k]);
    } else {
#pragma unroll
        for (int k = 0; k < N; k++) {
            float with = O == VS_TRAIN_OPT_adam ? fmaf(j.decay, w[k], g[k]) : g[k];
            if (O == VS_TRAIN_OPT_adamw) w[k] = fmaf(-j.decay, w[k], w[k]);
            m[k] = fmaf(j.beta1, m[k], j.rest1 * with);
            v[k] = fmaf(j.beta2, v[k], j.rest2 * with * with);
            w[k] -= __fdividef(j.rate * m[k], sqrtf(v[k] * j.correction) + j.eps);
        }
        put(j.m + i, m), put(j.v + i, v);
    }
    put(j.weight + i, w);
}

/* The sum of the terms of the gradient, each by its weight. */
template <int N> __device__ inline void weigh(const job &j, size_t i, float (&g)[N])
{
    float c = j.c ? *j.c : 1;
    get<N>(j.gradient + i, g);
#pragma unroll
    for (int k = 0; k < N; k++) g[k] = c == 0 ? 0 : g[k] * c;
    for (size_t term = 1; term < j.terms; term++) {
        float more[N];
        c = j.c ? j.c[term] : 1;
        get<N>(j.gradient + term * j.stride + i, more);
#pragma unroll
        for (int k = 0; k < N; k++) g[k] = c == 0 ? g[k] : fmaf(c, more[k], g[k]);
    }
}

template <class E, int N, vs_train_optimizer O, bool NOISE> __global__ void __launch_bounds__(THREADS) update(job j)
{
    constexpr bool STATES = O == VS_TRAIN_OPT_adam || O == VS_TRAIN_OPT_adamw;
    size_t i = (blockIdx.x * static_cast<size_t>(THREADS * PASSES) + threadIdx.x) * N;
    for (int pass = 0; pass < PASSES && i < j.count; pass++, i += THREADS * N) {
        float g[N], w[N], m[N], v[N];
        if constexpr (O != VS_TRAIN_OPT_none) get<N>(j.weight + i, w);
        if constexpr (STATES) get<N>(j.m + i, m), get<N>(j.v + i, v);
        weigh(j, i, g);
        if constexpr (NOISE) {
            float z[N];
            normals<N>(j.seed, j.step, j.first + i, z);
#pragma unroll
            for (int k = 0; k < N; k++) g[k] = fmaf(j.noise, z[k], g[k]);
        }
#pragma unroll
        for (int k = 0; k < N; k++) g[k] *= j.scale;
        if (j.write_back) put(j.gradient + i, g);
        if constexpr (O != VS_TRAIN_OPT_none) {
            step<O, N>(j, i, g, w, m, v);
            if (j.working) put(static_cast<E *>(j.working) + i, w);
        }
    }
}

template <class E, int N> __global__ void __launch_bounds__(THREADS) fill(job j, float value)
{
    size_t i = (blockIdx.x * static_cast<size_t>(THREADS * PASSES) + threadIdx.x) * N;
    for (int pass = 0; pass < PASSES && i < j.count; pass++, i += THREADS * N) {
        float z[N];
#pragma unroll
        for (int k = 0; k < N; k++) z[k] = value;
        if (j.noise != 0) {
            normals<N>(j.seed, 0, j.first + i, z);
#pragma unroll
            for (int k = 0; k < N; k++) z[k] *= j.noise;
        }
        put(j.weight + i, z);
        if (j.working) put(static_cast<E *>(j.working) + i, z);
    }
}

size_t blocks_of(size_t count, int N)
{
    return ceil_div(count, static_cast<size_t>(N) * THREADS * PASSES);
}

template <class E, int N> auto kernel_of(vs_train_optimizer optimizer, bool noise)
{
    switch (optimizer) {
#define X(name, states) \
    case VS_TRAIN_OPT_##name: return noise ? update<E, N, VS_TRAIN_OPT_##name, true> : update<E, N, VS_TRAIN_OPT_##name, false>;
        VS_TRAIN_OPTIMIZERS(X)
#undef X
    default: return update<E, N, VS_TRAIN_OPT_none, false>;
    }
}

/* f(E(), fixed<N>(), the part of the job): groups of four where arrays and places of numbers allow it, then the rest. */
template <class F> int in_parts(const vs_train_on *on, const job &j, F f)
{
    bool groups = aligned({j.weight, j.gradient, j.m, j.v, j.working}) && j.first % 4 == 0 && (j.terms < 2 || j.stride % 4 == 0);
    return with_element(on, [&](auto e) {
        using E = decltype(e);
        job body = j, rest = j;
        body.count = groups ? j.count / 4 * 4 : 0;
        int err = body.count ? f(e, fixed<4>(), body) : 0;
        if (err || body.count == j.count) return err;
        rest.count -= body.count;
        rest.first += body.count;
        for (float **array : {&rest.weight, &rest.gradient, &rest.m, &rest.v})
            if (*array) *array += body.count;
        if (rest.working) rest.working = static_cast<E *>(rest.working) + body.count;
        return f(e, fixed<1>(), rest);
    });
}

} // namespace

int vs_train_cuda_update(const vs_train_on *on, const vs_train_update *p)
{
    int err = check(on, {p->count, static_cast<size_t>(p->step)}, {p->gradient});
    if (err) return err;
    bool states = p->optimizer == VS_TRAIN_OPT_adam || p->optimizer == VS_TRAIN_OPT_adamw;
    if (static_cast<unsigned>(p->optimizer) >= VS_TRAIN_OPTIMIZER_COUNT) return vs_cuda_refuse(-EINVAL, "training: no such optimizer");
    if ((!p->weight && p->optimizer != VS_TRAIN_OPT_none) || (states && (!p->m || !p->v)))
        return vs_cuda_refuse(-EINVAL, "training: a buffer is missing");
    if (p->optimizer == VS_TRAIN_OPT_none && !p->write_back) return 0;
    double t = static_cast<double>(p->step);
    double decay = p->optimizer == VS_TRAIN_OPT_adamw ? p->rate * p->weight_decay : p->weight_decay;
    job j = {};
    j.weight = static_cast<float *>(p->weight), j.gradient = static_cast<float *>(p->gradient);
    j.m = static_cast<float *>(p->m), j.v = static_cast<float *>(p->v);
    j.working = p->working, j.c = p->c, j.count = j.stride = p->count, j.terms = p->terms;
    j.first = p->first, j.seed = p->seed, j.step = p->step, j.write_back = p->write_back;
    j.noise = static_cast<float>(p->noise), j.scale = static_cast<float>(p->scale);
    j.rate = static_cast<float>(states ? p->rate / (1 - pow(p->beta1, t)) : p->rate);
    j.beta1 = static_cast<float>(p->beta1), j.rest1 = static_cast<float>(1 - p->beta1);
    j.beta2 = static_cast<float>(p->beta2), j.rest2 = static_cast<float>(1 - p->beta2);
    j.eps = static_cast<float>(p->eps), j.decay = static_cast<float>(decay);
    j.correction = static_cast<float>(1 / (1 - pow(p->beta2, t)));
    return in_parts(on, j, [&](auto e, auto n, const job &part) {
        constexpr int N = decltype(n)::value;
        return launch(on, "training: optimizer", kernel_of<decltype(e), N>(p->optimizer, p->noise != 0), blocks_of(part.count, N),
                      THREADS, 0, part);
    });
}

int vs_train_cuda_fill(const vs_train_on *on, void *out, void *working, size_t count, uint64_t first, uint64_t seed, double std,
                       double value)
{
    int err = check(on, {count}, {out});
    if (err) return err;
    job j = {};
    j.weight = static_cast<float *>(out), j.working = working, j.count = count, j.first = first, j.seed = seed;
    j.noise = static_cast<float>(std);
    return in_parts(on, j, [&](auto e, auto n, const job &part) {
        constexpr int N = decltype(n)::value;
        return launch(on, "training: first values", fill<decltype(e), N>, blocks_of(part.count, N), THREADS, 0, part,
                      static_cast<float>(value));
    });
}
