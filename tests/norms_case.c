/* SPDX-License-Identifier: MIT
 *
 * norms_case.c: inputs and fenced calls for the tests of the GPU's norms. It judges no norm.
 */
#include "norms_case.h"

#include <check.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FENCE = 32 /* doubles */, FENCE_BYTES = FENCE * 8, FENCE_BYTE = 0x5a };

bool norms_gpu_open(struct norms_gpu *g)
{
    char why[256];
    memset(g, 0, sizeof *g);
    g->device = vs_device_cuda(why, sizeof why);
    if (!g->device) {
        printf("norms_gpu: skipped: %s\n", why);
        return false;
    }
    ck_assert_msg(g->device->open(&g->context) == 0, "open: %s", g->device->last_error());
    return true;
}

void norms_gpu_close(struct norms_gpu *g)
{
    g->device->release(g->workspace);
    g->device->close(g->context);
    ck_assert_msg(!*g->trouble, "\n%.3000s", g->trouble); /* Check aborts on a message of 4 KiB */
}

void norms_trouble(struct norms_gpu *g, const char *format, ...)
{
    size_t used = strlen(g->trouble);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(g->trouble + used, sizeof g->trouble - used, format, arguments);
    va_end(arguments);
    used = strlen(g->trouble);
    if (used + 1 < sizeof g->trouble) strcpy(g->trouble + used, "\n");
}

double norms_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(*state >> 40) / 8388608.0 - 1.0;
}

static float keep_bits(float value, int dropped) /* to nearest even, of the 23 bits after the point */
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits += ((1u << dropped) >> 1) - 1 + ((bits >> dropped) & 1);
    bits &= ~((1u << dropped) - 1);
    memcpy(&value, &bits, 4);
    return value;
}

/* Half precision by hand: not every compiler has a type for it. 10 bits after the point, exponents from -14 on. */
static float round_half(float value)
{
    int exponent = value == 0 ? 0 : ilogbf(value);
    int dropped = 10 - (exponent < -14 ? -14 : exponent);
    return ldexpf(rintf(ldexpf(value, dropped)), -dropped);
}

static uint16_t half_bits(float value) /* of a value that it can hold */
{
    unsigned sign = signbit(value) ? 0x8000 : 0;
    float size = fabsf(value);
    if (!isfinite(value)) return (uint16_t)(sign | (isnan(value) ? 0x7e00 : 0x7c00));
    if (size < 0x1p-14f) return (uint16_t)(sign | (unsigned)(size * 0x1p24f));
    int exponent = ilogbf(size);
    return (uint16_t)(sign | (((unsigned)(exponent + 14) << 10) + (unsigned)ldexpf(size, 10 - exponent)));
}

static float from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023, bits;
    float value;
    if (exponent == 0) return (sign ? -1 : 1) * (float)fraction * 0x1p-24f;
    bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &bits, 4);
    return value;
}

float norms_round(enum vs_norms_dtype dtype, double value)
{
    float v = (float)value;
    if (!isfinite(v)) return v;
    switch (dtype) {
    case VS_NORMS_bf16: return keep_bits(v, 16);
    case VS_NORMS_tf32: return keep_bits(v, 13);
    case VS_NORMS_fp16: return round_half(v);
    default: return v;
    }
}

double norms_get(enum vs_norms_dtype dtype, const void *X, size_t i)
{
    if (dtype == VS_NORMS_fp16) return (double)from_half(((const uint16_t *)X)[i]);
    if (dtype != VS_NORMS_bf16) return (double)((const float *)X)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)X)[i] << 16;
    float v;
    memcpy(&v, &bits, 4);
    return (double)v;
}

void norms_put(enum vs_norms_dtype dtype, void *X, size_t i, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (dtype == VS_NORMS_fp16)
        ((uint16_t *)X)[i] = half_bits(value);
    else if (dtype == VS_NORMS_bf16)
        ((uint16_t *)X)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)X)[i] = value;
}

static void *randomized(enum vs_norms_dtype dtype, size_t count, bool representable, uint64_t *state)
{
    void *X = malloc(count * vs_norms_dtype_bytes(dtype));
    ck_assert_ptr_nonnull(X);
    for (size_t i = 0; i < count; i++) {
        double v = norms_random(state);
        norms_put(dtype, X, i, representable ? norms_round(dtype, v) : (float)v);
    }
    return X;
}

