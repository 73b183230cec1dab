/* SPDX-License-Identifier: MIT
 *
 * caller.h: finds the function a caller would have reached without us, when it lies in the caller's own library (NCCL or
 * c10 linked statically into it, its symbols exported) and so in no library that vs_lookup knows by name.
 *
 * Threading: any. Not for hot paths: takes the loader's lock. Never loads a library. errno may change.
 */
#ifndef VS_PROFILER_CALLER_H
#define VS_PROFILER_CALLER_H

/* `name` as the library that `code` lies in, and what it depends on, define it. NULL: they do not. */
void *vs_lookup_near(const void *code, const char *name);

#endif
