/* SPDX-License-Identifier: MIT
 *
 * train_attention_mma_backward.cu: the gradients of attention in float32 by two kernels, which make the scores P once more each
 * from the logsumexp of forward: one holds keys and streams queries (dv = P^T d_o, dk = dS^T q), one holds queries and streams
 * keys (dq = dS k); dS = P * (d_o v^T - dots). Each sum has one owner, so nothing is added up in memory and every sum has one
 * order. It holds no scores in memory.
 */
#include "kernels/train_attention_mma.cuh"

namespace attention {
namespace {

/* Of the kernel that holds keys, and of the one that holds queries. */
template <int WIDTH, int PASSES> struct tuned;
template <int PASSES> struct tuned<64, PASSES> {
    using keys = attention::shape<64, PASSES, 4, 1, 32, 3>;
    using queries = attention::shape<64, PASSES, 4, 1, 32, 3>;
};
template <int PASSES> struct tuned<128, PASSES> {
    using keys = attention::shape<128, PASSES, 8, 1, 32, 1>;
    using queries = attention::shape<128, PASSES, 8, 1, 32, 1>;
};

/* The two tiles of rows that are held; then two stages of the two that are streamed, and of the numbers of their rows. */
template <class S> constexpr int STAGE_BYTES = 2 * S::STREAM_BYTES + 2 * 4 * S::STREAM;
template <class S> constexpr size_t SHARED = 2 * S::ROWS_BYTES + 2 * STAGE_BYTES<S>;

constexpr float LOG2_E = 1.44269504f;

/* One head's rows of the two operands: q and d_o, or k and v; with q also what is known of each row. */
struct pair {
    lines<const float> one, other;
    const float *stats, *dots;
};

template <class S> __device__ inline pair queries_of(const call &c, unsigned sample, unsigned head)
{
    size_t dense = static_cast<size_t>(c.heads) * S::WIDTH;
    return {lines_of<S>(c.q, c.row, c, sample, head), lines_of<S>(c.d_o, dense, c, sample, head),
            c.stats + (static_cast<size_t>(sample) * c.heads + head) * c.T,
            c.dots + (static_cast<size_t>(head) * c.B + sample) * c.T};
}

template <class S> __device__ inline pair keys_of(const call &c, unsigned sample, unsigned head)
{
    return {lines_of<S>(c.k, c.row, c, sample, head), lines_of<S>(c.v, c.row, c, sample, head), nullptr, nullptr};
}

/* A stage, as a lane reads it. */
template <class S> struct stage {
    uint32_t tiles, lane;

    __device__ explicit stage(uint32_t at) : tiles(at), lane(threadIdx.x % 32)
    {
    }
    __device__ void copy(const pair &x, unsigned first, unsigned T) const
    {
        copy_lines<S, S::STREAM>(tiles, x.one, first, T);
        copy_lines<S, S::STREAM>(tiles + S::STREAM_BYTES, x.other, first, T);
        unsigned n = threadIdx.x % S::STREAM;
        if (!x.stats || threadIdx.x >= 2 * S::STREAM) return;
        const float *from = threadIdx.x < S::STREAM ? x.stats : x.dots;
        mma::copy4(tiles + 2 * S::STREAM_BYTES + 4 * threadIdx.x, from + first + n, first + n < T);
    }
    /* Of columns 2t and 2t + 1 of product j. */
    __device__ float2 numbers(int which, int j) const
    {
        uint2 v = mma::load8(tiles + 2 * S::STREAM_BYTES + 4 * (which * S::STREAM + 8 * j) + lane % 4 * 8);
        return make_float2(__uint_as_float(v.x), __uint_as_float(v.y));
    }
    __device__ uint32_t columns(int which) const
    {
        return as_columns<S>(tiles + which * S::STREAM_BYTES, lane);
    }
    __device__ uint32_t lines(int which) const
    {
        return as_lines<S>(tiles + which * S::STREAM_BYTES, lane);
    }
};

/* Columns are queries. Scores become weights; d_o v^T becomes dS, without the scale of scores. */
template <class S> __device__ inline void weigh_columns(typename S::scores &p, const stage<S> &now, float scale2)
{
#pragma unroll
    for (int j = 0; j < S::NT; j++) {
        float2 stat = now.numbers(0, j);
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                p[i][j][e] = power_of_two(fmaf(p[i][j][e], scale2, -LOG2_E * (e % 2 ? stat.y : stat.x)));
    }
}
template <class S>
__device__ inline void derive_columns(typename S::scores &d, const typename S::scores &p, const stage<S> &now)
{
#pragma unroll
    for (int j = 0; j < S::NT; j++) {
        float2 dot = now.numbers(1, j);
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) d[i][j][e] = p[i][j][e] * (d[i][j][e] - (e % 2 ? dot.y : dot.x));
    }
}

template <class S> __device__ inline void fill(typename S::of_rows &x, float value)
{
#pragma unroll
    for (int i = 0; i < S::MT; i++) x[i][0] = x[i][1] = value;
}

/* Holds keys. Under a causal mask the first have most queries, and begin first. */
template <class S> __global__ void __launch_bounds__(S::THREADS, S::RESIDENT) backward_keys(call c)
{
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, each = c.kv_heads * c.B, which = blockIdx.x % each;
    unsigned head = which % c.kv_heads, sample = which / c.kv_heads, group = c.heads / c.kv_heads;
    unsigned first = blockIdx.x / each * S::ROWS, row = first + warp * S::WARP_ROWS;
    unsigned begin = c.causal ? first / S::STREAM * S::STREAM : 0, tiles = (c.T - begin + S::STREAM - 1) / S::STREAM;

    uint32_t k_tile = mma::dynamic_shared(), v_tile = k_tile + S::ROWS_BYTES, stages = v_tile + S::ROWS_BYTES;
    uint32_t k_rows = as_rows<S>(k_tile, lane, warp), v_rows = as_rows<S>(v_tile, lane, warp);
    auto copy = [&](unsigned item) {
        pair x = queries_of<S>(c, sample, head * group + item / tiles);
        stage<S>(stages + item % 2 * STAGE_BYTES<S>).copy(x, begin + item % tiles * S::STREAM, c.T);
        mma::copies_commit();
    };
    pair held = keys_of<S>(c, sample, head);
    copy_lines<S, S::ROWS>(k_tile, held.one, first, c.T);
    copy_lines<S, S::ROWS>(v_tile, held.other, first, c.T);
    copy(0);

    typename S::sums dk, dv;
    typename S::of_rows keep;
    clear(dk), clear(dv), fill<S>(keep, 1);
    for (unsigned item = 0; item < tiles * group; item++) {
        mma::copies_wait<0>();
        __syncthreads();
        if (item + 1 < tiles * group) copy(item + 1);
        unsigned query = begin + item % tiles * S::STREAM;
        if (c.causal && query + S::STREAM <= row) continue; /* no row of the warp is seen */
        stage<S> now(stages + item % 2 * STAGE_BYTES<S>);
        bool some = c.causal && query < row + S::WARP_ROWS - 1;
        auto first_query = [&](unsigned r) { return static_cast<int>(row + r - query); };
        typename S::scores p, d;
        score<S>(p, k_rows, now.columns(0));
        weigh_columns(p, now, c.scale2);
        if (some) hide<S, true>(p, 0, first_query);
        contract<S>(dv, keep, p, now.lines(1));
        score<S>(d, v_rows, now.columns(1));
        derive_columns(d, p, now);
        if (some) hide<S, true>(d, 0, first_query);
        contract<S>(dk, keep, d, now.lines(0));
    }
    store_lines<S>(lines_of<S>(c.dv, c.row, c, sample, head), row, c.T, dv, keep);
    fill<S>(keep, c.scale);
    store_lines<S>(lines_of<S>(c.dk, c.row, c, sample, head), row, c.T, dk, keep);
}

/* Holds queries. Under a causal mask the last have most keys, and begin first. */
template <class S> __global__ void __launch_bounds__(S::THREADS, S::RESIDENT) backward_queries(call c)
{
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, each = c.heads * c.B, which = blockIdx.x % each;
    unsigned head = which % c.heads, sample = which / c.heads;
    unsigned first = (gridDim.x / each - 1 - blockIdx.x / each) * S::ROWS, row = first + warp * S::WARP_ROWS;
    unsigned keys = c.causal ? min(c.T, first + S::ROWS) : c.T;

    uint32_t q_tile = mma::dynamic_shared(), d_tile = q_tile + S::ROWS_BYTES, stages = d_tile + S::ROWS_BYTES;
    uint32_t q_rows = as_rows<S>(q_tile, lane, warp), d_rows = as_rows<S>(d_tile, lane, warp);
    pair held = queries_of<S>(c, sample, head), streamed = keys_of<S>(c, sample, head / (c.heads / c.kv_heads));
    copy_lines<S, S::ROWS>(q_tile, held.one, first, c.T);
    copy_lines<S, S::ROWS>(d_tile, held.other, first, c.T);
    stage<S>(stages).copy(streamed, 0, c.T);
    mma::copies_commit();

    typename S::of_rows stat, dot, keep;
    fill<S>(keep, 1);
#pragma unroll
    for (int i = 0; i < S::MT; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            unsigned at = row + 16 * i + 8 * r + lane / 4;
            stat[i][r] = at < c.T ? held.stats[at] * LOG2_E : 0;
            dot[i][r] = at < c.T ? held.dots[at] : 0;
        }
    typename S::sums dq;
    clear(dq);
    for (unsigned key = 0; key < keys; key += S::STREAM) {
        stage<S> now(stages + key / S::STREAM % 2 * STAGE_BYTES<S>);
        mma::copies_wait<0>();
        __syncthreads();
        if (key + S::STREAM < keys)
            stage<S>(stages + (key / S::STREAM + 1) % 2 * STAGE_BYTES<S>).copy(streamed, key + S::STREAM, c.T);
        mma::copies_commit();
        if (c.causal && key >= row + S::WARP_ROWS) continue; /* the warp's rows see none */
        typename S::scores p, d;
        score<S>(p, q_rows, now.columns(0));
        score<S>(d, d_rows, now.columns(1));
#pragma unroll
        for (int i = 0; i < S::MT; i++)
#pragma unroll
            for (int j = 0; j < S::NT; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    d[i][j][e] = power_of_two(fmaf(p[i][j][e], c.scale2, -stat[i][e / 2])) * (d[i][j][e] - dot[i][e / 2]);
        if (key + S::STREAM > c.T || (c.causal && key + S::STREAM > row + 1))
            hide<S, false>(d, 0, [&](unsigned r) { return static_cast<int>(keys_of_row(c, row + r) - key); });
        contract<S>(dq, keep, d, now.lines(0));
    }
    fill<S>(keep, c.scale);
    store_lines<S>(lines_of<S>(c.dq, c.row, c, sample, head), row, c.T, dq, keep);
}

template <class S>
int launch(const vs_train_on *on, const call &c, void (*kernel)(call), unsigned heads, const char *doing)
{
    unsigned blocks = static_cast<unsigned>(train::ceil_div(c.T, S::ROWS)) * heads * c.B;
    return mma::launch(kernel, blocks, S::THREADS, SHARED<S>, train::stream_of(on), doing, c);
}

template <int WIDTH, int PASSES> int launch_both(const vs_train_on *on, const call &c)
{
    using keys = typename tuned<WIDTH, PASSES>::keys;
    using queries = typename tuned<WIDTH, PASSES>::queries;
    int err = launch<keys>(on, c, backward_keys<keys>, c.kv_heads, "attention: fused, gradients of keys and values");
    if (!err) err = launch<queries>(on, c, backward_queries<queries>, c.heads, "attention: fused, gradient of queries");
    return err;
}

template <int WIDTH> constexpr size_t most_shared()
{
    constexpr size_t keys = SHARED<typename tuned<WIDTH, 3>::keys>, queries = SHARED<typename tuned<WIDTH, 3>::queries>;
    return keys > queries ? keys : queries;
}

} // namespace

/* dots [heads][B][T]: as if all samples were one. */
int backward(const vs_train_on *on, const vs_train_attention *p)
{
    float *dots = static_cast<float *>(p->workspace);
    int err = vs_attention_dots(on, p->o, p->d_o, p->B * p->T, p->heads, p->width, dots);
    if (err) return err;
    return with_shape(on, p->width,
                      [&](auto width, auto passes) { return launch_both<width.value, passes.value>(on, call_of(p)); });
}

size_t backward_shared(size_t width)
{
    return width == 64 ? most_shared<64>() : most_shared<128>();
}

} // namespace attention
