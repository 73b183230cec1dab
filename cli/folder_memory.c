/* SPDX-License-Identifier: MIT
 *
 * folder_memory.c: finds what processes killed at once left of a run: records in memory-backed storage, and no folder on
 * disk yet that would lead to them. Must never take a control file's word for more than which run it belongs to.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../db/ingest.h"
#include "../db/record.h"
#include "folder.h"

#define PREFIX "vramscope."

/* The process's folder on disk as its control file names it; 0 when there is no such file. */
static int named_folder(const char *memory, char folder[sizeof(((struct vs_control *)0)->folder)])
{
    struct vs_control c;
    char path[PATH_MAX + 16];
    int fd, ok;
    snprintf(path, sizeof path, "%s/%s", memory, VS_CONTROL_NAME);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return 0;
    ok = read(fd, &c, sizeof c) == (ssize_t)sizeof c && c.magic == VS_CONTROL_MAGIC && memchr(c.folder, 0, sizeof c.folder);
    close(fd);
    if (ok) memcpy(folder, c.folder, sizeof c.folder);
    return ok;
}

static int belongs(const char *memory, const char *run)
{
    char folder[sizeof(((struct vs_control *)0)->folder)], log[sizeof folder + 16];
    size_t n = strlen(run);
    if (!named_folder(memory, folder) || strncmp(folder, run, n) || folder[n] != '/') return 0;
    snprintf(log, sizeof log, "%s/%s", folder, VS_LOG_NAME);
    return access(log, F_OK) != 0; /* else the log itself leads here */
}

/* Calls for each such folder until one fails; returns how many there were, or -errno. */
static int each(const char *run_folder, int (*act)(void *arg, const char *memory), void *arg)
{
    const char *storage = getenv("VRAMSCOPE_SHM");
    char run[PATH_MAX], memory[PATH_MAX];
    struct dirent *entry;
    int found = 0, err = 0;
    DIR *d;
    if (!storage || !*storage) storage = "/dev/shm";
    if (!realpath(run_folder, run) || !(d = opendir(storage))) return 0;
    while (!err && (entry = readdir(d))) {
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1)) continue;
        if ((size_t)snprintf(memory, sizeof memory, "%s/%s", storage, entry->d_name) >= sizeof memory) continue;
        if (!belongs(memory, run)) continue;
        found++;
        err = act(arg, memory);
    }
    closedir(d);
    return err ? err : found;
}

static int count(void *arg, const char *memory)
{
    (void)arg, (void)memory;
    return 0;
}

int vs_folder_memory_count(const char *run_folder)
{
    return each(run_folder, count, NULL);
}

static int discard(void *arg, const char *memory)
{
    (void)arg;
    return vs_folder_delete(memory);
}

int vs_folder_memory_delete(const char *run_folder)
{
    int n = each(run_folder, discard, NULL);
    return n < 0 ? n : 0;
}

struct reading {
    struct vs_ingest *in;
    int remove_memory;
    struct vs_error *error;
};

static int take(void *arg, const char *memory)
{
    struct reading *r = arg;
    return vs_ingest_finish(r->in, memory, r->remove_memory, r->error);
}

int vs_folder_memory_ingest(const char *run_folder, struct vs_ingest *in, int remove_memory, struct vs_error *e)
{
    struct reading reading = {in, remove_memory, e};
    int n = each(run_folder, take, &reading);
    return n < 0 ? n : 0;
}
