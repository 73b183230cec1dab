/* SPDX-License-Identifier: MIT
 *
 * driver_note.c: turns what a wrapped driver call did into records.
 * Must never ask the driver anything that could change the program: nothing that synchronises, nothing inside a capture.
 *
 * Order. An allocation takes its number after it succeeded, an ending before the driver can hand the memory out again;
 * so the numbers are in the order in which each address was owned. An ending holds no log space while the driver works:
 * it may wait for the GPU for long, and callbacks on this thread may want to append. Its number is therefore taken first
 * (when there is log space: a dropped record must not leave a gap) and published after; when it turns out that nothing
 * ended, or that the space has gone meanwhile, it is published as UNDO.
 */
#include <errno.h>

#include "driver.h"

/* Numbers that found no log space, waiting to be published by a later call. More than these: ingest counts the gap. */
enum { ORPHANS = 64 };
static struct orphan {
    uint64_t seq; /* 0: free place; atomic */
    uint32_t epoch;
} orphans[ORPHANS];
static uint32_t orphan_count; /* approximate; atomic */

static bool append_undo(uint64_t seq)
{
    struct vs_rec_free *r = vs_log_begin(VS_K_FREE, sizeof *r);
    if (!r)
        return false;
    vs_rec_set(r, VS_AF_UNDO, VS_ON_HOST);
    r->seq = seq;
    r->ts_ns = vs_now();
    vs_log_commit(r);
    return true;
}