void norms_input_make(enum vs_norms_dtype dtype, const struct norms_shape *s, uint64_t seed, struct norms_input *in)
{
    /* With few entries the roundings of TF32 do not average out, and no algorithm can meet the bound but by luck. */
    bool representable = dtype != VS_NORMS_tf32 || s->d * s->p < 4096;
    uint64_t state = seed * 977 + s->T;
    memset(in, 0, sizeof *in);
    in->host = in->gpu = (struct vs_norms_layer){.B = s->B, .T = s->T, .d = s->d, .p = s->p};
    in->host.A = randomized(dtype, s->B * s->T * s->d, representable, &state);
    in->host.G = randomized(dtype, s->B * s->T * s->p, representable, &state);
}

static void *uploaded(struct norms_gpu *g, const void *from, size_t bytes, size_t offset_bytes)
{
    void *memory;
    ck_assert_msg(g->device->alloc(bytes + offset_bytes, &memory) == 0, "%zu bytes: %s", bytes, g->device->last_error());
    ck_assert_msg(g->device->upload((char *)memory + offset_bytes, from, bytes) == 0, "%s", g->device->last_error());
    return memory;
}

void norms_input_upload(struct norms_gpu *g, enum vs_norms_dtype dtype, size_t offset, struct norms_input *in)
{
    const struct vs_norms_layer *s = &in->host;
    size_t element = vs_norms_dtype_bytes(dtype);
    in->memory[0] = uploaded(g, s->A, s->B * s->T * s->d * element, offset * element);
    in->memory[1] = uploaded(g, s->G, s->B * s->T * s->p * element, offset * element);
    in->gpu.A = (char *)in->memory[0] + offset * element;
    in->gpu.G = (char *)in->memory[1] + offset * element;
}

void norms_input_drop(struct norms_gpu *g, struct norms_input *in)
{
    for (int i = 0; i < 2; i++) g->device->release(in->memory[i]);
    free((void *)in->host.A);
    free((void *)in->host.G);
}

/* ---- a call ---- */

/* The outputs in one block: n of every layer, then absolute of every layer, a fence before, between and behind. */
struct outputs {
    double *host, *gpu;
    unsigned *recomputed;
    size_t values;
};

static void outputs_make(struct norms_gpu *g, struct vs_norms_layer *layers, size_t count, struct outputs *o)
{
    size_t at = FENCE;
    o->values = FENCE + 1;
    for (size_t i = 0; i < count; i++) o->values += 2 * (layers[i].B + FENCE);
    o->host = malloc(o->values * sizeof(double));
    ck_assert_ptr_nonnull(o->host);
    memset(o->host, FENCE_BYTE, o->values * sizeof(double));
    o->gpu = uploaded(g, o->host, o->values * sizeof(double), 0);
    o->recomputed = (unsigned *)(o->gpu + o->values - 1);
    for (size_t i = 0; i < count; i++, at += layers[i - 1].B + FENCE) layers[i].n = o->gpu + at;
    for (size_t i = 0; i < count; i++, at += layers[i - 1].B + FENCE) layers[i].absolute = o->gpu + at;
}

static bool intact(const void *memory, size_t bytes)
{
    const unsigned char *c = memory;
    while (bytes && *c == FENCE_BYTE) c++, bytes--;
    return bytes == 0;
}

static void outputs_read(struct norms_gpu *g, const char *name, const struct vs_norms_layer *layers, size_t count,
                         struct outputs *o, struct norms_answer *answer)
{
    size_t at = 0, to = 0;
    ck_assert_msg(g->device->download(o->host, o->gpu, o->values * sizeof(double)) == 0, "%s: %s", name, g->device->last_error());
    for (size_t i = 0; i < count; i++) answer->samples += layers[i].B;
    answer->n = malloc(2 * answer->samples * sizeof(double));
    ck_assert_ptr_nonnull(answer->n);
    answer->absolute = answer->n + answer->samples;
    for (size_t i = 0; i < 2 * count; i++) {
        const struct vs_norms_layer *l = &layers[i % count];
        if (!intact(o->host + at, FENCE_BYTES)) norms_trouble(g, "%s: wrote outside its outputs, layer %zu", name, i % count);
        memcpy(answer->n + to, o->host + at + FENCE, l->B * sizeof(double));
        at += FENCE + l->B, to += l->B;
    }
    if (!intact(o->host + at, FENCE_BYTES)) norms_trouble(g, "%s: wrote behind its outputs", name);
    memcpy(&answer->recomputed, o->host + o->values - 1, sizeof answer->recomputed);
    free(o->host);
    g->device->release(o->gpu);
}

