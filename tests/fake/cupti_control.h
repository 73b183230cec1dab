/* SPDX-License-Identifier: MIT
 *
 * cupti_control.h: how a test program plays the GPU behind the stand-in libcupti.so.13.
 */
#ifndef VS_TESTS_FAKE_CUPTI_CONTROL_H
#define VS_TESTS_FAKE_CUPTI_CONTROL_H

#include <stddef.h>
#include <stdint.h>

enum fake_cupti_what {
    FAKE_CUPTI_UNTIMED,     /* the next `value` kernels get start = end = 0 */
    FAKE_CUPTI_INVERTED,    /* the next `value` kernels end before they begin */
    FAKE_CUPTI_UNKNOWN,     /* append `value` records of a kind nobody knows */
    FAKE_CUPTI_INCOMPLETE,  /* append one incomplete record: it ends its buffer */
    FAKE_CUPTI_PENDING,     /* 1: the last record is not complete: an ordinary flush keeps the buffer; 0: it is now */
    FAKE_CUPTI_DROP,        /* report `value` dropped records */
    FAKE_CUPTI_SKEW_NS,     /* added to every time CUPTI tells, its clock's included */
    FAKE_CUPTI_HANG_FLUSH,  /* 1: a forced flush never returns */
    FAKE_CUPTI_FINALIZE,    /* cuptiFinalize by somebody who does not go through a symbol */
    FAKE_CUPTI_REPLACE      /* buffer callbacks replaced by somebody who does not go through a symbol */
};
enum fake_cupti_stat {
    FAKE_CUPTI_SUBSCRIBED,  /* 1: somebody holds the subscription */
    FAKE_CUPTI_KINDS,       /* bits of the enabled kinds */
    FAKE_CUPTI_BUFFERS_OUT, /* buffers handed to CUPTI and not returned */
    FAKE_CUPTI_DIRTY,       /* buffers that were promised zeroed and were not */
    FAKE_CUPTI_ATTRIBUTE,   /* + attribute number: its value */
    FAKE_CUPTI_THREAD_IDS = FAKE_CUPTI_ATTRIBUTE + 32,
    FAKE_CUPTI_POOL_LIMIT = FAKE_CUPTI_ATTRIBUTE + 2,
    FAKE_CUPTI_ZEROED = FAKE_CUPTI_ATTRIBUTE + 5
};

/* Each is a driver call on this thread (callbacks at enter and exit) whose work has ended when it returns. They return
 * the correlation id. */
uint32_t fake_cupti_kernel(const char *name, uint32_t stream, uint64_t graph_node);
uint32_t fake_cupti_copy(uint64_t bytes, int peer);
uint32_t fake_cupti_set(uint64_t bytes, uint32_t value);
void fake_cupti_static(const char *name, uint64_t address, uint64_t bytes, int release);
void fake_cupti_overhead(uint32_t what);
void fake_cupti_control(enum fake_cupti_what what, int64_t value);
uint64_t fake_cupti_stat(uint32_t what);

/* Environment, for what must hold before the recorder attaches: FAKE_CUPTI_VERSION=N, FAKE_CUPTI_HOLDER=NAME (a tool outside
 * this process has the subscription), FAKE_CUPTI_NO_DRIVER=1 (as the real library: 999). */

#endif
