/* SPDX-License-Identifier: MIT
 *
 * nccl_memory.c: wrappers of the NCCL calls that allocate memory and register buffers and windows. Their records name
 * memory; the bytes themselves are the driver's records, or the program's own allocations.
 * Must never add memory to what is held.
 */
#include "export.h"
#include "nccl_calls.h"

#define CALL(name, params) VS_EXPORT int nccl##name params;
#include "nccl_hooks.def"

static void label(enum vs_nccl_label what, uint64_t address, uint64_t bytes, vs_nccl_comm comm)
{
    struct vs_nccl_known known = {.device = -1};
    struct vs_rec_nccl_label *r;
    if (!address)
        return;
    vs_nccl_comm_get(comm, &known);
    r = vs_log_begin(VS_K_NCCL_LABEL, sizeof *r);
    if (!r)
        return;
    vs_rec_set(r, (uint8_t)what, known.device);
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->address = address;
    r->bytes = bytes;
    r->comm = (uint64_t)(uintptr_t)comm;
    vs_log_commit(r);
}

int ncclMemAlloc(void **out, size_t bytes)
{
    int (*real)(void **, size_t), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_MemAlloc);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(out, bytes);
    if (outer && !result && out)
        label(VS_NL_ALLOC, (uint64_t)(uintptr_t)*out, bytes, NULL);
    vs_nccl_leave();
    return result;
}

/* Before the real call: the address may be handed out again at once. */
int ncclMemFree(void *address)
{
    int (*real)(void *), result;
    *(void **)&real = vs_nccl_real(VS_NCCL_MemFree);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    if (vs_nccl_enter())
        label(VS_NL_FREE, (uint64_t)(uintptr_t)address, 0, NULL);
    result = real(address);
    vs_nccl_leave();
    return result;
}

static void registered(vs_nccl_comm comm, void *buffer, size_t bytes, void **handle)
{
    if (handle && *handle) {
        label(VS_NL_REGISTER, (uint64_t)(uintptr_t)buffer, bytes, comm);
        vs_nccl_buffer_put(*handle, buffer);
    }
}

int ncclCommRegister(vs_nccl_comm comm, void *buffer, size_t bytes, void **handle)
{
    int (*real)(vs_nccl_comm, void *, size_t, void **), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommRegister);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, buffer, bytes, handle);
    if (outer && !result)
        registered(comm, buffer, bytes, handle);
    vs_nccl_leave();
    return result;
}

int ncclCommWindowRegister(vs_nccl_comm comm, void *buffer, size_t bytes, void **window, int flags)
{
    int (*real)(vs_nccl_comm, void *, size_t, void **, int), result;
    bool outer;
    *(void **)&real = vs_nccl_real(VS_NCCL_CommWindowRegister);
    if (!real)
        return VS_NCCL_SYSTEM_ERROR;
    outer = vs_nccl_enter();
    result = real(comm, buffer, bytes, window, flags);
    if (outer && !result)
        registered(comm, buffer, bytes, window);
    vs_nccl_leave();
    return result;
}

#define DEREGISTERS(name)                                                            \
    int nccl##name(vs_nccl_comm comm, void *handle)                                  \
    {                                                                                \
        int (*real)(vs_nccl_comm, void *), result;                                   \
        *(void **)&real = vs_nccl_real(VS_NCCL_##name);                              \
        if (!real)                                                                   \
            return VS_NCCL_SYSTEM_ERROR;                                             \
        if (vs_nccl_enter())                                                         \
            label(VS_NL_DEREGISTER, vs_nccl_buffer_take(handle), 0, comm);           \
        result = real(comm, handle);                                                 \
        vs_nccl_leave();                                                             \
        return result;                                                               \
    }
DEREGISTERS(CommDeregister)
DEREGISTERS(CommWindowDeregister)
