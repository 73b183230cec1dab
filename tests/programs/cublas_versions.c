/* SPDX-License-Identifier: MIT */
/* link: -ldl */
/*
 * cublas_versions.c: a program with two versions of cuBLAS, one of a file name nobody knows, each called from its own
 * library; unloaded and loaded again. Includes nothing of the profiler. Exit status 0: each call reached its own version.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stddef.h>

typedef int (*within)(void *handle, void *workspace, size_t bytes);

static void *open_version(const char *file, within *call)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library) *(void **)call = dlsym(library, "fake_cublas_within");
    return library;
}

int main(void)
{
    void *c10 = dlopen("libc10.so", RTLD_NOW | RTLD_LOCAL), *cuda = dlopen("libc10_cuda.so", RTLD_NOW | RTLD_LOCAL);
    void *(*report)(void *, int64_t, int, int, int), *workspace, *later, *known;
    within call_later, call_known;
    if (!c10 || !cuda) return 3;
    *(void **)&report = dlsym(cuda, "fake_torch_report");
    workspace = report(NULL, 1 << 20, 1, 0, 0);
    for (int i = 0; i < 3; i++) {
        if (!(later = open_version("libcublas.so.99", &call_later))) return 4;
        if (call_later(&later, workspace, 1 << 20) != 8) return 10 + i;
        if (!(known = open_version("libcublas.so.13", &call_known))) return 5;
        if (call_known(&known, workspace, 1 << 20) != 7 || call_later(&later, workspace, 1 << 20) != 8) return 20 + i;
        if (dlclose(later) || dlclose(known)) return 6;
    }
    return 0;
}
