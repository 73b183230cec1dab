/* SPDX-License-Identifier: MIT
 *
 * beside.h: a file written beside its place and put there when it is whole: a reader never sees half of it, and what was there stays
 * when writing fails. Must never write over a file of somebody else's.
 *
 * Threading: none. Errors: -errno with a text that names the file.
 */
#ifndef VS_DB_BESIDE_H
#define VS_DB_BESIDE_H

#include <stdio.h>

#include "error.h"

struct vs_beside {
    char path[4200], part[4300];
    FILE *file;
};

int vs_beside_open(struct vs_beside *b, const char *path, struct vs_error *e);
/* keep 0: what was written goes, and nothing is said of it. */
int vs_beside_close(struct vs_beside *b, int keep, struct vs_error *e);

#endif
