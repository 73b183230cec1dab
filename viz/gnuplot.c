/* SPDX-License-Identifier: MIT
 *
 * gnuplot.c: owns the private folder and the gnuplot processes. Never uses a shell and never passes on foreign text.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2 */
#endif
#include "gnuplot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the sources are while compiling; the default is right when the compiler runs in the repository's root. */
#ifndef VS_SOURCE_DIR
#define VS_SOURCE_DIR "."
#endif

#define SCRIPTS(X)                                                                                                     \
    X(page)                                                                                                            \
    X(canvas)                                                                                                          \
    X(timeline)                                                                                                        \
    X(breakdown)                                                                                                       \
    X(norms)                                                                                                           \
    X(ranks)                                                                                                           \
    X(experiments)

#define X(name)                                                                                                        \
    extern const char vs_script_##name[], vs_script_##name##_end[];                                                    \
    __asm__(".pushsection .rodata\n"                                                                                   \
            ".globl vs_script_" #name ", vs_script_" #name "_end\n"                                                    \
            ".hidden vs_script_" #name ", vs_script_" #name "_end\n"                                                   \
            "vs_script_" #name ": .incbin \"" VS_SOURCE_DIR "/viz/" #name ".gp\"\n"                                    \
            "vs_script_" #name "_end: .byte 0\n"                                                                       \
            ".popsection\n");
SCRIPTS(X)
#undef X

static const char *const formats[2] = {"png", "svg"};

static int write_script(const char *dir, const char *name, const char *begin, const char *end)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s.gp", dir, name);
    FILE *f = fopen(path, "wxe");
    if (!f) return -errno;
    size_t size = (size_t)(end - begin), written = fwrite(begin, 1, size, f);
    return fclose(f) || written != size ? -EIO : 0;
}

int vs_gnuplot_folder(const char *out_dir, struct vs_error *e)
{
    if (!*out_dir) return vs_fail(e, EINVAL, "the output folder has an empty name");
    if (strlen(out_dir) > 4000) return vs_fail(e, ENAMETOOLONG, "the name of the output folder is too long");
    if (mkdir(out_dir, 0700) && errno != EEXIST)
        return vs_fail(e, errno, "cannot make the output folder %s: %s", out_dir, strerror(errno));
    return 0;
}

