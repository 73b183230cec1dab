/* SPDX-License-Identifier: MIT
 *
 * recorder.h: the ingesting side of `run`: reads the logs while the program runs, and to their end afterwards. It must
 * never make the program wait, and never delete a log that is not in the database.
 *
 * Ownership: borrows the output. Threading: start and finish from one thread; a low-priority thread works between.
 * Errors: kept until vs_recorder_finish tells.
 */
#ifndef VS_CLI_RECORDER_H
#define VS_CLI_RECORDER_H

#include "../db/error.h"

struct vs_output;
struct vs_recorder;

enum vs_recorded {
    VS_REC_COMPLETE, /* all of the run is in the database, the log folder is gone */
    VS_REC_NOTHING,  /* no process wrote a log; no database was made */
    VS_REC_SHARED,   /* other runs of the job go on; the last one finishes */
    VS_REC_RUNNING,  /* processes of the program outlive it; the log folder stays */
    VS_REC_NO_LOCKS, /* nobody may ingest here; the log folder stays */
    VS_REC_FAILED    /* the error says why; the log folder stays */
};

struct vs_recorder *vs_recorder_start(struct vs_output *o); /* NULL: no memory; finish does all the work then */
enum vs_recorded vs_recorder_finish(struct vs_recorder *r, struct vs_output *o, struct vs_error *e);

#endif
