/* SPDX-License-Identifier: MIT */
/* link: -l:libcudart.so.13 -ldl */
/*
 * norms_workload.c: stands for vramscope-workload where `vramscope bench norms` is tested: makes CUDA memory of known size
 * inside NVTX ranges, and copies the file $FAKE_RESULTS to the one that --results names. Includes nothing of the profiler.
 *
 * Ends with status $FAKE_STATUS, or by signal $FAKE_SIGNAL. Exit status 77: built where there are no NVTX headers.
 */
#if !__has_include(<nvtx3/nvToolsExt.h>)
int main(void)
{
    return 77;
}
#else
#include <nvtx3/nvToolsExt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/cudart_api.h"

#define MIB (1ull << 20)
#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if (call) {                                                                                                    \
            fprintf(stderr, "line %d: %s\n", __LINE__, #call);                                                         \
            exit(9);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Peak over the beginning: 5 MiB + 1, though 10 MiB are taken in all and 8 MiB were there before. */
static void full(void)
{
    void *p[3];
    nvtxRangePushA("norms/gram_full/T=64");
    MUST(cudaMalloc(&p[0], 4 * MIB + 1));
    MUST(cudaMalloc(&p[1], MIB));
    MUST(cudaFree(p[0]));
    MUST(cudaMalloc(&p[2], 3 * MIB));
    MUST(cudaFree(p[1]));
    MUST(cudaFree(p[2]));
    nvtxRangePop();
}

/* What was there before goes and comes back: the peak over the beginning is what a pool hands out, not what it reserves. */
static void pooled(void **base)
{
    void *stream, *p;
    MUST(cudaStreamCreate(&stream));
    nvtxRangePushA("norms/gram/T=64");
    MUST(cudaFree(*base));
    MUST(cudaMalloc(base, 8 * MIB));
    MUST(cudaMallocAsync(&p, 3000, stream));
    MUST(cudaFreeAsync(p, stream));
    MUST(cudaStreamSynchronize(stream));
    nvtxRangePop();
}

static void copy(const char *from, const char *to)
{
    char bytes[4096];
    size_t n;
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    MUST(!in || !out);
    while ((n = fread(bytes, 1, sizeof bytes, in))) fwrite(bytes, 1, n, out);
    fclose(in);
    fclose(out);
}

int main(int argc, char **argv)
{
    const char *rows = getenv("FAKE_RESULTS"), *status = getenv("FAKE_STATUS"), *number = getenv("FAKE_SIGNAL");
    void *base;
    for (int i = 1; i < argc; i++) printf("%s%s", argv[i], i + 1 < argc ? " " : "\n");
    fprintf(stderr, "progress of the workload\n");
    if (argc < 2 || (argc > 2 && !strcmp(argv[2], "--help"))) return 0;
    if (!getenv("FAKE_UNRECORDED")) {
        MUST(cudaMalloc(&base, 8 * MIB));
        full();
        nvtxRangePushA("norms/direct/T=64"); /* nothing at all */
        nvtxRangePop();
        pooled(&base);
        full(); /* again: the largest counts, which is the same */
        MUST(cudaFree(base));
    }
    for (int i = 1; rows && i + 1 < argc; i++)
        if (!strcmp(argv[i], "--results")) copy(rows, argv[i + 1]);
    if (number) raise(atoi(number));
    return status ? atoi(status) : 0;
}
#endif