int vs_gnuplot_open(struct vs_gnuplot *g, const char *out_dir, struct vs_error *e)
{
    memset(g, 0, sizeof *g);
    int err = vs_gnuplot_folder(out_dir, e);
    if (err) return err;
    snprintf(g->dir, sizeof g->dir, "%s/.vramscope-plot-XXXXXX", out_dir);
    if (!mkdtemp(g->dir)) {
        err = errno;
        g->dir[0] = 0;
        return vs_fail(e, err, "cannot write in the output folder %s: %s", out_dir, strerror(err));
    }
#define X(name)                                                                                                        \
    if (!err) err = write_script(g->dir, #name, vs_script_##name, vs_script_##name##_end);
    SCRIPTS(X)
#undef X
    return err ? vs_fail(e, -err, "cannot write in the output folder %s: %s", out_dir, strerror(-err)) : 0;
}

/* In the child. Returns only when it failed, with errno. */
static void become_gnuplot(const char *dir, const char *script, const char *format)
{
    char messages[32];
    snprintf(messages, sizeof messages, "messages.%s", format);
    char *const argv[] = {"gnuplot", "-d", "-c", (char *)script, (char *)format, NULL};
    if (chdir(dir)) return;
    int in = open("/dev/null", O_RDWR), out = open(messages, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(in, 1) < 0 || dup2(out, 2) < 0) return;
    setenv("LC_ALL", "C.UTF-8", 1); /* decimal points, and messages we can show */
    unsetenv("GNUTERM");
    unsetenv("GNUPLOT_LIB");
    execvp(argv[0], argv);
}

static int start_one(struct vs_gnuplot *g, int which, const char *script, struct vs_error *e)
{
    int wire[2], failed = 0; /* closed by a successful exec, carries errno of a failed one */
    if (pipe2(wire, O_CLOEXEC)) return vs_fail(e, errno, "cannot start gnuplot: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        become_gnuplot(g->dir, script, formats[which]);
        failed = errno;
        ssize_t n = write(wire[1], &failed, sizeof failed);
        _exit(n > 0 ? 127 : 126);
    }
    int err = pid < 0 ? errno : 0;
    close(wire[1]);
    ssize_t n;
    do n = pid > 0 ? read(wire[0], &failed, sizeof failed) : 0;
    while (n < 0 && errno == EINTR);
    close(wire[0]);
    if (err) return vs_fail(e, err, "cannot start gnuplot: %s", strerror(err));
    if (n != (ssize_t)sizeof failed) {
        g->pid[which] = pid;
        return 0;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    if (failed == ENOENT)
        return vs_fail(e, ENOENT,
                       "gnuplot is not installed: apt-get install gnuplot-nox (Debian/Ubuntu), "
                       "dnf install gnuplot (Fedora/RHEL)");
    return vs_fail(e, failed, "cannot start gnuplot: %s", strerror(failed));
}

int vs_gnuplot_start(struct vs_gnuplot *g, const char *script, struct vs_error *e)
{
    int err = start_one(g, 0, script, e);
    return err ? err : start_one(g, 1, script, e);
}

/* The line that says what is wrong: `"timeline.gp" line 12: ...`; the lines before it only show the place. */
static void first_message(const char *dir, const char *format, char *out, size_t size)
{
    char path[4300], line[512];
    out[0] = 0;
    snprintf(path, sizeof path, "%s/messages.%s", dir, format);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[strspn(line, " \t^")] || strstr(line, "warning:")) continue;
        int says = strstr(line, " line ") || strstr(line, "rror");
        if (!out[0] || says) snprintf(out, size, "%s", line);
        if (says) break;
    }
    if (f) fclose(f);
    if (!out[0]) snprintf(out, size, "it said nothing");
}

static int reap(struct vs_gnuplot *g, int which, struct vs_error *e)
{
    char why[512];
    int status = 0;
    pid_t got;
    do got = waitpid(g->pid[which], &status, 0);
    while (got < 0 && errno == EINTR);
    int lost = got < 0 ? errno : 0;
    g->pid[which] = 0;
    if (lost) return vs_fail(e, lost, "cannot wait for gnuplot: %s", strerror(lost));
    if (WIFSIGNALED(status)) return vs_fail(e, EIO, "gnuplot died of signal %d", WTERMSIG(status));
    if (!WEXITSTATUS(status)) return 0;
    first_message(g->dir, formats[which], why, sizeof why);
    return vs_fail(e, EIO, "gnuplot could not draw the %s chart: %s", formats[which], why);
}

int vs_gnuplot_finish(struct vs_gnuplot *g, const char *out_dir, const char *stem, void (*wrote)(void *, const char *),
                      void *arg, struct vs_error *e)
{
    char from[4300], to[4300];
    struct stat st;
    int err = 0;
    for (int i = 0; i < 2 && !err; i++) {
        if ((err = reap(g, i, e))) break;
        snprintf(from, sizeof from, "%s/chart.%s", g->dir, formats[i]);
        snprintf(to, sizeof to, "%s/%s.%s", out_dir, stem, formats[i]);
        if (stat(from, &st) || !st.st_size)
            err = vs_fail(e, EIO, "gnuplot wrote no %s chart: is the disk of %s full?", formats[i], out_dir);
        else if (rename(from, to)) err = vs_fail(e, errno, "cannot write %s: %s", to, strerror(errno));
        else if (wrote) wrote(arg, to);
    }
    return err;
}

void vs_gnuplot_close(struct vs_gnuplot *g)
{
    if (!g || !g->dir[0]) return;
    for (int i = 0; i < 2; i++)
        while (g->pid[i] > 0 && waitpid(g->pid[i], NULL, 0) < 0 && errno == EINTR) continue;
    DIR *d = opendir(g->dir);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (entry->d_name[0] != '.') unlinkat(dirfd(d), entry->d_name, 0);
    if (d) closedir(d);
    rmdir(g->dir);
    memset(g, 0, sizeof *g);
}
