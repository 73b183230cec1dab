/* SPDX-License-Identifier: MIT
 *
 * cupti_api.c: opens libcupti and resolves its functions. Must never be reached in a process that does not use CUDA, nor
 * load a second copy beside the one the program already has: both would fight for the driver's one subscription.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cupti_api.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "cupti_record.h"
#include "lookup.h"
#include "say.h"

static const char *const sonames[] = {"libcupti.so.13", "libcupti.so.12"};
static const char *const toolkit_folders[] = {"/usr/local/cuda/lib64", "/usr/local/cuda/extras/CUPTI/lib64"};
enum { NSONAMES = 2, NFOLDERS = 2 };

/* ---- where it is ---- */

/* Beside a libcudart or libcublas that is loaded: the toolkit's folder, or NVIDIA's wheels, where a part may have a folder
 * of its own. The folder is noted under the loader's lock and tried after it. */
static const char *const beside[] = {"", "/../../cuda_cupti/lib", "/../extras/CUPTI/lib64"};

static int note_folder(struct dl_phdr_info *info, size_t size, void *folder)
{
    const char *file = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
    (void)size;
    if (!file || (strncmp(file, "/libcudart.so", 13) && strncmp(file, "/libcublas.so", 13)))
        return 0;
    snprintf(folder, 1024, "%.*s", (int)(file - info->dlpi_name), info->dlpi_name);
    return 1;
}

static void *find_library(void)
{
    const char *chosen = vs_config()->cupti_lib;
    char folder[1024] = "", path[1200];
    void *handle = NULL;
    size_t i;

    if (chosen[0])
        return dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
    for (i = 0; i < NSONAMES && !handle; i++)
        handle = dlopen(sonames[i], RTLD_NOW | RTLD_NOLOAD);
    if (!handle)
        handle = dlopen(sonames[0], RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        dl_iterate_phdr(note_folder, folder);
    for (i = 0; folder[0] && i < sizeof beside / sizeof *beside && !handle; i++) {
        snprintf(path, sizeof path, "%s%s/%s", folder, beside[i], sonames[0]);
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    for (i = 0; i < NFOLDERS && !handle; i++) {
        snprintf(path, sizeof path, "%s/%s", toolkit_folders[i], sonames[0]);
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return handle;
}

/* ---- what is in it ---- */

#define X(field, name, parameters) {#name, offsetof(struct vs_cupti_functions, field)},
static const struct {
    const char *name;
    size_t offset;
} functions[] = {VS_CUPTI_FUNCTIONS(X)};
#undef X

static const char *resolve(void *handle, struct vs_cupti_functions *table)
{
    void *fn;
    size_t i;
    for (i = 0; i < sizeof functions / sizeof *functions; i++) {
        fn = vs_real_dlsym(handle, functions[i].name);
        if (!fn)
            return functions[i].name;
        memcpy((char *)table + functions[i].offset, &fn, sizeof fn);
    }
    fn = vs_real_dlsym(handle, "cuptiSubscribe_v2");
    memcpy(&table->subscribe_v2, &fn, sizeof fn);
    return NULL;
}

const struct vs_cupti_functions *vs_cupti_open(uint32_t *version)
{
    static struct vs_cupti_functions table;
    static uint32_t found;
    static bool open;
    const char *missing;
    void *handle;

    if (!open) {
        handle = find_library();
        if (!handle) {
            vs_say_once(VS_SAY_WARN, "no libcupti found%s%s: kernels and copies are not recorded; set VRAMSCOPE_CUPTI_LIB",
                        vs_config()->cupti_lib[0] ? " at " : "", vs_config()->cupti_lib);
            return NULL;
        }
        missing = resolve(handle, &table);
        if (missing) {
            vs_say_once(VS_SAY_WARN, "libcupti has no %s: kernels and copies are not recorded", missing);
            return NULL;
        }
        if (table.get_version(&found) || !vs_cupti_layout_known(found)) {
            vs_say_once(VS_SAY_WARN,
                        "libcupti has version %u; known are %u to %u: kernels and copies are not recorded", found,
                        VS_CUPTI_VERSION_FIRST, VS_CUPTI_VERSION_END - 1);
            return NULL;
        }
        open = true; /* the handle is kept: our functions are in the callbacks' path until the end */
    }
    if (version)
        *version = found;
    return &table;
}

/* ---- tools that hold CUPTI without going through us ---- */

static const struct {
    const char *name, *library, *variable;
} tools[] = {
    {"Nsight Systems", "libToolsInjection64.so", "NSYS_PROFILING_SESSION_ID"},
    {"Nsight Systems", "libToolsInjectionProxy64.so", "QUADD_INJECTION_PROXY"},
    {"Nsight Compute", "libcuda-injection.so", "NV_COMPUTE_PROFILER_PERFWORKS_DIR"},
    {"compute-sanitizer", "libsanitizer-collection.so", "NV_SANITIZER_INJECTION_TRANSPORT_TYPE"},
    {"compute-sanitizer", "libInterceptorInjectionTarget.so", NULL},
    {"cuda-gdb", "libcudadebugger.so.1", "CUDBG_APICLIENT_PID"},
};
enum { NTOOLS = sizeof tools / sizeof *tools };

static int match_tool(struct dl_phdr_info *info, size_t size, void *found)
{
    const char *file = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
    size_t i;
    (void)size;
    for (i = 0; file && i < NTOOLS; i++)
        if (!strcmp(file + 1, tools[i].library)) {
            *(const char **)found = tools[i].name;
            return 1;
        }
    return 0;
}

const char *vs_cupti_foreign_tool(void)
{
    const char *found = NULL;
    size_t i;
    for (i = 0; i < NTOOLS; i++)
        if (tools[i].variable && getenv(tools[i].variable))
            return tools[i].name;
    dl_iterate_phdr(match_tool, &found);
    return found;
}