/* Only what was never there before is cleared. */
static void workspace_grow(struct norms_gpu *g, size_t bytes)
{
    if (bytes <= g->workspace_bytes) return;
    g->device->release(g->workspace);
    g->workspace_bytes = bytes;
    ck_assert_msg(g->device->alloc(bytes, (void **)&g->workspace) == 0, "%zu bytes of workspace: %s", bytes,
                  g->device->last_error());
    ck_assert_int_eq(g->device->clear(g->workspace, bytes), 0);
}

static int run_replayed(struct norms_gpu *g, const struct vs_norms_algorithm *a, struct vs_norms_call *call)
{
    const struct vs_device *device = g->device;
    void *graph = NULL;
    int err = device->capture(g->context, &call->stream);
    if (err) return err;
    int queued = a->run(call);
    err = device->captured(g->context, &graph);
    memset((void *)call->layers, 0xff, call->count * sizeof *call->layers); /* the table may go before the replays */
    if (queued) err = queued;
    for (int i = 0; !err && i < 3; i++) err = device->replay(g->context, graph, call->stream);
    if (!err) err = device->wait(call->stream);
    device->forget(graph);
    return err;
}

int norms_gpu_run(struct norms_gpu *g, const char *name, enum vs_norms_dtype dtype, const struct vs_norms_layer *layers,
                  size_t count, size_t offered, enum norms_how how, struct norms_answer *answer)
{
    const struct vs_norms_algorithm *a = g->device->norms(name);
    struct vs_norms_layer *mine = malloc(count * sizeof *mine);
    struct outputs o;
    unsigned char fence[FENCE_BYTES], before[FENCE_BYTES];
    ck_assert(a && mine);
    memset(answer, 0, sizeof *answer);
    memcpy(mine, layers, count * sizeof *mine);
    outputs_make(g, mine, count, &o);
    struct vs_norms_call call = {.dtype = dtype, .layers = mine, .count = count, .recomputed = o.recomputed, .context = g->context};
    size_t need = a->workspace_bytes(&call), bytes = offered > need ? offered : need;
    workspace_grow(g, bytes + FENCE_BYTES);
    /* A larger call may have left something behind this one's end. */
    ck_assert_int_eq(g->device->download(before, g->workspace + bytes, FENCE_BYTES), 0);
    memset(fence, FENCE_BYTE, sizeof fence);
    ck_assert_int_eq(g->device->upload(g->workspace + bytes, fence, FENCE_BYTES), 0);
    call.workspace = g->workspace;
    call.workspace_bytes = how == NORMS_SHORT ? need - 1 : bytes;
    int err = how == NORMS_REPLAYED ? run_replayed(g, a, &call) : a->run(&call);
    memset(mine, 0xff, count * sizeof *mine); /* and when an eager call returns */
    if (!err) err = g->device->wait(NULL);
    ck_assert_msg(g->device->download(fence, g->workspace + bytes, FENCE_BYTES) == 0, "%s: %s", name, g->device->last_error());
    if (!intact(fence, FENCE_BYTES)) norms_trouble(g, "%s: wrote behind its workspace", name);
    ck_assert_int_eq(g->device->upload(g->workspace + bytes, before, FENCE_BYTES), 0);
    outputs_read(g, name, layers, count, &o, answer);
    free(mine);
    return err;
}

void norms_answer_drop(struct norms_answer *answer)
{
    free(answer->n);
}

bool norms_quick_on_cpu(const struct vs_norms_layer *s)
{
    return (double)s->B * (double)s->T * (double)s->d * (double)s->p <= 2e7;
}

double *norms_oracle(struct norms_gpu *g, enum vs_norms_dtype dtype, const struct norms_input *in)
{
    if (!norms_quick_on_cpu(&in->host)) {
        struct norms_answer answer;
        int err = norms_gpu_run(g, "reference", dtype, &in->gpu, 1, 0, NORMS_EAGER, &answer);
        ck_assert_msg(err == 0, "reference: %s", g->device->last_error());
        return answer.n;
    }
    const struct vs_norms_algorithm *a = vs_norms_cpu("reference");
    struct vs_norms_layer layer = in->host;
    struct vs_norms_call call = {.dtype = dtype, .layers = &layer, .count = 1};
    layer.n = malloc(layer.B * sizeof(double));
    call.workspace_bytes = a->workspace_bytes(&call);
    call.workspace = calloc(1, call.workspace_bytes + 1);
    ck_assert(layer.n && call.workspace);
    ck_assert_int_eq(a->run(&call), 0);
    free(call.workspace);
    return layer.n;
}
