/* SPDX-License-Identifier: MIT
 *
 * driver.h: the CUDA driver as the recorder meets it: the entry points it stands in front of (driver_hooks.def), the ones
 * it calls, and what is appended to the log for each. Private to driver_*.c, src_driver.c, src_device.c and preload.c.
 *
 * Wrapper, in this order:
 *     VS_HOOKED(name, (args));             passes on unrecorded what is our own, nested, or of an unwanted process
 *     take = vs_driver_take();             frees only: number and time come before the memory can be handed out again
 *     result = real(args);
 *     return vs_driver_allocated/freed/...(result, ...);   appends, and leaves the hook
 *
 * Ownership: nothing is allocated. Threading: any thread; no locks. Reentrancy: a driver function that calls another
 * exported one (or a callback that does) is counted once, at the outermost call. errno and results are the driver's.
 * Errors: counted by the log; no failure of ours reaches the caller.
 */
#ifndef VS_PROFILER_DRIVER_H
#define VS_PROFILER_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda_abi.h"
#include "export.h"
#include "log.h"

/* From InitializeInjection: libcuda is in the process. Inside cuInit: calls nothing that needs an initialised driver. */
void vs_driver_attached(void);

#define HOOK(name, params) VS_EXPORT int name params;
#include "driver_hooks.def"
#undef HOOK

enum vs_hook {
#define HOOK(name, params) VS_HOOK_##name,
#include "driver_hooks.def"
#undef HOOK
    VS_NHOOKS
};

/* ---- driver_table.c: real functions ---- */

/* X(exported name, parameters): what we call and do not wrap. vs_cu(name) is NULL where the driver has none. */
#define VS_DRIVER_CALLS(X)                                                     \
    X(cuCtxGetCurrent, (void **context))                                       \
    X(cuCtxGetDevice, (int *device))                                           \
    X(cuMemGetInfo_v2, (size_t *free_bytes, size_t *total_bytes))              \
    X(cuMemGetAddressRange_v2, (uint64_t *base, size_t *bytes, uint64_t at))   \
    X(cuStreamIsCapturing, (void *stream, int *status))                        \
    X(cuStreamIsCapturing_ptsz, (void *stream, int *status))                   \
    X(cuStreamGetDevice, (void *stream, int *device))                          \
    X(cuDeviceGetMemPool, (void **pool, int device))                           \
    X(cuDeviceGetDefaultMemPool, (void **pool, int device))                    \
    X(cuMemPoolGetAttribute, (void *pool, int attribute, void *value))         \
    X(cuThreadExchangeStreamCaptureMode, (int *mode))                          \
    X(cuDeviceGetGraphMemAttribute, (int device, int attribute, void *value))  \
    X(cuDevicePrimaryCtxGetState, (int device, unsigned *flags, int *active))  \
    X(cuDriverGetVersion, (int *version))                                      \
    X(cuDeviceGetCount, (int *count))                                          \
    X(cuDeviceGetName, (char *name, int bytes, int device))                    \
    X(cuDeviceGetUuid, (struct vs_cu_uuid * uuid, int device))                 \
    X(cuDeviceGetUuid_v2, (struct vs_cu_uuid * uuid, int device))              \
    X(cuDeviceTotalMem_v2, (size_t *bytes, int device))                        \
    X(cuDeviceGetPCIBusId, (char *text, int bytes, int device))

extern struct vs_driver_functions {
#define X(name, params) int(*name) params;
    VS_DRIVER_CALLS(X)
#undef X
} vs_driver_functions;
/* Constant once vs_driver_fill has returned true, but read atomically: a thread that came late to the filling may be
 * storing the same value again. */
#define vs_cu(name) __atomic_load_n(&vs_driver_functions.name, __ATOMIC_RELAXED)

extern void *vs_driver_slot[VS_NHOOKS]; /* what a wrapper calls; atomic */
extern __thread uint32_t vs_driver_depth __attribute__((tls_model("initial-exec")));

/* How much of the driver's memory calls is under way: threads inside in the low half, calls ever begun in the high half.
 * Equal at two moments, with nobody inside: nothing was taken or given back in between. */
