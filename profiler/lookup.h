/* SPDX-License-Identifier: MIT
 *
 * lookup.h: finds the functions of other libraries that our exported symbols stand in front of.
 *
 * Never loads a library that is not already in the process. Calls the real dlsym, never ours. Not for hot paths: takes
 * the loader's lock; resolve once and keep the pointer.
 */
#ifndef VS_PROFILER_LOOKUP_H
#define VS_PROFILER_LOOKUP_H

/* The next definition of `name` after ours in the search order, else the one in a loaded library of one of the given
 * sonames (NULL-terminated list; libraries opened RTLD_LOCAL are found this way). NULL: there is none. */
void *vs_lookup(const char *name, const char *const *sonames);

/* The real dlsym (found with dlvsym). */
void *vs_real_dlsym(void *handle, const char *name);

/* Its address, NULL until vs_dlsym_resolve has run; atomic. For the stub in driver_proc.c, which is assembly. */
extern void *vs_real_dlsym_ptr;
void vs_dlsym_resolve(void);

#endif
