/* SPDX-License-Identifier: MIT
 *
 * norms.h: results of the norms benchmark as lines over T, in panels of one device, element type and shape each.
 *
 * Ownership: vs_norm_lines_free frees (NULL-safe); nothing points into the database. Threading: none.
 * Errors: -ENOMSG when the database has no results of the benchmark at all, -ENODATA when none of them can be drawn, -EIO, -ENOMEM;
 * with a text.
 */
#ifndef VS_VIZ_NORMS_H
#define VS_VIZ_NORMS_H

#include "../db/error.h"
#include "label.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;

enum vs_norm_what { VS_NORM_TIME, VS_NORM_MEMORY };

enum { VS_NORM_PANELS = 8, VS_NORM_ALGORITHMS = 12 }; /* shown; further ones are counted */

struct vs_norm_point {
    double T, value; /* ns or bytes */
};

struct vs_norm_line {
    int panel, algorithm; /* algorithm -1: the floor */
    int first, count;     /* of point, T rising */
};

struct vs_norm_lines {
    struct vs_norm_point *point;
    struct vs_norm_line *line;
    int points, lines;
    char panel[VS_NORM_PANELS][2 * VS_LABEL_SIZE]; /* headings */
    char algorithm[VS_NORM_ALGORITHMS][VS_LABEL_SIZE];
    int panels, all_panels, algorithms, has_floor;
    int other_lines;            /* of algorithms beyond those shown */
    char device[VS_LABEL_SIZE]; /* of the GPU; "" not known */
};

/* Calls with many layers are not among them, nor what is not ok; of what was measured twice the later is. */
int vs_norm_lines_load(struct sqlite3 *db, enum vs_norm_what what, struct vs_norm_lines *out, struct vs_error *e);
void vs_norm_lines_free(struct vs_norm_lines *l);

#ifdef __cplusplus
}
#endif

#endif
