/* SPDX-License-Identifier: MIT
 *
 * format.c: tells databases of ours from everything else. It must never change a file.
 */
#include "format.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema.h"

int vs_format_check_file(const char *path, struct vs_error *e)
{
    char head[16] = {0};
    struct stat st;
    int err = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return vs_fail(e, ENOENT, "no such database: %s; record one with: vramscope run -o %s -- CMD", path, path);
    if (fd < 0) return vs_fail(e, errno, "cannot read %s: %s", path, strerror(errno));
    if (fstat(fd, &st)) {
        err = vs_fail(e, EIO, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        err = vs_fail(e, EINVAL,
                      "%s is a folder, not a database; if it is a log folder, ingest it first with: "
                      "vramscope ingest %s",
                      path, path);
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0 || pread(fd, head, sizeof head, 0) != sizeof head ||
        memcmp(head, "SQLite format 3", 16))
        err = vs_fail(e, EINVAL, "%s is not a vramscope database%s", path,
                      st.st_size == 0  ? " (the file is empty)"
                      : head[0] == '{' ? "; results in JSON are read by: vramscope compare, check, export, plot --input-dir"
                                       : "");
out:
    close(fd);
    return err;
}

static int refuse(sqlite3 *db, int rc, const char *path, struct vs_error *e)
{
    if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
        return vs_fail(e, EBUSY, "%s is locked by another program; try again when it is done", path);
    if (rc == SQLITE_ERROR) /* no such table */
        return vs_fail(e, EINVAL, "%s is an SQLite database, but not one of vramscope", path);
    if (rc == SQLITE_CANTOPEN || rc == SQLITE_PERM)
        return vs_fail(e, EACCES, "cannot open %s: %s", path, sqlite3_errmsg(db));
    return vs_fail(e, EIO, "%s is damaged: %s", path, sqlite3_errmsg(db));
}

int vs_format_check_version(sqlite3 *db, const char *path, struct vs_error *e)
{
    sqlite3_stmt *st = NULL;
    int err = 0, rc, format;
    rc = sqlite3_prepare_v2(db,
                            "SELECT (SELECT value FROM meta WHERE key='format_version'), "
                            "(SELECT value FROM meta WHERE key='vramscope_version')",
                            -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc != SQLITE_ROW) {
        err = refuse(db, rc, path, e);
        goto out;
    }
    const char *value = (const char *)sqlite3_column_text(st, 0), *maker = (const char *)sqlite3_column_text(st, 1);
    if (!value) {
        err = vs_fail(e, EINVAL, "%s is an SQLite database, but not one of vramscope", path);
        goto out;
    }
    format = atoi(value);
    if (format != VS_SCHEMA_VERSION)
        err = vs_fail(e, EINVAL,
                      "%s has format %d, made by vramscope %s; this one reads format %d: use that version, "
                      "or ingest the log folder again",
                      path, format, maker ? maker : "of unknown version", VS_SCHEMA_VERSION);
out:
    sqlite3_finalize(st);
    return err;
}
