/* SPDX-License-Identifier: MIT
 *
 * test_norms_gpu.c: the GPU's per-sample norms through the device's table: every algorithm, element type and a table of shapes
 * against float64, and each promise of kernels/norms.h: lists, shared inputs, cancelling samples, bad samples, the same bits,
 * graphs, alignment, fences, errors. Without a GPU each test says so and passes. It must never use random seeds.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "norms_case.h"

Suite *make_norms_gpu_suite(void);

static const char *const names[] = {
#define X(id, what) #id,
    VS_NORMS_ALGORITHMS(X)
#undef X
};
enum { ALGORITHMS = sizeof names / sizeof *names };

#define SHAPE "%s %s B=%zu T=%zu d=%zu p=%zu"
#define OF(name, dtype, s) name, vs_norms_dtype_name(dtype), (s)->B, (s)->T, (s)->d, (s)->p

static const struct norms_shape shapes[] = {
    /* whole tiles */
    {1, 128, 64, 64}, {2, 128, 1024, 256}, {1, 512, 512, 512}, {5, 512, 128, 64}, {2, 1024, 256, 1024}, {1, 2048, 1024, 1024},
    {2, 2048, 64, 192},
    /* ragged; 16-byte rows of two-byte elements, and not */
    {1, 1, 1, 1}, {5, 1, 40, 72}, {2, 2, 7, 1}, {5, 2, 130, 40}, {1, 100, 7, 130}, {2, 129, 72, 40}, {1, 129, 1281, 7},
    {2, 333, 130, 72}, {5, 333, 40, 1}, {1, 1000, 1281, 130}, {2, 1000, 1, 72}, {1, 1030, 72, 1281}, {5, 1030, 7, 40},
    {2, 1030, 130, 130}, {1, 300, 520, 264},
    /* long and narrow, wide, many samples */
    {1, 4096, 64, 8}, {2, 4096, 64, 8}, {1, 129, 40, 20000}, {2, 512, 20000, 8}, {1, 20000, 64, 64}, {1500, 3, 16, 24},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static double worst(const struct vs_norms_layer *s, const double *n, const double *oracle)
{
    double e = vs_norms_error(s->B, n, oracle);
    return isnan(e) ? (double)INFINITY : e;
}

/* Every algorithm on one input against float64; what `auto` does with room to store gradients included. */
static void check_all(struct norms_gpu *g, enum vs_norms_dtype dtype, const struct norms_input *in, const double *oracle)
{
    for (int i = 0; i <= ALGORITHMS; i++) {
        const char *name = i < ALGORITHMS ? names[i] : "auto";
        size_t room = i < ALGORITHMS ? 0 : (size_t)64 << 20;
        bool exact = !strcmp(name, "reference");
        if (exact && in->host.B > 1000) continue; /* one product per sample: minutes */
        struct norms_answer x;
        int err = norms_gpu_run(g, name, dtype, &in->gpu, 1, room, NORMS_EAGER, &x);
        double e = err ? 0 : worst(&in->host, x.n, oracle), bound = exact ? 1e-12 : vs_norms_dtype_bound(dtype);
        /* cuBLAS sums a contraction of any length in one go, and tensor cores truncate as they sum. */
        if (!strcmp(name, "gram_full") && in->host.d > 16384) bound *= 2;
        if (err) norms_trouble(g, SHAPE ": %d, %s", OF(name, dtype, &in->host), err, g->device->last_error());
        if (!(e <= bound)) norms_trouble(g, SHAPE ": error %.3g, %u again", OF(name, dtype, &in->host), e, x.recomputed);
        for (size_t b = 0; !err && b < in->host.B; b++)
            if (!(x.absolute[b] >= x.n[b] * (1 - 1e-4))) {
                norms_trouble(g, SHAPE ": absolute[%zu] %g, n %g", OF(name, dtype, &in->host), b, x.absolute[b], x.n[b]);
                break;
            }
        norms_answer_drop(&x);
    }
}

START_TEST(test_shapes)
{
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)_i;
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (size_t i = 0; i < SHAPES; i++) {
        struct norms_input in;
        norms_input_make(dtype, &shapes[i], i, &in);
        norms_input_upload(&g, dtype, 0, &in);
        double *oracle = norms_oracle(&g, dtype, &in);
        check_all(&g, dtype, &in, oracle);
        free(oracle);
        norms_input_drop(&g, &in);
    }
    norms_gpu_close(&g);
}
END_TEST

/* Pointers that are aligned to an element and no more; the grid's limits; both are nobody's favourite case. */
START_TEST(test_unaligned_and_many)
{
    static const struct norms_shape odd[] = {{2, 512, 256, 128}, {1, 130, 65, 33}, {3, 1024, 64, 72}, {66000, 1, 8, 8}};
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)_i;
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct norms_input in;
        norms_input_make(dtype, &odd[i], 50 + i, &in);
        norms_input_upload(&g, dtype, 1, &in);
        double *oracle = norms_oracle(&g, dtype, &in);
        check_all(&g, dtype, &in, oracle);
        free(oracle);
        norms_input_drop(&g, &in);
    }
    norms_gpu_close(&g);
}
END_TEST

