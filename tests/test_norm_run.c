/* SPDX-License-Identifier: MIT
 *
 * test_norm_run.c: one algorithm of the norms workload on a device that keeps work and replays it, as a GPU does: a CPU whose
 * calls are written down between capture and captured. Every set of inputs is used, and results that are not those of the first
 * call, in whatever way, are found. It measures no time.
 */
#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/norm_run.h"

Suite *make_norm_run_suite(void);

/* What the device does wrong. */
enum fault { NONE, REPLAYS_NOTHING, LATER_BITS, NO_DTYPE, NO_CAPTURE, NAN_IN_ALL, FINITE_IN_ALL, FAULTS };

static struct {
    enum fault fault;
    bool capturing;
    size_t count, runs, replays;
    struct {
        const struct vs_norms_algorithm *algorithm;
        struct vs_norms_call call;
        struct vs_norms_layer layers[16];
    } kept[64];
    size_t available;
} gpu;

static int run_now(const struct vs_norms_algorithm *real, const struct vs_norms_call *call)
{
    int err = real->run(call);
    if (gpu.runs++ && gpu.fault == LATER_BITS) call->layers[0].n[0] *= 1 + 1e-15;
    for (size_t b = 0; b < call->layers[0].B; b++) {
        if (gpu.fault == NAN_IN_ALL) call->layers[0].n[b] = (double)NAN;
        if (gpu.fault == FINITE_IN_ALL) call->layers[0].n[b] = 1;
    }
    return err;
}

static int run(const struct vs_norms_call *call)
{
    const struct vs_norms_algorithm *real = vs_norms_cpu("gram");
    if (gpu.fault == NO_DTYPE) return -ENOTSUP;
    if (!gpu.capturing) return run_now(real, call);
    if (gpu.fault == NO_CAPTURE) return -EIO;
    ck_assert_ptr_eq(call->stream, &gpu);
    ck_assert_uint_lt(gpu.count, sizeof gpu.kept / sizeof *gpu.kept);
    gpu.kept[gpu.count].algorithm = real;
    gpu.kept[gpu.count].call = *call;
    memcpy(gpu.kept[gpu.count].layers, call->layers, call->count * sizeof *call->layers);
    gpu.kept[gpu.count].call.layers = gpu.kept[gpu.count].layers;
    gpu.count++;
    return 0;
}

static size_t workspace_bytes(const struct vs_norms_call *call)
{
    return vs_norms_cpu("gram")->workspace_bytes(call);
}

static const struct vs_norms_algorithm *norms(const char *name)
{
    static const struct vs_norms_algorithm gram = {"gram", workspace_bytes, run};
    return strcmp(name, "gram") ? vs_norms_cpu(name) : &gram;
}

static int capture(void *context, void **stream)
{
    (void)context;
    gpu.capturing = true;
    gpu.count = 0;
    *stream = &gpu;
    return 0;
}

static int captured(void *context, void **graph)
{
    (void)context;
    ck_assert(gpu.capturing);
    gpu.capturing = false;
    *graph = &gpu;
    return 0;
}

static int replay(void *context, void *graph, void *stream)
{
    (void)context, (void)stream;
    ck_assert_ptr_eq(graph, &gpu);
    gpu.replays++;
    for (size_t i = 0; gpu.fault != REPLAYS_NOTHING && i < gpu.count; i++)
        run_now(gpu.kept[i].algorithm, &gpu.kept[i].call);
    return 0;
}

static void forget(void *graph)
{
    (void)graph;
}

static int free_bytes(size_t *available)
{
    *available = gpu.available;
    return 0;
}

static struct vs_device device_of(enum fault fault, size_t available)
{
    struct vs_device d = *vs_device_cpu();
    memset(&gpu, 0, sizeof gpu);
    gpu.fault = fault;
    gpu.available = available;
    d.norms = norms;
    d.capture = capture;
    d.captured = captured;
    d.replay = replay;
    d.forget = forget;
    d.free_bytes = free_bytes;
    return d;
}

