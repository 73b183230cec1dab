/* SPDX-License-Identifier: MIT
 *
 * test_norms_gpu_calls.c: the promises of kernels/norms.h and kernels/device.h that are about calls, not values, on the GPU: the
 * same bits on every call, graphs, bad samples, gradients, errors, the device's measurements. Without a GPU each test says so
 * and passes.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "norms_case.h"

Suite *make_norms_gpu_calls_suite(void);

static const char *const names[] = {
#define X(id, what) #id,
    VS_NORMS_ALGORITHMS(X)
#undef X
};
enum { ALGORITHMS = sizeof names / sizeof *names };

#define SHAPE "%s %s B=%zu T=%zu d=%zu p=%zu"
#define OF(name, dtype, s) name, vs_norms_dtype_name(dtype), (s)->B, (s)->T, (s)->d, (s)->p

static bool same_bits(const struct norms_answer *x, const struct norms_answer *y)
{
    return x->samples == y->samples && !memcmp(x->n, y->n, 2 * x->samples * sizeof(double)) && x->recomputed == y->recomputed;
}

static void answer(struct norms_gpu *g, const char *name, enum vs_norms_dtype dtype, const struct norms_input *in,
                   enum norms_how how, struct norms_answer *x)
{
    int err = norms_gpu_run(g, name, dtype, &in->gpu, 1, 0, how, x);
    if (err) norms_trouble(g, SHAPE ": %d, %s", OF(name, dtype, &in->host), err, g->device->last_error());
}

/* The very first call of a process, the second, the next ones, between them other algorithms and shapes in the same
 * workspace, and replays of a graph. */
static void check_bits(struct norms_gpu *g, const char *name, enum vs_norms_dtype dtype)
{
    static const struct norms_shape kinds[] = {{2, 1000, 256, 128}, {1, 300, 65, 33}, {5, 64, 64, 512}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    struct norms_input in[KINDS];
    struct norms_answer first[KINDS], x;
    for (int k = 0; k < KINDS; k++) {
        norms_input_make(dtype, &kinds[k], 20 + (uint64_t)k, &in[k]);
        norms_input_upload(g, dtype, 0, &in[k]);
        answer(g, name, dtype, &in[k], NORMS_EAGER, &first[k]);
    }
    for (int round = 0; round < 20; round++) {
        int k = round % KINDS;
        enum norms_how how = round % 4 == 3 ? NORMS_REPLAYED : NORMS_EAGER;
        if (round > 4) { /* after a few undisturbed ones */
            answer(g, names[round % ALGORITHMS], dtype, &in[(k + 1) % KINDS], NORMS_EAGER, &x);
            norms_answer_drop(&x);
        }
        answer(g, name, dtype, &in[k], how, &x);
        if (!same_bits(&x, &first[k]))
            norms_trouble(g, SHAPE ": call %d (%s) differs from the first", OF(name, dtype, &kinds[k]), round,
                          how == NORMS_EAGER ? "eager" : "replayed");
        norms_answer_drop(&x);
    }
    for (int k = 0; k < KINDS; k++) norms_answer_drop(&first[k]), norms_input_drop(g, &in[k]);
}

START_TEST(test_every_call_gives_the_same_bits)
{
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (int dtype = 0; dtype < VS_NORMS_DTYPE_COUNT; dtype++) check_bits(&g, names[_i], (enum vs_norms_dtype)dtype);
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_a_bad_sample_spoils_only_itself)
{
    static const struct norms_shape kinds[] = {{3, 300, 64, 72}, {3, 129, 33, 17}};
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)_i;
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (int i = 0; i < 12; i++) {
        const struct norms_shape *s = &kinds[i / 6];
        struct norms_input in;
        norms_input_make(dtype, s, 30, &in);
        norms_input_upload(&g, dtype, 0, &in);
        struct norms_answer clean[ALGORITHMS], x;
        for (int a = 0; a < ALGORITHMS; a++) answer(&g, names[a], dtype, &in, NORMS_EAGER, &clean[a]);
        size_t width = i % 2 ? s->d : s->p, bytes = vs_norms_dtype_bytes(dtype);
        void *X = (void *)(i % 2 ? in.host.A : in.host.G), *to = (void *)(i % 2 ? in.gpu.A : in.gpu.G);
        norms_put(dtype, X, (s->T + s->T - 3) * width + 5, (float)bad[i / 2 % 3]);
        ck_assert_int_eq(g.device->upload(to, X, 3 * s->T * width * bytes), 0);
        for (int a = 0; a < ALGORITHMS; a++) {
            answer(&g, names[a], dtype, &in, NORMS_EAGER, &x);
            if (isfinite(x.n[1])) norms_trouble(&g, SHAPE ": %g gave the norm %g", OF(names[a], dtype, s), bad[i / 2 % 3], x.n[1]);
            if (x.n[0] != clean[a].n[0] || x.n[2] != clean[a].n[2])
                norms_trouble(&g, SHAPE ": %g in sample 1 changed others", OF(names[a], dtype, s), bad[i / 2 % 3]);
            norms_answer_drop(&x);
            norms_answer_drop(&clean[a]);
        }
        norms_input_drop(&g, &in);
    }
    norms_gpu_close(&g);
}
END_TEST

