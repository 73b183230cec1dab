/* SPDX-License-Identifier: MIT
 *
 * src_device.c: the source "device": the driver's view of whole devices, every process included: sampled over time on the
 * helper thread, and asked by the application's threads around the few calls that are measured (driver_module.c). Only
 * devices this process uses are asked about. Must never make a context, nor wait for NVML to be opened; of CUDA it asks a
 * device's UUID and no more.
 *
 * NVML is opened, never linked. Measured on an H200: memory 4 us, list of processes 13 us; so the list is asked for only
 * when the device's memory has changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "driver.h"
#include "helper.h"
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
enum { MAX_PROCESSES = 64, FAILURES = 5, TRIES = 4 };
#define HEARTBEAT_NS 1000000000u /* what is inside the same driver-used may change: a sample at least as often */

/* X(exported name, parameters) */
#define NVML_CALLS(X)                                                                                          \
    X(nvmlInit_v2, (void))                                                                                     \
    X(nvmlShutdown, (void))                                                                                    \
    X(nvmlDeviceGetCount_v2, (unsigned *count))                                                                \
    X(nvmlDeviceGetHandleByIndex_v2, (unsigned index, void **device))                                          \
    X(nvmlDeviceGetUUID, (void *device, char *uuid, unsigned bytes))                                           \
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
static uint32_t state; /* enum state; atomic */
static uint32_t attached; /* the program uses the driver; atomic */
static uint32_t asking; /* threads inside NVML; atomic */
static uint32_t distrusted; /* the list of processes; atomic */
static uint32_t failures;

/* What NVML has, looked up before anybody waits for it: 7 ms a device. Constant once READY. */
static struct listed {
    char uuid[96];
    void *handle;
} listed[VS_MAX_DEVICES];
static unsigned nlisted;

static struct device {
    void *handle;   /* NULL: NVML does not know it; atomic */
    uint32_t known; /* it was looked for; atomic */
    /* of the helper thread */
    bool recorded, unsettled; /* as of the last record */
    struct vs_device_use use; /* last looked at */
    uint64_t ts_ns, recorded_ns;
} devices[VS_MAX_DEVICES];

static void turn_off(const char *why)
{
    __atomic_store_n(&state, OFF, __ATOMIC_SEQ_CST);
    vs_say_once(VS_SAY_INFO, "%s: memory of whole devices is not sampled", why);
}

static void look_up_all(void)
{
    unsigned count = 0, i;
    nlisted = 0;
    if (!nvml.nvmlDeviceGetCount_v2 || !nvml.nvmlDeviceGetHandleByIndex_v2 || !nvml.nvmlDeviceGetUUID ||
        nvml.nvmlDeviceGetCount_v2(&count))
        return;
    for (i = 0; i < count && nlisted < VS_MAX_DEVICES; i++) {
        struct listed *k = &listed[nlisted];
        if (!nvml.nvmlDeviceGetHandleByIndex_v2(i, &k->handle) &&
            !nvml.nvmlDeviceGetUUID(k->handle, k->uuid, sizeof k->uuid))
            nlisted++;
    }
}

static void *handle_of(const char *uuid)
{
    void *handle = NULL;
    unsigned i;
    for (i = 0; i < nlisted; i++)
        if (!strcmp(listed[i].uuid, uuid))
            return listed[i].handle;
    return nvml.nvmlDeviceGetHandleByUUID(uuid, &handle) ? NULL : handle;
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
    if (!nvml.nvmlInit_v2 || !nvml.nvmlDeviceGetHandleByUUID || nvml.nvmlInit_v2()) {
        turn_off("NVML cannot be used");
        return;
    }
    look_up_all();
    __atomic_store_n(&state, READY, __ATOMIC_RELEASE);
}

