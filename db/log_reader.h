/* SPDX-License-Identifier: MIT
 *
 * log_reader.h: reads what a process left on disk and in memory, and gives it to the process record by record.
 *
 * Nothing read is trusted: a record is taken when its check matches (on disk) or when it fits its kind (in memory).
 *
 * Ownership: the reader opens and closes files within each call. Threading: none.
 * Errors: -errno only when a file that is there cannot be read; damage is counted, never an error.
 */
#ifndef VS_DB_LOG_READER_H
#define VS_DB_LOG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "process.h"

/* Identity and memory folder from the head of a log. 0, -ENODATA: no head (yet), -EPROTO: not one of this version. */
int vs_log_read_head(const char *log_path, struct vs_identity *who, char memory[257]);

struct vs_log_reader {
    int fd;
    uint64_t at, size; /* position and end of the file */
    unsigned char *buffer;
    uint64_t *aligned; /* a frame's records, where the log has them at odd places */
    uint64_t buffer_at;
    uint32_t buffer_bytes;
    bool final; /* nothing will be added: what cannot be read now never will be */
};

int vs_log_reader_open(struct vs_log_reader *r, const char *log_path, uint64_t at, bool final);
/* Takes one frame. 1: taken, 0: nothing more for now, -errno. */
int vs_log_reader_next(struct vs_log_reader *r, struct vs_process *p);
/* Notes in cover[] how far frames from the position on cover each slab, without taking records. */
void vs_log_reader_survey(struct vs_log_reader *r, struct vs_cover *cover);
void vs_log_reader_close(struct vs_log_reader *r);

/* ---- memory (slab_reader.c) ---- */

/* What control file and slabs say. 0, -ENOENT: the folder is gone, -EPROTO: it is another process's, or no such thing. */
int vs_memory_counters(const char *memory, const struct vs_identity *who, struct vs_counters *out);
/* Identity and disk folder from a control file. */
int vs_memory_identity(const char *memory, struct vs_identity *who, char folder[1025]);
/* Takes what lies in the slabs beyond `cover`. */
int vs_memory_take(struct vs_process *p, const struct vs_cover *cover);
/* Takes again what was damaged on disk and is still there. */
void vs_memory_mend(struct vs_process *p);
int vs_memory_remove(const char *memory, const struct vs_identity *who);

#endif
