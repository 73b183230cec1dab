/* SPDX-License-Identifier: MIT
 *
 * train_attention_blocks.cu: attention by blocks of scores: matrix products of cuBLAS, and the passes of
 * train_attention_rows.cu between them. Any element type and shape; memory linear in T: a block holds whole rows, and fewer of
 * them the longer they are. It launches no kernel itself.
 *
 * A block is some queries (rows) of some heads of one sample. Where a block of one head keeps the GPU busy, it has one head, and
 * the products that sum over keys, whose result is small, are cut into slices of keys that are added afterwards. Backward takes
 * the blocks of one key head one after the other, from the last token to the first, so that each sum of dk and dv begins with a
 * block that sees all keys, and has one order.
 *
 * cuBLAS counts in columns: a row-major [T, k] matrix is its k x T matrix with leading dimension k.
 */
#include <algorithm>
#include <cmath>

#include "kernels/train.cuh"
#include "kernels/train_attention.cuh"

namespace {

constexpr size_t SCORE_BYTES = 128u << 20, SCORE_BYTES_ONE_HEAD = 64u << 20;
constexpr size_t TILE = 128;      /* rows and columns of a product that one processor works on at a time */
constexpr size_t SLICE_LEAST = 512; /* keys */
constexpr size_t CAUSAL_PARTS = 8; /* of T: what a block computes above the diagonal is an eighth of the rest */

size_t round_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

/* How a call is cut: blocks of `rows` queries of kv * group query heads: `group` each of `kv` key heads. Sizes in bytes. */
struct cut {
    size_t rows, kv, group, slices, score_bytes, partial_bytes, dots_bytes, sum_bytes;
};

size_t rows_of(const vs_train_attention *p, size_t bytes)
{
    size_t most = std::max(bytes / (round_up(p->T, 32) * sizeof(float)) / TILE * TILE, TILE);
    if (p->causal) most = std::min(most, round_up(train::ceil_div(p->T, CAUSAL_PARTS), TILE));
    if (p->T <= most) return p->T;
    return std::min(most, round_up(train::ceil_div(p->T, train::ceil_div(p->T, most)), TILE));
}

/* `all` in parts of at most `most`, as even as can be */
size_t even(size_t all, size_t most)
{
    most = std::max<size_t>(std::min(all, most), 1);
    return train::ceil_div(all, train::ceil_div(all, most));
}

cut cut_of(const vs_train_on *on, const vs_train_attention *p, bool backward)
{
    size_t processors = static_cast<size_t>(static_cast<const vs_cuda_context *>(on->context)->sm_count);
    size_t ld = round_up(p->T, 32), across = train::ceil_div(p->width, TILE), each = p->heads / p->kv_heads;
    cut c = {rows_of(p, SCORE_BYTES), 1, 1, 1, 0, 0, 0, 0};
    size_t heads = std::max<size_t>(SCORE_BYTES / (c.rows * ld * sizeof(float)), 1);
    c.group = even(each, heads);
    if (c.group == each) c.kv = even(p->kv_heads, heads / each);
    size_t tiles = c.kv * c.group * train::ceil_div(c.rows, TILE) * across;

    size_t rows = rows_of(p, SCORE_BYTES_ONE_HEAD), slices = 1, sliced = train::ceil_div(rows, TILE) * across;
    while (2 * slices * sliced <= 2 * processors && 2 * slices * SLICE_LEAST <= p->T) slices *= 2;
    if (slices * sliced > tiles) c = {rows, 1, 1, slices, 0, 0, 0, 0};

    c.score_bytes = vs_align256(c.kv * c.group * c.rows * ld * sizeof(float));
    if (c.slices > 1) c.partial_bytes = vs_align256((c.slices + 1) * c.rows * p->width * sizeof(float));
    if (backward) c.dots_bytes = vs_align256(p->heads * p->T * sizeof(float));
    if (backward && on->dtype == VS_TRAIN_bf16) c.sum_bytes = vs_align256(c.kv * p->T * p->width * sizeof(float));
    return c;
}

size_t bytes(const vs_train_on *on, const vs_train_attention *p, bool backward)
{
    cut c = cut_of(on, p, backward);
    return (backward ? 2 : 1) * c.score_bytes + c.partial_bytes + c.dots_bytes + 2 * c.sum_bytes;
}

/* ---- products ---- */

/* A matrix for each query head of a block: where the first lies, and how far the next key head's and the next query head's of
 * the same key head are. In elements. */
struct matrix {
    void *data;
    bool wide; /* float32, else E */
    size_t ld, kv, group;
};

struct run {
    const vs_train_on *on;
    const vs_train_attention *p;
    cut c;
    cublasHandle_t blas;
    cublasComputeType_t compute;
    float scale;
    char *scores, *dP;       /* score_bytes each */
    float *partial, *dots;
    float *dk_sum, *dv_sum;  /* [kv][T][width], bf16 only */
    /* the block in work */
    size_t sample, kv, head; /* first key head, first query head */
    size_t group, heads;     /* query heads of each key head, and all */
    size_t kvs, first, rows, keys, ld;
};

size_t element(const run &r, const matrix &m)
{
    return m.wide ? sizeof(float) : vs_train_element_bytes(r.on->dtype);
}

cudaDataType_t type(const run &r, const matrix &m)
{
    return r.on->dtype == VS_TRAIN_bf16 && !m.wide ? CUDA_R_16BF : CUDA_R_32F;
}

void *at(const run &r, const matrix &m, size_t elements)
{
    return static_cast<char *>(m.data) + elements * element(r, m);
}

struct product {
    cublasOperation_t of_a, of_b;
    size_t m, n, k;
    float alpha, beta;
};

int multiply(const run &r, const product &x, const matrix &a, const matrix &b, const matrix &c, size_t step_a, size_t step_b,
             size_t step_c, size_t batch)
{
    return vs_cublas_failed(
        cublasGemmStridedBatchedEx(r.blas, x.of_a, x.of_b, static_cast<int>(x.m), static_cast<int>(x.n), static_cast<int>(x.k),
                                   &x.alpha, a.data, type(r, a), static_cast<int>(a.ld), static_cast<long long>(step_a), b.data,
                                   type(r, b), static_cast<int>(b.ld), static_cast<long long>(step_b), &x.beta, c.data, type(r, c),
                                   static_cast<int>(c.ld), static_cast<long long>(step_c), static_cast<int>(batch), r.compute,
                                   CUBLAS_GEMM_DEFAULT),
        "cuBLAS: attention");
}

/* For every head of the block. Heads that share a result are added one after the other. */
int multiply_heads(const run &r, product x, const matrix &a, const matrix &b, const matrix &c)
{
    if (r.kvs == 1 && c.group) return multiply(r, x, a, b, c, a.group, b.group, c.group, r.group);
    int err = 0;
    for (size_t j = 0; !err && j < r.group; j++) {
        matrix aj = a, bj = b, cj = c;
        aj.data = at(r, a, j * a.group), bj.data = at(r, b, j * b.group), cj.data = at(r, c, j * c.group);
        err = multiply(r, x, aj, bj, cj, a.kv, b.kv, c.kv, r.kvs);
        if (!c.group) x.beta = 1;
    }
    return err;
}

/* out [rows, width] = alpha * weights [rows, keys] values [keys, width] */
int over_keys(const run &r, float alpha, const matrix &values, const matrix &weights, const matrix &out)
{
    size_t slices = r.c.slices;
    while (slices > 1 && r.keys / slices < SLICE_LEAST) slices /= 2;
    product x = {CUBLAS_OP_N, CUBLAS_OP_N, r.p->width, r.rows, r.keys, alpha, 0};
    if (slices == 1) return multiply_heads(r, x, values, weights, out);
    matrix partial = {r.partial, true, r.p->width, 0, 0};
    size_t slot = r.rows * r.p->width;
    x.k = r.keys / slices / 32 * 32;
    int err = multiply(r, x, values, weights, partial, x.k * values.ld, x.k, slot, slices);
    size_t done = x.k * slices;
    if (!err && done < r.keys) {
        matrix rest_values = values, rest_weights = weights;
        rest_values.data = at(r, values, done * values.ld), rest_weights.data = at(r, weights, done);
        partial.data = r.partial + slices++ * slot, x.k = r.keys - done;
        err = multiply(r, x, rest_values, rest_weights, partial, 0, 0, 0, 1);
    }
    vs_attention_sum sum = {r.partial, slices, slot, 0, 1, r.rows, r.p->width, out.data, 0, out.ld};
    return err ? err : vs_attention_add_slots(r.on, &sum);
}

/* out [keys, width] = beta * out + alpha * weights [rows, keys]^T values [rows, width] */
int over_queries(const run &r, float alpha, float beta, const matrix &values, const matrix &weights, const matrix &out)
{
    return multiply_heads(r, {CUBLAS_OP_N, CUBLAS_OP_T, r.p->width, r.keys, r.rows, alpha, beta}, values, weights, out);
}

/* out [rows, keys] = alpha * queries [rows, width] keys [keys, width]^T */
int scores(const run &r, float alpha, const matrix &keys, const matrix &queries, char *out)
{
    matrix to = {out, true, r.ld, r.group * r.rows * r.ld, r.rows * r.ld};
    return multiply_heads(r, {CUBLAS_OP_T, CUBLAS_OP_N, r.keys, r.rows, r.p->width, alpha, 0}, keys, queries, to);
}

/* ---- where the parts of a block lie ---- */

matrix of_queries(const run &r, const void *base, size_t row)
{
    size_t width = r.p->width;
    matrix m = {const_cast<void *>(base), false, row, r.p->heads / r.p->kv_heads * width, width};
    m.data = at(r, m, (r.sample * r.p->T + r.first) * row + r.head * width);
    return m;
}

matrix of_keys(const run &r, const void *base)
{
    matrix m = {const_cast<void *>(base), false, r.p->row, r.p->width, 0};
    m.data = at(r, m, r.sample * r.p->T * r.p->row + r.kv * r.p->width);
    return m;
}

/* What the passes over rows left in place of scores. */
matrix weights(const run &r, char *base)
{
    size_t ld = r.on->dtype == VS_TRAIN_bf16 ? 2 * r.ld : r.ld;
    return {base, false, ld, r.group * r.rows * ld, r.rows * ld};
}

vs_attention_rows rows(const run &r)
{
    float *stats = static_cast<float *>(r.p->stats) + (r.sample * r.p->heads + r.head) * r.p->T;
    auto number = [](size_t n) { return static_cast<unsigned>(n); };
    return {reinterpret_cast<float *>(r.scores), r.ld, r.p->T, number(r.heads), number(r.rows), number(r.keys), number(r.first),
            r.p->causal, stats};
}

/* ---- one block ---- */

int forward_block(const run &r)
{
    vs_attention_rows block = rows(r);
    int err = scores(r, r.scale, of_keys(r, r.p->k), of_queries(r, r.p->q, r.p->row), r.scores);
    if (!err) err = vs_attention_softmax(r.on, &block);
    if (!err)
        err = over_keys(r, 1, of_keys(r, r.p->v), weights(r, r.scores), of_queries(r, r.p->o, r.p->heads * r.p->width));
    return err;
}

/* begins: no block of these key heads came before. */
int backward_block(const run &r, bool begins)
{
    const vs_train_attention *p = r.p;
    vs_attention_rows block = rows(r);
    matrix q = of_queries(r, p->q, p->row), d_o = of_queries(r, p->d_o, p->heads * p->width), k = of_keys(r, p->k);
    matrix dk = of_keys(r, p->dk), dv = of_keys(r, p->dv);
    if (r.dk_sum) {
        dk = {r.dk_sum, true, p->width, p->T * p->width, 0};
        dv = {r.dv_sum, true, p->width, p->T * p->width, 0};
    }
    float beta = begins ? 0 : 1;
    int err = scores(r, r.scale, k, q, r.scores);
    if (!err) err = scores(r, 1, of_keys(r, p->v), d_o, r.dP);
    if (!err) err = vs_attention_softmax_backward(r.on, &block, reinterpret_cast<float *>(r.dP), r.dots + r.head * p->T);
    if (!err) err = over_queries(r, 1, beta, d_o, weights(r, r.scores), dv);
    if (!err) err = over_queries(r, r.scale, beta, q, weights(r, r.dP), dk);
    if (!err) err = over_keys(r, r.scale, k, weights(r, r.dP), of_queries(r, p->dq, p->row));
    return err;
}

/* ---- all blocks ---- */

/* block(run, begins) for all blocks of the key heads in work, the last tokens first. */
template <class F> int blocks_of_keys(run &r, F block)
{
    size_t each = r.p->heads / r.p->kv_heads, count = train::ceil_div(r.p->T, r.c.rows);
    int err = 0;
    for (size_t j = 0; !err && j < each; j += r.c.group) {
        r.group = std::min(r.c.group, each - j), r.heads = r.kvs * r.group, r.head = r.kv * each + j;
        for (size_t i = count; !err && i-- > 0;) {
            r.first = i * r.c.rows, r.rows = std::min(r.c.rows, r.p->T - r.first);
            r.keys = r.p->causal ? r.first + r.rows : r.p->T, r.ld = round_up(r.keys, 32);
            err = block(r, j == 0 && i + 1 == count);
        }
    }
    return err;
}

int prepare(const vs_train_on *on, const vs_train_attention *p, bool backward, run *out)
{
    run r = {};
    r.on = on, r.p = p, r.c = cut_of(on, p, backward);
    r.compute = on->dtype == VS_TRAIN_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    r.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(p->width)));
    char *next = static_cast<char *>(p->workspace);
    auto take = [&](size_t size) { return next += size, next - size; };
    r.scores = take(r.c.score_bytes);
    if (backward) r.dP = take(r.c.score_bytes);
    r.partial = reinterpret_cast<float *>(take(r.c.partial_bytes));
    r.dots = reinterpret_cast<float *>(take(r.c.dots_bytes));
    if (r.c.sum_bytes) {
        r.dk_sum = reinterpret_cast<float *>(take(r.c.sum_bytes));
        r.dv_sum = reinterpret_cast<float *>(take(r.c.sum_bytes));
    }
    int err = vs_cuda_blas(on->context, on->stream, &r.blas);
    *out = r;
    return err;
}

