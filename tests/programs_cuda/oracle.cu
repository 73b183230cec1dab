/* SPDX-License-Identifier: MIT
 *
 * oracle.cu: makes every kind of allocation on a real GPU, at known moments, and known launches, copies, sets and ranges.
 * Prints its own account of them (account.h) for test_gpu.c to compare. It must never be told that it is recorded.
 *
 * `oracle import HANDLE` is the second process, which imports memory of the first.
 */
#include <cuda.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "account.h"

__device__ char one_mebibyte[MIB];
__managed__ int managed_words[WORDS];

__global__ void touch() { managed_words[0] = one_mebibyte[5]; }
__global__ void thirteen(float *p) { p[threadIdx.x] += 1; }
__global__ void in_graph(float *p) { p[threadIdx.x] *= 2; }

/* ---- plain memory ---- */

static void device(void *p[3], void **managed, void **host, void *mine)
{
    size_t pitch;
    cudaPitchedPtr box;

    nvtxRangePushA("device");
    CHECK(cudaMalloc(&p[0], 4 * MIB + 1));
    made(DEVICE, 4 * MIB + 1);
    CHECK(cudaMallocPitch(&p[1], &pitch, 100, 10));
    made(DEVICE, pitch * 10);
    CHECK(cudaMalloc3D(&box, make_cudaExtent(100, 10, 7)));
    made(DEVICE, box.pitch * 10 * 7);
    p[2] = box.ptr;
    failure.asked = 1ull << 42;
    if (cudaMalloc(managed, failure.asked) != cudaErrorMemoryAllocation) exit(3);
    cudaGetLastError();
    CHECK(cudaMemGetInfo(&failure.free, &failure.total));
    CHECK(cudaMallocManaged(managed, 2 * MIB));
    made(MANAGED, 2 * MIB);
    CHECK(cudaMallocHost(&host[0], 12345));
    CHECK(cudaHostAlloc(&host[1], 54321, cudaHostAllocMapped | cudaHostAllocPortable));
    made(PINNED, 12345);
    made(PINNED, 54321);
    CHECK(cudaHostRegister(mine, 65536, 0));
    made(REGISTERED, 65536);
    nvtxRangePop();
    moment("device");
    gone(DEVICE, kinds[DEVICE].live);
    gone(MANAGED, 2 * MIB);
    for (int i = 0; i < 3; i++) CHECK(cudaFree(p[i]));
    CHECK(cudaFree(*managed));
    for (int i = 0; i < 2; i++) CHECK(cudaFreeHost(host[i]));
    CHECK(cudaHostUnregister(mine));
}

static void arrays()
{
    cudaArray_t a[5];
    cudaMipmappedArray_t mip;
    cudaChannelFormatDesc f32 = cudaCreateChannelDesc<float>(), u8x4 = cudaCreateChannelDesc<uchar4>();

    nvtxRangePushA("array");
    CHECK(cudaMallocArray(&a[0], &f32, 1000, 0));
    made(ARRAY, 4 * 1000);
    CHECK(cudaMallocArray(&a[1], &f32, 100, 10));
    made(ARRAY, 4 * 100 * 10);
    CHECK(cudaMalloc3DArray(&a[2], &u8x4, make_cudaExtent(17, 9, 5)));
    made(ARRAY, 4 * 17 * 9 * 5);
    CHECK(cudaMalloc3DArray(&a[3], &f32, make_cudaExtent(20, 10, 7), cudaArrayLayered));
    made(ARRAY, 4 * 20 * 10 * 7);
    CHECK(cudaMalloc3DArray(&a[4], &f32, make_cudaExtent(64, 64, 6), cudaArrayCubemap));
    made(ARRAY, 4 * 64 * 64 * 6);
    CHECK(cudaMallocMipmappedArray(&mip, &u8x4, make_cudaExtent(1024, 1024, 0), 5));
    made(ARRAY, 4 * (1024 * 1024 + 512 * 512 + 256 * 256 + 128 * 128 + 64 * 64));
    nvtxRangePop();
    moment("array");
    for (int i = 0; i < 5; i++) CHECK(cudaFreeArray(a[i]));
    CHECK(cudaFreeMipmappedArray(mip));
    gone(ARRAY, kinds[ARRAY].live);
}