/* ---- gradients ---- */

/* Largest error of the gradient's entries, against their root mean square. */
static double gradient_error(enum vs_norms_dtype dtype, const struct vs_norms_layer *l, const float *S)
{
    double off = 0, squares = 0;
    for (size_t b = 0; b < l->B; b++)
        for (size_t i = 0; i < l->p; i++)
            for (size_t j = 0; j < l->d; j++) {
                double want = 0;
                for (size_t t = b * l->T; t < (b + 1) * l->T; t++)
                    want += norms_get(dtype, l->G, t * l->p + i) * norms_get(dtype, l->A, t * l->d + j);
                double e = fabs((double)S[(b * l->p + i) * l->d + j] - want);
                if (!(e <= off)) off = e;
                squares += want * want;
            }
    return off / sqrt(squares / (double)(l->B * l->p * l->d));
}

START_TEST(test_gradients)
{
    static const struct norms_shape kinds[] = {{2, 130, 72, 40}, {1, 64, 128, 256}, {3, 33, 65, 17}, {2, 1, 8, 24}};
    static const char *const makers[] = {"direct", "materialize"};
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)_i;
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (int i = 0; i < 8; i++) {
        const struct norms_shape *s = &kinds[i / 2];
        size_t count = s->B * s->d * s->p, fenced = count + 64;
        struct norms_input in;
        struct norms_answer x;
        float *S = malloc(fenced * sizeof *S);
        void *gpu;
        ck_assert_ptr_nonnull(S);
        norms_input_make(dtype, s, 40 + (uint64_t)i, &in);
        norms_input_upload(&g, dtype, 0, &in);
        for (size_t k = 0; k < fenced; k++) S[k] = 12345;
        ck_assert_int_eq(g.device->alloc(fenced * sizeof *S, &gpu), 0);
        ck_assert_int_eq(g.device->upload(gpu, S, fenced * sizeof *S), 0);
        in.gpu.gradient = gpu;
        answer(&g, makers[i % 2], dtype, &in, NORMS_EAGER, &x);
        ck_assert_int_eq(g.device->download(S, gpu, fenced * sizeof *S), 0);
        double *oracle = norms_oracle(&g, dtype, &in), e = gradient_error(dtype, &in.host, S), bound = vs_norms_dtype_bound(dtype);
        /* An entry by itself has no average to hide in. */
        if (!(e <= 10 * bound)) norms_trouble(&g, SHAPE ": an entry of the gradient is off by %.3g", OF(makers[i % 2], dtype, s), e);
        e = vs_norms_error(s->B, x.n, oracle);
        if (!(e <= bound)) norms_trouble(&g, SHAPE " with gradient: error %.3g", OF(makers[i % 2], dtype, s), e);
        for (size_t k = count; k < fenced; k++)
            if (S[k] != 12345) {
                norms_trouble(&g, SHAPE ": wrote behind the gradient", OF(makers[i % 2], dtype, s));
                break;
            }
        free(oracle);
        free(S);
        g.device->release(gpu);
        norms_answer_drop(&x);
        norms_input_drop(&g, &in);
    }
    norms_gpu_close(&g);
}
END_TEST

/* ---- errors ---- */

static void refused(struct norms_gpu *g, const struct vs_norms_algorithm *a, const struct vs_norms_call *call, int want,
                    const char *what)
{
    int err = a->run(call);
    if (err != want) norms_trouble(g, "%s, %s: %d instead of %d", a->name, what, err, want);
    if (g->device->wait(NULL)) norms_trouble(g, "%s, %s: %s", a->name, what, g->device->last_error());
}

static void check_errors(struct norms_gpu *g, const struct vs_norms_algorithm *a, struct vs_norms_layer layer)
{
    static const float gradient;
    struct vs_norms_call call = {.dtype = VS_NORMS_fp32, .layers = &layer, .count = 1, .context = g->context}, broken;
    struct vs_norms_layer other = layer;
    bool makes = !strcmp(a->name, "direct") || !strcmp(a->name, "materialize");
    call.workspace_bytes = a->workspace_bytes(&call);
    ck_assert_int_eq(g->device->alloc(call.workspace_bytes, &call.workspace), 0);
    ck_assert_int_eq(g->device->clear(call.workspace, call.workspace_bytes), 0);
    refused(g, a, &call, 0, "no absolute, no count");
    broken = call, broken.count = 0;
    refused(g, a, &broken, -EINVAL, "no layers");
    broken = call, broken.context = NULL;
    refused(g, a, &broken, -EINVAL, "no context");
    broken = call, broken.dtype = VS_NORMS_DTYPE_COUNT;
    refused(g, a, &broken, -EINVAL, "no such element type");
    broken = call, broken.workspace = NULL;
    if (call.workspace_bytes) refused(g, a, &broken, -EINVAL, "no workspace");
    broken = call, broken.layers = &other;
    other.G = NULL;
    refused(g, a, &broken, -EINVAL, "no G");
    other = layer, other.T = 0;
    refused(g, a, &broken, -EINVAL, "no rows");
    other = layer, other.T = (size_t)1 << 31;
    refused(g, a, &broken, -EOVERFLOW, "too many rows");
    other = layer, other.gradient = (float *)&gradient; /* refused before anybody looks at it */
    if (!makes) refused(g, a, &broken, -EINVAL, "a gradient");
    refused(g, a, &call, 0, "and again");
    g->device->release(call.workspace);
}

