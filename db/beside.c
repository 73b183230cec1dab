/* SPDX-License-Identifier: MIT
 *
 * beside.c: write beside, then rename.
 */
#include "beside.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int vs_beside_open(struct vs_beside *b, const char *path, struct vs_error *e)
{
    if (snprintf(b->path, sizeof b->path, "%s", path) >= (int)sizeof b->path)
        return vs_fail(e, ENAMETOOLONG, "the path of %.100s... is too long", path);
    snprintf(b->part, sizeof b->part, "%s.%d.part", path, (int)getpid());
    b->file = fopen(b->part, "wxe");
    return b->file ? 0 : vs_fail(e, errno, "cannot write %s: %s", path, strerror(errno));
}

int vs_beside_close(struct vs_beside *b, int keep, struct vs_error *e)
{
    int wrong = ferror(b->file) ? EIO : 0;
    if (fclose(b->file) && !wrong) wrong = errno;
    if (keep && !wrong && rename(b->part, b->path)) wrong = errno;
    if (keep && !wrong) return 0;
    unlink(b->part);
    return keep ? vs_fail(e, wrong, "cannot write %s: %s", b->path, strerror(wrong)) : 0;
}
