/* SPDX-License-Identifier: MIT
 *
 * ingest_case.h: a folder for one test of ingest, and questions to the database it made.
 */
#ifndef VS_TESTS_INGEST_CASE_H
#define VS_TESTS_INGEST_CASE_H

#include <stdint.h>

#include "../db/ingest.h"
#include "log_writer.h"

struct ingest_case {
    char root[64], run[80], memory[80], db[80];
};

void case_make(struct ingest_case *c);
void case_remove(struct ingest_case *c);
struct vs_log_writer *case_writer(struct ingest_case *c, uint32_t pid); /* with memory, dead, defaults */
void case_ingest(struct ingest_case *c, const char *db); /* new database from the run folder; fails the test on error */
int64_t case_int(const char *db, const char *sql);       /* INT64_MIN: NULL or no row */
char *case_text(const char *db, const char *sql);        /* first column of all rows, joined by "," */
char *case_dump(const char *db);                         /* every table but meta and ingest_state, sorted */
void case_balanced(const char *db);                      /* appended = stored + lost for every source */

#define ck_sql(db, sql, expected)                                                                                      \
    ck_assert_msg(case_int((db), (sql)) == (int64_t)(expected), "%s: %lld, not %lld", (sql),                           \
                  (long long)case_int((db), (sql)), (long long)(expected))

#endif
