/* SPDX-License-Identifier: MIT
 *
 * account.h: what oracle.cu knows of itself, and the one line of JSON that tells it. Must never ask anybody but the driver.
 *
 * "held" is what the program has asked of the device, pools and graph pools with what the driver says that they reserve. A
 * moment is an NVTX mark of that name, set when nothing else runs.
 */
#ifndef VS_TESTS_ACCOUNT_H
#define VS_TESTS_ACCOUNT_H

#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define MIB (1ull << 20)
#define CHECK(call)                                                    \
    do {                                                               \
        int err_ = (int)(call);                                        \
        if (err_) {                                                    \
            fprintf(stderr, "line %d: %s: error %d\n", __LINE__, #call, err_); \
            exit(2);                                                   \
        }                                                              \
    } while (0)

enum kind { DEVICE, VIRTUAL, ARRAY, MANAGED, PINNED, REGISTERED, ASYNC, CAPTURED, KINDS };
static const char *const kind_names[KINDS] = {"device", "virtual",    "array", "managed",
                                              "pinned", "registered", "async", "captured"};
static struct {
    unsigned n;
    uint64_t bytes, live;
} kinds[KINDS];

enum { MOMENTS = 16 };
static struct {
    const char *name;
    uint64_t held, managed;
    size_t free;
} moments[MOMENTS];
static int nmoments;

static cudaMemPool_t default_pool, own_pool;
static uint64_t reserved_most[3]; /* default pool, own pool, graphs: at any moment */

static void made(enum kind k, uint64_t bytes)
{
    kinds[k].n++;
    kinds[k].bytes += bytes;
    kinds[k].live += bytes;
}

static void gone(enum kind k, uint64_t bytes)
{
    kinds[k].live -= bytes;
}

static uint64_t reserved(int which)
{
    unsigned long long bytes = 0;
    if (which == 2)
        CHECK(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrReservedMemCurrent, &bytes));
    else if (which ? own_pool : default_pool)
        CHECK(cudaMemPoolGetAttribute(which ? own_pool : default_pool, cudaMemPoolAttrReservedMemCurrent, &bytes));
    if (bytes > reserved_most[which]) reserved_most[which] = bytes;
    return bytes;
}

static void moment(const char *name)
{
    size_t total;
    CHECK(cudaDeviceSynchronize());
    moments[nmoments].name = name;
    moments[nmoments].managed = kinds[MANAGED].live;
    moments[nmoments].held = kinds[DEVICE].live + kinds[VIRTUAL].live + kinds[ARRAY].live + kinds[MANAGED].live +
                             reserved(0) + reserved(1) + reserved(2);
    CHECK(cudaMemGetInfo(&moments[nmoments].free, &total));
    nvtxMarkA(name);
    nmoments++;
}

static struct {
    size_t free, total;
    uint64_t asked;
} failure;

static long worker_tid;
enum { WORDS = 2500, TO = 7, FROM = 5, WITHIN = 3, SETS = 4, BYTES = 4096 };

static int cupti_is_here()
{
    char line[4096];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) found |= strstr(line, "libcupti") != nullptr;
    if (maps) fclose(maps);
    return found;
}

static void print(const cudaDeviceProp *d, size_t free_start, pid_t importer, int cupti)
{
    const unsigned char *u = (const unsigned char *)d->uuid.bytes;
    printf("{\"pid\": %d, \"importer\": %d, \"worker\": %ld, \"cupti\": %d", getpid(), importer, worker_tid, cupti);
    printf(", \"free_start\": %zu, \"name\": \"%s\", \"total\": %zu, \"uuid\": \"GPU-", free_start, d->name, d->totalGlobalMem);
    for (int i = 0; i < 16; i++) printf(i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
    printf("\", \"failure\": {\"asked\": %llu, \"free\": %zu, \"total\": %zu}", (unsigned long long)failure.asked, failure.free,
           failure.total);
    printf(", \"reserved\": {\"default\": %llu, \"own\": %llu, \"graph\": %llu}", (unsigned long long)reserved_most[0],
           (unsigned long long)reserved_most[1], (unsigned long long)reserved_most[2]);
    printf(", \"static\": {\"one_mebibyte\": %llu, \"managed_words\": %d}", MIB, WORDS * 4);
    printf(", \"transfers\": {\"HtoD\": %d, \"DtoH\": %d, \"DtoD\": %d, \"set\": %d, \"each\": %d}",
           TO, FROM, WITHIN, SETS, BYTES);
    for (int i = 0; i < KINDS; i++)
        printf("%s\"%s\": {\"count\": %u, \"bytes\": %llu}", i ? ", " : ", \"kinds\": {", kind_names[i], kinds[i].n,
               (unsigned long long)kinds[i].bytes);
    for (int i = 0; i < nmoments; i++)
        printf("%s{\"name\": \"%s\", \"held\": %llu, \"managed\": %llu, \"free\": %zu}", i ? ", " : "}, \"moments\": [",
               moments[i].name, (unsigned long long)moments[i].held, (unsigned long long)moments[i].managed, moments[i].free);
    printf("]}\n");
}

#endif
