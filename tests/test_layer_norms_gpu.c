/* SPDX-License-Identifier: MIT
 *
 * test_layer_norms_gpu.c: the GPU's norms of kernels/layer_norms.h through the device's table, against the CPU's: the same table
 * of shapes, and each promise of the contract: alignment, fences, graphs, the same bits, bad samples, padding, errors. Without
 * a GPU each test says so and passes. It must never use random seeds.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layer_norms_case.h"

Suite *make_layer_norms_gpu_suite(void);

enum { FENCE = 256, FENCE_BYTE = 0x5a, COUNTERS = 4096 /* bytes of workspace that stay zero */ };

/* A host call's buffers on the GPU, `offset` elements into aligned blocks. */
struct on_gpu {
    struct vs_layer_norms_call call;
    void *memory[8];
    size_t blocks;
    char *outputs, *image; /* fence, n, fence, n_beta, fence; and on the host */
    size_t output_bytes;
};

static void *block(struct norms_gpu *g, struct on_gpu *x, const void *from, size_t bytes, size_t offset)
{
    void *memory;
    ck_assert_msg(g->device->alloc(bytes + offset, &memory) == 0, "%zu bytes: %s", bytes, g->device->last_error());
    x->memory[x->blocks++] = memory;
    ck_assert_msg(g->device->upload((char *)memory + offset, from, bytes) == 0, "%s", g->device->last_error());
    return (char *)memory + offset;
}

static void upload(struct norms_gpu *g, const struct vs_layer_norms_call *host, size_t offset, struct on_gpu *x)
{
    size_t element = vs_norms_dtype_bytes(host->dtype), rows = host->B * host->T, values = host->B * sizeof(double);
    *x = (struct on_gpu){.call = *host, .output_bytes = 2 * values + 3 * FENCE};
    x->call.A = block(g, x, host->A, rows * layer_width_A(host) * element, offset * element);
    x->call.G = block(g, x, host->G, rows * host->p * element, offset * element);
    x->call.E = block(g, x, host->E, rows * host->d * element, offset * element);
    x->call.ids = block(g, x, host->ids, rows * sizeof(int64_t), offset * sizeof(int64_t));
    x->call.n_head = block(g, x, host->n_head, values, 0);
    x->image = malloc(x->output_bytes);
    ck_assert_ptr_nonnull(x->image);
    memset(x->image, FENCE_BYTE, x->output_bytes);
    x->outputs = block(g, x, x->image, x->output_bytes, 0);
    x->call.n = (double *)(x->outputs + FENCE);
    x->call.n_beta = (double *)(x->outputs + FENCE + values + FENCE);
    x->call.context = g->context;
}

static void drop(struct norms_gpu *g, struct on_gpu *x)
{
    for (size_t i = 0; i < x->blocks; i++) g->device->release(x->memory[i]);
    free(x->image);
}

static bool filled(const char *memory, size_t bytes, char with)
{
    while (bytes && *memory == with) memory++, bytes--;
    return bytes == 0;
}

/* A workspace of exactly the call's size, dirty behind the counters, with a fence behind it. */
static void workspace(struct norms_gpu *g, struct on_gpu *x)
{
    size_t bytes = g->device->layer_norms->workspace_bytes(&x->call);
    ck_assert_uint_ne(bytes, SIZE_MAX);
    char *dirty = malloc(bytes + FENCE);
    ck_assert_ptr_nonnull(dirty);
    memset(dirty, FENCE_BYTE, bytes + FENCE);
    memset(dirty, 0, bytes < COUNTERS ? bytes : COUNTERS);
    x->call.workspace = block(g, x, dirty, bytes + FENCE, 0);
    x->call.workspace_bytes = bytes;
    free(dirty);
}

static int replayed(struct norms_gpu *g, struct vs_layer_norms_call *call)
{
    void *graph = NULL;
    int err = g->device->capture(g->context, &call->stream);
    if (err) return err;
    int queued = g->device->layer_norms->run(call);
    err = g->device->captured(g->context, &graph);
    if (queued) err = queued;
    for (int i = 0; !err && i < 3; i++) err = g->device->replay(g->context, graph, call->stream);
    if (!err) err = g->device->wait(call->stream);
    g->device->forget(graph);
    return err;
}

