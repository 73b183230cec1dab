/* SPDX-License-Identifier: MIT
 *
 * train_attention_mma_forward.cu: attention in float32 by one kernel: each block of threads takes some queries of one head and
 * goes over its keys once, keeping the largest score and the sum of exponentials so far (online softmax; Milakov and Gimelshein,
 * arXiv:1805.02867; Dao, arXiv:2307.08691). It holds no scores in memory.
 *
 * Keys and values have a tile of shared memory each: values arrive while scores are made, the next keys while values are used.
 */
#include <cfloat>

#include "kernels/train_attention_mma.cuh"

namespace attention {
namespace {

template <int WIDTH, int PASSES> struct tuned;
template <int PASSES> struct tuned<64, PASSES> {
    using shape = attention::shape<64, PASSES, 4, 1, 32, 4>;
};
template <int PASSES> struct tuned<128, PASSES> {
    using shape = attention::shape<128, PASSES, 4, 1, 32, 3>;
};

template <class S> constexpr size_t SHARED = S::ROWS_BYTES + 2 * S::STREAM_BYTES;

/* Of the warp's rows; `sum` this lane's part. No key seen yet: not -Inf, whose difference to itself is NaN. */
template <class S> struct running {
    typename S::of_rows largest, sum;

    __device__ running()
    {
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int r = 0; r < 2; r++) largest[i][r] = -FLT_MAX, sum[i][r] = 0;
    }

    /* Scores become weights, relative to the largest so far; keep: what earlier ones are to be multiplied by. */
    __device__ void take(typename S::scores &x, float scale2, typename S::of_rows &keep)
    {
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float most = largest[i][r], all = 0;
#pragma unroll
                for (int j = 0; j < S::NT; j++) most = fmaxf(most, fmaxf(x[i][j][2 * r], x[i][j][2 * r + 1]));
                most = fmaxf(most, __shfl_xor_sync(train::EVERY_LANE, most, 1));
                most = fmaxf(most, __shfl_xor_sync(train::EVERY_LANE, most, 2));
                keep[i][r] = power_of_two((largest[i][r] - most) * scale2);
                largest[i][r] = most;
                most *= scale2;
#pragma unroll
                for (int j = 0; j < S::NT; j++)
#pragma unroll
                    for (int e = 2 * r; e < 2 * r + 2; e++) {
                        x[i][j][e] = power_of_two(fmaf(x[i][j][e], scale2, -most));
                        all += x[i][j][e];
                    }
                sum[i][r] = fmaf(sum[i][r], keep[i][r], all);
            }
    }

    /* sum becomes its inverse, largest the logsumexp. */
    __device__ void finish(float scale)
    {
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float all = sum[i][r];
                all += __shfl_xor_sync(train::EVERY_LANE, all, 1);
                all += __shfl_xor_sync(train::EVERY_LANE, all, 2);
                largest[i][r] = largest[i][r] * scale + logf(all);
                sum[i][r] = 1 / all;
            }
    }
};

/* Rows of a long tail of keys come first under a causal mask: blocks begin in the order of their numbers. */
template <class S> __global__ void __launch_bounds__(S::THREADS, S::RESIDENT) forward_rows(call c)
{
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, each = c.heads * c.B, which = blockIdx.x % each;
    unsigned head = which % c.heads, sample = which / c.heads;
    unsigned first = (gridDim.x / each - 1 - blockIdx.x / each) * S::ROWS, row = first + warp * S::WARP_ROWS;
    unsigned keys = c.causal ? min(c.T, first + S::ROWS) : c.T;
    lines<const float> k = lines_of<S>(c.k, c.row, c, sample, head / (c.heads / c.kv_heads));
    lines<const float> v = lines_of<S>(c.v, c.row, c, sample, head / (c.heads / c.kv_heads));

    uint32_t q_tile = mma::dynamic_shared(), k_tile = q_tile + S::ROWS_BYTES, v_tile = k_tile + S::STREAM_BYTES;
    uint32_t rows = as_rows<S>(q_tile, lane, warp), columns = as_columns<S>(k_tile, lane), lines = as_lines<S>(v_tile, lane);
    copy_lines<S, S::ROWS>(q_tile, lines_of<S>(c.q, c.row, c, sample, head), first, c.T);
    copy_lines<S, S::STREAM>(k_tile, k, 0, c.T);
    mma::copies_commit();

    typename S::sums o;
    running<S> softmax;
    clear(o);
    for (unsigned key = 0; key < keys; key += S::STREAM) {
        typename S::scores x;
        typename S::of_rows keep;
        mma::copies_wait<0>();
        __syncthreads();
        copy_lines<S, S::STREAM>(v_tile, v, key, c.T);
        mma::copies_commit();
        score<S>(x, rows, columns);
        if (key + S::STREAM > c.T || (c.causal && key + S::STREAM > row + 1))
            hide<S, false>(x, -INFINITY, [&](unsigned r) { return static_cast<int>(keys_of_row(c, row + r) - key); });
        softmax.take(x, c.scale2, keep);
        mma::copies_wait<0>();
        __syncthreads();
        if (key + S::STREAM < keys) copy_lines<S, S::STREAM>(k_tile, k, key + S::STREAM, c.T);
        mma::copies_commit();
        contract<S>(o, keep, x, lines);
    }
    softmax.finish(c.scale);
    store_lines<S>(lines_of<S>(c.o, static_cast<size_t>(c.heads) * S::WIDTH, c, sample, head), row, c.T, o, softmax.sum);
    float *stats = c.stats + (static_cast<size_t>(sample) * c.heads + head) * c.T;
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            unsigned at = row + 16 * i + 8 * r + lane / 4;
            if (lane % 4 == 0 && at < c.T) stats[at] = softmax.largest[i][r];
        }
}

template <class S> int launch(const vs_train_on *on, const call &c)
{
    unsigned blocks = static_cast<unsigned>(train::ceil_div(c.T, S::ROWS)) * c.heads * c.B;
    return mma::launch(forward_rows<S>, blocks, S::THREADS, SHARED<S>, train::stream_of(on), "attention: fused", c);
}

} // namespace

int forward(const vs_train_on *on, const vs_train_attention *p)
{
    return with_shape(on, p->width, [&](auto width, auto passes) {
        return launch<typename tuned<width.value, passes.value>::shape>(on, call_of(p));
    });
}

size_t forward_shared(size_t width)
{
    return width == 64 ? SHARED<tuned<64, 3>::shape> : SHARED<tuned<128, 3>::shape>;
}

} // namespace attention
