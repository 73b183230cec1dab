/* SPDX-License-Identifier: MIT
 *
 * output.h: the database that `run` writes and the log folder beside it, shared by every `vramscope run` of one job.
 *
 * The folder is DB.log; the file `lock` in it carries three record locks, which the kernel drops when a process dies:
 *   member    held shared by every run that uses the folder; exclusive: alone with it
 *   ingester  held by the one run that reads the logs into the database
 *   door      held for the moment of entering or leaving, so that of two runs that leave together one is the last
 * Where the file system has no locks (`locks` is 0) nobody ingests.
 *
 * It must never delete what another run still uses, nor a file that is not a database.
 *
 * Ownership: close with vs_output_close. Threading: one thread at a time. Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_OUTPUT_H
#define VS_CLI_OUTPUT_H

#include "../db/error.h"

enum vs_output_mode { VS_OUTPUT_NEW, VS_OUTPUT_APPEND, VS_OUTPUT_FORCE };

struct vs_output {
    char db[4200], folder[4210]; /* absolute */
    int lock;                    /* file descriptor, -1: none */
    int locks;                   /* the file system has locks */
    int joined;                  /* another run was there first */
    int ingester;
};

/* Says why it would fail, or makes the folder and takes the locks. */
int vs_output_open(const char *db_path, enum vs_output_mode mode, struct vs_output *o, struct vs_error *e);
int vs_output_try_ingester(struct vs_output *o); /* 1: we are it */

/* 1: no other run uses the folder. One may enter after that. */
int vs_output_alone(const struct vs_output *o);

/* Begins to leave: 1 when no other run uses the folder (then nobody can enter until vs_output_close). Otherwise 0; the
 * caller ends its ingest and calls vs_output_close. Until then nobody else leaves. */
int vs_output_leave(struct vs_output *o);
void vs_output_close(struct vs_output *o);

#endif
