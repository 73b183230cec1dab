/* SPDX-License-Identifier: MIT
 *
 * norm_gram.cu: per-sample norms by pairs of row tiles, on any GPU. Plain float32, no tensor cores, and nothing of size
 * T x T is ever written.
 *
 * 1. Cut the T rows of a sample into tiles of TILE rows. Both Gram matrices are symmetric, so only the pairs j <= i are
 *    visited; a pair off the diagonal counts twice.
 * 2. Pair number k of nt (nt + 1) / 2 is i = floor((sqrt(8k + 1) - 1) / 2), j = k - i (i + 1) / 2.
 * 3. A block of 16 x 16 threads takes a pair. It runs over d in steps of DEPTH: strips of rows i and rows j of A go to
 *    shared memory (transposed, so that a thread reads its 4 rows as neighbours), each thread adds to its own 4 x 4
 *    corner of K_A; then the same over p for K_G. Rows and columns beyond the end are read as zero and add nothing.
 * 4. Each thread multiplies its two corners and sums in float64; the block's sum follows a fixed tree.
 * 5. A block takes the pairs k = blockIdx.x, + gridDim.x, ... of its sample in that order and leaves one partial, so the
 *    workspace is BLOCKS doubles per sample at most and the result is the same on every run.
 */
#include "kernels/cuda.cuh"

namespace {

constexpr int TILE = 64, DEPTH = 16, SIDE = 16, CORNER = TILE / SIDE;
constexpr int PITCH = TILE + 4; /* 16-byte aligned rows whose writes fall on different banks */
constexpr size_t BLOCKS = 1024; /* several per SM of a large GPU, so that the last wave is short */
static_assert(SIDE * SIDE == VS_SUM_THREADS, "the block sum is made for this block");

size_t pairs(size_t T)
{
    size_t nt = (T + TILE - 1) / TILE;
    return nt * (nt + 1) / 2;
}

size_t blocks(const vs_norms_shape *s)
{
    size_t n = pairs(s->T);
    return n < BLOCKS ? n : BLOCKS;
}

size_t workspace_bytes(const vs_norms_shape *s)
{
    return s->B * blocks(s) * sizeof(double);
}

/* Rows [row, row + TILE) x columns [column, column + DEPTH) of X [T, width] into strip[column][row]. */
__device__ void load_strip(const float *X, size_t T, size_t width, size_t row, size_t column, float (*strip)[PITCH])
{
    for (int e = threadIdx.x; e < TILE * DEPTH; e += VS_SUM_THREADS) {
        int r = e / DEPTH, c = e % DEPTH; /* neighbouring threads read neighbouring columns */
        bool inside = row + r < T && column + c < width;
        strip[c][r] = inside ? X[(row + r) * width + column + c] : 0.0f;
    }
}

/* corner = this thread's part of X[i rows] X[j rows]^T. Every thread of the block calls it. */
__device__ void gram_corner(const float *X, size_t T, size_t width, size_t i, size_t j, float (*left)[PITCH],
                            float (*right)[PITCH], float corner[CORNER][CORNER])
{
    int ty = threadIdx.x / SIDE * CORNER, tx = threadIdx.x % SIDE * CORNER;
#pragma unroll
    for (int a = 0; a < CORNER; a++)
#pragma unroll
        for (int b = 0; b < CORNER; b++) corner[a][b] = 0;
    for (size_t column = 0; column < width; column += DEPTH) {
        __syncthreads(); /* the strips are still being read by slower threads */
        load_strip(X, T, width, i * TILE, column, left);
        load_strip(X, T, width, j * TILE, column, right);
        __syncthreads();
#pragma unroll
        for (int c = 0; c < DEPTH; c++) {
            float4 l = *reinterpret_cast<const float4 *>(&left[c][ty]);
            float4 r = *reinterpret_cast<const float4 *>(&right[c][tx]);
            const float lv[CORNER] = {l.x, l.y, l.z, l.w}, rv[CORNER] = {r.x, r.y, r.z, r.w};
#pragma unroll
            for (int a = 0; a < CORNER; a++)
#pragma unroll
                for (int b = 0; b < CORNER; b++) corner[a][b] = fmaf(lv[a], rv[b], corner[a][b]);
        }
    }
}

__device__ void pair_of(size_t k, size_t *i, size_t *j)
{
    size_t row = static_cast<size_t>((sqrt(8.0 * static_cast<double>(k) + 1.0) - 1.0) / 2.0);
    while (row * (row + 1) / 2 > k) row--; /* the root may be rounded across a whole number */
    while ((row + 1) * (row + 2) / 2 <= k) row++;
    *i = row;
    *j = k - row * (row + 1) / 2;
}

__global__ void __launch_bounds__(VS_SUM_THREADS)
    gram_pairs(const float *A, const float *G, size_t T, size_t d, size_t p, size_t pair_count, double *partial)
{
    __shared__ __align__(16) float left[DEPTH][PITCH], right[DEPTH][PITCH];
    __shared__ double shared[VS_SUM_THREADS];
    A += blockIdx.y * T * d;
    G += blockIdx.y * T * p;
    double total = 0;
    for (size_t k = blockIdx.x; k < pair_count; k += gridDim.x) {
        size_t i, j;
        float ka[CORNER][CORNER], kg[CORNER][CORNER];
        pair_of(k, &i, &j);
        gram_corner(A, T, d, i, j, left, right, ka);
        gram_corner(G, T, p, i, j, left, right, kg);
        double sum = 0;
#pragma unroll
        for (int a = 0; a < CORNER; a++)
#pragma unroll
            for (int b = 0; b < CORNER; b++) sum += static_cast<double>(ka[a][b]) * kg[a][b];
        total += i == j ? sum : 2 * sum;
    }
    total = vs_block_sum(total, shared);
    if (threadIdx.x == 0) partial[blockIdx.y * static_cast<size_t>(gridDim.x) + blockIdx.x] = total;
}

int run(const vs_norms_args *args)
{
    const vs_norms_shape *s = &args->shape;
    int err = vs_norms_check_args(&vs_norms_cuda_gram, args);
    cudaStream_t stream = static_cast<cudaStream_t>(args->stream);
    double *partial = static_cast<double *>(args->workspace);
    size_t per_sample = blocks(s);
    for (size_t b = 0; !err && b < s->B; b += 65535) { /* the grid's second dimension ends there */
        size_t samples = s->B - b < 65535 ? s->B - b : 65535;
        dim3 grid(static_cast<unsigned>(per_sample), static_cast<unsigned>(samples));
        gram_pairs<<<grid, VS_SUM_THREADS, 0, stream>>>(args->A + b * s->T * s->d, args->G + b * s->T * s->p, s->T, s->d,
                                                        s->p, pairs(s->T), partial + b * per_sample);
        err = vs_cuda_failed(cudaGetLastError(), "gram: tile pairs");
    }
    return err ? err : vs_cuda_sum_partials(partial, s->B, per_sample, args->n, stream);
}

} // namespace

const vs_norms_algorithm vs_norms_cuda_gram = {"gram", workspace_bytes, run};
