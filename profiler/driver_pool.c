/* SPDX-License-Identifier: MIT
 *
 * driver_pool.c: how much memory the stream-ordered pools and the graph pools hold, as the driver reports it.
 * Must never touch a pool that the program may be destroying at that moment: a pool is asked about on the thread that has
 * just used it; the helper thread asks only the devices' default pools, which no program can destroy (measured on an
 * H200: nor does a context's end or a reset, the handle and the memory handed out stay valid).
 *
 * Allocations from a pool are parts of it; what is held from the device is the pool's reserved size. It grows at an
 * allocation, which is seen at once (27 ns), and shrinks at a synchronisation or a trim: of a default pool that is seen
 * within a flush period, of a pool of the program's own at its next allocation, trim or end.
 */
#include "driver.h"
#include "say.h"

enum { POOLS = 256 };
static struct pool {
    uint64_t handle;   /* 0: never used; atomic. Places are kept: a pool that is gone keeps its place for its successor */
    uint64_t reserved; /* last recorded; UINT64_MAX: nothing is; atomic */
    int32_t device;    /* atomic */
    uint32_t fixed;    /* a device's default pool; atomic */
} pools[POOLS];

static uint64_t graph_devices; /* a bit per device whose graphs allocate; atomic */
static uint64_t graph_reserved[VS_MAX_DEVICES];
static uint32_t touched;     /* a pool was used since the last drain; atomic */
static struct pool *fixed_of[VS_MAX_DEVICES]; /* entry of a device's default pool, NULL: not used yet; atomic */

