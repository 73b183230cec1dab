/* SPDX-License-Identifier: MIT */
/* link: -ldl */
/*
 * nccl_static.c: a program whose only NCCL is inside another library. Exit status 0: that library's calls reached it.
 */
#include <dlfcn.h>
#include <stdio.h>

int main(void)
{
    int (*work)(void);
    void *library = dlopen("libnccl_static.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 3;
    }
    *(void **)&work = dlsym(library, "fake_static_work");
    return work ? work() : 4;
}
