/* SPDX-License-Identifier: MIT
 *
 * device_measure.c: what this processor reaches now: the rate of a large product as a ceiling, and the rates that `auto` decides
 * by. It takes memory for the measurement and gives it back.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "kernels/cpu.h"
#include "kernels/gemm.h"

enum { RUNS = 5, HIGH = 256, WIDE = 1024 }; /* one thread's part of the large product */
#define ENOUGH_S 0.5                        /* of one measurement */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Shortest time of up to RUNS runs: others that use the machine can only make one longer. The first brings memory and threads to
 * life, and counts only where there is no time for a second. */
static int best_seconds(int (*work)(void *), void *state, double *seconds)
{
    double end = now() + ENOUGH_S, best = 0;
    int err = 0;
    for (int i = 0; !err && i <= RUNS && (i == 0 || now() < end); i++) {
        double begin = now();
        err = work(state);
        double took = now() - begin;
        if (i <= 1 || took < best) best = took;
    }
    *seconds = best;
    return err;
}

/* Values in [1, 2): random fractions. */
static void randomize(uint32_t *words, size_t count, uint32_t keep, uint32_t one)
{
    uint64_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        words[i] = ((uint32_t)(state >> 32) & keep) | one;
    }
}

static void randomize_as(enum vs_norms_dtype dtype, void *X, size_t count)
{
    if (dtype == VS_NORMS_bf16)
        randomize(X, count / 2, 0x007f007f, 0x3f803f80);
    else if (dtype == VS_NORMS_fp16)
        randomize(X, count / 2, 0x03ff03ff, 0x3c003c00);
    else
        randomize(X, count, 0x007fffff, 0x3f800000);
}

struct product {
    const struct vs_cpu_context *context;
    size_t edge;
    float *X, *Y, *C;
};

static void part(void *state, size_t item, size_t thread)
{
    const struct product *p = state;
    size_t across = p->edge / WIDE, i = item / across * HIGH, j = item % across * WIDE;
    (void)thread;
    vs_gemm_nt(HIGH, WIDE, p->edge, p->X + i * p->edge, p->edge, p->Y + j * p->edge, p->edge, p->C + i * p->edge + j, p->edge);
}

static size_t parts(size_t edge)
{
    return (edge / HIGH) * (edge / WIDE);
}

static int multiply(void *state)
{
    const struct product *p = state;
    vs_parallel(p->context->threads, parts(p->edge), part, state);
    return 0;
}

int vs_cpu_ceiling(void *context, enum vs_norms_dtype dtype, double *operations_per_s)
{
    struct product p = {.context = context, .edge = 2048};
    double seconds;
    (void)dtype; /* everything is computed in float32 */
    while (parts(p.edge) < 4 * p.context->threads && p.edge < 8192) p.edge *= 2; /* work for every thread */
    p.X = malloc(3 * p.edge * p.edge * sizeof(float));
    if (!p.X) return -ENOMEM;
    p.Y = p.X + p.edge * p.edge;
    p.C = p.Y + p.edge * p.edge;
    randomize_as(VS_NORMS_fp32, p.X, 2 * p.edge * p.edge);
    best_seconds(multiply, &p, &seconds);
    free(p.X);
    *operations_per_s = 2.0 * pow((double)p.edge, 3) / seconds;
    return 0;
}

struct measured {
    const struct vs_norms_algorithm *algorithm;
    struct vs_norms_call *call;
};

static int call_once(void *state)
{
    const struct measured *m = state;
    return m->algorithm->run(m->call);
}

/* The method's rate by the model's own formula. */
static int measure(struct vs_cpu_context *context, struct vs_norms_call *call, enum vs_norms_method method, const char *name)
{
    struct measured m = {vs_norms_cpu(name), call};
    double seconds;
    call->workspace_bytes = m.algorithm->workspace_bytes(call);
    call->workspace = calloc(1, call->workspace_bytes);
    if (!call->workspace) return -ENOMEM;
    context->rate[call->dtype][method] = 1; /* so that what is expected are the operations */
    double ms[VS_NORMS_METHODS];
    int err = best_seconds(call_once, &m, &seconds);
    vs_cpu_choice(call, 0, ms);
    context->rate[call->dtype][method] = err ? 0 : ms[method] / 1e3 / seconds;
    free(call->workspace);
    return err;
}

int vs_cpu_calibrate(void *context, enum vs_norms_dtype dtype)
{
    struct vs_norms_layer layer = {.B = 1, .T = 1024, .d = 1024, .p = 1024};
    size_t count = layer.T * layer.d, bytes = count * vs_norms_dtype_bytes(dtype);
    char *data = malloc(2 * bytes);
    double n;
    struct vs_norms_call call = {.dtype = dtype, .layers = &layer, .count = 1, .context = context};
    if (!data) return -ENOMEM;
    randomize_as(dtype, data, 2 * count);
    layer.A = data;
    layer.G = data + bytes;
    layer.n = &n;
    int err = measure(context, &call, VS_NORMS_BY_GRAM, "gram");
    if (!err) err = measure(context, &call, VS_NORMS_BY_DIRECT, "direct");
    if (!err) err = measure(context, &call, VS_NORMS_BY_MATERIALIZE, "materialize");
    free(data);
    return err;
}
