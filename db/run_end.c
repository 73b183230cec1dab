/* SPDX-License-Identifier: MIT
 *
 * run_end.c: the file a run leaves beside the logs. A run folder may hold several: of all runs that share it.
 */
#include "run_end.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

enum { MOST = 512 /* bytes of such a file */ };

/* Whole or not at all: under another name first. Folders may be writable by others, so nothing that is there is followed. */
int vs_run_end_write(const char *run_folder, const struct vs_run_end *end)
{
    char path[4400], temporary[4400];
    int fd, err;
    snprintf(path, sizeof path, "%s/" VS_RUN_END_PREFIX "%s-%ld", run_folder, end->host, end->pid);
    snprintf(temporary, sizeof temporary, "%s/.new-" VS_RUN_END_PREFIX "%s-%ld", run_folder, end->host, end->pid);
    unlink(temporary); /* of a run that was killed just then */
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return -errno;
    err = dprintf(fd, "pid %ld status %d start_ns %" PRId64 " end_ns %" PRId64 " oom_kills %" PRId64 " host %s\n", end->pid,
                  end->status, end->start_ns, end->end_ns, end->oom_kills, end->host) < 0
              ? -errno
              : 0;
    if (close(fd) && !err) err = -errno;
    if (!err && rename(temporary, path)) err = -errno;
    if (err) unlink(temporary);
    return err;
}

static int read_end(int folder, const char *name, struct vs_run_end *end)
{
    char text[MOST + 1];
    struct stat st;
    ssize_t n = -1;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return 0;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode)) n = read(fd, text, MOST);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    return sscanf(text, "pid %ld status %d start_ns %" SCNd64 " end_ns %" SCNd64 " oom_kills %" SCNd64 " host %64s",
                  &end->pid, &end->status, &end->start_ns, &end->end_ns, &end->oom_kills, end->host) == 6 &&
           end->status >= 0 && end->status <= 255;
}

void vs_run_end_apply(struct vs_store *s, const char *run_folder)
{
    DIR *d = opendir(run_folder);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        struct vs_run_end e;
        if (strncmp(entry->d_name, VS_RUN_END_PREFIX, strlen(VS_RUN_END_PREFIX)) ||
            !read_end(dirfd(d), entry->d_name, &e))
            continue;
        VS_PUT(s, VS_ST_RUN_STATUS, vs_text(e.host), vs_int(e.pid), vs_int(e.start_ns), vs_int(e.end_ns),
               vs_int(e.status));
        if (e.oom_kills >= 0)
            VS_PUT(s, VS_ST_RUN_KILLS, vs_text(e.host), vs_int(e.start_ns), vs_int(e.end_ns), vs_int(e.oom_kills));
    }
    if (d) closedir(d);
}
