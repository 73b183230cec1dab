/* SPDX-License-Identifier: MIT
 *
 * src_python.h: the Python stack of a thread that allocates (setting python_lines). Needs no GIL and runs no Python.
 */
#ifndef VS_PROFILER_SRC_PYTHON_H
#define VS_PROFILER_SRC_PYTHON_H

#include <stdbool.h>
#include <stdint.h>

/* Are stacks wanted in this process? What does not want them pays for reading this. */
extern bool vs_python_wanted;

/* The number of the calling thread's stack, whose record is then in the log; 0: the thread has no Python frames. false:
 * not known, counted. Not between vs_log_begin and vs_log_commit. errno is preserved. */
bool vs_python_stack(uint64_t *number);

/* An event that began the recording, so that nothing could be looked at before it. */
void vs_python_missed(void);

#endif
