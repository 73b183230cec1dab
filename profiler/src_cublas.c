/* SPDX-License-Identifier: MIT
 *
 * src_cublas.c: which memory of the program cuBLAS works in. PyTorch takes a workspace from its own allocator and hands it
 * to cuBLAS with every matrix product; from outside it looks like any tensor. Stands in front of the two functions that
 * are told of it. Must never record the same workspace again and again: they are called for every product.
 *
 * Only where cuBLAS is a shared library. Not seen: what cuBLAS allocates itself, which is a driver allocation with its
 * library's name.
 */
#include <errno.h>

#include "export.h"
#include "log.h"
#include "lookup.h"
#include "source.h"

enum { NOT_INITIALIZED = 1, /* cublasStatus_t */ KNOWN = 4 /* a thread's workspaces: one per stream it computes on */ };

/* What this thread said last, so that it is not said again; worth nothing in another process. */
static __thread struct {
    uint64_t address[KNOWN];
    uint32_t next, epoch;
} said __attribute__((tls_model("initial-exec")));

static void *resolve(void **at, const char *name, const char *const *sonames)
{
    void *real = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    if (__builtin_expect(!real, 0)) {
        int saved = errno;
        real = vs_lookup(name, sonames);
        errno = saved;
        __atomic_store_n(at, real, __ATOMIC_RELEASE);
    }
    return real;
}

static void note(const void *workspace, size_t bytes)
{
    uint64_t address = (uint64_t)(uintptr_t)workspace;
    uint32_t epoch = vs_log_epoch();
    struct vs_rec_label *r;
    int i;

    if (!address || !bytes || !epoch) return; /* what calls cuBLAS before it allocates has nothing to label */
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
    static void *at;
    int (*real)(void *, void *, size_t), result;
    *(void **)&real = resolve(&at, "cublasSetWorkspace_v2", sonames);
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
    static void *at;
    int (*real)(MATMUL_PARAMS);
    *(void **)&real = resolve(&at, "cublasLtMatmul", sonames);
    if (!real) return NOT_INITIALIZED;
    note(workspace, bytes);
    return real(handle, desc, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace, bytes,
                stream);
}

/* The real functions stay where they are in a forked child; what was said is of another epoch there. */
const struct vs_source_ops vs_source_cublas = {.name = "cublas"};
