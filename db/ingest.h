/* SPDX-License-Identifier: MIT
 *
 * ingest.h: turns run folders (logs of processes) into one database.
 *
 * A run folder holds one sub-folder per process; a process's sub-folder holds its log (record.h). Ingest reads the
 * log files and, of processes that are dead, what is left in their slabs. It may be called again and again while the
 * program runs: positions are stored in the transaction that stores the rows, so nothing is stored twice and an
 * ingest that dies changes nothing. Memory is bounded by the objects live in the traced program.
 *
 * Threading: one thread per vs_ingest. One writer per database, by an exclusive lock held from open to close.
 * Errors: a damaged or truncated log is not an error; what could not be read is counted in table `loss`.
 */
#ifndef VS_DB_INGEST_H
#define VS_DB_INGEST_H

#include <stdint.h>

#include "error.h"

struct vs_ingest;

enum vs_ingest_mode {
    VS_INGEST_NEW,    /* the database must not exist; made private to the user (0600) */
    VS_INGEST_RESUME, /* opens an existing database, or makes it: later steps add what is new */
    VS_INGEST_REPLACE /* an existing database is deleted first */
};

struct vs_ingest_progress {
    uint64_t bytes_done, bytes_total; /* of the logs known so far */
    uint64_t records;
    unsigned processes;
};

/* -EEXIST: VS_INGEST_NEW and it exists. -EBUSY: another writer holds it. */
int vs_ingest_open(const char *db_path, enum vs_ingest_mode mode, struct vs_ingest **out, struct vs_error *e);

/* Called about ten times a second during a long step. */
void vs_ingest_on_progress(struct vs_ingest *in, void (*fn)(void *arg, const struct vs_ingest_progress *), void *arg);

/* Reads all that is new below the run folder and commits. */
int vs_ingest_step(struct vs_ingest *in, const char *run_folder, struct vs_error *e);

/* As step, but takes processes that are no longer running as ended: reads their slabs, counts what is missing,
 * computes the summaries, makes the indexes. remove_memory: deletes the memory-backed files of dead processes once
 * they are committed (their log folder is not touched). A process still running stays `running`; step again later. */
int vs_ingest_finish(struct vs_ingest *in, const char *run_folder, int remove_memory, struct vs_error *e);

void vs_ingest_close(struct vs_ingest *in); /* NULL is fine */

#endif
