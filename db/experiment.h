/* SPDX-License-Identifier: MIT
 *
 * experiment.h: the result of one experiment: what the train workload wrote, completed from the recording of its run, in
 * table experiment and as a file of JSON.
 *
 * Every number of memory is read from the recording, whatever the file says; what the recording does not know is null.
 *
 * Ownership: borrows the request; `json` is the caller's to free. Threading: none; storing takes the database's writer lock.
 * Errors: -EINVAL the workload's file is damaged (nothing is stored), -EBUSY somebody else writes the database, else -errno;
 * the text names the file.
 */
#ifndef VS_DB_EXPERIMENT_H
#define VS_DB_EXPERIMENT_H

#include <stdint.h>

#include "error.h"

struct vs_experiment_run {
    const char *db_path;   /* its recording; made when it is not there */
    const char *results;   /* the workload's file; NULL: it wrote none */
    const char *name;      /* of the experiment, where no file tells */
    const char *recording; /* what the result calls db_path */
    const char *version;   /* of vramscope */
    const char *problem;   /* why it failed, beside what the file and the recording say; NULL: nothing more is known */
    const char *const *words; /* its options, one each */
    int word_count;
    int64_t after, pid; /* the highest process id before the run; that of the program */
    int status;         /* its exit status, 128 + n for signal n */
};

/* *json: the result on one line, as it was stored. */
int vs_experiment_store(const struct vs_experiment_run *run, int64_t *id, char **json, struct vs_error *e);

/* The file, indented, whole or not at all. */
int vs_experiment_write(const char *json, const char *path, struct vs_error *e);

/* A file of vs_experiment_write. -EINVAL: it is none. */
int vs_experiment_read(const char *path, char **json, struct vs_error *e);

#define VS_EXPERIMENT_TEXT 640
struct vs_experiment_facts { /* unknown numbers are NaN, unknown texts "" */
    int ok, arena_mismatch;
    char name[VS_EXPERIMENT_TEXT], reason[VS_EXPERIMENT_TEXT], lost[VS_EXPERIMENT_TEXT]; /* lost: while recording */
    char trace[16]; /* what was recorded beside memory takes time */
    double peak_mb, avg_ms;
};
int vs_experiment_look(const char *json, struct vs_experiment_facts *out, struct vs_error *e);

/* "": its words are these; else the first few that only one side has. */
int vs_experiment_differs(const char *json, const char *const *words, int count, char out[VS_EXPERIMENT_TEXT],
                          struct vs_error *e);

struct sqlite3;

/* Parts of vs_experiment_store. document: the workload's file, or "{}". */
int vs_experiment_check(struct sqlite3 *db, const char *path, const char *document, struct vs_error *e);
int vs_experiment_complete(struct sqlite3 *db, const struct vs_experiment_run *run, const char *document,
                           int64_t process, char **json, struct vs_error *e);
/* A JSON array of texts. */
int vs_experiment_words(struct sqlite3 *db, const char *const *words, int count, char **json, struct vs_error *e);
int vs_experiment_text(const char *path, char **text, struct vs_error *e); /* of a file, as UTF-8 */

#endif
