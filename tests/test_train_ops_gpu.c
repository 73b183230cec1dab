/* SPDX-License-Identifier: MIT
 *
 * test_train_ops_gpu.c: the GPU's operations of kernels/train.h against the CPU's in float64: shapes that are whole and odd,
 * aligned and not, every variant, the same bits every time, from a graph too, samples left out, errors. Attention has a suite of
 * its own. Without a GPU each test says so and passes. It must never use random seeds.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "train_ops_case.h"

Suite *make_train_ops_gpu_suite(void);

/* Ones, primes, whole groups of 16 bytes and not, more than a block's share of a row, many samples. */
static const struct train_shape shapes[] = {
    {1, 1, 1},      {2, 3, 5},     {3, 33, 65},  {5, 7, 24},    {1, 300, 1280}, {4, 64, 768},
    {2, 17, 2056},  {1, 20, 8200}, {1, 3, 16384}, {300, 2, 40},  {2, 1500, 16},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Vocabularies: rows that begin anywhere, rows beyond shared memory. */
static const struct train_shape wide[] = {{2, 3, 50257}, {2, 2, 128256}};

static void check_shape(struct norms_gpu *g, enum vs_train_dtype dtype, const struct train_case *c, const struct train_shape *shape)
{
    for (int variant = 0; variant < c->variants; variant++)
        for (size_t offset = 0; offset < 2; offset++) {
            struct train_test t = {.g = *g, .dtype = dtype, .shape = *shape, .variant = variant, .offset = offset};
            t.random = (uint64_t)variant * 1000 + shape->width;
            train_check(&t, c);
            memcpy(g->trouble, t.g.trouble, sizeof g->trouble);
        }
}

static const enum vs_train_dtype dtypes[] = {VS_TRAIN_fp32, VS_TRAIN_tf32, VS_TRAIN_bf16};

START_TEST(test_operations_are_those_of_the_cpu)
{
    enum vs_train_dtype dtype = dtypes[_i];
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    for (size_t i = 0; i < train_case_count; i++) {
        if (dtype == VS_TRAIN_tf32 && strcmp(train_cases[i].name, "product") != 0) continue; /* the others do not know of it */
        for (size_t s = 0; s < SHAPES; s++) check_shape(&g, dtype, &train_cases[i], &shapes[s]);
        if (!strcmp(train_cases[i].name, "loss"))
            for (size_t s = 0; s < sizeof wide / sizeof *wide; s++) check_shape(&g, dtype, &train_cases[i], &wide[s]);
    }
    norms_gpu_close(&g);
}
END_TEST

/* Offsets beyond 32 bits: the last elements of 4 GiB. */
START_TEST(test_more_than_two_to_the_31_elements)
{
    enum { LAST = 8 };
    const size_t count = ((size_t)1 << 31) + 5 * LAST, bytes = count * 2;
    static const float two = 2;
    uint16_t ones[LAST];
    void *x, *c;
    struct norms_gpu g;
    if (!norms_gpu_open(&g)) return;
    struct vs_train_on on = {VS_TRAIN_bf16, g.context, NULL};
    ck_assert_msg(g.device->alloc(bytes, &x) == 0, "this test needs 4 GiB of GPU memory: %s", g.device->last_error());
    ck_assert_int_eq(g.device->alloc(sizeof two, &c), 0);
    for (int i = 0; i < LAST; i++) ones[i] = 0x3f80;
    ck_assert_int_eq(g.device->upload(c, &two, sizeof two), 0);
    ck_assert_int_eq(g.device->train->zero(&on, x, bytes), 0);
    ck_assert_int_eq(g.device->wait(NULL), 0);
    ck_assert_int_eq(g.device->upload((char *)x + bytes - sizeof ones, ones, sizeof ones), 0);
    ck_assert_int_eq(g.device->train->scale_samples(&on, x, c, 1, count), 0);
    ck_assert_int_eq(g.device->wait(NULL), 0);
    ck_assert_int_eq(g.device->download(ones, (char *)x + bytes - sizeof ones, sizeof ones), 0);
    for (int i = 0; i < LAST; i++) ck_assert_uint_eq(ones[i], 0x4000);
    g.device->release(x);
    g.device->release(c);
    norms_gpu_close(&g);
}
END_TEST

START_TEST(test_wrong_arguments_are_refused)
{
    struct norms_gpu g;
    void *x;
    if (!norms_gpu_open(&g)) return;
    const struct vs_train_ops *ops = g.device->train;
    struct vs_train_on on = {VS_TRAIN_fp32, g.context, NULL}, wide_type = {VS_TRAIN_fp64, g.context, NULL};
    ck_assert_int_eq(g.device->alloc(1 << 20, &x), 0);
    ck_assert_int_eq(ops->zero(&on, x, 0), -EINVAL);
    ck_assert_int_eq(ops->zero(&wide_type, x, 8), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(g.device->last_error(), "use fp32"));
    ck_assert_int_eq(ops->bias_relu(&on, x, NULL, 4, 4), -EINVAL);
    ck_assert_int_eq(ops->swiglu(&on, x, 0, 4, x), -EINVAL);
    ck_assert_int_eq(ops->rotate(&on, x, 4, 4, 8, 1, 5, 10000, false), -EINVAL);
    ck_assert_int_eq(ops->product(&on, NULL), -EINVAL);
    struct vs_train_product p = {.m = 4, .n = 4, .k = 4, .x = x, .y = x, .out = (char *)x + 4096, .ldx = 4, .ldy = 4, .ldo = 3, .alpha = 1};
    ck_assert_int_eq(ops->product(&on, &p), -EINVAL);
    p.ldo = (size_t)1 << 32;
    ck_assert_int_eq(ops->product(&on, &p), -EOVERFLOW);
    struct vs_train_norm_forward norm = {.rows = 1, .width = 40000, .x = x, .out = x, .gamma = x, .mean_rstd = x};
    ck_assert_int_eq(ops->norm_forward(&on, &norm), -EOVERFLOW);
    norm.width = 16, norm.y = x;
    ck_assert_int_eq(ops->norm_forward(&on, &norm), -EINVAL);
    struct vs_train_update update = {.optimizer = VS_TRAIN_OPT_adam, .count = 4, .weight = x, .gradient = x, .step = 1};
    ck_assert_int_eq(ops->update(&on, &update), -EINVAL);
    ck_assert_int_eq(ops->relu_backward(&on, x, x, (size_t)1 << 60, 1), -EOVERFLOW);
    g.device->release(x);
    norms_gpu_close(&g);
}
END_TEST

Suite *make_train_ops_gpu_suite(void)
{
    Suite *s = suite_create("train_ops_gpu");
    TCase *c = tcase_create("train_ops_gpu");
    tcase_set_tags(c, "gpu");
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, test_operations_are_those_of_the_cpu, 0, sizeof dtypes / sizeof *dtypes);
    tcase_add_test(c, test_more_than_two_to_the_31_elements);
    tcase_add_test(c, test_wrong_arguments_are_refused);
    suite_add_tcase(s, c);
    return s;
}
