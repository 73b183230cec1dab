/* SPDX-License-Identifier: MIT
 *
 * src_host.c: the source "host": host memory over time, so that after a kill one can tell whether the kernel was out of it.
 * Reads five small files on the helper thread, 75 us in all. Must never keep a descriptor (programs close them all).
 */
#include "src_host.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "source.h"

#define UNKNOWN UINT64_MAX
#define NO_LIMIT ((uint64_t)1 << 62) /* version 1 has no word for it but the largest number of pages */

static ssize_t read_text(const char *folder, const char *name, char *text, size_t size)
{
    char path[700];
    int fd;
    ssize_t n = -1;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path &&
        (fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0) {
        n = read(fd, text, size - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = 0;
    return n;
}

static uint64_t read_number(const char *folder, const char *name)
{
    char text[32], *end;
    uint64_t n;
    if (read_text(folder, name, text, sizeof text) <= 0)
        return UNKNOWN;
    n = strtoull(text, &end, 10);
    return end == text ? UNKNOWN : n; /* "max" */
}

/* Of the line that begins with this word. */
static uint64_t number_of(const char *text, const char *word)
{
    size_t n = strlen(word);
    while (text && *text) {
        if (!strncmp(text, word, n) && (text[n] == ' ' || text[n] == ':'))
            return strtoull(text + n + 1, NULL, 10);
        text = strchr(text, '\n');
        text += text != NULL;
    }
    return UNKNOWN;
}

/* ---- the group ---- */

static uint64_t limit_of(const struct vs_host_group *g)
{
    uint64_t n = read_number(g->folder, g->unified ? "memory.max" : "memory.limit_in_bytes");
    return n < NO_LIMIT ? n : UNKNOWN;
}

static uint64_t used_of(const struct vs_host_group *g)
{
    return read_number(g->folder, g->unified ? "memory.current" : "memory.usage_in_bytes");
}

/* A line of /proc/self/cgroup: "4:cpu,memory:/path", or "0::/path" for version 2. */
static bool is_memory(const char *line, const char **path)
{
    const char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL, *at;
    if (!second)
        return false;
    *path = second + 1;
    for (at = first + 1; at < second; at += strcspn(at, ",:") + 1)
        if (!strncmp(at, "memory", 6) && strchr(",:", at[6]))
            return true;
    return false;
}

/* The group's path without a trailing slash; false: it has no memory controller. */
static bool find_path(const char *proc, char *path, size_t size, bool *unified)
{
    char text[4096], *line, *save = NULL;
    const char *at = "";
    bool found = false;
    if (read_text(proc, "self/cgroup", text, sizeof text) <= 0)
        return false;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        bool memory = is_memory(line, &at);
        if (!memory && (found || strncmp(line, "0::", 3)))
            continue;
        *unified = !memory;
        found = true;
        snprintf(path, size, "%s", strcmp(at, "/") ? at : "");
        if (memory)
            return true; /* a controller is in one hierarchy only */
    }
    return found;
}

void vs_host_find(const char *proc, const char *mount, struct vs_host_group *out)
{
    char path[400], hybrid[300], *slash;
    const char *base = mount;
    uint64_t least = UNKNOWN, limit;
    bool unified = false;
    struct vs_host_group g = {.folder = "", .own = ""};

    memset(out, 0, sizeof *out);
    if (!find_path(proc, path, sizeof path, &unified))
        return;
    snprintf(hybrid, sizeof hybrid, "%s/%s", mount, unified ? "unified" : "memory");
    if (!access(hybrid, F_OK))
        base = hybrid;
    g.unified = unified;
    for (;;) { /* in a container the upper part of the path may not exist: its own group lies at the mount */
        snprintf(g.folder, sizeof g.folder, "%s%s", base, path);
        limit = limit_of(&g);
        if (!out->own[0] && used_of(&g) != UNKNOWN) {
            *out = g;
            memcpy(out->own, g.folder, sizeof out->own);
            least = limit;
        } else if (limit < least) {
            memcpy(out->folder, g.folder, sizeof out->folder);
            least = limit;
        }
        slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = 0;
    }
}

/* ---- one look ---- */

static void read_group(const struct vs_host_group *g, struct vs_host_memory *m)
{
    static char text[8192];
    uint64_t inactive, active;
    m->used = used_of(g);
    m->limit = limit_of(g);
    if (read_text(g->unified ? g->folder : g->own, g->unified ? "memory.events" : "memory.oom_control", text, sizeof text) > 0)
        m->kills = number_of(text, "oom_kill");
    if (m->used == UNKNOWN || m->limit == UNKNOWN || m->used < m->limit / 8 * 7)
        return; /* the next file is dear: the kernel sums it up over all processors */
    if (read_text(g->folder, "memory.stat", text, sizeof text) <= 0)
        return;
    inactive = number_of(text, g->unified ? "inactive_file" : "total_inactive_file");
    active = number_of(text, g->unified ? "active_file" : "total_active_file");
    if (inactive != UNKNOWN && active != UNKNOWN)
        m->file = inactive + active;
}

void vs_host_read(const char *proc, const struct vs_host_group *group, struct vs_host_memory *out)
{
    char text[512];
    unsigned long long pages;
    uint64_t kib;

    *out = (struct vs_host_memory){UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN};
    if (read_text(proc, "self/statm", text, sizeof text) > 0 && sscanf(text, "%*s %llu", &pages) == 1)
        out->rss = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    if (read_text(proc, "meminfo", text, sizeof text) > 0) {
        if ((kib = number_of(text, "MemTotal")) != UNKNOWN)
            out->total = kib << 10;
        if ((kib = number_of(text, "MemAvailable")) != UNKNOWN)
            out->available = kib << 10;
    }
    if (group->folder[0])
        read_group(group, out);
}

/* ---- the source ---- */

enum { LOOK_NS = 500000000 }; /* not more often: the kernel adds the numbers up over all processors */
enum { SILENCE_NS = 2000000000 }; /* a sample at least so often, so that the last one before a kill is not old */
static const uint64_t step = 1 << 20;
static struct vs_host_group group;
static struct vs_host_memory last;
static uint64_t last_ns, looked_ns;

static void append(uint64_t now)
{
    struct vs_rec_host_memory *r = vs_log_begin(VS_K_HOST_MEMORY, sizeof *r);
    if (!r)
        return;
    r->ts_ns = now;
    r->rss_bytes = last.rss;
    r->cgroup_used_bytes = last.used;
    r->cgroup_file_bytes = last.file;
    r->cgroup_limit_bytes = last.limit;
    r->cgroup_oom_kills = last.kills;
    r->host_available_bytes = last.available;
    r->host_total_bytes = last.total;
    vs_log_commit(r);
    last_ns = now;
}

static bool differs(uint64_t a, uint64_t b, uint64_t by)
{
    return (a > b ? a - b : b - a) >= by;
}

static void look(bool always)
{
    struct vs_host_memory m;
    uint64_t now = vs_now();
    if (!always && now - looked_ns < LOOK_NS)
        return;
    looked_ns = now;
    vs_host_read("/proc", &group, &m);
    if (!always && now - last_ns < SILENCE_NS && !differs(m.rss, last.rss, step) && !differs(m.used, last.used, step) &&
        m.limit == last.limit && m.kills == last.kills && !differs(m.available, last.available, m.total / 256 + 1))
        return;
    last = m;
    append(now);
}

static void start(void)
{
    if (!vs_config()->sample_ms)
        return;
    vs_host_find("/proc", "/sys/fs/cgroup", &group);
    look(true);
}

static void sample(void)
{
    look(false);
}

static void stop(void)
{
    if (vs_config()->sample_ms)
        look(true);
}

static void fork_child(void)
{
    last_ns = looked_ns = 0;
    memset(&group, 0, sizeof group);
}

const struct vs_source_ops vs_source_host = {
    .name = "host",
    .start = start,
    .sample = sample,
    .stop = stop,
    .fork_child = fork_child,
};
