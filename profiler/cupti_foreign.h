/* SPDX-License-Identifier: MIT
 *
 * cupti_foreign.h: what the wrappers report about other users of CUPTI. What the rest reads is in src_cupti.h.
 *
 * Threading: any. Reentrancy: safe in CUPTI's callbacks. Errors: none.
 */
#ifndef VS_PROFILER_CUPTI_FOREIGN_H
#define VS_PROFILER_CUPTI_FOREIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "cupti_abi.h"

void vs_foreign_enter(void); /* around every call that is passed on */
void vs_foreign_leave(void);
/* Before the real call (callbacks may come inside it), and after: NULL when it failed or was given back. */
void vs_foreign_subscribing(vs_cupti_callback_fn callback, void *userdata);
void vs_foreign_subscribed(vs_cupti_subscriber subscriber);
void vs_foreign_enable_callbacks(bool enable, uint32_t domain, uint32_t first, uint32_t last);
void vs_foreign_set_buffers(vs_cupti_request_fn request, vs_cupti_complete_fn complete);
void vs_foreign_set_kind(uint32_t kind, bool enabled);
uint64_t vs_foreign_kinds(void);
void vs_foreign_flushed(void);
void vs_foreign_set_clock(vs_cupti_clock_fn clock);
void vs_foreign_finalized(void);

#endif
