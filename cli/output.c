/* SPDX-License-Identifier: MIT
 *
 * output.c: takes and leaves the output of `run`. Must never wait for a run that is recording, only for one that enters
 * or leaves.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../db/query.h"
#include "folder.h"

enum lock_byte { MEMBER, INGESTER, DOOR };

/* 0, -EAGAIN: somebody else has it; anything else: no locks here. The lock belongs to the open file, not to us: it holds
 * across threads and goes when the last descriptor does. */
static int lock_byte(int fd, enum lock_byte byte, short type, int wait)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int rc;
    do
        rc = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l);
    while (rc && errno == EINTR);
    return !rc ? 0 : errno == EACCES ? -EAGAIN : -errno;
}

static int make_paths(const char *db_path, struct vs_output *o, struct vs_error *e)
{
    char copy[PATH_MAX], base[PATH_MAX], real[PATH_MAX];
    const char *name, *parent;
    if (!*db_path || strlen(db_path) >= sizeof copy - 16) return vs_fail(e, EINVAL, "-o needs the name of a database");
    if (db_path[strlen(db_path) - 1] == '/') return vs_fail(e, EISDIR, "%s names a folder; -o names a file", db_path);
    snprintf(copy, sizeof copy, "%s", db_path);
    snprintf(base, sizeof base, "%s", db_path);
    parent = dirname(copy);
    name = basename(base);
    if (!realpath(parent, real))
        return vs_fail(e, errno, "cannot write %s: folder %s: %s", db_path, parent, strerror(errno));
    if (!strcmp(name, ".") || !strcmp(name, "..")) return vs_fail(e, EISDIR, "%s names a folder; -o names a file", db_path);
    if (snprintf(o->db, sizeof o->db, "%s/%s", strcmp(real, "/") ? real : "", name) >= PATH_MAX - 64)
        return vs_fail(e, ENAMETOOLONG, "the path of %.100s... is too long", db_path);
    snprintf(o->folder, sizeof o->folder, "%s.log", o->db);
    return 0;
}

static int open_lock(struct vs_output *o, struct vs_error *e)
{
    char path[4300];
    struct stat st;
    if (mkdir(o->folder, 0700) && errno != EEXIST)
        return vs_fail(e, errno, "cannot make the log folder %s: %s; choose another place with -o", o->folder, strerror(errno));
    if (lstat(o->folder, &st)) {
        int err = errno;
        if (err == ENOENT) return -EAGAIN; /* the last run deleted the folder just now */
        return vs_fail(e, err, "cannot use the log folder %s: %s", o->folder, strerror(err));
    }
    if (!S_ISDIR(st.st_mode))
        return vs_fail(e, ENOTDIR, "%s is in the way: the log folder must have that name", o->folder);
    snprintf(path, sizeof path, "%s/%s", o->folder, VS_LOCK_NAME);
    o->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (o->lock < 0) {
        int err = errno;
        if (err == ENOENT) return -EAGAIN;
        return vs_fail(e, err, "cannot write in the log folder %s: %s", o->folder, strerror(err));
    }
    return 0;
}

