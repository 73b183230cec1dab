/* SPDX-License-Identifier: MIT
 *
 * source.h: what every source of records offers to the recorder. Adding a source touches its file and the list below.
 *
 * Threading: start, drain, sample and stop run on the recorder's helper thread, except where noted. None may wait for an
 * application thread. Errors: a source that fails counts, disables itself, says so once (vs_say_once) and returns.
 */
#ifndef VS_PROFILER_SOURCE_H
#define VS_PROFILER_SOURCE_H

#include <stdbool.h>

struct vs_source_ops {
    const char *name;
    void (*start)(void); /* once, when the process has become active; may be NULL */
    void (*drain)(void); /* each flush period; may be NULL */
    void (*sample)(void); /* each sampling period; may be NULL */
    void (*stop)(void);  /* once, at an orderly exit, before the last drain of the log; may be NULL */
    void (*fork_child)(void); /* in a forked child, before its first record: forget everything; may be NULL */
};

/* The list. */
#define VS_SOURCE_LIST(X) X(process) X(driver) X(device) X(host) X(cupti) X(nvtx) X(nccl) X(torch) X(python) X(cublas)

#define X(name) extern const struct vs_source_ops vs_source_##name;
VS_SOURCE_LIST(X)
#undef X

#endif
