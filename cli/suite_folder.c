/* SPDX-License-Identifier: MIT
 *
 * suite_folder.c: the folder of a run. Must never write into the folder of another run, nor delete what was measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../db/experiment_folder.h"
#include "suite.h"

static int make_parents(const char *path, struct vs_error *e)
{
    char copy[4200];
    struct stat st;
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy - 64)
        return vs_fail(e, ENAMETOOLONG, "the path of %.100s... is too long", path);
    for (char *c = copy + 1;; c++) {
        char end = *c;
        if (end && end != '/') continue;
        *c = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            return vs_fail(e, errno, "cannot make the folder %s: %s; choose another -o", copy, strerror(errno));
        *c = end;
        if (!end) break;
    }
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return vs_fail(e, ENOTDIR, "%s is not a folder; choose another -o", path);
    return 0;
}

/* Two in one folder would delete each other's files. Where the file system has no locks nothing tells. */
static int take(struct vs_suite *s, struct vs_error *e)
{
    s->lock = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock < 0) return vs_fail(e, errno, "cannot open the folder %s: %s", s->folder, strerror(errno));
    if (!flock(s->lock, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) return 0;
    s->made = 0;
    return vs_fail(e, EBUSY, "another suite runs in %s; wait for its end, or leave out --resume", s->folder);
}

int vs_suite_make_folder(struct vs_suite *s, struct vs_error *e)
{
    char when[32], count[16] = "";
    time_t now = time(NULL);
    struct tm tm;
    int err = make_parents(s->output, e);
    if (err) return err;
    localtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y%m%d_%H%M%S", &tm);
    for (int n = 2;; n++) { /* another one of this second */
        snprintf(s->folder, sizeof s->folder, "%s/" VS_RUN_PREFIX "%s%s", s->output, when, count);
        s->made = !mkdir(s->folder, 0700); /* what a recording tells is its owner's */
        if (s->made) return take(s, e);
        if (errno != EEXIST || n > 1000)
            return vs_fail(e, errno, "cannot make the folder %s: %s; choose another -o", s->folder, strerror(errno));
        snprintf(count, sizeof count, "_%d", n);
    }
}

static int find_newest(struct vs_suite *s, struct vs_error *e)
{
    char newest[256];
    int err = vs_experiment_newest_run(s->output, newest);
    if (err) return vs_fail(e, -err, "cannot resume in %s: %s", s->output, strerror(-err));
    if (!*newest) return vs_fail(e, ENOENT, "%s holds no run to resume", s->output);
    snprintf(s->folder, sizeof s->folder, "%s/%s", s->output, newest);
    return take(s, e);
}

int vs_suite_find_folder(struct vs_suite *s, struct vs_error *e)
{
    struct stat st;
    size_t n;
    if (!*s->resume) return find_newest(s, e);
    if (snprintf(s->folder, sizeof s->folder, "%s", s->resume) >= (int)sizeof s->folder - 64)
        return vs_fail(e, ENAMETOOLONG, "the path of %.100s... is too long", s->resume);
    for (n = strlen(s->folder); n > 1 && s->folder[n - 1] == '/';) s->folder[--n] = 0;
    if (stat(s->folder, &st)) return vs_fail(e, errno, "cannot resume %s: %s", s->resume, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return vs_fail(e, ENOTDIR, "cannot resume %s: it is not the folder of a run", s->resume);
    return take(s, e);
}

void vs_suite_path(const struct vs_suite *s, const struct vs_suite_one *x, const char *tail, char out[4300])
{
    snprintf(out, 4300, "%s/%s%s%s%s", s->folder, x->name, s->several ? "_seq" : "", s->several ? x->length : "", tail);
}

void vs_suite_drop_folder(const struct vs_suite *s)
{
    char path[4300];
    if (!s->made) return;
    for (int i = 0; i < s->count; i++)
        if (s->one[i].state != VS_SUITE_WAITS && s->one[i].state != VS_SUITE_REFUSED) return;
    for (int i = 0; i < s->count; i++) {
        vs_suite_path(s, &s->one[i], ".log", path);
        unlink(path);
    }
    rmdir(s->folder);
}
