/* SPDX-License-Identifier: MIT
 *
 * category_case.h: what tests of categories ask a database.
 */
#ifndef VS_TESTS_CATEGORY_CASE_H
#define VS_TESTS_CATEGORY_CASE_H

#include <stdint.h>

/* Bytes of a category at the end of a phase. */
int64_t category_at_end(const char *db, const char *phase, int iteration, const char *category);
/* Fails the test unless the categories of every stored moment add up to what was live then. */
void category_sums_are_exact(const char *db);

#endif
