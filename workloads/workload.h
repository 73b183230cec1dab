/* SPDX-License-Identifier: MIT
 *
 * workload.h: what a built-in workload is to main.c: a name, a sentence and a function. Workloads are programs like any
 * other to the recorder: they include nothing of it and speak NVTX.
 *
 * Adding a workload: its file, and one line of the list below.
 */
#ifndef VS_WORKLOADS_WORKLOAD_H
#define VS_WORKLOADS_WORKLOAD_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, what it does) */
#define VS_WORKLOADS(X)                                                                \
    X(norms, "per-sample gradient norms of a linear layer, by several algorithms")     \
    X(train, "steps of a transformer's training, plain or with per-sample clipping (DP-SGD)") \
    X(fsdp_norms, "per-sample norms of a model sharded over ranks: right, fast, and by stages")

/* argv[0] is the workload's name. Exit status: 0; 1 a result is wrong or the device failed; 2 the arguments are. */
#define X(name, what) int vs_workload_##name(int argc, char **argv);
VS_WORKLOADS(X)
#undef X

#ifdef __cplusplus
}
#endif
#endif