/* tiny, B=2 T=20, grouped or each; the outcome of one run with the oracle. */
static struct vs_norm_outcome run_on(const struct vs_device *device, enum vs_norm_grouping grouping,
                                     enum vs_norm_poison poison, size_t *sets)
{
    struct vs_norm_list list;
    struct vs_norm_case c;
    struct vs_norm_outcome out;
    void *context = NULL;
    const struct vs_norm_inputs inputs = {3, poison, true};
    const struct vs_norm_how how = {"gram", grouping, 4, 1, 1e-5, true, true};
    ck_assert(vs_norm_list_preset(&list, "tiny", 2, 20));
    ck_assert_int_eq(device->open(&context), 0);
    ck_assert_msg(vs_norm_case_open(&c, &list, VS_NORMS_fp32, device, context, &inputs) == 0, "%s", c.trouble);
    ck_assert_ptr_nonnull(c.oracle);
    vs_norm_run(&c, &how, &out);
    *sets = c.sets;
    vs_norm_case_close(&c);
    device->close(context);
    return out;
}

#define SET_BYTES                                                                                                      \
    ((size_t)2 * 20 * 4 * 2 * (32 * 2 + 128 + 32 * 4 + 128)) /* of tiny: rows, float32, blocks, columns of A and G */

/* 10 layers; room for three sets. First calls, four samples, then a warm replay and four samples. */
START_TEST(test_every_set_is_run_and_kept)
{
    struct vs_device d = device_of(NONE, 7 * SET_BYTES);
    size_t sets, calls = _i == VS_NORM_each ? 10 : 1;
    struct vs_norm_outcome o = run_on(&d, (enum vs_norm_grouping)_i, VS_NORM_CLEAN, &sets);
    ck_assert_msg(o.status == VS_NORM_ok && !o.wrong, "%s", o.reason);
    ck_assert_uint_eq(sets, 3);
    ck_assert_uint_eq(gpu.count, 3 * calls);
    ck_assert_uint_eq(gpu.replays, 5);
    ck_assert_uint_eq(gpu.runs, 3 * calls * (1 + 4 + 5));
    for (size_t i = calls; i < gpu.count; i++)
        ck_assert_ptr_ne(gpu.kept[i].layers[0].A, gpu.kept[i - calls].layers[0].A);
    ck_assert_uint_eq(o.samples, 4);
    ck_assert(o.median_ms > 0 && o.min_ms <= o.median_ms && o.call_ms > 0);
    ck_assert(o.error <= 1e-5 && o.kappa >= 1 && o.recomputed == 0);
    ck_assert_int_eq(o.temporary_bytes, -1); /* a recorder's to say */
    ck_assert_str_eq(o.range,
                     _i == VS_NORM_each ? "norms gram fp32 2x20 tiny each" : "norms gram fp32 2x20 tiny grouped");
}
END_TEST

START_TEST(test_little_memory_gives_one_set)
{
    struct vs_device d = device_of(NONE, 3 * SET_BYTES);
    size_t sets;
    struct vs_norm_outcome o = run_on(&d, VS_NORM_grouped, VS_NORM_CLEAN, &sets);
    ck_assert_uint_eq(sets, 1);
    ck_assert_msg(o.status == VS_NORM_ok, "%s", o.reason);
}
END_TEST

static const struct {
    enum fault fault;
    enum vs_norm_poison poison;
    enum vs_norm_status status;
    bool wrong;
    const char *says;
} faults[] = {
    {REPLAYS_NOTHING, VS_NORM_CLEAN, VS_NORM_skipped, true, "other bits"},
    {LATER_BITS, VS_NORM_CLEAN, VS_NORM_skipped, true, "other bits"},
    {NO_DTYPE, VS_NORM_CLEAN, VS_NORM_skipped, true, "element type"},
    {NO_CAPTURE, VS_NORM_CLEAN, VS_NORM_skipped, true, ""},
    {NAN_IN_ALL, VS_NORM_CLEAN, VS_NORM_nonfinite, true, "sample 0 of layer 0 has finite inputs"},
    {NAN_IN_ALL, VS_NORM_NAN, VS_NORM_nonfinite, true, "sample 1 of layer 0 has finite inputs"},
    {FINITE_IN_ALL, VS_NORM_INF, VS_NORM_nonfinite, true,
     "sample 0 of layer 0 has a NaN or Inf in its input and a finite norm"},
    {FINITE_IN_ALL, VS_NORM_CLEAN, VS_NORM_beyond_bound, true, "allowed 1e-05"},
    {NONE, VS_NORM_NAN, VS_NORM_nonfinite, false, "as --poison asks"},
};

