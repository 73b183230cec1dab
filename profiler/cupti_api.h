/* SPDX-License-Identifier: MIT
 *
 * cupti_api.h: finds libcupti and the functions the recorder calls in it.
 *
 * Ownership: the table is static and constant once open. Threading: open from one thread at a time; the table from any.
 * Errors: vs_cupti_open says once why CUPTI cannot be used and returns NULL; the caller goes on without it.
 */
#ifndef VS_PROFILER_CUPTI_API_H
#define VS_PROFILER_CUPTI_API_H

#include "cupti_abi.h"

/* X(field, function, its parameters). The one list of what is called; all return CUptiResult. */
#define VS_CUPTI_FUNCTIONS(X)                                                                                       \
    X(get_version, cuptiGetVersion, (uint32_t *))                                                                   \
    X(subscribe, cuptiSubscribe, (vs_cupti_subscriber *, vs_cupti_callback_fn, void *))                             \
    X(unsubscribe, cuptiUnsubscribe, (vs_cupti_subscriber))                                                         \
    X(enable_callback, cuptiEnableCallback, (uint32_t, vs_cupti_subscriber, uint32_t, uint32_t))                    \
    X(callback_state, cuptiGetCallbackState, (uint32_t *, vs_cupti_subscriber, uint32_t, uint32_t))                 \
    X(callback_name, cuptiGetCallbackName, (uint32_t, uint32_t, const char **))                                     \
    X(enable, cuptiActivityEnable, (uint32_t))                                                                      \
    X(disable, cuptiActivityDisable, (uint32_t))                                                                    \
    X(enable_driver, cuptiActivityEnableDriverApi, (uint32_t, uint8_t))                                             \
    X(enable_runtime, cuptiActivityEnableRuntimeApi, (uint32_t, uint8_t))                                           \
    X(register_callbacks, cuptiActivityRegisterCallbacks, (vs_cupti_request_fn, vs_cupti_complete_fn))              \
    X(register_clock, cuptiActivityRegisterTimestampCallback, (vs_cupti_clock_fn))                                  \
    X(timestamp, cuptiGetTimestamp, (uint64_t *))                                                                   \
    X(flush, cuptiActivityFlushAll, (uint32_t))                                                                     \
    X(dropped, cuptiActivityGetNumDroppedRecords, (void *, uint32_t, size_t *))                                     \
    X(next, cuptiActivityGetNextRecord, (uint8_t *, size_t, void **))                                               \
    X(set_attribute, cuptiActivitySetAttribute, (uint32_t, size_t *, void *))                                       \
    X(get_attribute, cuptiActivityGetAttribute, (uint32_t, size_t *, void *))                                       \
    X(set_thread_ids, cuptiSetThreadIdType, (uint32_t))                                                             \
    X(get_thread_ids, cuptiGetThreadIdType, (uint32_t *))

struct vs_cupti_functions {
#define X(field, name, parameters) uint32_t(*field) parameters;
    VS_CUPTI_FUNCTIONS(X)
#undef X
    /* Names the holder of a refused subscription; absent in older libraries. */
    uint32_t (*subscribe_v2)(vs_cupti_subscriber *, vs_cupti_callback_fn, void *, struct vs_cupti_subscriber_params *);
};

/* The table, NULL when there is no libcupti or its layouts are not known. `version` may be NULL. */
const struct vs_cupti_functions *vs_cupti_open(uint32_t *version);

/* The NVIDIA tool this process runs under (Nsight, cuda-gdb, compute-sanitizer), NULL: none. */
const char *vs_cupti_foreign_tool(void);

#endif