/* ---- pools and graphs ---- */

static void stream_ordered(cudaStream_t stream)
{
    void *p[4], *plain;
    cudaMemPoolProps props = {};
    unsigned long long keep = UINT64_MAX;

    nvtxRangePushA("async");
    CHECK(cudaDeviceGetDefaultMemPool(&default_pool, 0));
    CHECK(cudaMallocAsync(&p[0], 3 * MIB, stream));
    made(ASYNC, 3 * MIB);
    CHECK(cudaMallocAsync(&p[1], 3000, stream));
    made(ASYNC, 3000);
    props.allocType = cudaMemAllocationTypePinned;
    props.location.type = cudaMemLocationTypeDevice;
    CHECK(cudaMemPoolCreate(&own_pool, &props));
    CHECK(cudaMemPoolSetAttribute(own_pool, cudaMemPoolAttrReleaseThreshold, &keep));
    CHECK(cudaMallocFromPoolAsync(&p[2], 5 * MIB, own_pool, stream));
    made(ASYNC, 5 * MIB);
    CHECK(cudaMallocFromPoolAsync(&p[3], 40 * MIB, own_pool, stream));
    made(ASYNC, 40 * MIB);
    moment("async");
    CHECK(cudaFreeAsync(p[0], stream));
    CHECK(cudaFree(p[1])); /* a plain free of a pool's memory */
    CHECK(cudaFreeAsync(p[2], stream));
    CHECK(cudaFreeAsync(p[3], stream));
    CHECK(cudaStreamSynchronize(stream)); /* the default pool gives back, the own one keeps */
    CHECK(cudaMalloc(&plain, 2 * MIB));
    made(DEVICE, 2 * MIB);
    moment("async_kept");
    CHECK(cudaMemPoolTrimTo(own_pool, 0));
    moment("async_trimmed");
    CHECK(cudaMemPoolDestroy(own_pool));
    own_pool = nullptr;
    CHECK(cudaFree(plain));
    gone(DEVICE, 2 * MIB);
    nvtxRangePop();
}

static void add_nodes(cudaGraph_t graph)
{
    cudaGraphNode_t alloc, freed, node;
    cudaMemAllocNodeParams p = {};
    cudaGraphNodeParams any = {}, end = {};

    p.poolProps.allocType = cudaMemAllocationTypePinned;
    p.poolProps.location.type = cudaMemLocationTypeDevice;
    p.bytesize = 9 * MIB;
    CHECK(cudaGraphAddMemAllocNode(&alloc, graph, nullptr, 0, &p));
    made(CAPTURED, 9 * MIB);
    CHECK(cudaGraphAddMemFreeNode(&freed, graph, &alloc, 1, p.dptr));
    any.type = cudaGraphNodeTypeMemAlloc;
    any.alloc.poolProps = p.poolProps;
    any.alloc.bytesize = 2 * MIB;
    CHECK(cudaGraphAddNode(&alloc, graph, nullptr, nullptr, 0, &any));
    made(CAPTURED, 2 * MIB);
    end.type = cudaGraphNodeTypeMemFree;
    end.free.dptr = any.alloc.dptr;
    CHECK(cudaGraphAddNode(&node, graph, &alloc, nullptr, 1, &end));
}