/* CUDA ordinals and NVML's order differ (CUDA_VISIBLE_DEVICES); the UUID is the same. */
static void *find_handle(int ordinal)
{
    static const char *const prefixes[] = {"GPU", "MIG"};
    struct device *d = &devices[ordinal];
    unsigned char u[16];
    void *handle = NULL;
    char text[64];
    size_t i;

    if (__atomic_load_n(&d->known, __ATOMIC_ACQUIRE))
        return __atomic_load_n(&d->handle, __ATOMIC_RELAXED);
    if (!vs_driver_device_uuid(ordinal, u))
        return NULL;
    for (i = 0; !handle && i < sizeof prefixes / sizeof *prefixes; i++) {
        snprintf(text, sizeof text, "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", prefixes[i],
                     u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
        handle = handle_of(text);
    }
    __atomic_store_n(&d->handle, handle, __ATOMIC_RELAXED);
    if (!__atomic_exchange_n(&d->known, 1, __ATOMIC_ACQ_REL) && !handle)
        vs_say(VS_SAY_INFO, "NVML does not know device %d: its memory as a whole is not sampled", ordinal);
    return handle;
}

static bool ask_memory(void *handle, struct vs_device_use *use)
{
    struct memory_v2 v2 = {.version = (unsigned)sizeof v2 | 2u << 24};
    struct memory_v1 v1 = {0, 0, 0};
    use->process = use->others = UINT64_MAX;
    if (nvml.nvmlDeviceGetMemoryInfo_v2 && !nvml.nvmlDeviceGetMemoryInfo_v2(handle, &v2)) {
        use->used = v2.used;
        use->unused = v2.free;
        return true;
    }
    if (!nvml.nvmlDeviceGetMemoryInfo || nvml.nvmlDeviceGetMemoryInfo(handle, &v1))
        return false;
    use->used = v1.used;
    use->unused = v1.free;
    return true;
}

/* Both stay unknown when this process is not in the list: then its numbers are of another pid namespace, and who of them is
 * this process nobody can tell. Or when the driver does not say how much one of them uses. */
static void ask_processes(void *handle, struct vs_device_use *use)
{
    struct process_info list[MAX_PROCESSES];
    unsigned count = MAX_PROCESSES, i, pid = (unsigned)getpid();
    uint64_t own = UINT64_MAX, others = 0;
    if (__atomic_load_n(&distrusted, __ATOMIC_RELAXED) || !nvml.nvmlDeviceGetComputeRunningProcesses_v3 ||
        nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle, &count, list))
        return;
    for (i = 0; i < count && i < MAX_PROCESSES; i++) {
        if (list[i].used == UINT64_MAX)
            return;
        if (list[i].pid == pid)
            own = list[i].used;
        else
            others += list[i].used;
    }
    if (own == UINT64_MAX)
        return;
    use->process = own;
    use->others = others;
}

/* ---- any thread ---- */

