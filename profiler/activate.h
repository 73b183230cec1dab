/* SPDX-License-Identifier: MIT
 *
 * activate.h: the recorder's beginning and end in a process. Called by preload.c only.
 */
#ifndef VS_PROFILER_ACTIVATE_H
#define VS_PROFILER_ACTIVATE_H

void vs_activate_constructed(void);
/* At exit, while CUDA still works: the sources deliver what they hold. Waits at most 3 s. */
void vs_activate_stop_sources(void);
/* When the library is unloaded at exit: completes the log. Waits at most 10 s. Threads not running: returns at once. */
void vs_activate_end(void);

#endif
