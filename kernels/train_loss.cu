/* SPDX-License-Identifier: MIT
 *
 * train_loss.cu: the loss of train.h on the GPU, with its gradient in place of the logits, its means, and the coefficients that
 * clip. A row of logits comes from memory once: what does not fit into shared memory is read again, from the cache.
 */
#include <cfloat>

#include "kernels/train.cuh"

namespace {

using namespace train;

constexpr unsigned THREADS_MAX = 1024;

struct job {
    void *logits;
    const int64_t *targets;
    const float *c;
    float *loss;
    size_t width, row, first_row, T;
    unsigned kept; /* groups of a row that shared memory holds */
    double factor;
};

__device__ inline float power_of_e(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.4426950408889634f));
    return y;
}

/* The largest value so far, and the sum of e^(value - most). Starts at a finite value: -inf - -inf would be NaN. */
struct softmax {
    float most = -FLT_MAX, sum = 0;

    template <int N> __device__ void add(const float (&v)[N])
    {
        float top = v[0];
#pragma unroll
        for (int k = 1; k < N; k++) top = fmaxf(top, v[k]);
        if (top > most) {
            sum *= power_of_e(most - top);
            most = top;
        }
#pragma unroll
        for (int k = 0; k < N; k++) sum += power_of_e(v[k] - most);
    }
};

__device__ inline softmax block_softmax(softmax mine, float (*shared)[WARP])
{
    float top = mine.most;
    unsigned warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(EVERY_LANE, top, step));
    if (lane == 0) shared[0][threadIdx.x / WARP] = top;
    __syncthreads();
    top = shared[0][lane < warps ? lane : 0];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(EVERY_LANE, top, step));
    mine.sum = block_sum(mine.sum * power_of_e(mine.most - top), shared[1]);
    mine.most = top;
    return mine;
}

/* A row that begins anywhere: a few elements before the first whole group, the groups, a few after. */
template <class E> struct row_parts {
    E *row, *body;
    unsigned head, tail; /* elements */
    size_t groups;

    __device__ row_parts(E *x, size_t width) : row(x)
    {
        size_t before = (16 - reinterpret_cast<uintptr_t>(x) % 16) % 16 / sizeof(E);
        head = static_cast<unsigned>(before < width ? before : width);
        groups = (width - head) / GROUP<E>;
        body = x + head;
        tail = static_cast<unsigned>(width - head - groups * GROUP<E>);
    }
    /* The one element, if any, that this thread takes before and after the groups; SIZE_MAX: none. */
    __device__ size_t single() const
    {
        if (threadIdx.x < head) return threadIdx.x;
        unsigned last = blockDim.x - 1 - threadIdx.x;
        return last < tail ? head + groups * GROUP<E> + last : SIZE_MAX;
    }
};

/* x = (e^(x - most) * likely - (x is the target's ? 1 : 0)) * scale */
template <class E> struct gradient_of {
    softmax all;
    float likely, scale;
    size_t target;
    bool left_out;

    template <int N> __device__ void operator()(float (&v)[N], size_t first) const
    {
#pragma unroll
        for (int k = 0; k < N; k++) {
            v[k] = power_of_e(v[k] - all.most) * likely;
            v[k] = left_out ? 0 : (first + k == target ? v[k] - 1 : v[k]) * scale;
        }
    }
};

template <class E> __device__ inline softmax read_row(const row_parts<E> &r, unsigned kept, uint4 *held, float (*shared)[WARP])
{
    constexpr int N = GROUP<E>;
    softmax mine;
    for (size_t i = threadIdx.x; i < r.groups; i += SLOTS * blockDim.x) {
        group<E, N> g[SLOTS];
#pragma unroll
        for (int s = 0; s < SLOTS; s++)
            if (i + s * blockDim.x < r.groups) g[s] = load<N>(r.body + (i + s * blockDim.x) * N);
#pragma unroll
        for (int s = 0; s < SLOTS; s++) {
            size_t at = i + s * blockDim.x;
            float v[N];
            if (at >= r.groups) continue;
            if (at < kept) held[at] = g[s].part[0];
            widen(g[s], v);
            mine.add(v);
        }
    }
    size_t one = r.single();
    if (one != SIZE_MAX) {
        float v[1];
        get<1>(r.row + one, v);
        mine.add(v);
    }
    return block_softmax(mine, shared);
}

template <class E>
__device__ inline void write_row(const row_parts<E> &r, unsigned kept, const uint4 *held, const gradient_of<E> &gradient)
{
    constexpr int N = GROUP<E>;
    for (size_t i = threadIdx.x; i < r.groups; i += SLOTS * blockDim.x) {
        group<E, N> g[SLOTS];
#pragma unroll
        for (int s = 0; s < SLOTS; s++) {
            size_t at = i + s * blockDim.x;
            if (at >= r.groups) continue;
            if (at < kept)
                g[s].part[0] = held[at];
            else
                g[s] = load<N>(r.body + at * N);
        }
#pragma unroll
        for (int s = 0; s < SLOTS; s++) {
            size_t at = i + s * blockDim.x;
            float v[N];
            if (at >= r.groups) continue;
            widen(g[s], v);
            gradient(v, r.head + at * N);
            put(r.body + at * N, v);
        }
    }
    size_t one = r.single();
    if (one == SIZE_MAX) return;
    float v[1];
    get<1>(r.row + one, v);
    gradient(v, one);
    put(r.row + one, v);
}

