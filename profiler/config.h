/* SPDX-License-Identifier: MIT
 *
 * config.h: the recorder's settings, read from the environment once per process. One table: name, default, bounds, help.
 *
 * Threading: vs_config_read runs in the constructor, before any other thread of ours; afterwards the struct is constant.
 * Errors: a bad value keeps the default; what was wrong is said when the process becomes active, not before.
 */
#ifndef VS_PROFILER_CONFIG_H
#define VS_PROFILER_CONFIG_H

#include <stddef.h>
#include <stdint.h>

enum vs_trace { VS_TRACE_MEMORY, VS_TRACE_KERNELS, VS_TRACE_API };
enum vs_cupti_use { VS_CUPTI_AUTO, VS_CUPTI_OFF, VS_CUPTI_ON };
enum vs_log_level { VS_SAY_SILENT, VS_SAY_WARN, VS_SAY_INFO, VS_SAY_DEBUG };

/* X(field, environment name without VRAMSCOPE_, default, smallest, largest, help) */
#define VS_INT_OPTIONS(X)                                                                                             \
    X(flush_ms, "FLUSH_MS", 250, 10, 60000, "ms between copies of the log to disk and flushes of GPU records")        \
    X(sample_ms, "SAMPLE_MS", 100, 0, 60000, "ms between samples of the driver's used memory; 0: none")               \
    X(pool_mb, "POOL_MB", 64, 2, 256, "MiB of memory-backed storage the recorder may use per process")                \
    X(gpu_buffer_mb, "GPU_BUFFER_MB", 64, 4, 800, "MiB of device memory CUPTI may use for kernel records")            \
    X(host_buffer_mb, "HOST_BUFFER_MB", 64, 4, 1024, "MiB of host memory for CUPTI's activity buffers")               \
    X(python_lines, "PYTHON_LINES", 0, 0, 1, "1: also record the Python stack of each PyTorch allocation")              \
    X(quiet, "QUIET", 0, 0, 1, "1: do not print the closing line")

/* X(field, environment name, default, values in the order of the enum, help) */
#define VS_ENUM_OPTIONS(X)                                                                                            \
    X(trace, "TRACE", 0, "memory|kernels|api", "what to record besides allocations, ranges and collectives")          \
    X(cupti, "CUPTI", 0, "auto|off|on", "attach to CUPTI: when needed, never, or always")                             \
    X(log, "LOG", 1, "silent|warn|info|debug", "what the recorder says on stderr")

/* X(field, environment name, help) */
#define VS_TEXT_OPTIONS(X)                                                                                            \
    X(out, "OUT", "folder in which a run's log folder is made (default: the current one)")                            \
    X(run, "RUN", "the run's log folder itself; set by `vramscope run` and by the first process of a run")            \
    X(run_root, "RUN_ROOT", "pid of the run's first process; set by the recorder")                                    \
    X(shm, "SHM", "memory-backed folder for live records (default: /dev/shm)")                                        \
    X(ranks, "RANKS", "ranks to record, e.g. 0,2-3 (default: all)")                                                   \
    X(cupti_lib, "CUPTI_LIB", "path of the libcupti to use (default: the one the process has, then the toolkit's)")

struct vs_config {
#define X(field, env, def, lo, hi, help) int64_t field;
    VS_INT_OPTIONS(X)
#undef X
#define X(field, env, def, values, help) int field;
    VS_ENUM_OPTIONS(X)
#undef X
#define X(field, env, help) char field[1024];
    VS_TEXT_OPTIONS(X)
#undef X
};

void vs_config_read(void);
const struct vs_config *vs_config(void);
const char *vs_config_trace_name(void); /* "memory", "kernels" or "api" */
/* Says what was wrong with the environment (once), and appends every effective setting to the log as META. */
void vs_config_report(void);

#endif
