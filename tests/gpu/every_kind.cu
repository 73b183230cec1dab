/* SPDX-License-Identifier: MIT
 *
 * every_kind.cu: makes every kind of allocation once or a few times on a real GPU, and a known number of launches, copies
 * and ranges. test_gpu.c knows all its numbers; what depends on the machine is printed as "name value" lines. It must never
 * be told that it is recorded.
 */
#include <cuda.h>
#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define MIB (1ull << 20)
#define CHECK(call)                                                                        \
    do {                                                                                   \
        int err_ = (int)(call);                                                            \
        if (err_) {                                                                        \
            printf("line %d: %s: error %d\n", __LINE__, #call, err_);                      \
            exit(2);                                                                       \
        }                                                                                  \
    } while (0)

__device__ char one_mebibyte[MIB];

__global__ void thirteen(float *p) { p[threadIdx.x] += 1; }
__global__ void in_graph(float *p) { p[threadIdx.x] *= 2; }
__global__ void uses_static(char *out) { *out = one_mebibyte[0]; }

template <typename F> static F driver(const char *name, int version)
{
    void *f = nullptr;
    cudaDriverEntryPointQueryResult result;
    CHECK(cudaGetDriverEntryPointByVersion(name, &f, version, cudaEnableDefault, &result));
    return (F)f;
}

static void memory(float **kept)
{
    void *p[3], *host, *managed, *async[3];
    static char mine[65536] __attribute__((aligned(4096)));
    size_t pitch;
    cudaPitchedPtr box;
    cudaArray_t array[5];
    cudaMipmappedArray_t mip;
    cudaStream_t stream;
    cudaMemPool_t pool;
    cudaMemPoolProps props = {};
    cudaChannelFormatDesc f32 = cudaCreateChannelDesc<float>(), u8x4 = cudaCreateChannelDesc<uchar4>();

    nvtxRangePushA("device");
    CHECK(cudaMalloc(&p[0], 4 * MIB + 1));
    CHECK(cudaMalloc((void **)kept, 4096)); /* lives on */
    CHECK(cudaMallocPitch(&p[1], &pitch, 100, 10));
    CHECK(cudaMalloc3D(&box, make_cudaExtent(100, 10, 3)));
    printf("pitch %zu\nbox_pitch %zu\n", pitch, box.pitch);
    if (cudaMalloc(&p[2], 1ull << 42) != cudaErrorMemoryAllocation) exit(3);
    cudaGetLastError();
    nvtxRangePop();
    nvtxRangePushA("arrays");
    CHECK(cudaMallocArray(&array[0], &f32, 1000, 0));
    CHECK(cudaMallocArray(&array[1], &f32, 100, 10));
    CHECK(cudaMalloc3DArray(&array[2], &u8x4, make_cudaExtent(17, 9, 5)));
    CHECK(cudaMalloc3DArray(&array[3], &f32, make_cudaExtent(20, 10, 7), cudaArrayLayered));
    CHECK(cudaMalloc3DArray(&array[4], &f32, make_cudaExtent(64, 64, 6), cudaArrayCubemap));
    CHECK(cudaMallocMipmappedArray(&mip, &u8x4, make_cudaExtent(256, 256, 0), 5));
    nvtxRangePop();
    nvtxRangePushA("host");
    CHECK(cudaMallocManaged(&managed, 2 * MIB));
    CHECK(cudaMallocHost(&host, 12345));
    CHECK(cudaHostRegister(mine, sizeof mine, 0));
    nvtxRangePop();
    nvtxRangePushA("stream-ordered");
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMallocAsync(&async[0], 3 * MIB, stream));
    CHECK(cudaMallocAsync(&async[1], 3000, stream));
    props.allocType = cudaMemAllocationTypePinned;
    props.location.type = cudaMemLocationTypeDevice;
    CHECK(cudaMemPoolCreate(&pool, &props));
    CHECK(cudaMallocFromPoolAsync(&async[2], 5 * MIB, pool, stream));
    CHECK(cudaFreeAsync(async[0], stream));
    CHECK(cudaFreeAsync(async[1], stream));
    CHECK(cudaFreeAsync(async[2], stream));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaMemPoolDestroy(pool));
    nvtxRangePop();
    CHECK(cudaFree(p[0]));
    CHECK(cudaFree(p[1]));
    CHECK(cudaFree(box.ptr));
    for (int i = 0; i < 5; i++) CHECK(cudaFreeArray(array[i]));
    CHECK(cudaFreeMipmappedArray(mip));
    CHECK(cudaFree(managed));
    CHECK(cudaFreeHost(host));
    CHECK(cudaHostUnregister(mine));
    CHECK(cudaStreamDestroy(stream));
}

