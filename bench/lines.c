/* SPDX-License-Identifier: MIT
 *
 * lines.c: what the Python stack adds to the cost of an allocation, with no GPU: the same Python program is recorded
 * without and with VRAMSCOPE_PYTHON_LINES, and the difference is what an allocation pays (programs/lines.py).
 *
 * Its logs go to a folder below the build folder, which is deleted before each run.
 *
 * Usage: lines. Environment: PYTHON (python3). Prints a table; exits 1 when a bound is missed: 500 ns below 60 frames on
 * the main thread and where the GIL is held, 800 ns on other threads without it, which must be asked about each time.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CASES = 32 };
struct result {
    char name[64];
    double ns;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int measure(int lines, struct result *results)
{
    const char *python = getenv("PYTHON") ? getenv("PYTHON") : "python3", *folder = VS_BUILD_DIR "/bench/lines-log";
    char command[4096];
    int n = 0;
    FILE *f;
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    mkdir(folder, 0700);
    snprintf(command, sizeof command,
             "VRAMSCOPE_OUT=%s VRAMSCOPE_QUIET=1 VRAMSCOPE_PYTHON_LINES=%d LD_LIBRARY_PATH=" VS_BUILD_DIR "/fake LD_PRELOAD=%s "
             "\"$(%s -c 'import sys; print(sys.executable)')\" " VS_SOURCE_DIR "/bench/programs/lines.py",
             folder, lines, getenv("VRAMSCOPE_LIB") ? getenv("VRAMSCOPE_LIB") : VS_BUILD_DIR "/lib/libvramscope.so", python);
    if (!(f = popen(command, "r"))) return 0;
    while (n < CASES && fscanf(f, "%63s %lf", results[n].name, &results[n].ns) == 2) n++;
    return pclose(f) ? 0 : n;
}

int main(void)
{
    static struct result without[CASES], with[CASES];
    int n = measure(0, without), missed = 0, i;
    if (!n || measure(1, with) != n) {
        fprintf(stderr, "lines: the program failed\n");
        return 2;
    }
    printf("%-28s %10s %10s %10s %10s\n", "calls, frames, GIL, thread", "off, ns", "on, ns", "added, ns", "bound");
    for (i = 0; i < n; i++) {
        int asked = strstr(with[i].name, "released,thread") != NULL;
        double added = with[i].ns - without[i].ns, bound = asked ? 800 : 500;
        printf("%-28s %10.0f %10.0f %10.0f %10.0f  %s\n", with[i].name, without[i].ns, with[i].ns, added, bound,
               added <= bound ? "ok" : "MISSED");
        missed += added > bound;
    }
    return missed > 0;
}
