/* SPDX-License-Identifier: MIT
 *
 * src_process.c: who the process is: command line, host, rank, threads, mapped libraries, clock pairs.
 * Runs on the helper thread only; must never read /proc/self/maps often (it takes the lock that mmap takes).
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "rank.h"
#include "source.h"

static ssize_t read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n, total = 0;
    if (fd < 0)
        return -1;
    while ((size_t)total < size && (n = read(fd, out + total, size - (size_t)total)) > 0)
        total += n;
    close(fd);
    return total;
}

static void command_line(void)
{
    char text[VS_MAX_RECORD_BYTES];
    ssize_t n = read_file("/proc/self/cmdline", text, sizeof text - 1), i;
    if (n <= 0)
        return;
    while (n > 0 && !text[n - 1])
        n--;
    for (i = 0; i < n; i++)
        if (!text[i])
            text[i] = ' ';
    text[n] = 0;
    vs_log_meta("command_line", text);
}

static void link_of(const char *path, const char *key)
{
    char text[PATH_MAX];
    ssize_t n = readlink(path, text, sizeof text - 1);
    if (n <= 0)
        return;
    text[n] = 0;
    vs_log_meta(key, text);
}

static void number(const char *key, long long value)
{
    char text[32];
    if (value < 0)
        return;
    snprintf(text, sizeof text, "%lld", value);
    vs_log_meta(key, text);
}

static void clock_pair(void)
{
    struct vs_rec_clock *r = vs_log_begin(VS_K_CLOCK, sizeof *r);
    struct timespec real;
    uint64_t before, after;
    if (!r)
        return;
    before = vs_now();
    clock_gettime(CLOCK_REALTIME, &real);
    after = vs_now();
    r->mono_ns = before + (after - before) / 2;
    r->real_ns = (uint64_t)real.tv_sec * 1000000000ull + (uint64_t)real.tv_nsec;
    vs_log_commit(r);
}

/* ---- mapped libraries ---- */

enum { MOST_MODULES = 4096 };
static uint64_t seen[MOST_MODULES];
static unsigned seen_count;

static void module(char *line)
{
    struct vs_rec_module *r;
    unsigned long long begin, end;
    char permissions[8];
    char *path = strchr(line, '/');
    size_t bytes;
    unsigned i;

    if (!path || sscanf(line, "%llx-%llx %7s", &begin, &end, permissions) != 3 || permissions[2] != 'x')
        return;
    for (i = 0; i < seen_count; i++)
        if (seen[i] == (begin ^ end << 20))
            return;
    if (seen_count == MOST_MODULES)
        return;
    seen[seen_count++] = begin ^ end << 20;
    bytes = strlen(path);
    if (bytes > 1024)
        bytes = 1024;
    r = vs_log_begin(VS_K_MODULE, sizeof *r + bytes);
    if (!r)
        return;
    r->begin = begin;
    r->end = end;
    r->path_bytes = (uint32_t)bytes;
    memcpy(r->path, path, bytes);
    vs_log_commit(r);
}

static void modules(void)
{
    static char text[65536];
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t have = 0;
    ssize_t n;
    if (fd < 0)
        return;
    while ((n = read(fd, text + have, sizeof text - 1 - have)) > 0) {
        char *line = text, *end;
        have += (size_t)n;
        text[have] = 0;
        while ((end = strchr(line, '\n'))) {
            *end = 0;
            module(line);
            line = end + 1;
        }
        have = (size_t)(text + have - line);
        memmove(text, line, have);
        if (have == sizeof text - 1)
            have = 0; /* no line is this long */
    }
    close(fd);
}

/* ---- the source ---- */

static unsigned drains;

static void start(void)
{
    struct vs_rank rank = vs_rank_read();
    struct utsname name;

    command_line();
    link_of("/proc/self/exe", "executable");
    link_of("/proc/self/cwd", "cwd");
    if (!uname(&name)) {
        vs_log_meta("host", name.nodename);
        vs_log_meta("kernel", name.release);
    }
    number("parent_pid", getppid());
    number("rank", rank.rank);
    number("local_rank", rank.local_rank);
    number("world_size", rank.world_size);
    if (rank.launcher)
        vs_log_meta("launcher", rank.launcher);
    vs_log_meta("trace_level", vs_config_trace_name());
    vs_config_report();
    clock_pair();
    modules();
}

static void drain(void)
{
    unsigned n = ++drains;
    /* Libraries are loaded early; later looks get rarer: after 1, 2, 4, 8 ... periods. */
    if ((n & (n - 1)) == 0)
        modules();
    if (n % 240 == 0) /* a minute at the default period */
        clock_pair();
}

static void stop(void)
{
    modules();
    clock_pair();
}

static void fork_child(void)
{
    drains = 0;
    seen_count = 0;
}

const struct vs_source_ops vs_source_process = {
    .name = "process",
    .start = start,
    .drain = drain,
    .stop = stop,
    .fork_child = fork_child,
};
