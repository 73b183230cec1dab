/* SPDX-License-Identifier: MIT
 *
 * driver_context.c: stands in front of the calls that make and end contexts, and knows which devices the process uses.
 * Must never hold a context: primary contexts are counted by the driver, and ours would keep one alive.
 */
#include <errno.h>
#include <string.h>

#include "driver.h"

static uint64_t primary[VS_MAX_DEVICES]; /* CUcontext, 0: not seen; atomic */
static uint64_t used;                    /* a bit per device; atomic */
static uint32_t epoch;                   /* of the recording all this belongs to; atomic */

void vs_driver_check_epoch(void)
{
    uint32_t now = vs_log_epoch(), seen = __atomic_load_n(&epoch, __ATOMIC_RELAXED);
    if (now == seen || !now)
        return;
    if (__atomic_compare_exchange_n(&epoch, &seen, now, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) && seen) {
        __atomic_store_n(&used, 0, __ATOMIC_RELAXED);
        memset(primary, 0, sizeof primary);
        vs_driver_pool_forget();
        vs_measure_reset();
    }
}

uint64_t vs_driver_devices(void)
{
    return __atomic_load_n(&used, __ATOMIC_ACQUIRE);
}

/* "0000:3b:00.0" -> domain << 16 | bus << 8 | device */
static uint32_t parse_pci(const char *text)
{
    uint32_t part[3] = {0, 0, 0}, i = 0;
    for (; *text && i < 3; text++) {
        uint32_t c = (unsigned char)*text;
        if (c == ':' || c == '.')
            i++;
        else
            part[i] = part[i] << 4 | (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return part[0] << 16 | part[1] << 8 | part[2];
}

bool vs_driver_device_uuid(int device, unsigned char uuid[16])
{
    struct vs_cu_uuid asked;
    int (*get_uuid)(struct vs_cu_uuid *, int);
    if (!vs_driver_fill())
        return false;
    get_uuid = vs_cu(cuDeviceGetUuid_v2) ? vs_cu(cuDeviceGetUuid_v2) : vs_cu(cuDeviceGetUuid);
    if (!get_uuid || get_uuid(&asked, device) != VS_CU_SUCCESS)
        return false;
    memcpy(uuid, asked.bytes, sizeof asked.bytes);
    return true;
}

static void append_device(int device)
{
    char name[256] = "", pci[32] = "";
    unsigned char uuid[16] = {0};
    size_t total = 0;
    struct vs_rec_device *r;

    if (!vs_driver_fill())
        return;
    vs_driver_device_uuid(device, uuid);
    if (!vs_cu(cuDeviceGetName) || vs_cu(cuDeviceGetName)(name, sizeof name, device))
        name[0] = 0;
    if (!vs_cu(cuDeviceTotalMem_v2) || vs_cu(cuDeviceTotalMem_v2)(&total, device))
        total = 0;
    if (!vs_cu(cuDeviceGetPCIBusId) || vs_cu(cuDeviceGetPCIBusId)(pci, sizeof pci, device))
        pci[0] = 0;
    r = vs_log_begin(VS_K_DEVICE, sizeof *r + strlen(name));
    if (!r)
        return;
    vs_rec_set(r, 0, device);
    r->total_bytes = total;
    memcpy(r->uuid, uuid, sizeof uuid);
    r->pci = parse_pci(pci);
    r->name_bytes = (uint32_t)strlen(name);
    memcpy(r->name, name, strlen(name));
    vs_log_commit(r);
}

/* Describing a device takes some microseconds, once. */
static uint64_t described;
void vs_driver_device_used(int device)
{
    uint64_t bit;
    if (device < 0 || device >= VS_MAX_DEVICES)
        return;
    bit = 1ull << device;
    if (__atomic_load_n(&used, __ATOMIC_RELAXED) & bit)
        return;
    if (__atomic_fetch_or(&described, bit, __ATOMIC_ACQ_REL) & bit)
        return; /* another thread is at it */
    append_device(device);
    vs_driver_check_epoch(); /* the record may be the process's first */
    __atomic_fetch_and(&described, ~bit, __ATOMIC_RELEASE);
    if (__atomic_fetch_or(&used, bit, __ATOMIC_RELEASE))
        vs_measure_forget(); /* functions seen were seen on the others */
}

/* ---- beginnings ---- */

static int context_made(int result, int device, const struct vs_measure *m, void **out)
{
    int saved = errno;
    vs_driver_check_epoch();
    if (result == VS_CU_SUCCESS) {
        if (m)
            vs_measure_end(m, VS_MEASURED_CONTEXT, *out);
        vs_driver_device_used(device);
    }
    errno = saved;
    return vs_driver_leave(result);
}

int cuCtxCreate(void **out, unsigned flags, int device)
{
    VS_HOOKED(cuCtxCreate, (out, flags, device));
    struct vs_measure m;
    vs_measure_begin(&m, device);
    return context_made(real(out, flags, device), device, &m, out);
}

int cuCtxCreate_v2(void **out, unsigned flags, int device)
{
    VS_HOOKED(cuCtxCreate_v2, (out, flags, device));
    struct vs_measure m;
    vs_measure_begin(&m, device);
    return context_made(real(out, flags, device), device, &m, out);
}

int cuCtxCreate_v3(void **out, void *params, int n, unsigned flags, int device)
{
    VS_HOOKED(cuCtxCreate_v3, (out, params, n, flags, device));
    struct vs_measure m;
    vs_measure_begin(&m, device);
    return context_made(real(out, params, n, flags, device), device, &m, out);
}

int cuCtxCreate_v4(void **out, void *params, unsigned flags, int device)
{
    VS_HOOKED(cuCtxCreate_v4, (out, params, flags, device));
    struct vs_measure m;
    vs_measure_begin(&m, device);
    return context_made(real(out, params, flags, device), device, &m, out);
}

/* A primary context is made by the first of many. */
static bool primary_active(int device)
{
    unsigned flags = 0;
    int active = 1;
    return !vs_driver_fill() || !vs_cu(cuDevicePrimaryCtxGetState) ||
           vs_cu(cuDevicePrimaryCtxGetState)(device, &flags, &active) || active;
}

int cuDevicePrimaryCtxRetain(void **out, int device)
{
    VS_HOOKED(cuDevicePrimaryCtxRetain, (out, device));
    struct vs_measure m;
    bool makes = !primary_active(device);
    int result;
    if (makes)
        vs_measure_begin(&m, device);
    result = real(out, device);
    vs_driver_check_epoch();
    if (result == VS_CU_SUCCESS && device >= 0 && device < VS_MAX_DEVICES)
        __atomic_store_n(&primary[device], (uint64_t)(uintptr_t)*out, __ATOMIC_RELAXED);
    return context_made(result, device, makes ? &m : NULL, out);
}

/* ---- endings ---- */

/* Measured on an H200: with a context go its device, managed, array and pinned host memory (portable or not). Memory from
 * pools and from cuMemCreate belongs to the device and stays, also through a reset of the primary context. */

static uint64_t primary_of(int device)
{
    return device >= 0 && device < VS_MAX_DEVICES ? __atomic_load_n(&primary[device], __ATOMIC_RELAXED) : 0;
}

static int own_context_ended(int result, struct vs_taken t, void *context)
{
    return vs_driver_context_ended(result, t, true, VS_ON_HOST, (uint64_t)(uintptr_t)context);
}

int cuCtxDestroy(void *context)
{
    VS_HOOKED(cuCtxDestroy, (context));
    struct vs_taken t = vs_driver_take();
    return own_context_ended(real(context), t, context);
}

int cuCtxDestroy_v2(void *context)
{
    VS_HOOKED(cuCtxDestroy_v2, (context));
    struct vs_taken t = vs_driver_take();
    return own_context_ended(real(context), t, context);
}

int cuCtxDetach(void *context)
{
    VS_HOOKED(cuCtxDetach, (context));
    struct vs_taken t = vs_driver_take();
    return own_context_ended(real(context), t, context); /* attaching twice went away with CUDA 4 */
}

/* The memory goes with the last release. At the end of a process the driver answers 4: then nothing is freed but all. */
static int released(int result, struct vs_taken t, int device)
{
    unsigned flags = 0;
    int active = 1, saved = errno;
    if (result || !vs_driver_fill() || !vs_cu(cuDevicePrimaryCtxGetState) ||
        vs_cu(cuDevicePrimaryCtxGetState)(device, &flags, &active))
        active = 1;
    errno = saved;
    return vs_driver_context_ended(result, t, !active, device, primary_of(device));
}

int cuDevicePrimaryCtxRelease(int device)
{
    VS_HOOKED(cuDevicePrimaryCtxRelease, (device));
    struct vs_taken t = vs_driver_take();
    return released(real(device), t, device);
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    VS_HOOKED(cuDevicePrimaryCtxRelease_v2, (device));
    struct vs_taken t = vs_driver_take();
    return released(real(device), t, device);
}

int cuDevicePrimaryCtxReset(int device)
{
    VS_HOOKED(cuDevicePrimaryCtxReset, (device));
    struct vs_taken t = vs_driver_take();
    return vs_driver_context_ended(real(device), t, true, device, primary_of(device));
}

int cuDevicePrimaryCtxReset_v2(int device)
{
    VS_HOOKED(cuDevicePrimaryCtxReset_v2, (device));
    struct vs_taken t = vs_driver_take();
    return vs_driver_context_ended(real(device), t, true, device, primary_of(device));
}
