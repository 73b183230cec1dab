/* SPDX-License-Identifier: MIT
 *
 * cupti.h: what the rest of the recorder calls in the CUPTI source (kernels, copies, sets with GPU times).
 *
 * Threading: attach_early on the thread inside cuInit; wrapper from any thread.
 * Errors: none to the caller; without CUPTI the other sources go on and the reason is said once.
 */
#ifndef VS_PROFILER_CUPTI_H
#define VS_PROFILER_CUPTI_H

/* From InitializeInjection: subscribes and enables before the first context, so that nothing is lost. Does nothing unless
 * kernels are wanted or CUPTI was asked for. */
void vs_cupti_attach_early(void);

/* For our dlsym: the wrapper that stands before the cupti function `name`, or `real` if there is none. */
void *vs_cupti_wrapper(const char *name, void *real);

#endif
