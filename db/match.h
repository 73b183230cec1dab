/* SPDX-License-Identifier: MIT
 *
 * match.h: what is known only when all ranks are read: one clock, collectives across ranks, what communication hid. Fills
 * process_clock, collective_match, step_overlap_data and rank_activity, of processes that were read since it last did so.
 *
 * Cost: kernels and collectives of those processes are read once, in order; memory does not grow with their number.
 * Ownership: borrows the store, inside a transaction. Threading: none. Errors: stick in the store; 0 or -errno.
 */
#ifndef VS_DB_MATCH_H
#define VS_DB_MATCH_H

#include <stdint.h>

#include "store.h"

struct sqlite3_stmt;

/* A database made before there were such tables is left as it is. */
int vs_match_ranks(struct vs_store *s);

/* ---- its parts ---- */

/* SQLite's error sticks in the store. NULL: it failed. */
void vs_match_run(struct vs_store *s, const char *sql);
struct sqlite3_stmt *vs_match_query(struct vs_store *s, const char *sql);
/* 1: a row; 0: the end, or an error. Finalized then. */
int vs_match_next(struct vs_store *s, struct sqlite3_stmt **q);
int64_t vs_match_number(struct sqlite3_stmt *q, int column); /* VS_NONE: NULL */

/* Times may be anything: a log can be damaged. Both stop at the ends of the type. */
int64_t vs_match_add(int64_t a, int64_t b);
int64_t vs_match_minus(int64_t a, int64_t b);

/* Reads a process's kernels: writes its steps and activity, adds those of NCCL to temp.match_kernel. */
void vs_overlap_write(struct vs_store *s, int64_t process);
/* temp.match_member: communicators of temp.match_hash, put together to teams. */
void vs_match_teams(struct vs_store *s);
/* From temp.match_member and temp.match_kernel to collective_match. */
void vs_match_calls(struct vs_store *s);

#endif
