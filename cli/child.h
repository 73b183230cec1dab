/* SPDX-License-Identifier: MIT
 *
 * child.h: the program that `run` starts: found, given its environment, started in our process group, waited for.
 * It must never see a difference: same stdin, stdout, stderr, signal mask and dispositions, same signals.
 *
 * Ownership: vs_child_environment's result is one allocation, for free(). Threading: start before any thread is made;
 * vs_child_wait belongs to the thread that started.
 * Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_CHILD_H
#define VS_CLI_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "../db/error.h"

/* As the shell looks for it. -ENOENT: there is none; -EACCES: it cannot be executed. */
int vs_child_find(const char *name, char *path, size_t path_bytes, struct vs_error *e);

/* libvramscope.so: $VRAMSCOPE_LIB, else ../lib beside our executable. */
int vs_child_library(char *path, size_t path_bytes, struct vs_error *e);

/* The built-in workloads: $VRAMSCOPE_WORKLOAD, else vramscope-workload beside our executable. */
int vs_child_workload(char *path, size_t path_bytes, struct vs_error *e);

/* Our environment and what the library reads: it is preloaded and writes below folder. trace and ranks may be NULL;
 * python_lines 0: as our environment says. */
char **vs_child_environment(const char *library, const char *folder, const char *trace, const char *ranks,
                            int python_lines);

/* From here on our own signals are held back until vs_child_wait passes them on. */
int vs_child_start(const char *path, char *const *argv, char *const *environment, pid_t *pid, struct vs_error *e);

/* Passes signals on until the program ends; returns its exit status, 128 + n for signal n. */
int vs_child_wait(pid_t pid);

#endif
