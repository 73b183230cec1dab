/* SPDX-License-Identifier: MIT
 *
 * launch.c: what must be known before the program of `run` starts: where it is, where the library is, its environment.
 * Must never change our own environment.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"

static int runnable(const char *path)
{
    struct stat st;
    if (stat(path, &st)) return -errno;
    if (S_ISDIR(st.st_mode)) return -EACCES;
    return access(path, X_OK) ? -EACCES : 0;
}

int vs_child_find(const char *name, char *path, size_t path_bytes, struct vs_error *e)
{
    const char *p = getenv("PATH"), *end;
    int err = -ENOENT, one;
    if (!p) p = "/bin:/usr/bin";
    if (strchr(name, '/')) {
        snprintf(path, path_bytes, "%s", name);
        err = runnable(path);
        if (err == -EACCES) return vs_fail(e, EACCES, "cannot run %s: it is not an executable file", name);
        return err ? vs_fail(e, ENOENT, "cannot run %s: %s", name, strerror(-err)) : 0;
    }
    for (; *name; p = end + 1) {
        end = strchrnul(p, ':');
        snprintf(path, path_bytes, "%.*s/%s", end == p ? 1 : (int)(end - p), end == p ? "." : p, name);
        one = runnable(path);
        if (!one) return 0;
        if (one == -EACCES) err = one;
        if (!*end) break;
    }
    if (err == -EACCES) return vs_fail(e, EACCES, "cannot run %s: what PATH leads to is not an executable file", name);
    return vs_fail(e, ENOENT, "cannot run %s: it is not in any folder of PATH", name);
}

/* A file at `beside`, as seen from the folder of our executable; the path comes back without links. */
static int beside_us(const char *beside, char real[PATH_MAX], char *guess, size_t guess_bytes)
{
    char self[PATH_MAX], *slash;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n < 0 ? 0 : n] = 0;
    slash = strrchr(self, '/');
    if (slash) *slash = 0;
    snprintf(guess, guess_bytes, "%s/%s", self, beside);
    return realpath(guess, real) ? 0 : -errno;
}

int vs_child_library(char *path, size_t path_bytes, struct vs_error *e)
{
    const char *set = getenv("VRAMSCOPE_LIB");
    char guess[PATH_MAX + 64] = "", real[PATH_MAX];
    int err;
    if (!set || !*set) set = NULL;
    err = set ? (realpath(set, real) ? 0 : -errno) : beside_us("../lib/libvramscope.so", real, guess, sizeof guess);
    if (!err && access(real, R_OK)) err = -errno;
    if (err && set) return vs_fail(e, ENOENT, "cannot read %s, which VRAMSCOPE_LIB names: %s", set, strerror(-err));
    if (err)
        return vs_fail(e, ENOENT,
                       "libvramscope.so is not where it should be (%s); build it with make, or set VRAMSCOPE_LIB to its path",
                       guess);
    if (strpbrk(real, " :\t\n"))
        return vs_fail(e, EINVAL,
                       "the path %s has a space or a colon, which LD_PRELOAD cannot hold; copy the library to a plain path "
                       "and set VRAMSCOPE_LIB to it", real);
    if (strlen(real) >= path_bytes) return vs_fail(e, ENAMETOOLONG, "the path of libvramscope.so is too long");
    strcpy(path, real);
    return 0;
}

int vs_child_workload(char *path, size_t path_bytes, struct vs_error *e)
{
    const char *set = getenv("VRAMSCOPE_WORKLOAD");
    char guess[PATH_MAX + 64] = "", real[PATH_MAX];
    int err;
    if (!set || !*set) set = NULL;
    err = set ? (realpath(set, real) ? 0 : -errno) : beside_us("vramscope-workload", real, guess, sizeof guess);
    if (!err) err = runnable(real);
    if (err && set) return vs_fail(e, ENOENT, "cannot run %s, which VRAMSCOPE_WORKLOAD names: %s", set, strerror(-err));
    if (err)
        return vs_fail(e, ENOENT,
                       "vramscope-workload is not where it should be (%s); build it with make, or set VRAMSCOPE_WORKLOAD to "
                       "its path", guess);
    if (strlen(real) >= path_bytes) return vs_fail(e, ENAMETOOLONG, "the path of vramscope-workload is too long");
    strcpy(path, real);
    return 0;
}

static int is_ours(const char *entry, int with_trace, int with_ranks, int with_lines)
{
    return !strncmp(entry, "LD_PRELOAD=", 11) || !strncmp(entry, "VRAMSCOPE_RUN=", 14) ||
           !strncmp(entry, "VRAMSCOPE_QUIET=", 16) || (with_trace && !strncmp(entry, "VRAMSCOPE_TRACE=", 16)) ||
           (with_ranks && !strncmp(entry, "VRAMSCOPE_RANKS=", 16)) ||
           (with_lines && !strncmp(entry, "VRAMSCOPE_PYTHON_LINES=", 23));
}

static char *put(char **list, int *n, char *at, const char *name, const char *value, const char *more)
{
    list[(*n)++] = at;
    at += sprintf(at, "%s=%s%s%s", name, value, more ? ":" : "", more ? more : "") + 1;
    return at;
}

char **vs_child_environment(const char *library, const char *folder, const char *trace, const char *ranks,
                            int python_lines)
{
    const char *old = getenv("LD_PRELOAD");
    size_t room, entries = 8;
    char **list, *at;
    int n = 0, i;
    if (!trace && !getenv("VRAMSCOPE_TRACE")) trace = "memory";
    if (old && !strncmp(old, library, strlen(library)) && strchr(": ", old[strlen(library)])) /* we are in a recorded run */
        old += strlen(library);
    while (old && *old && strchr(": ", *old)) old++;
    if (old && !*old) old = NULL;
    for (i = 0; environ[i]; i++) entries++;
    room = entries * sizeof *list + strlen(library) + strlen(folder) + (old ? strlen(old) : 0) +
           (trace ? strlen(trace) : 0) + (ranks ? strlen(ranks) : 0) + 256;
    list = malloc(room);
    if (!list) return NULL;
    at = (char *)(list + entries);
    for (i = 0; environ[i]; i++)
        if (!is_ours(environ[i], trace != NULL, ranks != NULL, python_lines)) list[n++] = environ[i];
    at = put(list, &n, at, "LD_PRELOAD", library, old);
    at = put(list, &n, at, "VRAMSCOPE_RUN", folder, NULL);
    at = put(list, &n, at, "VRAMSCOPE_QUIET", "1", NULL);
    if (trace) at = put(list, &n, at, "VRAMSCOPE_TRACE", trace, NULL);
    if (ranks) at = put(list, &n, at, "VRAMSCOPE_RANKS", ranks, NULL);
    if (python_lines) put(list, &n, at, "VRAMSCOPE_PYTHON_LINES", "1", NULL);
    list[n] = NULL;
    return list;
}
