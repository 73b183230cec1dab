/* SPDX-License-Identifier: MIT
 *
 * state.h: what the recorder knows about the process it is in. Private to the core (log.c, pool.c, activate.c, helper.c).
 *
 * All of it lies in one page that the kernel wipes in a forked child, however the fork was made: a child sees zeroes and
 * starts inactive, although the parent's pointers are still in its statics and thread-local storage.
 */
#ifndef VS_PROFILER_STATE_H
#define VS_PROFILER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "../db/record.h"

enum vs_phase {
    VS_PHASE_INACTIVE = 0, /* nothing was seen yet (also: a forked child) */
    VS_PHASE_STARTING,     /* one thread makes the storage; others wait a moment */
    VS_PHASE_RUNNING,      /* recording */
    VS_PHASE_STOPPED       /* not wanted, failed to start, or ended: every append is refused */
};

struct vs_state {
    uint32_t epoch; /* non-zero exactly while appends are possible; atomic */
    uint32_t phase; /* enum vs_phase; atomic; only vs_phase_set changes it */
    uint32_t starter_tid;
    uint32_t next_thread; /* atomic */
    struct vs_control *control;
    uint64_t next_string; /* atomic */
    uint64_t next_serial; /* atomic */

    /* slabs: see pool.h */
    unsigned char *chunk[VS_MAX_CHUNKS];
    uint32_t chunks;     /* atomic */
    uint32_t max_chunks;
    uint32_t available;  /* slabs on the available stack; atomic, approximate */
    uint64_t available_head, full_head; /* {tag:32, index + 1:32}; atomic */

    uint32_t helper_wake, writer_wake; /* futex words */
    uint32_t stop;       /* futex word: enum vs_stop */
    uint32_t helper_done, writer_done; /* futex words */
    uint32_t has_exit_status;          /* as in struct vs_rec_end */
    int32_t exit_status;
};
enum vs_stop { VS_STOP_NO = 0, VS_STOP_SOURCES = 1, VS_STOP_ALL = 2 };

/* NULL until the constructor has run. */
extern struct vs_state *vs_state;

/* Makes the process active if it is wanted. true: recording (maybe because another thread has just done it). Bounded. */
bool vs_activate(void);
/* The process says with what status it ends: exit's handlers are told, and _exit is ours. */
void vs_note_exit_status(int status);
void vs_phase_set(struct vs_state *s, enum vs_phase phase);

/* helper.c: starts the two threads of the recorder. 0 or -errno. */
int vs_helper_start(void);
/* Sources stop, then the log is completed; waits at most the given time. false: time ran out. */
bool vs_helper_stop(enum vs_stop what, unsigned milliseconds);

#endif
