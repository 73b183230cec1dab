/* SPDX-License-Identifier: MIT
 *
 * main.c: vramscope-workload: picks a built-in workload by name, and fails when its stdout could not be written. It knows no
 * workload's options.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "workloads/options.h"
#include "workloads/workload.h"

static const struct {
    const char *name;
    const char *what;
    int (*run)(int argc, char **argv);
} workloads[] = {
#define X(id, what) {#id, what, vs_workload_##id},
    VS_WORKLOADS(X)
#undef X
};
enum { COUNT = sizeof workloads / sizeof *workloads };

static void usage(FILE *f)
{
    fprintf(f, "usage: vramscope-workload WORKLOAD [OPTION...]   (WORKLOAD --help lists its options)\n\n");
    for (size_t i = 0; i < COUNT; i++) fprintf(f, "  %-10s %s\n", workloads[i].name, workloads[i].what);
}

/* A file that took the number of a closed stdout or stderr would be written into. Reading stdin and writing stdout fail as
 * before; what is said on stderr nobody wants. */
static bool occupy_standard(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd) return false;
    return true;
}

static int run(int argc, char **argv)
{
    char shown[256];
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(argv[1], workloads[i].name)) return workloads[i].run(argc - 1, argv + 1);
    fprintf(stderr, "vramscope-workload: there is no workload '%s'\n", vs_option_shown(argv[1], shown, sizeof shown));
    usage(stderr);
    return 2;
}

int main(int argc, char **argv)
{
    if (!occupy_standard()) return 1;
    int status = run(argc, argv);
    if (!fflush(stdout) && !ferror(stdout)) return status;
    fprintf(stderr, "vramscope-workload: stdout cannot be written\n");
    return status ? status : 1;
}
