/* SPDX-License-Identifier: MIT
 *
 * nvml.c: a stand-in for NVML (libnvidia-ml.so.1). It asks the stand-in driver, as the real ones agree with each other, and
 * lists this process once it has a context. The devices come in reverse order, as CUDA_VISIBLE_DEVICES may do.
 *
 * FAKE_NVML_OTHER_MB (16): what another process uses; it may be changed while it runs. FAKE_NVML_PIDS=0: pids are those of
 * another namespace; 2: and the other process's number there is ours here. FAKE_CUDA_DEVICES as in cuda.c.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct memory_v1 {
    unsigned long long total, free, used;
};
struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};
struct process_info {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};
#define API(name, params) \
    int name params;      \
    int name params

static int opened;
static unsigned long long total = 1024ull << 20, reserved = 8ull << 20;

static int setting(const char *name, int standard)
{
    const char *text = getenv(name);
    return text ? atoi(text) : standard;
}

/* Handles are 100 - ordinal. */
static int ordinal_of(void *device)
{
    return 100 - (int)(uintptr_t)device;
}

/* Contexts of this process there, and what it uses. */
static int process_used(void *device, uint64_t *bytes)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    int (*ask)(int, uint64_t *) = NULL;
    *bytes = 0;
    if (driver)
        *(void **)&ask = dlsym(driver, "fake_cuda_memory");
    return ask ? ask(ordinal_of(device), bytes) : 0;
}
static unsigned long long others_used(void)
{
    return (unsigned long long)setting("FAKE_NVML_OTHER_MB", 16) << 20;
}

API(nvmlInit_v2, (void)) { opened++; return 0; }
API(nvmlShutdown, (void)) { return opened-- ? 0 : 1; }
/* The stand-in driver's UUIDs: sixteen times 0xa0 + ordinal. */
API(nvmlDeviceGetHandleByUUID, (const char *uuid, void **device))
{
    if (!opened || strncmp(uuid, "GPU-a", 5) || strlen(uuid) != 40)
        return 6;
    *device = (void *)(uintptr_t)(100 - (uuid[5] - '0'));
    return 0;
}
API(nvmlDeviceGetCount_v2, (unsigned *count)) { *count = (unsigned)setting("FAKE_CUDA_DEVICES", 1); return 0; }
API(nvmlDeviceGetHandleByIndex_v2, (unsigned index, void **device))
{
    *device = (void *)(uintptr_t)(100 - (setting("FAKE_CUDA_DEVICES", 1) - 1 - (int)index));
    return 0;
}
API(nvmlDeviceGetUUID, (void *device, char *uuid, unsigned bytes))
{
    int b = 0xa0 + ordinal_of(device);
    snprintf(uuid, bytes, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b, b, b, b, b, b, b, b, b, b,
             b, b, b, b, b, b);
    return 0;
}
API(nvmlDeviceGetMemoryInfo_v2, (void *device, struct memory_v2 *m))
{
    uint64_t own;
    if (m->version != ((unsigned)sizeof *m | 2u << 24))
        return 25;
    process_used(device, &own);
    *m = (struct memory_v2){m->version, total, reserved, total - reserved - own - others_used(), own + others_used()};
    return 0;
}
API(nvmlDeviceGetMemoryInfo, (void *device, struct memory_v1 *m))
{
    struct memory_v2 v2 = {.version = (unsigned)sizeof v2 | 2u << 24};
    int err = nvmlDeviceGetMemoryInfo_v2(device, &v2);
    *m = (struct memory_v1){v2.total, v2.free, v2.reserved + v2.used};
    return err;
}
API(nvmlDeviceGetComputeRunningProcesses_v3, (void *device, unsigned *count, struct process_info *list))
{
    uint64_t own;
    int contexts = process_used(device, &own);
    unsigned n = 0;
    int pids = setting("FAKE_NVML_PIDS", 1);
    list[n++] = (struct process_info){pids == 2 ? (unsigned)getpid() : 1, others_used(), 0, 0};
    if (contexts)
        list[n++] = (struct process_info){pids == 1 ? (unsigned)getpid() : 2, own, 0, 0};
    *count = n;
    return 0;
}