extern struct vs_driver_count {
    uint64_t activity; /* atomic */
    char rest[56];
} __attribute__((aligned(64))) vs_driver_calls; /* a cache line of its own: launches read what would lie next to it */
static inline uint64_t vs_driver_activity(void)
{
    return __atomic_load_n(&vs_driver_calls.activity, __ATOMIC_SEQ_CST);
}
static inline uint32_t vs_activity_inside(uint64_t activity)
{
    return (uint32_t)activity;
}

bool vs_driver_fill(void);                   /* true: libcuda is in the process and the tables hold its functions */
void *vs_driver_resolve(enum vs_hook hook);  /* NULL: there is no such function in the process */
int vs_driver_hook_named(const char *name);  /* -1: not wrapped */
void *vs_driver_wrapper(enum vs_hook hook);
void *vs_driver_address(enum vs_hook hook);  /* libcuda's own, NULL: none */
void *vs_driver_replace(void *function);     /* our wrapper for one of libcuda's functions, else the same */

static inline void *vs_driver_real(enum vs_hook hook)
{
    void *p = __atomic_load_n(&vs_driver_slot[hook], __ATOMIC_ACQUIRE);
    return p ? p : vs_driver_resolve(hook);
}

/* Values of vs_driver_depth. QUIET: the call neither takes nor gives back memory of a device. */
enum { VS_DEPTH_NONE = 0, VS_DEPTH_COUNTED = 1, VS_DEPTH_QUIET = 2 };
static inline bool vs_driver_may_enter(void)
{
    return !vs_driver_depth && !vs_marks()->own && (vs_log_active() || vs_log_wanted());
}
static inline bool vs_driver_enter_as(uint32_t depth)
{
    if (!vs_driver_may_enter())
        return false;
    vs_driver_depth = depth;
    if (depth == VS_DEPTH_COUNTED)
        __atomic_fetch_add(&vs_driver_calls.activity, (1ull << 32) + 1, __ATOMIC_SEQ_CST);
    return true;
}

static inline bool vs_driver_enter(void)
{
    return vs_driver_enter_as(VS_DEPTH_COUNTED);
}

