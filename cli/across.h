/* SPDX-License-Identifier: MIT
 *
 * across.h: what the tables over ranks share: what a recording knows of collectives across ranks, in sentences.
 *
 * Ownership: borrows the sheet. Threading: none. Errors: stick in the sheet.
 */
#ifndef VS_CLI_ACROSS_H
#define VS_CLI_ACROSS_H

#include "sheet.h"

/* 0: the database was made before collectives were matched, or there is nothing to match: one line says so. */
int vs_across_known(struct vs_sheet *s, const char *title);
/* Collectives that some rank never made or never ended, the first of each communicator; at most `most` of them. */
void vs_across_incomplete(struct vs_sheet *s, int64_t most);
/* All times are of calls that only hand work to a GPU: who called late is known, not who waited. */
int vs_across_enqueue_only(struct vs_sheet *s);
/* What the times are of, and how good the clock is. */
void vs_across_times(struct vs_sheet *s);
/* The rank that others waited for longest, in one sentence; nothing when no rank stands out. */
void vs_across_slowest(struct vs_sheet *s);
/* For the one-screen report: two lines and what is wrong. */
void vs_across_brief(struct vs_sheet *s);

#endif