template <class E> __global__ void __launch_bounds__(THREADS_MAX) loss_rows(job j)
{
    extern __shared__ uint4 held[];
    __shared__ float shared[2][WARP];
    row_parts<E> r(static_cast<E *>(j.logits) + blockIdx.x * j.row, j.width);
    int64_t target = j.targets[blockIdx.x];
    bool inside = target >= 0 && static_cast<size_t>(target) < j.width;
    float at_target[1] = {};
    if (inside) get<1>(r.row + target, at_target);
    softmax all = read_row(r, j.kept, held, shared); /* waits for all: the target's logit is not written before it is read */
    double c = j.c ? j.c[(j.first_row + blockIdx.x) / j.T] : 1;
    float scale = inside ? static_cast<float>(j.factor * c) : NAN;
    gradient_of<E> gradient = {all, 1 / all.sum, scale, static_cast<size_t>(target), c == 0};
    if (j.loss && threadIdx.x == 0) j.loss[blockIdx.x] = inside ? logf(all.sum) + (all.most - at_target[0]) : NAN;
    write_row(r, j.kept, held, gradient);
    for (size_t i = j.width + threadIdx.x; i < j.row; i += blockDim.x) r.row[i] = E(0.0f);
}

/* Two blocks on a multiprocessor where a row fits into half of its shared memory: one computes while the other waits. */
template <class E> int run(const vs_train_on *on, job j, size_t rows)
{
    int device = 0, limit = 0;
    int err = vs_cuda_failed(cudaGetDevice(&device), "current device");
    if (!err) err = vs_cuda_failed(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "shared memory");
    if (err) return err;
    size_t groups = ceil_div(j.width, GROUP<E>), most = static_cast<size_t>(limit) - 1024, half = static_cast<size_t>(limit) / 2 - 2048;
    bool narrow = groups * 16 <= half;
    size_t bytes = groups * 16 < most ? groups * 16 : most;
    j.kept = static_cast<unsigned>(bytes / 16);
    unsigned threads = threads_for(ceil_div(groups, SLOTS), narrow ? THREADS_MAX / 2 : THREADS_MAX);
    err = vs_cuda_failed(cudaFuncSetAttribute(loss_rows<E>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(most)),
                         "training: shared memory of the loss");
    return err ? err : launch(on, "training: loss", loss_rows<E>, rows, threads, bytes, j);
}

__global__ void __launch_bounds__(VS_SUM_THREADS) mean_losses(const float *loss, size_t T, double *out)
{
    __shared__ double shared[WARP];
    double sum = 0;
#pragma unroll 4
    for (size_t t = threadIdx.x; t < T; t += VS_SUM_THREADS) sum += static_cast<double>(loss[blockIdx.x * T + t]);
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) out[blockIdx.x] = sum / static_cast<double>(T);
}

/* A warp takes a sample. */
__global__ void __launch_bounds__(WARP) clip_samples(vs_train_clip p)
{
    double sum = 0;
#pragma unroll 4
    for (size_t s = threadIdx.x; s < p.sites; s += WARP) {
        double n = p.n[s * p.B + blockIdx.x];
        sum += n < 0 ? 0 : n; /* a NaN stays */
    }
    double norm = sqrt(warp_sum(sum)), c = p.bound / (norm * (1 + p.margin) + 1e-6);
    if (threadIdx.x) return;
    p.norm[blockIdx.x] = norm;
    p.c[blockIdx.x] = isfinite(norm) ? static_cast<float>(c < 1 ? c : 1) : 0;
}

} // namespace

int vs_train_cuda_loss(const vs_train_on *on, const vs_train_loss *p)
{
    int err = check(on, {p->rows, p->width, p->T}, {p->logits, p->targets});
    if (!err && p->row && p->row < p->width) err = vs_cuda_refuse(-EINVAL, "training: rows of logits that overlap");
    if (err) return err;
    job j = {p->logits, p->targets, p->c, static_cast<float *>(p->loss), p->width, p->row ? p->row : p->width, p->first_row, p->T, 0, p->factor};
    return with_element(on, [&](auto e) { return run<decltype(e)>(on, j, p->rows); });
}

int vs_train_cuda_sample_loss(const vs_train_on *on, const void *loss, size_t B, size_t T, double *out)
{
    int err = check(on, {B, T}, {loss, out});
    return err ? err : launch(on, "training: mean losses", mean_losses, B, VS_SUM_THREADS, 0, static_cast<const float *>(loss),
                              T, out);
}

int vs_train_cuda_clip(const vs_train_on *on, const vs_train_clip *p)
{
    int err = check(on, {p->sites, p->B}, {p->n, p->norm, p->c});
    if (err) return err;
    if (!(p->bound > 0) || !(p->margin >= 0))
        return vs_cuda_refuse(-EINVAL, "training: a bound to clip at is above 0, its margin not below");
    return launch(on, "training: clipping", clip_samples, p->B, WARP, 0, *p);
}
