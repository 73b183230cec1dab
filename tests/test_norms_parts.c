/* SPDX-License-Identifier: MIT
 *
 * test_norms_parts.c: what lies below and around the CPU's norms: the matrix products, the conversions, the checks of a call,
 * workspace, the choice of `auto`, and the CPU as a device.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/device.h"
#include "kernels/gemm.h"
#include "tests/norms_case.h"

Suite *make_norms_parts_suite(void);

static const char *const names[] = {
#define X(id, what) #id,
    VS_NORMS_ALGORITHMS(X)
#undef X
};
enum { ALGORITHMS = sizeof names / sizeof *names };

static const struct {
    vs_gemm_fn *product;
    bool tn;
} products[] = {{vs_gemm_nt_own, false}, {vs_gemm_tn_own, true}, {vs_gemm_nt, false}, {vs_gemm_tn, true}};
static const size_t sizes[][3] = {{1, 1, 1}, {4, 16, 256}, {5, 17, 257}, {3, 40, 7}, {64, 33, 600}};
enum { PRODUCTS = sizeof products / sizeof *products, SIZES = sizeof sizes / sizeof *sizes };

/* Strides larger than the rows, and what lies beyond each row stays as it was. */
START_TEST(test_products_are_right_with_and_without_a_blas)
{
    bool tn = products[_i % PRODUCTS].tn;
    const size_t *size = sizes[_i / PRODUCTS], m = size[0], n = size[1], k = size[2];
    size_t ldx = (tn ? m : k) + 3, ldy = (tn ? n : k) + 5, ldc = n + 2, high = tn ? k : m, deep = tn ? k : n;
    float *X = malloc(high * ldx * sizeof *X), *Y = malloc(deep * ldy * sizeof *Y), *C = malloc(m * ldc * sizeof *C);
    uint64_t state = 99;
    ck_assert(X && Y && C);
    for (size_t i = 0; i < high * ldx; i++) X[i] = (float)norms_random(&state);
    for (size_t i = 0; i < deep * ldy; i++) Y[i] = (float)norms_random(&state);
    for (size_t i = 0; i < m * ldc; i++) C[i] = 42;
    products[_i % PRODUCTS].product(m, n, k, X, ldx, Y, ldy, C, ldc);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double want = 0, scale = 0;
            for (size_t l = 0; l < k; l++) {
                double term = (double)(tn ? X[l * ldx + i] : X[i * ldx + l]) * (double)(tn ? Y[l * ldy + j] : Y[j * ldy + l]);
                want += term, scale += fabs(term);
            }
            ck_assert_double_le(fabs((double)C[i * ldc + j] - want), 1e-6 * scale);
        }
        ck_assert(C[i * ldc + n] == 42 && C[i * ldc + n + 1] == 42);
    }
    free(X), free(Y), free(C);
}
END_TEST

/* All 65536 bit patterns, as rows of a wider matrix. */
START_TEST(test_conversions_are_exact)
{
    static uint16_t from[256][260];
    static float to[256][256];
    enum vs_norms_dtype dtype = _i ? VS_NORMS_fp16 : VS_NORMS_bf16;
    for (size_t i = 0; i < 256; i++)
        for (size_t j = 0; j < 256; j++) from[i][j] = (uint16_t)(i << 8 | j);
    vs_convert(dtype, from, 260, 256, 256, to[0]);
    for (size_t i = 0; i < 256; i++)
        for (size_t j = 0; j < 256; j++) {
            double want = norms_get(dtype, from, i * 260 + j), have = (double)to[i][j];
            ck_assert_msg(isnan(want) ? isnan(have) : want == have && signbit(want) == signbit(have), "%zx: %g for %g",
                          i << 8 | j, have, want);
        }
}
END_TEST

START_TEST(test_element_types_have_names_and_bounds)
{
    ck_assert_int_eq(vs_norms_dtype_find("bf16"), VS_NORMS_bf16);
    ck_assert_int_eq(vs_norms_dtype_find("fp8"), -1);
    ck_assert_str_eq(vs_norms_dtype_name(VS_NORMS_tf32), "tf32");
    ck_assert_uint_eq(vs_norms_dtype_bytes(VS_NORMS_tf32), 4);
    ck_assert_uint_eq(vs_norms_dtype_bytes(VS_NORMS_fp16), 2);
    ck_assert_double_eq(vs_norms_dtype_bound(VS_NORMS_fp32), 1e-5);
    struct vs_norms_layer l = {.B = 2, .T = 128, .d = 1024, .p = 2048};
    ck_assert_double_eq(vs_norms_floor_operations(&l), 2.0 * 128 * 256 * 3072);
    l.T = 8192;
    ck_assert_double_eq(vs_norms_floor_operations(&l), 2.0 * 2 * 8192 * 1024 * 2048);
}
END_TEST