bool vs_device_ask(int device, struct vs_device_use *use)
{
    int saved = errno, cancel;
    void *handle;
    bool known = false;

    if (device < 0 || device >= VS_MAX_DEVICES || __atomic_load_n(&state, __ATOMIC_ACQUIRE) != READY)
        return false;
    /* A thread that is cancelled in NVML's ioctl would leave NVML's locks, and our counts, as they are. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    __atomic_fetch_add(&asking, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&state, __ATOMIC_SEQ_CST) == READY) {
        vs_marks()->own++;
        if ((handle = find_handle(device)) && (known = ask_memory(handle, use)))
            ask_processes(handle, use);
        vs_marks()->own--;
    }
    __atomic_fetch_sub(&asking, 1, __ATOMIC_SEQ_CST);
    pthread_setcancelstate(cancel, NULL);
    errno = saved;
    return known;
}

void vs_device_distrust(void)
{
    __atomic_store_n(&distrusted, 1, __ATOMIC_RELAXED);
}

/* Was memory in motion? */
static bool append(int device, const struct vs_device_use *use, uint64_t ts_ns, uint8_t flags, uint64_t activity)
{
    struct vs_rec_device_memory *r = vs_log_begin(VS_K_DEVICE_MEMORY, sizeof *r);
    if (!r)
        return true;
    r->seq = vs_log_seq();
    if (!(flags & VS_DM_EARLIER) && vs_driver_activity() != activity)
        flags |= VS_DM_UNSETTLED;
    vs_rec_set(r, flags, device);
    r->ts_ns = ts_ns;
    r->used_bytes = use->used;
    r->free_bytes = use->unused;
    r->process_used_bytes = use->process;
    r->others_used_bytes = use->others;
    vs_log_commit(r);
    return flags & VS_DM_UNSETTLED;
}

/* Inside the hook of the call that was refused: it alone is no change. */
void vs_device_failed(int device)
{
    uint64_t activity = vs_driver_activity(), ts_ns = vs_now();
    struct vs_device_use use;
    if (vs_config()->sample_ms && vs_device_ask(device, &use))
        append(device, &use, ts_ns, VS_DM_FAILURE | (vs_activity_inside(activity) > 1 ? VS_DM_UNSETTLED : 0), activity);
}

/* ---- helper thread ---- */

/* Again when the program took or gave back memory meanwhile; a few times. A pool may have shrunk without a word. */
static bool look_closely(int ordinal, void *handle, struct device *d, uint64_t *activity)
{
    struct vs_device_use was = d->use, use;
    bool refreshed = false;
    int i;
    for (i = 0; i < TRIES; i++) {
        *activity = vs_driver_activity();
        d->ts_ns = vs_now();
        if (!ask_memory(handle, &use))
            return false;
        if (use.used != was.used && !refreshed) {
            vs_driver_pool_refresh(ordinal);
            refreshed = true;
        } else if (!vs_activity_inside(*activity) && vs_driver_activity() == *activity) {
            break;
        }
    }
    d->use = use;
    return true;
}

static void sample(int ordinal, bool last, bool moved)
{
    struct device *d = &devices[ordinal], was = *d;
    void *handle = find_handle(ordinal);
    uint64_t activity;
    bool changed, due, unsettled;

    if (!handle)
        return;
    if (!look_closely(ordinal, handle, d, &activity)) {
        if (++failures >= FAILURES)
            turn_off("NVML fails");
        return;
    }
    failures = 0;
    changed = !was.ts_ns || d->use.used != was.use.used || d->use.unused != was.use.unused;
    unsettled = vs_activity_inside(activity) != 0;
    due = (moved && d->ts_ns - was.recorded_ns >= HEARTBEAT_NS) || (was.unsettled && !unsettled);
    /* The last sample of a flat stretch is recorded too, so that a chart's line does not slope across it. */
    if (changed && was.ts_ns && !was.recorded)
        append(ordinal, &was.use, was.ts_ns, VS_DM_EARLIER, 0);
    d->recorded = changed || due || last;
    if (!d->recorded) {
        d->use.process = was.use.process;
        d->use.others = was.use.others;
        return;
    }
    vs_measure_tell(ordinal);
    ask_processes(handle, &d->use);
    d->unsettled = append(ordinal, &d->use, d->ts_ns, unsettled ? VS_DM_UNSETTLED : 0, activity);
    d->recorded_ns = d->ts_ns;
}

static void look(bool last)
{
    static uint64_t seen; /* what happened since includes none of our own */
    uint64_t left = vs_driver_devices();
    uint32_t now = __atomic_load_n(&state, __ATOMIC_RELAXED);
    bool moved = vs_log_seq_next() != seen;

    if (!vs_config()->sample_ms || now == OFF || (now == CLOSED && last))
        return;
    if (now == CLOSED && (left || __atomic_load_n(&attached, __ATOMIC_ACQUIRE)))
        open_nvml();
    __atomic_fetch_add(&asking, 1, __ATOMIC_SEQ_CST);
    for (; left && __atomic_load_n(&state, __ATOMIC_SEQ_CST) == READY; left &= left - 1)
        sample(__builtin_ctzll(left), last, moved);
    __atomic_fetch_sub(&asking, 1, __ATOMIC_SEQ_CST);
    seen = vs_log_seq_next();
}

/* As early as can be: the first context is measured too, and it is made soon after this. */
static void start(void)
{
    look(false);
}

void vs_device_attached(void)
{
    __atomic_store_n(&attached, 1, __ATOMIC_RELEASE);
    vs_helper_look();
}

static void look_now(void)
{
    look(false);
}

/* NVML counts its users, so the program's own use of it goes on. A thread of the program that is inside keeps it open. */
static void stop(void)
{
    bool ready = __atomic_load_n(&state, __ATOMIC_RELAXED) == READY;
    look(true);
    ready &= __atomic_exchange_n(&state, OFF, __ATOMIC_SEQ_CST) == READY;
    if (ready && nvml.nvmlShutdown && !__atomic_load_n(&asking, __ATOMIC_SEQ_CST))
        nvml.nvmlShutdown();
}

static void fork_child(void)
{
    int i;
    state = CLOSED;
    attached = asking = distrusted = failures = 0;
    for (i = 0; i < VS_MAX_DEVICES; i++)
        devices[i] = (struct device){.handle = NULL};
}

const struct vs_source_ops vs_source_device = {
    .name = "device",
    .start = start,
    .sample = look_now,
    .stop = stop,
    .fork_child = fork_child,
};
