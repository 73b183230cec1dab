/* SPDX-License-Identifier: MIT
 *
 * norm_case.c: makes the inputs of one shape and runs algorithms on it, each iteration in an NVTX range that also holds
 * the algorithm's temporary memory: taken at its begin, given back at its end, as a framework's allocator would see it.
 */
#include "workloads/norm_case.h"

#include <errno.h>
#include <math.h>
#include <nvtx3/nvToolsExt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *size_text(size_t bytes, char *text, size_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < sizeof units / sizeof *units; u++) v /= 1024;
    snprintf(text, n, "%.*f %s", u ? 1 : 0, v, units[u]);
    return text;
}

/* Memory that cannot be had ends the case with what was asked, what there is, and what would need less. */
static int take(struct vs_memory *memory, const struct vs_device *device, size_t bytes, const char *name)
{
    int err = vs_memory_take(memory, device, bytes, name);
    if (!err) return 0;
    char asked[32], there[32];
    size_t available;
    fprintf(stderr, "norms: no memory for %s: %s asked for", name, size_text(bytes, asked, sizeof asked));
    if (!device->free_bytes(&available)) fprintf(stderr, ", %s free", size_text(available, there, sizeof there));
    fprintf(stderr, "%s\n", strstr(name, "gram_full") ? "; --algo gram needs no T x T memory" : "; smaller --B or --T");
    return err;
}

/* Uniform in [-1, 1): a counter through splitmix64's mixer, so every element is known without the ones before it. */
static void fill(float *x, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15ull;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        x[i] = (float)((double)((z ^ (z >> 31)) >> 40) / 8388608.0 - 1.0);
    }
}

/* The host's view of an input: the buffer itself on the CPU, a copy of its own before an upload. */
static int make_input(struct vs_norm_case *c, struct vs_memory *input, struct vs_memory *host, size_t count,
                      const char *name, uint64_t seed)
{
    size_t bytes = count * sizeof(float);
    int err = take(input, c->device, bytes, name);
    if (err) return err;
    if (c->device != vs_device_cpu()) {
        err = take(host, vs_device_cpu(), bytes, "input/host copy");
        if (err) return err;
    }
    fill(host->data ? host->data : input->data, count, seed);
    err = host->data ? c->device->upload(input->data, host->data, bytes) : 0;
    if (err) fprintf(stderr, "norms: %s\n", c->device->last_error());
    return err;
}

static int make_reference(struct vs_norm_case *c, const struct vs_memory *A, const struct vs_memory *G)
{
    int err = take(&c->reference, vs_device_cpu(), c->shape.B * sizeof(double), "workspace/reference norms");
    if (err) return err;
    nvtxRangePushA("norms/reference");
    err = vs_norms_reference(&c->shape, A->data, G->data, c->reference.data);
    nvtxRangePop();
    return err;
}

int vs_norm_case_open(struct vs_norm_case *c, const struct vs_norms_shape *s, const struct vs_device *device,
                      void *context, size_t seed, bool check)
{
    struct vs_memory host_A = {0}, host_G = {0};
    memset(c, 0, sizeof *c);
    int err = vs_norms_check(s);
    if (err) {
        fprintf(stderr, "norms: B=%zu T=%zu d=%zu p=%zu: %s\n", s->B, s->T, s->d, s->p,
                err == -EOVERFLOW ? "too large to be addressed" : "every size must be at least 1");
        return err;
    }
    c->shape = *s;
    c->device = device;
    c->context = context;
    char range[64];
    snprintf(range, sizeof range, "norms/inputs/T=%zu", s->T);
    nvtxRangePushA(range);
    err = make_input(c, &c->A, &host_A, s->B * s->T * s->d, "activation/A", 2 * seed + 1);
    if (!err) err = make_input(c, &c->G, &host_G, s->B * s->T * s->p, "gradient/G", ~(2 * (uint64_t)seed));
    if (!err) err = take(&c->n, device, s->B * sizeof(double), "workspace/norms");
    if (!err) err = take(&c->result, vs_device_cpu(), s->B * sizeof(double), "workspace/norms on the host");
    if (!err && check) err = make_reference(c, host_A.data ? &host_A : &c->A, host_G.data ? &host_G : &c->G);
    vs_memory_give(&host_G);
    vs_memory_give(&host_A);
    nvtxRangePop();
    return err;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int iteration(struct vs_norm_case *c, const struct vs_norms_algorithm *a, struct vs_norm_outcome *out, double *ms)
{
    char name[64];
    struct vs_memory workspace;
    snprintf(name, sizeof name, "temporary/%s", a->name);
    out->temporary_bytes = a->workspace_bytes(&c->shape);
    int err = take(&workspace, c->device, out->temporary_bytes, name);
    if (err) return err;
    struct vs_norms_args args = {.shape = c->shape,
                                 .A = c->A.data,
                                 .G = c->G.data,
                                 .n = c->n.data,
                                 .workspace = workspace.data,
                                 .workspace_bytes = workspace.bytes,
                                 .context = c->context};
    double begin = now_ms();
    err = a->run(&args);
    if (!err) err = c->device->wait(NULL);
    *ms = now_ms() - begin;
    if (err) fprintf(stderr, "norms: %s: %s\n", a->name, c->device->last_error());
    vs_memory_give(&workspace);
    return err;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first call is checked like the last one: a result that only warm calls get right is wrong. */
static int compare(struct vs_norm_case *c, struct vs_norm_outcome *out)
{
    size_t bytes = c->shape.B * sizeof(double);
    if (!c->reference.data) return 0;
    int err = c->device->download(c->result.data, c->n.data, bytes);
    if (err) {
        fprintf(stderr, "norms: %s\n", c->device->last_error());
        return err;
    }
    double e = vs_norms_error(c->shape.B, c->result.data, c->reference.data);
    if (isnan(e) || !(e <= out->relative_error)) out->relative_error = e;
    return 0;
}

int vs_norm_case_run(struct vs_norm_case *c, const char *algorithm, size_t iterations, struct vs_norm_outcome *out)
{
    const struct vs_norms_algorithm *a = c->device->norms(algorithm);
    double *ms = calloc(iterations, sizeof *ms);
    int err = a && ms ? 0 : a ? -ENOMEM : -EINVAL;
    char range[96];
    snprintf(range, sizeof range, "norms/%s/T=%zu", algorithm, c->shape.T);
    memset(out, 0, sizeof *out);
    out->relative_error = c->reference.data ? 0 : (double)NAN;
    for (size_t i = 0; !err && i < iterations; i++) {
        nvtxRangePushA(range);
        err = iteration(c, a, out, &ms[i]);
        nvtxRangePop();
        if (!err && !(c->reference.data && isnan(out->relative_error))) err = compare(c, out);
    }
    if (!err) {
        qsort(ms, iterations, sizeof *ms, ascending);
        out->median_ms = (ms[(iterations - 1) / 2] + ms[iterations / 2]) / 2;
    }
    free(ms);
    return err;
}

void vs_norm_case_close(struct vs_norm_case *c)
{
    vs_memory_give(&c->reference);
    vs_memory_give(&c->result);
    vs_memory_give(&c->n);
    vs_memory_give(&c->G);
    vs_memory_give(&c->A);
}