static struct pool *find(uint64_t handle, bool insert)
{
    uint32_t at = (uint32_t)((handle * 0x9e3779b97f4a7c15ull) >> 56), i;
    for (i = 0; i < POOLS; i++, at = (at + 1) % POOLS) {
        uint64_t seen = __atomic_load_n(&pools[at].handle, __ATOMIC_ACQUIRE);
        if (seen == handle)
            return &pools[at];
        if (seen)
            continue;
        if (!insert)
            return NULL;
        if (__atomic_compare_exchange_n(&pools[at].handle, &seen, handle, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            __atomic_store_n(&pools[at].device, VS_ON_CURRENT, __ATOMIC_RELAXED);
            __atomic_store_n(&pools[at].reserved, UINT64_MAX, __ATOMIC_RELEASE);
            return &pools[at];
        }
        if (seen == handle)
            return &pools[at];
    }
    if (insert)
        vs_say_once(VS_SAY_WARN, "more than %d memory pools: the size of the others is not recorded", POOLS);
    return NULL;
}

static void append(uint64_t handle, int device, uint64_t ts_ns, uint64_t reserved, uint64_t used, uint64_t high,
                   uint8_t flags)
{
    struct vs_rec_pool *r = vs_log_begin(VS_K_POOL, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, flags, device);
    r->ts_ns = ts_ns;
    r->pool = handle;
    r->reserved_bytes = reserved;
    r->used_bytes = used;
    r->reserved_high_bytes = high;
    vs_log_commit(r);
}

/* Measured on an H200, driver 580: cuMemPoolGetAttribute fails and ENDS a stream capture in global mode, of this thread or
 * of any other, unless the asking thread's own mode is relaxed. The other calls we make are harmless in a capture. */
enum { MODE_RELAXED = 2 };
static bool relax(int *mode)
{
    *mode = MODE_RELAXED;
    return vs_cu(cuThreadExchangeStreamCaptureMode) && vs_cu(cuThreadExchangeStreamCaptureMode)(mode) == VS_CU_SUCCESS;
}

static void restore(int *mode)
{
    vs_cu(cuThreadExchangeStreamCaptureMode)(mode);
}

/* In relaxed mode only. */
static uint64_t attribute(void *pool, int which)
{
    uint64_t value = UINT64_MAX;
    return vs_cu(cuMemPoolGetAttribute) && vs_cu(cuMemPoolGetAttribute)(pool, which, &value) == VS_CU_SUCCESS ? value
                                                                                                            : UINT64_MAX;
}

/* Of a pool that was not made or used before us: a default pool's device, else the current one. */
static int device_of(void *pool)
{
    int count = 0, i;
    void *standard = NULL;
    if (vs_cu(cuDeviceGetCount) && vs_cu(cuDeviceGetDefaultMemPool) && !vs_cu(cuDeviceGetCount)(&count))
        for (i = 0; i < count; i++)
            if (vs_cu(cuDeviceGetDefaultMemPool)(&standard, i) == VS_CU_SUCCESS && standard == pool)
                return i;
    return vs_driver_current_device();
}

static bool is_default(void *pool, int device)
{
    void *standard = NULL;
    return device >= 0 && vs_cu(cuDeviceGetDefaultMemPool) &&
           vs_cu(cuDeviceGetDefaultMemPool)(&standard, device) == VS_CU_SUCCESS && standard == pool;
}

void vs_driver_pool_sample(void *pool, int device, bool always)
{
    struct pool *p = find((uint64_t)(uintptr_t)pool, true);
    uint64_t ts_ns = vs_now(), reserved, last, used = 0, high = 0;
    int mode;

    __atomic_store_n(&touched, 1, __ATOMIC_RELAXED);
    if (!p || !relax(&mode))
        return;
    reserved = attribute(pool, VS_CU_POOL_RESERVED_CURRENT);
    if (reserved != UINT64_MAX && (always || reserved != __atomic_load_n(&p->reserved, __ATOMIC_ACQUIRE))) {
        used = attribute(pool, VS_CU_POOL_USED_CURRENT);
        high = attribute(pool, VS_CU_POOL_RESERVED_HIGH);
    }
    restore(&mode);
    if (reserved == UINT64_MAX)
        return;
    last = __atomic_exchange_n(&p->reserved, reserved, __ATOMIC_ACQ_REL);
    if (last == UINT64_MAX) { /* new */
        if (device == VS_ON_CURRENT)
            device = device_of(pool);
        __atomic_store_n(&p->device, device, __ATOMIC_RELAXED);
        if (device >= 0 && device < VS_MAX_DEVICES && is_default(pool, device)) {
            __atomic_store_n(&p->fixed, 1, __ATOMIC_RELAXED);
            __atomic_store_n(&fixed_of[device], p, __ATOMIC_RELEASE);
        }
    }
    if (last != reserved && !__atomic_load_n(&p->fixed, __ATOMIC_RELAXED))
        vs_driver_pool_refresh(__atomic_load_n(&p->device, __ATOMIC_RELAXED));
    if (last != reserved || always)
        append(p->handle, __atomic_load_n(&p->device, __ATOMIC_RELAXED), ts_ns, reserved, used, high, 0);
}

int vs_driver_pool_device(void *pool)
{
    struct pool *p = find((uint64_t)(uintptr_t)pool, false);
    return p && __atomic_load_n(&p->reserved, __ATOMIC_ACQUIRE) != UINT64_MAX ? __atomic_load_n(&p->device, __ATOMIC_RELAXED)
                                                                             : VS_ON_CURRENT;
}

/* ts_ns 0: what it holds is not known to be gone. */
static void end(struct pool *p, uint64_t ts_ns)
{
    uint64_t last = __atomic_exchange_n(&p->reserved, UINT64_MAX, __ATOMIC_ACQ_REL);
    if (last && last != UINT64_MAX && ts_ns)
        append(p->handle, __atomic_load_n(&p->device, __ATOMIC_RELAXED), ts_ns, 0, 0, UINT64_MAX, 0);
}

/* A destroyed pool lives on until the last of its memory is freed, and cannot be asked any more. */
bool vs_driver_pool_empty(void *pool)
{
    int mode;
    uint64_t used = UINT64_MAX;
    if (vs_driver_fill() && relax(&mode)) {
        used = attribute(pool, VS_CU_POOL_USED_CURRENT);
        restore(&mode);
    }
    return used == 0;
}

void vs_driver_pool_gone(void *pool, uint64_t ts_ns)
{
    struct pool *p = find((uint64_t)(uintptr_t)pool, false);
    if (p)
        end(p, ts_ns);
}

void vs_driver_pool_forget(void)
{
    uint32_t i;
    for (i = 0; i < POOLS; i++)
        if (__atomic_load_n(&pools[i].handle, __ATOMIC_ACQUIRE))
            end(&pools[i], 0);
    __atomic_store_n(&graph_devices, 0, __ATOMIC_RELAXED);
    for (i = 0; i < VS_MAX_DEVICES; i++) {
        __atomic_store_n(&graph_reserved[i], 0, __ATOMIC_RELAXED);
        __atomic_store_n(&fixed_of[i], NULL, __ATOMIC_RELAXED);
    }
}

/* ---- memory of graphs: one pool per device, without a handle ---- */

void vs_driver_pool_graphs_used(int device)
{
    if (device >= 0 && device < VS_MAX_DEVICES)
        __atomic_fetch_or(&graph_devices, 1ull << device, __ATOMIC_RELAXED);
}

bool vs_driver_pool_any_graphs(void)
{
    return __atomic_load_n(&graph_devices, __ATOMIC_RELAXED) != 0;
}

static uint64_t graph_attribute(int device, int which)
{
    uint64_t value = UINT64_MAX;
    return vs_cu(cuDeviceGetGraphMemAttribute) && !vs_cu(cuDeviceGetGraphMemAttribute)(device, which, &value) ? value
                                                                                                            : UINT64_MAX;
}

void vs_driver_pool_sample_graphs(bool always)
{
    uint64_t left = __atomic_load_n(&graph_devices, __ATOMIC_RELAXED);
    for (; left; left &= left - 1) {
        int device = __builtin_ctzll(left);
        uint64_t ts_ns = vs_now(), reserved = graph_attribute(device, VS_CU_GRAPH_RESERVED_CURRENT);
        if (reserved == UINT64_MAX)
            continue;
        if (__atomic_exchange_n(&graph_reserved[device], reserved, __ATOMIC_RELAXED) == reserved && !always)
            continue;
        vs_driver_pool_refresh(device);
        append(0, device, ts_ns, reserved, graph_attribute(device, VS_CU_GRAPH_USED_CURRENT),
               graph_attribute(device, VS_CU_GRAPH_RESERVED_HIGH), 1);
    }
}

/* Before other memory of the device is recorded: what the pool gave back at a synchronisation may be what it is made of,
 * and would otherwise count twice in the peak. */
void vs_driver_pool_refresh(int device)
{
    struct pool *p = device >= 0 && device < VS_MAX_DEVICES ? __atomic_load_n(&fixed_of[device], __ATOMIC_ACQUIRE) : NULL;
    uint64_t reserved = p ? __atomic_load_n(&p->reserved, __ATOMIC_RELAXED) : 0;
    if (reserved && reserved != UINT64_MAX) /* from nothing it can only grow, and that is seen */
        vs_driver_pool_sample((void *)(uintptr_t)p->handle, device, false);
}

/* Default pools shrink at synchronisations that we do not see. Asked only while there may be something new: a driver that
 * is not called cannot be in the way of the program, nor of its fork. */
void vs_driver_pool_drain(void)
{
    int device;
    if (!__atomic_exchange_n(&touched, 0, __ATOMIC_RELAXED) || !vs_driver_fill())
        return;
    for (device = 0; device < VS_MAX_DEVICES; device++)
        vs_driver_pool_refresh(device); /* touches again what still holds something */
}
