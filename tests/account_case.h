/* SPDX-License-Identifier: MIT
 *
 * account_case.h: a log of one process and one device, written event by event, and its account in a database.
 *
 * Ownership: one case at a time; account_end releases it. Errors: fail the test.
 */
#ifndef VS_TESTS_ACCOUNT_CASE_H
#define VS_TESTS_ACCOUNT_CASE_H

#include <check.h>
#include <stdint.h>

#include "ingest_case.h"

#define NOBODY UINT64_MAX /* not known */

struct account_case {
    struct ingest_case in;
    struct vs_log_writer *w;
    uint64_t now; /* time of the last event */
};
extern struct account_case account;

/* Callers by library; from BY_LIBRARY_0 on they are the test's own. */
enum { BY_NOBODY, BY_RUNTIME, BY_TORCH, BY_CUBLAS, BY_CUDNN, BY_NCCL, BY_PROGRAM, BY_LIBRARY_0 };
uint64_t account_caller(int by); /* begin of a page of addresses */

void account_begin_folder(void); /* fixture: nothing but the folder */
void account_begin(void);        /* fixture: and the log of a dead process, with the libraries above */
void account_end(void);
void account_finish(void); /* takes the log in; checks what must hold of every account */
void account_check(void);

struct vs_rec_alloc *account_alloc(int by, enum vs_memory memory, uint64_t address, uint64_t bytes);
void account_free(uint64_t address);
void account_block(uint64_t address, int64_t bytes, uint64_t allocated,
                   uint64_t reserved); /* of PyTorch; 0: not told */
void account_pool(uint64_t pool, uint64_t reserved);
uint64_t account_sample(unsigned flags, uint64_t used, uint64_t others); /* the time */
uint64_t account_sample_process(unsigned flags, uint64_t used, uint64_t process);
uint64_t account_measure(enum vs_measured what, unsigned flags, uint64_t context, int64_t bytes, uint64_t recorder);
void account_end_context(uint64_t context);

/* Every row of a moment, "owner bytes" in the order of their names. */
void ck_account(uint64_t ts, const char *expected);

#endif
