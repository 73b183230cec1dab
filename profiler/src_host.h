/* SPDX-License-Identifier: MIT
 *
 * src_host.h: what the kernel says about host memory: this process, its memory cgroup, the host. Where the files lie is
 * the caller's to say. Must never keep a descriptor.
 *
 * Threading: any; vs_host_read uses one buffer of its own and belongs to one thread at a time. Errors: what cannot be
 * read is UINT64_MAX.
 */
#ifndef VS_PROFILER_SRC_HOST_H
#define VS_PROFILER_SRC_HOST_H

#include <stdint.h>

struct vs_host_group {
    char folder[600]; /* "": there is no memory cgroup to be seen */
    char own[600];    /* the one it is in itself: version 1 counts kills there alone */
    int unified;      /* version 2's file names */
};
struct vs_host_memory {
    uint64_t rss, used, file, limit, kills, available, total; /* as in struct vs_rec_host_memory */
};

/* Of this process's memory cgroup and those above it the one with the least limit. proc: "/proc", mount: "/sys/fs/cgroup" */
void vs_host_find(const char *proc, const char *mount, struct vs_host_group *out);
void vs_host_read(const char *proc, const struct vs_host_group *group, struct vs_host_memory *out);

#endif
