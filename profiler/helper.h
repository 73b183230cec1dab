/* SPDX-License-Identifier: MIT
 *
 * helper.h: the recorder's two threads. The helper keeps slabs ready and drains the sources; the writer copies slabs to
 * disk, so that a slow disk never keeps slabs from being made.
 */
#ifndef VS_PROFILER_HELPER_H
#define VS_PROFILER_HELPER_H

#include "state.h"

/* From any thread; one futex call at most, which does not wait. */
void vs_helper_wake(void);
/* Wakes it, and the sources sample at once. */
void vs_helper_look(void);
void vs_writer_wake(void);

/* log.c: called by the constructor, and when a process has its control file. */
void vs_log_constructed(void);
void vs_log_started(struct vs_control *control);

/* writer.c: body of the writer thread. */
void *vs_writer_main(void *arg);

/* activate.c: deepest folder of this process's log on disk is made by the writer. */
int vs_make_folders(const char *path);

#endif
