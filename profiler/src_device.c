/* SPDX-License-Identifier: MIT
 *
 * src_device.c: the source "device": the driver's view of whole devices, every process included, sampled over time.
 * Asks NVML on the helper thread, and only about devices this process uses. Must never make a CUDA call or a context.
 *
 * NVML is opened, never linked. Measured on an H200: memory 4 us, list of processes 13 us; so the list is asked for only
 * when the device's memory has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "config.h"
#include "driver.h"
#include "lookup.h"
#include "say.h"
#include "source.h"

struct memory_v1 { /* nvmlMemory_t: used includes what the driver reserves */
    unsigned long long total, free, used;
};
struct memory_v2 { /* nvmlMemory_v2_t */
    unsigned version;
    unsigned long long total, reserved, free, used;
};
struct process_info { /* nvmlProcessInfo_v2_t, used by _v2 and _v3 */
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};
enum { MAX_PROCESSES = 128, FAILURES = 5 };

/* X(exported name, parameters) */
#define NVML_CALLS(X)                                                                                          \
    X(nvmlInit_v2, (void))                                                                                     \
    X(nvmlShutdown, (void))                                                                                    \
    X(nvmlDeviceGetHandleByUUID, (const char *uuid, void **device))                                            \
    X(nvmlDeviceGetMemoryInfo, (void *device, struct memory_v1 *memory))                                       \
    X(nvmlDeviceGetMemoryInfo_v2, (void *device, struct memory_v2 *memory))                                    \
    X(nvmlDeviceGetComputeRunningProcesses_v3, (void *device, unsigned *count, struct process_info *processes))

static struct {
#define X(name, params) int(*name) params;
    NVML_CALLS(X)
#undef X
} nvml;

enum state {
    CLOSED = 0, /* no device in use yet */
    READY,      /* NVML answers */
    OFF         /* it is not there, or failed too often; said once */
};
static enum state state;
static uint32_t failures;

static struct device {
    void *handle;
    bool known, recorded;
    uint64_t used, free, process_used; /* last looked at */
    uint64_t ts_ns;
} devices[VS_MAX_DEVICES];

static void turn_off(const char *why)
{
    state = OFF;
    vs_say_once(VS_SAY_INFO, "%s: memory of whole devices is not sampled", why);
}

static void open_nvml(void)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        turn_off("no libnvidia-ml.so.1");
        return;
    }
#define X(name, params) nvml.name = (__typeof__(nvml.name))vs_real_dlsym(library, #name);
    NVML_CALLS(X)
#undef X
    if (!nvml.nvmlInit_v2 || !nvml.nvmlDeviceGetHandleByUUID || nvml.nvmlInit_v2())
        turn_off("NVML cannot be used");
    else
        state = READY;
}

/* CUDA ordinals and NVML's order differ (CUDA_VISIBLE_DEVICES); the UUID is the same. */
static bool find_handle(int ordinal, struct device *d)
{
    static const char *const prefixes[] = {"GPU", "MIG"};
    const struct vs_driver_device *cuda = vs_driver_device(ordinal);
    const unsigned char *u = cuda->uuid;
    char text[64];
    size_t i;

    if (d->known)
        return d->handle != NULL;
    d->known = true;
    for (i = 0; cuda->has_uuid && !d->handle && i < sizeof prefixes / sizeof *prefixes; i++) {
        snprintf(text, sizeof text, "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", prefixes[i],
                 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
        if (nvml.nvmlDeviceGetHandleByUUID(text, &d->handle))
            d->handle = NULL;
    }
    if (!d->handle)
        vs_say(VS_SAY_INFO, "NVML does not know device %d: its memory as a whole is not sampled", ordinal);
    return d->handle != NULL;
}

static bool ask_memory(void *handle, uint64_t *used, uint64_t *unused)
{
    struct memory_v2 v2 = {.version = (unsigned)sizeof v2 | 2u << 24};
    struct memory_v1 v1 = {0, 0, 0};
    if (nvml.nvmlDeviceGetMemoryInfo_v2 && !nvml.nvmlDeviceGetMemoryInfo_v2(handle, &v2)) {
        *used = v2.used;
        *unused = v2.free;
        return true;
    }
    if (!nvml.nvmlDeviceGetMemoryInfo || nvml.nvmlDeviceGetMemoryInfo(handle, &v1))
        return false;
    *used = v1.used;
    *unused = v1.free;
    return true;
}

/* UINT64_MAX: this process is not in the list (another pid namespace), or the driver does not tell. */
static uint64_t ask_process(void *handle)
{
    static struct process_info list[MAX_PROCESSES];
    unsigned count = MAX_PROCESSES, i, pid = (unsigned)getpid();
    if (!nvml.nvmlDeviceGetComputeRunningProcesses_v3 ||
        nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle, &count, list))
        return UINT64_MAX;
    for (i = 0; i < count && i < MAX_PROCESSES; i++)
        if (list[i].pid == pid)
            return list[i].used;
    return UINT64_MAX;
}

static void append(int ordinal, struct device *d)
{
    struct vs_rec_device_memory *r = vs_log_begin(VS_K_DEVICE_MEMORY, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, 0, ordinal);
    r->ts_ns = d->ts_ns;
    r->used_bytes = d->used;
    r->free_bytes = d->free;
    r->process_used_bytes = d->process_used;
    vs_log_commit(r);
    d->recorded = true;
}

static void sample(int ordinal, bool last)
{
    struct device *d = &devices[ordinal];
    uint64_t used, unused, now;
    bool changed;

    if (!find_handle(ordinal, d))
        return;
    now = vs_now();
    if (!ask_memory(d->handle, &used, &unused)) {
        if (++failures >= FAILURES)
            turn_off("NVML fails");
        return;
    }
    failures = 0;
    changed = !d->ts_ns || used != d->used || unused != d->free;
    /* The last sample of a flat stretch is recorded too, so that a chart's line does not slope across it. */
    if (changed && d->ts_ns && !d->recorded)
        append(ordinal, d);
    d->ts_ns = now;
    d->used = used;
    d->free = unused;
    d->recorded = false;
    if (changed || last) {
        d->process_used = ask_process(d->handle);
        append(ordinal, d);
    }
}

static void look(bool last)
{
    uint64_t left = vs_driver_devices();

    if (!left || !vs_config()->sample_ms || state == OFF)
        return;
    if (state == CLOSED && last)
        return; /* too late to begin */
    if (state == CLOSED)
        open_nvml();
    for (; left && state == READY; left &= left - 1)
        sample(__builtin_ctzll(left), last);
}

static void look_now(void)
{
    look(false);
}

static void stop(void)
{
    look(true);
    if (state == READY && nvml.nvmlShutdown)
        nvml.nvmlShutdown(); /* counted by NVML: the program's own use of it goes on */
    state = OFF;
}

static void fork_child(void)
{
    int i;
    state = CLOSED;
    failures = 0;
    for (i = 0; i < VS_MAX_DEVICES; i++)
        devices[i] = (struct device){.known = false};
}

const struct vs_source_ops vs_source_device = {
    .name = "device",
    .sample = look_now,
    .stop = stop,
    .fork_child = fork_child,
};
