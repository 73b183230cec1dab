/* SPDX-License-Identifier: MIT
 *
 * device.h: where an algorithm runs: one table of calls for the CPU and one for CUDA. The CUDA table lives in
 * libvramscope_kernels.so, opened at run time, so that programs built here start on machines that have no CUDA at all.
 *
 * Ownership: memory from alloc belongs to the caller until release; a context until close; a graph until forget.
 * Threading: a context serves one thread at a time, whose current device is the one it was opened on (else -EINVAL). The
 * caller orders what is queued through one context, graphs included: one stream, or events. alloc, release, upload and
 * download may be called from any thread.
 * Errors: 0 or -errno: -ENOMEM, -ENODEV, -EIO. last_error says what the device said, for the calling thread.
 */
#ifndef VS_KERNELS_DEVICE_H
#define VS_KERNELS_DEVICE_H

#include <stddef.h>

#include "kernels/comm.h"
#include "kernels/layer_norms.h"
#include "kernels/norm_stages.h"
#include "kernels/norms.h"
#include "kernels/queue.h"
#include "kernels/train.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VS_DEVICE_VERSION 4 /* of the table; the library and the program are built together, but may not be installed so */

struct vs_device {
    int version;
    const char *kind;                            /* "cpu" or "cuda" */
    int (*use)(int index);                       /* makes it the calling thread's current device: the index modulo their count */
    int (*open)(void **context);                 /* the calling thread's current device */
    void (*close)(void *context);                /* NULL is fine */
    const char *(*describe)(void *context);      /* name of the device or of the BLAS; valid until close */
    int (*alloc)(size_t bytes, void **out);      /* aligned to 256 bytes at least; contents undefined */
    void (*release)(void *memory);               /* NULL is fine */
    int (*free_bytes)(size_t *available);        /* that an allocation could get now, as far as the device knows */
    int (*clear)(void *memory, size_t bytes);    /* to zero, done when it returns */
    int (*upload)(void *to, const void *from, size_t bytes); /* host to device, done when it returns */
    int (*download)(void *to, const void *from, size_t bytes);
    int (*wait)(void *stream); /* for all work queued on it; reports what failed there */

    /* Time of the work queued in between, in ms: on the device's clock (CUDA events), or the wall's (CPU). stop waits. */
    int (*start)(void *context, void *stream);
    int (*stop)(void *context, void *stream, double *ms);

    /* Work queued on `stream` (a stream of the context's own) between capture and captured is kept, not run; replay queues
     * all of it at once. NULL on the CPU. */
    int (*capture)(void *context, void **stream);
    int (*captured)(void *context, void **graph);
    int (*replay)(void *context, void *graph, void *stream);
    void (*forget)(void *graph); /* NULL is fine */

    /* The rate, in operations per second (a multiply and an add: 2), that a large square matrix product of this element type
     * by the vendor's library reaches on this machine now: what a floor is computed from. Takes up to a second. */
    int (*ceiling)(void *context, enum vs_norms_dtype dtype, double *operations_per_s);

    const struct vs_norms_algorithm *(*norms)(const char *name); /* NULL: none of that name */
    const struct vs_layer_norms *layer_norms;
    const struct vs_train_ops *train;
    const struct vs_norm_stages *norm_stages;
    const struct vs_queue *queue;
    const struct vs_comm *comm; /* between processes, one device each */
    /* Measures once, into the context, what `auto` decides by; `auto` before it uses figures of one known machine. */
    int (*calibrate)(void *context, enum vs_norms_dtype dtype);
    /* What `auto` runs this layer with here, and what it expects, in ms, of gram, direct and materialize (infinite: cannot);
     * a static string. */
    const char *(*choice)(const struct vs_norms_call *call, size_t layer, double expected_ms[3]);
    const char *(*last_error)(void);
};

const struct vs_device *vs_device_cpu(void);

/* NULL when there is no usable NVIDIA GPU; why (one line, no newline) then says what is missing. */
const struct vs_device *vs_device_cuda(char *why, size_t bytes);

/* What libvramscope_kernels.so exports. NULL: no usable GPU, with the reason. */
typedef const struct vs_device *vs_kernels_cuda_fn(char *why, size_t bytes);
#define VS_KERNELS_LIBRARY "libvramscope_kernels.so"
#define VS_KERNELS_SYMBOL "vs_kernels_cuda"

#ifdef __cplusplus
}
#endif
#endif
