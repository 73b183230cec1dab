/* SPDX-License-Identifier: MIT
 *
 * train_ops_case.c: runs one operation on both sides and compares all its buffers, inputs and fences included. It knows none of
 * the operations.
 */
#include "train_ops_case.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FENCE = 256, FENCE_BYTE = 0x5a };

static size_t gpu_bytes(const struct train_test *t, enum train_type type)
{
    switch (type) {
    case TRAIN_E: return vs_train_element_bytes(t->dtype);
    case TRAIN_W: return vs_train_wide_bytes(t->dtype);
    case TRAIN_FLOAT:
    case TRAIN_INT: return 4;
    default: return 8;
    }
}

static size_t cpu_bytes(enum train_type type)
{
    return type == TRAIN_FLOAT || type == TRAIN_INT ? 4 : 8;
}

static enum vs_norms_dtype element_of(const struct train_test *t)
{
    return t->dtype == VS_TRAIN_bf16 ? VS_NORMS_bf16 : t->dtype == VS_TRAIN_tf32 ? VS_NORMS_tf32 : VS_NORMS_fp32;
}

double *train_array(struct train_test *t, enum train_type type, size_t count)
{
    struct train_array *a = &t->arrays[t->count++];
    ck_assert_uint_le(t->count, TRAIN_ARRAYS);
    *a = (struct train_array){.type = type, .count = count, .values = calloc(count, sizeof(double))};
    ck_assert_ptr_nonnull(a->values);
    if (type == TRAIN_LONG || type == TRAIN_INT) return a->values;
    for (size_t i = 0; i < count; i++)
        a->values[i] = (double)norms_round(type == TRAIN_E ? element_of(t) : VS_NORMS_fp32, norms_random(&t->random));
    return a->values;
}

void train_coefficients(struct train_test *t, double *data, size_t of_sample)
{
    double *c = train_array(t, TRAIN_FLOAT, t->shape.B);
    for (size_t b = 0; b < t->shape.B; b++) c[b] = fabs(c[b]) / 2 + 0.25;
    if (t->shape.B == 1) return;
    c[1] = 0;
    data[of_sample] = (double)NAN;
}

/* Writes values as one side keeps them. */
static void encode(const struct train_test *t, const struct train_array *a, bool gpu, void *to)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->type == TRAIN_LONG)
            ((int64_t *)to)[i] = (int64_t)a->values[i];
        else if (a->type == TRAIN_INT)
            ((int32_t *)to)[i] = (int32_t)a->values[i];
        else if ((gpu ? gpu_bytes(t, a->type) : cpu_bytes(a->type)) == 8)
            ((double *)to)[i] = a->values[i];
        else
            norms_put(gpu && a->type == TRAIN_E ? element_of(t) : VS_NORMS_fp32, to, i, (float)a->values[i]);
    }
}

static double decode(const struct train_test *t, const struct train_array *a, bool gpu, const void *from, size_t i)
{
    if (a->type == TRAIN_LONG) return (double)((const int64_t *)from)[i];
    if (a->type == TRAIN_INT) return (double)((const int32_t *)from)[i];
    if ((gpu ? gpu_bytes(t, a->type) : cpu_bytes(a->type)) == 8) return ((const double *)from)[i];
    return norms_get(gpu && a->type == TRAIN_E ? element_of(t) : VS_NORMS_fp32, from, i);
}

static size_t block_bytes(const struct train_test *t, const struct train_array *a)
{
    return 2 * FENCE + (a->count + t->offset) * gpu_bytes(t, a->type);
}

/* The bytes of the GPU's block as they are before a run. */
static char *image_of(const struct train_test *t, const struct train_array *a)
{
    char *image = malloc(block_bytes(t, a));
    ck_assert_ptr_nonnull(image);
    memset(image, FENCE_BYTE, block_bytes(t, a));
    encode(t, a, true, image + FENCE + t->offset * gpu_bytes(t, a->type));
    return image;
}

static int replayed(struct train_test *t, const struct train_case *c, struct train_side *s)
{
    const struct vs_device *device = t->g.device;
    void *graph = NULL;
    int err = device->capture(t->g.context, &s->on.stream);
    if (err) return err;
    int queued = c->run(t, s);
    err = device->captured(t->g.context, &graph);
    if (queued) err = queued;
    if (!err) err = device->replay(t->g.context, graph, s->on.stream);
    if (!err) err = device->wait(s->on.stream);
    device->forget(graph);
    return err;
}

