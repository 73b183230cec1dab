/* SPDX-License-Identifier: MIT
 *
 * folders.c: looks for logs and control files, on disk and in memory-backed storage. It must never follow a link into a
 * folder, nor take a folder for a process because of its name, nor another user's word for what belongs to a run.
 */
#include "folders.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool is_known(const struct vs_folders *f, const struct vs_identity *who)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->found[i].who.pid == who->pid && f->found[i].who.pid_start == who->pid_start &&
            f->found[i].who.start_ns == who->start_ns && !strcmp(f->found[i].who.host, who->host))
            return true;
    return false;
}

/* 1: a log of ours; 0: just being made, or nothing of ours; -errno. */
static int add_log(struct vs_folders *f, const char *folder)
{
    char path[PATH_MAX + 16];
    struct vs_identity who;
    char memory[257];
    uint64_t size = 0;
    snprintf(path, sizeof path, "%s/" VS_LOG_NAME, folder);
    int err = vs_log_read_head(path, &who, memory);
    if (err == -ENODATA || err == -ENOENT || err == -EPROTO) return 0;
    if (err) return err;
    if (is_known(f, &who)) return 1;
    is_file(folder, VS_LOG_NAME, &size);
    struct vs_found *x = add(f);
    if (!x || !(x->folder = strdup(folder))) return -ENOMEM;
    x->who = who;
    memcpy(x->memory, memory, sizeof x->memory);
    x->log_size = size;
    return 1;
}

/* A process that has no log yet, or never got one. If it has, the log counts: it leads to the memory. */
static int add_memory(struct vs_folders *f, const char *folder)
{
    struct vs_identity who;
    char disk[1025];
    struct vs_found *x;
    if (strlen(folder) > 256 || vs_memory_identity(folder, &who, disk) || is_known(f, &who)) return 0;
    int logged = disk[0] ? add_log(f, disk) : 0;
    if (logged) return logged < 0 ? logged : 0;
    if (!(x = add(f))) return -ENOMEM;
    x->who = who;
    snprintf(x->memory, sizeof x->memory, "%s", folder);
    return 0;
}

static int add_folder(struct vs_folders *f, const char *folder, bool *is_one)
{
    char live[PATH_MAX + 16];
    *is_one = true;
    if (is_file(folder, VS_LOG_NAME, NULL)) {
        int err = add_log(f, folder);
        if (err) return err < 0 ? err : 0;
    }
    if (is_file(folder, VS_CONTROL_NAME, NULL)) return add_memory(f, folder);
    snprintf(live, sizeof live, "%s/live", folder); /* where there was no memory-backed storage */
    if (is_file(live, VS_CONTROL_NAME, NULL)) return add_memory(f, live);
    *is_one = is_file(folder, VS_LOG_NAME, NULL);
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

static int scan_disk(struct vs_folders *out, const char *folder)
{
    struct dirent **names = NULL;
    bool one;
    int err = add_folder(out, folder, &one), n = 0;
    if (err || one) return err;
    n = scandir(folder, &names, visible, in_order);
    if (n < 0) return -errno;
    for (int i = 0; i < n; i++) {
        char inner[PATH_MAX];
        struct stat st;
        if (!err && snprintf(inner, sizeof inner, "%s/%s", folder, names[i]->d_name) < (int)sizeof inner &&
            !lstat(inner, &st) && S_ISDIR(st.st_mode))
            err = add_folder(out, inner, &one);
        free(names[i]);
    }
    free(names);
    return err;
}

/* realpath() of a path whose end may not exist yet. */
static int canonical(const char *path, char out[PATH_MAX])
{
    char head[PATH_MAX], real[PATH_MAX];
    if (realpath(path, out)) return 0;
    if (errno != ENOENT) return -errno;
    if (snprintf(head, sizeof head, "%s", path) >= (int)sizeof head) return -ENAMETOOLONG;
    size_t n = strlen(head);
    while (n > 1 && head[n - 1] == '/') head[--n] = 0;
    const char *rest;
    do { /* one name less, until what is left exists */
        char *slash = strrchr(head, '/');
        rest = slash ? path + (slash - head) + 1 : path;
        if (slash) slash[slash == head] = 0;
        else head[0] = 0;
        if (realpath(head[0] ? head : ".", real)) {
            n = (size_t)snprintf(out, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "", rest);
            if (n >= PATH_MAX) return -ENAMETOOLONG;
            while (n > 1 && out[n - 1] == '/') out[--n] = 0;
            return 0;
        }
    } while (errno == ENOENT && head[0] && strcmp(head, "/"));
    return -errno;
}

/* Is `folder` that one or below it? Both may have been named through links. */
static bool lies_in(const char *folder, const char *run)
{
    char real[PATH_MAX];
    size_t n = strlen(run);
    if (folder[0] != '/' || canonical(folder, real) || strncmp(real, run, n)) return false;
    return !strcmp(run, "/") || !real[n] || real[n] == '/';
}

/* A process killed in its first milliseconds has made no folder on disk: its control file says where it would be. */
static int scan_memory(struct vs_folders *out, const char *storage, const char *run)
{
    static const char prefix[] = "vramscope.";
    struct dirent *entry;
    int err = 0;
    DIR *d = opendir(storage);
    if (!d) return 0;
    while (!err && (entry = readdir(d))) {
        char memory[PATH_MAX], folder[1025];
        struct vs_identity who;
        struct stat st;
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) ||
            snprintf(memory, sizeof memory, "%s/%s", storage, entry->d_name) >= (int)sizeof memory ||
            lstat(memory, &st) || !S_ISDIR(st.st_mode) || (geteuid() && st.st_uid != geteuid()))
            continue; /* storage everybody may write to */
        if (!vs_memory_identity(memory, &who, folder) && lies_in(folder, run)) err = add_memory(out, memory);
    }
    closedir(d);
    return err;
}

int vs_folders_scan(const char *path, struct vs_folders *out, struct vs_error *e)
{
    const char *storage = getenv("VRAMSCOPE_SHM");
    char folder[PATH_MAX];
    *out = (struct vs_folders){0};
    int err = canonical(path, folder);
    int missing = err ? err : access(folder, F_OK) ? -errno : 0;
    if (!err && !missing) err = scan_disk(out, folder);
    if (!err && storage && *storage) err = scan_memory(out, storage, folder);
    if (!err && (!storage || strcmp(storage, "/dev/shm"))) err = scan_memory(out, "/dev/shm", folder);
    if (!err && !out->count) err = missing;
    if (!err) return 0;
    vs_folders_free(out);
    return vs_fail(e, -err, "cannot read the log folder %s: %s", path, strerror(-err));
}

unsigned vs_folders_unlogged(const struct vs_folders *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->count; i++) n += !f->found[i].folder;
    return n;
}

int vs_folders_discard(const struct vs_folders *f)
{
    int first = 0;
    for (unsigned i = 0; i < f->count; i++) {
        int err = f->found[i].memory[0] ? vs_memory_remove(f->found[i].memory, &f->found[i].who) : 0;
        if (err && err != -EPROTO && !first) first = err; /* EPROTO: another's by now */
    }
    return first;
}

void vs_folders_free(struct vs_folders *f)
{
    for (unsigned i = 0; i < f->count; i++) free(f->found[i].folder);
    free(f->found);
    *f = (struct vs_folders){0};
}