int forward(const vs_train_on *on, const vs_train_attention *p)
{
    run r;
    int err = prepare(on, p, false, &r);
    for (r.sample = 0; !err && r.sample < p->B; r.sample++)
        for (r.kv = 0; !err && r.kv < p->kv_heads; r.kv += r.c.kv) {
            r.kvs = std::min(r.c.kv, p->kv_heads - r.kv);
            err = blocks_of_keys(r, [](const run &block, bool) { return forward_block(block); });
        }
    return err;
}

/* From float32 to dk and dv. */
int round_sums(const run &r)
{
    const vs_train_attention *p = r.p;
    vs_attention_sum sum = {r.dk_sum, 1, 0, p->T * p->width, r.kvs, p->T, p->width, of_keys(r, p->dk).data, p->width, p->row};
    int err = vs_attention_add_slots(r.on, &sum);
    sum.from = r.dv_sum, sum.out = of_keys(r, p->dv).data;
    return err ? err : vs_attention_add_slots(r.on, &sum);
}

int backward(const vs_train_on *on, const vs_train_attention *p)
{
    run r;
    size_t dense = p->T * p->heads * p->width;
    matrix of_E = {nullptr, false, 0, 0, 0};
    int err = prepare(on, p, true, &r);
    for (r.sample = 0; !err && r.sample < p->B; r.sample++) {
        const char *o = static_cast<const char *>(p->o), *d_o = static_cast<const char *>(p->d_o);
        size_t skip = r.sample * dense * element(r, of_E);
        err = vs_attention_dots(on, o + skip, d_o + skip, p->T, p->heads, p->width, r.dots);
        for (r.kv = 0; !err && r.kv < p->kv_heads; r.kv += r.c.kv) {
            r.kvs = std::min(r.c.kv, p->kv_heads - r.kv);
            err = blocks_of_keys(r, backward_block);
            if (!err && r.dk_sum) err = round_sums(r);
        }
    }
    return err;
}

bool takes(const vs_train_on *, const vs_train_attention *)
{
    return true;
}

} // namespace

const vs_attention_backend vs_attention_blocks = {"blocks", takes, bytes, forward, backward};