/* What was in the GPU's blocks after the run, one block per array. */
static char **run_on_gpu(struct train_test *t, const struct train_case *c, bool as_graph)
{
    struct train_side s = {.gpu = true, .ops = t->g.device->train, .on = {t->dtype, t->g.context, NULL}};
    char **after = calloc(TRAIN_ARRAYS, sizeof *after), end[FENCE], fence[FENCE];
    size_t scratch = c->scratch ? c->scratch(t, &s) : 0;
    ck_assert_ptr_nonnull(after);
    memset(fence, FENCE_BYTE, FENCE);
    for (size_t i = 0; i < t->count; i++) {
        char *image = image_of(t, &t->arrays[i]);
        ck_assert_int_eq(t->g.device->upload(t->arrays[i].block, image, block_bytes(t, &t->arrays[i])), 0);
        free(image);
        s.at[i] = t->arrays[i].gpu;
    }
    ck_assert_int_eq(t->g.device->alloc(scratch + FENCE, &s.scratch), 0);
    ck_assert_int_eq(t->g.device->upload((char *)s.scratch + scratch, fence, FENCE), 0);
    int err = as_graph ? replayed(t, c, &s) : c->run(t, &s);
    if (!err) err = t->g.device->wait(NULL);
    if (err) norms_trouble(&t->g, "%s, variant %d: %d, %s", c->name, t->variant, err, t->g.device->last_error());
    ck_assert_msg(err != -EIO, "%s, variant %d: %s", c->name, t->variant, t->g.device->last_error()); /* nothing works after it */
    ck_assert_int_eq(t->g.device->download(end, (char *)s.scratch + scratch, FENCE), 0);
    if (memcmp(end, fence, FENCE) != 0) norms_trouble(&t->g, "%s, variant %d: wrote behind its workspace", c->name, t->variant);
    for (size_t i = 0; i < t->count; i++) {
        after[i] = malloc(block_bytes(t, &t->arrays[i]));
        ck_assert_ptr_nonnull(after[i]);
        ck_assert_int_eq(t->g.device->download(after[i], t->arrays[i].block, block_bytes(t, &t->arrays[i])), 0);
    }
    t->g.device->release(s.scratch);
    return after;
}

static void run_on_cpu(struct train_test *t, const struct train_case *c)
{
    struct train_side s = {.ops = &vs_train_cpu, .on = {VS_TRAIN_fp64, NULL, NULL}};
    ck_assert_int_eq(vs_device_cpu()->open(&s.on.context), 0);
    for (size_t i = 0; i < t->count; i++) s.at[i] = t->arrays[i].cpu;
    s.scratch = calloc(1, (c->scratch ? c->scratch(t, &s) : 0) + 1);
    ck_assert_ptr_nonnull(s.scratch);
    int err = c->run(t, &s);
    if (err) norms_trouble(&t->g, "%s, variant %d: the CPU says %d", c->name, t->variant, err);
    free(s.scratch);
    vs_device_cpu()->close(s.on.context);
}

/* The size of an array's values: their root mean square. */
static double size_of(const struct train_test *t, const struct train_array *a)
{
    double sum = 0;
    size_t finite = 0;
    for (size_t i = 0; i < a->count; i++) {
        double v = decode(t, a, false, a->cpu, i);
        if (isfinite(v)) sum += v * v, finite++;
    }
    return finite ? sqrt(sum / (double)finite) : 0;
}

static void compare(struct train_test *t, const struct train_case *c, size_t array, const char *block)
{
    const struct train_array *a = &t->arrays[array];
    const char *data = block + FENCE + t->offset * gpu_bytes(t, a->type), *end = data + a->count * gpu_bytes(t, a->type);
    bool rounded = t->dtype == VS_TRAIN_bf16 && a->type == TRAIN_E; /* once, at the end */
    bool noisy = !strcmp(c->name, "update"); /* adam divides small gradients, noise's rounding among them, by themselves */
    double size = size_of(t, a), bound = rounded ? 0x1p-8 : noisy ? 1e-4 : 1e-5;
    for (const char *p = block; p < block + block_bytes(t, a); p = p + 1 == data ? end : p + 1)
        if (*p != FENCE_BYTE) {
            norms_trouble(&t->g, "%s, variant %d: wrote outside buffer %zu", c->name, t->variant, array);
            return;
        }
    for (size_t i = 0; i < a->count; i++) {
        double got = decode(t, a, true, data, i), want = decode(t, a, false, a->cpu, i);
        if (got == want || (isnan(got) && isnan(want)) || fabs(got - want) <= bound * (fabs(want) + size)) continue;
        norms_trouble(&t->g, "%s %s, variant %d, B=%zu T=%zu width=%zu offset=%zu: buffer %zu[%zu] %.9g, not %.9g", c->name,
                      vs_train_dtype_name(t->dtype), t->variant, t->shape.B, t->shape.T, t->shape.width, t->offset, array, i, got, want);
        return;
    }
}

static void place(struct train_test *t)
{
    for (size_t i = 0; i < t->count; i++) {
        struct train_array *a = &t->arrays[i];
        void *block;
        ck_assert_msg(t->g.device->alloc(block_bytes(t, a), &block) == 0, "%s", t->g.device->last_error());
        a->block = block;
        a->gpu = a->block + FENCE + t->offset * gpu_bytes(t, a->type);
        a->cpu = calloc(a->count, cpu_bytes(a->type));
        ck_assert_ptr_nonnull(a->cpu);
        encode(t, a, false, a->cpu);
    }
}

void train_check(struct train_test *t, const struct train_case *c)
{
    t->count = 0;
    c->make(t);
    place(t);
    run_on_cpu(t, c);
    char **first = run_on_gpu(t, c, false), **again = run_on_gpu(t, c, true);
    for (size_t i = 0; i < t->count; i++) {
        struct train_array *a = &t->arrays[i];
        compare(t, c, i, first[i]);
        if (memcmp(first[i], again[i], block_bytes(t, a)) != 0)
            norms_trouble(&t->g, "%s, variant %d: buffer %zu is not the same every time", c->name, t->variant, i);
        t->g.device->release(a->block);
        free(a->cpu);
        free(a->values);
        free(first[i]);
        free(again[i]);
    }
    free(first);
    free(again);
}