static void virtual_memory()
{
    auto create = driver<CUresult (*)(CUmemGenericAllocationHandle *, size_t, const CUmemAllocationProp *, unsigned long long)>("cuMemCreate", 10020);
    auto reserve = driver<CUresult (*)(CUdeviceptr *, size_t, size_t, CUdeviceptr, unsigned long long)>("cuMemAddressReserve", 10020);
    auto map = driver<CUresult (*)(CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long)>("cuMemMap", 10020);
    auto unmap = driver<CUresult (*)(CUdeviceptr, size_t)>("cuMemUnmap", 10020);
    auto release = driver<CUresult (*)(CUmemGenericAllocationHandle)>("cuMemRelease", 10020);
    auto retain = driver<CUresult (*)(CUmemGenericAllocationHandle *, void *)>("cuMemRetainAllocationHandle", 11000);
    CUmemAllocationProp prop = {};
    CUmemGenericAllocationHandle handle, again;
    CUdeviceptr va;

    nvtxRangePushA("virtual");
    prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    CHECK(create(&handle, 4 * MIB, &prop, 0));
    CHECK(reserve(&va, 8 * MIB, 0, 0, 0));
    CHECK(map(va, 4 * MIB, 0, handle, 0)); /* twice: the bytes count once */
    CHECK(map(va + 4 * MIB, 4 * MIB, 0, handle, 0));
    CHECK(retain(&again, (void *)va));
    CHECK(release(handle));
    CHECK(release(again));
    CHECK(unmap(va, 4 * MIB));
    CHECK(unmap(va + 4 * MIB, 4 * MIB));
    nvtxRangePop();
}

static void work(float *p)
{
    static float host[1024];
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    int i;

    nvtxRangePushA("work");
    for (i = 0; i < 13; i++) thirteen<<<1, 32>>>(p);
    uses_static<<<1, 1>>>((char *)p);
    for (i = 0; i < 7; i++) CHECK(cudaMemcpy(p, host, sizeof host, cudaMemcpyHostToDevice));
    for (i = 0; i < 5; i++) CHECK(cudaMemcpy(host, p, sizeof host, cudaMemcpyDeviceToHost));
    for (i = 0; i < 3; i++) CHECK(cudaMemcpy(p, p + 512, 2048, cudaMemcpyDeviceToDevice));
    for (i = 0; i < 4; i++) CHECK(cudaMemset(p, i, 4096));
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (i = 0; i < 5; i++) in_graph<<<1, 32, 0, stream>>>(p);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    for (i = 0; i < 3; i++) CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaGetLastError());
    nvtxRangePop();
}

int main()
{
    size_t before, after, total;
    float *kept;
    char line[1024];
    int cupti = 0;
    FILE *maps;

    CHECK(cudaFree(0));
    CHECK(cudaMemGetInfo(&before, &total));
    nvtxRangePushA("all");
    memory(&kept);
    virtual_memory();
    work(kept);
    nvtxRangePop();
    CHECK(cudaMemGetInfo(&after, &total));
    usleep(400000); /* long enough for a sample of the driver's used memory */
    maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) cupti |= strstr(line, "libcupti") != NULL;
    printf("free_before %zu\nfree_after %zu\ntotal %zu\ncupti %d\n", before, after, total, cupti);
    return 0;
}
