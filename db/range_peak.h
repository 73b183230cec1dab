/* SPDX-License-Identifier: MIT
 *
 * range_peak.h: how much CUDA memory a range of the program took, from the exact allocations of its recording.
 *
 * Counted is what the program asked for: device, managed and static memory, arrays, virtual memory, and what
 * stream-ordered pools hand out, in place of what the pools reserve. Bytes of other processes are not.
 *
 * Ownership: borrows the database. Threading: none. Errors: -EIO with a text.
 */
#ifndef VS_DB_RANGE_PEAK_H
#define VS_DB_RANGE_PEAK_H

#include <stdint.h>

#include "error.h"

struct sqlite3;

struct vs_range_peak {
    int64_t process_id;  /* VS_NONE: no process has a range of that name */
    int64_t bytes;       /* highest live bytes inside minus live bytes at its begin; of several ranges of the name the
                           largest. VS_NONE: not known */
    const char *unknown; /* why; NULL: known */
};

/* Only processes with a larger id than `after` are looked at. */
int vs_range_peak_find(struct sqlite3 *db, int64_t after, const char *name, struct vs_range_peak *out,
                       struct vs_error *e);

#endif
