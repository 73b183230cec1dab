/* SPDX-License-Identifier: MIT
 *
 * folders.c: looks for logs and control files. It must never follow a link into a folder, nor take a folder for a
 * process because of its name.
 */
#include "folders.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log_reader.h"

static struct vs_found *add(struct vs_folders *f)
{
    if (f->count == f->room) {
        unsigned room = f->room ? f->room * 2 : 16;
        struct vs_found *found = realloc(f->found, room * sizeof *found);
        if (!found) return NULL;
        f->found = found;
        f->room = room;
    }
    memset(&f->found[f->count], 0, sizeof *f->found);
    return &f->found[f->count++];
}

static bool is_file(const char *folder, const char *name, uint64_t *size)
{
    char path[PATH_MAX + 16];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return false;
    if (size) *size = (uint64_t)st.st_size;
    return true;
}

static int add_log(struct vs_folders *f, const char *folder)
{
    char path[PATH_MAX + 16];
    struct vs_identity who;
    char memory[257];
    uint64_t size = 0;
    snprintf(path, sizeof path, "%s/" VS_LOG_NAME, folder);
    int err = vs_log_read_head(path, &who, memory);
    if (err == -ENODATA || err == -ENOENT || err == -EPROTO) /* just being made; or nothing of ours */
        return 0;
    if (err) return err;
    is_file(folder, VS_LOG_NAME, &size);
    struct vs_found *x = add(f);
    if (!x || !(x->folder = strdup(folder))) return -ENOMEM;
    x->who = who;
    memcpy(x->memory, memory, sizeof x->memory);
    x->log_size = size;
    return 0;
}

/* A process whose log could not be made, or could be: then its log counts. */
static int add_memory(struct vs_folders *f, const char *folder)
{
    struct vs_identity who;
    char disk[1025];
    struct vs_found *x;
    if (strlen(folder) > 256 || vs_memory_identity(folder, &who, disk)) return 0;
    if (disk[0] && is_file(disk, VS_LOG_NAME, NULL)) return add_log(f, disk);
    if (!(x = add(f))) return -ENOMEM;
    x->who = who;
    snprintf(x->memory, sizeof x->memory, "%s", folder);
    return 0;
}

static int add_folder(struct vs_folders *f, const char *folder, bool *is_one)
{
    *is_one = true;
    if (is_file(folder, VS_LOG_NAME, NULL)) return add_log(f, folder);
    if (is_file(folder, VS_CONTROL_NAME, NULL)) return add_memory(f, folder);
    *is_one = false;
    return 0;
}

static int in_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *d)
{
    return d->d_name[0] != '.' && (d->d_type == DT_DIR || d->d_type == DT_UNKNOWN);
}

int vs_folders_scan(const char *path, struct vs_folders *out, struct vs_error *e)
{
    char folder[PATH_MAX];
    struct dirent **names = NULL;
    int n = 0, err = 0;
    bool one;
    *out = (struct vs_folders){0};
    if (!realpath(path, folder)) {
        err = -errno;
        goto out;
    }
    if ((err = add_folder(out, folder, &one)) || one) goto out;
    n = scandir(folder, &names, visible, in_order);
    if (n < 0) err = -errno;
    for (int i = 0; i < n && !err; i++) {
        char inner[PATH_MAX];
        struct stat st;
        if (snprintf(inner, sizeof inner, "%s/%s", folder, names[i]->d_name) < (int)sizeof inner &&
            !lstat(inner, &st) && S_ISDIR(st.st_mode))
            err = add_folder(out, inner, &one);
    }
out:
    for (int i = 0; i < n; i++) free(names[i]);
    free(names);
    if (err) {
        vs_folders_free(out);
        return vs_fail(e, -err, "cannot read the log folder %s: %s", path, strerror(-err));
    }
    return 0;
}

void vs_folders_free(struct vs_folders *f)
{
    for (unsigned i = 0; i < f->count; i++) free(f->found[i].folder);
    free(f->found);
    *f = (struct vs_folders){0};
}
