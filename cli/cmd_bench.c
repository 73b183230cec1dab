/* SPDX-License-Identifier: MIT
 *
 * cmd_bench.c: `vramscope bench`: finds the benchmark and hands over. Must never know what one measures.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "option.h"

static const struct {
    const char *name;
    const struct vs_command *command;
} benches[] = {
#define X(id, name, what) {name, &vs_bench_##id},
    VS_BENCHES(X)
#undef X
        {NULL, NULL}};

/* The workload of the same name is typed with an underscore. */
static int same_name(const char *typed, const char *name)
{
    for (; *name && (*typed == *name || (*typed == '_' && *name == '-')); typed++, name++) {
    }
    return *typed == *name;
}

static int bench_main(const struct vs_command *self, int argc, char **argv)
{
    const struct vs_option none[] = {{0}};
    const char *names[sizeof benches / sizeof *benches] = {NULL}, *near;
    struct vs_operands operands = {.stop = 1};
    int i, status = argc > 1 && argv[1][0] != '-' ? -1 : vs_options_parse(self, none, argc, argv, &operands);
    if (status >= 0) return status;
    if (argc < 2 || argv[1][0] == '-') return vs_usage(self, "bench needs the name of a benchmark");
    for (i = 0; benches[i].name; i++) {
        if (same_name(argv[1], benches[i].name)) return benches[i].command->main(benches[i].command, argc - 1, argv + 1);
        names[i] = benches[i].name;
    }
    near = vs_nearest(argv[1], names);
    if (near) return vs_usage(self, "there is no benchmark %.60s; did you mean %s?", argv[1], near);
    return vs_usage(self, "there is no benchmark %.60s", argv[1]);
}

const struct vs_command vs_command_bench = {
    .name = "bench",
    .operands = "NAME [OPTIONS]",
    .summary = "Record a built-in workload and print its results as tables",
#define X(id, name, what) "\n  " name ": " what
    .about = "Benchmarks (vramscope bench NAME --help tells more):" VS_BENCHES(X),
#undef X
    .example = "vramscope bench norms --T 512,1024,2048 --d 1024 --p 1024 --check",
    .main = bench_main};