START_TEST(test_errors)
{
    const struct norms_shape s = {2, 300, 40, 24};
    struct norms_gpu g;
    struct norms_input in;
    struct norms_answer x;
    void *n;
    if (!norms_gpu_open(&g)) return;
    norms_input_make(VS_NORMS_fp32, &s, 60, &in);
    norms_input_upload(&g, VS_NORMS_fp32, 0, &in);
    ck_assert_int_eq(g.device->alloc(s.B * sizeof(double), &n), 0);
    for (int i = 0; i < ALGORITHMS; i++) {
        const struct vs_norms_algorithm *a = g.device->norms(names[i]);
        ck_assert(a && !strcmp(a->name, names[i]));
        int err = norms_gpu_run(&g, names[i], VS_NORMS_fp32, &in.gpu, 1, 0, NORMS_SHORT, &x);
        if (err != -ENOBUFS) norms_trouble(&g, "%s with a byte too little: %d", names[i], err);
        norms_answer_drop(&x);
        struct vs_norms_layer layer = in.gpu;
        layer.n = n;
        check_errors(&g, a, layer);
    }
    ck_assert_ptr_null(g.device->norms("gramm"));
    g.device->release(n);
    norms_input_drop(&g, &in);
    norms_gpu_close(&g);
}
END_TEST

/* ---- the device ---- */

START_TEST(test_measurements)
{
    enum vs_norms_dtype dtype = (enum vs_norms_dtype)_i;
    const char *type = vs_norms_dtype_name(dtype);
    const struct norms_shape s = {1, 512, 256, 256};
    struct norms_gpu g;
    struct norms_input in;
    size_t before, after;
    double rate = 0, ms = -1, expected[3];
    if (!norms_gpu_open(&g)) return;
    norms_input_make(dtype, &s, 70, &in);
    norms_input_upload(&g, dtype, 0, &in);
    ck_assert_int_eq(g.device->ceiling(g.context, dtype, &rate), 0); /* and the libraries have what they keep */
    ck_assert_int_eq(g.device->calibrate(g.context, dtype), 0);
    ck_assert_int_eq(g.device->free_bytes(&before), 0);
    ck_assert_int_eq(g.device->start(g.context, NULL), 0);
    ck_assert_int_eq(g.device->ceiling(g.context, dtype, &rate), 0);
    ck_assert_int_eq(g.device->calibrate(g.context, dtype), 0);
    ck_assert_int_eq(g.device->stop(g.context, NULL, &ms), 0);
    ck_assert_int_eq(g.device->free_bytes(&after), 0);
    ck_assert_msg(rate > 1e12 && rate < 1e16, "%s: %g operations per second", type, rate);
    ck_assert_msg(ms > 0 && ms < 3000, "%s: measured for %g ms", type, ms);
    ck_assert_msg(after >= before, "%s: %zu bytes were not given back", type, before - after);
    /* What is expected: 2 B T d p operations in a plausible time, nothing stored where there is no room. */
    struct vs_norms_call call = {.dtype = dtype, .layers = &in.gpu, .count = 1, .context = g.context};
    const char *choice = g.device->choice(&call, 0, expected);
    printf("norms_gpu: %s: ceiling %.0f TFLOP/s, one layer by %s: %.4f gram, %.4f direct\n", type, rate / 1e12, choice, expected[0],
           expected[1]);
    ck_assert(!strcmp(choice, expected[0] < expected[1] ? "gram" : "direct"));
    ck_assert(expected[0] > 0 && expected[0] < 10 && expected[1] > 0 && expected[1] < 10 && isinf(expected[2]));
    call.workspace_bytes = (size_t)1 << 30;
    g.device->choice(&call, 0, expected);
    if (dtype == VS_NORMS_bf16) ck_assert(isinf(expected[2])); /* its gradients are rounded: auto keeps off */
    else ck_assert(expected[2] > 0 && expected[2] < 10);
    norms_input_drop(&g, &in);
    norms_gpu_close(&g);
}
END_TEST

Suite *make_norms_gpu_calls_suite(void)
{
    Suite *s = suite_create("norms_gpu_calls");
    TCase *c = tcase_create("norms_gpu_calls");
    tcase_set_tags(c, "gpu");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test_every_call_gives_the_same_bits, 0, ALGORITHMS);
    tcase_add_loop_test(c, test_a_bad_sample_spoils_only_itself, 0, VS_NORMS_DTYPE_COUNT);
    tcase_add_loop_test(c, test_gradients, 0, VS_NORMS_DTYPE_COUNT);
    tcase_add_test(c, test_errors);
    tcase_add_loop_test(c, test_measurements, 0, VS_NORMS_DTYPE_COUNT);
    suite_add_tcase(s, c);
    return s;
}
