/* SPDX-License-Identifier: MIT
 *
 * train_elementwise.cu: the operations of train.h on the GPU whose results need no other row: activations, rotary positions,
 * coefficients of samples. Bound by the memory's bandwidth.
 */
#include "kernels/train.cuh"

namespace {

using namespace train;

/* x = max(x + bias, 0); a NaN stays. */
template <class E, int N> struct bias_relu {
    E *x;
    const float *bias;
    size_t width;
    using held = group<E, N>;

    __device__ held read(unsigned row, size_t column) const
    {
        return load<N>(x + row * width + column);
    }
    __device__ void write(unsigned row, size_t column, const held &h) const
    {
        float v[N], more[N];
        widen(h, v);
        get<N>(bias + column, more);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] = v[k] + more[k] < 0 ? 0 : v[k] + more[k];
        put(x + row * width + column, v);
    }
};

template <class E, int N> struct relu_backward {
    const E *out;
    E *dout;
    struct held {
        group<E, N> out, dout;
    };

    __device__ held read(unsigned, size_t i) const
    {
        return {load<N>(out + i), load<N>(dout + i)};
    }
    __device__ void write(unsigned, size_t i, const held &h) const
    {
        float o[N], d[N];
        widen(h.out, o), widen(h.dout, d);
#pragma unroll
        for (int k = 0; k < N; k++) d[k] = o[k] > 0 ? d[k] : 0;
        put(dout + i, d);
    }
};

/* 1 / (1 + e^-x), to about 1e-6. */
__device__ inline float sigmoid(float x)
{
    return __fdividef(1, 1 + __expf(-x));
}

template <class E, int N> struct swiglu {
    const E *x;
    E *out;
    size_t width;
    struct held {
        group<E, N> gate, up;
    };

    __device__ held read(unsigned row, size_t column) const
    {
        const E *gate = x + row * 2 * width + column;
        return {load<N>(gate), load<N>(gate + width)};
    }
    __device__ void write(unsigned row, size_t column, const held &h) const
    {
        float gate[N], up[N];
        widen(h.gate, gate), widen(h.up, up);
#pragma unroll
        for (int k = 0; k < N; k++) up[k] *= gate[k] * sigmoid(gate[k]);
        put(out + row * width + column, up);
    }
};

template <class E, int N> struct swiglu_backward {
    const E *x, *dout;
    E *dx;
    size_t width;
    struct held {
        group<E, N> gate, up, dout;
    };

    __device__ held read(unsigned row, size_t column) const
    {
        const E *gate = x + row * 2 * width + column;
        return {load<N>(gate), load<N>(gate + width), load<N>(dout + row * width + column)};
    }
    __device__ void write(unsigned row, size_t column, const held &h) const
    {
        float gate[N], up[N], d[N];
        widen(h.gate, gate), widen(h.up, up), widen(h.dout, d);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float s = sigmoid(gate[k]), silu = gate[k] * s;
            gate[k] = d[k] * up[k] * fmaf(silu, 1 - s, s);
            up[k] = d[k] * silu;
        }
        E *to = dx + row * 2 * width + column;
        put(to, gate), put(to + width, up);
    }
};

/* x = c * x; a 0 leaves 0, whatever was there. */
template <class E, int N> struct scale_samples {
    E *x;
    const float *c;
    size_t width;
    using held = group<E, N>;

    __device__ held read(unsigned row, size_t column) const
    {
        return load<N>(x + row * width + column);
    }
    __device__ void write(unsigned row, size_t column, const held &h) const
    {
        float v[N], scale = c[row];
        if (scale == 1) return;
        widen(h, v);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] = scale == 0 ? 0 : v[k] * scale;
        put(x + row * width + column, v);
    }
};

/* ---- rotary positions ---- */

constexpr unsigned ROTATE_THREADS = 256;

struct turning {
    size_t rows, T, row;
    unsigned heads, half, tokens; /* half: pairs of a head; tokens: of a block */
    double step;                  /* angle of pair i + 1 by that of pair i, in powers of 2 */
    bool back;
};

/* In float64: a float32 angle at token 16384 is off by 1e-3. */
__device__ inline void find_angles(const turning &p, float *cosine, float *sine)
{
    for (unsigned k = threadIdx.x; k < p.tokens * p.half; k += ROTATE_THREADS) {
        size_t t = (blockIdx.x * static_cast<size_t>(p.tokens) + k / p.half) % p.T;
        double s, c;
        sincospi(static_cast<double>(t) * exp2(p.step * (k % p.half)) * (1 / 3.14159265358979323846), &s, &c);
        cosine[k] = static_cast<float>(c);
        sine[k] = static_cast<float>(p.back ? -s : s);
    }
    __syncthreads();
}