static void graphs(cudaStream_t stream)
{
    cudaGraph_t captured, built;
    cudaGraphExec_t exec[2];
    void *p;

    nvtxRangePushA("graph");
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(cudaMallocAsync(&p, 6 * MIB, stream));
    made(CAPTURED, 6 * MIB);
    CHECK(cudaFreeAsync(p, stream));
    CHECK(cudaStreamEndCapture(stream, &captured));
    CHECK(cudaGraphCreate(&built, 0));
    add_nodes(built);
    CHECK(cudaGraphInstantiate(&exec[0], captured, 0));
    CHECK(cudaGraphInstantiate(&exec[1], built, 0));
    for (int i = 0; i < 4; i++) {
        CHECK(cudaGraphLaunch(exec[i % 2], stream));
        CHECK(cudaStreamSynchronize(stream));
    }
    moment("graph");
    for (int i = 0; i < 2; i++) CHECK(cudaGraphExecDestroy(exec[i]));
    CHECK(cudaGraphDestroy(captured));
    CHECK(cudaGraphDestroy(built));
    CHECK(cudaDeviceGraphMemTrim(0));
    moment("graph_trimmed");
    nvtxRangePop();
}

/* ---- virtual memory ---- */

template <typename F> static F driver(const char *name, int version)
{
    void *f = nullptr;
    cudaDriverEntryPointQueryResult result;
    CHECK(cudaGetDriverEntryPointByVersion(name, &f, version, cudaEnableDefault, &result));
    return (F)f;
}
#define DRIVER(name, version) auto name##_ = driver<decltype(&name)>(#name, version)

static void virtual_memory()
{
    DRIVER(cuMemCreate, 10020);
    DRIVER(cuMemAddressReserve, 10020);
    DRIVER(cuMemAddressFree, 10020);
    DRIVER(cuMemMap, 10020);
    DRIVER(cuMemSetAccess, 10020);
    DRIVER(cuMemUnmap, 10020);
    DRIVER(cuMemRelease, 10020);
    DRIVER(cuMemRetainAllocationHandle, 11000);
    CUmemAllocationProp prop = {};
    CUmemAccessDesc access = {};
    CUmemGenericAllocationHandle handle, again, unused;
    CUdeviceptr va;

    nvtxRangePushA("virtual");
    prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access.location = prop.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    CHECK(cuMemCreate_(&handle, 4 * MIB, &prop, 0));
    CHECK(cuMemCreate_(&unused, 2 * MIB, &prop, 0)); /* never mapped */
    made(VIRTUAL, 4 * MIB);
    made(VIRTUAL, 2 * MIB);
    CHECK(cuMemAddressReserve_(&va, 8 * MIB, 0, 0, 0));
    CHECK(cuMemMap_(va, 4 * MIB, 0, handle, 0)); /* twice: the bytes count once */
    CHECK(cuMemMap_(va + 4 * MIB, 4 * MIB, 0, handle, 0));
    CHECK(cuMemSetAccess_(va, 8 * MIB, &access, 1));
    CHECK(cuMemRetainAllocationHandle_(&again, (void *)va));
    moment("virtual");
    CHECK(cuMemRelease_(unused));
    gone(VIRTUAL, 2 * MIB);
    CHECK(cuMemRelease_(handle));
    CHECK(cuMemRelease_(again));
    CHECK(cuMemUnmap_(va, 4 * MIB));
    moment("virtual_half"); /* one mapping left holds it */
    CHECK(cuMemUnmap_(va + 4 * MIB, 4 * MIB));
    gone(VIRTUAL, 4 * MIB);
    moment("virtual_gone");
    CHECK(cuMemAddressFree_(va, 8 * MIB));
    nvtxRangePop();
}

/* ---- another process ---- */

static int import(const char *hex)
{
    cudaIpcMemHandle_t h;
    void *theirs, *ours;
    unsigned byte;
    for (size_t i = 0; i < sizeof h; i++) {
        sscanf(hex + 2 * i, "%2x", &byte);
        ((unsigned char *)&h)[i] = (unsigned char)byte;
    }
    CHECK(cudaMalloc(&ours, MIB));
    CHECK(cudaIpcOpenMemHandle(&theirs, h, cudaIpcMemLazyEnablePeerAccess));
    CHECK(cudaIpcCloseMemHandle(theirs));
    CHECK(cudaIpcOpenMemHandle(&theirs, h, cudaIpcMemLazyEnablePeerAccess)); /* left open */
    CHECK(cudaFree(ours));
    return 0;
}

