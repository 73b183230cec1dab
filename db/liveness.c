/* SPDX-License-Identifier: MIT
 *
 * liveness.c: asks /proc, the control file and the clock. It must never signal or open another process.
 */
#include "liveness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SILENT_NS 10000000000ull /* the helper beats several times a second */

static ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n;
}

static bool own_boot(const uint8_t boot_id[16])
{
    char text[64];
    uint8_t own[16] = {0};
    int nibbles = 0;
    if (read_file("/proc/sys/kernel/random/boot_id", text, sizeof text) <= 0) return false;
    for (const char *c = text; *c && nibbles < 32; c++) {
        int v = *c >= '0' && *c <= '9' ? *c - '0' : *c >= 'a' && *c <= 'f' ? *c - 'a' + 10 : -1;
        if (v < 0) continue;
        own[nibbles / 2] = (uint8_t)(own[nibbles / 2] << 4 | v);
        nibbles++;
    }
    return !memcmp(own, boot_id, sizeof own);
}

static enum vs_life by_pid(const struct vs_identity *who)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%u/stat", who->pid);
    if (read_file(path, text, sizeof text) <= 0) return VS_LIFE_OVER;
    char *p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p || p[1] != ' ') return VS_LIFE_RUNNING;
    char state = p[2];
    int field = 2;
    for (p++; *p && field < 22; p++) field += *p == ' ';
    if (state == 'Z' || state == 'X' || strtoull(p, NULL, 10) != who->pid_start) return VS_LIFE_OVER;
    return VS_LIFE_RUNNING;
}

enum vs_life vs_liveness(const struct vs_identity *who, const struct vs_counters *counters)
{
    struct stat st;
    struct timespec now;
    char host[65] = "";
    if (counters->control && counters->state == VS_CTL_ENDED) return VS_LIFE_OVER;
    if (!own_boot(who->boot_id)) {
        gethostname(host, sizeof host - 1);
        return !strcmp(host, who->host) ? VS_LIFE_OVER : VS_LIFE_UNKNOWN; /* this machine has started anew since */
    }
    if (!stat("/proc/self/ns/pid", &st) && (uint64_t)st.st_ino == who->pid_namespace) return by_pid(who);
    if (!counters->control || clock_gettime(CLOCK_MONOTONIC, &now)) return VS_LIFE_UNKNOWN;
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    return ns > counters->heartbeat_ns && ns - counters->heartbeat_ns > SILENT_NS ? VS_LIFE_OVER : VS_LIFE_RUNNING;
}