#define VS_REAL(name)                                                 \
    __typeof__(&name) const real = (__typeof__(&name))vs_driver_real(VS_HOOK_##name); \
    if (!real)                                                        \
        return VS_CU_NOT_INITIALIZED

#define VS_HOOKED(name, args) \
    VS_REAL(name);            \
    if (!vs_driver_enter())   \
        return real args

#define VS_HOOKED_AS(depth, name, args) \
    VS_REAL(name);                      \
    if (!vs_driver_enter_as(depth))     \
        return real args

/* Must be expanded in the exported function itself. */
#define VS_CALLER ((uint64_t)(uintptr_t)__builtin_return_address(0))

/* ---- driver_note.c: what goes into the log; each function below ends the hook and returns `result` ---- */

enum { VS_ON_HOST = -1, VS_ON_CURRENT = -2 }; /* values of `device` beside an ordinal */

struct vs_driver_alloc {
    uint64_t address;  /* read only after success */
    uint64_t bytes;    /* held */
    uint64_t asked;    /* for the record of a failure */
    uint64_t pool;
    uint64_t caller;
    uint32_t memory; /* enum vs_memory */
    int device;
    uint8_t flags; /* enum vs_alloc_flags */
};
int vs_driver_allocated(int result, const struct vs_driver_alloc *a);

/* Lifetime number and time of an ending, before the real call. Zero: not recording, nothing to end. */
struct vs_taken {
    uint64_t seq, ts_ns;
};
struct vs_taken vs_driver_take(void);
int vs_driver_freed(int result, struct vs_taken t, enum vs_memory memory, uint64_t address);

struct vs_driver_vmm {
    uint64_t handle, address, bytes;
    uint64_t caller;
    uint32_t op; /* enum vs_vmm_op */
    int device;
    uint8_t flags;
};
int vs_driver_vmm_began(int result, const struct vs_driver_vmm *v); /* numbered after the call */
int vs_driver_vmm_ended(int result, struct vs_taken t, const struct vs_driver_vmm *v);

int vs_driver_context_ended(int result, struct vs_taken t, bool gone, int device, uint64_t context);

int vs_driver_leave(int result); /* nothing to append */

/* Publishes a number that was taken for something that did not happen. */
void vs_driver_undo(struct vs_taken t);
/* A refused allocation, with the device's free memory. */
void vs_driver_failed(int result, const struct vs_driver_alloc *a);
int vs_driver_current_device(void); /* -1: none */

/* ---- driver_context.c: devices the process uses ---- */

enum { VS_MAX_DEVICES = 64 };
/* Appends the device's record the first time. */
void vs_driver_device_used(int device);
uint64_t vs_driver_devices(void); /* a bit per ordinal in use */
/* State of this file and of the pools belongs to one recording: forgotten in a forked child. */
void vs_driver_check_epoch(void);

bool vs_driver_device_uuid(int device, unsigned char uuid[16]); /* false: the driver does not say */

/* ---- src_device.c: what the driver says of whole devices ---- */

struct vs_device_use { /* bytes; UINT64_MAX: not known */
    uint64_t used, unused, process, others;
};
/* Any thread; some 20 us. false: nobody can be asked (NVML is not there, or not yet). */
bool vs_device_ask(int device, struct vs_device_use *use);
void vs_device_failed(int device); /* an allocation was refused: appends a sample */
void vs_device_attached(void);     /* the driver is starting */
void vs_device_distrust(void);     /* who NVML says is this process is another: pids of another namespace */

/* ---- driver_measure.c: what the driver takes for itself ---- */

struct vs_measure {
    struct vs_device_use before;
    uint64_t activity, began_ns, cost_ns;
    int device; /* -1: none */
    bool asked, affordable;
};
/* Around the real call, inside the hook. context NULL: the current one. */
void vs_measure_begin(struct vs_measure *m, int device);
void vs_measure_end(const struct vs_measure *m, enum vs_measured what, void *context);
/* Is this the first call of that kind with this function? */
bool vs_measure_unseen(const void *function, enum vs_measured what);
/* The quick half of it: true is certain. */
enum { VS_SEEN_BITS = 13 };
extern uint64_t vs_measure_seen_keys[1 << VS_SEEN_BITS]; /* atomic */
static inline uint64_t vs_seen_key(const void *function, enum vs_measured what)
{
    return (uint64_t)(uintptr_t)function * 8 + what;
}
static inline uint64_t vs_seen_place(uint64_t key)
{
    return key * 0x9e3779b97f4a7c15ull >> (64 - VS_SEEN_BITS);
}
static inline bool vs_measure_seen(const void *function, enum vs_measured what)
{
    uint64_t key = vs_seen_key(function, what);
    return __atomic_load_n(&vs_measure_seen_keys[vs_seen_place(key)], __ATOMIC_RELAXED) == key;
}
void vs_measure_forget(void); /* functions seen: their code is gone, or another device has none yet */
void vs_measure_reset(void);  /* in a forked child */
void vs_measure_missed(int device); /* a call that was not measured, to be told */
void vs_measure_tell(int device); /* helper thread, before a sample: that calls were not measured */

/* ---- driver_pool.c ---- */

/* Called after a pool handed out memory; appends a record when the pool has grown or shrunk, or is new. */
void vs_driver_pool_sample(void *pool, int device, bool always);
bool vs_driver_pool_empty(void *pool);
void vs_driver_pool_gone(void *pool, uint64_t ts_ns); /* ts_ns 0: its memory is not */
void vs_driver_pool_refresh(int device); /* before other memory of the device is recorded */
int vs_driver_pool_device(void *pool); /* VS_ON_CURRENT: not known */
void vs_driver_pool_forget(void); /* in a forked child */
void vs_driver_pool_graphs_used(int device);
bool vs_driver_pool_any_graphs(void);
void vs_driver_pool_sample_graphs(bool always);
void vs_driver_pool_drain(void); /* helper thread */

#endif
