/* SPDX-License-Identifier: MIT
 *
 * folders.h: finds the processes below a run folder.
 *
 * Ownership: vs_folders_free. Threading: none. Errors: -errno with a text.
 */
#ifndef VS_DB_FOLDERS_H
#define VS_DB_FOLDERS_H

#include "error.h"
#include "process.h"

struct vs_found {
    struct vs_identity who;
    char *folder;     /* with the log, absolute; NULL: only memory is left */
    char memory[257]; /* "": not known */
    uint64_t log_size;
};
struct vs_folders {
    struct vs_found *found;
    unsigned count, room;
};

/* A run folder, the folder of one process, or a memory folder (one that holds a control file). Processes that belong there
 * but have nothing on disk are found in memory-backed storage ($VRAMSCOPE_SHM, /dev/shm), also when the folder does not
 * exist; -ENOENT: it does not, and there are none. */
int vs_folders_scan(const char *path, struct vs_folders *out, struct vs_error *e);
unsigned vs_folders_unlogged(const struct vs_folders *f); /* how many are in memory only */
int vs_folders_discard(const struct vs_folders *f);       /* deletes what all of them have in memory; 0 or -errno */
void vs_folders_free(struct vs_folders *f);

#endif