static pid_t exported(char *program, void *p)
{
    cudaIpcMemHandle_t h;
    char hex[2 * sizeof h + 1];
    char *const argv[] = {program, (char *)"import", hex, nullptr};
    int status;
    CHECK(cudaIpcGetMemHandle(&h, p));
    for (size_t i = 0; i < sizeof h; i++) snprintf(hex + 2 * i, 3, "%02x", ((unsigned char *)&h)[i]);
    pid_t child = fork();
    if (!child) {
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    if (waitpid(child, &status, 0) != child || status) exit(4);
    return child;
}

/* ---- work, on a thread of its own ---- */

static void *work(void *buffer)
{
    static float host[BYTES / sizeof(float)];
    float *p = (float *)buffer;
    cudaStream_t stream;
    cudaEvent_t event[4];
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    int i;

    worker_tid = syscall(SYS_gettid);
    pthread_setname_np(pthread_self(), "oracle-worker");
    nvtxRangePushA("work");
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (i = 0; i < 4; i++) CHECK(cudaEventCreate(&event[i]));
    for (i = 0; i < 13; i++) thirteen<<<1, 32, 0, i % 2 ? stream : 0>>>(p);
    CHECK(cudaDeviceSynchronize());
    for (i = 0; i < TO; i++) CHECK(cudaMemcpyAsync(p, host, BYTES, cudaMemcpyHostToDevice, i % 2 ? stream : 0));
    for (i = 0; i < FROM; i++) CHECK(cudaMemcpy(host, p, BYTES, cudaMemcpyDeviceToHost));
    for (i = 0; i < WITHIN; i++) CHECK(cudaMemcpy(p, p + BYTES, BYTES, cudaMemcpyDeviceToDevice));
    for (i = 0; i < SETS; i++) CHECK(cudaMemset(p, i, BYTES));
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (i = 0; i < 5; i++) in_graph<<<1, 32, 0, stream>>>(p);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    for (i = 0; i < 3; i++) CHECK(cudaGraphLaunch(exec, stream));
    for (i = 0; i < 4; i++) CHECK(cudaEventRecord(event[i], stream));
    CHECK(cudaDeviceSynchronize());
    for (i = 0; i < 4; i++) CHECK(cudaEventDestroy(event[i]));
    CHECK(cudaStreamDestroy(stream));
    nvtxRangePop();
    return nullptr;
}

int main(int argc, char **argv)
{
    static char mine[65536] __attribute__((aligned(4096)));
    void *kept, *p[3], *managed, *host[2];
    cudaDeviceProp properties;
    cudaStream_t stream;
    pthread_t thread;
    size_t free_start, total;

    if (argc == 3 && !strcmp(argv[1], "import")) return import(argv[2]);
    CHECK(cudaFree(0));
    CHECK(cudaGetDeviceProperties(&properties, 0));
    nvtxRangePushA("start");
    touch<<<1, 1>>>(); /* now the module is loaded, static variables and all */
    CHECK(cudaDeviceSynchronize());
    nvtxRangePop();
    CHECK(cudaMemGetInfo(&free_start, &total));
    device(p, &managed, host, mine);
    arrays();
    CHECK(cudaStreamCreate(&stream));
    stream_ordered(stream);
    graphs(stream);
    virtual_memory();
    CHECK(cudaMalloc(&kept, 4 * MIB));
    made(DEVICE, 4 * MIB);
    pid_t importer = exported(argv[0], kept);
    CHECK(pthread_create(&thread, nullptr, work, kept));
    CHECK(pthread_join(thread, nullptr));
    CHECK(cudaStreamDestroy(stream));
    moment("end");
    usleep(600000); /* long enough for a sample of the driver's free memory */
    int cupti = cupti_is_here();
    CHECK(cudaDeviceReset()); /* `kept` goes with the context */
    gone(DEVICE, kinds[DEVICE].live);
    CHECK(cudaDeviceGetDefaultMemPool(&default_pool, 0));
    moment("reset");
    print(&properties, free_start, importer, cupti);
    return 0;
}
