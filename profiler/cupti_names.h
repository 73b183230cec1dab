/* SPDX-License-Identifier: MIT
 *
 * cupti_names.h: numbers for kernel and API names, so that each is in the log once.
 *
 * Threading: any; called where CUPTI completes a buffer. A name met before costs one comparison and no lock.
 * Errors: 0 when there is no room or the log dropped the text (counted there).
 */
#ifndef VS_PROFILER_CUPTI_NAMES_H
#define VS_PROFILER_CUPTI_NAMES_H

#include <stdint.h>

/* CUPTI hands out one pointer per kernel for as long as its module is loaded; a module loaded later may get the same
 * address, so the text is compared as well. */
uint64_t vs_cupti_name(const char *name);
void vs_cupti_names_forget(void); /* in a forked child: numbers of the parent's log mean nothing here */

#endif