/* Runs, looks at all fences, and brings n and n_beta back into `host`. */
static int run(struct norms_gpu *g, struct on_gpu *x, bool as_graph, struct vs_layer_norms_call *host)
{
    char end[FENCE], counters[COUNTERS];
    const char *name = layer_kind_name(host->kind);
    size_t values = host->B * sizeof(double);
    int err = as_graph ? replayed(g, &x->call) : g->device->layer_norms->run(&x->call);
    if (!err) err = g->device->wait(x->call.stream);
    if (err) return err;
    ck_assert_int_eq(g->device->download(x->image, x->outputs, x->output_bytes), 0);
    ck_assert_int_eq(g->device->download(end, (char *)x->call.workspace + x->call.workspace_bytes, FENCE), 0);
    ck_assert_int_eq(g->device->download(counters, x->call.workspace, COUNTERS), 0);
    memcpy(host->n, x->image + FENCE, values);
    memcpy(host->n_beta, x->image + FENCE + values + FENCE, values);
    if (!filled(x->image, FENCE, FENCE_BYTE) || !filled(x->image + FENCE + values, FENCE, FENCE_BYTE) ||
        !filled(x->image + 2 * (FENCE + values), FENCE, FENCE_BYTE))
        norms_trouble(g, "%s: wrote outside its outputs", name);
    if (host->kind != VS_LAYER_NORMS_layer_norm && !filled((char *)host->n_beta, values, FENCE_BYTE))
        norms_trouble(g, "%s: wrote n_beta", name);
    if (!filled(end, FENCE, FENCE_BYTE)) norms_trouble(g, "%s: wrote behind its workspace", name);
    if (!filled(counters, COUNTERS, 0)) norms_trouble(g, "%s: left counters that are not zero", name);
    return 0;
}

static void on_cpu(struct vs_layer_norms_call *host)
{
    host->workspace_bytes = vs_layer_norms_cpu.workspace_bytes(host);
    host->workspace = malloc(host->workspace_bytes + 1);
    ck_assert_ptr_nonnull(host->workspace);
    ck_assert_int_eq(vs_layer_norms_cpu.run(host), 0);
}

/* Float64 in another order, but for tied's products. */
static double bound_of(const struct vs_layer_norms_call *c)
{
    return c->kind == VS_LAYER_NORMS_tied ? vs_norms_dtype_bound(c->dtype) : 1e-11;
}

static void compare(struct norms_gpu *g, const struct vs_layer_norms_call *c, const double *n, const double *beta, const double *scale,
                    const char *where)
{
    for (size_t b = 0; b < c->B; b++) {
        bool good = fabs(c->n[b] - n[b]) <= bound_of(c) * scale[b] && c->n[b] >= 0;
        if (c->kind == VS_LAYER_NORMS_layer_norm) good = good && fabs(c->n_beta[b] - beta[b]) <= 1e-11 * beta[b];
        if (good) continue;
        norms_trouble(g, "%s %s %s B=%zu T=%zu d=%zu p=%zu: n[%zu] %.17g, not %.17g", layer_kind_name(c->kind),
                      vs_norms_dtype_name(c->dtype), where, c->B, c->T, c->d, c->p, b, c->n[b], n[b]);
        return;
    }
}

static void check_case(struct norms_gpu *g, enum vs_layer_norms_kind kind, enum vs_norms_dtype dtype, const struct norms_shape *s,
                       enum layer_ids ids)
{
    struct vs_layer_norms_call host;
    double *n = calloc(3 * s->B, sizeof *n), *beta = n + s->B, *scale = beta + s->B;
    ck_assert_ptr_nonnull(n);
    layer_case_make(kind, dtype, s, ids, 20 + (uint64_t)ids, &host);
    layer_case_expect(&host, NULL, NULL, scale);
    on_cpu(&host);
    memcpy(n, host.n, s->B * sizeof *n), memcpy(beta, host.n_beta, s->B * sizeof *n);
    for (size_t way = 0; way < 3; way++) { /* eager, unaligned, from a graph */
        struct on_gpu x;
        upload(g, &host, way == 1, &x);
        workspace(g, &x);
        int err = run(g, &x, way == 2, &host);
        if (err) norms_trouble(g, "%s: %d, %s", layer_kind_name(kind), err, g->device->last_error());
        if (!err) compare(g, &host, n, beta, scale, way == 1 ? "unaligned" : way == 2 ? "from a graph" : "");
        drop(g, &x);
    }
    layer_case_drop(&host);
    free(n);
}

