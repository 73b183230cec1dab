/* SPDX-License-Identifier: MIT */
/* link: -l:libnccl.so.2 -ldl -lpthread */
/*
 * nccl_real.c: the same NCCL calls against NVIDIA's own libnccl.so.2, which loads and answers without a GPU. Includes
 * nothing of the profiler. Exit status 0: NCCL answered each with an error of its own, as it must without a communicator.
 *
 * nccl_real linked         through the names the program is linked with: the wrappers are bound
 * nccl_real opened LIB     dlopen and dlsym of LIB: only NCCL's NVTX domain tells
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int ncclAllReduce(const void *s, void *r, size_t n, int dtype, int op, void *comm, void *stream);
int ncclAllGather(const void *s, void *r, size_t n, int dtype, void *comm, void *stream);
int ncclReduce(const void *s, void *r, size_t n, int dtype, int op, int root, void *comm, void *stream);
int ncclSend(const void *s, size_t n, int dtype, int peer, void *comm, void *stream);
int ncclGroupStart(void);
int ncclGroupEnd(void);

struct calls {
    int (*all_reduce)(const void *, void *, size_t, int, int, void *, void *);
    int (*all_gather)(const void *, void *, size_t, int, void *, void *);
    int (*reduce)(const void *, void *, size_t, int, int, int, void *, void *);
    int (*send)(const void *, size_t, int, int, void *, void *);
    int (*group_start)(void);
    int (*group_end)(void);
};

int main(int argc, char **argv)
{
    struct calls c = {ncclAllReduce, ncclAllGather, ncclReduce, ncclSend, ncclGroupStart, ncclGroupEnd};
    char buffer[64];
    int r[4];

    if (argc == 3 && !strcmp(argv[1], "opened")) {
        void *lib = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
        if (!lib) {
            fprintf(stderr, "%s\n", dlerror());
            return 77;
        }
        *(void **)&c.all_reduce = dlsym(lib, "ncclAllReduce");
        *(void **)&c.all_gather = dlsym(lib, "ncclAllGather");
        *(void **)&c.reduce = dlsym(lib, "ncclReduce");
        *(void **)&c.send = dlsym(lib, "ncclSend");
        *(void **)&c.group_start = dlsym(lib, "ncclGroupStart");
        *(void **)&c.group_end = dlsym(lib, "ncclGroupEnd");
    }
    r[0] = c.all_reduce(buffer, buffer, 10, 7, 2, NULL, NULL);
    r[1] = c.all_gather(buffer, buffer, 11, 6, NULL, NULL);
    r[2] = c.reduce(buffer, buffer, 12, 8, 3, 5, NULL, NULL);
    c.group_start();
    r[3] = c.send(buffer, 13, 2, 6, NULL, NULL);
    c.group_end();
    printf("%d %d %d %d\n", r[0], r[1], r[2], r[3]);
    return !r[0] || !r[1] || !r[2] || !r[3];
}
