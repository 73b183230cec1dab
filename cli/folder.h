/* SPDX-License-Identifier: MIT
 *
 * folder.h: log folders, and opening what a user names as "the recording": a database, the folder of a run of the suite (its
 * suite.db), or a log folder that becomes a database (FOLDER/run.db) first. Must never take anything out of a folder somebody else still records into.
 *
 * Ownership: vs_recording_open gives a handle to be closed with vs_db_close. Threading: none shared.
 * Errors: 0 or -errno with a text.
 */
#ifndef VS_CLI_FOLDER_H
#define VS_CLI_FOLDER_H

#include <stddef.h>

#include "../db/error.h"

struct vs_db;
struct vs_ingest;

#define VS_LOCK_NAME "lock" /* in a folder of `run`: see output.h */

int vs_folder_processes(const char *folder); /* logs of processes in it, or -errno */
int vs_folder_check(const char *folder, struct vs_error *e); /* can it be the log folder of a run? */
int vs_folder_foreign(const char *folder);   /* holds something that no recorder or ingest made */

int vs_folder_unlogged(const char *run_folder); /* how many processes left records in memory and nothing on disk; or -errno */
int vs_folder_discard_memory(const char *run_folder); /* of all its processes: or it would be taken for the next run's */

int vs_folder_in_use(const char *folder);    /* by a `vramscope run` */
int vs_folder_delete(const char *folder);    /* with all that is in it; 0 or -errno */

/* Reads the folders to their end into the database, with progress on a terminal. */
int vs_folder_ingest(char *const *folders, int count, const char *db_path, struct vs_error *e);

long vs_recording_number(const char *db_path, const char *sql); /* of a query of one number; -1: it cannot be read */
void vs_recording_delete(const char *db_path); /* and what SQLite keeps beside it */

/* db_path receives the database's path, for messages. */
int vs_recording_open(const char *path, struct vs_db **db, char *db_path, size_t db_path_bytes, struct vs_error *e);

/* Shows what the ingest does on stderr, if that is a terminal. vs_progress_end wipes the line. */
void vs_progress_begin(struct vs_ingest *in);
void vs_progress_end(void);

#endif
