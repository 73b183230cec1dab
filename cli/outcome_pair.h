/* SPDX-License-Identifier: MIT
 *
 * outcome_pair.h: which outcomes of side A and side B belong together, how they differ, and whether they may be compared.
 *
 * Ownership: borrows the database of outcome.h. Threading: none. Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_OUTCOME_PAIR_H
#define VS_CLI_OUTCOME_PAIR_H

#include "../db/error.h"

struct sqlite3;

/* Loads the sides A and B and pairs them: an experiment is the one of the same name and sequence length; where each side
 * has exactly one, they are a pair whatever they are called. Makes:
 *   pair(id, a, b)                            outcomes
 *   paired(pair, label, a_*, b_*, ms_is)      name, status, reason, peak_bytes, ms (medians if both have one, else means)
 *   change(pair, kind, name, a_bytes, b_bytes)  amounts of the kinds that both sides know
 *   difference(pair, key, a, b, must)         settings; NULL: not told
 *   lonely(id, side, label, name, seq_len, status)  outcomes without a counterpart */
int vs_outcomes_pair(const char *a, const char *b, struct sqlite3 **db, struct vs_error *e);

/* -EINVAL: a pair differs in a setting that must be the same; the text names them and both values. `names` are what the
 * user calls the sides. */
int vs_outcomes_comparable(struct sqlite3 *db, const char *const names[2], struct vs_error *e);

#endif