/* A block takes a few tokens: their angles are computed once for all heads. shared: cosines, then sines. */
template <class E, int N> __global__ void __launch_bounds__(ROTATE_THREADS) rotate(E *x, turning p)
{
    extern __shared__ float4 angles[];
    float *cosine = reinterpret_cast<float *>(angles), *sine = cosine + p.tokens * p.half;
    size_t first_row = blockIdx.x * static_cast<size_t>(p.tokens);
    unsigned of_head = p.half / N, of_token = p.heads * of_head, tokens = p.tokens;
    if (p.rows - first_row < tokens) tokens = static_cast<unsigned>(p.rows - first_row);
    for (unsigned base = 0; base < tokens * of_token; base += ROTATE_THREADS * SLOTS) {
        group<E, N> held[SLOTS][2];
        E *at[SLOTS];
        unsigned angle[SLOTS];
#pragma unroll
        for (int s = 0; s < SLOTS; s++) {
            unsigned k = base + s * ROTATE_THREADS + threadIdx.x, token = k / of_token, head = k % of_token / of_head;
            if (token >= tokens) continue;
            unsigned i = k % of_head * N;
            at[s] = x + (first_row + token) * p.row + static_cast<size_t>(head) * 2 * p.half + i;
            angle[s] = token * p.half + i;
            held[s][0] = load<N>(at[s]), held[s][1] = load<N>(at[s] + p.half);
        }
        if (base == 0) find_angles(p, cosine, sine);
#pragma unroll
        for (int s = 0; s < SLOTS; s++) {
            if ((base + s * ROTATE_THREADS + threadIdx.x) / of_token >= tokens) continue;
            float a[N], b[N];
            widen(held[s][0], a), widen(held[s][1], b);
#pragma unroll
            for (int n = 0; n < N; n++) {
                float c = cosine[angle[s] + n], sn = sine[angle[s] + n], turned = a[n] * c - b[n] * sn;
                b[n] = fmaf(a[n], sn, b[n] * c);
                a[n] = turned;
            }
            put(at[s], a), put(at[s] + p.half, b);
        }
    }
}

} // namespace

int vs_train_cuda_bias_relu(const vs_train_on *on, void *x, const void *bias, size_t rows, size_t width)
{
    int err = check(on, {rows, width}, {x, bias});
    if (err) return err;
    return with_groups(on, whole(on, {width}) && aligned({x, bias}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        return each<N>(on, "training: ReLU", bias_relu<E, N>{static_cast<E *>(x), static_cast<const float *>(bias), width}, rows, width);
    });
}

int vs_train_cuda_relu_backward(const vs_train_on *on, const void *out, void *dout, size_t rows, size_t width)
{
    int err = check(on, {rows, width}, {out, dout});
    if (err) return err;
    return with_flat(on, aligned({out, dout}), rows * width, [&](auto e, auto n, size_t first, size_t count) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        return each<N>(on, "training: gradient of ReLU",
                       relu_backward<E, N>{static_cast<const E *>(out) + first, static_cast<E *>(dout) + first}, 1, count);
    });
}

int vs_train_cuda_swiglu(const vs_train_on *on, const void *x, size_t rows, size_t width, void *out)
{
    int err = check(on, {rows, width}, {x, out});
    if (err) return err;
    return with_groups(on, whole(on, {width}) && aligned({x, out}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        return each<N>(on, "training: SwiGLU", swiglu<E, N>{static_cast<const E *>(x), static_cast<E *>(out), width}, rows, width);
    });
}

int vs_train_cuda_swiglu_backward(const vs_train_on *on, const void *x, const void *dout, size_t rows, size_t width, void *dx)
{
    int err = check(on, {rows, width}, {x, dout, dx});
    if (err) return err;
    return with_groups(on, whole(on, {width}) && aligned({x, dout, dx}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        swiglu_backward<E, N> f = {static_cast<const E *>(x), static_cast<const E *>(dout), static_cast<E *>(dx), width};
        return each<N>(on, "training: gradient of SwiGLU", f, rows, width);
    });
}

int vs_train_cuda_rotate(const vs_train_on *on, void *x, size_t rows, size_t T, size_t row, size_t heads, size_t width, double base,
                         bool back)
{
    int err = check(on, {rows, T, heads, width}, {x});
    if (err) return err;
    if (width % 2 || row < heads * width || !(base > 0))
        return vs_cuda_refuse(-EINVAL, "training: rotary positions need heads of even width, within their rows, and a base above 0");
    if (width > 8192 || heads * width > INT_MAX / 16)
        return vs_cuda_refuse(-EOVERFLOW, "training: heads too many or too wide to rotate");
    unsigned half = static_cast<unsigned>(width / 2), tokens = half < ROTATE_THREADS / 8 ? 8 : ROTATE_THREADS / half + 1;
    turning p = {rows, T, row, static_cast<unsigned>(heads), half, tokens, -2 * log2(base) / static_cast<double>(width), back};
    return with_groups(on, whole(on, {width / 2, row}) && aligned({x}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        return launch(on, "training: rotary positions", rotate<E, N>, ceil_div(rows, tokens), ROTATE_THREADS,
                      2 * tokens * half * sizeof(float), static_cast<E *>(x), p);
    });
}

int vs_train_cuda_scale_samples(const vs_train_on *on, void *x, const float *c, size_t B, size_t count)
{
    int err = check(on, {B, count}, {x});
    if (err || !c) return err;
    return with_groups(on, whole(on, {count}) && aligned({x}), [&](auto e, auto n) {
        using E = decltype(e);
        constexpr int N = decltype(n)::value;
        return each<N>(on, "training: coefficients of the samples", scale_samples<E, N>{static_cast<E *>(x), c, count}, B, count);
    });
}

int vs_train_cuda_zero(const vs_train_on *on, void *memory, size_t bytes)
{
    int err = check(on, {bytes}, {memory});
    return err ? err : vs_cuda_failed(cudaMemsetAsync(memory, 0, bytes, stream_of(on)), "training: clearing memory");
}
