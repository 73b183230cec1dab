/* SPDX-License-Identifier: MIT
 *
 * database_file.c: one writer per database. It must never delete a database another writer holds, nor make one that
 * others may read.
 */
#include "database_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An open-file-description lock on a byte no SQLite lock touches: SQLite's readers do not see it, and its own locks,
 * which belong to the process, do not go when this descriptor is closed last. */
#define LOCK_BYTE ((off_t)1 << 61)

static int lock_writer(int fd, const char *path, struct vs_error *e)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = 1};
    if (!fcntl(fd, F_OFD_SETLK, &l)) return 0;
    if (errno == EAGAIN || errno == EACCES)
        return vs_fail(e, EBUSY, "%s is being written by another vramscope; wait for it, or choose another name", path);
    return vs_fail(e, errno, "cannot lock %s (%s): put the database on a local disk", path, strerror(errno));
}

static void remove_with_journals(const char *path)
{
    static const char *const tails[] = {"-wal", "-shm", "-journal", ""};
    char name[4200];
    for (size_t i = 0; i < 4; i++)
        if (snprintf(name, sizeof name, "%s%s", path, tails[i]) < (int)sizeof name) unlink(name);
}

static int is_ours_to_replace(int fd, const char *path, struct vs_error *e)
{
    char head[16] = {0};
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) return vs_fail(e, EINVAL, "%s is not a file", path);
    if (st.st_size && (pread(fd, head, sizeof head, 0) != sizeof head || memcmp(head, "SQLite format 3", 16)))
        return vs_fail(e, EINVAL, "%s exists and is not a database; it is left alone", path);
    return 0;
}

int vs_database_file_take(const char *path, enum vs_ingest_mode mode, int *lock, struct vs_error *e)
{
    int err = 0, fd = -1;
    for (int attempt = 0; attempt < 2; attempt++) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0) {
            if ((err = lock_writer(fd, path, e))) break;
            *lock = fd;
            return 0;
        }
        if (errno != EEXIST) return vs_fail(e, errno, "cannot make %s: %s", path, strerror(errno));
        if (mode == VS_INGEST_NEW)
            return vs_fail(e, EEXIST, "%s exists; choose another name, or --force to replace it, or --append", path);
        fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) return vs_fail(e, errno, "cannot open %s: %s", path, strerror(errno));
        if ((err = is_ours_to_replace(fd, path, e)) || (err = lock_writer(fd, path, e))) break;
        if (mode == VS_INGEST_RESUME) {
            *lock = fd;
            return 0;
        }
        remove_with_journals(path); /* while locked: nobody else writes it */
        close(fd);
        fd = -1;
    }
    if (fd >= 0) close(fd);
    return err ? err : vs_fail(e, EBUSY, "%s is being made by somebody else", path);
}