START_TEST(test_faults_are_found)
{
    struct vs_device d = device_of(faults[_i].fault, 5 * SET_BYTES);
    size_t sets;
    struct vs_norm_outcome o = run_on(&d, VS_NORM_grouped, faults[_i].poison, &sets);
    ck_assert_msg(o.status == faults[_i].status && o.wrong == faults[_i].wrong, "%s: %s", vs_norm_status_name(o.status),
                  o.reason);
    ck_assert_msg(strstr(o.reason, faults[_i].says), "'%s' is not in: %s", faults[_i].says, o.reason);
    ck_assert(!gpu.capturing);
}
END_TEST

/* Which samples are poisoned: those of the layers that share the first one's input, and of no other. */
START_TEST(test_shared_inputs_are_shared)
{
    struct vs_device d = device_of(NONE, 5 * SET_BYTES);
    const struct vs_norm_inputs inputs = {1, VS_NORM_NAN, false};
    struct vs_norm_list list;
    struct vs_norm_case c;
    ck_assert(vs_norm_list_preset(&list, "tiny", 2, 20));
    ck_assert_int_eq(vs_norm_case_open(&c, &list, VS_NORMS_bf16, &d, NULL, &inputs), 0);
    ck_assert_uint_eq(vs_norms_shared(c.layers, list.count), 3);
    for (size_t i = 0; i < c.samples; i++) ck_assert_int_eq(vs_norm_case_poisoned(&c, i), i < 6 && i % 2 == 0);
    c.poison = VS_NORM_INF_G; /* nothing shares G */
    for (size_t i = 0; i < c.samples; i++) ck_assert_int_eq(vs_norm_case_poisoned(&c, i), i == 0);
    vs_norm_case_close(&c);
}
END_TEST

/* B=1 of d and p 8, on the CPU itself. */
static struct vs_norm_outcome run_one(const char *algorithm, size_t T, bool oracle, bool check)
{
    const struct vs_device *cpu = vs_device_cpu();
    const struct vs_norm_inputs inputs = {1, VS_NORM_CLEAN, oracle};
    const struct vs_norm_how how = {algorithm, VS_NORM_one, 3, 1, 1e-5, check, false};
    struct vs_norm_list list;
    struct vs_norm_case c;
    struct vs_norm_outcome out;
    void *context = NULL;
    vs_norm_list_one(&list, 1, T, 8, 8);
    ck_assert_int_eq(cpu->open(&context), 0);
    ck_assert_int_eq(vs_norm_case_open(&c, &list, VS_NORMS_fp32, cpu, context, &inputs), 0);
    vs_norm_run(&c, &how, &out);
    vs_norm_case_close(&c);
    cpu->close(context);
    return out;
}

START_TEST(test_without_an_oracle_nothing_is_ok)
{
    struct vs_norm_outcome o = run_one("gram", 20, false, _i);
    ck_assert_str_eq(vs_norm_status_name(o.status), "unchecked");
    ck_assert(o.wrong == _i && isnan(o.error) && o.median_ms > 0);
}
END_TEST

/* 8 MB of matrices fit into what the heap has free, page by page there already. */
START_TEST(test_memory_the_heap_had_is_counted)
{
    size_t bytes = (size_t)24 << 20;
    /* The most there can be: what is smaller comes from the heap, and stays there. A sanitizer's heap is another one. */
    if (!mallopt(M_MMAP_THRESHOLD, 32 << 20) || !mallopt(M_TRIM_THRESHOLD, 64 << 20)) return;
    volatile char *all = malloc(bytes);
    ck_assert_ptr_nonnull((char *)all);
    for (size_t i = 0; i < bytes; i += 4096) all[i] = 1;
    free((char *)all);
    struct vs_norm_outcome o = run_one("gram_full", 1000, true, true);
    ck_assert_msg(o.status == VS_NORM_ok, "%s", o.reason);
    if (o.temporary_bytes >= 0) ck_assert_int_ge(o.temporary_bytes, 7 << 20); /* -1: cannot be told here */
}
END_TEST

Suite *make_norm_run_suite(void)
{
    Suite *s = suite_create("norm_run");
    TCase *c = tcase_create("norm_run");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_every_set_is_run_and_kept, VS_NORM_grouped, VS_NORM_each + 1);
    tcase_add_test(c, test_little_memory_gives_one_set);
    tcase_add_loop_test(c, test_faults_are_found, 0, sizeof faults / sizeof *faults);
    tcase_add_test(c, test_shared_inputs_are_shared);
    tcase_add_loop_test(c, test_without_an_oracle_nothing_is_ok, 0, 2);
    tcase_add_test(c, test_memory_the_heap_had_is_counted);
    suite_add_tcase(s, c);
    return s;
}
