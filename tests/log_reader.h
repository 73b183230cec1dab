/* SPDX-License-Identifier: MIT
 *
 * log_reader.h: reads the log files of a run folder record by record, for tests of what the recorder writes. Independent
 * of ingest, so that a mistake in one is not hidden by the other. Reads frames on disk only: of processes that ended in
 * order, that is everything.
 *
 * Ownership: the caller frees the log with log_close. Errors: NULL, or a non-zero `damaged`.
 */
#ifndef VS_TESTS_LOG_READER_H
#define VS_TESTS_LOG_READER_H

#include <stddef.h>
#include <stdint.h>

#include "db/record.h"

struct logged {
    const struct vs_rec *rec;
    uint32_t pid;
    uint32_t thread; /* number within the process */
};

struct log {
    struct logged *at; /* frames in file order, files in any order */
    size_t count;
    unsigned processes;
    unsigned damaged; /* frames or records whose check fails */
    void *files[64];
};

struct log *log_open(const char *run_folder);
void log_close(struct log *l);

/* How many of this kind; pid 0: any process. */
size_t log_count(const struct log *l, enum vs_kind kind);
/* The n-th of this kind from 0; NULL: there are not that many. */
const void *log_nth(const struct log *l, enum vs_kind kind, size_t n);
/* A counter of the END records, summed over processes. */
uint64_t log_lost(const struct log *l, enum vs_source source, enum vs_loss loss);
/* Value of the last META record with that key; "": none. */
const char *log_meta(const struct log *l, const char *key);

#endif
