/* SPDX-License-Identifier: MIT
 *
 * launch.h: starts the ranks of a workload on this host (--nproc N): this program again, N times, with RANK, WORLD_SIZE, LOCAL_RANK,
 * MASTER_ADDR and MASTER_PORT set, and VRAMSCOPE_LAUNCHER=vramscope, by which they know each other. Where OMP_NUM_THREADS and
 * OPENBLAS_NUM_THREADS are not set, ranks share the cores. What a rank runs is not its business. The port is kept from others until
 * all ranks have ended.
 *
 * The launching process makes no CUDA call and opens no device. Ranks write to the same stdout and stderr. When one ends with an error
 * or by a signal, its rank and how it ended are told on stderr; the others get `grace_ms` to end by themselves (they learn of it by
 * team.h), then SIGTERM (a stopped one goes on, to get it), then SIGKILL. SIGINT and SIGTERM are passed on to all. When the launcher
 * itself dies, its ranks get SIGTERM (PR_SET_PDEATHSIG).
 */
#ifndef VS_WORKLOADS_LAUNCH_H
#define VS_WORKLOADS_LAUNCH_H

#ifdef __cplusplus
extern "C" {
#endif

/* True in a rank that vs_launch started. */
int vs_launched(void);
/* argv as the program got it. port 0: a free one. The exit status of the whole: 0, or that of the first rank that failed (128 + n for
 * signal n). */
int vs_launch(int nproc, int port, unsigned grace_ms, char *const argv[]);

#ifdef __cplusplus
}
#endif
#endif
