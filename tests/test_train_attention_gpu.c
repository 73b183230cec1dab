/* SPDX-License-Identifier: MIT
 *
 * test_train_attention_gpu.c: the GPU's attention of kernels/train.h, forward and backward, against the CPU's in float64 on the
 * same rounded inputs: every element type, by fused kernels and by blocks; heads that share keys, ragged lengths, long ones that
 * are cut into slices; fences, the same bits every time, errors. Without a GPU each test says so and passes. No random seeds.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "norms_case.h"

Suite *make_train_attention_gpu_suite(void);

enum { FENCE = 64 /* elements of E */, FENCE_BYTE = 0x5a, PAD = 8 /* elements behind the heads of a row */ };

struct shape {
    size_t B, T, heads, kv_heads, width;
    bool causal;
};

/* One buffer on both sides: `host` float64; on the GPU of E (or float32) with a fence before and behind it. */
struct side {
    size_t count;
    bool wide;
    double *host;
    char *block, *image; /* on the GPU, and as it was put there */
};

enum { QKV, O, STATS, D_O, D_QKV, SIDES };

struct attention {
    struct norms_gpu *g;
    enum vs_train_dtype dtype;
    struct shape s;
    struct side sides[SIDES];
    char *workspace;
    struct vs_train_on on;
    struct vs_train_attention call;
};

static enum vs_norms_dtype rounding(enum vs_train_dtype dtype)
{
    return dtype == VS_TRAIN_bf16 ? VS_NORMS_bf16 : dtype == VS_TRAIN_tf32 ? VS_NORMS_tf32 : VS_NORMS_fp32;
}

static size_t row_of(const struct shape *s)
{
    return (s->heads + 2 * s->kv_heads) * s->width + PAD;
}

static size_t side_count(const struct shape *s, int side)
{
    size_t tokens = s->B * s->T;
    return side == STATS ? tokens * s->heads : side == O || side == D_O ? tokens * s->heads * s->width : tokens * row_of(s);
}

static enum vs_norms_dtype side_type(const struct attention *a, int side)
{
    return a->sides[side].wide ? VS_NORMS_fp32 : rounding(a->dtype);
}

static size_t side_bytes(const struct attention *a, int side, size_t elements)
{
    return elements * vs_norms_dtype_bytes(side_type(a, side));
}

static char *side_memory(const struct attention *a, int side)
{
    return a->sides[side].block + side_bytes(a, side, FENCE);
}

/* Inputs are random; outputs, padding and fences of one byte. */
static void make_side(struct attention *a, int side, uint64_t *random)
{
    struct side *x = &a->sides[side];
    x->count = side_count(&a->s, side), x->wide = side == STATS;
    x->host = calloc(x->count, sizeof *x->host);
    size_t bytes = side_bytes(a, side, x->count + 2 * FENCE), row = row_of(&a->s);
    x->image = malloc(bytes);
    ck_assert(x->host && x->image);
    memset(x->image, FENCE_BYTE, bytes);
    for (size_t i = 0; (side == QKV || side == D_O) && i < x->count; i++) {
        double scale = side == QKV && i % row < a->s.heads * a->s.width ? 4 : 1; /* queries: weights far from equal */
        float value = norms_round(rounding(a->dtype), norms_random(random) * scale);
        if (side == QKV && i % row >= row - PAD) continue;
        norms_put(side_type(a, side), x->image, FENCE + i, value);
        x->host[i] = (double)value;
    }
    ck_assert_msg(a->g->device->alloc(bytes, (void **)&x->block) == 0, "%s", a->g->device->last_error());
    ck_assert_int_eq(a->g->device->upload(x->block, x->image, bytes), 0);
}

static void fill_call(const struct shape *s, char *const at[SIDES], size_t element, struct vs_train_attention *p)
{
    size_t k = s->heads * s->width * element, v = k + s->kv_heads * s->width * element;
    *p = (struct vs_train_attention){s->B,       s->T,           s->heads,     s->kv_heads, s->width,     row_of(s),
                                     s->causal,  at[QKV],        at[QKV] + k,  at[QKV] + v, at[O],        at[STATS],
                                     at[D_O],    at[D_QKV],      at[D_QKV] + k, at[D_QKV] + v, NULL,      0};
}

static void make(struct norms_gpu *g, enum vs_train_dtype dtype, const struct shape *s, struct attention *a)
{
    uint64_t random = s->T * 31 + s->width;
    char *at[SIDES];
    *a = (struct attention){.g = g, .dtype = dtype, .s = *s, .on = {.dtype = dtype, .context = g->context}};
    for (int i = 0; i < SIDES; i++) {
        make_side(a, i, &random);
        at[i] = side_memory(a, i);
    }
    fill_call(s, at, vs_train_element_bytes(dtype), &a->call);
}