START_TEST(test_kinds_are_those_of_the_cpu)
{
    enum vs_layer_norms_kind kind = (enum vs_layer_norms_kind)(_i / VS_NORMS_DTYPE_COUNT);
    bool looked_up = kind == VS_LAYER_NORMS_embedding || kind == VS_LAYER_NORMS_tied;
    /* beyond one tile of products, one grid's third dimension, and one slice of a row */
    static const struct norms_shape large[] = {{1, 2100, 24, 40}, {70000, 1, 8, 3}, {2, 1, 72, 20000}, {2, 9000, 8, 1032}};
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (int s = 0; s < LAYER_SHAPES; s++)
        for (int ids = 0; ids < (looked_up ? LAYER_IDS_COUNT : 1); ids++)
            check_case(&g, kind, (enum vs_norms_dtype)(_i % VS_NORMS_DTYPE_COUNT), &layer_shapes[s], (enum layer_ids)ids);
    for (size_t s = 0; s < sizeof large / sizeof *large; s++)
        if (kind != VS_LAYER_NORMS_tied || s < 3)
            check_case(&g, kind, (enum vs_norms_dtype)(_i % VS_NORMS_DTYPE_COUNT), &large[s], LAYER_IDS_skewed);
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_a_bad_sample_spoils_only_itself)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const struct norms_shape shape = {3, 70, 20, 300};
    enum vs_layer_norms_kind kind = (enum vs_layer_norms_kind)_i;
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (size_t k = 0; k < 3 * 2; k++) {
        struct vs_layer_norms_call c;
        struct on_gpu x;
        double n[3], scale[3];
        layer_case_make(kind, VS_NORMS_bf16, &shape, LAYER_IDS_repeated, 9, &c);
        layer_case_expect(&c, n, NULL, scale);
        bool in_G = k / 3 || kind == VS_LAYER_NORMS_bias || kind == VS_LAYER_NORMS_embedding;
        size_t width = in_G ? c.p : layer_width_A(&c);
        size_t column = kind == VS_LAYER_NORMS_tied && in_G ? (size_t)c.ids[c.T] : width / 2;
        norms_put(c.dtype, (void *)(in_G ? c.G : c.A), (c.T + c.T / 2) * width + column, bad[k % 3]);
        upload(&g, &c, 0, &x);
        workspace(&g, &x);
        ck_assert_int_eq(run(&g, &x, false, &c), 0);
        if (isfinite(c.n[1])) norms_trouble(&g, "%s: %g from a bad sample", layer_kind_name(kind), c.n[1]);
        for (int b = 0; b < 3; b += 2)
            if (!(fabs(c.n[b] - n[b]) <= bound_of(&c) * scale[b])) norms_trouble(&g, "%s: spoiled another", layer_kind_name(kind));
        drop(&g, &x);
        layer_case_drop(&c);
    }
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_every_call_gives_the_same_bits)
{
    static const struct norms_shape shape = {3, 700, 64, 300};
    struct norms_gpu g;
    struct vs_layer_norms_call c;
    struct on_gpu x;
    double first[6];
    if (!norms_gpu_open(&g)) return;
    layer_case_make((enum vs_layer_norms_kind)_i, VS_NORMS_fp16, &shape, LAYER_IDS_skewed, 4, &c);
    layer_case_expect(&c, NULL, NULL, NULL);
    upload(&g, &c, 0, &x);
    workspace(&g, &x);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(run(&g, &x, i % 2, &c), 0);
        double now[6] = {c.n[0], c.n[1], c.n[2], c.n_beta[0], c.n_beta[1], c.n_beta[2]};
        if (i == 0) memcpy(first, now, sizeof first);
        ck_assert_int_eq(memcmp(first, now, sizeof first), 0);
    }
    drop(&g, &x);
    layer_case_drop(&c);
    norms_gpu_close(&g);
}
END_TEST

