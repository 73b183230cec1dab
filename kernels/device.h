/* SPDX-License-Identifier: MIT
 *
 * device.h: where an algorithm runs: one table of calls for the CPU and one for CUDA. The CUDA table lives in
 * libvramscope_kernels.so, opened at run time, so that programs built here start on machines that have no CUDA at all.
 *
 * Ownership: memory from alloc belongs to the caller until release. A context belongs to the caller until close.
 * Threading: a context serves one thread at a time; alloc, release, upload and download may be called from any thread.
 * Errors: 0 or -errno: -ENOMEM, -ENODEV, -EIO. last_error says what the device said, for the calling thread.
 */
#ifndef VS_KERNELS_DEVICE_H
#define VS_KERNELS_DEVICE_H

#include <stddef.h>

#include "kernels/norms.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VS_DEVICE_VERSION 1 /* of the table; the library and the program are built together, but may not be installed so */

struct vs_device {
    int version;
    const char *kind;                            /* "cpu" or "cuda" */
    int (*open)(void **context);                 /* the calling thread's current device */
    void (*close)(void *context);                /* NULL is fine */
    const char *(*describe)(void *context);      /* name of the device or of the BLAS; valid until close */
    int (*alloc)(size_t bytes, void **out);      /* aligned to 256 bytes at least; contents undefined */
    void (*release)(void *memory);               /* NULL is fine */
    int (*free_bytes)(size_t *available);        /* that an allocation could get now, as far as the device knows */
    int (*upload)(void *to, const void *from, size_t bytes); /* host to device, done when it returns */
    int (*download)(void *to, const void *from, size_t bytes);
    int (*wait)(void *stream); /* for all work queued on it; reports what failed there */
    const struct vs_norms_algorithm *(*norms)(const char *name); /* NULL: none of that name */
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