START_TEST(test_wrong_calls_are_refused)
{
    const struct vs_norms_algorithm *a = vs_norms_cpu(names[_i]);
    static _Alignas(256) char workspace[1 << 23];
    static float A[2 * 300 * 4], G[2 * 300 * 4], S[2 * 4 * 4];
    double n[2];
    size_t big = (size_t)1 << 31, wide = (size_t)1 << 20;
    const struct vs_norms_layer good = {.B = 2, .T = 300, .d = 4, .p = 4, .A = A, .G = G, .n = n};
    struct vs_norms_layer l[2] = {good, good};
    struct vs_norms_call call = {.layers = l, .count = 2, .workspace = workspace, .workspace_bytes = sizeof workspace};
    ck_assert_int_eq(a->run(&call), 0);
    size_t need = a->workspace_bytes(&call);
    ck_assert_uint_le(need, sizeof workspace);
    call.workspace_bytes = need - 1;
    if (need) ck_assert_int_eq(a->run(&call), -ENOBUFS);
    call.workspace_bytes = need;
    call.workspace = NULL;
    if (need) ck_assert_int_eq(a->run(&call), -EINVAL);
    call.workspace = workspace;
    ck_assert_int_eq(a->run(&call), 0);
#define REFUSED(change, err)                          \
    do {                                              \
        l[1] = good;                                  \
        change;                                       \
        ck_assert_int_eq(a->run(&call), err);         \
        ck_assert(n[0] == 0); /* and nothing is done */ \
        l[1] = good;                                  \
        n[0] = 0;                                     \
    } while (0)
    n[0] = 0;
    REFUSED(l[1].A = NULL, -EINVAL);
    REFUSED(l[1].G = NULL, -EINVAL);
    REFUSED(l[1].n = NULL, -EINVAL);
    REFUSED(l[1].B = 0, -EINVAL);
    REFUSED(l[1].T = 0, -EINVAL);
    REFUSED(l[1].d = 0, -EINVAL);
    REFUSED(l[1].p = 0, -EINVAL);
    REFUSED(l[1].T = big, -EOVERFLOW);
    REFUSED((l[1].B = wide, l[1].T = wide, l[1].d = 1 << 22), -EOVERFLOW);
    REFUSED((l[1].B = wide, l[1].d = wide, l[1].p = wide), -EOVERFLOW);  /* the gradients */
    REFUSED((l[1].B = wide, l[1].T = wide * 4, l[1].d = 1), -EOVERFLOW); /* the Gram matrices */
    if (strcmp(a->name, "direct") != 0 && strcmp(a->name, "materialize") != 0) REFUSED(l[1].gradient = S, -EINVAL);
    call.dtype = VS_NORMS_DTYPE_COUNT;
    REFUSED((void)0, -EINVAL);
    call.dtype = VS_NORMS_fp32;
    call.count = 0;
    REFUSED((void)0, -EINVAL);
    call.count = 2;
    call.layers = NULL;
    REFUSED((void)0, -EINVAL);
    ck_assert_int_eq(vs_norms_check(NULL), -EINVAL);
    ck_assert_ptr_null(vs_norms_cpu("gram_fulll"));
}
END_TEST

static size_t bytes_of(const char *name, enum vs_norms_dtype dtype, struct vs_norms_layer l)
{
    struct vs_cpu_context context = {.threads = 2};
    struct vs_norms_call call = {.dtype = dtype, .layers = &l, .count = 1, .context = &context};
    return vs_norms_cpu(name)->workspace_bytes(&call);
}

START_TEST(test_tiles_do_not_grow_with_the_sequence)
{
    static const char *const tiled[] = {"gram", "direct", "auto"};
    struct vs_norms_layer s = {.B = 2, .T = 1024, .d = 512, .p = 512}, l = {.B = 2, .T = 1 << 20, .d = 512, .p = 512};
    for (int t = 0; t < VS_NORMS_DTYPE_COUNT; t++)
        for (size_t i = 0; i < sizeof tiled / sizeof *tiled; i++) {
            size_t small = bytes_of(tiled[i], (enum vs_norms_dtype)t, s), large = bytes_of(tiled[i], (enum vs_norms_dtype)t, l);
            ck_assert_uint_eq(small, large);
            ck_assert_uint_le(large, 4 << 20);
        }
    ck_assert_uint_eq(bytes_of("gram_full", VS_NORMS_fp32, s), 2u * 2 * 1024 * 1024 * 4);
    ck_assert_uint_eq(bytes_of("materialize", VS_NORMS_fp32, s), 2u * 512 * 512 * 4);
    ck_assert_uint_eq(bytes_of("materialize", VS_NORMS_fp32, l), 2u * 512 * 512 * 4);
    ck_assert_uint_eq(bytes_of("reference", VS_NORMS_fp16, l), 0);
}
END_TEST

