/* SPDX-License-Identifier: MIT
 *
 * folder.c: looks into log folders and turns them into databases. Must never follow a link when it deletes.
 */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../db/folders.h"
#include "../db/ingest.h"
#include "../db/query.h"
#include "../db/record.h"
#include "../db/run_end.h"

int vs_folder_processes(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    int count = 0;
    if (!d) return -errno;
    while ((entry = readdir(d))) {
        char path[512];
        struct stat st;
        if (entry->d_name[0] == '.') continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", entry->d_name, VS_LOG_NAME) >= sizeof path) continue;
        if (!fstatat(dirfd(d), path, &st, 0) && S_ISREG(st.st_mode)) count++;
    }
    closedir(d);
    return count;
}

static int is_empty(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), entries = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) return 0;
    while (readdir(d)) entries++;
    closedir(d);
    return entries <= 2;
}

int vs_folder_foreign(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    int foreign = 0;
    if (!d) return 0;
    while (!foreign && (entry = readdir(d))) {
        const char *name = entry->d_name;
        char log[512];
        struct stat st;
        if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, VS_LOCK_NAME) || !strncmp(name, "run.db", 6) ||
            !strncmp(name, VS_RUN_END_PREFIX, strlen(VS_RUN_END_PREFIX)))
            continue;
        snprintf(log, sizeof log, "%s/%s", name, VS_LOG_NAME);
        foreign = fstatat(dirfd(d), log, &st, AT_SYMLINK_NOFOLLOW) && !is_empty(dirfd(d), name);
    }
    closedir(d);
    return foreign;
}

int vs_folder_check(const char *folder, struct vs_error *e)
{
    char path[4200];
    struct stat st;
    int n = vs_folder_processes(folder);
    if (n > 0) return 0;
    if (n == -ENOENT && vs_folder_unlogged(folder) > 0) return 0; /* all of the run is in memory */
    if (n == -ENOENT) return vs_fail(e, ENOENT, "log folder %s does not exist", folder);
    if (n == -ENOTDIR) return vs_fail(e, ENOTDIR, "%s is a file; name the log folder that a recorded run left", folder);
    if (n < 0) return vs_fail(e, -n, "cannot read log folder %s: %s", folder, strerror(-n));
    snprintf(path, sizeof path, "%s/%s", folder, VS_LOG_NAME);
    if (!stat(path, &st) && S_ISREG(st.st_mode))
        return vs_fail(e, EINVAL, "%s is the log of one process; name the folder above it, which holds the whole run", folder);
    return 0; /* empty: what a process killed at once left may still be in memory */
}

int vs_folder_unlogged(const char *run_folder)
{
    struct vs_folders found;
    int n = vs_folders_scan(run_folder, &found, NULL);
    if (n) return n == -ENOENT ? 0 : n;
    n = (int)vs_folders_unlogged(&found);
    vs_folders_free(&found);
    return n;
}

int vs_folder_discard_memory(const char *run_folder)
{
    struct vs_folders found;
    int err = vs_folders_scan(run_folder, &found, NULL);
    if (err) return err == -ENOENT ? 0 : err;
    err = vs_folders_discard(&found);
    vs_folders_free(&found);
    return err;
}

int vs_folder_in_use(const char *folder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    char path[4200];
    int fd, used;
    snprintf(path, sizeof path, "%s/%s", folder, VS_LOCK_NAME);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return 0;
    used = !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
    close(fd);
    return used;
}

static int delete_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

int vs_folder_delete(const char *folder)
{
    return nftw(folder, delete_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) ? -errno : 0;
}

long vs_recording_number(const char *db_path, const char *sql)
{
    struct vs_db *db = NULL;
    sqlite3_stmt *q = NULL;
    long n = -1;
    if (!vs_db_open(db_path, &db, NULL) && !sqlite3_prepare_v2(vs_db_handle(db), sql, -1, &q, NULL) &&
        sqlite3_step(q) == SQLITE_ROW)
        n = (long)sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    vs_db_close(db);
    return n;
}

void vs_recording_delete(const char *db_path)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char name[4300];
    unsigned i;
    for (i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        snprintf(name, sizeof name, "%s%s", db_path, tails[i]);
        unlink(name);
    }
}

/* Nothing on disk, and nothing came out of memory either. */
static int check_gain(char *const *folders, int count, const char *db_path, int existed, long gained, struct vs_error *e)
{
    int i;
    for (i = 0; i < count; i++) {
        if (gained > 0 || vs_folder_processes(folders[i]) > 0) continue;
        if (!existed && vs_recording_number(db_path, "SELECT COUNT(*) FROM process") == 0) vs_recording_delete(db_path);
        return vs_fail(e, EINVAL,
                       "%s holds no log of a recorded process; name the folder that LD_PRELOAD=libvramscope.so left (it has "
                       "one sub-folder per process)", folders[i]);
    }
    return 0;
}

int vs_folder_ingest(char *const *folders, int count, const char *db_path, struct vs_error *e)
{
    static const char processes[] = "SELECT COUNT(*) FROM process";
    struct vs_ingest *in = NULL;
    int i, err = 0, existed = !access(db_path, F_OK);
    long before = existed ? vs_recording_number(db_path, processes) : 0;
    for (i = 0; i < count && !err; i++) err = vs_folder_check(folders[i], e);
    if (!err) err = vs_ingest_open(db_path, VS_INGEST_RESUME, &in, e);
    if (err) return err;
    vs_progress_begin(in);
    for (i = 0; i < count && !err; i++) {
        int remove_memory = !vs_folder_in_use(folders[i]); /* else it is for the run that is at it */
        err = vs_ingest_finish(in, folders[i], remove_memory, e);
    }
    vs_progress_end();
    vs_ingest_close(in);
    return err ? err : check_gain(folders, count, db_path, existed, vs_recording_number(db_path, processes) - before, e);
}

int vs_recording_open(const char *path, struct vs_db **db, char *db_path, size_t db_path_bytes, struct vs_error *e)
{
    struct stat st;
    size_t n = strlen(path);
    int err;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        snprintf(db_path, db_path_bytes, "%s", path);
        return vs_db_open(path, db, e);
    }
    while (n > 1 && path[n - 1] == '/') n--;
    if ((size_t)snprintf(db_path, db_path_bytes, "%.*s/suite.db", (int)n, path) < db_path_bytes && !access(db_path, F_OK))
        return vs_db_open(db_path, db, e);
    if ((size_t)snprintf(db_path, db_path_bytes, "%.*s/run.db", (int)n, path) >= db_path_bytes)
        return vs_fail(e, ENAMETOOLONG, "the path %.100s... is too long", path);
    err = vs_folder_ingest((char *const[]){(char *)path}, 1, db_path, e);
    return err ? err : vs_db_open(db_path, db, e);
}