static void drop(struct attention *a)
{
    for (int i = 0; i < SIDES; i++) {
        a->g->device->release(a->sides[i].block);
        free(a->sides[i].host), free(a->sides[i].image);
    }
    a->g->device->release(a->workspace);
}

/* With a workspace of exactly what is asked for, dirty, and a fence behind it. */
static void run_one(struct attention *a, bool backward)
{
    const struct vs_train_ops *ops = a->g->device->train;
    size_t bytes = ops->attention_workspace_bytes(&a->on, &a->call, backward);
    char *dirty = malloc(bytes + FENCE);
    ck_assert_ptr_nonnull(dirty);
    memset(dirty, 0xff, bytes + FENCE); /* NaN in every type */
    a->g->device->release(a->workspace);
    ck_assert_msg(a->g->device->alloc(bytes + FENCE, (void **)&a->workspace) == 0, "%zu: %s", bytes, a->g->device->last_error());
    ck_assert_int_eq(a->g->device->upload(a->workspace, dirty, bytes + FENCE), 0);
    a->call.workspace = a->workspace, a->call.workspace_bytes = bytes;
    int err = (backward ? ops->attention_backward : ops->attention)(&a->on, &a->call);
    if (!err) err = a->g->device->wait(NULL);
    ck_assert_msg(err == 0, "%s: %d, %s", backward ? "backward" : "forward", err, a->g->device->last_error());
    ck_assert_int_eq(a->g->device->download(dirty, a->workspace + bytes, FENCE), 0);
    for (size_t i = 0; i < FENCE; i++) ck_assert_msg((unsigned char)dirty[i] == 0xff, "wrote behind its workspace");
    free(dirty);
}

static void run(struct attention *a)
{
    run_one(a, false);
    run_one(a, true);
}

static void *read_side(struct attention *a, int side)
{
    size_t bytes = side_bytes(a, side, a->sides[side].count + 2 * FENCE);
    char *now = malloc(bytes);
    ck_assert_ptr_nonnull(now);
    ck_assert_int_eq(a->g->device->download(now, a->sides[side].block, bytes), 0);
    return now;
}

/* The CPU's answer to the same inputs, into a->sides[].host. */
static void expect(struct attention *a)
{
    struct vs_train_on on = {.dtype = VS_TRAIN_fp64};
    struct vs_train_attention p;
    char *at[SIDES];
    ck_assert_int_eq(vs_device_cpu()->open(&on.context), 0);
    for (int i = 0; i < SIDES; i++) at[i] = (char *)a->sides[i].host;
    fill_call(&a->s, at, sizeof(double), &p);
    size_t forward = vs_train_cpu.attention_workspace_bytes(&on, &p, false);
    size_t backward = vs_train_cpu.attention_workspace_bytes(&on, &p, true);
    p.workspace_bytes = forward > backward ? forward : backward;
    p.workspace = malloc(p.workspace_bytes + 1);
    ck_assert_ptr_nonnull(p.workspace);
    ck_assert_int_eq(vs_train_cpu.attention(&on, &p), 0);
    ck_assert_int_eq(vs_train_cpu.attention_backward(&on, &p), 0);
    free(p.workspace);
    vs_device_cpu()->close(on.context);
}

/* Of the largest entry: roundings of the inputs of a product, whose errors average out, and of the result. */
static double bound(enum vs_train_dtype dtype, int side)
{
    if (dtype == VS_TRAIN_bf16) return side == STATS ? 1e-3 : side == O ? 1e-2 : 2e-2;
    return dtype == VS_TRAIN_tf32 ? 5e-3 : 2e-5;
}

static void compare(struct attention *a, int side, const char *name)
{
    struct side *x = &a->sides[side];
    char *now = read_side(a, side);
    size_t elements = x->count + 2 * FENCE, row = row_of(&a->s), worst = 0, each = side_bytes(a, side, 1);
    double largest = 0, error = 0;
    for (size_t i = 0; i < elements; i++) {
        bool inside = i >= FENCE && i < FENCE + x->count, output = inside && !(side == D_QKV && (i - FENCE) % row >= row - PAD);
        if (!output) {
            if (memcmp(now + i * each, x->image + i * each, each)) norms_trouble(a->g, "%s: wrote outside, at %zu", name, i);
            continue;
        }
        double want = x->host[i - FENCE], difference = fabs(norms_get(side_type(a, side), now, i) - want);
        largest = fmax(largest, fabs(want));
        if (!(difference <= error)) error = difference, worst = i - FENCE;
    }
    if (!(error <= bound(a->dtype, side) * largest))
        norms_trouble(a->g, "%s %s B=%zu T=%zu heads=%zu/%zu width=%zu%s by %s: off by %.3g of %.3g at %zu", name,
                      vs_train_dtype_name(a->dtype), a->s.B, a->s.T, a->s.heads, a->s.kv_heads, a->s.width,
                      a->s.causal ? " causal" : "", a->g->device->train->attention_by(&a->on, &a->call), error, largest, worst);
    free(now);
}

