/* SPDX-License-Identifier: MIT
 *
 * bench.h: the benchmarks of `vramscope bench`: each records a built-in workload and prints what came of it. Adding one:
 * its file, and one line of the list.
 */
#ifndef VS_CLI_BENCH_H
#define VS_CLI_BENCH_H

#include "command.h"

/* X(id, name as it is typed, what it measures) */
#define VS_BENCHES(X)                                                                                      \
    X(norms, "norms", "per-sample gradient norms: time and temporary memory of every algorithm")           \
    X(train, "train", "one step of DP-SGD training in any mode: time, peak, and what the peak was made of") \
    X(fsdp_norms, "fsdp-norms", "norms of a model sharded over ranks: right, fast, and by stages")

/* A benchmark is a command whose name is two words. argv[0] is the benchmark's own. */
#define X(id, name, what) extern const struct vs_command vs_bench_##id;
VS_BENCHES(X)
#undef X

#endif
