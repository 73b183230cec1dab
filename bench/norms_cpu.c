/* SPDX-License-Identifier: MIT
 *
 * norms_cpu.c: what the CPU's per-sample norms cost: time, workspace and error of every algorithm, and how much slower
 * gram_full is than gram, and materialize than direct. It fails when a result is wrong, when gram is not faster than gram_full
 * from T = 1024 on, and when the tiled algorithms' workspace grows with T; other times are for the reader.
 *
 * Usage: norms_cpu [DTYPE [LARGEST_T]]; d = p = 1024, B = 1, T = 512 up to LARGEST_T (8192). Algorithms take turns, so that a
 * machine that is busy for a while is busy for all; the table shows medians of their times, and of the ratios within a round.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

enum { WIDTH = 1024, ROUNDS = 7, SHORTEST = 512, FASTER_FROM = 1024 };
enum { GRAM_FULL, GRAM, DIRECT, MATERIALIZE, AUTO, ALGORITHMS };
static const char *const names[ALGORITHMS] = {"gram_full", "gram", "direct", "materialize", "auto"};
static const bool tiled[ALGORITHMS] = {[GRAM] = true, [DIRECT] = true, [AUTO] = true};

struct measured {
    const struct vs_norms_algorithm *algorithm;
    size_t workspace_bytes;
    void *workspace;
    double ms[ROUNDS], error;
};

/* Values in [-1, 1) that the type holds: the sign, and exponents and fractions below that of 1. */
static void randomize(enum vs_norms_dtype dtype, void *X, size_t count, uint64_t state)
{
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        float value = (float)((double)(state >> 40) / 8388608.0 - 1.0);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (dtype == VS_NORMS_bf16)
            ((uint16_t *)X)[i] = (uint16_t)(bits >> 16);
        else if (dtype == VS_NORMS_fp16) /* in +-[0.5, 1), built from the integer */
            ((uint16_t *)X)[i] = (uint16_t)((state >> 63) << 15 | (0x3800 + (state >> 40 & 0x3ff)));
        else
            ((float *)X)[i] = value;
    }
}

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static double median(const double *values)
{
    double sorted[ROUNDS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, ROUNDS, sizeof *sorted, ascending);
    return sorted[ROUNDS / 2];
}

static double median_ratio(const struct measured *slow, const struct measured *fast)
{
    double ratios[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) ratios[r] = slow->ms[r] / fast->ms[r];
    return median(ratios);
}

static int run_once(const struct vs_device *cpu, struct vs_norms_call *call, struct measured *m, double *ms)
{
    call->workspace = m->workspace;
    call->workspace_bytes = m->workspace_bytes;
    int err = cpu->start(call->context, NULL);
    if (!err) err = m->algorithm->run(call);
    return err ? err : cpu->stop(call->context, NULL, ms);
}

static int measure(const struct vs_device *cpu, struct vs_norms_call *call, struct measured *all)
{
    const struct vs_norms_algorithm *oracle = cpu->norms("reference");
    double n = 0, ms;
    int err = oracle->run(call);
    double want = call->layers->n[0];
    for (int a = 0; !err && a < ALGORITHMS; a++) {
        struct measured *m = &all[a];
        m->algorithm = cpu->norms(names[a]);
        m->workspace_bytes = m->algorithm->workspace_bytes(call);
        err = cpu->alloc(m->workspace_bytes + 1, &m->workspace);
        if (!err) err = cpu->clear(m->workspace, m->workspace_bytes);
        if (!err) err = run_once(cpu, call, m, &ms);
        n = call->layers->n[0];
        m->error = vs_norms_error(1, &n, &want);
    }
    for (int r = 0; !err && r < ROUNDS; r++)
        for (int a = 0; !err && a < ALGORITHMS; a++) err = run_once(cpu, call, &all[a], &all[a].ms[r]);
    for (int a = 0; a < ALGORITHMS; a++) cpu->release(all[a].workspace);
    return err;
}

/* What must hold at this T; a line for each thing that does not. */
static int judge(const struct vs_norms_call *call, const struct measured *all, size_t *bytes)
{
    size_t T = call->layers->T;
    double ratio = median_ratio(&all[GRAM_FULL], &all[GRAM]), bound = vs_norms_dtype_bound(call->dtype);
    int missed = 0;
    for (int a = 0; a < ALGORITHMS; a++) {
        if (!(all[a].error <= bound)) missed++, printf("MISSED: %s: error %g, allowed %g\n", names[a], all[a].error, bound);
        if (T == SHORTEST) bytes[a] = all[a].workspace_bytes;
        if (tiled[a] && all[a].workspace_bytes > bytes[a]) missed++, printf("MISSED: %s: its workspace grew with T\n", names[a]);
    }
    if (T >= FASTER_FROM && !(ratio > 1)) missed++, printf("MISSED: gram is not faster than gram_full\n");
    return missed;
}