static const char *choice(struct vs_cpu_context *context, struct vs_norms_layer l, size_t room)
{
    struct vs_norms_call call = {.layers = &l, .count = 1, .context = context, .workspace_bytes = room};
    double ms[3];
    const char *name = vs_device_cpu()->choice(&call, 0, ms);
    ck_assert(ms[0] > 0 && ms[1] > 0 && (room ? isfinite(ms[2]) : isinf(ms[2])));
    return name;
}

START_TEST(test_auto_picks_what_is_cheapest)
{
    struct vs_cpu_context context = {.threads = 2, .rate = {[VS_NORMS_fp32] = {1e9, 1e9, 1e9}}};
    struct vs_norms_layer below = {.B = 2, .T = 256, .d = 1024, .p = 1024}, above = below;
    size_t stored = bytes_of("materialize", VS_NORMS_fp32, above);
    above.T = 1024; /* T (T + 256) (d + p) against 2 T d p: even at T = 768 */
    below.T = 700;
    ck_assert_str_eq(choice(&context, below, 0), "gram");
    ck_assert_str_eq(choice(&context, above, 0), "direct");
    ck_assert_str_eq(choice(&context, above, stored), "direct"); /* storing costs, and wins nothing */
    context.rate[VS_NORMS_fp32][VS_NORMS_BY_GRAM] = 3e9;
    ck_assert_str_eq(choice(&context, above, 0), "gram");
    context.rate[VS_NORMS_fp32][VS_NORMS_BY_MATERIALIZE] = 9e9;
    ck_assert_str_eq(choice(&context, above, stored), "materialize");
    ck_assert_str_eq(choice(&context, above, 0), "gram");
    ck_assert_str_eq(choice(NULL, below, 0), "gram");
    above.T = 8192;
    ck_assert_str_eq(choice(NULL, above, 0), "direct");
}
END_TEST

/* Three layers, each fastest another way: auto gives each one's bits and counts what gram counts. */
START_TEST(test_auto_computes_what_it_picks)
{
    static const char *const picked[3] = {"gram", "direct", "materialize"};
    static _Alignas(256) char workspace[1 << 20], other[1 << 21];
    static float A[3][40 * 64 * 90], G[3][40 * 64 * 90];
    struct vs_cpu_context context = {.threads = 2, .rate = {[VS_NORMS_fp32] = {1e9, 1e9, 9e9}}};
    double n[3][40], alone[40], ms[3];
    struct vs_norms_layer l[3] = {{.B = 2, .T = 16, .d = 300, .p = 300, .A = A[0], .G = G[0], .n = n[0]},
                                  {.B = 40, .T = 64, .d = 90, .p = 90, .A = A[1], .G = G[1], .n = n[1]},
                                  {.B = 2, .T = 80, .d = 20, .p = 20, .A = A[2], .G = G[2], .n = n[2]}};
    uint64_t state = 4;
    unsigned recomputed = 9;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof A[0] / sizeof A[0][0]; i++)
            A[k][i] = (float)norms_random(&state), G[k][i] = (float)norms_random(&state);
    for (int j = 0; j < 300; j++) A[0][300 + j] = A[0][j], G[0][300 + j] = -1.001f * G[0][j]; /* sample 0: two rows cancel, */
    memset(G[0] + 600, 0, 14 * 300 * sizeof(float));                                          /* and nothing else is there */
    struct vs_norms_call call = {.layers = l, .count = 3, .context = &context, .recomputed = &recomputed, .workspace = workspace};
    call.workspace_bytes = vs_norms_cpu("auto")->workspace_bytes(&call);
    ck_assert_uint_le(call.workspace_bytes, sizeof workspace);
    ck_assert_int_eq(vs_norms_cpu("auto")->run(&call), 0);
    ck_assert_uint_eq(recomputed, 1);
    for (size_t i = 0; i < 3; i++) {
        struct vs_norms_layer single = l[i];
        struct vs_norms_call again = {.layers = &single, .count = 1, .context = &context, .workspace = other};
        ck_assert_str_eq(vs_cpu_choice(&call, i, ms), picked[i]);
        single.n = alone;
        again.workspace_bytes = sizeof other;
        ck_assert_int_eq(vs_norms_cpu(picked[i])->run(&again), 0);
        ck_assert_int_eq(memcmp(alone, n[i], l[i].B * sizeof(double)), 0);
    }
}
END_TEST

