/* SPDX-License-Identifier: MIT
 *
 * log.h: appends records to memory that outlives the process. The only way anything leaves the traced program.
 *
 * Use:
 *     struct vs_rec_free *r = vs_log_begin(VS_K_FREE, sizeof *r);
 *     if (r) { r->seq = vs_log_seq(); r->ts_ns = vs_now(); ...; vs_log_commit(r); }
 * vs_log_begin makes the process active if it is not yet. NULL: not recording, or dropped and counted.
 *
 * Ownership: the record lies in the calling thread's slab until vs_log_commit; then it must not be touched.
 * Threading: any thread; each has a slab of its own. No locks, no malloc, no waiting system call, no first touch of a
 * page, except in the one call that activates the process.
 * Reentrancy: an event raised between begin and commit on the same thread (a signal handler) is dropped and counted.
 * errno is preserved by every function here.
 * Errors: none to the caller; every drop is counted in the control file by source and reason.
 */
#ifndef VS_PROFILER_LOG_H
#define VS_PROFILER_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "../db/record.h"

/* One clock for every source. vDSO: no system call. */
static inline uint64_t vs_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* Reserves `bytes` (rounded up to 8, at most VS_MAX_RECORD_BYTES) for a record of this kind and fills its header:
 * flags 0, device -1. The rest holds zeroes. */
void *vs_log_begin(enum vs_kind kind, size_t bytes);
/* Publishes it. Set flags and device through vs_rec_set before. */
void vs_log_commit(void *record);
/* Gives the space back unpublished (nothing happened after all). */
void vs_log_cancel(void *record);
void vs_rec_set(void *record, uint8_t flags, int device);

/* Next lifetime number. Every number taken must be published in a record (an UNDO one if need be). */
uint64_t vs_log_seq(void);
uint64_t vs_log_seq_next(void); /* the number that comes next; it is not taken */

/* Is this process recording (active and not switched off)? A plain load or two: callers may skip work early. */
bool vs_log_active(void);
/* May this process record at all (not a rank filtered out, not switched off)? Does not activate. */
bool vs_log_wanted(void);

/* Changes with every process that records, also after a raw fork; 0 while not recording. State kept per thread or in
 * statics is worth nothing once this differs from the value it was made under. */
uint32_t vs_log_epoch(void);

void vs_log_lost(enum vs_source source, enum vs_loss reason, uint64_t count);

/* The calling thread's number in this process, 0 when it has none yet. */
uint32_t vs_log_thread(void);

/* Appends what does not fit one record's text: returns a string id (from 1) for the bytes. 0: dropped. Every call makes
 * a new id: callers intern. */
uint64_t vs_log_string(const char *text, size_t bytes);
/* key/value fact about the process (record META). */
void vs_log_meta(const char *key, const char *value);

/* What the control file tells about CUPTI: GPU records up to `ns` have arrived; device memory its buffers take. */
void vs_log_set_delivered(uint64_t ns);
void vs_log_set_gpu_buffer(uint64_t bytes);
uint64_t vs_log_gpu_buffer(void);

/* ---- per-thread state that records refer to ---- */

/* Innermost open range of this thread: seq of its begin, 0 = none. */
uint64_t vs_thread_range(void);

/* Set while this thread runs one of our own calls into CUDA, CUPTI or NVML, so that hooks pass it on unrecorded, and
 * while it is inside an NCCL call, so that driver allocations made there are labelled. */
struct vs_thread_marks {
    uint32_t own;
    uint32_t nccl;
};
struct vs_thread_marks *vs_marks(void);

#endif
