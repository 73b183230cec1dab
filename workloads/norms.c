/* SPDX-License-Identifier: MIT
 *
 * norms.c: the norms workload: runs each algorithm on each shape and prints time, temporary memory and error. Results go
 * to stdout, everything else to stderr.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/device.h"
#include "workloads/norm_case.h"
#include "workloads/options.h"
#include "workloads/workload.h"

#define WHAT "squared norms of the gradient of every sample, n_b = ||A_b^T G_b||^2, for A [B,T,d] and G [B,T,p]"

struct settings {
    const char *device;
    struct vs_sizes B, T, d, p;
    struct vs_texts algorithms;
    size_t iterations, seed;
    bool check;
};

static int parse(struct settings *s, int argc, char **argv)
{
    const struct vs_option table[] = {
        {"device", VS_OPTION_TEXT, &s->device, "auto|cpu|cuda", "where to run (auto: a GPU if there is one)"},
        {"T", VS_OPTION_SIZES, &s->T, "N,...", "rows (tokens) per sample"},
        {"d", VS_OPTION_SIZES, &s->d, "N,...", "inputs of the layer"},
        {"p", VS_OPTION_SIZES, &s->p, "N,...", "outputs of the layer"},
        {"B", VS_OPTION_SIZES, &s->B, "N,...", "samples"},
        {"algo", VS_OPTION_TEXTS, &s->algorithms, "NAME,...", "gram_full, gram"},
        {"iterations", VS_OPTION_COUNT, &s->iterations, "N", "runs of each algorithm on each shape"},
        {"seed", VS_OPTION_COUNT, &s->seed, "N", "of the random inputs"},
        {"check", VS_OPTION_FLAG, &s->check, NULL, "compare with float64; exit 1 beyond a relative error of 1e-5"},
        {0},
    };
    int err = vs_options_parse(table, argc, argv, WHAT);
    if (err) return err;
    if (strcmp(s->device, "auto") && strcmp(s->device, "cpu") && strcmp(s->device, "cuda")) {
        fprintf(stderr, "norms: there is no device '%s': auto, cpu or cuda\n", s->device);
        return 2;
    }
    for (size_t i = 0; i < s->algorithms.count; i++)
        if (!vs_norms_cpu(s->algorithms.value[i])) { /* one list for all devices */
            fprintf(stderr, "norms: there is no algorithm '%s': gram_full, gram\n", s->algorithms.value[i]);
            return 2;
        }
    if (!s->iterations || s->iterations > 1000000) {
        fprintf(stderr, "norms: --iterations is a number from 1 to 1000000\n");
        return 2;
    }
    return 0;
}

static const struct vs_device *choose(const char *wanted)
{
    char why[512] = "";
    if (!strcmp(wanted, "cpu")) return vs_device_cpu();
    const struct vs_device *device = vs_device_cuda(why, sizeof why);
    if (device) return device;
    if (!strcmp(wanted, "cuda")) {
        fprintf(stderr, "norms: --device cuda: %s\n", why);
        return NULL;
    }
    fprintf(stderr, "norms: running on the CPU: %s\n", why);
    return vs_device_cpu();
}

static void print_row(const char *name, const struct vs_norms_shape *s, const struct vs_norm_outcome *o, bool check)
{
    printf("%-10s %4zu %6zu %6zu %6zu %12.3f %12.3f", name, s->B, s->T, s->d, s->p, o->median_ms,
           (double)o->temporary_bytes / 1048576);
    if (check) printf(" %11.1e", o->relative_error);
    printf("\n");
    fflush(stdout);
}

/* 0 or 1; adds to failures the results beyond the bound. */
static int run_shape(const struct settings *s, const struct vs_device *device, void *context,
                     const struct vs_norms_shape *shape, unsigned *failures)
{
    struct vs_norm_case c;
    int err = vs_norm_case_open(&c, shape, device, context, s->seed, s->check);
    for (size_t i = 0; !err && i < s->algorithms.count; i++) {
        struct vs_norm_outcome outcome;
        err = vs_norm_case_run(&c, s->algorithms.value[i], s->iterations, &outcome);
        if (err) break;
        print_row(s->algorithms.value[i], shape, &outcome, s->check);
        if (s->check && !(outcome.relative_error <= VS_NORMS_BOUND_F32)) ++*failures;
    }
    vs_norm_case_close(&c);
    return err ? 1 : 0;
}

static int run_all(const struct settings *s, const struct vs_device *device, void *context)
{
    unsigned failures = 0;
    int err = 0;
    printf("device: %s, %s; float32, %zu iteration%s\n", device->kind, device->describe(context), s->iterations,
           s->iterations == 1 ? "" : "s");
    printf("%-10s %4s %6s %6s %6s %12s %12s%s\n", "algorithm", "B", "T", "d", "p", "median ms", "temp. MiB",
           s->check ? "  rel. error" : "");
    for (size_t b = 0; b < s->B.count && !err; b++)
        for (size_t d = 0; d < s->d.count && !err; d++)
            for (size_t p = 0; p < s->p.count && !err; p++)
                for (size_t t = 0; t < s->T.count && !err; t++) {
                    struct vs_norms_shape shape = {s->B.value[b], s->T.value[t], s->d.value[d], s->p.value[p]};
                    err = run_shape(s, device, context, &shape, &failures);
                }
    if (failures) fprintf(stderr, "norms: %u results are beyond the bound of %.0e\n", failures, VS_NORMS_BOUND_F32);
    return err || failures;
}

int vs_workload_norms(int argc, char **argv)
{
    struct settings s = {.device = "auto",
                         .B = {1, {2}},
                         .T = {3, {512, 1024, 2048}},
                         .d = {1, {512}},
                         .p = {1, {512}},
                         .algorithms = {2, {"gram_full", "gram"}},
                         .iterations = 3};
    int err = parse(&s, argc, argv);
    if (err) return err == 1 ? 0 : err;
    const struct vs_device *device = choose(s.device);
    if (!device) return 1;
    void *context = NULL;
    if (device->open(&context)) {
        fprintf(stderr, "norms: %s\n", device->last_error());
        return 1;
    }
    err = run_all(&s, device, context);
    device->close(context);
    return err;
}
