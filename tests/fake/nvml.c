/* SPDX-License-Identifier: MIT
 *
 * nvml.c: a stand-in for NVML (libnvidia-ml.so.1). It asks the stand-in driver, as the real ones agree with each other:
 * FAKE_NVML_OTHER_MB (16) is what other processes use. The devices come in reverse order, as CUDA_VISIBLE_DEVICES may do.
 */
#include <dlfcn.h>
#include <stdint.h>
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

/* FAKE_NVML_USED_MB: what this process uses; it may be changed while it runs. */
static unsigned long long process_used(void)
{
    const char *text = getenv("FAKE_NVML_USED_MB");
    return (unsigned long long)(text ? atol(text) : 100) << 20;
}
static unsigned long long others_used(void)
{
    const char *text = getenv("FAKE_NVML_OTHER_MB");
    return (unsigned long long)(text ? atol(text) : 16) << 20;
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
API(nvmlDeviceGetMemoryInfo, (void *device, struct memory_v1 *m))
{
    (void)device;
    *m = (struct memory_v1){total, total - reserved - process_used() - others_used(), reserved + process_used() + others_used()};
    return 0;
}
API(nvmlDeviceGetMemoryInfo_v2, (void *device, struct memory_v2 *m))
{
    (void)device;
    if (m->version != ((unsigned)sizeof *m | 2u << 24))
        return 25;
    *m = (struct memory_v2){m->version, total, reserved, total - reserved - process_used() - others_used(), process_used() + others_used()};
    return 0;
}
API(nvmlDeviceGetComputeRunningProcesses_v3, (void *device, unsigned *count, struct process_info *list))
{
    (void)device;
    list[0] = (struct process_info){1, others_used(), 0, 0};
    list[1] = (struct process_info){(unsigned)getpid(), process_used(), 0, 0};
    *count = 2;
    return 0;
}
