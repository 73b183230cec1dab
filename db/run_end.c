/* SPDX-License-Identifier: MIT
 *
 * run_end.c: the file a run leaves beside the logs. A run folder may hold several: of all runs that share it.
 */
#include "run_end.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store.h"

int vs_run_end_write(const char *run_folder, const struct vs_run_end *end)
{
    char path[4400];
    FILE *f;
    int err;
    snprintf(path, sizeof path, "%s/" VS_RUN_END_PREFIX "%s-%ld", run_folder, end->host, end->pid);
    f = fopen(path, "we");
    if (!f) return -errno;
    fprintf(f, "pid %ld status %d start_ns %" PRId64 " end_ns %" PRId64 " oom_kills %" PRId64 " host %s\n", end->pid,
            end->status, end->start_ns, end->end_ns, end->oom_kills, end->host);
    err = ferror(f) ? -EIO : 0;
    return fclose(f) && !err ? -errno : err;
}

static int read_end(const char *folder, const char *name, struct vs_run_end *end)
{
    char path[4400];
    FILE *f;
    int fields;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "re");
    if (!f) return 0;
    fields = fscanf(f, "pid %ld status %d start_ns %" SCNd64 " end_ns %" SCNd64 " oom_kills %" SCNd64 " host %64s",
                    &end->pid, &end->status, &end->start_ns, &end->end_ns, &end->oom_kills, end->host);
    fclose(f);
    return fields == 6 && end->status >= 0 && end->status <= 255;
}

void vs_run_end_apply(struct vs_store *s, const char *run_folder)
{
    DIR *d = opendir(run_folder);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        struct vs_run_end e;
        if (strncmp(entry->d_name, VS_RUN_END_PREFIX, strlen(VS_RUN_END_PREFIX)) ||
            !read_end(run_folder, entry->d_name, &e))
            continue;
        VS_PUT(s, VS_ST_RUN_STATUS, vs_text(e.host), vs_int(e.pid), vs_int(e.start_ns), vs_int(e.end_ns),
               vs_int(e.status));
        if (e.oom_kills >= 0)
            VS_PUT(s, VS_ST_RUN_KILLS, vs_text(e.host), vs_int(e.start_ns), vs_int(e.end_ns), vs_int(e.oom_kills));
    }
    if (d) closedir(d);
}
