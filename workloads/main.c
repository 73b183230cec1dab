/* SPDX-License-Identifier: MIT
 *
 * main.c: vramscope-workload: picks a built-in workload by name. It knows no workload's options.
 */
#include <stdio.h>
#include <string.h>

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
    for (size_t i = 0; i < COUNT; i++) fprintf(f, "  %-8s %s\n", workloads[i].name, workloads[i].what);
}

int main(int argc, char **argv)
{
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
    fprintf(stderr, "vramscope-workload: there is no workload '%s'\n", argv[1]);
    usage(stderr);
    return 2;
}
