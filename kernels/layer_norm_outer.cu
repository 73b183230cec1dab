/* SPDX-License-Identifier: MIT
 *
 * layer_norm_outer.cu: norms of linear layers with one row per sample, on the GPU: the gradient is an outer product, so its
 * squared norm is the product of two. It forms no gradient.
 */
#include "kernels/layer_norm.cuh"

namespace {

constexpr unsigned THREADS = VS_SUM_THREADS;
constexpr size_t SLICE = 8192; /* elements of a block: a vocabulary's row is shared out over several */

template <class A>
__global__ void __launch_bounds__(THREADS) squares(const void *X, size_t width, unsigned slices, double *partial)
{
    __shared__ double shared[THREADS];
    size_t row = blockIdx.x / slices * width, first = blockIdx.x % slices * SLICE;
    size_t end = first + SLICE < width ? first + SLICE : width;
    double sum = 0;
#pragma unroll 4
    for (size_t i = first + threadIdx.x * A::width; i < end; i += THREADS * A::width) {
        vs_group<A> x = vs_load<A>(X, row + i);
#pragma unroll
        for (int v = 0; v < A::width; v++) {
            double value = vs_widen(x.v[v]);
            sum = fma(value, value, sum);
        }
    }
    sum = vs_block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void products(const double *a, const double *g, size_t B, double *n)
{
    size_t b = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x;
    if (b < B) n[b] = a[b] * g[b];
}

/* out[b] = ||X_b||^2 */
int rows(const vs_layer_norms_call *c, const void *X, size_t width, double *partial, double *out)
{
    size_t slices = vs_ceil_div(width, SLICE);
    int err = vs_check_grid(c->B * slices);
    if (err) return err;
    err = vs_with_access(c->dtype, vs_whole_groups(X, c->dtype, width), [&](auto access) {
        return vs_cuda_launch("layer norms: squares of rows", squares<decltype(access)>,
                              static_cast<unsigned>(c->B * slices), THREADS, 0, vs_stream_of(c),
                              X, width, static_cast<unsigned>(slices), partial);
    });
    return err ? err : vs_cuda_sum_partials(partial, c->B, slices, out, vs_stream_of(c));
}

} // namespace

/* Two norms per sample, and the slices of the wider row. */
size_t vs_layer_outer_bytes(const vs_layer_norms_call *c)
{
    return c->B * (2 + vs_ceil_div(c->d > c->p ? c->d : c->p, SLICE)) * sizeof(double);
}

int vs_layer_outer(const vs_layer_norms_call *c, char *workspace)
{
    double *a = reinterpret_cast<double *>(workspace), *g = a + c->B, *partial = g + c->B;
    int err = rows(c, c->A, c->d, partial, a);
    if (!err) err = rows(c, c->G, c->p, partial, g);
    if (err) return err;
    return vs_cuda_launch("layer norms: products of norms", products, static_cast<unsigned>(vs_ceil_div(c->B, THREADS)),
                          THREADS, 0, vs_stream_of(c),
                          a, g, c->B, c->n);
}
