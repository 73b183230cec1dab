/* SPDX-License-Identifier: MIT */
/* link: -ldl */
/*
 * train_workload.c: stands for vramscope-workload where `vramscope bench train` and `vramscope suite` are tested: named memory of
 * known size in an NVTX heap of the host, marks at the notes' moments, and a file of results that counts the same. Includes
 * nothing of the profiler.
 *
 * In bytes, MIB = 2^20, per mode the same but for norms: parameter MIB + 24, optimizer_state 2 MIB, gradient MIB, activation
 * 3 MIB + 1 (T=64; else in proportion to T), workspace/norm_samples 4096 (not vanilla), workspace/product 512, input 100; peak
 * at the end of the forward pass. --extra-mb N adds temporary/extra.
 *
 * For one mode each (environment): FAKE_FAIL fails in order, FAKE_KILL dies by SIGKILL, FAKE_DAMAGE writes half a file, FAKE_LIE
 * counts a byte more than there is, FAKE_SILENT writes no file, FAKE_SLEEP waits to be ended (and makes the file `asleep`),
 * FAKE_UNRECORDED makes no NVTX call, FAKE_ABSENT finds no device before it. FAKE_REASON: the words of FAKE_FAIL.
 * Exit status 77: there are no NVTX headers.
 */
#if !__has_include(<nvtx3/nvToolsExtMem.h>)
int main(void)
{
    return 77;
}
#else
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtMem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static struct {
    const char *mode, *experiment, *results, *preset;
    long T, B, iterations, extra_mb;
} is = {.mode = "vanilla", .preset = "tiny", .T = 64, .B = 2, .iterations = 2};
static char *arena;
static size_t used, live, peak, top[16];
static int pieces, recorded = 1;
static char snapshots[8192];

static int my(const char *setting)
{
    const char *of = getenv(setting);
    return of && !strcmp(of, is.mode);
}

static void take(size_t bytes, const char *name)
{
    nvtxMemVirtualRangeDesc_t range = {.size = bytes, .ptr = arena + used};
    nvtxMemRegionsRegisterBatch_t batch = {.extCompatID = NVTX_EXT_COMPATID_MEM,
                                           .structSize = sizeof batch,
                                           .regionType = NVTX_MEM_TYPE_VIRTUAL_ADDRESS,
                                           .heap = NVTX_MEM_HEAP_HANDLE_PROCESS_WIDE,
                                           .regionCount = 1,
                                           .regionDescElementSize = sizeof range,
                                           .regionDescElements = &range};
    nvtxMemRegionNameDesc_t label;
    nvtxMemRegionsNameBatch_t names = {.extCompatID = NVTX_EXT_COMPATID_MEM,
                                       .structSize = sizeof names,
                                       .regionCount = 1,
                                       .regionElementSize = sizeof label,
                                       .regionElements = &label};
    memset(&label, 0, sizeof label);
    label.regionRefType = NVTX_MEM_REGION_REF_TYPE_POINTER;
    label.nameType = NVTX_MESSAGE_TYPE_ASCII;
    label.region.pointer = arena + used;
    label.name.ascii = name;
    if (recorded) nvtxMemRegionsRegister(NULL, &batch);
    if (recorded) nvtxMemRegionsName(NULL, &names);
    top[pieces++] = bytes;
    used += bytes;
    live += bytes;
    if (live > peak) peak = live;
}

/* The last one. */
static void give(void)
{
    nvtxMemRegionRef_t region;
    nvtxMemRegionsUnregisterBatch_t batch = {.extCompatID = NVTX_EXT_COMPATID_MEM,
                                             .structSize = sizeof batch,
                                             .refType = NVTX_MEM_REGION_REF_TYPE_POINTER,
                                             .refCount = 1,
                                             .refElementSize = sizeof region,
                                             .refElements = &region};
    size_t bytes = top[--pieces];
    used -= bytes;
    live -= bytes;
    region.pointer = arena + used;
    if (recorded) nvtxMemRegionsUnregister(NULL, &batch);
}

static void mark(const char *format, int i)
{
    char name[64];
    struct timespec now;
    size_t n = strlen(snapshots);
    snprintf(name, sizeof name, format, i);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (recorded) nvtxMarkA(name);
    snprintf(snapshots + n, sizeof snapshots - n, "%s{\"name\":\"%s\",\"arena_bytes\":%zu,\"ts_ns\":%lld}",
             n ? "," : "", name, live + (size_t)my("FAKE_LIE"), (long long)now.tv_sec * 1000000000 + now.tv_nsec);
}

