/* SPDX-License-Identifier: MIT
 *
 * lines.h: Python stacks of allocations: code objects and stacks as the recorder numbered them become frames (file,
 * function, line) and a tree of calls; bytes live at the peak are summed by stack.
 *
 * The row of a stack follows from its number alone, so rows that refer to it need not wait for it.
 *
 * Ownership: vs_lines_free. Threading: none. Errors: stick in the store.
 */
#ifndef VS_DB_LINES_H
#define VS_DB_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "id_map.h"
#include "record.h"
#include "series.h"

struct vs_process;
struct vs_piece;

#define VS_STACK_BACKWARD UINT32_MAX /* vs_piece.stack: made by autograd on a thread without Python frames */

struct vs_line_peak { /* of a device: what was live at the peak of level sub and is freed; vs_group.range_name is the stack */
    struct vs_groups groups;
    int64_t peak_ts; /* the peak they are of */
};

struct vs_lines {
    struct vs_id_map codes;    /* number -> struct code */
    struct vs_id_map waiting;  /* number -> vs_rec_stack whose codes have not all come */
    struct vs_id_map resolved; /* number -> itself: stacks that have their row */
    struct vs_id_map frames, nodes; /* hash -> struct frame, struct node */
    struct vs_line_peak *peak[VS_NDEVICES]; /* by device + 1 */
    int64_t next_frame, next_node;
    bool backward, seen; /* VS_STACK_BACKWARD has its row; stacks were looked for */
};

void vs_apply_code(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_stack(struct vs_process *p, const struct vs_rec *rec);

/* The stack that follows the fixed part of a record: what vs_piece.stack is of an allocation; 0: none. */
uint32_t vs_lines_of(struct vs_process *p, const struct vs_rec *rec, size_t fixed);
int64_t vs_lines_row(const struct vs_process *p, uint32_t stack); /* of table stack; VS_NONE: none */
void vs_lines_failed(struct vs_process *p, const struct vs_rec_oom *r, int64_t ts); /* table failure_stack */
void vs_lines_freed(struct vs_process *p, const struct vs_piece *x); /* before the totals change */
void vs_lines_finish(struct vs_process *p); /* nothing more comes: what waits is written as far as it is known */
void vs_lines_write(struct vs_process *p);  /* table at_peak_line: replaces what is there */
void vs_lines_free(struct vs_process *p);

/* line_table.c: the line of an instruction; 0: it has none, or the table does not reach it. */
uint32_t vs_line_of(enum vs_line_table encoding, const unsigned char *table, size_t bytes, uint32_t first_line,
                    uint32_t offset);

/* line_place.c: is the code in this file somebody else's, and not the program's own? */
bool vs_line_is_library(const char *file);

#endif
