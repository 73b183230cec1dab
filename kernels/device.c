/* SPDX-License-Identifier: MIT
 *
 * device.c: the CPU as a device, and the search for the CUDA one. It links nothing of CUDA.
 */
#include "kernels/device.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cpu.h"
#include "kernels/gemm.h"

/* For last_error, which gives the text of errno. */
static int failed(int err)
{
    if (err) errno = -err;
    return err;
}

static int cpu_use(int index)
{
    (void)index;
    return 0;
}

static int cpu_open(void **context)
{
    struct vs_cpu_context *c = calloc(1, sizeof *c);
    if (c) c->threads = vs_parallel_threads();
    *context = c;
    return failed(c ? 0 : -ENOMEM);
}

static const char *cpu_describe(void *context)
{
    (void)context;
    return vs_gemm_name();
}

static int cpu_alloc(size_t bytes, void **out)
{
    size_t padded;
    if (__builtin_add_overflow(bytes, 255, &padded)) return failed(-ENOMEM);
    *out = aligned_alloc(256, padded & ~(size_t)255);
    return failed(*out ? 0 : -ENOMEM);
}

static int cpu_free_bytes(size_t *available)
{
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f) return failed(-EIO);
    char line[128];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1) break;
    fclose(f);
    *available = (size_t)kib * 1024;
    return failed(kib ? 0 : -EIO);
}

static int cpu_clear(void *memory, size_t bytes)
{
    memset(memory, 0, bytes);
    return 0;
}

static int cpu_copy(void *to, const void *from, size_t bytes)
{
    if (to != from) memcpy(to, from, bytes);
    return 0;
}

static int cpu_wait(void *stream)
{
    (void)stream;
    return 0;
}

static int cpu_start(void *context, void *stream)
{
    struct vs_cpu_context *c = context;
    (void)stream;
    clock_gettime(CLOCK_MONOTONIC, &c->begin);
    return 0;
}

static int cpu_stop(void *context, void *stream, double *ms)
{
    const struct vs_cpu_context *c = context;
    struct timespec end;
    (void)stream;
    clock_gettime(CLOCK_MONOTONIC, &end);
    *ms = (double)(end.tv_sec - c->begin.tv_sec) * 1e3 + (double)(end.tv_nsec - c->begin.tv_nsec) / 1e6;
    return 0;
}

static int cpu_ceiling(void *context, enum vs_norms_dtype dtype, double *operations_per_s)
{
    return failed(vs_cpu_ceiling(context, dtype, operations_per_s));
}

static int cpu_calibrate(void *context, enum vs_norms_dtype dtype)
{
    return failed(vs_cpu_calibrate(context, dtype));
}

static const char *cpu_last_error(void)
{
    return strerror(errno);
}

const struct vs_device *vs_device_cpu(void)
{
    static const struct vs_device cpu = {
        .version = VS_DEVICE_VERSION,
        .kind = "cpu",
        .use = cpu_use,
        .open = cpu_open,
        .close = free,
        .describe = cpu_describe,
        .alloc = cpu_alloc,
        .release = free,
        .free_bytes = cpu_free_bytes,
        .clear = cpu_clear,
        .upload = cpu_copy,
        .download = cpu_copy,
        .wait = cpu_wait,
        .start = cpu_start,
        .stop = cpu_stop,
        .ceiling = cpu_ceiling,
        .norms = vs_norms_cpu,
        .layer_norms = &vs_layer_norms_cpu,
        .train = &vs_train_cpu,
        .norm_stages = &vs_norm_stages_cpu,
        .queue = &vs_queue_cpu,
        .comm = &vs_comm_shared_memory,
        .calibrate = cpu_calibrate,
        .choice = vs_cpu_choice,
        .last_error = cpu_last_error,
    };
    return &cpu;
}

/* Beside the program (build/bin -> build/lib), then wherever the loader looks. */
static void *open_library(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "/../lib/" VS_KERNELS_LIBRARY);
    if (n > 0) {
        path[n] = 0;
        char *slash = strrchr(path, '/');
        if (slash) {
            strcpy(slash, "/../lib/" VS_KERNELS_LIBRARY);
            if (access(path, F_OK) == 0) return dlopen(path, RTLD_NOW | RTLD_LOCAL);
        }
    }
    return dlopen(VS_KERNELS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
}

const struct vs_device *vs_device_cuda(char *why, size_t bytes)
{
    /* Without a driver the CUDA libraries need not be read at all. */
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!driver) {
        snprintf(why, bytes, "no NVIDIA driver (libcuda.so.1) on this machine");
        return NULL;
    }
    void *library = open_library();
    if (!library) {
        snprintf(why, bytes, "the GPU kernels cannot be loaded: %s", dlerror());
        return NULL;
    }
    vs_kernels_cuda_fn *find = (vs_kernels_cuda_fn *)dlsym(library, VS_KERNELS_SYMBOL);
    const struct vs_device *device = find ? find(why, bytes) : NULL;
    if (!find) snprintf(why, bytes, "%s has no %s", VS_KERNELS_LIBRARY, VS_KERNELS_SYMBOL);
    if (device && device->version != VS_DEVICE_VERSION) {
        snprintf(why, bytes, "%s is of another version of vramscope", VS_KERNELS_LIBRARY);
        return NULL;
    }
    return device;
}