/* Is the lock we hold still the one that others find? */
static int is_current(const struct vs_output *o)
{
    char path[4300];
    struct stat ours, named;
    snprintf(path, sizeof path, "%s/%s", o->folder, VS_LOCK_NAME);
    return !fstat(o->lock, &ours) && !stat(path, &named) && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* Deletes a database and what SQLite keeps beside it; refuses what is none. */
static int delete_database(const char *path, struct vs_error *e)
{
    char head[16] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    if (fd >= 0) close(fd);
    if (n < 0) return vs_fail(e, errno, "cannot read %s: %s", path, strerror(errno));
    if (n && (n < 16 || memcmp(head, "SQLite format 3", 16)))
        return vs_fail(e, EEXIST, "%s exists and is not a database; --force does not delete it. Choose another -o", path);
    vs_recording_delete(path);
    return access(path, F_OK) ? 0 : vs_fail(e, EACCES, "cannot delete %s", path);
}

static int check_existing(const struct vs_output *o, enum vs_output_mode mode, struct vs_error *e)
{
    struct vs_db *db = NULL;
    struct stat st;
    int err;
    if (lstat(o->db, &st)) return errno == ENOENT ? 0 : vs_fail(e, errno, "cannot write %s: %s", o->db, strerror(errno));
    if (S_ISDIR(st.st_mode)) return vs_fail(e, EISDIR, "%s is a folder; -o names a file", o->db);
    if (mode == VS_OUTPUT_FORCE) return delete_database(o->db, e);
    if (mode == VS_OUTPUT_NEW)
        return vs_fail(e, EEXIST, "%s exists; --force replaces it, --append adds this run to it, -o names another", o->db);
    if (access(o->db, W_OK)) return vs_fail(e, errno, "cannot add to %s: %s", o->db, strerror(errno));
    err = vs_db_open(o->db, &db, e);
    vs_db_close(db);
    return err;
}

/* We are alone with the folder: what is in it was left by a run that could not finish. */
static int check_leftovers(const struct vs_output *o, enum vs_output_mode mode, struct vs_error *e)
{
    char again[4300];
    int n = vs_folder_processes(o->folder), err;
    if (vs_folder_foreign(o->folder))
        return vs_fail(e, EEXIST, "%s holds other files, and the log folder must have that name; choose another -o", o->folder);
    if (n == 0) n = vs_folder_unlogged(o->folder);
    if (n <= 0 || mode == VS_OUTPUT_APPEND) return 0;
    if (mode == VS_OUTPUT_NEW)
        return vs_fail(e, EEXIST,
                       "%s holds the log of an earlier run; `vramscope ingest %s -o %s` keeps it, --force deletes it, "
                       "--append adds both runs to one database", o->folder, o->folder, o->db);
    err = vs_folder_discard_memory(o->folder);
    if (err) return vs_fail(e, -err, "cannot delete what an earlier run left in memory: %s", strerror(-err));
    snprintf(again, sizeof again, "%s.old-%d", o->folder, (int)getpid()); /* out of the way in one step */
    if (rename(o->folder, again)) return vs_fail(e, errno, "cannot delete %s: %s", o->folder, strerror(errno));
    err = vs_folder_delete(again);
    return err ? vs_fail(e, -err, "cannot delete %s: %s", again, strerror(-err)) : -EAGAIN;
}

static void drop(struct vs_output *o)
{
    if (o->lock >= 0) close(o->lock);
    o->lock = -1;
}

/* Takes back what we made while we are alone with the folder; what is in it besides keeps it. */
static void undo(const struct vs_output *o)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", o->folder, VS_LOCK_NAME);
    if (!unlink(path)) rmdir(o->folder);
}

/* One attempt; -EAGAIN: the folder changed under us. */
static int enter(enum vs_output_mode mode, struct vs_output *o, struct vs_error *e)
{
    int made = access(o->folder, F_OK) != 0, err = open_lock(o, e), rc;
    if (err) return err;
    rc = lock_byte(o->lock, MEMBER, F_WRLCK, 0);
    o->locks = !rc || rc == -EAGAIN;
    o->joined = o->locks ? rc == -EAGAIN : !made;
    if (rc == -EAGAIN) rc = lock_byte(o->lock, MEMBER, F_RDLCK, 1);
    if (o->locks && (rc || !is_current(o))) err = -EAGAIN;
    if (!err && !o->joined) {
        err = check_existing(o, mode, e);
        if (!err) err = check_leftovers(o, mode, e);
        if (err && err != -EAGAIN && (made || o->locks)) undo(o);
        if (!err && o->locks) err = lock_byte(o->lock, MEMBER, F_RDLCK, 0);
    }
    if (err) drop(o);
    return err;
}

int vs_output_open(const char *db_path, enum vs_output_mode mode, struct vs_output *o, struct vs_error *e)
{
    int err, attempt;
    *o = (struct vs_output){.lock = -1};
    err = make_paths(db_path, o, e);
    if (err) return err;
    for (attempt = 0; attempt < 100; attempt++) {
        if (e) e->text[0] = 0;
        err = enter(mode, o, e);
        if (err != -EAGAIN) return err;
    }
    return vs_fail(e, EBUSY, "%s is being made and deleted by other runs all the time; try again", o->folder);
}

int vs_output_try_ingester(struct vs_output *o)
{
    if (o->locks && !o->ingester) o->ingester = !lock_byte(o->lock, INGESTER, F_WRLCK, 0);
    return o->ingester;
}

int vs_output_alone(const struct vs_output *o)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = MEMBER, .l_len = 1};
    return !o->locks || fcntl(o->lock, F_OFD_GETLK, &l) || l.l_type == F_UNLCK;
}

int vs_output_leave(struct vs_output *o)
{
    if (!o->locks || lock_byte(o->lock, DOOR, F_WRLCK, 1)) return 0;
    return !lock_byte(o->lock, MEMBER, F_WRLCK, 0);
}

void vs_output_close(struct vs_output *o)
{
    drop(o); /* and all its locks with it, at once */
    o->ingester = 0;
}
