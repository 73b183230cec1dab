/* SPDX-License-Identifier: MIT
 *
 * outcome.h: what experiments and recordings came to, side by side: `compare`, `check` and `export` read a side each from
 * what users name, into tables of a database in memory. A side is a folder of a run of the suite (its *_result.json, else
 * its suite.db), one such JSON, a database with experiments, or any other recording (then every rank is an outcome).
 *
 * Ownership: the database is the caller's, sqlite3_close. Threading: none. Errors: 0 or -errno with a text that names the
 * file and what is missing in it.
 */
#ifndef VS_CLI_OUTCOME_H
#define VS_CLI_OUTCOME_H

#include "../db/error.h"

struct sqlite3;

/* The tables:
 *   outcome(id, side, origin, name, mode, seq_len, status, reason, peak_bytes, peak_mb, avg_ms, median_ms, vanilla,
 *           process_id): status is ok or failed; seq_len, peaks and times are NULL when not known; peak_mb is as a result
 *           gives it, in units of 2^20 bytes; vanilla: trained without privacy
 *   amount(outcome, kind, name, bytes)   at the peak. kind: category | component | part (of the paper's breakdown)
 *   setting(outcome, key, value, must)   must: a pair in which it differs is not comparable */
int vs_outcomes_begin(struct sqlite3 **db, struct vs_error *e);
int vs_outcomes_load(struct sqlite3 *db, const char *side, const char *path, struct vs_error *e);

/* Does it hold results of experiments? No: it is a recording, or cannot be read. */
int vs_outcomes_are_experiments(const char *path);

#endif
