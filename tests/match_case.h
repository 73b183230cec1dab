/* SPDX-License-Identifier: MIT
 *
 * match_case.h: a database of ranks with collectives and kernels made by hand, as ingest would have left it, and what is made
 * of it across ranks. It must never call what it tests to say what is expected.
 */
#ifndef VS_TESTS_MATCH_CASE_H
#define VS_TESTS_MATCH_CASE_H

#include <sqlite3.h>
#include <stdint.h>

struct match_case {
    char folder[64], db[80];
    sqlite3 *sql;
    int64_t next; /* row */
};

extern struct match_case mc;

void match_case_begin(void); /* checked fixtures */
void match_case_end(void);
void match_case_sql(const char *format, ...); /* SQLite's own format */

/* process = rank + 1, on host `host`, whose clock is ahead_ns behind the calendar. */
void match_case_rank(int rank, int world, const char *host, int64_t ahead_ns);
/* Returns its row. */
int64_t match_case_communicator(int rank, int64_t hash, int nranks);
/* A call of a communicator; end 0: it never returned; group 0: alone. */
void match_case_call(int rank, int64_t communicator, int sequence, const char *op, int64_t bytes, int64_t begin, int64_t end, int group);
void match_case_kernel(int rank, const char *name, int64_t launch, int64_t begin, int64_t end);
void match_case_iteration(int rank, int iteration, int64_t begin, int64_t end);

void match_case_run(void); /* what ingest does at its end */
int64_t match_case_int(const char *sql);
double match_case_real(const char *sql);
const char *match_case_text(const char *sql); /* rows by ",", columns by "|", NULL is "-"; good until the next call */

#endif