static void check_shape(struct norms_gpu *g, enum vs_train_dtype dtype, const struct shape *s)
{
    struct attention a;
    make(g, dtype, s, &a);
    expect(&a);
    run(&a);
    compare(&a, O, "o"), compare(&a, STATS, "stats"), compare(&a, D_QKV, "dq, dk, dv");
    drop(&a);
}

/* Every element type twice: by blocks, and by fused kernels where they are. */
enum { WAYS = 6 };

static enum vs_train_dtype way(int i)
{
    static const enum vs_train_dtype types[WAYS / 2] = {VS_TRAIN_fp32, VS_TRAIN_tf32, VS_TRAIN_bf16};
    if (i % 2)
        unsetenv("VRAMSCOPE_ATTENTION");
    else
        setenv("VRAMSCOPE_ATTENTION", "blocks", 1);
    return types[i / 2];
}

START_TEST(test_shapes)
{
    static const struct shape shapes[] = {
        {1, 1, 2, 2, 32, false},    {2, 1, 4, 1, 64, true},     {1, 17, 3, 3, 40, false},  {3, 17, 4, 1, 64, true},
        {2, 64, 8, 2, 128, true},   {2, 64, 2, 2, 128, false},  {2, 200, 4, 4, 64, false}, {3, 200, 8, 2, 32, true},
        {1, 129, 2, 1, 128, true},  {1, 1024, 4, 1, 64, true},  {2, 1024, 4, 4, 64, false}, {1, 1000, 4, 2, 96, true},
        {1, 1024, 2, 2, 128, true}, {2, 330, 6, 2, 128, false}, {2, 17, 3, 1, 33, true}, /* no group of 16 bytes fits its rows */
        /* for slices of keys, and blocks of few rows */
        {1, 2100, 1, 1, 48, false}, {1, 4096, 2, 1, 32, true}, {1, 4096, 2, 2, 32, false}, {1, 4096, 2, 1, 64, true},
        {1, 4096, 1, 1, 128, false},
    };
    enum vs_train_dtype dtype = way(_i);
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_shape(&g, dtype, &shapes[i]);
    norms_gpu_close(&g);
}
END_TEST

/* Asked of shapes only: nothing is computed. Buffers are aligned. */
START_TEST(test_memory_is_linear_in_T)
{
    struct norms_gpu g;
    enum vs_train_dtype dtype = way(_i);
    if (!norms_gpu_open(&g)) return;
    const struct vs_train_on on = {.dtype = dtype, .context = g.context};
    for (int backward = 0; backward < 2; backward++) {
        size_t bytes[3];
        for (size_t i = 0; i < 3; i++) {
            struct vs_train_attention p = {.B = 1, .T = (size_t)8192 << i, .heads = 16, .kv_heads = 4, .width = 128, .row = 3072};
            bytes[i] = g.device->train->attention_workspace_bytes(&on, &p, backward);
        }
        ck_assert_msg(bytes[2] <= 4 * bytes[0] + (256u << 20), "%s: %zu, %zu and %zu bytes", vs_train_dtype_name(dtype), bytes[0],
                      bytes[1], bytes[2]);
    }
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_every_call_gives_the_same_bits)
{
    static const struct shape shapes[] = {{2, 1024, 8, 2, 64, true}, {1, 2100, 1, 1, 64, false}};
    enum vs_train_dtype dtype = way(_i);
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        struct attention a;
        void *first[SIDES];
        make(&g, dtype, &shapes[s], &a);
        int sides = _i == WAYS - 1 ? STATS + 1 : SIDES; /* cuDNN's backward sums in any order */
        for (int i = 0; i < 6; i++) {
            run(&a);
            for (int side = O; side < sides; side++) {
                void *now = read_side(&a, side);
                if (i == 0) first[side] = now;
                ck_assert_int_eq(memcmp(first[side], now, side_bytes(&a, side, a.sides[side].count + 2 * FENCE)), 0);
                if (i > 0) free(now);
            }
        }
        for (int side = O; side < sides; side++) free(first[side]);
        drop(&a);
    }
    norms_gpu_close(&g);
}
END_TEST

