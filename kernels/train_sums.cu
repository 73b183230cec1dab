/* SPDX-License-Identifier: MIT
 *
 * train_sums.cu: squared norms and weighted sums of the samples' gradients of train.h, on the GPU. One pass over memory; the
 * same bits on every run.
 */
#include "kernels/square_sum.cuh"
#include "kernels/train.cuh"

namespace {

using namespace train;

struct weighted {
    const float *x, *c;
    float *out;
    size_t B, stride, count;
    bool adds;
};

/* out = (adds ? out : 0) + sum of c[b] * x[b]; a sample whose c is 0 adds nothing, whatever it holds. */
template <int N> __global__ void __launch_bounds__(EACH_THREADS) weighted_sum(weighted p)
{
    size_t first = (blockIdx.x * static_cast<size_t>(EACH_THREADS * SLOTS) + threadIdx.x) * N;
    float sum[SLOTS][N] = {};
#pragma unroll
    for (int s = 0; s < SLOTS; s++)
        if (p.adds && first + s * EACH_THREADS * N < p.count) get<N>(p.out + first + s * EACH_THREADS * N, sum[s]);
#pragma unroll 2
    for (size_t b = 0; b < p.B; b++) {
        float c = p.c ? p.c[b] : 1, v[SLOTS][N];
        const float *x = p.x + b * p.stride + first;
#pragma unroll
        for (int s = 0; s < SLOTS; s++)
            if (first + s * EACH_THREADS * N < p.count) get<N>(x + s * EACH_THREADS * N, v[s]);
#pragma unroll
        for (int s = 0; s < SLOTS; s++)
#pragma unroll
            for (int k = 0; k < N; k++) sum[s][k] = c == 0 ? sum[s][k] : fmaf(c, v[s][k], sum[s][k]);
    }
#pragma unroll
    for (int s = 0; s < SLOTS; s++)
        if (first + s * EACH_THREADS * N < p.count) put(p.out + first + s * EACH_THREADS * N, sum[s]);
}

template <int N> int add_samples(const vs_train_on *on, const weighted &p)
{
    return launch(on, "training: weighted sum", weighted_sum<N>, ceil_div(p.count, EACH_THREADS * SLOTS * N), EACH_THREADS, 0, p);
}

__global__ void __launch_bounds__(VS_SUM_THREADS) add_slices(const double *partial, size_t slices, bool adds, double *n)
{
    __shared__ double shared[WARP];
    double sum = 0;
#pragma unroll 4
    for (size_t i = threadIdx.x; i < slices; i += VS_SUM_THREADS) sum += partial[blockIdx.x * slices + i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) n[blockIdx.x] = adds ? n[blockIdx.x] + sum : sum;
}

} // namespace

size_t vs_train_cuda_square_sum_bytes(const vs_train_on *, size_t B, size_t count)
{
    return vs_align256(B * square_sum::slices(count) * sizeof(double));
}

int vs_train_cuda_square_sum(const vs_train_on *on, const void *x, size_t B, size_t count, size_t stride, bool add, double *n,
                             void *workspace)
{
    int err = check(on, {B, count}, {x, n, workspace});
    if (err) return err;
    if (B > 1 && stride < count) return vs_cuda_refuse(-EINVAL, "training: samples that overlap");
    size_t slices = square_sum::slices(count);
    double *partial = static_cast<double *>(workspace);
    err = launch(on, "training: squares of gradients", square_sum::kernel<float>, B * slices, VS_SUM_THREADS, 0,
                 static_cast<const float *>(x), count, stride, slices, partial);
    return err ? err : launch(on, "training: sums of squares", add_slices, B, VS_SUM_THREADS, 0, partial, slices, add, n);
}

int vs_train_cuda_weighted_sum(const vs_train_on *on, const void *x, const float *c, size_t B, size_t count, size_t stride, bool add,
                               void *out)
{
    int err = check(on, {B, count}, {x, out});
    if (err) return err;
    if (B > 1 && stride < count) return vs_cuda_refuse(-EINVAL, "training: samples that overlap");
    bool groups = aligned({x, out}) && (B == 1 || stride % 4 == 0);
    size_t body = groups ? count / 4 * 4 : 0;
    weighted p = {static_cast<const float *>(x), c, static_cast<float *>(out), B, stride, body, add};
    if (body) err = add_samples<4>(on, p);
    if (err || body == count) return err;
    p.x += body, p.out += body, p.count = count - body;
    return add_samples<1>(on, p);
}