/* ---- lists ---- */

enum { LAYERS_MAX = 150 };
struct list {
    struct norms_input in[LAYERS_MAX];
    struct vs_norms_layer gpu[LAYERS_MAX];
    size_t count;
};

/* Layers 0 to 2 of each five share their input, as q, k, v do; others differ in T, B and alignment of their rows. */
static void list_make(struct norms_gpu *g, enum vs_norms_dtype dtype, size_t count, struct list *l)
{
    static const struct norms_shape kinds[5] = {
        {2, 256, 128, 128}, {2, 256, 128, 64}, {2, 256, 128, 40}, {1, 100, 96, 256}, {3, 300, 33, 70}};
    l->count = count;
    for (size_t i = 0; i < count; i++) {
        struct norms_shape s = kinds[i % 5];
        if (i % 5 == 3) s.T += i; /* no two alike */
        norms_input_make(dtype, &s, 100 + i, &l->in[i]);
        norms_input_upload(g, dtype, 0, &l->in[i]);
        l->gpu[i] = l->in[i].gpu;
        if (i % 5 == 1 || i % 5 == 2) l->gpu[i].A = l->gpu[i - i % 5].A;
    }
}

static void check_list(struct norms_gpu *g, const char *name, enum vs_norms_dtype dtype, const struct list *l)
{
    /* Another tiling rounds otherwise; auto may even take another way for a list than for a layer. */
    double bound = strcmp(name, "auto") ? 1e-5 : vs_norms_dtype_bound(dtype);
    struct norms_answer all, one;
    size_t at = 0;
    int err = norms_gpu_run(g, name, dtype, l->gpu, l->count, 0, NORMS_EAGER, &all);
    if (err) norms_trouble(g, "%s, %zu layers: %d, %s", name, l->count, err, g->device->last_error());
    for (size_t i = 0; !err && i < l->count; at += l->gpu[i++].B) {
        err = norms_gpu_run(g, name, dtype, &l->gpu[i], 1, 0, NORMS_EAGER, &one);
        double e = err ? (double)INFINITY : worst(&l->gpu[i], all.n + at, one.n);
        if (!(e <= bound))
            norms_trouble(g, SHAPE ": layer %zu of %zu differs by %.3g", OF(name, dtype, &l->gpu[i]), i, l->count, e);
        norms_answer_drop(&one);
    }
    norms_answer_drop(&all);
}

START_TEST(test_lists_are_their_layers)
{
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)_i;
    struct norms_gpu g;
    struct list l;
    if (!norms_gpu_open(&g)) return;
    for (size_t count = 5; count <= LAYERS_MAX; count += LAYERS_MAX - 5) {
        list_make(&g, dtype, count, &l);
        for (int a = 0; a < ALGORITHMS; a++) check_list(&g, names[a], dtype, &l);
        for (size_t i = 0; i < count; i++) norms_input_drop(&g, &l.in[i]);
    }
    norms_gpu_close(&g);
}
END_TEST

/* ---- samples whose terms cancel ---- */

/* Rows in pairs: a, a and g, -g + noise. The Gram terms stay large while the gradient shrinks with the noise. */
static void cancel(enum vs_norms_dtype dtype, struct norms_input *in, size_t b, double noise, uint64_t *state)
{
    const struct vs_norms_layer *s = &in->host;
    for (size_t t = 0; t < s->T; t += 2) {
        size_t a = (b * s->T + t) * s->d, gr = (b * s->T + t) * s->p;
        for (size_t i = 0; i < s->d; i++) {
            norms_put(dtype, (void *)s->A, a + i, norms_round(dtype, norms_random(state)));
            norms_put(dtype, (void *)s->A, a + s->d + i, (float)norms_get(dtype, s->A, a + i));
        }
        for (size_t i = 0; i < s->p; i++) {
            norms_put(dtype, (void *)s->G, gr + i, norms_round(dtype, norms_random(state)));
            double other = noise * norms_random(state) - norms_get(dtype, s->G, gr + i);
            norms_put(dtype, (void *)s->G, gr + s->p + i, norms_round(dtype, other));
        }
    }
}

static double dot(enum vs_norms_dtype dtype, const void *X, size_t width, size_t s, size_t t)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++) sum += norms_get(dtype, X, s * width + i) * norms_get(dtype, X, t * width + i);
    return sum;
}