/* A value that is not finite reaches the rows that see it, and no others. */
START_TEST(test_nan_spoils_its_row)
{
    static const struct shape shape = {2, 64, 2, 2, 64, true};
    enum vs_train_dtype dtype = way(_i);
    struct norms_gpu g;
    struct attention a;
    if (!norms_gpu_open(&g)) return;
    make(&g, dtype, &shape, &a);
    norms_put(rounding(dtype), a.sides[QKV].image, FENCE + 20 * row_of(&shape) + 3, NAN); /* sample 0, token 20, head 0 */
    ck_assert_int_eq(g.device->upload(a.sides[QKV].block, a.sides[QKV].image, side_bytes(&a, QKV, a.sides[QKV].count + 2 * FENCE)),
                     0);
    run(&a);
    char *o = read_side(&a, O);
    for (size_t i = 0; i < a.sides[O].count; i++)
        ck_assert_msg(isfinite(norms_get(rounding(dtype), o, FENCE + i)) == (i / shape.width != 20 * shape.heads), "o[%zu]", i);
    free(o);
    drop(&a);
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_wrong_arguments_are_refused)
{
    static const struct shape shape = {1, 200, 4, 2, 64, true};
    struct norms_gpu g;
    struct attention a;
    enum vs_train_dtype dtype = way(_i);
    if (!norms_gpu_open(&g)) return;
    const struct vs_train_ops *ops = g.device->train;
    make(&g, dtype, &shape, &a);
    run(&a);
    struct vs_train_attention p = a.call;
#define REFUSED(change, code)                                       \
    do {                                                            \
        p = a.call;                                                 \
        change;                                                     \
        ck_assert_int_eq(ops->attention_backward(&a.on, &p), code); \
    } while (0)
    REFUSED(p.q = NULL, -EINVAL);
    REFUSED(p.dv = NULL, -EINVAL);
    REFUSED(p.stats = NULL, -EINVAL);
    REFUSED(p.T = 0, -EINVAL);
    REFUSED(p.kv_heads = 3, -EINVAL);
    REFUSED(p.row = 4 * 64 - 1, -EINVAL);
    REFUSED(p.workspace = NULL, -EINVAL);
    REFUSED(p.workspace = a.workspace + 4, -EINVAL);
    REFUSED(p.workspace_bytes--, -ENOBUFS);
    REFUSED(p.row = (size_t)1 << 40, -EOVERFLOW);
    a.on.dtype = VS_TRAIN_fp64;
    REFUSED((void)0, -ENOTSUP);
    a.on.dtype = dtype;
    setenv("VRAMSCOPE_ATTENTION", "fastest", 1);
    REFUSED((void)0, -EINVAL);
#undef REFUSED
    drop(&a);
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_who_runs_it)
{
    struct norms_gpu g;
    enum vs_train_dtype dtype = way(_i);
    if (!norms_gpu_open(&g)) return;
    const struct vs_train_on on = {.dtype = dtype, .context = g.context};
    struct vs_train_attention p = {.B = 1, .T = 256, .heads = 4, .kv_heads = 4, .width = 64, .row = 768};
    const char *by = g.device->train->attention_by(&on, &p);
    printf("train_attention_gpu: %s by %s (%s)\n", vs_train_dtype_name(dtype), by, g.device->last_error());
    if (_i == WAYS - 1)
        ck_assert(!strcmp(by, "blocks") || !strcmp(by, "cudnn"));
    else
        ck_assert_str_eq(by, _i % 2 ? "fused" : "blocks");
    p.k = (const void *)(uintptr_t)4; /* of no use to anyone who reads 16 bytes at a time */
    if (dtype != VS_TRAIN_bf16) ck_assert_str_eq(g.device->train->attention_by(&on, &p), "blocks");
    p.k = NULL;
    p.width = 63, p.row = 756; /* no fused kernel takes it */
    ck_assert_str_eq(g.device->train->attention_by(&on, &p), "blocks");
    norms_gpu_close(&g);
}
END_TEST

Suite *make_train_attention_gpu_suite(void)
{
    Suite *s = suite_create("train_attention_gpu");
    TCase *c = tcase_create("train_attention_gpu");
    tcase_set_tags(c, "gpu");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test_shapes, 0, WAYS);
    tcase_add_loop_test(c, test_memory_is_linear_in_T, 0, WAYS);
    tcase_add_loop_test(c, test_every_call_gives_the_same_bits, 0, WAYS);
    tcase_add_loop_test(c, test_nan_spoils_its_row, 0, WAYS);
    tcase_add_loop_test(c, test_wrong_arguments_are_refused, 0, WAYS);
    tcase_add_loop_test(c, test_who_runs_it, 0, WAYS);
    suite_add_tcase(s, c);
    return s;
}