static void orphan(uint64_t seq)
{
    uint32_t i;
    for (i = 0; i < ORPHANS; i++) {
        uint64_t none = 0;
        if (!__atomic_compare_exchange_n(&orphans[i].seq, &none, UINT64_MAX, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        orphans[i].epoch = vs_log_epoch();
        __atomic_store_n(&orphans[i].seq, seq, __ATOMIC_RELEASE);
        __atomic_fetch_add(&orphan_count, 1, __ATOMIC_RELAXED);
        return;
    }
}

static void adopt_orphans(void)
{
    uint32_t i;
    for (i = 0; i < ORPHANS; i++) {
        uint64_t seq = __atomic_load_n(&orphans[i].seq, __ATOMIC_ACQUIRE);
        if (!seq || seq == UINT64_MAX ||
            !__atomic_compare_exchange_n(&orphans[i].seq, &seq, UINT64_MAX, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        if (orphans[i].epoch == vs_log_epoch() && !append_undo(seq)) {
            __atomic_store_n(&orphans[i].seq, seq, __ATOMIC_RELEASE);
            return;
        }
        __atomic_store_n(&orphans[i].seq, 0, __ATOMIC_RELEASE);
        __atomic_fetch_sub(&orphan_count, 1, __ATOMIC_RELAXED);
    }
}

int vs_driver_leave(int result)
{
    if (__atomic_load_n(&orphan_count, __ATOMIC_RELAXED))
        adopt_orphans();
    if (vs_driver_depth == VS_DEPTH_COUNTED) /* not after a fork: there all calls are forgotten */
        __atomic_fetch_sub(&vs_driver_calls.activity, 1, __ATOMIC_SEQ_CST);
    vs_driver_depth = 0;
    return result;
}

static uint8_t in_nccl(void)
{
    return vs_marks()->nccl ? VS_AF_IN_NCCL : 0;
}

int vs_driver_current_device(void)
{
    int device = -1, saved = errno;
    if (!vs_driver_fill() || !vs_cu(cuCtxGetDevice) || vs_cu(cuCtxGetDevice)(&device))
        device = -1;
    errno = saved;
    return device;
}

/* The device is the current one or given; the context is the current one. Host memory has a context and no device. */
static void where(int *device, uint64_t *context)
{
    void *current = NULL;
    if (vs_driver_fill() && vs_cu(cuCtxGetCurrent) && vs_cu(cuCtxGetCurrent)(&current) == VS_CU_SUCCESS)
        *context = (uint64_t)(uintptr_t)current;
    if (*device == VS_ON_CURRENT)
        *device = vs_driver_current_device();
}

/* ---- allocations ---- */

void vs_driver_failed(int result, const struct vs_driver_alloc *a)
{
    struct vs_rec_alloc_fail *r;
    size_t free_bytes = 0, total_bytes = 0;
    bool known;
    int device = a->device;
    uint64_t context = 0;

    if (result != VS_CU_OUT_OF_MEMORY)
        return; /* no driver yet or no longer, no context on this thread, something this driver cannot: no lack of memory */
    where(&device, &context);
    known = context && vs_cu(cuMemGetInfo_v2) && vs_cu(cuMemGetInfo_v2)(&free_bytes, &total_bytes) == VS_CU_SUCCESS;
    r = vs_log_begin(VS_K_ALLOC_FAIL, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, a->flags | in_nccl(), device);
    r->ts_ns = vs_now();
    r->bytes = a->asked;
    r->free_bytes = known ? free_bytes : UINT64_MAX;
    r->total_bytes = known ? total_bytes : UINT64_MAX;
    r->range = vs_thread_range();
    r->caller = a->caller;
    r->memory = a->memory;
    r->error = result;
    vs_log_commit(r);
    vs_device_failed(device);
}

static void append_alloc(const struct vs_driver_alloc *a)
{
    struct vs_rec_alloc *r;
    int device = a->device;
    uint64_t context = 0;

    where(&device, &context);
    vs_driver_device_used(device);
    if (a->memory != VS_MEM_CUDA_ASYNC)
        vs_driver_pool_refresh(device);
    r = vs_log_begin(VS_K_ALLOC, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, a->flags | in_nccl(), device);
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->address = a->address;
    r->bytes = a->bytes;
    r->range = vs_thread_range();
    r->stream_or_pool = a->pool;
    r->context = a->memory == VS_MEM_CUDA_ASYNC ? 0 : context; /* a pool's memory outlives every context */
    r->caller = a->caller;
    r->memory = a->memory;
    vs_log_commit(r);
}

int vs_driver_allocated(int result, const struct vs_driver_alloc *a)
{
    int saved = errno;
    vs_driver_check_epoch();
    if (result)
        vs_driver_failed(result, a);
    else if (a->address)
        append_alloc(a);
    vs_driver_leave(result);
    errno = saved;
    return result;
}

/* ---- endings ---- */

struct vs_taken vs_driver_take(void)
{
    struct vs_taken t = {0, 0};
    void *space;
    if (!vs_log_active() || !(space = vs_log_begin(VS_K_FREE, sizeof(struct vs_rec_vmm))))
        return t;
    vs_log_cancel(space);
    t.seq = vs_log_seq();
    t.ts_ns = vs_now();
    return t;
}

void vs_driver_undo(struct vs_taken t)
{
    if (t.seq && vs_log_active() && !append_undo(t.seq))
        orphan(t.seq);
}

int vs_driver_freed(int result, struct vs_taken t, enum vs_memory memory, uint64_t address)
{
    int saved = errno;
    if (result || !address) {
        vs_driver_undo(t);
    } else if (t.seq && vs_log_active()) {
        struct vs_rec_free *r = vs_log_begin(VS_K_FREE, sizeof *r);
        if (r) {
            r->seq = t.seq;
            r->ts_ns = t.ts_ns;
            r->address = address;
            r->range = vs_thread_range();
            r->memory = memory;
            vs_log_commit(r);
        } else {
            orphan(t.seq);
        }
    }
    vs_driver_leave(result);
    errno = saved;
    return result;
}

/* ---- virtual memory management ---- */

static void fill_vmm(struct vs_rec_vmm *r, const struct vs_driver_vmm *v)
{
    vs_rec_set(r, v->flags | in_nccl(), v->device);
    r->handle = v->handle;
    r->address = v->address;
    r->bytes = v->bytes;
    r->range = vs_thread_range();
    r->caller = v->caller;
    r->op = v->op;
}

int vs_driver_vmm_began(int result, const struct vs_driver_vmm *v)
{
    int saved = errno;
    if (result == VS_CU_SUCCESS) {
        struct vs_rec_vmm *r;
        vs_driver_check_epoch();
        if (v->op == VS_VMM_CREATE) {
            vs_driver_device_used(v->device);
            vs_driver_pool_refresh(v->device);
        }
        r = vs_log_begin(VS_K_VMM, sizeof *r);
        if (r) {
            fill_vmm(r, v);
            r->seq = vs_log_seq();
            r->ts_ns = vs_now();
            vs_log_commit(r);
        }
    }
    vs_driver_leave(result);
    errno = saved;
    return result;
}

int vs_driver_vmm_ended(int result, struct vs_taken t, const struct vs_driver_vmm *v)
{
    int saved = errno;
    if (result) {
        vs_driver_undo(t);
    } else if (t.seq && vs_log_active()) {
        struct vs_rec_vmm *r = vs_log_begin(VS_K_VMM, sizeof *r);
        if (r) {
            fill_vmm(r, v);
            r->seq = t.seq;
            r->ts_ns = t.ts_ns;
            vs_log_commit(r);
        } else {
            orphan(t.seq);
        }
    }
    vs_driver_leave(result);
    errno = saved;
    return result;
}

/* ---- contexts ---- */

int vs_driver_context_ended(int result, struct vs_taken t, bool gone, int device, uint64_t context)
{
    int saved = errno;
    if (!result && gone)
        vs_measure_forget();
    if (result || !gone) {
        vs_driver_undo(t);
    } else if (t.seq && vs_log_active()) {
        struct vs_rec_context *r = vs_log_begin(VS_K_CONTEXT, sizeof *r);
        if (r) {
            vs_rec_set(r, 0, device);
            r->seq = t.seq;
            r->ts_ns = t.ts_ns;
            r->context = context;
            vs_log_commit(r);
        } else {
            orphan(t.seq);
        }
    }
    vs_driver_leave(result);
    errno = saved;
    return result;
}
