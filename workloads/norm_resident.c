/* SPDX-License-Identifier: MIT
 *
 * norm_resident.c: asks /proc. It must allocate nothing itself while it measures.
 */
#include "workloads/norm_resident.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static long long field(const char *text, const char *name)
{
    long long kib;
    const char *at = strstr(text, name);
    return at && sscanf(at + strlen(name), "%lld", &kib) == 1 ? kib * 1024 : -1;
}

static struct vs_resident resident(const char *all)
{
    const struct vs_resident unknown = {-1, -1};
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return unknown;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return unknown;
    text[n] = 0;
    long long whole = field(text, all), files = field(text, "\nRssFile:"), memory = field(text, "\nRssShmem:");
    return whole < 0 || files < 0 || memory < 0 ? unknown : (struct vs_resident){whole, files + memory};
}

struct vs_resident vs_resident_begin(void)
{
    const struct vs_resident unknown = {-1, -1};
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return unknown;
    ssize_t n = write(fd, "5", 1); /* VmHWM = VmRSS */
    close(fd);
    return n == 1 ? resident("\nVmRSS:") : unknown;
}

long long vs_resident_growth(const struct vs_resident *before)
{
    if (before->all < 0) return -1;
    struct vs_resident now = resident("\nVmHWM:");
    if (now.all < 0) return -1;
    long long shared = now.shared > before->shared ? now.shared - before->shared : 0,
              grown = now.all - before->all - shared;
    return grown > 0 ? grown : 0;
}