static void print(const struct vs_device *cpu, const struct vs_norms_call *call, const struct measured *all, double ceiling)
{
    double expected_ms[3], floor_ms = vs_norms_floor_operations(call->layers) / ceiling * 1e3;
    printf("%6zu", call->layers->T);
    for (int a = 0; a < ALGORITHMS; a++) printf(" %9.2f %8.1f", median(all[a].ms), (double)all[a].workspace_bytes / 1048576);
    printf("  %5.2f %5.2f  %4.0f%%  %s\n", median_ratio(&all[GRAM_FULL], &all[GRAM]),
           median_ratio(&all[MATERIALIZE], &all[DIRECT]), floor_ms / median(all[AUTO].ms) * 100, cpu->choice(call, 0, expected_ms));
    fflush(stdout);
}

static int table(const struct vs_device *cpu, void *context, enum vs_norms_dtype dtype, size_t largest, double ceiling)
{
    int err = 0, missed = 0;
    size_t tiled_bytes[ALGORITHMS] = {0};
    printf("%s, d = p = %d, B = 1: medians of %d: ms and MiB of workspace; ratios; floor over auto's time; what auto picks\n     T",
           vs_norms_dtype_name(dtype), WIDTH, ROUNDS);
    for (int a = 0; a < ALGORITHMS; a++) printf(" %9.9s %8s", names[a], "MiB");
    printf("  gf/g   m/d\n");
    for (size_t T = SHORTEST; !err && T <= largest; T *= 2) {
        struct measured all[ALGORITHMS] = {0};
        size_t bytes = T * WIDTH * vs_norms_dtype_bytes(dtype);
        double n;
        struct vs_norms_layer layer = {.B = 1, .T = T, .d = WIDTH, .p = WIDTH, .n = &n};
        struct vs_norms_call call = {.dtype = dtype, .layers = &layer, .count = 1, .context = context};
        char *data = malloc(2 * bytes);
        if (!data) {
            err = -ENOMEM;
            break;
        }
        layer.A = data;
        layer.G = data + bytes;
        randomize(dtype, data, T * WIDTH, 1);
        randomize(dtype, data + bytes, T * WIDTH, 2);
        err = measure(cpu, &call, all);
        if (!err) print(cpu, &call, all, ceiling);
        if (!err) missed += judge(&call, all, tiled_bytes);
        free(data);
    }
    if (err) fprintf(stderr, "norms_cpu: %s\n", strerror(-err));
    return err ? err : missed;
}

/* A length from SHORTEST on whose inputs can be addressed, or 0. */
static size_t length_of(const char *text)
{
    char *end;
    errno = 0;
    uintmax_t T = *text >= '0' && *text <= '9' ? strtoumax(text, &end, 10) : 0;
    return T >= SHORTEST && !*end && !errno && T <= PTRDIFF_MAX / (16 * WIDTH) ? (size_t)T : 0;
}

int main(int argc, char **argv)
{
    const struct vs_device *cpu = vs_device_cpu();
    int only = argc > 1 ? vs_norms_dtype_find(argv[1]) : VS_NORMS_fp32;
    size_t largest = argc > 2 ? length_of(argv[2]) : 8192;
    void *context = NULL;
    double ceiling = 0;
    if (argc > 3 || only < 0 || !largest) {
        fprintf(stderr, "usage: norms_cpu [DTYPE [LARGEST_T]]: DTYPE one of fp32 tf32 bf16 fp16; LARGEST_T from %d on\n",
                SHORTEST);
        return 2;
    }
    int err = cpu->open(&context);
    if (!err) err = cpu->ceiling(context, (enum vs_norms_dtype)only, &ceiling);
    if (!err) err = cpu->calibrate(context, (enum vs_norms_dtype)only);
    if (!err) printf("%s, ceiling %.0f GFLOP/s\n", cpu->describe(context), ceiling / 1e9);
    if (!err) err = table(cpu, context, (enum vs_norms_dtype)only, largest, ceiling);
    cpu->close(context);
    return err ? 1 : 0;
}