static void open_arena(size_t bytes)
{
    nvtxMemVirtualRangeDesc_t whole = {.size = bytes};
    nvtxMemHeapDesc_t heap;
    whole.ptr = arena = malloc(bytes);
    memset(&heap, 0, sizeof heap);
    heap.extCompatID = NVTX_EXT_COMPATID_MEM;
    heap.structSize = sizeof heap;
    heap.usage = NVTX_MEM_HEAP_USAGE_TYPE_SUB_ALLOCATOR;
    heap.type = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    heap.typeSpecificDescSize = sizeof whole;
    heap.typeSpecificDesc = &whole;
    heap.messageType = NVTX_MESSAGE_TYPE_ASCII;
    heap.message.ascii = "arena";
    if (recorded) nvtxMemHeapRegister(NULL, &heap);
}

static void train(void)
{
    int private = strcmp(is.mode, "vanilla") != 0;
    take(MIB, "parameter/block00.qkv");
    take(24, "parameter/block01.qkv");
    take(2 * MIB, "optimizer_state/block00.m");
    take(100, "input/ids");
    if (private) take(4096, "workspace/norm_samples.squares");
    if (is.extra_mb) take((size_t)is.extra_mb * MIB, "temporary/extra");
    mark("0_model_loaded", 0);
    if (my("FAKE_KILL")) raise(SIGKILL);
    if (my("FAKE_SLEEP")) {
        fclose(fopen("asleep", "w"));
        pause();
    }
    for (int i = 0; i < is.iterations; i++) {
        mark("2_iter%d_before_forward", i);
        take((size_t)(3 * MIB + 1) * (size_t)is.T / 64, "activation/block00.x");
        take(512, "workspace/product");
        take(MIB, "gradient/block00.qkv");
        mark("3_iter%d_after_forward", i);
        give();
        give();
        give();
        mark("5_iter%d_after_step", i);
    }
}

static void write_results(void)
{
    FILE *f = fopen(is.results, "wx");
    int failed = my("FAKE_FAIL");
    const char *reason = getenv("FAKE_REASON");
    fprintf(f, "{\"experiment\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\",\"mode\":\"%s\",\"semantics\":\"%s\",",
            is.experiment ? is.experiment : is.mode, failed ? "failed" : "ok",
            failed ? reason ? reason : "not today" : "", is.mode,
            strcmp(is.mode, "vanilla") ? "two_pass" : "non_private");
    if (my("FAKE_DAMAGE")) {
        fclose(f);
        return;
    }
    fprintf(
        f,
        "\"device\":\"cpu\",\"device_name\":\"a CPU\",\"dtype\":\"fp32\",\"optimizer\":\"adam\",\"seed\":1337,"
        "\"config\":{\"preset\":\"%s\",\"seq_len\":%ld,\"batch_size\":%ld,\"num_iter\":%ld,\"memory_budget_mb\":null},"
        "\"peak_memory_mb\":1,\"breakdown\":{\"model_parameters_mb\":5},", /* not to be believed */
        is.preset, is.T, is.B, is.iterations);
    fprintf(
        f, "\"avg_time_ms\":%.17g,\"median_time_ms\":2.5,\"min_time_ms\":2,\"first_time_ms\":4,\"times_ms\":[2.5,3.1],",
        2.8000000000000003);
    fprintf(f, "\"arena\":{\"capacity_bytes\":1,\"predicted_peak_bytes\":1,\"peak_bytes\":%zu},", peak);
    fprintf(f,
            "\"plan\":[{\"layers\":\"qkv\",\"action\":\"book_keeping\",\"norm\":\"gram\",\"count\":36}],"
            "\"attention_by\":\"own\",\"snapshots\":[%s],\"pid\":%d}\n",
            snapshots, (int)getpid());
    fclose(f);
}

static int read_options(int argc, char **argv)
{
    static const char *const names[] = {"--mode",    "--experiment", "--results",  "--preset",
                                        "--seq-len", "--batch-size", "--num-iter", "--extra-mb"};
    const char **texts[] = {&is.mode, &is.experiment, &is.results, &is.preset};
    long *numbers[] = {&is.T, &is.B, &is.iterations, &is.extra_mb};
    for (int i = 2; i < argc; i++) {
        int n = 0;
        while (n < 8 && strcmp(argv[i], names[n])) n++;
        if (n == 8 || ++i == argc) {
            fprintf(stderr, "train: %s is no option\n", argv[n == 8 ? i : argc - 1]);
            return 2;
        }
        if (n < 4) *texts[n] = argv[i];
        else *numbers[n - 4] = atol(argv[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[2], "--help")) return puts("usage of the train workload") < 0;
    if (read_options(argc, argv)) return 2;
    printf("what the workload prints\n");
    if (my("FAKE_ABSENT")) return fputs("train: there is no such device\n", stderr) >= 0;
    recorded = !my("FAKE_UNRECORDED");
    open_arena(64 * MIB);
    train();
    if (is.results && !my("FAKE_SILENT")) write_results();
    if (my("FAKE_FAIL")) fprintf(stderr, "train: it failed\n");
    return my("FAKE_FAIL") ? 1 : 0;
}
#endif