/* Layers of one input with another between them: gone by another method, it must not make the others one larger group. */
START_TEST(test_auto_keeps_to_its_workspace)
{
    static float A[2 * 16 * 300], G[2][2 * 16 * 300], other[2 * 64 * 9];
    struct vs_cpu_context context = {.threads = 1, .rate = {[VS_NORMS_fp32] = {1e9, 1e9, 1e9}}};
    double n[3][2], ms[3];
    const struct vs_norms_layer l[3] = {{.B = 2, .T = 16, .d = 300, .p = 300, .A = A, .G = G[0], .n = n[0]},
                                        {.B = 2, .T = 64, .d = 9, .p = 9, .A = other, .G = other, .n = n[1]},
                                        {.B = 2, .T = 16, .d = 300, .p = 300, .A = A, .G = G[1], .n = n[2]}};
    struct vs_norms_call call = {.layers = l, .count = 3, .context = &context};
    for (int i = 0; i < 3; i++) ck_assert_str_eq(vs_cpu_choice(&call, (size_t)i, ms), i == 1 ? "direct" : "gram");
    call.workspace_bytes = vs_norms_cpu("auto")->workspace_bytes(&call);
    call.workspace = aligned_alloc(256, (call.workspace_bytes + 255) / 256 * 256);
    ck_assert_ptr_nonnull(call.workspace);
    for (size_t i = 0; i < sizeof A / sizeof *A; i++) A[i] = 1, G[0][i] = 2, G[1][i] = 3;
    ck_assert_int_eq(vs_norms_cpu("auto")->run(&call), 0);
    for (int b = 0; b < 2; b++) {
        ck_assert_double_eq(n[0][b], 300.0 * 300 * pow(16 * 2, 2));
        ck_assert_double_eq(n[1][b], 0);
        ck_assert_double_eq(n[2][b], 300.0 * 300 * pow(16 * 3, 2));
    }
    free(call.workspace);
}
END_TEST

START_TEST(test_cpu_is_a_device)
{
    const struct vs_device *cpu = vs_device_cpu();
    void *context = NULL, *memory = NULL;
    double ms = -1, rate = 0;
    size_t available = 0;
    ck_assert_int_eq(cpu->version, VS_DEVICE_VERSION);
    ck_assert_int_eq(cpu->open(&context), 0);
    ck_assert_int_eq(cpu->alloc(1000, &memory), 0);
    ck_assert_uint_eq((uintptr_t)memory % 256, 0);
    memset(memory, 1, 1000);
    ck_assert_int_eq(cpu->clear(memory, 999), 0);
    for (int i = 0; i < 1000; i++) ck_assert_int_eq(((char *)memory)[i], i == 999);
    cpu->release(memory);
    ck_assert_int_eq(cpu->alloc(SIZE_MAX, &memory), -ENOMEM);
    ck_assert_str_eq(cpu->last_error(), strerror(ENOMEM));
    ck_assert(cpu->free_bytes(&available) == 0 && available > 0);
    ck_assert_int_eq(cpu->start(context, NULL), 0);
    ck_assert_int_eq(cpu->stop(context, NULL, &ms), 0);
    ck_assert(ms >= 0 && ms < 1e4);
    ck_assert(!cpu->capture && !cpu->captured && !cpu->replay && !cpu->forget);
    ck_assert_ptr_eq(cpu->norms("gram"), &vs_norms_cpu_gram);
    ck_assert_ptr_eq(cpu->layer_norms, &vs_layer_norms_cpu);
    ck_assert_uint_gt(strlen(cpu->describe(context)), 0);
#ifndef __SANITIZE_THREAD__ /* there it has no BLAS and would take minutes */
    ck_assert_int_eq(cpu->ceiling(context, VS_NORMS_bf16, &rate), 0);
    ck_assert(rate > 1e7 && rate < 1e15);
    ck_assert_int_eq(cpu->calibrate(context, VS_NORMS_bf16), 0);
    for (int m = 0; m < VS_NORMS_METHODS; m++) {
        double measured = ((struct vs_cpu_context *)context)->rate[VS_NORMS_bf16][m];
        ck_assert(measured > 1e7 && measured < 1e15);
    }
#endif
    cpu->close(context);
    cpu->close(NULL);
    (void)rate;
}
END_TEST

Suite *make_norms_parts_suite(void)
{
    Suite *s = suite_create("norms_parts");
    TCase *c = tcase_create("norms_parts");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_products_are_right_with_and_without_a_blas, 0, PRODUCTS * SIZES);
    tcase_add_loop_test(c, test_conversions_are_exact, 0, 2);
    tcase_add_test(c, test_element_types_have_names_and_bounds);
    tcase_add_loop_test(c, test_wrong_calls_are_refused, 0, ALGORITHMS);
    tcase_add_test(c, test_tiles_do_not_grow_with_the_sequence);
    tcase_add_test(c, test_auto_picks_what_is_cheapest);
    tcase_add_test(c, test_auto_computes_what_it_picks);
    tcase_add_test(c, test_auto_keeps_to_its_workspace);
    tcase_add_test(c, test_cpu_is_a_device);
    suite_add_tcase(s, c);
    return s;
}
