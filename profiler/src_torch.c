/* SPDX-License-Identifier: MIT
 *
 * src_torch.c: PyTorch's caching allocator. Stands in front of two C++ functions of libc10.so that the allocator calls at
 * every allocation, free and out-of-memory; records the event and passes the call on, so that torch.profiler still gets it.
 * Must never lock, wait or call CUDA, torch or Python code: the allocator's mutex is held around every call.
 *
 * The names are the mangled ones of all ABI forms PyTorch has used: the totals were int64_t, then size_t; before that
 * there were none. c10::Device is two bytes passed by value.
 */
#include <errno.h>

#include "caller.h"
#include "export.h"
#include "log.h"
#include "lookup.h"
#include "source.h"
#include "src_python.h"

struct c10_device {
    int8_t type;  /* c10::DeviceType */
    int8_t index; /* -1: none */
};
enum { C10_CUDA = 1 };

#define unlikely(x) __builtin_expect(!!(x), 0)

/* Resolved at the first call of each form, whatever its device. Looking it up takes the loader's lock, so once only. */
struct forward {
    const char *name;
    void *real;
    int resolved;
};

static void *forward_resolve(struct forward *f, const void *caller)
{
    static const char *const c10[] = {"libc10.so", NULL};
    int saved = errno;
    void *real = vs_lookup(f->name, c10);
    if (!real) /* c10 linked statically into the allocator's library */
        real = vs_lookup_near(caller, f->name);
    __atomic_store_n(&f->real, real, __ATOMIC_RELAXED);
    __atomic_store_n(&f->resolved, 1, __ATOMIC_RELEASE);
    errno = saved;
    return real;
}

static inline void *forward_to(struct forward *f, const void *caller)
{
    if (unlikely(!__atomic_load_n(&f->resolved, __ATOMIC_ACQUIRE))) return forward_resolve(f, caller);
    return __atomic_load_n(&f->real, __ATOMIC_RELAXED);
}

static inline void record_usage(void *ptr, int64_t bytes, uint64_t allocated, uint64_t reserved, uint8_t totals,
                                int index)
{
    uint64_t stack;
    bool asked = unlikely(vs_python_wanted) && bytes > 0, known = asked && vs_python_stack(&stack);
    struct vs_rec_torch *r = vs_log_begin(VS_K_TORCH, known ? sizeof *r + sizeof stack : sizeof *r);
    if (unlikely(!r)) return;
    vs_rec_set(r, known ? totals | VS_TORCH_STACK : totals, index);
    if (unlikely(vs_python_wanted)) {
        if (known) r->stack[0] = stack;
        else if (bytes > 0 && !asked) vs_python_missed(); /* wanted since this event began the recording */
    }
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->address = (uint64_t)(uintptr_t)ptr;
    r->bytes = bytes;
    r->allocated = allocated;
    r->reserved = reserved;
    r->range = vs_thread_range();
    vs_log_commit(r);
}

static void record_oom(int64_t bytes, uint64_t allocated, uint64_t reserved, int index)
{
    uint64_t stack;
    bool known = vs_python_wanted && vs_python_stack(&stack);
    struct vs_rec_oom *r = vs_log_begin(VS_K_TORCH_OOM, known ? sizeof *r + sizeof stack : sizeof *r);
    if (!r) return;
    vs_rec_set(r, known ? VS_TORCH_STACK : 0, index);
    if (known) r->stack[0] = stack;
    r->ts_ns = vs_now();
    r->bytes = bytes;
    r->allocated = allocated;
    r->reserved = reserved;
    r->range = vs_thread_range();
    vs_log_commit(r);
}

#define NAME_USAGE(types) "_ZN3c1027reportMemoryUsageToProfilerEPv" types "NS_6DeviceE"
#define NAME_OOM(types)   "_ZN3c1027reportOutOfMemoryToProfilerE" types "NS_6DeviceE"

/* X(suffix of our function, mangled parameter types, type of the totals) */
#define USAGE_FORMS(X)                                                                                                 \
    X(unsigned, "lmm", uint64_t)                                                                                       \
    X(signed, "lll", int64_t)

#define X(form, types, total_t)                                                                                        \
    VS_EXPORT VS_HOT void vs_torch_usage_##form(void *ptr, int64_t bytes, total_t allocated, total_t reserved,         \
                                                struct c10_device device) __asm__(NAME_USAGE(types));                  \
    VS_EXPORT void vs_torch_usage_##form(void *ptr, int64_t bytes, total_t allocated, total_t reserved,                \
                                         struct c10_device device)                                                     \
    {                                                                                                                  \
        static struct forward f = {.name = NAME_USAGE(types)};                                                         \
        void (*real)(void *, int64_t, total_t, total_t, struct c10_device);                                            \
        if (device.type == C10_CUDA)                                                                                   \
            record_usage(ptr, bytes, (uint64_t)allocated, (uint64_t)reserved, VS_TORCH_TOTALS, device.index);                        \
        *(void **)&real = forward_to(&f, __builtin_return_address(0));                                                 \
        if (real && real != vs_torch_usage_##form) real(ptr, bytes, allocated, reserved, device);                      \
    }
USAGE_FORMS(X)
#undef X

VS_EXPORT void vs_torch_usage_bare(void *ptr, int64_t bytes, struct c10_device device) __asm__(NAME_USAGE("l"));
VS_EXPORT void vs_torch_usage_bare(void *ptr, int64_t bytes, struct c10_device device)
{
    static struct forward f = {.name = NAME_USAGE("l")};
    void (*real)(void *, int64_t, struct c10_device);
    if (device.type == C10_CUDA) record_usage(ptr, bytes, 0, 0, 0, device.index);
    *(void **)&real = forward_to(&f, __builtin_return_address(0));
    if (real && real != vs_torch_usage_bare) real(ptr, bytes, device);
}

/* X(suffix, mangled parameter types, type of the size, type of the totals) */
#define OOM_FORMS(X)                                                                                                   \
    X(lmm, "lmm", int64_t, uint64_t)                                                                                   \
    X(mmm, "mmm", uint64_t, uint64_t)                                                                                  \
    X(lll, "lll", int64_t, int64_t)

#define X(form, types, size_type, total_t)                                                                             \
    VS_EXPORT void vs_torch_oom_##form(size_type bytes, total_t allocated, total_t reserved,                           \
                                       struct c10_device device) __asm__(NAME_OOM(types));                             \
    VS_EXPORT void vs_torch_oom_##form(size_type bytes, total_t allocated, total_t reserved, struct c10_device device) \
    {                                                                                                                  \
        static struct forward f = {.name = NAME_OOM(types)};                                                           \
        void (*real)(size_type, total_t, total_t, struct c10_device);                                                  \
        if (device.type == C10_CUDA)                                                                                   \
            record_oom((int64_t)bytes, (uint64_t)allocated, (uint64_t)reserved, device.index);                         \
        *(void **)&real = forward_to(&f, __builtin_return_address(0));                                                 \
        if (real && real != vs_torch_oom_##form) real(bytes, allocated, reserved, device);                             \
    }
OOM_FORMS(X)
#undef X

/* Pointers to the real functions stay right in a forked child: the same libraries are mapped there. */
const struct vs_source_ops vs_source_torch = {.name = "torch"};
