/* SPDX-License-Identifier: MIT
 *
 * advance.h: takes one process as far as its log goes, inside the caller's transaction.
 *
 * Errors: -errno of a file that cannot be read; the database's stick in the store. After an error the process in memory
 * is ahead of the database: free it and make it anew.
 */
#ifndef VS_DB_ADVANCE_H
#define VS_DB_ADVANCE_H

#include "process.h"

struct vs_advance {
    bool finishing; /* a process that does not run any more has ended, also when only its silence says so */
    void *arg;
    /* Called between frames. The position is stored when `commit` is true: the caller commits and begins again. */
    int (*pause)(void *arg, struct vs_process *p, bool commit);
};

int vs_process_advance(struct vs_process *p, const struct vs_advance *how);
void vs_process_restore(struct vs_process *p); /* makes a fresh process go on where the database says */
void vs_process_save(struct vs_process *p);    /* rows of all that waits, and the position */

#endif
