/* SPDX-License-Identifier: MIT
 *
 * segments.h: how what the framework holds from the driver is filled: live blocks and gaps in each segment, as of one
 * moment.
 *
 * Ownership: vs_segments_free. Threading: none. Errors: -ENOMEM.
 */
#ifndef VS_DB_SEGMENTS_H
#define VS_DB_SEGMENTS_H

#include <stddef.h>
#include <stdint.h>

struct vs_process;

struct vs_segment {
    uint64_t address, bytes;
    uint64_t live, largest_free;
    uint64_t blocks; /* live ones */
};
struct vs_segments {
    struct vs_segment *list;
    size_t count, room;
    int64_t ts_ns;
};
enum { VS_SEGMENTS_HIGHEST, VS_SEGMENTS_FAILURE, VS_SEGMENTS_END, VS_NSEGMENTS }; /* moments */

/* As they are now. */
int vs_segments_take(const struct vs_process *p, int device, int64_t ts_ns, struct vs_segments *out);
void vs_segments_free(struct vs_segments *s);

#endif