static double kappa(enum vs_norms_dtype dtype, const struct norms_input *in, size_t b)
{
    const struct vs_norms_layer *l = &in->host;
    double n = 0, absolute = 0;
    for (size_t s = b * l->T; s < (b + 1) * l->T; s++)
        for (size_t t = b * l->T; t < (b + 1) * l->T; t++) {
            double product = dot(dtype, l->A, l->d, s, t) * dot(dtype, l->G, l->p, s, t);
            n += product;
            absolute += fabs(product);
        }
    return absolute / n;
}

static const double noises[] = {1, 0.8, 0.5, 0.15, 0.06, 0.02, 0.004}; /* kappa from 6 to 3e5 and more, none near VS_NORMS_KAPPA */
enum { NOISES = sizeof noises / sizeof *noises };

static void check_cancelling(struct norms_gpu *g, enum vs_norms_dtype dtype, const struct norms_shape *s)
{
    static const char *const ways[] = {"gram", "gram_full", "direct", "materialize", "reference"};
    struct norms_input in;
    uint64_t state = 4242;
    unsigned beyond = 0;
    norms_input_make(dtype, s, 7, &in);
    for (size_t b = 0; b < NOISES; b++) cancel(dtype, &in, b, noises[b], &state);
    for (size_t b = 0; b < NOISES; b++) {
        double k = kappa(dtype, &in, b);
        ck_assert_msg(k < 0.7 * VS_NORMS_KAPPA || k > 1.4 * VS_NORMS_KAPPA, "sample %zu is too near to tell: %g", b, k);
        beyond += k > VS_NORMS_KAPPA;
    }
    ck_assert(beyond > 1 && beyond < NOISES - 1);
    norms_input_upload(g, dtype, 0, &in);
    double *oracle = norms_oracle(g, dtype, &in);
    check_all(g, dtype, &in, oracle);
    for (size_t a = 0; a < sizeof ways / sizeof *ways; a++) {
        struct norms_answer x;
        unsigned want = a < 2 ? beyond : 0; /* only the Gram algorithms recompute */
        for (int how = NORMS_EAGER; how <= NORMS_REPLAYED; how++) {
            int err = norms_gpu_run(g, ways[a], dtype, &in.gpu, 1, 0, (enum norms_how)how, &x);
            if (err || x.recomputed != want)
                norms_trouble(g, SHAPE ": %u samples again instead of %u (%d)", OF(ways[a], dtype, s), x.recomputed, want, err);
            norms_answer_drop(&x);
        }
    }
    free(oracle);
    norms_input_drop(g, &in);
}

START_TEST(test_cancelling_samples)
{
    static const struct norms_shape kinds[] = {{NOISES, 64, 128, 96}, {NOISES, 50, 70, 33}, {NOISES, 256, 64, 64}};
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) check_cancelling(&g, (enum vs_norms_dtype)_i, &kinds[i]);
    norms_gpu_close(&g);
}
END_TEST

/* Layers of both backends of a Hopper GPU in one call: the samples of both are counted. */
START_TEST(test_counts_of_a_mixed_list)
{
    static const struct norms_shape kinds[2] = {{NOISES, 64, 128, 96}, {NOISES, 50, 71, 33}};
    struct norms_gpu g;
    struct norms_input in[2];
    struct norms_answer x;
    uint64_t state = 4343;
    unsigned beyond = 0;
    if (!norms_gpu_open(&g)) return;
    for (int i = 0; i < 2; i++) {
        norms_input_make(VS_NORMS_bf16, &kinds[i], 8, &in[i]);
        for (size_t b = 0; b < NOISES; b++) cancel(VS_NORMS_bf16, &in[i], b, noises[b], &state);
        for (size_t b = 0; b < NOISES; b++) beyond += kappa(VS_NORMS_bf16, &in[i], b) > VS_NORMS_KAPPA;
        norms_input_upload(&g, VS_NORMS_bf16, 0, &in[i]);
    }
    const struct vs_norms_layer both[2] = {in[0].gpu, in[1].gpu};
    for (int twice = 0; twice < 2; twice++) {
        ck_assert_int_eq(norms_gpu_run(&g, "gram", VS_NORMS_bf16, both, 2, 0, NORMS_EAGER, &x), 0);
        if (x.recomputed != beyond) norms_trouble(&g, "gram, two layers: %u samples again instead of %u", x.recomputed, beyond);
        norms_answer_drop(&x);
    }
    for (int i = 0; i < 2; i++) norms_input_drop(&g, &in[i]);
    norms_gpu_close(&g);
}
END_TEST

Suite *make_norms_gpu_suite(void)
{
    Suite *s = suite_create("norms_gpu");
    TCase *c = tcase_create("norms_gpu");
    tcase_set_tags(c, "gpu");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test_shapes, 0, VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_unaligned_and_many, 0, VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_lists_are_their_layers, 0, VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_cancelling_samples, 0, VS_NORMS_DTYPE_COUNT);
    tcase_add_test(c, test_counts_of_a_mixed_list);
    suite_add_tcase(s, c);
    return s;
}
