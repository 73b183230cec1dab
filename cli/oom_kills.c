/* SPDX-License-Identifier: MIT
 *
 * oom_kills.c: reads the kernel's counter of our memory cgroup. Versions 1 and 2 differ in every name.
 */
#include "oom_kills.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The path of our group in the hierarchy with the memory controller: "4:memory:/path", or "0::/path" for version 2. */
static int own_group(char *path, size_t size, int *unified)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[1200], controllers[200];
    int found = 0;
    while (f && fgets(line, sizeof line, f)) {
        char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        int memory;
        if (!second) continue;
        snprintf(controllers, sizeof controllers, ",%.*s,", (int)(second - first - 1), first + 1);
        memory = strstr(controllers, ",memory,") != NULL;
        if (!memory && (found || strncmp(line, "0::", 3))) continue;
        second[1 + strcspn(second + 1, "\n")] = 0;
        snprintf(path, size, "%s", strcmp(second + 1, "/") ? second + 1 : "");
        *unified = !memory;
        found = 1;
        if (memory) break;
    }
    if (f) fclose(f);
    return found;
}

static long long read_counter(const char *path)
{
    FILE *f = fopen(path, "re");
    char line[200];
    long long n = -1;
    while (f && n < 0 && fgets(line, sizeof line, f))
        if (!strncmp(line, "oom_kill ", 9)) n = atoll(line + 9);
    if (f) fclose(f);
    return n;
}

long long vs_oom_kills(void)
{
    char group[1200], path[1400], base[64];
    int unified;
    long long n;
    const char *file;
    if (!own_group(group, sizeof group, &unified)) return -1;
    file = unified ? "memory.events" : "memory.oom_control";
    snprintf(base, sizeof base, "/sys/fs/cgroup/%s", unified ? "unified" : "memory");
    if (access(base, F_OK)) strcpy(base, "/sys/fs/cgroup");
    snprintf(path, sizeof path, "%s%s/%s", base, group, file);
    n = read_counter(path);
    if (n >= 0) return n;
    snprintf(path, sizeof path, "%s/%s", base, file); /* in a container: its own group lies at the mount */
    return read_counter(path);
}
