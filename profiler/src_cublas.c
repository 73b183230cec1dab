/* SPDX-License-Identifier: MIT
 *
 * src_cublas.c: which memory of the program cuBLAS works in. PyTorch takes a workspace from its own allocator and hands it
 * to cuBLAS with every matrix product; from outside it looks like any tensor. Stands in front of the two functions that
 * are told of it. Must never record the same workspace again and again: they are called for every product.
 *
 * Only where calls of cuBLAS go through the dynamic linker. Not seen: what cuBLAS allocates itself, which is a driver
 * allocation with its library's name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>

#include "caller.h"
#include "export.h"
#include "log.h"
#include "lookup.h"
#include "source.h"

enum {
    NOT_INITIALIZED = 1, /* cublasStatus_t */
    KNOWN = 8,           /* a thread's workspaces: one per stream it computes on */
    AGAIN = 1024,        /* of so many calls one says it again: the block may have been freed and handed out anew */
    CALLERS = 64
};

/* What this thread said last, so that it is not said again; worth nothing in another process. */
static __thread struct {
    uint64_t address[KNOWN];
    uint32_t next, epoch, calls;
} said __attribute__((tls_model("initial-exec")));

/* ---- the real functions ---- */

/* By return address: a process may have several cuBLAS, and each library is to reach its own. */
struct callers {
    const char *name;
    void *own;
    const char *const *sonames;
    struct {
        const void *caller; /* NULL: free; atomic */
        void *real;         /* NULL: not yet; atomic */
    } at[CALLERS];
};

/* First what the caller's library links or has inside: that is found under any file name. Last what another caller's was:
 * a library's tail call returns to who knows nothing of cuBLAS. */
static void *look_up(const struct callers *c, const void *caller)
{
    void *real = vs_lookup_near(caller, c->name);
    if (!real || real == c->own) real = vs_lookup(c->name, c->sonames);
    if (!real || real == c->own) real = __atomic_load_n(&c->at[0].real, __ATOMIC_ACQUIRE);
    return real;
}

/* What is remembered must not be unloaded. */
static void keep(void *function)
{
    Dl_info where;
    if (dladdr(function, &where) && where.dli_fname) dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

/* What finds no place is looked up each time. */
static __attribute__((noinline, cold)) void *resolve_slowly(struct callers *c, const void *caller)
{
    int saved = errno, i;
    void *real = look_up(c, caller);
    for (i = 0; real && i < CALLERS; i++) {
        const void *found = NULL;
        if (!__atomic_compare_exchange_n(&c->at[i].caller, &found, caller, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
            found != caller)
            continue;
        keep(real);
        __atomic_store_n(&c->at[i].real, real, __ATOMIC_RELEASE);
        break;
    }
    errno = saved;
    return real;
}

static inline void *resolve(struct callers *c, const void *caller)
{
    int i;
    for (i = 0; i < CALLERS; i++) {
        const void *known = __atomic_load_n(&c->at[i].caller, __ATOMIC_RELAXED);
        void *real;
        if (!known) break;
        if (known == caller && (real = __atomic_load_n(&c->at[i].real, __ATOMIC_ACQUIRE))) return real;
    }
    return resolve_slowly(c, caller);
}

/* ---- labels ---- */

static void note(const void *workspace, size_t bytes)
{
    uint64_t address = (uint64_t)(uintptr_t)workspace;
    uint32_t epoch = vs_log_epoch();
    struct vs_rec_label *r;
    int i;

    if (!address || !bytes || !epoch) return; /* what calls cuBLAS before it allocates has nothing to label */
    if (++said.calls % AGAIN == 0) said.epoch = 0;
    if (said.epoch == epoch)
        for (i = 0; i < KNOWN; i++)
            if (said.address[i] == address) return;
    if (!(r = vs_log_begin(VS_K_LABEL, sizeof *r))) return;
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->address = address;
    r->bytes = bytes;
    r->what = VS_LABEL_WORKSPACE;
    vs_log_commit(r);
    for (i = 0; said.epoch != epoch && i < KNOWN; i++) said.address[i] = 0;
    said.epoch = epoch;
    said.address[said.next++ % KNOWN] = address;
}

VS_EXPORT int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes)
{
    static const char *const sonames[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", NULL};
    static struct callers callers = {
        .name = "cublasSetWorkspace_v2", .own = __extension__(void *) cublasSetWorkspace_v2, .sonames = sonames};
    int (*real)(void *, void *, size_t), result;
    *(void **)&real = resolve(&callers, __builtin_return_address(0));
    if (!real) return NOT_INITIALIZED;
    result = real(handle, workspace, bytes);
    note(workspace, bytes);
    return result;
}

#define MATMUL_PARAMS                                                                                              \
    void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,     \
        const void *beta, const void *c, void *c_layout, void *d, void *d_layout, const void *algorithm,           \
        void *workspace, size_t bytes, void *stream
VS_EXPORT int cublasLtMatmul(MATMUL_PARAMS);
int cublasLtMatmul(MATMUL_PARAMS)
{
    static const char *const sonames[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11", NULL};
    static struct callers callers = {
        .name = "cublasLtMatmul", .own = __extension__(void *) cublasLtMatmul, .sonames = sonames};
    int (*real)(MATMUL_PARAMS);
    *(void **)&real = resolve(&callers, __builtin_return_address(0));
    if (!real) return NOT_INITIALIZED;
    note(workspace, bytes);
    return real(handle, desc, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace, bytes,
                stream);
}

/* The real functions stay where they are in a forked child; what was said is of another epoch there. */
const struct vs_source_ops vs_source_cublas = {.name = "cublas"};
