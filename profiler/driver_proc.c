/* SPDX-License-Identifier: MIT
 *
 * driver_proc.c: the two ways by which programs find driver functions at run time: dlsym and cuGetProcAddress.
 * Must never change what any other lookup gives, nor the error that dlerror reports for it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <link.h>

#include "caller.h"
#include "cupti.h"
#include "driver.h"
#include "lookup.h"

int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
    VS_REAL(cuGetProcAddress);
    int result = real(symbol, function, version, flags);
    if (result == VS_CU_SUCCESS && function)
        *function = vs_driver_replace(*function);
    return result;
}

int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status)
{
    VS_REAL(cuGetProcAddress_v2);
    int result = real(symbol, function, version, flags, status);
    if (result == VS_CU_SUCCESS && function)
        *function = vs_driver_replace(*function);
    return result;
}

#if defined(__x86_64__)

/* What dlsym does with a call: `tail` non-zero: go on into the real one as if we were not there. */
struct vs_dlsym_answer {
    void *result;
    uintptr_t tail;
};
/* Referred to by the code below only. */
VS_HIDDEN struct vs_dlsym_answer vs_dlsym_hooked(void *handle, const char *name, void *caller);

/* The real dlsym takes its return address as "who asks": RTLD_NEXT and RTLD_DEFAULT mean different things for different
 * callers. So every name that cannot be ours is passed on by a jump, which leaves that address where it was.
 * Ours may be cu[A-Z]*, cup* (CUPTI), cub* (cuBLAS) and nccl[A-Z]*. No C code runs for other names, except once. */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl dlsym\n"
        ".type dlsym, @function\n"
        "dlsym:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    movzbl (%rsi), %eax\n"
        "    cmpb $'c', %al\n"
        "    jne 1f\n"
        "    cmpb $'u', 1(%rsi)\n"
        "    jne 3f\n"
        "    movzbl 2(%rsi), %eax\n"
        "    cmpb $'p', %al\n"
        "    je 5f\n"
        "    cmpb $'b', %al\n"
        "    je 5f\n"
        "    jmp 2f\n"
        "1:  cmpb $'n', %al\n"
        "    jne 3f\n"
        "    cmpb $'c', 1(%rsi)\n"
        "    jne 3f\n"
        "    cmpb $'c', 2(%rsi)\n"
        "    jne 3f\n"
        "    cmpb $'l', 3(%rsi)\n"
        "    jne 3f\n"
        "    movzbl 4(%rsi), %eax\n"
        "2:  subl $'A', %eax\n"
        "    cmpl $25, %eax\n"
        "    jbe 5f\n"
        "3:  movq vs_real_dlsym_ptr(%rip), %rax\n"
        "    testq %rax, %rax\n"
        "    je 4f\n"
        "    jmp *%rax\n"
        "4:  pushq %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rsi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call vs_dlsym_resolve\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rsi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    movq vs_real_dlsym_ptr(%rip), %rax\n"
        "    jmp *%rax\n"
        "5:  movq (%rsp), %rdx\n"
        "    pushq %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rsi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call vs_dlsym_hooked\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rsi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    testq %rdx, %rdx\n"
        "    jne 3b\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size dlsym, .-dlsym\n");

/* Does the object this address lies in come before ours in the load order, so that its RTLD_NEXT may be us? */
static bool precedes_us(void *address)
{
    static char anchor;
    struct link_map *caller = NULL, *self = NULL;
    Dl_info info;
    if (!dladdr1(address, &info, (void **)&caller, RTLD_DL_LINKMAP) ||
        !dladdr1(&anchor, &info, (void **)&self, RTLD_DL_LINKMAP) || caller == self)
        return false;
    for (; self; self = self->l_prev)
        if (self == caller)
            return true;
    return false;
}

static void *self_handle(void)
{
    static char anchor;
    static void *handle; /* atomic */
    void *h = __atomic_load_n(&handle, __ATOMIC_RELAXED);
    Dl_info info;
    if (!h && dladdr(&anchor, &info) && (h = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD)))
        __atomic_store_n(&handle, h, __ATOMIC_RELAXED);
    return h;
}

/* The program's own lookup is the last thing we ask the loader, here and below: dlerror tells about the last one. */
static void *driver_function(void *handle, const char *name, enum vs_hook hook)
{
    void *found, *libcuda;
    vs_driver_fill();
    libcuda = vs_driver_address(hook);
    if (libcuda)
        vs_driver_real(hook);
    found = vs_real_dlsym(handle, name);
    if (found && found == vs_driver_wrapper(hook)) /* our own export: what would there be without us? */
        return libcuda ? found : vs_real_dlsym(RTLD_NEXT, name);
    return found && found == libcuda ? vs_driver_wrapper(hook) : found;
}

/* Other exports of ours. NCCL wrappers call the NCCL that lookup finds: for another copy of it they are not given out. */
static void *other_function(void *handle, const char *name, void *own)
{
    static const char *const nccl[] = {"libnccl.so.2", NULL}, *const cupti[] = {"libcupti.so.13", "libcupti.so.12", NULL};
    void *real = vs_lookup(name, name[0] == 'n' ? nccl : cupti), *found = vs_real_dlsym(handle, name);
    if (found == own)
        return real ? found : vs_real_dlsym(RTLD_NEXT, name);
    if (!found)
        return NULL;
    return name[0] == 'c' ? vs_cupti_wrapper(name, found) : found == real ? own : found;
}

/* Only our own export is looked at: it is there if the program would reach a cuBLAS without us. */
static void *cublas_function(void *handle, const char *name, const void *own, const void *caller)
{
    bool real = vs_real_dlsym(RTLD_NEXT, name) || vs_lookup_near(caller, name);
    void *found = vs_real_dlsym(handle, name);
    return found != own || real ? found : vs_real_dlsym(RTLD_NEXT, name);
}

struct vs_dlsym_answer vs_dlsym_hooked(void *handle, const char *name, void *caller)
{
    const struct vs_dlsym_answer pass_on = {.tail = 1};
    bool cublas = name[0] == 'c' && name[2] == 'b', driver = name[0] == 'c' && name[2] != 'p' && !cublas;
    int hook = driver ? vs_driver_hook_named(name) : -1, saved = errno;
    void *own = NULL, *self = NULL;

    if (driver && hook < 0)
        return pass_on;
    if (handle == RTLD_NEXT && !precedes_us(caller))
        return pass_on;
    if (!driver && (!(self = self_handle()) || !(own = vs_real_dlsym(self, name))))
        return pass_on;
    own = driver   ? driver_function(handle, name, hook)
          : cublas ? cublas_function(handle, name, own, caller)
                   : other_function(handle, name, own);
    errno = saved;
    return (struct vs_dlsym_answer){.result = own};
}

#endif