/* One sample of many like terms, and of one id: what float32 sums lose, and what one thread would take long for. */
START_TEST(test_long_sums)
{
    static const struct norms_shape shape = {1, 131072, 1, 40};
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (int kind = 0; kind <= VS_LAYER_NORMS_rms_norm; kind++) {
        struct vs_layer_norms_call c;
        struct on_gpu x;
        layer_case_make((enum vs_layer_norms_kind)kind, VS_NORMS_bf16, &shape, LAYER_IDS_single, 6, &c);
        for (size_t i = 0; i < shape.T * shape.p; i++)
            norms_put(c.dtype, (void *)c.G, i, norms_round(c.dtype, 1 + norms_get(c.dtype, c.G, i) / 8));
        on_cpu(&c);
        double n = *c.n, beta = *c.n_beta;
        upload(&g, &c, 0, &x);
        workspace(&g, &x);
        ck_assert_int_eq(run(&g, &x, false, &c), 0);
        compare(&g, &c, &n, &beta, &n, "long");
        drop(&g, &x);
        layer_case_drop(&c);
    }
    norms_gpu_close(&g);
}
END_TEST

/* Padded rows hold NaN, and the head's norm is too small for the sum to be positive. */
START_TEST(test_padding_and_parts_that_cancel)
{
    static const struct norms_shape shape = {2, 90, 24, 40};
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (int tied = 0; tied <= 1; tied++) {
        struct vs_layer_norms_call c;
        struct on_gpu x;
        double n[2], scale[2];
        layer_case_make(tied ? VS_LAYER_NORMS_tied : VS_LAYER_NORMS_embedding, VS_NORMS_fp32, &shape, LAYER_IDS_padded, 3, &c);
        layer_case_expect(&c, n, NULL, scale);
        size_t width = tied ? c.d : c.p;
        float *gradient = (float *)(tied ? c.E : c.G);
        for (size_t row = 0; row < c.B * c.T; row++)
            if (c.ids[row] == c.padding_id) gradient[row * width] = NAN;
        if (tied) ((double *)c.n_head)[1] = -2 * scale[1], n[1] = 0;
        upload(&g, &c, 0, &x);
        workspace(&g, &x);
        ck_assert_int_eq(run(&g, &x, false, &c), 0);
        compare(&g, &c, n, NULL, scale, "padded");
        if (tied) ck_assert(c.n[1] == 0 && !signbit(c.n[1]));
        drop(&g, &x);
        layer_case_drop(&c);
    }
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_wrong_arguments_are_refused)
{
    static const struct norms_shape shape = {2, 40, 24, 40};
    struct norms_gpu g;
    struct vs_layer_norms_call c;
    struct on_gpu x;
    if (!norms_gpu_open(&g)) return;
    int (*call)(const struct vs_layer_norms_call *) = g.device->layer_norms->run;
    layer_case_make((enum vs_layer_norms_kind)_i, VS_NORMS_bf16, &shape, LAYER_IDS_repeated, 1, &c);
    upload(&g, &c, 0, &x);
    workspace(&g, &x);
    struct vs_layer_norms_call bad = x.call;
    bad.G = NULL;
    ck_assert_int_eq(call(&bad), -EINVAL);
    bad = x.call, bad.workspace_bytes--;
    ck_assert_int_eq(call(&bad), -ENOBUFS);
    bad = x.call, bad.p = (size_t)1 << 31;
    ck_assert_int_eq(call(&bad), -EOVERFLOW);
    bad = x.call, bad.B = INT32_MAX, bad.p = (size_t)1 << 20;
    ck_assert(call(&bad) == -EOVERFLOW || call(&bad) == -ENOBUFS); /* by kind: a grid's limit, or the workspace first */
    ck_assert_int_eq(run(&g, &x, false, &c), 0);
    drop(&g, &x);
    layer_case_drop(&c);
    norms_gpu_close(&g);
}
END_TEST

Suite *make_layer_norms_gpu_suite(void)
{
    Suite *s = suite_create("layer_norms_gpu");
    TCase *c = tcase_create("layer_norms_gpu");
    tcase_set_tags(c, "gpu");
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, test_kinds_are_those_of_the_cpu, 0, VS_LAYER_NORMS_KIND_COUNT * VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_a_bad_sample_spoils_only_itself, 0, VS_LAYER_NORMS_KIND_COUNT);
    tcase_add_loop_test(c, test_every_call_gives_the_same_bits, 0, VS_LAYER_NORMS_KIND_COUNT);
    tcase_add_test(c, test_long_sums);
    tcase_add_test(c, test_padding_and_parts_that_cancel);
    tcase_add_loop_test(c, test_wrong_arguments_are_refused, 0, VS_LAYER_NORMS_KIND_COUNT);
    suite_add_tcase(s, c);
    return s;
}
